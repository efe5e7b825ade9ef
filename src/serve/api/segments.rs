//! The segments there are, how large they are, and who is in them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use dataflows::model::EventTime;
use serde::Deserialize;
use serde_json::{Value, json};

use super::across::{drifting, steps, volatility};
use super::extract::{Asks, Id, instant, limit};
use super::{Asked, aside, time, unknown_segment};
use crate::serve::Refusal;
use crate::serve::view::{InForce, Page};

/// Which page, and of when.
#[derive(Deserialize)]
pub(super) struct Which {
    after: Option<String>,
    limit: Option<usize>,
    at: Option<String>,
}

/// `GET /v1/segments`: all segments, page by page.
pub(super) async fn all(
    State(asked): State<Asked>,
    Asks(which): Asks<Which>,
) -> Result<Json<Value>, Refusal> {
    let limit = limit(which.limit)?;
    let as_of = asked.view.as_of();
    let segments = asked.view.segments_after(which.after.as_deref(), limit);
    let next = segments.last().filter(|_| segments.len() == limit).map(|it| it.id.to_string());
    let one = |segment: &Arc<crate::serve::view::Segment>| {
        let name = segment.in_force().and_then(|it| it.definition.name.clone());
        let drift = as_of.and_then(|as_of| segment.drifting(as_of));
        json!({
            "id": &*segment.id, "name": name, "size": segment.size(), "drift": drift.map(drifting),
        })
    };
    let segments: Vec<_> = segments.iter().map(one).collect();
    Ok(Json(json!({ "segments": segments, "next": next, "as_of": time(as_of) })))
}

/// What is told besides.
#[derive(Deserialize)]
pub(super) struct Besides {
    #[serde(default)]
    history: bool,
}

/// `GET /v1/segments/{id}`: one of them, with its definition.
pub(super) async fn one(
    State(asked): State<Asked>,
    Id(id): Id,
    Asks(besides): Asks<Besides>,
) -> Result<Json<Value>, Refusal> {
    let as_of = asked.view.as_of();
    let segment = asked.view.segment(&id).ok_or_else(|| unknown_segment(&id))?;
    let in_force = asked.view.in_force(&id).ok_or_else(|| unknown_segment(&id))?;
    let size = segment.size();
    let (definition, version) = aside(move || {
        let version = asked.definitions.versions(&id)?.pop();
        let version = version.and_then(|it| it.get("version").cloned());
        Ok((asked.definitions.get(&id)?, version))
    })
    .await?;
    let (since, complete_from) = standing(&in_force);
    let of_late = |as_of| volatility(segment.volatility(as_of));
    let history = besides.history.then(|| steps(&segment, EventTime::MIN));
    Ok(Json(json!({
        "id": &*segment.id,
        "name": in_force.definition.name,
        "description": in_force.definition.description,
        "size": size,
        "drift": as_of.and_then(|as_of| segment.drifting(as_of)).map(drifting),
        "volatility": as_of.map(of_late),
        "history": history,
        "as_of": time(as_of),
        "in_force_since": since,
        "complete_from": complete_from,
        "version": version,
        "definition": definition,
    })))
}

/// Since when a definition is in force, and from when on it is exact: `null` where that is from
/// the start, or since it is in force.
pub(super) fn standing(in_force: &InForce) -> (Value, Value) {
    let complete_from = match in_force.complete_from {
        Some(EventTime::MAX) => "never".into(),
        other => time(other),
    };
    (time(in_force.since), complete_from)
}

/// `GET /v1/segments/{id}/users`: who is in a segment, or was, page by page in bytewise order.
pub(super) async fn users(
    State(asked): State<Asked>,
    Id(id): Id,
    Asks(which): Asks<Which>,
) -> Result<Json<Value>, Refusal> {
    let (limit, at) = (limit(which.limit)?, instant(which.at.as_deref(), "at")?);
    let page = Page::new(which.after.as_deref(), limit);
    let segment = asked.view.segment(&id).ok_or_else(|| unknown_segment(&id))?;
    aside(move || {
        let (users, size, as_of) = match at {
            None => {
                let found = asked.view.users_of(&segment, &page);
                (found.answer, segment.size(), found.time)
            }
            Some(at) => {
                let (users, size) = asked.view.users_at(&segment, page, at)?;
                (users, size, Some(at))
            }
        };
        let next = users.last().filter(|_| users.len() == limit).map(ToString::to_string);
        let users: Vec<&str> = users.iter().map(|it| &**it).collect();
        Ok(Json(json!({
            "segment": id, "users": users, "next": next, "size": size, "as_of": time(as_of),
        })))
    })
    .await
}

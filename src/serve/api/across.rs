//! What is asked across users: how large segments have been, and who is in several at once.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use dataflows::model::EventTime;
use serde::Deserialize;
use serde_json::{Value, json};

use super::extract::{Asks, Id, instant};
use super::{Asked, aside, time, unknown_segment};
use crate::serve::Refusal;
use crate::serve::view::Segment;
use crate::serve::view::drift::Drifting;
use crate::serve::view::overlap::SEGMENTS_MAX;
use crate::serve::view::past::NoPast;
use crate::serve::view::sizes::{Step, Volatility};

/// From when on.
#[derive(Deserialize)]
pub(super) struct Since {
    since: Option<String>,
}

/// `GET /v1/segments/{id}/sizes`: how large a segment has been, from a time on.
pub(super) async fn sizes(
    State(asked): State<Asked>,
    Id(id): Id,
    Asks(which): Asks<Since>,
) -> Result<Json<Value>, Refusal> {
    let since = instant(which.since.as_deref(), "since")?;
    let as_of = asked.view.as_of();
    let segment = asked.view.segment(&id).ok_or_else(|| unknown_segment(&id))?;
    Ok(Json(json!({
        "segment": id,
        "size": segment.size(),
        "steps": steps(&segment, since.unwrap_or(EventTime::MIN)),
        "as_of": time(as_of),
    })))
}

/// The steps of a segment's history, as they are answered.
pub(super) fn steps(segment: &Segment, since: EventTime) -> Vec<Value> {
    let step = |Step { from, until, size, entered, left }| json!({ "from": from, "until": until, "size": size, "entered": entered, "left": left });
    segment.sizes_since(since).into_iter().map(step).collect()
}

/// Who entered and left of late, as it is answered.
pub(super) fn volatility(Volatility { entered, left, share, since }: Volatility) -> Value {
    json!({ "since": since, "entered": entered, "left": left, "share": share })
}

/// A drift, as it is answered.
pub(super) fn drifting(Drifting { since, low, high }: Drifting) -> Value {
    json!({ "since": since, "low": low, "high": high })
}

/// Which segments, and when.
#[derive(Deserialize)]
pub(super) struct Overlap {
    segments: String,
    at: Option<String>,
}

/// `GET /v1/overlap`: how many are in each combination of some segments, at one time.
pub(super) async fn overlap(
    State(asked): State<Asked>,
    Asks(overlap): Asks<Overlap>,
) -> Result<Json<Value>, Refusal> {
    let at = instant(overlap.at.as_deref(), "at")?;
    let segments = named(&asked, &overlap.segments)?;
    let Some(at) = at.or_else(|| asked.view.as_of()) else {
        return Err(NoPast::NotYet(None).into());
    };
    let ids: Vec<_> = segments.iter().map(|it| it.id.to_string()).collect();
    aside(move || {
        let found = asked.view.overlap(&segments, at)?;
        let of = |bits: usize| -> Vec<&str> {
            let places = (0..ids.len()).filter(|place| bits >> place & 1 == 1);
            places.map(|place| &*ids[place]).collect()
        };
        let one = |it: &crate::serve::view::overlap::Intersection| {
            json!({ "segments": of(it.of), "size": it.size, "only": it.only })
        };
        let union: u64 = found.iter().map(|it| it.only).sum();
        let intersections: Vec<_> = found.iter().map(one).collect();
        Ok(Json(json!({
            "segments": ids, "union": union, "intersections": intersections, "as_of": at,
        })))
    })
    .await
}

/// The segments of a list with commas in between.
fn named(asked: &Asked, list: &str) -> Result<Vec<Arc<Segment>>, Refusal> {
    let mut ids: Vec<&str> = Vec::new();
    for id in list.split(',').map(str::trim) {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    if !(2..=SEGMENTS_MAX).contains(&ids.len()) {
        let message = format!("2 to {SEGMENTS_MAX} different segments, with commas in between");
        return Err(Refusal::bad_request(message).with_path("segments"));
    }
    let segment = |id: &&str| asked.view.segment(id).ok_or_else(|| unknown_segment(id));
    ids.iter().map(segment).collect()
}

//! Definitions saved and deleted: written where they stand, then waited for until they are in
//! force.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::extract::{Asks, Id, Text};
use super::segments::standing;
use super::{Asked, Saved, aside, unknown_segment};
use crate::serve::Refusal;
use crate::serve::view::{InForce, View};

/// How long an answer waits for what was saved to be in force, in milliseconds: unless said, and at
/// most.
const WAIT_MS: u64 = 5_000;
const WAIT_MS_MAX: u64 = 25_000;

/// Under which id it would be saved.
#[derive(Deserialize)]
pub(super) struct Under {
    id: Option<String>,
}

/// How long to wait.
#[derive(Deserialize)]
pub(super) struct Wait {
    wait_ms: Option<u64>,
}

impl Wait {
    fn span(&self) -> Result<Duration, Refusal> {
        match self.wait_ms.unwrap_or(WAIT_MS) {
            ms @ 0..=WAIT_MS_MAX => Ok(Duration::from_millis(ms)),
            _ => {
                let message = format!("a whole number of milliseconds up to {WAIT_MS_MAX}");
                Err(Refusal::bad_request(message).with_path("wait_ms"))
            }
        }
    }
}

/// `GET /v1/segments/{id}/versions`: what a definition is and was.
pub(super) async fn versions(
    State(asked): State<Asked>,
    Id(id): Id,
) -> Result<Json<Value>, Refusal> {
    aside(move || {
        let versions = asked.definitions.versions(&id)?;
        if versions.is_empty() && asked.view.segment(&id).is_none() {
            return Err(unknown_segment(&id));
        }
        Ok(Json(json!({ "id": id, "versions": versions })))
    })
    .await
}

/// `POST /v1/check`: what would be wrong with a definition if it were saved. Nothing is.
pub(super) async fn check(
    State(asked): State<Asked>,
    Asks(Under { id }): Asks<Under>,
    Text(text): Text,
) -> Result<Json<Value>, Refusal> {
    aside(move || {
        asked.definitions.check(id.as_deref(), &text)?;
        Ok(Json(json!({ "status": "fine" })))
    })
    .await
}

/// `PUT /v1/segments/{id}`: saves a definition. Answers when it is in force and its members are
/// known (200, or 201 for a new one); after a while, that it is saved and will be (202).
pub(super) async fn put(
    State(asked): State<Asked>,
    Id(id): Id,
    Asks(wait): Asks<Wait>,
    Text(text): Text,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let (wait, view, key) = (wait.span()?, Arc::clone(&asked.view), id.clone());
    let saved = aside(move || asked.definitions.put(&key, &text)).await?;
    let Saved { definition, version, is_new } = saved;
    let found = until(&view, wait, || {
        let found = view.in_force(&definition.id);
        found.filter(|it| it.definition.rule == definition.rule && is_seen(&view, it))
    });
    let Some(in_force) = found.await else {
        let answer = json!({ "id": id, "version": version, "status": "saved" });
        return Ok((StatusCode::ACCEPTED, Json(answer)));
    };
    let (since, complete_from) = standing(&in_force);
    let size = view.segment(&id).map(|it| it.size());
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((
        status,
        Json(json!({
            "id": id,
            "version": version,
            "status": "in_force",
            "in_force_since": since,
            "complete_from": complete_from,
            "size": size,
        })),
    ))
}

/// `DELETE /v1/segments/{id}`: deletes a definition. Answers when its members have left (200); after
/// a while, that they will (202).
pub(super) async fn delete(
    State(asked): State<Asked>,
    Id(id): Id,
    Asks(wait): Asks<Wait>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let (wait, view, key) = (wait.span()?, Arc::clone(&asked.view), id.clone());
    aside(move || asked.definitions.delete(&key)).await?;
    let gone = until(&view, wait, || view.is_gone(&id).then_some(())).await;
    let (status, word) = match gone {
        Some(()) => (StatusCode::OK, "deleted"),
        None => (StatusCode::ACCEPTED, "saved"),
    };
    Ok((status, Json(json!({ "id": id, "status": word }))))
}

/// Whether what came with a definition is in.
fn is_seen(view: &View, in_force: &InForce) -> bool {
    in_force.since.is_none_or(|since| view.as_of().is_some_and(|as_of| as_of >= since))
}

/// Waits for something to be there.
async fn until<T>(view: &View, wait: Duration, there: impl Fn() -> Option<T>) -> Option<T> {
    let mut changes = view.changes();
    let found = async {
        loop {
            changes.borrow_and_update();
            if let Some(found) = there() {
                return Some(found);
            }
            changes.changed().await.ok()?;
        }
    };
    timeout(wait, found).await.ok().flatten()
}

//! The events of a user that are held for windows.

use axum::Json;
use axum::extract::State;
use dataflows::model::Duration;
use dataflows::segmentation::Ask;
use serde::Deserialize;
use serde_json::Value;

use super::Asked;
use super::attributes::listed;
use super::extract::{Asks, Id, instant, limit};
use crate::serve::Refusal;

/// Which of them.
#[derive(Deserialize)]
pub(super) struct Which {
    since: Option<String>,
    before: Option<String>,
    limit: Option<usize>,
}

/// `GET /v1/users/{id}/events`: the events of a user that are held, the newest first.
pub(super) async fn events(
    State(asked): State<Asked>,
    Id(user): Id,
    Asks(which): Asks<Which>,
) -> Result<Json<Value>, Refusal> {
    let last = which.since.as_deref().and_then(|text| Duration::parse(text).ok());
    let since = which.since.as_deref().filter(|_| last.is_none());
    let ask = Ask::Events {
        user: user.as_str().into(),
        since: instant(since, "since").map_err(|it| it.with_hint("or a duration, such as 24h"))?,
        last,
        before: instant(which.before.as_deref(), "before")?,
        limit: limit(which.limit)?,
    };
    listed(&asked, ask, &user).await
}

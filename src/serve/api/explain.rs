//! Why a user is in a segment, or is not.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use dataflows::segmentation::{Ask, Told};
use serde::Deserialize;
use serde_json::Value;

use super::extract::Asks;
use super::{Asked, unknown_segment};
use crate::serve::Refusal;

/// Who, and in what.
#[derive(Deserialize)]
pub(super) struct Which {
    user: String,
    segment: String,
}

/// `GET /v1/explain`: the rule of a segment as a tree, with what each condition is for one user.
pub(super) async fn explain(
    State(asked): State<Asked>,
    Asks(Which { user, segment }): Asks<Which>,
) -> Result<Json<Value>, Refusal> {
    if asked.view.segment(&segment).is_none() {
        return Err(unknown_segment(&segment));
    }
    let ask = Ask::Explain { user: user.as_str().into(), segment: segment.into() };
    let replies = asked.view.questions().ask(ask).await?;
    let told = replies.into_iter().find_map(|reply| match reply.told {
        Told::Explained(text) => serde_json::from_str(&text).ok(),
        Told::Counted(_) | Told::Listed(_) | Told::Unknown => None,
    });
    told.map(Json).ok_or_else(|| unknown_user(&user))
}

pub(super) fn unknown_user(user: &str) -> Refusal {
    let message = format!("there is no user {user:?}");
    Refusal::new(StatusCode::NOT_FOUND, "unknown_user", message)
        .with_hint("a user exists from the first record that names it")
}

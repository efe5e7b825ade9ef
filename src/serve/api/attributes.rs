//! The attributes of a user, as far as rules ask for them.

use axum::Json;
use axum::extract::State;
use dataflows::segmentation::{Ask, Told};
use serde_json::Value;

use super::Asked;
use super::explain::unknown_user;
use super::extract::Id;
use crate::serve::Refusal;

/// `GET /v1/users/{id}/attributes`: what is known of a user, of all that rules ask for.
pub(super) async fn attributes(
    State(asked): State<Asked>,
    Id(user): Id,
) -> Result<Json<Value>, Refusal> {
    let ask = Ask::Attributes { user: user.as_str().into() };
    listed(&asked, ask, &user).await
}

/// What the worker of a user lists.
pub(super) async fn listed(asked: &Asked, ask: Ask, user: &str) -> Result<Json<Value>, Refusal> {
    let replies = asked.view.questions().ask(ask).await?;
    let told = replies.into_iter().find_map(|reply| match reply.told {
        Told::Listed(text) => serde_json::from_str(&text).ok(),
        Told::Counted(_) | Told::Explained(_) | Told::Unknown => None,
    });
    told.map(Json).ok_or_else(|| unknown_user(user))
}

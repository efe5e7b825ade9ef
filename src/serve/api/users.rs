//! Which segments users are in.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::extract::{Asks, Id, Text, instant};
use super::{Asked, USERS_MAX, aside};
use crate::serve::Refusal;

/// When it is asked about.
#[derive(Deserialize)]
pub(super) struct When {
    at: Option<String>,
}

/// The segments of a user.
#[derive(Serialize)]
pub(super) struct SegmentsOf {
    user: String,
    segments: Vec<Arc<str>>,
    as_of: Option<i64>,
}

/// Users that are asked about.
#[derive(Deserialize)]
struct Many {
    users: Vec<String>,
}

/// The segments of each.
#[derive(Serialize)]
pub(super) struct SegmentsOfMany {
    users: Vec<SegmentsOf>,
}

/// `GET /v1/users/{id}/segments`: in which segments a user is, or was.
pub(super) async fn one(
    State(asked): State<Asked>,
    Id(user): Id,
    Asks(When { at }): Asks<When>,
) -> Result<Json<SegmentsOf>, Refusal> {
    match instant(at.as_deref(), "at")? {
        None => Ok(Json(segments_of(&asked, user))),
        Some(at) => {
            aside(move || {
                let segments = asked.view.segments_at(&user, at)?;
                Ok(Json(SegmentsOf { user, segments, as_of: Some(at) }))
            })
            .await
        }
    }
}

/// `POST /v1/users/segments`: in which segments each of many users is.
pub(super) async fn many(
    State(asked): State<Asked>,
    Text(text): Text,
) -> Result<Json<SegmentsOfMany>, Refusal> {
    let wrong = |error: serde_json::Error| {
        Refusal::bad_request(format!("not a list of users: {error}"))
            .with_hint(r#"send {"users":["u1","u2"]}"#)
    };
    let Many { users } = serde_json::from_str(&text).map_err(wrong)?;
    if users.len() > USERS_MAX {
        let message = format!("{} users: at most {USERS_MAX} in one request", users.len());
        return Err(Refusal::bad_request(message).with_path("users"));
    }
    let users = users.into_iter().map(|user| segments_of(&asked, user)).collect();
    Ok(Json(SegmentsOfMany { users }))
}

fn segments_of(asked: &Asked, user: String) -> SegmentsOf {
    let found = asked.view.segments_of(&user);
    SegmentsOf { user, segments: found.answer, as_of: found.time }
}

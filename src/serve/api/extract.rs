//! The parts of a request, each refused in the one shape where it is wrong.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::IntoResponse as _;
use dataflows::model::EventTime;
use dataflows::model::time::parse_time;
use serde::de::DeserializeOwned;

use crate::serve::Refusal;
use crate::serve::api::{PAGE, PAGE_MAX};

/// Most bytes of the id of a user or segment.
const ID_BYTES_MAX: usize = 4_096;

/// The id in the path.
pub(super) struct Id(pub(super) String);

/// What stands behind the question mark.
pub(super) struct Asks<T>(pub(super) T);

/// The body, as text.
pub(super) struct Text(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let wrong = |error: PathRejection| Refusal::bad_request(error.body_text());
        let Path(id) = Path::<String>::from_request_parts(parts, state).await.map_err(wrong)?;
        if id.len() > ID_BYTES_MAX {
            let message = format!("an id has at most {ID_BYTES_MAX} bytes");
            return Err(Refusal::bad_request(message));
        }
        Ok(Id(id))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asks<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let wrong = |error: QueryRejection| Refusal::bad_request(error.body_text());
        let Query(asks) = Query::<T>::from_request_parts(parts, state).await.map_err(wrong)?;
        Ok(Asks(asks))
    }
}

impl<S: Send + Sync> FromRequest<S> for Text {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let bytes = Bytes::from_request(request, state).await.map_err(unread)?;
        let text = String::from_utf8(bytes.into());
        text.map(Text).map_err(|_| Refusal::bad_request("the body is not UTF-8"))
    }
}

/// Why a body cannot be read.
fn unread(error: BytesRejection) -> Refusal {
    let text = error.body_text();
    let status = error.into_response().status();
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let message = "the body is too long";
            Refusal::new(status, "too_large", message).with_hint("send less at a time")
        }
        _ => Refusal::bad_request(text),
    }
}

/// A time: epoch milliseconds, or RFC 3339 text.
pub(super) fn instant(text: Option<&str>, key: &str) -> Result<Option<EventTime>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    let read = text.parse::<EventTime>().ok().or_else(|| parse_time(text).ok());
    let allowed = "epoch milliseconds, or RFC 3339 text such as 2026-01-01T00:00:00Z";
    // Where a time has a next one and one before, all arithmetic holds.
    let read = read.filter(|time| (EventTime::MIN + 2..EventTime::MAX - 1).contains(time));
    read.map(Some).ok_or_else(|| {
        Refusal::bad_request(format!("{text:?} is no time; allowed: {allowed}")).with_path(key)
    })
}

/// How many are listed.
pub(super) fn limit(wanted: Option<usize>) -> Result<usize, Refusal> {
    match wanted.unwrap_or(PAGE) {
        limit @ 1..=PAGE_MAX => Ok(limit),
        _ => {
            let message = format!("a limit is a whole number from 1 to {PAGE_MAX}");
            Err(Refusal::bad_request(message).with_path("limit"))
        }
    }
}

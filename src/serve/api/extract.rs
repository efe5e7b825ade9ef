//! The parts of a request, each refused in the one shape where it is wrong.

use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use dataflows::model::EventTime;
use dataflows::model::time::{MAX_TIME, MIN_TIME, parse_time};
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;

use crate::serve::api::{PAGE, PAGE_MAX};
use crate::serve::{BODY_BYTES, Refusal};

/// Most bytes of the id of a user or segment.
const ID_BYTES_MAX: usize = 4_096;
/// How many times as much of a body that is too long is read as there may be.
const TIMES_READ_ON: usize = 16;

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

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let text = String::from_utf8(whole(request.into_body()).await?);
        text.map(Text).map_err(|_| Refusal::bad_request("the body is not UTF-8"))
    }
}

/// All of a body. One that is too long is read on for a while, and forgotten: a client that is still
/// sending would not see why it is refused.
async fn whole(body: Body) -> Result<Vec<u8>, Refusal> {
    let (mut bytes, mut length) = (Vec::new(), 0);
    let mut parts = body.into_data_stream();
    while let Some(part) = parts.next().await {
        let part = part.map_err(|error| Refusal::bad_request(error.to_string()))?;
        length += part.len();
        if length <= BODY_BYTES {
            bytes.extend_from_slice(&part);
        } else if length > BODY_BYTES * TIMES_READ_ON {
            break;
        } else {
            bytes = Vec::new();
        }
    }
    if length > BODY_BYTES {
        let message = format!("a body has at most {BODY_BYTES} bytes");
        let refusal = Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message);
        return Err(refusal.with_hint("send less at a time"));
    }
    Ok(bytes)
}

/// A time: epoch milliseconds, or RFC 3339 text.
pub(super) fn instant(text: Option<&str>, key: &str) -> Result<Option<EventTime>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    let read = text.parse::<EventTime>().ok().or_else(|| parse_time(text).ok());
    let allowed = "epoch milliseconds, or RFC 3339 text such as 2026-01-01T00:00:00Z, of the \
                   years 1 to 9999";
    let read = read.filter(|time| (MIN_TIME..=MAX_TIME).contains(time));
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

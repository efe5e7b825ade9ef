//! What clients are answered, in the shape they know from Segment.

use axum::Json;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::log::NotKept;
use super::turns::Crowded;

/// All that was sent is kept.
pub(super) fn kept() -> Response {
    Json(json!({ "success": true })).into_response()
}

/// Why a request is not carried out.
#[derive(Debug)]
pub(super) struct Refused {
    status: StatusCode,
    /// A word that programs can tell it by.
    code: &'static str,
    /// As what it is counted.
    pub(super) reason: &'static str,
    message: String,
    /// After how many seconds it may be sent again.
    again_s: Option<u32>,
}

impl Refused {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Refused { status, code, reason: code, message: message.into(), again_s: None }
    }

    /// It is not what it should be.
    pub(super) fn bad(message: String) -> Self {
        Refused::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    /// It is too large: 400, as Segment has it; clients do not send it again.
    pub(super) fn too_large(most: usize) -> Self {
        let message = format!("the body has more than {most} bytes");
        Refused::new(StatusCode::BAD_REQUEST, "too_large", message)
    }

    pub(super) fn encoding() -> Self {
        let message = "Content-Encoding may be gzip or identity";
        Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "encoding", message)
    }

    pub(super) fn unknown_key() -> Self {
        let message = "the write key is none of those in the job file: send it as the user of basic \
                       authentication, or as \"writeKey\" in the body";
        Refused::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }
}

impl From<NotKept> for Refused {
    fn from(why: NotKept) -> Self {
        let busy = StatusCode::TOO_MANY_REQUESTS;
        let failed = StatusCode::SERVICE_UNAVAILABLE;
        let (status, reason, message, again_s) = match why {
            NotKept::Busy => (busy, "disk_busy", "more comes than the disk takes", 1),
            NotKept::Behind => (busy, "behind", "more has come than was worked on", 5),
            NotKept::Trouble => (failed, "disk_failed", "it cannot be kept now", 5),
        };
        let again_s = Some(again_s);
        Refused { again_s, reason, ..Refused::new(status, "try_again", message) }
    }
}

impl From<Crowded> for Refused {
    fn from(_: Crowded) -> Self {
        let (status, message) = (StatusCode::TOO_MANY_REQUESTS, "more comes than can be read");
        Refused {
            again_s: Some(1),
            reason: "crowded",
            ..Refused::new(status, "try_again", message)
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = json!({ "success": false, "code": self.code, "message": self.message });
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.again_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Basic realm=\"write key\"");
            headers.insert(WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

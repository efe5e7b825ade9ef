//! What is answered where a request cannot be carried out: always JSON, of one shape.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Why a request is not carried out, as its answer says it:
/// `{"error":{"code":…,"message":…,"path":…,"hint":…}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    #[serde(skip)]
    status: StatusCode,
    /// A word that programs can tell it by.
    code: &'static str,
    /// What is wrong, for people.
    message: String,
    /// Where it is wrong, in what was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// All that is wrong, where there may be several things.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<Fault>,
}

/// One thing that is wrong with what was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where.
    pub path: String,
    /// What stands there.
    pub found: String,
    /// What may.
    pub allowed: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

#[derive(Serialize)]
struct Answer<'a> {
    error: &'a Refusal,
}

impl Refusal {
    /// A refusal.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Refusal { status, code, message, path: None, hint: None, faults: Vec::new() }
    }

    /// The request is wrong.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Refusal::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// The same, saying where in the request it is.
    #[must_use]
    pub fn with_path(self, path: impl Into<String>) -> Self {
        Refusal { path: Some(path.into()), ..self }
    }

    /// The same, saying what to do.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Refusal { hint: Some(hint.into()), ..self }
    }

    /// The same, with all that is wrong; the path and the hint are those of the first.
    #[must_use]
    pub fn with_faults(self, faults: Vec<Fault>) -> Self {
        let first = faults.first();
        let (path, hint) = (first.map(|it| it.path.clone()), first.and_then(|it| it.hint.clone()));
        Refusal { path, hint, faults, ..self }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(Answer { error: &self })).into_response()
    }
}

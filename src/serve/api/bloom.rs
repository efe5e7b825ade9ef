//! Who is in a segment, to be held where nobody can be asked: a Bloom filter.

use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use dataflows::sketch::bloom::{bytes, membership};
use serde::Deserialize;

use super::extract::{Asks, Id};
use super::{Asked, aside, unknown_segment};
use crate::serve::Refusal;
use crate::serve::view::past::NoPast;

/// How often another user is taken for a member, unless it is said, and within which bounds.
const FALSE_POSITIVES: f64 = 0.01;
const FALSE_POSITIVES_LEAST: f64 = 1e-9;
const FALSE_POSITIVES_MOST: f64 = 0.5;
/// The largest filter that is made, in bytes.
const BYTES_MAX: f64 = 64.0 * 1024.0 * 1024.0;

const USERS: HeaderName = HeaderName::from_static("rivulet-users");
const AS_OF: HeaderName = HeaderName::from_static("rivulet-as-of");
const RATE: HeaderName = HeaderName::from_static("rivulet-false-positives");

/// How often it may be wrong.
#[derive(Deserialize)]
pub(super) struct How {
    false_positives: Option<f64>,
}

/// `GET /v1/segments/{id}/bloom`: the users of a segment as a Bloom filter of Apache DataSketches.
pub(super) async fn bloom(
    State(asked): State<Asked>,
    Id(id): Id,
    Asks(how): Asks<How>,
) -> Result<Response, Refusal> {
    let rate = how.false_positives.unwrap_or(FALSE_POSITIVES);
    let refuse = |message: String| Refusal::bad_request(message).with_path("false_positives");
    if !(FALSE_POSITIVES_LEAST..=FALSE_POSITIVES_MOST).contains(&rate) {
        let allowed = format!("a share from {FALSE_POSITIVES_LEAST} to {FALSE_POSITIVES_MOST}");
        return Err(refuse(allowed));
    }
    let segment = asked.view.segment(&id).ok_or_else(|| unknown_segment(&id))?;
    aside(move || {
        let at = asked.view.as_of().ok_or(NoPast::NotYet(None))?;
        let users = asked.view.all_users_at(&segment, at)?;
        let length = bytes(users.len(), rate);
        if length > BYTES_MAX {
            let message = format!(
                "{} users need {:.0} MB at that rate, more than the {:.0} MB there may be",
                users.len(),
                length / 1e6,
                BYTES_MAX / 1e6
            );
            return Err(refuse(message).with_hint("ask for more false positives"));
        }
        let filter = membership(users.iter().map(|it| &**it), rate).map_err(refuse)?;
        let headers = [
            (CONTENT_TYPE, "application/octet-stream".to_owned()),
            (USERS, users.len().to_string()),
            (AS_OF, at.to_string()),
            (RATE, rate.to_string()),
        ];
        Ok((headers, filter).into_response())
    })
    .await
}

//! Records that had no effect, and why: the last of them.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Asked;
use super::extract::{Asks, limit};
use crate::serve::Refusal;

/// How many.
#[derive(Deserialize)]
pub(super) struct Which {
    limit: Option<usize>,
}

/// `GET /v1/late`: those that came too late.
pub(super) async fn late(
    State(asked): State<Asked>,
    Asks(which): Asks<Which>,
) -> Result<Json<Value>, Refusal> {
    Ok(Json(json!({ "late": asked.view.late().newest(limit(which.limit)?) })))
}

/// `GET /v1/rejected`: those that could not be understood.
pub(super) async fn rejected(
    State(asked): State<Asked>,
    Asks(which): Asks<Which>,
) -> Result<Json<Value>, Refusal> {
    Ok(Json(json!({ "rejected": asked.view.rejected().newest(limit(which.limit)?) })))
}

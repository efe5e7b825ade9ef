//! Whether the process lives, for those that start it again: anyone may ask.

use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

/// `/healthz`: it lives, if it answers.
pub fn routes() -> Router {
    Router::new().route("/healthz", get(healthz))
}

async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

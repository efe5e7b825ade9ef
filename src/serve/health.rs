//! Whether the process lives, and whether it can be asked: for those that start it again and those
//! that send others to it. Anyone may ask.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::view::View;

/// `/healthz`: it lives, if it answers. `/readyz`: the view has all there was to be read when the
/// run began, by all of its processes; it stays ready from then on.
pub fn routes(view: &Arc<View>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(Arc::clone(view))
}

async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

async fn readyz(State(view): State<Arc<View>>) -> (StatusCode, Json<Value>) {
    let (status, word) = match view.is_ready() {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "catching_up"),
    };
    (status, Json(json!({ "status": word, "as_of": view.as_of() })))
}

//! What can be asked, as programs read it: the OpenAPI document. Anyone may read it.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;

/// The document.
pub const TEXT: &str = include_str!("openapi.json");

/// `/openapi.json`.
pub fn routes() -> Router {
    let document = || async { ([(CONTENT_TYPE, "application/json")], TEXT) };
    Router::new().route("/openapi.json", get(document))
}

//! What can be asked about users and segments, and how definitions are saved: `/v1/…`.

mod across;
mod attributes;
mod bloom;
mod definitions;
mod differences;
mod distinct;
mod estimate;
mod events;
mod explain;
mod exports;
mod extract;
mod names;
mod records;
mod segments;
mod sketches;
mod top;
mod users;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use dataflows::model::EventTime;
use dataflows::rule::Definition;
use serde_json::Value as Json;

pub use exports::{Asking, ExportFormat, Exporter, Exports};

use super::metrics::timed;
use super::view::View;
use super::view::past::NoPast;
use super::{Access, Metrics, Refusal, Scope};

/// Most users or segments that one answer lists.
pub const PAGE_MAX: usize = 10_000;
/// How many it lists unless it is said.
pub const PAGE: usize = 1_000;
/// Most users that one request may ask about.
pub const USERS_MAX: usize = 1_000;

/// Where definitions stand. All of it may take the time of a few files.
pub trait Definitions: Send + Sync {
    /// The definition of this id as it is written.
    ///
    /// # Errors
    /// It cannot be read.
    fn get(&self, id: &str) -> Result<Option<Json>, Refusal>;

    /// All versions of it, the oldest first, as they are answered.
    ///
    /// # Errors
    /// They cannot be read.
    fn versions(&self, id: &str) -> Result<Vec<Json>, Refusal>;

    /// What [`put`](Self::put) would find wrong, saving nothing. Without an id, it has its own.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check(&self, id: Option<&str>, text: &str) -> Result<(), Refusal>;

    /// What it says, and whether it would stand beside the others, without saving it; it may have
    /// no id.
    ///
    /// # Errors
    /// What is wrong with it.
    fn read(&self, text: &str) -> Result<Definition, Refusal>;

    /// Saves it, so that it will come into force.
    ///
    /// # Errors
    /// What is wrong with it.
    fn put(&self, id: &str, text: &str) -> Result<Saved, Refusal>;

    /// Deletes it, so that it will be in force no more.
    ///
    /// # Errors
    /// Why it cannot be.
    fn delete(&self, id: &str) -> Result<(), Refusal>;
}

/// A definition that has been saved.
pub struct Saved {
    /// What it is.
    pub definition: Arc<Definition>,
    /// The number of its version.
    pub version: u64,
    /// Whether there was none of its id before.
    pub is_new: bool,
}

/// What is asked.
#[derive(Clone)]
struct Asked {
    view: Arc<View>,
    definitions: Arc<dyn Definitions>,
    /// Those that are asked for, where the job says where they go.
    exports: Option<Exports>,
}

/// The routes of the API, for those who may.
pub fn routes(
    view: &Arc<View>,
    (definitions, exports): (Arc<dyn Definitions>, Option<Exports>),
    access: &Access,
    metrics: &Metrics,
) -> Router {
    let asked = Asked { view: Arc::clone(view), definitions, exports };
    let read = Router::new()
        .route("/v1/users/{id}/segments", get(users::one))
        .route("/v1/users/segments", post(users::many))
        .route("/v1/segments", get(segments::all))
        .route("/v1/segments/{id}", get(segments::one))
        .route("/v1/segments/{id}/users", get(segments::users))
        .route("/v1/segments/{id}/bloom", get(bloom::bloom))
        .route("/v1/segments/{id}/versions", get(definitions::versions))
        .route("/v1/check", post(definitions::check))
        .route("/v1/late", get(records::late))
        .route("/v1/rejected", get(records::rejected))
        .route("/v1/segments/{id}/sizes", get(across::sizes))
        .route("/v1/overlap", get(across::overlap))
        .route("/v1/distinct", get(distinct::distinct))
        .route("/v1/top", get(top::top))
        .route("/v1/names", get(names::names))
        .route("/v1/exports/{id}", get(exports::one))
        .route_layer(from_fn_with_state(metrics.clone(), timed))
        .route("/v1/diffs", get(differences::stream))
        .route("/v1/estimate", post(estimate::estimate))
        .route("/v1/explain", get(explain::explain))
        .route("/v1/users/{id}/events", get(events::events))
        .route("/v1/users/{id}/attributes", get(attributes::attributes))
        .with_state(asked.clone());
    let change = Router::new()
        .route(
            "/v1/segments/{id}",
            axum::routing::put(definitions::put).delete(definitions::delete),
        )
        .route("/v1/exports", post(exports::begin))
        .with_state(asked);
    access.guard(Scope::Read, read).merge(access.guard(Scope::Definitions, change))
}

impl From<NoPast> for Refusal {
    fn from(no_past: NoPast) -> Self {
        match no_past {
            NoPast::NotYet(as_of) => {
                let known = as_of.map_or("nothing is known yet".to_owned(), |time| {
                    format!("all is known up to {time}")
                });
                let message = format!("that time has not come: {known}");
                Refusal::new(StatusCode::CONFLICT, "not_yet", message)
                    .with_hint("ask again later, or leave the time out to ask about now")
            }
            NoPast::Gone(from) => {
                let message = "what has changed since that time is retained no longer";
                Refusal::new(StatusCode::GONE, "gone", message)
                    .with_hint(format!("the earliest time there is: {from}"))
            }
        }
    }
}

fn unknown_segment(id: &str) -> Refusal {
    let message = format!("there is no segment {id:?}");
    Refusal::new(StatusCode::NOT_FOUND, "unknown_segment", message)
        .with_hint("GET /v1/segments lists those there are")
}

/// Does what may take a while where nobody else waits for it.
async fn aside<T: Send + 'static>(
    what: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(what).await.unwrap_or_else(|_| {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Err(Refusal::new(status, "internal", "this request has met a fault of the program"))
    })
}

/// A time as it is answered.
fn time(time: Option<EventTime>) -> Json {
    time.map_or(Json::Null, Json::from)
}

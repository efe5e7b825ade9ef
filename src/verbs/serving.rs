//! The server of a running job: its parts, put together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::StatusCode;
use dataflows::catalog::Refusal as Refused;
use dataflows::rule::Definition;
use serde_json::{Value as Json, json};

use super::exporting::exports;
use super::what::Subject;
use super::{collecting, say};
use crate::args::Run;
use crate::definitions::{Store, StoreError};
use crate::serve::api::{Definitions, Exports, Saved};
use crate::serve::view::View;
use crate::serve::{
    Access, Fault, Refusal, Scope, ServeError, Server, Settings, api, console, health, openapi,
};
use crate::source::http::{Collector, OPENAPI};

/// A job that answers, until this is dropped.
pub(super) struct Serving {
    view: Arc<View>,
    _server: Server,
}

impl Serving {
    /// What the run tells who is in what.
    pub(super) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view)
    }
}

impl Drop for Serving {
    /// Those who follow what changes are told first that nothing will.
    fn drop(&mut self) {
        self.view.end();
    }
}

/// Begins to answer, where the job says so: in the first process, where all comes together. What is
/// saved there is read at once.
pub(super) fn serving(
    arguments: &Run,
    subject: &Subject,
    read_now: &Arc<AtomicBool>,
    collector: Option<&Collector>,
) -> Result<Option<Serving>, ServeError> {
    let is_first = arguments.workers.process.unwrap_or(0) == 0;
    let Some(settings) = subject.serve.as_ref().filter(|_| is_first) else { return Ok(None) };
    let view = View::new(settings.differences);
    let view = Arc::new(view.with_sketches(settings.sketches.as_ref(), subject.clock.emit));
    let files = Files {
        store: Store::new(&subject.segments),
        read_now: Arc::clone(read_now),
        are_fixed: subject.has_changes,
    };
    let parts: &[_] = if collector.is_some() { &[OPENAPI] } else { &[] };
    let asked = settings
        .exports
        .clone()
        .map(|folder| exports(folder, &subject.name, &view, Store::new(&subject.segments)));
    let mut routes = routes(settings, &view, (files, asked)).merge(openapi::routes(parts));
    if let Some(collector) = collector {
        routes = routes.merge(collecting::routes(collector, settings));
        view.metrics().add(|registry| collector.measure(registry));
    }
    let server = Server::start(settings, routes, view.metrics())?;
    say(format_args!("listening on {}", server.url()));
    Ok(Some(Serving { view, _server: server }))
}

/// What is answered of the run. Every part guards its own routes.
fn routes(
    settings: &Settings,
    view: &Arc<View>,
    (files, exports): (Files, Option<Exports>),
) -> Router {
    let access = Access::new(&settings.tokens);
    let metrics = view.metrics();
    Router::new()
        .merge(health::routes(view))
        .merge(console::routes())
        .merge(access.guard(Scope::Read, metrics.routes()))
        .merge(api::routes(view, (Arc::new(files), exports), &access, metrics))
}

/// The files of the definitions, which the run watches.
struct Files {
    store: Store,
    read_now: Arc<AtomicBool>,
    /// Whether all changes are known in advance, so that none can be made.
    are_fixed: bool,
}

impl Files {
    fn change<T>(&self, done: impl FnOnce() -> Result<T, StoreError>) -> Result<T, Refusal> {
        if self.are_fixed {
            let message = "the job has a file of changes: its definitions change by that only";
            return Err(Refusal::new(StatusCode::CONFLICT, "fixed", message));
        }
        let done = done().map_err(refusal)?;
        self.read_now.store(true, Ordering::Release);
        Ok(done)
    }
}

impl Definitions for Files {
    fn get(&self, id: &str) -> Result<Option<Json>, Refusal> {
        self.store.get(id).map_err(refusal)
    }

    fn versions(&self, id: &str) -> Result<Vec<Json>, Refusal> {
        let versions = self.store.versions(id).map_err(refusal)?;
        Ok(versions.into_iter().map(|version| json!(version)).collect())
    }

    fn check(&self, id: Option<&str>, text: &str) -> Result<(), Refusal> {
        self.store.check(id, text).map_err(refusal)
    }

    fn read(&self, text: &str) -> Result<Definition, Refusal> {
        self.store.read(text).map_err(refusal)
    }

    fn put(&self, id: &str, text: &str) -> Result<Saved, Refusal> {
        let saved = self.change(|| self.store.put(id, text))?;
        let (definition, version) = (saved.definition, saved.version);
        Ok(Saved { definition, version, is_new: saved.is_new })
    }

    fn delete(&self, id: &str) -> Result<(), Refusal> {
        self.change(|| self.store.delete(id))
    }
}

/// What is wrong with a definition, as it is answered.
fn refusal(error: StoreError) -> Refusal {
    let message = error.to_string();
    match error {
        StoreError::Faults(faults) => {
            let first = faults.first().map_or(message, ToString::to_string);
            let fault = |it: dataflows::rule::reader::Fault| Fault {
                path: it.node,
                found: it.found,
                allowed: it.allowed,
                hint: it.hint,
            };
            Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "wrong_definition", first)
                .with_faults(faults.into_iter().map(fault).collect())
        }
        StoreError::Refused(refused @ Refused::Unknown { .. }) => {
            Refusal::new(StatusCode::NOT_FOUND, "unknown_segment", refused.to_string())
        }
        StoreError::Refused(refused @ Refused::Referenced { .. }) => {
            Refusal::new(StatusCode::CONFLICT, "referenced", refused.to_string())
        }
        StoreError::Refused(refused) => {
            Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", refused.to_string())
        }
        StoreError::Standing(problems) => {
            let hint = "mend it there first: all definitions are read together";
            Refusal::new(StatusCode::CONFLICT, "standing_definitions", problems.to_string())
                .with_hint(hint)
        }
        StoreError::File { .. } => {
            Refusal::new(StatusCode::INSUFFICIENT_STORAGE, "cannot_write", message)
        }
    }
}

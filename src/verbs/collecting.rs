//! The collector of a running job: opened, and its routes for those who may send.

use std::sync::Arc;

use axum::Router;

use super::what::Subject;
use crate::args::Run;
use crate::serve::{Access, Scope, Settings};
use crate::source::http::{Bearer, Collector, LogFault};

/// Opens the collector, if the job has one: in the first process, where all comes together.
pub(super) fn collector(arguments: &Run, subject: &Subject) -> Result<Option<Collector>, LogFault> {
    let is_first = arguments.workers.process.unwrap_or(0) == 0;
    subject.collector.as_ref().filter(|_| is_first).map(Collector::open).transpose()
}

/// Its routes. Besides those who have a write key, bearers of tokens may send that are good for it.
pub(super) fn routes(collector: &Collector, settings: &Settings) -> Router {
    let access = Access::new(&settings.tokens);
    let may = move |token: &str| access.check(token.as_bytes(), Scope::Ingest).is_ok();
    let bearer = (!settings.tokens.is_empty()).then(|| Arc::new(may) as Bearer);
    collector.router(bearer, settings.tls.is_some())
}

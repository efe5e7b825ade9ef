//! The server of a running job: its parts, put together.

use std::sync::Arc;

use axum::Router;

use super::say;
use super::what::Subject;
use crate::args::Run;
use crate::serve::{Access, Scope, ServeError, Server, Settings, health};
use crate::source::http::{Bearer, Collector};

/// Begins to answer, where the job says so: in the first process, where all comes together.
pub(super) fn serving(
    arguments: &Run,
    subject: &Subject,
    collector: Option<&Collector>,
) -> Result<Option<Server>, ServeError> {
    let is_first = arguments.workers.process.unwrap_or(0) == 0;
    let Some(settings) = subject.serve.as_ref().filter(|_| is_first) else { return Ok(None) };
    let server = Server::start(settings, routes(settings, collector))?;
    say(format_args!("listening on {}", server.url()));
    Ok(Some(server))
}

/// All that is answered. Every part guards its own routes.
fn routes(settings: &Settings, collector: Option<&Collector>) -> Router {
    let access = Access::new(&settings.tokens);
    let mut routes = Router::new().merge(health::routes());
    if let Some(collector) = collector {
        let bearer: Option<Bearer> = (!settings.tokens.is_empty()).then(|| {
            let may = move |token: &str| access.check(token.as_bytes(), Scope::Ingest).is_ok();
            Arc::new(may) as Bearer
        });
        routes = routes.merge(collector.router(bearer, settings.tls.is_some()));
    }
    routes
}

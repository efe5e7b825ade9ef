//! The server of a running job: its parts, put together.

use axum::Router;

use super::say;
use super::what::Subject;
use crate::args::Run;
use crate::serve::{Access, ServeError, Server, Settings, health};

/// Begins to answer, where the job says so: in the first process, where all comes together.
pub(super) fn serving(arguments: &Run, subject: &Subject) -> Result<Option<Server>, ServeError> {
    let is_first = arguments.workers.process.unwrap_or(0) == 0;
    let Some(settings) = subject.serve.as_ref().filter(|_| is_first) else { return Ok(None) };
    let server = Server::start(settings, routes(settings))?;
    say(format_args!("listening on {}", server.url()));
    Ok(Some(server))
}

/// All that is answered. Every part guards its own routes.
fn routes(settings: &Settings) -> Router {
    let _access = Access::new(&settings.tokens);
    Router::new().merge(health::routes())
}

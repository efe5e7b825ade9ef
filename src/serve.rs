//! The server of a running job: HTTP over loopback or TLS, on threads of its own.
//!
//! What it answers is a [`Router`] that is put together elsewhere, from parts that do not know one
//! another. Here is what all of them share: who may do what ([`Access`]), the shape of what is
//! refused ([`Refusal`]), and that no client harms another or the job:
//!
//! | what | at most | beyond it |
//! |---|---|---|
//! | connections at a time | [`Settings::connections`] | 503, `Retry-After`, closed |
//! | of one address | [`Settings::connections_per_address`] | the same |
//! | TLS handshake, headers of a request, wait for the next one | [`HEADERS_TIME`] | closed |
//! | headers | [`HEADERS_MAX`], together [`HEADERS_BYTES`] | 431 |
//! | body | [`BODY_BYTES`], unless a route says otherwise | 413 |
//! | request, to the head of its answer | [`REQUEST_TIME`] | 408 |
//! | an answer its client does not take | [`WRITE_TIME`] | closed |

mod access;
pub mod api;
mod connections;
pub mod console;
pub mod health;
pub mod metrics;
pub mod openapi;
mod questions;
mod refusal;
mod room;
pub mod sample;
mod settings;
mod tls;
pub mod view;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use thiserror::Error;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

pub use access::{Access, Denied};
pub use metrics::Metrics;
pub use questions::Questions;
pub use refusal::{Fault, Refusal};
pub use settings::{Scope, Settings, Sketches, Tls, Token};

/// How long a client may take to shake hands, to send the headers of a request, or to begin the
/// next one.
pub const HEADERS_TIME: Duration = Duration::from_secs(10);
/// How many headers a request may have.
pub const HEADERS_MAX: usize = 64;
/// How long the headers of a request may be together, in bytes.
pub const HEADERS_BYTES: usize = 32 * 1024;
/// How long the body of a request may be, in bytes, unless its route says otherwise.
pub const BODY_BYTES: usize = 1024 * 1024;
/// How long a request may take, its body included, until its answer begins.
pub const REQUEST_TIME: Duration = Duration::from_secs(30);
/// How long an answer may find no room to go on.
pub const WRITE_TIME: Duration = Duration::from_secs(20);

/// Threads that answer.
const THREADS: usize = 2;
/// How long those that are being answered have when the server ends.
const GRACE: Duration = Duration::from_secs(5);

/// What keeps a job from being served.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: check serve.listen, and that no one else listens there")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// Its threads cannot be started.
    #[error("cannot start the threads of the server")]
    Threads(#[source] io::Error),
    /// A certificate or key cannot be used.
    #[error("cannot use {}: {reason}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// A server that answers until it is dropped.
pub struct Server {
    address: SocketAddr,
    is_encrypted: bool,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Begins to answer by these routes, and counts who asks.
    ///
    /// # Errors
    /// The address cannot be listened on, or the certificate is of no use.
    pub fn start(
        settings: &Settings,
        routes: Router,
        metrics: &Metrics,
    ) -> Result<Self, ServeError> {
        let listen = |cause| ServeError::Listen { address: settings.listen, cause };
        let tls = settings.tls.as_ref().map(tls::acceptor).transpose()?;
        let is_encrypted = tls.is_some();
        let listener = TcpListener::bind(settings.listen).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let runtime = runtime().map_err(ServeError::Threads)?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(listen)?
        };
        let (stop, is_stopped) = watch::channel(false);
        let serving = connections::Serving {
            listener,
            tls,
            routes: limited(routes),
            room: room::Room::new(settings.connections, settings.connections_per_address),
            metrics: metrics.clone(),
        };
        let thread = std::thread::Builder::new().name("serve".to_owned()).spawn(move || {
            runtime.block_on(serving.serve(is_stopped, GRACE));
            runtime.shutdown_background();
        });
        let thread = thread.map_err(ServeError::Threads)?;
        Ok(Server { address, is_encrypted, stop, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it answers, as clients are told.
    pub fn url(&self) -> String {
        let scheme = if self.is_encrypted { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }
}

impl Drop for Server {
    /// Takes no more, and waits a while for those that are being answered.
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        // One that has panicked was told of already.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(THREADS).thread_name("serve").enable_all().build()
}

/// Routes with what holds for all of them.
fn limited(routes: Router) -> Router {
    let unknown = || async {
        let refusal = Refusal::new(StatusCode::NOT_FOUND, "no_such_path", "there is no such path");
        refusal.with_hint("/openapi.json has those there are")
    };
    let other_method = || async {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        let refusal = Refusal::new(status, "method_not_allowed", "not by this method");
        refusal.with_hint("the header Allow has those it can be asked by")
    };
    routes
        .fallback(unknown)
        .method_not_allowed_fallback(other_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(from_fn(in_time))
}

async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIME, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let message = format!("not done within {} s", REQUEST_TIME.as_secs());
            Refusal::new(StatusCode::REQUEST_TIMEOUT, "timeout", message).into_response()
        }
    }
}

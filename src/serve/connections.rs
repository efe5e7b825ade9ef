//! Connections: taken while there is room, each a task, all ended in the end.

use std::pin::Pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

use super::room::{Full, Room};
use super::{HEADERS_BYTES, HEADERS_MAX, HEADERS_TIME, Metrics, WRITE_TIME};

/// How long to wait where the system can take no connection: it is out of files, most of all.
const AGAIN: Duration = Duration::from_millis(50);

/// A server at work.
pub(super) struct Serving {
    pub(super) listener: TcpListener,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) routes: Router,
    /// For how many connections there is room.
    pub(super) room: Room,
    pub(super) metrics: Metrics,
}

impl Serving {
    /// Serves until it is told to stop; then those that are being answered have `grace`.
    pub(super) async fn serve(self, mut is_stopped: watch::Receiver<bool>, grace: Duration) {
        let open = GracefulShutdown::new();
        loop {
            let taken = tokio::select! {
                taken = self.listener.accept() => taken,
                _ = is_stopped.wait_for(|it| *it) => break,
            };
            let Ok((stream, peer)) = taken else {
                tokio::time::sleep(AGAIN).await;
                continue;
            };
            let place = match self.room.take(peer.ip()) {
                Ok(place) => place,
                Err(full) => {
                    self.metrics.refuse(full.word());
                    if self.tls.is_none() {
                        // What a new connection holds back is empty: this fits, or no one is there.
                        let _ = stream.try_write(full.answer().as_bytes());
                    }
                    continue;
                }
            };
            let (tls, routes, watcher) = (self.tls.clone(), self.routes.clone(), open.watcher());
            let count = self.metrics.connections.clone();
            count.inc();
            tokio::spawn(async move {
                connection(stream, tls, routes, watcher).await;
                count.dec();
                drop(place);
            });
        }
        drop(self.listener);
        let _ = timeout(grace, open.shutdown()).await;
    }
}

impl Full {
    /// As what it is counted.
    fn word(self) -> &'static str {
        match self {
            Full::All => "all",
            Full::Address => "address",
        }
    }

    /// What a client is told: nothing of its request is read.
    fn answer(self) -> String {
        let message = match self {
            Full::All => "too many connections are open",
            Full::Address => "too many connections of this address are open",
        };
        let body = format!("{{\"error\":{{\"code\":\"no_room\",\"message\":\"{message}\"}}}}\n");
        format!(
            "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
             retry-after: 1\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, routes: Router, watcher: Watcher) {
    // Answers are written whole; small ones must not wait for more.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIME));
    let stream = Box::pin(stream);
    match tls {
        None => converse(stream, routes, watcher).await,
        Some(tls) => {
            if let Ok(Ok(stream)) = timeout(HEADERS_TIME, tls.accept(stream)).await {
                converse(Box::pin(stream), routes, watcher).await;
            }
        }
    }
}

async fn converse<S>(stream: Pin<Box<S>>, routes: Router, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_TIME)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADERS_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    // What ends a connection early is its client's affair: no one is left to tell it to.
    let _ = watcher.watch(connection).await;
}

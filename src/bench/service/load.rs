//! Requests from this process to the one that is measured, on connections that are kept.
//!
//! *Open loop*: requests fall due at times fixed beforehand, evenly spaced, whether or not answers
//! come; the next connection that is free takes the one that has waited longest. Each is timed from
//! the moment it was due, so what has to wait because the server is slow is charged to the server
//! (no coordinated omission). *Closed loop*: each connection asks again once it is answered.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use hdrhistogram::Histogram;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, RETRY_AFTER};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::super::error::BenchError;
use super::pacer::Pacer;

const RESOLUTION_NS: u64 = 1_000;
const LONGEST_NS: u64 = 600_000_000_000;

/// A connection, opened again where the server has closed it.
pub(super) struct Connection<'a> {
    address: SocketAddr,
    pacer: &'a Pacer,
    sender: Option<SendRequest<Full<Bytes>>>,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// Whether it says when to come again.
    pub(super) says_when: bool,
    pub(super) body: Bytes,
}

fn wrong(what: impl std::fmt::Display) -> BenchError {
    BenchError::Measure(format!("the service under load: {what}"))
}

impl<'a> Connection<'a> {
    fn to(address: SocketAddr, pacer: &'a Pacer) -> Self {
        Connection { address, pacer, sender: None }
    }

    /// Waits a while before it asks again.
    pub(super) async fn pause(&self, pause: Duration) {
        self.pacer.until(Instant::now() + pause).await;
    }

    pub(super) async fn get(&mut self, path: &str) -> Result<Answer, BenchError> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    pub(super) async fn post(&mut self, path: &str, body: Bytes) -> Result<Answer, BenchError> {
        self.ask(Method::POST, path, body).await
    }

    async fn ask(&mut self, method: Method, path: &str, body: Bytes) -> Result<Answer, BenchError> {
        let sender = match &mut self.sender {
            Some(sender) if !sender.is_closed() => sender,
            closed => closed.insert(open(self.address).await?),
        };
        let request = Request::builder().method(method).uri(path).header(HOST, "localhost");
        let request = request.body(Full::new(body)).map_err(wrong)?;
        sender.ready().await.map_err(wrong)?;
        let (head, body) = sender.send_request(request).await.map_err(wrong)?.into_parts();
        let body = body.collect().await.map_err(wrong)?.to_bytes();
        let says_when = head.headers.contains_key(RETRY_AFTER);
        Ok(Answer { status: head.status, says_when, body })
    }
}

async fn open(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, BenchError> {
    let stream = TcpStream::connect(address).await.map_err(wrong)?;
    stream.set_nodelay(true).map_err(wrong)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(wrong)?;
    // How it ends is told to who asks.
    tokio::spawn(connection);
    Ok(sender)
}

impl Answer {
    /// Whether it was done, or is to come again later; anything else is an error.
    pub(super) fn outcome(&self) -> Result<Outcome, BenchError> {
        match self.status {
            StatusCode::OK => Ok(Outcome::Done),
            StatusCode::TOO_MANY_REQUESTS if self.says_when => Ok(Outcome::Refused),
            status => Err(wrong(format!("{status}: {}", String::from_utf8_lossy(&self.body)))),
        }
    }
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was carried out.
    Done,
    /// It may come again later.
    Refused,
}

/// How requests come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) address: SocketAddr,
    pub(super) connections: usize,
    /// How many fall due in a second.
    pub(super) per_s: f64,
    /// What is answered before is not counted.
    pub(super) warm_up: Duration,
    /// How long they are counted.
    pub(super) measured: Duration,
}

/// What came of all requests.
pub(super) struct Tally {
    /// Nanoseconds from the moment a request was due to the end of its answer.
    pub(super) latency: Histogram<u64>,
    pub(super) done: u64,
    pub(super) refused: u64,
    /// Due, and not sent before the end: they had waited so long already.
    pub(super) unsent: u64,
    /// How long it was counted.
    pub(super) lasted: Duration,
}

impl Tally {
    fn new() -> Result<Self, BenchError> {
        let latency = Histogram::new_with_bounds(RESOLUTION_NS, LONGEST_NS, 3).map_err(wrong)?;
        Ok(Tally { latency, done: 0, refused: 0, unsent: 0, lasted: Duration::ZERO })
    }

    fn count(&mut self, outcome: Outcome, took: Duration) {
        self.latency.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        match outcome {
            Outcome::Done => self.done += 1,
            Outcome::Refused => self.refused += 1,
        }
    }

    pub(super) fn ms(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1e6
    }

    /// How many were done in a second.
    pub(super) fn per_s(&self) -> f64 {
        // Where nothing was counted, it lasted no time at all.
        self.done as f64 / self.lasted.max(Duration::from_micros(1)).as_secs_f64()
    }
}

/// Sends what falls due by a plan, until that is over or `is_over`.
pub(super) fn open_loop(
    plan: Plan,
    is_over: &AtomicBool,
    work: impl AsyncFn(&mut Connection<'_>, u64) -> Result<Outcome, BenchError>,
) -> Result<Tally, BenchError> {
    let counted = ((plan.warm_up + plan.measured).as_secs_f64() * plan.per_s) as u64;
    let (next, tally) = (Cell::new(0_u64), RefCell::new(Tally::new()?));
    let due = |number: u64| Duration::from_secs_f64(number as f64 / plan.per_s);
    let end = run(async |pacer: &Pacer| {
        let began = Instant::now();
        let ends = began + plan.warm_up + plan.measured;
        let works = (0..plan.connections.max(1)).map(|_| async {
            let mut connection = Connection::to(plan.address, pacer);
            loop {
                let number = next.get();
                if number >= counted || is_over.load(Ordering::Relaxed) || Instant::now() > ends {
                    return Ok(());
                }
                next.set(number + 1);
                pacer.until(began + due(number)).await;
                let outcome = work(&mut connection, number).await?;
                let now = began.elapsed();
                if now >= plan.warm_up {
                    tally.borrow_mut().count(outcome, now.saturating_sub(due(number)));
                }
            }
        });
        let done: Result<Vec<()>, BenchError> = join_all(works).await.into_iter().collect();
        done.map(|_| began.elapsed())
    })?;
    let mut tally = tally.into_inner();
    tally.lasted = end.saturating_sub(plan.warm_up);
    for number in next.get()..counted {
        if due(number) < end {
            tally.unsent += 1;
            let waited = end.saturating_sub(due(number)).as_nanos();
            tally.latency.saturating_record(u64::try_from(waited).unwrap_or(u64::MAX));
        }
    }
    Ok(tally)
}

/// Sends so many, as fast as they are answered.
pub(super) fn closed_loop(
    address: SocketAddr,
    connections: usize,
    count: u64,
    work: impl AsyncFn(&mut Connection<'_>, u64) -> Result<Outcome, BenchError>,
) -> Result<Tally, BenchError> {
    let (next, tally) = (Cell::new(0_u64), RefCell::new(Tally::new()?));
    let lasted = run(async |pacer: &Pacer| {
        let began = Instant::now();
        let works = (0..connections.max(1)).map(|_| async {
            let mut connection = Connection::to(address, pacer);
            while next.get() < count {
                let number = next.replace(next.get() + 1);
                let sent = Instant::now();
                let outcome = work(&mut connection, number).await?;
                tally.borrow_mut().count(outcome, sent.elapsed());
            }
            Ok(())
        });
        let done: Result<Vec<()>, BenchError> = join_all(works).await.into_iter().collect();
        done.map(|_| began.elapsed())
    })?;
    let mut tally = tally.into_inner();
    tally.lasted = lasted;
    Ok(tally)
}

/// Runs it on this thread, with a pacer.
fn run<T>(what: impl AsyncFnOnce(&Pacer) -> Result<T, BenchError>) -> Result<T, BenchError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let pacer = Pacer::start().map_err(wrong)?;
    runtime.map_err(wrong)?.block_on(what(&pacer))
}

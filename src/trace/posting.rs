//! Spans on their way to a collector, by OTLP over HTTP.
//!
//! A batch is tried until it is taken, while others wait behind it; those for which there is no
//! room are dropped where they come from. That a collector cannot be reached is said once, and
//! nobody waits for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Thread;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use tokio::runtime::Runtime;

use super::span::text;
use super::{Counts, Settings, TraceError};
use crate::say::{Chain, say, warn};
use crate::threads::give_way;

/// Where traces are posted to below the address of a collector.
const PATH: &str = "v1/traces";
/// How long a collector may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How long to wait after a failure; twice as long after each further one.
const BACK_OFF: Duration = Duration::from_millis(500);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);

/// What came of a try.
enum Answer {
    /// It was taken, but for so many spans.
    Taken(usize),
    /// It may be taken another time.
    Later(String),
    /// There was no answer.
    Nothing(String),
    /// It will not be taken as it is.
    Never(String),
}

/// Posts batches to one collector.
pub(super) struct Poster {
    client: Client,
    runtime: Runtime,
    url: Url,
    resource: Resource,
    counts: Counts,
}

/// The thread that posts.
pub(super) struct Posting {
    is_ending: Arc<AtomicBool>,
    thread: Thread,
    ended: Receiver<()>,
}

impl Posting {
    pub(super) fn start(poster: Poster, batches: Receiver<Vec<Span>>) -> Self {
        let is_ending = Arc::new(AtomicBool::new(false));
        let (end, ended) = sync_channel(1);
        let ending = Arc::clone(&is_ending);
        let handle = std::thread::spawn(move || {
            give_way();
            poster.run(&batches, &ending);
            let _ = end.send(());
        });
        Posting { is_ending, thread: handle.thread().clone(), ended }
    }

    /// Lets it post what waits, for so long at most. Nothing more is given to it.
    pub(super) fn end(&self, long: Duration) {
        self.is_ending.store(true, Ordering::Release);
        self.thread.unpark();
        // The thread ends with the process, should it not be done by then.
        let _ = self.ended.recv_timeout(long);
    }
}

impl Poster {
    pub(super) fn new(settings: &Settings, counts: &Counts) -> Result<Self, TraceError> {
        let client = Client::builder()
            .user_agent(concat!("rivulet/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers(&settings.headers)?)
            .redirect(Policy::none())
            .timeout(ANSWER)
            .build()
            .map_err(|error| TraceError::Client(Chain(&error).to_string()))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| TraceError::Client(error.to_string()))?;
        let url = address(&settings.endpoint)?;
        let Settings { job, process, service_name, .. } = settings;
        let attributes = vec![
            text("service.name", service_name.clone()),
            text("service.version", env!("CARGO_PKG_VERSION").to_owned()),
            text("service.instance.id", format!("{job}/{process}")),
            text("rivulet.job", job.clone()),
        ];
        let resource = Resource { attributes, ..Resource::default() };
        Ok(Poster { client, runtime, url, resource, counts: counts.clone() })
    }

    fn run(&self, batches: &Receiver<Vec<Span>>, is_ending: &AtomicBool) {
        let mut is_down = false;
        for batch in batches {
            let many = batch.len();
            let body = self.request(batch);
            let mut wait = BACK_OFF;
            let refused = loop {
                match self.post(body.clone()) {
                    Answer::Taken(refused) => break refused.min(many),
                    Answer::Never(reason) => {
                        self.tell(&mut is_down, &reason);
                        break many;
                    }
                    Answer::Later(reason) => self.tell(&mut is_down, &reason),
                    Answer::Nothing(reason) => {
                        self.tell(&mut is_down, &reason);
                        if is_ending.load(Ordering::Acquire) {
                            return; // nobody waits for the others
                        }
                    }
                }
                wait = match pause(wait, is_ending) {
                    true => (2 * wait).min(BACK_OFF_MAX),
                    false => BACK_OFF,
                };
            };
            self.counts.leave_the_queue(many - refused, refused);
            if refused == 0 && std::mem::take(&mut is_down) {
                let all = self.counts.dropped.get();
                say(format_args!("traces are taken again; {all} spans were dropped so far"));
            }
        }
    }

    /// Says it once.
    fn tell(&self, is_down: &mut bool, reason: &str) {
        if !std::mem::replace(is_down, true) {
            let host = self.url.host_str().unwrap_or_default();
            warn(format_args!(
                "traces: {host} does not take them: {reason}. The job goes on; spans for which \
                 there is no room are dropped, and counted"
            ));
        }
    }

    fn request(&self, spans: Vec<Span>) -> Vec<u8> {
        let scope = InstrumentationScope { name: "rivulet".to_owned(), ..Default::default() };
        let scope_spans = ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() };
        let resource_spans = ResourceSpans {
            resource: Some(self.resource.clone()),
            scope_spans: vec![scope_spans],
            ..ResourceSpans::default()
        };
        ExportTraceServiceRequest { resource_spans: vec![resource_spans] }.encode_to_vec()
    }

    /// Posts a batch once.
    fn post(&self, body: Vec<u8>) -> Answer {
        let request = self.client.post(self.url.clone());
        let request = request.header("content-type", "application/x-protobuf").body(body);
        let answer = self.runtime.block_on(async {
            let response = request.send().await?;
            let status = response.status();
            Ok::<_, reqwest::Error>((status, response.bytes().await?))
        });
        match answer {
            Ok((status, body)) => judge(status, &body),
            // The address may hold a secret.
            Err(error) => Answer::Nothing(Chain(&error.without_url()).to_string()),
        }
    }
}

fn judge(status: StatusCode, body: &[u8]) -> Answer {
    if status.is_success() {
        let response = ExportTraceServiceResponse::decode(body).unwrap_or_default();
        let refused = response.partial_success.map_or(0, |it| it.rejected_spans);
        return Answer::Taken(usize::try_from(refused).unwrap_or(0));
    }
    let reason = format!("it answers {status}");
    // Those OTLP calls passing.
    match status.as_u16() {
        429 | 502..=504 => Answer::Later(reason),
        _ => Answer::Never(reason),
    }
}

/// Whether there can be a poster of these settings.
pub(super) fn check(settings: &Settings) -> Result<(), TraceError> {
    address(&settings.endpoint)?;
    headers(&settings.headers).map(drop)
}

/// Where traces are posted to.
fn address(endpoint: &str) -> Result<Url, TraceError> {
    let wrong = |reason: String| TraceError::Endpoint(reason);
    let mut url: Url = endpoint.parse().map_err(|error| wrong(format!("{error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong("it must begin with http:// or https://".to_owned()));
    }
    if !url.path().ends_with(PATH) {
        let path = format!("{}/{PATH}", url.path().trim_end_matches('/'));
        url.set_path(&path);
    }
    Ok(url)
}

fn headers(settings: &BTreeMap<String, String>) -> Result<HeaderMap, TraceError> {
    let mut headers = HeaderMap::new();
    for (name, value) in settings {
        let wrong = || TraceError::Header(name.clone());
        let key: HeaderName = name.parse().map_err(|_| wrong())?;
        let mut value: HeaderValue = value.parse().map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}

/// Lets some time pass, but that it ends when the run does; tells whether it did not.
fn pause(long: Duration, is_ending: &AtomicBool) -> bool {
    let (began, was_ending) = (Instant::now(), is_ending.load(Ordering::Acquire));
    while began.elapsed() < long {
        if is_ending.load(Ordering::Acquire) != was_ending {
            return false;
        }
        std::thread::park_timeout(long.saturating_sub(began.elapsed()));
    }
    !was_ending
}

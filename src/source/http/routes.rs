//! The paths that Segment's clients know, and what is done with what comes there.
//!
//! Pages of any origin may send: who may not is told by the write key, which pages carry for all to
//! see. Browsers put JSON into `text/plain`, so that they need not ask first; the type of a body is
//! not looked at.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, HOST};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use dataflows::model::EventTime;
use serde_json::json;
use serde_json::value::RawValue;
use tower_http::cors::{AllowHeaders, Any, CorsLayer};

use super::answer::{Refused, kept};
use super::event::{self, Came, Names};
use super::keys::WriteKeys;
use super::log::{Log, Records};
use super::turns::Turns;
use super::{BATCH_BYTES, EVENT_BYTES, body};
use crate::format::{Members, TRACEPARENT, TraceParent};
use crate::threads;

/// How many events of a batch are worked on before others may go first.
const TOGETHER: usize = 16;

/// How long browsers may remember that they need not ask.
const ASK_AGAIN: std::time::Duration = std::time::Duration::from_secs(86_400);

/// The last part of a path, and of which type its events are; those of a batch say it themselves.
const PATHS: &[(&[&str], Option<&str>)] = &[
    (&["track", "t"], Some("track")),
    (&["identify", "i"], Some("identify")),
    (&["page", "p"], Some("page")),
    (&["screen", "s"], Some("screen")),
    (&["group", "g"], Some("group")),
    (&["alias", "a"], Some("alias")),
    (&["batch", "b", "import"], None),
];

/// Tells whether the bearer of a token may send.
pub type Bearer = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What all requests share.
pub(super) struct Collects {
    pub(super) log: Arc<Log>,
    pub(super) keys: WriteKeys,
    pub(super) bearer: Option<Bearer>,
    pub(super) is_encrypted: bool,
    pub(super) names: Names,
    pub(super) turns: Arc<Turns>,
}

/// All paths.
pub(super) fn router(collects: Collects) -> Router {
    let mut router = Router::new();
    for (names, kind) in PATHS {
        for name in *names {
            let send = move |State(to): State<Arc<Collects>>, headers: HeaderMap, body: Body| async move {
                match to.take(*kind, headers, body).await {
                    Ok(()) => kept(),
                    Err(refused) => {
                        to.log.counted().refuse(refused.reason);
                        refused.into_response()
                    }
                }
            };
            router = router.route(&format!("/v1/{name}"), post(send).options(asked));
        }
    }
    let pages = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .max_age(ASK_AGAIN);
    router
        .route("/v1/projects/{key}/settings", get(settings).options(asked))
        // How fast the client itself is, which no one asked.
        .route("/v1/m", post(async || kept()).options(asked))
        .layer(pages)
        .with_state(Arc::new(collects))
}

/// A page that asks whether it may send was answered by the layer around it.
async fn asked() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// What analytics-next asks of the CDN before it begins: here is where to send.
async fn settings(
    State(to): State<Arc<Collects>>,
    Path(key): Path<String>,
    headers: HeaderMap,
) -> Response {
    if !to.admits(&headers, Some(&key)) {
        return Refused::unknown_key().into_response();
    }
    let text = |name: &str| headers.get(name).and_then(|it| it.to_str().ok());
    let host = text("x-forwarded-host").or(text(HOST.as_str())).unwrap_or_default();
    let protocol = match text("x-forwarded-proto") {
        Some(protocol @ ("http" | "https")) => protocol,
        _ if to.is_encrypted => "https",
        _ => "http",
    };
    let to = json!({ "apiKey": key, "apiHost": format!("{host}/v1"), "protocol": protocol });
    let settings = json!({
        "integrations": { "Segment.io": to },
        "plan": { "track": { "__default": { "enabled": true, "integrations": {} } } },
        "edgeFunction": {},
        "metrics": { "sampleRate": 0 },
    });
    ([(CACHE_CONTROL, "no-store")], Json(settings)).into_response()
}

impl Collects {
    /// Takes what a request holds. It is on disk for good when this is done.
    async fn take(
        self: &Arc<Self>,
        kind: Option<&'static str>,
        headers: HeaderMap,
        body: Body,
    ) -> Result<(), Refused> {
        let most = if kind.is_some() { EVENT_BYTES } else { BATCH_BYTES };
        let packet = body::read(&headers, body, most).await?;
        let (own, received) = (Arc::clone(self), now());
        let bytes = packet.len();
        let records =
            self.turns.take(bytes, move || own.records(kind, &headers, packet, received)).await??;
        self.log.append(records).await?;
        self.log.counted().take();
        Ok(())
    }

    /// The records of a request, if it is one of those who may send.
    fn records(
        &self,
        kind: Option<&str>,
        headers: &HeaderMap,
        packet: body::Packet,
        received: EventTime,
    ) -> Result<Records, Refused> {
        let text = packet.text()?;
        let members = Members::of(&text).map_err(Refused::bad)?;
        let key = members.last("writeKey").and_then(|raw| serde_json::from_str(raw.get()).ok());
        if !self.admits(headers, key) {
            return Err(Refused::unknown_key());
        }
        match kind {
            Some(_) => self.single(&text, kind, (received, parent(headers))),
            None => self.batch(&members, (received, parent(headers))),
        }
    }

    fn single(
        &self,
        text: &str,
        kind: Option<&str>,
        (received, parent): (EventTime, Option<TraceParent>),
    ) -> Result<Records, Refused> {
        let (mut records, mut record) = (Records::new(), Vec::with_capacity(text.len() + 256));
        let came = Came { received, sent: None, parent };
        event::record(text, kind, came, &self.names, &mut record).map_err(Refused::bad)?;
        records.push(&record, "");
        Ok(records)
    }

    /// All of a batch is kept: what is wrong with an event of it is told in the job's `rejected`.
    fn batch(
        &self,
        members: &Members<'_>,
        (received, parent): (EventTime, Option<TraceParent>),
    ) -> Result<Records, Refused> {
        let list = members.last("batch").map(|raw| serde_json::from_str(raw.get()));
        let Some(Ok(events)) = list else {
            return Err(Refused::bad("batch: a list of events is needed".to_owned()));
        };
        let events: Vec<&RawValue> = events;
        let sent = members.last("sentAt").and_then(|raw| event::time(raw).ok());
        let came = Came { received, sent, parent };
        let (mut records, mut record) = (Records::new(), Vec::new());
        for (number, text) in events.into_iter().map(RawValue::get).enumerate() {
            if number % TOGETHER == TOGETHER - 1 {
                threads::let_pass();
            }
            if text.len() > EVENT_BYTES {
                let bytes = text.len();
                let reason = format!("record: {bytes} bytes, an event may have {EVENT_BYTES}");
                records.push(text.as_bytes(), &reason);
                continue;
            }
            record.clear();
            match event::record(text, None, came, &self.names, &mut record) {
                Ok(()) => records.push(&record, ""),
                Err(reason) => records.push(text.as_bytes(), &reason),
            }
        }
        Ok(records)
    }

    /// Whether someone who shows this may send.
    fn admits(&self, headers: &HeaderMap, key: Option<&str>) -> bool {
        let shown = headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok()?.split_once(' '));
        let token = shown.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        if let (Some((_, token)), Some(bearer)) = (token, &self.bearer)
            && bearer(token.trim())
        {
            return true;
        }
        if self.keys.0.is_empty() && self.bearer.is_some() {
            return false;
        }
        let basic = shown.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
        let user = basic.and_then(|(_, text)| user(text.trim()));
        self.keys.admit(user.as_deref().or(key))
    }
}

/// The trace a request is a part of, if it says so once.
fn parent(headers: &HeaderMap) -> Option<TraceParent> {
    let mut said = headers.get_all(TRACEPARENT).iter();
    let (first, second) = (said.next()?, said.next());
    TraceParent::parse(first.as_bytes()).filter(|_| second.is_none())
}

/// The user of basic authentication.
fn user(text: &str) -> Option<String> {
    let bytes = STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let user = text.split_once(':').map_or(&*text, |(user, _)| user);
    (!user.is_empty()).then(|| user.to_owned())
}

fn now() -> EventTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    EventTime::try_from(since.as_millis()).unwrap_or(EventTime::MAX)
}

//! The routes, without a server around them.

use std::io::Write as _;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tower::ServiceExt as _;

use super::*;
use crate::source::Chunk;

struct Place {
    _folder: TempDir,
    collector: Collector,
}

impl Place {
    fn new(keys: &[&str], max_backlog: u64) -> Self {
        let folder = TempDir::new().unwrap();
        let keys = WriteKeys(keys.iter().map(|key| WriteKey::parse(key).unwrap()).collect());
        let settings = Settings { folder: folder.path().join("log"), keys, max_backlog };
        Place { _folder: folder, collector: Collector::open(&settings).unwrap() }
    }

    fn open() -> Self {
        Place::new(&[], u64::MAX)
    }

    fn call(&self, request: Request<Body>) -> (StatusCode, Response<()>, Json) {
        let router = self.collector.router(None, false);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (head, body) = router.oneshot(request).await.unwrap().into_parts();
            let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            let json = serde_json::from_slice(&bytes).unwrap_or(Json::Null);
            (head.status, Response::from_parts(head, ()), json)
        })
    }

    fn post(&self, path: &str, body: impl Into<Body>) -> StatusCode {
        self.call(Request::post(path).body(body.into()).unwrap()).0
    }

    /// All there is in the log: records, and why they are to be rejected.
    fn log(&self) -> Vec<(Json, Option<String>)> {
        let wake: Wake = Arc::new(|| {});
        let mut partition = LogPartition::new(self.collector.log(), None, wake).unwrap();
        let mut chunk = Chunk::default();
        partition.next_chunk(usize::MAX, &mut chunk).unwrap();
        let own = chunk.pieces().map(|line| {
            (serde_json::from_slice(line.bytes).unwrap(), line.refusal.map(str::to_owned))
        });
        own.collect()
    }
}

fn gzip(text: &str) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(text.as_bytes()).unwrap();
    packer.finish().unwrap()
}

#[test]
fn each_path_says_what_its_events_are() {
    let place = Place::open();
    let paths = ["track", "t", "identify", "page", "s", "group", "a"];
    for path in paths {
        assert_eq!(place.post(&format!("/v1/{path}"), r#"{"userId":"u"}"#), StatusCode::OK);
    }
    let batch = r#"{"batch":[{"type":"track"},{"type":"page"}],"sentAt":"2026-01-01T00:00:00Z"}"#;
    assert_eq!(place.post("/v1/batch", batch), StatusCode::OK);
    assert_eq!(place.post("/v1/b", r#"{"batch":[]}"#), StatusCode::OK);
    let kinds: Vec<_> = place.log().into_iter().map(|(record, _)| record["type"].clone()).collect();
    let all = ["track", "track", "identify", "page", "screen", "group", "alias", "track", "page"];
    assert_eq!(kinds, all);
    assert_eq!(place.log()[7].0["sentAt"], "2026-01-01T00:00:00.000Z");
    assert_eq!(place.post("/v1/other", "{}"), StatusCode::NOT_FOUND);
}

#[test]
fn what_is_too_large_or_no_json_is_a_400_as_segment_has_it() {
    let place = Place::open();
    let long = |bytes: usize| format!(r#"{{"userId":"u","x":"{}"}}"#, "x".repeat(bytes));
    assert_eq!(place.post("/v1/track", long(EVENT_BYTES)), StatusCode::BAD_REQUEST);
    assert_eq!(place.post("/v1/track", long(EVENT_BYTES - 100)), StatusCode::OK);
    let batch = |events: &[String]| format!(r#"{{"batch":[{}]}}"#, events.join(","));
    let events: Vec<_> = (0..20).map(|_| long(EVENT_BYTES - 100)).collect();
    assert_eq!(place.post("/v1/batch", batch(&events)), StatusCode::BAD_REQUEST);
    assert_eq!(place.post("/v1/batch", batch(&events[..15])), StatusCode::OK);
    for body in ["nonsense", "[1]", "", "{\"batch\":{}}", "{}", "{\"batch\":[}"] {
        assert_eq!(place.post("/v1/batch", body), StatusCode::BAD_REQUEST, "{body}");
    }
    assert_eq!(place.post("/v1/batch", vec![0xff]), StatusCode::BAD_REQUEST);
    assert_eq!(place.log().len(), 16, "nothing of what was refused");
}

#[test]
fn a_bad_event_costs_the_others_of_its_batch_nothing() {
    let place = Place::open();
    let long = format!(r#"{{"type":"track","x":"{}"}}"#, "x".repeat(EVENT_BYTES));
    let body =
        format!(r#"{{"batch":[{{"type":"page","userId":"u"}},7,{long},{{"type":"nope"}}]}}"#);
    assert_eq!(place.post("/v1/batch", body), StatusCode::OK);
    let reasons: Vec<_> = place.log().into_iter().map(|(_, reason)| reason).collect();
    assert_eq!((&reasons[0], &reasons[3]), (&None, &None), "the job's reader tells of that");
    assert!(reasons[1].as_ref().unwrap().starts_with("record: invalid type"), "{reasons:?}");
    let expected = format!("record: {} bytes, an event may have 32768", long.len());
    assert_eq!(reasons[2].as_deref(), Some(&*expected));
}

#[test]
fn packed_bodies_are_unpacked_up_to_the_bound() {
    let place = Place::open();
    let send = |body: Vec<u8>, encoding: &str| {
        let request = Request::post("/v1/batch").header("content-encoding", encoding);
        place.call(request.body(body.into()).unwrap()).0
    };
    let small = r#"{"batch":[{"type":"page","userId":"u"}]}"#;
    assert_eq!(send(gzip(small), "gzip"), StatusCode::OK);
    let bomb = format!(r#"{{"batch":[],"x":"{}"}}"#, "x".repeat(BATCH_BYTES));
    assert_eq!(send(gzip(&bomb), "gzip"), StatusCode::BAD_REQUEST);
    assert_eq!(send(small.into(), "gzip"), StatusCode::BAD_REQUEST);
    assert_eq!(send(small.into(), "identity"), StatusCode::OK);
    assert_eq!(send(small.into(), "br"), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[test]
fn only_who_has_a_key_may_send() {
    let place = Place::new(&["right"], u64::MAX);
    let send = |authorization: Option<&str>, body: &str| {
        let mut request = Request::post("/v1/page");
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        let (status, head, json) = place.call(request.body(body.to_owned().into()).unwrap());
        let asks = head.headers().contains_key("www-authenticate");
        assert_eq!(asks, status == StatusCode::UNAUTHORIZED, "{json}");
        status
    };
    assert_eq!(send(Some("Basic cmlnaHQ6"), "{}"), StatusCode::OK); // right:
    assert_eq!(send(Some("basic cmlnaHQ"), "{}"), StatusCode::OK); // right, without a colon
    assert_eq!(send(None, r#"{"writeKey":"right"}"#), StatusCode::OK);
    assert_eq!(send(None, "{}"), StatusCode::UNAUTHORIZED);
    assert_eq!(send(None, r#"{"writeKey":"wrong"}"#), StatusCode::UNAUTHORIZED);
    assert_eq!(send(Some("Basic d3Jvbmc6"), "{}"), StatusCode::UNAUTHORIZED); // wrong:
    assert_eq!(send(Some("Bearer right"), "{}"), StatusCode::UNAUTHORIZED);
    assert_eq!(place.log().len(), 3);
    let asked = |key: &str| {
        let path = format!("/v1/projects/{key}/settings");
        let request = Request::get(path).header("host", "in.example:8080");
        place.call(request.body(Body::empty()).unwrap())
    };
    assert_eq!(asked("wrong").0, StatusCode::UNAUTHORIZED);
    let to = json!({"apiKey":"right","apiHost":"in.example:8080/v1","protocol":"http"});
    assert_eq!(asked("right").2["integrations"]["Segment.io"], to);
}

#[test]
fn bearers_of_tokens_may_send_and_then_no_one_without_either() {
    let place = Place::open();
    let bearer: Bearer = Arc::new(|token| token == "good");
    let send = |authorization: &str| {
        let request = Request::post("/v1/page").header("authorization", authorization);
        let router = place.collector.router(Some(Arc::clone(&bearer)), false);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let sent = router.oneshot(request.body(Body::from("{}")).unwrap());
        runtime.block_on(sent).unwrap().status()
    };
    assert_eq!(send("Bearer good"), StatusCode::OK);
    assert_eq!(send("Bearer bad"), StatusCode::UNAUTHORIZED);
    assert_eq!(send("Basic cmlnaHQ6"), StatusCode::UNAUTHORIZED);
}

#[test]
fn pages_of_any_origin_may_ask_and_send() {
    let place = Place::open();
    let request = Request::options("/v1/t")
        .header("origin", "https://shop.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type");
    let (status, head, _) = place.call(request.body(Body::empty()).unwrap());
    let header = |name: &str| head.headers().get(name).map(|it| it.to_str().unwrap().to_owned());
    assert_eq!(status, StatusCode::OK);
    assert_eq!(header("access-control-allow-origin").as_deref(), Some("*"));
    let allowed = header("access-control-allow-headers").unwrap();
    assert_eq!(allowed, "authorization,content-type");
    assert!(header("access-control-allow-methods").unwrap().contains("POST"));
    let beacon = Request::post("/v1/p").header("origin", "https://shop.example");
    let beacon = beacon.header("content-type", "text/plain;charset=UTF-8");
    let (status, head, _) = place.call(beacon.body(r#"{"userId":"u"}"#.into()).unwrap());
    assert_eq!(status, StatusCode::OK);
    assert!(head.headers().contains_key("access-control-allow-origin"));
}

#[test]
fn what_cannot_be_read_in_time_is_to_come_again() {
    let place = Place::open();
    let (log, turns) = (Arc::clone(&place.collector.log), Arc::new(Turns::of(1, 100).unwrap()));
    let own = Arc::clone(&turns);
    let (bearer, names) = (None, Names::new());
    let keys = WriteKeys::default();
    let collects = Collects { log, keys, bearer, is_encrypted: false, names, turns };
    let router = routes::router(collects);
    let post = |body: String| {
        let request = Request::post("/v1/p").body(Body::from(body)).unwrap();
        router.clone().oneshot(request)
    };
    let body = r#"{"userId":"u"}"#;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // While another one has its turn, six of these fit into a hundred bytes.
    let (go, wait) = std::sync::mpsc::sync_channel(1);
    let all = (0..20).map(|_| post(body.to_owned()));
    let all = runtime.block_on(async {
        let first = tokio::spawn(async move { own.take(10, move || wait.recv()).await });
        tokio::task::yield_now().await;
        let go = async { go.send(()).unwrap() };
        let (all, ()) = tokio::join!(futures_util::future::join_all(all), go);
        first.await.unwrap().unwrap().unwrap();
        all
    });
    let statuses: Vec<_> = all.iter().flatten().map(Response::status).collect();
    let of = |status| statuses.iter().filter(|it| **it == status).count();
    assert_eq!((of(StatusCode::OK), of(StatusCode::TOO_MANY_REQUESTS)), (6, 14));
    let refused = all.iter().flatten().find(|it| it.status() != StatusCode::OK).unwrap();
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(place.log().len(), 6);
    let longer = format!(r#"{{"userId":"u","x":"{}"}}"#, "x".repeat(1_000));
    let alone = runtime.block_on(post(longer)).unwrap();
    assert_eq!(alone.status(), StatusCode::OK, "one alone is taken, however long");
}

#[test]
fn what_is_too_much_is_to_come_again() {
    let place = Place::new(&[], 100);
    let body = r#"{"userId":"u"}"#;
    assert_eq!(place.post("/v1/p", body), StatusCode::OK);
    let (status, head, json) = place.call(Request::post("/v1/p").body(body.into()).unwrap());
    assert_eq!((status, &json["code"]), (StatusCode::TOO_MANY_REQUESTS, &json!("try_again")));
    assert_eq!(head.headers()["retry-after"], "5");
    assert_eq!(place.log().len(), 1);
    assert_eq!(place.post("/v1/p", body), StatusCode::OK, "once that is read");
}

//! Webhooks: signed batches, each with one identifier whatever happens.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value as Json;
use standardwebhooks::Webhook;

use crate::common::{DEADLINE, Place, eventually};
use crate::live::{Fed, clickstream};
use crate::{job, killed_often};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A receiver that keeps what it takes, once by identifier, and refuses as it is told.
struct Receiver {
    address: String,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// Each batch that was taken, in the order in which it was taken first.
    taken: Vec<(String, String)>,
    known: BTreeMap<String, String>,
    /// How often anything was posted.
    posts: usize,
    /// What the next posts are answered with, before any is taken.
    answers: VecDeque<(u16, Option<&'static str>)>,
    headers: Vec<HeaderMap>,
}

impl Receiver {
    fn new() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let inner: Arc<Mutex<Inner>> = Arc::default();
        let shared = Arc::clone(&inner);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    let inner = Arc::clone(&shared);
                    let serve = service_fn(move |request| take(request, Arc::clone(&inner)));
                    let connection = hyper::server::conn::http1::Builder::new();
                    tokio::spawn(connection.serve_connection(TokioIo::new(stream), serve));
                }
            });
        });
        Receiver { address, inner }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    fn answer(&self, answers: impl IntoIterator<Item = (u16, Option<&'static str>)>) {
        self.inner().answers.extend(answers);
    }

    fn sink(&self, more: &str) -> String {
        let url = format!("http://{}/hook?token=hunter2", self.address);
        format!(
            "[[sink]]\nkind = \"webhook\"\nurl = {url:?}\nsecret = {SECRET:?}\npath = \"hooks\"\n{more}\n"
        )
    }

    /// All differences that were taken, in order, as lines of JSON.
    fn differences(&self) -> Vec<String> {
        let inner = self.inner();
        let mut lines = Vec::new();
        for (_, body) in &inner.taken {
            let json: Json = serde_json::from_str(body).unwrap();
            assert_eq!((&json["type"], &json["job"]), (&"differences".into(), &"job".into()));
            let data = json["data"].as_array().unwrap();
            assert!(!data.is_empty());
            lines.extend(data.iter().map(|it| {
                let (time, diff) = (&it["time"], &it["diff"]);
                let (segment, user) = (&it["segment"], &it["user"]);
                format!(r#"{{"time":{time},"segment":{segment},"user":{user},"diff":{diff}}}"#)
            }));
        }
        lines
    }
}

async fn take(
    request: Request<Incoming>,
    inner: Arc<Mutex<Inner>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let webhook = Webhook::new(SECRET).unwrap();
    webhook.verify(&body, &head.headers).expect("it is signed");
    let id = head.headers["webhook-id"].to_str().unwrap().to_owned();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let mut inner = inner.lock().unwrap();
    inner.posts += 1;
    inner.headers.push(head.headers);
    let (status, after) = inner.answers.pop_front().unwrap_or((204, None));
    if status < 300 {
        match inner.known.get(&id) {
            Some(known) => assert_eq!(*known, body, "one identifier, one content"),
            None => {
                inner.known.insert(id.clone(), body.clone());
                inner.taken.push((id, body));
            }
        }
    }
    let response = Response::builder().status(status);
    let response = after.into_iter().fold(response, |it, after| it.header("retry-after", after));
    Ok(response.body(Full::default()).unwrap())
}

#[test]
fn a_receiver_takes_the_differences_of_a_replay_in_signed_batches() {
    let (receiver, place) = (Receiver::new(), Place::new());
    let expected = clickstream(&place, 2_000);
    let more = "batch = 7\nlinger = \"1ms\"\nheaders = { authorization = \"Bearer hunter2\" }";
    let some = "name = \"some\"\nsegments = [\"looking\"]";
    let other = Receiver::new();
    job(&place, None, &[receiver.sink(more), other.sink(some)]);
    place.run("replay --job job.toml").fine();
    assert_eq!(receiver.differences(), expected);
    assert_eq!(receiver.inner().headers[0]["authorization"], "Bearer hunter2");
    let sizes = receiver.inner().taken.len();
    assert!(sizes >= expected.len() / 7, "{sizes}");
    let of_some = |line: &&String| line.contains("\"looking\"");
    assert_eq!(other.differences(), expected.iter().filter(of_some).cloned().collect::<Vec<_>>());
    // The same again has nothing to give.
    place.run("replay --job job.toml").fine();
    assert_eq!(receiver.inner().posts, sizes);
}

#[test]
fn killed_again_and_again_it_posts_every_batch_by_one_identifier() {
    let (receiver, place) = (Receiver::new(), Place::new());
    let expected = clickstream(&place, 4_000);
    for interval in [Some("20ms"), None] {
        receiver.inner().taken.clear();
        receiver.inner().known.clear();
        let _ = std::fs::remove_dir_all(place.path("hooks"));
        job(&place, interval, &[receiver.sink("batch = 20\nlinger = \"0ms\"")]);
        killed_often(&place, || i64::try_from(receiver.inner().taken.len()).ok());
        assert_eq!(receiver.differences(), expected);
    }
}

#[test]
fn a_receiver_that_is_away_or_busy_gets_everything_later() {
    let (receiver, place) = (Receiver::new(), Place::new());
    let expected = clickstream(&place, 1_000);
    job(&place, None, &[receiver.sink("batch = 500")]);
    receiver.answer([(503, None), (429, Some("1")), (500, None), (408, None)]);
    place.run("replay --job job.toml").fine();
    assert_eq!(receiver.differences(), expected);
    // What was taken, but not acknowledged, is posted again and known by its identifier.
    assert!(receiver.inner().posts > 4);
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let away = nowhere.local_addr().unwrap().to_string();
    drop(nowhere);
    let sink = receiver.sink("name = \"away\"").replace(&receiver.address, &away);
    job(&place, None, &[sink]);
    let mut fed = Fed::start(&place, "replay --job job.toml");
    fed.feed(usize::MAX);
    let said = fed.live.says("nothing is lost");
    assert!(said.contains(&away) && !said.contains("hunter"), "{said}");
    fed.live.kill();
}

#[test]
fn what_is_not_taken_is_a_dead_letter_until_it_is_delivered() {
    let (receiver, place) = (Receiver::new(), Place::new());
    let expected = clickstream(&place, 1_000);
    job(&place, None, &[receiver.sink("batch = 100\nattempts = 2")]);
    receiver.answer([(410, None), (500, None), (503, None), (302, None)]);
    let done = place.run("replay --job job.toml").fine();
    assert!(done.stderr.contains("410 Gone") && done.stderr.contains("redeliver"), "{done:?}");
    assert!(!done.stderr.contains("hunter"), "{done:?}");
    let dead = place.json_lines("hooks/webhook.dead.jsonl");
    let reasons: Vec<_> =
        dead.iter().map(|it| (it["status"].clone(), it["tries"].clone())).collect();
    assert_eq!(reasons, [(410, 1), (503, 2), (302, 1)].map(|(a, b)| (a.into(), b.into())));
    assert!(receiver.differences().len() < expected.len());
    receiver.answer([(200, None), (418, None)]);
    place.run("redeliver job.toml").refused_with(&["1 of 3 batches were not taken", "dead.jsonl"]);
    assert_eq!(place.json_lines("hooks/webhook.dead.jsonl")[0]["tries"], 3);
    place.run("redeliver job.toml --sink webhook").fine();
    let mut taken = receiver.differences();
    let mut all = expected;
    taken.sort();
    all.sort();
    assert_eq!(taken, all);
    let done = place.run("redeliver job.toml").fine();
    assert!(done.stderr.contains("no dead letters"), "{done:?}");
}

#[test]
fn what_is_wrong_is_told_with_the_remedy_and_without_the_secret() {
    let (receiver, place) = (Receiver::new(), Place::new());
    place.write("whole.jsonl", place.text("events.jsonl"));
    let refused = |sink: &str, parts: &[&str]| {
        job(&place, None, &[sink.to_owned()]);
        for verb in ["check --job job.toml", "replay --job job.toml"] {
            let said = place.run(verb).refused();
            parts.iter().for_each(|part| assert!(said.contains(part), "{part:?} in {said:?}"));
            assert!(!said.contains("hunter") && !said.contains("MfKQ"), "{said}");
        }
    };
    let sink = receiver.sink("");
    refused(&sink.replace("whsec_MfKQ", "MfKQ"), &["secret", "openssl rand"]);
    refused(&sink.replace("http://", "ftp://"), &["not an address", "https://"]);
    refused(&sink.replace("path = \"hooks\"\n", ""), &["sink[0].path", "state"]);
    refused(&receiver.sink("headers = { \"web hook\" = \"hunter3\" }"), &["web hook"]);
    refused(&receiver.sink("batch = 0"), &["batch", "from 1 to 10000"]);
    refused(&format!("{sink}{sink}"), &["sink[1].name", "called \"webhook\" already"]);
    place.write("hooks/webhook.json", "{}");
    job(&place, None, std::slice::from_ref(&sink));
    place.run("replay --job job.toml").refused_with(&["webhook.json", "damaged"]);
}

#[test]
fn two_processes_do_not_post_the_same() {
    let (receiver, place) = (Receiver::new(), Place::new());
    clickstream(&place, 1_000);
    job(&place, None, &[receiver.sink("")]);
    let fed = Fed::start(&place, "replay --job job.toml");
    eventually("it has its files", || place.path("hooks/webhook.lock").exists());
    let began = std::time::Instant::now();
    loop {
        let other = place.run("replay --job job.toml");
        if other.stderr.contains("in use by another process") {
            break;
        }
        assert!(began.elapsed() < DEADLINE, "{other:?}");
    }
    drop(fed);
}

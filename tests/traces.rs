//! Traces of a running job, as a collector that reads them by OpenTelemetry's own definitions takes
//! them: what is told of a record, of which records, and what a collector that fails costs.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

#[path = "serve/client.rs"]
#[expect(dead_code, reason = "a part of it is used here")]
mod client;
mod common;
#[path = "common/kafka.rs"]
mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value as Json;

use client::{JOB, SEGMENTS, Served, sets};
use common::{Lines, Place, Running, counts, eventually, hosts};

/// A collector, which prints what comes.
struct Collector {
    _running: Running,
    lines: Lines,
    port: u16,
}

impl Collector {
    /// One that is overloaded for so many requests.
    fn start(refusals: u32) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        let mut command = Command::new(folder.join("common/pypi.sh"));
        let made = command.args(["opentelemetry-proto", "1.45.2"]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let programs = String::from_utf8(made.stdout).unwrap();
        let mut python = Command::new(Path::new(programs.trim()).join("python"));
        python.arg(folder.join("traces/collector.py")).arg(refusals.to_string());
        let mut running = Running::start(python.stdout(Stdio::piped()));
        let lines = Lines::of(running.child.stdout.take().unwrap());
        let port = lines.next().parse().unwrap();
        Collector { _running: running, lines, port }
    }

    /// The requests that came so far.
    fn requests(&self) -> Vec<Json> {
        let lines = std::iter::from_fn(|| self.lines.now());
        lines.map(|line| serde_json::from_str(&line).unwrap()).collect()
    }

    /// The spans that came so far, by trace.
    fn traces(&self) -> BTreeMap<String, Vec<Json>> {
        let mut traces: BTreeMap<String, Vec<Json>> = BTreeMap::new();
        for request in self.requests() {
            for span in request["spans"].as_array().unwrap() {
                let trace = span["trace"].as_str().unwrap().to_owned();
                traces.entry(trace).or_default().push(span.clone());
            }
        }
        traces
    }
}

/// A folder with a job that reads these files and traces.
fn place(files: &str, port: u16, more: &str) -> Place {
    let place = Place::new();
    place.write(
        "job.toml",
        format!(
            "name = \"shop\"\nsegments = \"segments.json\"\n[[source]]\nkind = \"file\"\n\
             path = [{files}]\n[[sink]]\nkind = \"file\"\npath = \"differences\"\n\
             [[export]]\nof = \"differences\"\nto = \"out\"\nsegments = [\"pro\"]\n\
             [trace]\nendpoint = \"http://127.0.0.1:{port}\"\n{more}\n"
        ),
    );
    place
}

const RUN: &str = "run job.toml --until caught-up";

fn text<'a>(span: &'a Json, key: &str) -> &'a str {
    span[key].as_str().unwrap()
}

/// The only span of this name below another.
fn below<'a>(spans: &'a [Json], parent: &Json, name: &str) -> &'a Json {
    let is_it = |it: &&Json| it["name"] == name && it["parent"] == parent["id"];
    let found: Vec<_> = spans.iter().filter(is_it).collect();
    assert_eq!(found.len(), 1, "{name} in {spans:#?}");
    found[0]
}

/// The spans of the record at this offset, the first of them its own.
fn of_offset(traces: &BTreeMap<String, Vec<Json>>, offset: u64) -> (Json, Vec<Json>) {
    let is_it = |it: &&Json| it["name"] == "record" && it["attributes"]["rivulet.offset"] == offset;
    let found: Vec<_> = traces
        .values()
        .filter_map(|spans| Some((spans.iter().find(is_it)?.clone(), spans.clone())))
        .collect();
    assert_eq!(found.len(), 1, "one trace of {offset}");
    found.into_iter().next().unwrap()
}

fn time(span: &Json, key: &str) -> u64 {
    span[key].as_u64().unwrap()
}

#[test]
fn a_record_is_followed_to_its_sinks() {
    let collector = Collector::start(0);
    let more = "sample = 1\nservice_name = \"segments of the shop\"\nheaders = { x-key = \"k\" }";
    let place = place("\"events.jsonl\"", collector.port, more);
    place.run(RUN).fine();
    let requests = collector.requests();
    let resource = &requests[0]["resources"][0];
    assert_eq!(resource["service.name"], "segments of the shop");
    assert_eq!(resource["service.instance.id"], "shop/0");
    for request in &requests {
        let said = [&request["path"], &request["kind"], &request["key"]];
        assert_eq!(said, ["/v1/traces", "application/x-protobuf", "k"]);
    }
    let mut traces: BTreeMap<String, Vec<Json>> = BTreeMap::new();
    for span in requests.iter().flat_map(|it| it["spans"].as_array().unwrap()) {
        traces.entry(text(span, "trace").to_owned()).or_default().push(span.clone());
        assert!(time(span, "from") <= time(span, "to"), "{span}");
        assert_eq!(span["flags"], 1);
    }
    assert_eq!(traces.len(), 6, "each record has its own");
    let ids: BTreeSet<_> = traces.values().flatten().map(|it| text(it, "id")).collect();
    assert_eq!(ids.len(), traces.values().flatten().count(), "each span has its own");

    // The first makes its user one of `pro`, of which two sinks are told.
    let (record, spans) = of_offset(&traces, 0);
    assert_eq!(record["parent"], "");
    assert_eq!(record["attributes"]["rivulet.source"], "events.jsonl");
    let [read, decode, apply] = ["read", "decode", "apply"].map(|it| below(&spans, &record, it));
    assert_eq!(apply["attributes"]["rivulet.fate"], "applied");
    assert_eq!(apply["attributes"]["rivulet.event_time"], "2026-01-01T00:00:00.000Z");
    let difference = below(&spans, apply, "difference");
    assert_eq!(difference["attributes"]["rivulet.segment"], "pro");
    assert_eq!(difference["attributes"]["rivulet.diff"], 1);
    let delivered: Vec<_> = spans.iter().filter(|it| it["name"] == "deliver").collect();
    assert!(delivered.iter().all(|it| it["parent"] == difference["id"]), "{delivered:?}");
    let sinks: BTreeSet<_> =
        delivered.iter().map(|it| text(&it["attributes"], "rivulet.sink")).collect();
    assert_eq!(sinks.len(), 2, "{sinks:?}");
    assert!(sinks.contains("differences"), "{sinks:?}");
    assert_eq!(spans.len(), 7);
    let order = [
        time(read, "from"),
        time(read, "to"),
        time(decode, "to"),
        time(apply, "from"),
        time(difference, "from"),
        time(difference, "to"),
    ];
    assert!(order.is_sorted(), "{order:?}");
    assert_eq!(time(&record, "to"), time(apply, "to"));
    assert!(delivered.iter().all(|it| time(it, "to") <= time(difference, "to")));

    // The second purchase makes its user one of `high_value`, of which only the file is told; the
    // first of them has changed nothing.
    let (_, spans) = of_offset(&traces, 4);
    let names: Vec<_> = spans.iter().map(|it| text(it, "name")).collect();
    assert_eq!(names.iter().filter(|it| **it == "deliver").count(), 1, "{names:?}");
    assert_eq!(of_offset(&traces, 1).1.len(), 4);
    // What is not understood, and what is late.
    let (record, spans) = of_offset(&traces, 3);
    let apply = below(&spans, &record, "apply");
    assert_eq!(apply["attributes"]["rivulet.fate"], "rejected");
    assert!(text(apply, "error").contains("JSON"), "{apply}");
    let (record, spans) = of_offset(&traces, 5);
    assert_eq!(below(&spans, &record, "apply")["attributes"]["rivulet.fate"], "late");
}

/// A clickstream of a thousand records in a file.
fn clickstream(place: &Place) {
    place.run("generate --events 1000 --users 100 --seed 3 --out clicks.jsonl").fine();
}

#[test]
fn a_share_of_records_is_followed_always_the_same() {
    let traced = |sample: &str| {
        let collector = Collector::start(0);
        let place = place("\"clicks.jsonl\"", collector.port, &format!("sample = {sample}"));
        clickstream(&place);
        place.run(RUN).fine();
        collector.traces().into_keys().collect::<BTreeSet<_>>()
    };
    let some = traced("0.2");
    assert!((100..300).contains(&some.len()), "{}", some.len());
    assert_eq!(some, traced("0.2"));
    assert!(some.is_subset(&traced("0.4")));
    assert_eq!(traced("0").len(), 0);
}

#[test]
fn processes_agree_on_what_is_followed() {
    let collector = Collector::start(0);
    let place = place("\"none.jsonl\", \"events.jsonl\"", collector.port, "sample = 1");
    place.write("none.jsonl", "");
    hosts(&place, 2);
    let start = |process| {
        Running::start(&mut place.command(&format!("{RUN} --process {process} --hosts hosts")))
    };
    let (first, second) = (start(0), start(1));
    first.end().fine();
    second.end().fine();
    // The second reads, the first gives out.
    let traces = collector.traces();
    assert_eq!(traces.len(), 6);
    let (record, spans) = of_offset(&traces, 0);
    let apply = below(&spans, &record, "apply");
    let difference = below(&spans, apply, "difference");
    assert_eq!(difference["attributes"]["rivulet.segment"], "pro");
    assert_eq!(spans.len(), 7);
}

#[test]
fn a_collector_that_is_overloaded_is_asked_again() {
    let collector = Collector::start(2);
    let place = place("\"events.jsonl\"", collector.port, "sample = 1");
    let said = place.run(RUN).fine().stderr;
    assert_eq!(collector.traces().len(), 6);
    assert_eq!(said.matches("it answers 503").count(), 1, "{said}");
    assert!(said.contains("traces are taken again"), "{said}");
}

#[test]
fn that_there_is_no_collector_is_said_once() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let place = place("\"events.jsonl\"", nobody, "sample = 1");
    let said = place.run(RUN).fine().stderr;
    assert_eq!(said.matches("127.0.0.1 does not take them").count(), 1, "{said}");
    assert!(said.contains("traces: at least 29 spans were not taken"), "{said}");
}

#[test]
fn a_collector_that_never_answers_changes_nothing() {
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = place("\"clicks.jsonl\"", deaf.local_addr().unwrap().port(), "sample = 1");
    place.run("generate --events 30000 --users 100 --seed 3 --out clicks.jsonl").fine();
    let said = place.run(&format!("{RUN} --stats stats")).fine().stderr;
    assert!(said.contains("spans were not taken"), "{said}");
    let differences = place.text("differences");
    let untraced = place.text("job.toml").replace("sample = 1", "sample = 0");
    place.write("job.toml", untraced);
    place.run(&format!("{RUN} --stats untraced")).fine();
    assert_eq!(place.text("differences"), differences);
    assert_eq!(counts(&place.path("stats")), counts(&place.path("untraced")));
}

#[test]
fn a_job_that_runs_tells_of_records_as_they_come() {
    let collector = Collector::start(0);
    let place = Place::new();
    place.write("segments/all.json", SEGMENTS);
    let trace =
        format!("[trace]\nsample = 1\nendpoint = \"http://127.0.0.1:{}\"\n", collector.port);
    place.write("job.toml", format!("{JOB}{trace}"));
    let served = Served::start(&place);
    served.send(&[sets("u1", 0, "plan", "pro")]);
    // Its own four, its difference, and the file that is told of it.
    let (mut traces, mut spans) = (BTreeMap::new(), 0);
    eventually("its trace comes", || {
        for (trace, came) in collector.traces() {
            spans += came.len();
            traces.entry(trace).or_insert_with(Vec::new).extend(came);
        }
        spans >= 6
    });
    let (record, spans) = of_offset(&traces, 0);
    let difference = below(&spans, below(&spans, &record, "apply"), "difference");
    assert_eq!(below(&spans, difference, "deliver")["attributes"]["rivulet.sink"], "differences");
    let metrics = || {
        let (_, bytes) = served.bytes("/metrics");
        String::from_utf8(bytes).unwrap()
    };
    eventually("it is counted", || metrics().contains("rivulet_trace_spans_total 6\n"));
    for nothing in ["rivulet_trace_spans_dropped_total 0\n", "rivulet_trace_spans_waiting 0\n"] {
        assert!(metrics().contains(nothing), "{}", metrics());
    }
    assert_eq!(served.end(), Some(0));
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// What came, once so many spans have, by trace.
fn await_spans(collector: &Collector, many: usize) -> BTreeMap<String, Vec<Json>> {
    let (mut traces, mut spans) = (BTreeMap::new(), 0);
    eventually("its traces come", || {
        for (trace, came) in collector.traces() {
            spans += came.len();
            traces.entry(trace).or_insert_with(Vec::new).extend(came);
        }
        spans >= many
    });
    assert_eq!(spans, many, "{traces:#?}");
    traces
}

/// The records of a trace that go on from this span.
fn sent_by(spans: &[Json], span: &str) -> usize {
    let records = spans.iter().filter(|it| it["name"] == "record" && it["parent"] == span);
    records.inspect(|it| assert_eq!(it["flags"], 0x301, "{it}")).count()
}

#[test]
fn a_trace_that_a_client_has_begun_goes_on() {
    let collector = Collector::start(0);
    let place = Place::new();
    place.write("segments/all.json", SEGMENTS);
    let source = "kind = \"http\"\n[state]\npath = \"state\"\ninterval = \"1h\"\n";
    let job = JOB.replace("kind = \"file\"\npath = \"-\"\n", source);
    // Here a record takes effect at its own time whenever it is read.
    let job = job.replace("on_event\"", "on_watermark\"\nmax_out_of_orderness = \"0s\"");
    let trace =
        format!("[trace]\nsample = 0\nendpoint = \"http://127.0.0.1:{}\"\n", collector.port);
    place.write("job.toml", format!("{job}{trace}"));
    let served = Served::start(&place);
    let post = |path: &str, headers: &[(&str, &str)], body: &str| {
        let answer = served.ask("POST", path, headers, body);
        assert_eq!(answer.status, 200);
    };
    let pro = |user: &str| {
        let more =
            r#""type":"identify","timestamp":"2026-01-01T00:00:00Z","traits":{"plan":"pro"}"#;
        format!(r#"{{"traceparent":"00-{TRACE}-{SPAN}-01","userId":"{user}",{more}}}"#)
    };
    let parent = |end: &str| format!("00-{TRACE}-{SPAN}-{end}");
    // Not these: none, not sampled, malformed in some way, or said twice.
    post("/v1/identify", &[], &pro("nobody"));
    for (number, wrong) in
        [parent("00"), parent("1"), parent("01-x"), String::new(), TRACE.to_owned()]
            .iter()
            .enumerate()
    {
        post("/v1/identify", &[("traceparent", wrong)], &pro(&format!("no{number}")));
    }
    let twice = [("traceparent", &*parent("01")), ("traceparent", &*parent("01"))];
    post("/v1/identify", &twice, &pro("twice"));
    // One event, and a batch of two, of another span.
    let other = format!("cc-{TRACE}-00f067aa0ba902b7-03-what-is-to-come");
    let batch = format!(r#"{{"batch":[{},{}]}}"#, pro("u2"), pro("u3"));
    post("/v1/identify", &[("traceparent", &parent("01"))], &pro("u1"));
    post("/v1/batch", &[("TraceParent", &other), ("tracestate", "a=b")], &batch);
    post("/v1/identify", &[], &pro("clock").replace("00:00:00Z", "00:00:10Z"));
    let traces = await_spans(&collector, 3 * 6);
    let spans = &traces[TRACE];
    assert_eq!((traces.len(), spans.len()), (1, 18));
    assert_eq!((sent_by(spans, SPAN), sent_by(spans, "00f067aa0ba902b7")), (1, 2));
    let is_it = |it: &&Json| it["parent"] == SPAN;
    let record = spans.iter().find(is_it).unwrap();
    let difference = below(spans, below(spans, record, "apply"), "difference");
    assert_eq!(difference["attributes"]["rivulet.segment"], "pro");
    assert_eq!(below(spans, difference, "deliver")["attributes"]["rivulet.sink"], "differences");
    let ids =
        |spans: &[Json]| spans.iter().map(|it| text(it, "id").to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(ids(spans).len(), 18, "each span has its own");
    // What was taken is durable, and so is of which trace it is a part: it is told again.
    served.kill();
    let served = Served::start(&place);
    assert_eq!(ids(&await_spans(&collector, 18)[TRACE]), ids(spans));
    assert_eq!(served.end(), Some(0));
}

#[test]
fn a_record_of_a_topic_may_be_a_part_of_a_trace() {
    let (collector, broker) = (Collector::start(0), harness::Broker::shared());
    let topic = broker.topic(1);
    let place = Place::new();
    place.write("segments/all.json", SEGMENTS);
    let source =
        format!("kind = \"kafka\"\nbrokers = \"{}\"\ntopic = \"{topic}\"\n", broker.address());
    let job = JOB.replace("kind = \"file\"\npath = \"-\"\n", &source);
    let trace =
        format!("[trace]\nsample = 0\nendpoint = \"http://127.0.0.1:{}\"\n", collector.port);
    place.write("job.toml", format!("{job}{trace}"));
    let served = Served::start_with(&place, "--workers 2");
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let twice = [("traceparent", &*parent), ("traceparent", &*parent)];
    let record = |user: &str| sets(user, 0, "plan", "pro");
    broker.send_with(&topic, &twice, &record("u1"));
    broker.send_with(&topic, &[("traceparent", "nonsense")], &record("u2"));
    broker.send_with(&topic, &[("other", "x"), ("traceparent", &parent)], &record("u3"));
    broker.send_with(&topic, &[("traceparent", &parent)], "no record");
    let traces = await_spans(&collector, 6 + 4);
    assert_eq!(sent_by(&traces[TRACE], SPAN), 2);
    let differences = traces[TRACE].iter().filter(|it| it["name"] == "difference").count();
    assert_eq!(differences, 1);
    assert_eq!(served.end(), Some(0));
}

#[test]
fn what_cannot_be_traced_is_refused() {
    let place = place("\"events.jsonl\"", 1, "sample = 2");
    place.run("check --job job.toml").refused_with(&["trace.sample", "a share of records"]);
    let job = place.text("job.toml").replace("sample = 2", "headers = { \"a b\" = \"c\" }");
    place.write("job.toml", job);
    place.run("check --job job.toml").refused_with(&["trace.headers", "a b"]);
    place.write("job.toml", place.text("job.toml").replace("http://127.0.0.1:1", "127.0.0.1:1"));
    place.run("check --job job.toml").refused_with(&["trace.endpoint", "http://127.0.0.1:4318"]);
}

//! Job files, good and bad.

use dataflows::clock::Emit;
use dataflows::model::{self, Duration};

use super::*;
use crate::serve::{Scope, Settings, Tls};

fn environment(name: &str) -> Option<String> {
    match name {
        "DATA" => Some("/data".to_owned()),
        "SECRET" => Some("hunter2".to_owned()),
        _ => None,
    }
}

fn read(text: &str) -> Result<Job, JobError> {
    Job::from_text(text, Path::new("jobs/shop.toml"), &environment)
}

#[track_caller]
fn refused(text: &str, expected: &[&str]) {
    let said = read(text).unwrap_err().to_string();
    let lines: Vec<_> = said.lines().map(|line| line.replace("jobs/shop.toml: ", "")).collect();
    assert_eq!(lines, expected, "{text}");
}

/// The rest of a job, so that each test is about one thing.
const BASE: &str = "segments = \"s\"\n[[source]]\nkind = \"file\"\npath = \"e\"\n";

#[test]
fn the_example_of_the_documentation_is_understood() {
    let text = r#"
name = "shop"
segments = "segments"
[clock]
emit = "on_watermark"
max_out_of_orderness = "5s"
idle_timeout = "10s"
[[source]]
kind = "file"
path = "events.jsonl"
[[sink]]
kind = "file"
of = "differences"
path = "out/diffs.jsonl"
[serve]
listen = "127.0.0.1:8080"
"#;
    let expected = Job {
        name: "shop".into(),
        segments: "jobs/segments".into(),
        changes: None,
        retain: None,
        clock: ClockSettings::default(),
        sources: vec![Source {
            inputs: vec![Input::File("jobs/events.jsonl".into())],
            mapping: Mapping::default(),
        }],
        topics: vec![],
        collector: None,
        sinks: vec![Sink {
            of: Output::Differences,
            format: Format::Json,
            target: Target::File("jobs/out/diffs.jsonl".into()),
            name: "file".into(),
            segments: vec![],
            buffer: None,
        }],
        exports: vec![],
        state: None,
        serve: Some(Settings {
            listen: "127.0.0.1:8080".parse().unwrap(),
            tls: None,
            tokens: Vec::new(),
            connections: 1_024,
            connections_per_address: 256,
            differences: 262_144,
            exports: None,
            sketches: None,
        }),
        cluster: ClusterSettings::default(),
        trace: None,
    };
    assert_eq!(read(text).unwrap(), expected);
}

#[test]
fn what_is_left_out_has_a_default() {
    let job = read(BASE).unwrap();
    assert_eq!((job.name.as_str(), job.clock), ("shop", ClockSettings::default()));
    assert_eq!(job.sinks, []);
    let job = read(&format!("{BASE}[clock]\nemit = \"on_event\"\nmax_out_of_orderness = \"1m\"\n"))
        .unwrap();
    assert_eq!(job.clock.emit, Emit::OnEvent);
    assert_eq!(job.clock.dedup_horizon, Duration::from_ms(60_000), "follows the disorder");
}

#[test]
fn everything_can_be_said() {
    let text = r#"
segments = "${DATA}/segments"
changes = "changes.jsonl"
[clock]
dedup_horizon = "1d"
granularity = "1s"
[[source]]
kind = "file"
path = ["-", "${DATA}/a.gz"]
[source.mapping]
user = "user_id"
attribute = "attribute"
value = "value"
time = "ts"
[[sink]]
kind = "stdout"
format = "text"
[[sink]]
kind = "file"
of = "late"
path = "late"
"#;
    let job = read(text).unwrap();
    assert_eq!(job.segments, Path::new("/data/segments"));
    assert_eq!(job.changes.as_deref(), Some(Path::new("jobs/changes.jsonl")));
    assert_eq!(job.clock.dedup_horizon, Duration::from_ms(86_400_000));
    assert_eq!(job.sources[0].inputs, [Input::Stdin, Input::File("/data/a.gz".into())]);
    assert_eq!(job.sources[0].mapping.user, Some(model::Path::new("user_id")));
    assert_eq!((job.sinks[0].format, &job.sinks[0].target), (Format::Text, &Target::Stdout));
    assert_eq!(job.sinks[1].of, Output::Late);
}

#[test]
fn all_faults_are_told_at_once() {
    let text = r#"
segment = "segments"
state = 5
[serve]
listen = "127.0.0.1:8080"
tokens = 5
[clock]
emit = "on_watermarks"
idle_timeout = "0s"
max_lateness = "5s"
[[source]]
kind = "htp"
[[source]]
kind = "file"
[[sink]]
kind = "filee"
[[sink]]
kind = "file"
of = "late"
format = "text"
path = "late"
"#;
    let longest =
        "a duration such as 250ms, 10s, 10m, 24h or 30d, longer than 0 and at most 36500d";
    refused(
        text,
        &[
            "found the key \"segment\"; allowed: name, segments, changes, retain, clock, source, sink, export, \
         state, serve, cluster, trace; did you mean \"segments\"?",
            "segments: found nothing; allowed: the file or directory of the segments",
            "clock: found the key \"max_lateness\"; allowed: emit, max_out_of_orderness, idle_timeout, \
         max_ahead, dedup_horizon, granularity",
            "clock.emit: found \"on_watermarks\"; allowed: on_watermark, on_event; did you mean \
         \"on_watermark\"?",
            &format!("clock.idle_timeout: found \"0s\"; allowed: {longest}"),
            "source[0].kind: found \"htp\"; allowed: file, kafka, http; did you mean \"http\"?",
            "source[1].path: found nothing; allowed: the file of the records, or a list of such; \"-\" \
         is standard input",
            "state: found 5; allowed: a folder, or s3://bucket/prefix, or an object of path, interval, \
         keep, retain, endpoint, region, access_key, secret_key, allow_http",
            "sink[0].kind: found \"filee\"; allowed: file, stdout, kafka, redis, postgres, webhook; did \
         you mean \"file\"?",
            "sink[1].format: found \"text\"; allowed: json; only differences are written as text",
            "serve: found the key \"tokens\"; allowed: listen, cert, key, allow_http, connections, \
         connections_per_address, differences, exports, sketches, token; did you mean \"token\"?",
        ],
    );
}

/// A job that clients send to.
fn collects(source: &str, more: &str) -> String {
    format!(
        "segments = \"s\"\n[serve]\nlisten = \"127.0.0.1:80\"\n[[source]]\nkind = \"http\"\n{source}\n\
         {more}"
    )
}

#[test]
fn what_clients_send_is_kept_with_the_state_or_where_it_is_said() {
    let job = read(&collects("", "[state]\npath = \"state\"")).unwrap();
    let collector = job.collector.unwrap();
    assert_eq!(collector.folder, Path::new("jobs/state/collector"));
    assert_eq!((collector.keys.0.len(), collector.max_backlog), (0, 1 << 30));
    // Clients hold events back.
    assert_eq!(job.clock.max_out_of_orderness, Duration::from_ms(15_000));
    assert_eq!(job.clock.dedup_horizon, Duration::from_ms(60_000));
    let hash = format!("sha256:{}", "0f".repeat(32));
    let source = format!("log = \"log\"\nmax_backlog = 5\nwrite_keys = [\"one\", {hash:?}]");
    let more = "[state]\npath = \"s3://b\"\n[clock]\nmax_out_of_orderness = \"2m\"";
    let job = read(&collects(&source, more)).unwrap();
    let collector = job.collector.unwrap();
    assert_eq!(collector.folder, Path::new("jobs/log"));
    assert_eq!((collector.keys.0.len(), collector.max_backlog), (2, 5));
    assert_eq!(job.clock.dedup_horizon, Duration::from_ms(120_000), "follows the disorder");
}

#[test]
fn a_collector_that_cannot_work_is_refused_and_no_key_is_shown() {
    let hint = "source[0].log: found nothing; allowed: a folder; what is acknowledged must be on a disk \
                of this machine: say log = \"FOLDER\", or keep state in a folder";
    refused(&collects("", ""), &[hint]);
    refused(&collects("", "[state]\npath = \"s3://b\""), &[hint]);
    let no_server = collects("log = \"l\"", "").replace("[serve]\nlisten = \"127.0.0.1:80\"\n", "");
    refused(
        &no_server,
        &["serve: found nothing; allowed: [serve]; clients of a source of kind http must find it \
           somewhere: say [serve] with listen = \"127.0.0.1:8080\""],
    );
    refused(
        &collects("log = \"l\"\n[[source]]\nkind = \"http\"\nlog = \"m\"", ""),
        &[
            "source[1].kind: found \"http\"; allowed: one source of kind http; all clients send to the one \
           there is",
        ],
    );
    let key = "a write key, best as a variable: ${NAME}, or sha256: and the 64 hexadecimal digits of \
               its hash";
    let source = "log = \"l\"\nmax_backlog = 0\nwrite_keys = [\"sha256:secret\", \"\", 5]";
    refused(
        &collects(source, ""),
        &[
            &format!("source[0].write_keys[0]: found something else; allowed: {key}"),
            &format!("source[0].write_keys[1]: found something else; allowed: {key}"),
            &format!("source[0].write_keys[2]: found something else; allowed: {key}"),
            "source[0].max_backlog: found 0; allowed: a number of bytes",
        ],
    );
}

/// A job that is served by these settings.
fn served(more: &str) -> String {
    format!("{BASE}[serve]\n{more}")
}

const TOKEN: &str = "[[serve.token]]\nname = \"dashboard\"\nscopes = [\"read\", \"ingest\"]\n\
    sha256 = \"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\"\n";

#[test]
fn a_job_is_served_where_it_says() {
    let serve = |more: &str| read(&served(more)).unwrap().serve.unwrap();
    assert_eq!(read(BASE).unwrap().serve, None);
    let plain = serve("listen = \"localhost:0\"");
    assert_eq!(plain.listen, "127.0.0.1:0".parse().unwrap());
    assert_eq!((plain.tls, plain.tokens.len(), plain.connections), (None, 0, 1_024));
    let files = "cert = \"cert.pem\"\nkey = \"${DATA}/key.pem\"\n";
    let open = serve(&format!(
        "listen = \"0.0.0.0:80\"\nconnections = 9\nconnections_per_address = 2\n{files}{TOKEN}"
    ));
    let tls = Tls { cert: "jobs/cert.pem".into(), key: "/data/key.pem".into() };
    assert_eq!((open.tls, open.connections, open.connections_per_address), (Some(tls), 9, 2));
    assert_eq!(open.tokens[0].name, "dashboard");
    assert_eq!(open.tokens[0].scopes, [Scope::Read, Scope::Ingest]);
    assert_eq!(open.tokens[0].hash[..3], [0x2b, 0xb8, 0x0d]);
    serve(&format!("listen = \"0.0.0.0:80\"\nallow_http = true\n{TOKEN}"));
    assert_eq!((plain.exports, open.exports), (None, None));
    let exports = |more: &str| format!("listen = \"[::1]:0\"\nexports = \"{more}\"\n");
    assert_eq!(serve(&exports("asked")).exports, Some("jobs/asked".into()));
    let taken =
        format!("{BASE}[[export]]\nof = \"users\"\nto = \"out\"\n[serve]\n{}", exports("out"));
    let found = "serve.exports: found \"out\"; allowed: a place of its own; ";
    refused(&taken, &[&format!("{found}another export goes there already")]);
    let read = served(&exports("s"));
    refused(
        &read,
        &[&format!("{found}definitions are read from there").replace("\"out\"", "\"s\"")],
    );
}

#[test]
fn nobody_unknown_is_let_in_and_no_token_shown() {
    refused(
        &served("listen = \"0.0.0.0:8080\""),
        &[
            "serve.listen: found \"0.0.0.0:8080\"; allowed: 127.0.0.1:PORT; without [[serve.token]] \
         anyone in the network could read and change all: add a token (name, sha256, scopes), or \
         listen on loopback",
        ],
    );
    refused(
        &served(&format!("listen = \"0.0.0.0:8080\"\n{TOKEN}")),
        &["serve.listen: found \"0.0.0.0:8080\"; allowed: 127.0.0.1:PORT; tokens would go \
         unencrypted: add cert and key, or say allow_http = true where something before it \
         encrypts"],
    );
    let token = "listen = \"[::1]:1\"\ncert = \"c\"\n[[serve.token]]\nname = \"a\"\n\
        sha256 = \"hunter2\"\nscopes = [\"reed\"]";
    refused(
        &served(token),
        &[
            "serve.key: found nothing; allowed: the file of the private key, in PEM, beside cert",
            "serve.token[0].sha256: found something else; allowed: 64 hexadecimal digits; make it by  \
         printf %s TOKEN | sha256sum",
            "serve.token[0].scopes[0]: found \"reed\"; allowed: read, definitions, ingest; did you \
         mean \"read\"?",
        ],
    );
    refused(
        &served("listen = \":8080\"\nconnections = 0\nconnections_per_address = 0"),
        &[
            "serve.listen: found \":8080\"; allowed: address:port, such as 127.0.0.1:8080",
            "serve.connections: found 0; allowed: a whole number from 1 to 65536",
            "serve.connections_per_address: found 0; allowed: a whole number from 1 to 65536",
        ],
    );
}

#[test]
fn state_is_a_path_or_a_table() {
    let state =
        |more: &str| read(&format!("state = \"state\"\n{BASE}{more}")).unwrap().state.unwrap();
    let expected = StateSettings {
        location: Location::Folder("jobs/state".into()),
        interval: Duration::from_ms(10_000),
        keep: 3,
        retain: None,
    };
    assert_eq!(state(""), expected);
    let table = |more: &str| read(&format!("{BASE}[state]\n{more}"));
    let text = "path = \"${DATA}/state\"\ninterval = \"1s\"\nkeep = 5\nretain = \"24h\"\n";
    let expected = StateSettings {
        location: Location::Folder("/data/state".into()),
        interval: Duration::from_ms(1_000),
        keep: 5,
        retain: Some(Duration::from_ms(86_400_000)),
    };
    assert_eq!(table(text).unwrap().state, Some(expected));
    let text = r#"
path = "s3://shop/rivulet"
endpoint = "http://127.0.0.1:9000"
region = "eu-central-1"
access_key = "AKIA1"
secret_key = "${SECRET}"
allow_http = true
"#;
    let job = table(text).unwrap();
    let said = format!("{job:?}");
    assert!(!said.contains("hunter2") && !said.contains("AKIA1"), "{said}");
    let Location::S3(place) = job.state.unwrap().location else { panic!("{said}") };
    assert_eq!((&*place.bucket, &*place.prefix, place.allow_http), ("shop", "rivulet", true));
    assert_eq!(place.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
    assert_eq!(place.keys.unwrap().1.reveal(), "hunter2");
}

#[test]
fn a_cluster_has_a_secret_that_is_never_printed() {
    let table = |more: &str| read(&format!("{BASE}[cluster]\n{more}"));
    assert_eq!(read(BASE).unwrap().cluster, ClusterSettings::default());
    let job = table("secret = \"${SECRET}-and-more-of-it\"\nlost_after = \"3s\"").unwrap();
    let secret = job.cluster.secret.as_ref().unwrap().reveal();
    assert_eq!((secret, job.cluster.lost_after.ms()), ("hunter2-and-more-of-it", 3_000));
    assert!(!format!("{job:?}").contains("hunter2"));
    let refused = |text: &str| table(text).unwrap_err().to_string();
    let said = refused("secret = \"${SECRET}\"");
    assert!(said.contains("cluster.secret") && said.contains("openssl rand"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    assert!(refused("secret = \"${NONE}\"").contains("set the environment variable NONE"));
    assert!(refused("lost_after = \"1s\"").contains("cluster.lost_after"));
    assert!(refused("secrets = \"a\"").contains("did you mean \"secret\""));
}

#[test]
fn wrong_settings_of_state_are_told_without_the_keys() {
    let refused = |table: &str, expected: &[&str]| {
        refused(&format!("{BASE}[state]\n{table}"), expected);
    };
    let path = "a folder, or s3://bucket/prefix";
    let key = "a key, best as a variable: ${NAME}";
    refused("keep = 3", &[&format!("state.path: found nothing; allowed: {path}")]);
    refused(
        "path = \"gs://b/${SECRET}\"\nkeep = 0\ninterval = \"0s\"\nkep = 1",
        &[
            "state: found the key \"kep\"; allowed: path, interval, keep, retain, endpoint, region, access_key, \
         secret_key, allow_http; did you mean \"keep\"?",
            &format!(
                "state.path: found \"gs://b/${{SECRET}}\"; allowed: {path}; name a folder, or \
         s3://bucket/prefix; other addresses are not known"
            ),
            "state.interval: found \"0s\"; allowed: a duration such as 250ms, 10s, 10m, 24h or 30d, \
         longer than 0 and at most 36500d",
            "state.keep: found 0; allowed: how many checkpoints stay: a whole number from 1 to 10000",
        ],
    );
    refused(
        "path = \"state\"\nsecret_key = \"hunter2\"",
        &[
            "state.secret_key: found a setting; allowed: nothing; only where path is s3://bucket/prefix: \
         leave it out",
        ],
    );
    refused(
        "path = \"s3://b\"\nsecret_key = \"hunter2${NONE}\"\naccess_key = 12345",
        &[
            &format!("state.access_key: found something else; allowed: {key}"),
            &format!(
                "state.secret_key: found something else; allowed: {key}; set the environment \
         variable NONE, which is not set"
            ),
        ],
    );
    refused(
        "path = \"s3://b\"\nsecret_key = \"hunter2\"",
        &[&format!(
            "state.access_key: found nothing; allowed: {key}; access_key and secret_key stand \
         together, or neither, and the keys are those of the environment"
        )],
    );
    refused(
        "path = \"s3://b\"\nendpoint = \"http://h\"",
        &["state.endpoint: found \"http://h\"; allowed: https://…; keys and data would go \
         unencrypted: say allow_http = true to have it so"],
    );
}

#[test]
fn tables_must_be_tables() {
    refused(
        "segments = \"s\"\nclock = 5\nsource = []\nsink = 1",
        &[
            "clock: found 5; allowed: an object of emit, max_out_of_orderness, idle_timeout, \
         max_ahead, dedup_horizon, granularity",
            "source: found an empty list; allowed: [[source]], at least one",
            "sink: found 1; allowed: [[sink]]",
        ],
    );
    refused(
        "segments = \"s\"\n[source]\nkind = \"file\"\n",
        &[
            "source: found an object of \"kind\"; allowed: [[source]], at least one; write its name in \
         double brackets",
        ],
    );
    refused(
        "segments = \"s\"\nsource = [1]",
        &["source[0].kind: found nothing; allowed: file, kafka, http"],
    );
}

#[test]
fn mappings_must_be_whole() {
    let keys = "user, time, event, id, properties, traits, attribute, value";
    for (mapping, missing) in [
        ("event = \"e\"", "\"user\""),
        ("user = \"u\"", "one of \"event\", \"traits\" and \"attribute\""),
        ("user = \"u\"\nattribute = \"a\"", "\"attribute\" and \"value\" together"),
        ("user = \"u\"\ntraits = \"t\"\nproperties = \"p\"", "\"event\" beside \"properties\""),
    ] {
        let text = format!("{BASE}[source.mapping]\n{mapping}");
        let said = read(&text).unwrap_err().to_string();
        assert!(
            said.ends_with(&format!("allowed: {keys}; a mapping must name {missing}")),
            "{said}"
        );
    }
    refused(
        &format!("{BASE}[source.mapping]\nuser = \"u\"\nevent = 1\nusr = \"u\""),
        &[
            &format!(
                "source[0].mapping: found the key \"usr\"; allowed: {keys}; did you mean \"user\"?"
            ),
            "source[0].mapping.event: found 1; allowed: the name or path of a field",
        ],
    );
}

#[test]
fn a_place_is_read_and_written_once() {
    let sink =
        "[[sink]]\nkind = \"stdout\"\n[[sink]]\nkind = \"stdout\"\nof = \"late\"\npath = \"x\"";
    refused(
        &format!("{BASE}{sink}"),
        &["sink[1].path: found \"x\"; allowed: nothing; leave it out, or say kind = \"file\""],
    );
    let sink = "[[sink]]\nkind = \"stdout\"\n[[sink]]\nkind = \"stdout\"\nof = \"late\"";
    refused(
        &format!("{BASE}{sink}"),
        &[
            "sink[1].kind: found \"stdout\"; allowed: a place of its own; another sink writes there \
         already",
        ],
    );
    refused(
        "segments = \"s\"\n[[source]]\nkind = \"file\"\npath = [\"-\", \"-\"]",
        &["source[0].path[1]: found \"-\"; allowed: each input once; it is read already"],
    );
}

#[test]
fn no_sink_writes_over_a_source() {
    refused(
        &format!("{BASE}[[sink]]\nkind = \"file\"\npath = \"e\""),
        &["sink[0].path: found \"e\"; allowed: a place of its own; a source reads it"],
    );
}

#[test]
fn variables_are_filled_in_and_never_printed() {
    refused(
        &BASE.replace("\"e\"", "\"${NONE}/e\""),
        &[
            "source[0].path: found \"${NONE}/e\"; allowed: the file of the records, or a list of such; \
         \"-\" is standard input; set the environment variable NONE, which is not set",
        ],
    );
    let text = BASE.replace("\"file\"", "\"${SECRET}\"");
    refused(&text, &["source[0].kind: found \"${SECRET}\"; allowed: file, kafka, http"]);
    let text = format!("{BASE}[clock]\nidle_timeout = \"${{SECRET}}\"\nemit = \"${{\"");
    let said = read(&text).unwrap_err().to_string();
    assert!(!said.contains("hunter2"), "{said}");
    assert!(said.contains("write variables as ${NAME}"), "{said}");
}

#[test]
fn text_that_is_not_toml_is_placed() {
    let said = read("name = \"ö\"\nsegments = = 1\n").unwrap_err().to_string();
    assert!(said.starts_with("jobs/shop.toml: line 2 column 12: not TOML: "), "{said}");
    let missing = Job::load(Path::new("/nowhere/job.toml")).unwrap_err();
    assert_eq!(missing.to_string(), "cannot read job file /nowhere/job.toml");
}

/// A job that reads a topic, and more lines of its source.
fn kafka(more: &str) -> String {
    let source = "kind = \"kafka\"\nbrokers = \"b:9092\"";
    format!("segments = \"s\"\n[[source]]\n{source}\n{more}\n")
}

#[test]
fn topics_are_read_as_they_are_said() {
    let job = read(&kafka("topic = \"t\"")).unwrap();
    let topics = &job.topics[0];
    assert_eq!((topics.start, &topics.group), (Start::Earliest, &None));
    let text = kafka(
        "topics = [\"t\", \"u\"]\nstart = \"committed\"\ngroup = \"g\"\n[source.kafka]\n\
         sasl.password = \"${SECRET}\"\n\"fetch.min.bytes\" = 5\n[source.mapping]\nuser = \"u\"\n\
         event = \"e\"",
    );
    let job = read(&text).unwrap();
    let topics = &job.topics[0];
    assert_eq!(
        (topics.topics.as_slice(), topics.start),
        (&["t".into(), "u".into()][..], Start::Committed)
    );
    assert_eq!(topics.options.0["sasl.password"], "hunter2");
    assert_eq!(topics.options.0["fetch.min.bytes"], "5");
    assert!(!format!("{job:?}").contains("hunter2"));
    let at = read(&kafka("topic = \"t\"\nstart = \"2026-01-01T00:00:00Z\"")).unwrap();
    assert_eq!(at.topics[0].start, Start::At(1_767_225_600_000));
}

#[test]
fn what_a_run_relies_on_is_not_changed_by_the_job() {
    refused(
        &kafka("topic = \"t\"\n[source.kafka]\nenable.auto.commit = true\ngroup.id = \"g\""),
        &[
            "source[0].kafka.enable.auto: found the setting \"enable.auto.commit\"; allowed: other \
             settings of librdkafka; offsets are committed when the run has passed them, if there is \
             a group",
            "source[0].kafka.group: found the setting \"group.id\"; allowed: other settings of \
             librdkafka; say group",
        ],
    );
    refused(
        &kafka("topic = \"t\"\nstart = \"committed\""),
        &[
            "source[0].group: found nothing; allowed: a consumer group; name the group whose offsets \
           it starts from",
        ],
    );
    refused(
        &kafka("topics = [\"t\", \"t\"]\nstart = \"earlyest\""),
        &[
            "source[0].topics[1]: found \"t\"; allowed: each topic once; it is read already",
            "source[0].start: found \"earlyest\"; allowed: earliest, latest, committed; did you mean \
             \"earliest\"?",
        ],
    );
}

/// A job that writes a topic, and more lines of its sink.
fn to_kafka(more: &str) -> String {
    format!("{BASE}[[sink]]\nkind = \"kafka\"\nbrokers = \"b:9092\"\n{more}\n")
}

#[test]
fn topics_are_written_as_they_are_said() {
    let job = read(&to_kafka("topic = \"d\"")).unwrap();
    let Target::Topic(to) = &job.sinks[0].target else { panic!("{job:?}") };
    assert_eq!((job.sinks[0].of, to.partitions, &to.users_topic), (Output::Differences, 1, &None));
    let text = to_kafka(
        "topic = \"d\"\nusers_topic = \"u\"\npartitions = 6\n[sink.kafka]\n\
         sasl.password = \"${SECRET}\"\ncompression.type = \"zstd\"",
    );
    let job = read(&text).unwrap();
    let Target::Topic(to) = &job.sinks[0].target else { panic!("{job:?}") };
    assert_eq!((to.partitions, to.users_topic.as_deref()), (6, Some("u")));
    assert_eq!(to.options.0["sasl.password"], "hunter2");
    assert!(!format!("{job:?}").contains("hunter2"));
}

#[test]
fn what_delivery_relies_on_is_not_changed_by_the_job() {
    refused(
        &to_kafka("topic = \"d\"\n[sink.kafka]\nacks = 1\ntransactional.id = \"mine\""),
        &[
            "sink[0].kafka: found the setting \"acks\"; allowed: other settings of librdkafka; each \
             difference is written once because of it",
            "sink[0].kafka.transactional: found the setting \"transactional.id\"; allowed: other \
             settings of librdkafka; it is that of the job and the topic: say name, at the top",
        ],
    );
}

#[test]
fn a_topic_that_is_written_is_its_sinks_own() {
    refused(
        &to_kafka("of = \"late\"\ntopic = \"d\"\nusers_topic = \"u\"\npartitions = 0"),
        &[
            "sink[0].partitions: found 0; allowed: a number from 1 to 65535",
            "sink[0].users_topic: found \"u\"; allowed: nothing; only differences say who is in which \
             segment",
        ],
    );
    refused(
        &to_kafka("topic = \"d\"\nusers_topic = \"d\""),
        &["sink[0].users_topic: found \"d\"; allowed: a topic of its own; it is written already"],
    );
    let sink = "[[sink]]\nkind = \"kafka\"\nbrokers = \"b:9092\"\ntopic = \"t\"";
    refused(
        &format!("{}{sink}", kafka("topic = \"t\"")),
        &["sink[0].topic: found \"t\"; allowed: a topic of its own; a source reads it"],
    );
}

#[test]
fn exports_go_to_places_of_their_own() {
    let export = "[[export]]\nof = \"users\"\nto = \"out\"\n";
    let job = read(&format!("{BASE}{export}every = \"1d\"\nwhen_changed = \"2.5%\"")).unwrap();
    let expected = Export {
        name: "export".into(),
        of: Exported::Users,
        segments: vec![],
        format: FileFormat::Parquet,
        to: Location::Folder("jobs/out".into()),
        every: Some(Duration::from_ms(86_400_000)),
        when_changed: Some(25_000),
        buffer: None,
    };
    assert_eq!(job.exports, [expected]);
    refused(
        &format!("{BASE}{export}{export}name = \"other\""),
        &["export[1].to: found \"out\"; allowed: a place of its own; another export goes there \
           already"],
    );
    refused(
        &format!("{BASE}{export}evry = \"1h\""),
        &["export[0]: found the key \"evry\"; allowed: name, of, segments, format, to, every, \
           when_changed, endpoint, region, access_key, secret_key, allow_http, buffer, \
           buffer_path; did you mean \"every\"?"],
    );
    refused(
        &format!("{BASE}[[export]]\nof = \"users\"\nto = \"s/out\""),
        &["export[0].to: found \"s/out\"; allowed: a place of its own; definitions are read from \
           there"],
    );
    refused(
        &format!("{BASE}[[sink]]\nkind = \"parquet\"\npath = \"out\""),
        &["sink[0].kind: found \"parquet\"; allowed: another kind; differences are written as \
           Parquet by [[export]], with of = \"differences\""],
    );
}

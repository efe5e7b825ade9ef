//! A job that is killed answers as before, from the first moment it is ready.

use serde_json::Value as Json;

use crate::client::{START, Served, place, sets, texts};
use crate::common::{Place, Running};
use crate::harness::{Broker, eventually};
use crate::sketches::{SKETCHES, event};

#[test]
fn a_restarted_job_answers_as_before() {
    let broker = Broker::shared();
    let topic = broker.topic(2);
    let place = place(&format!(
        "segments = \"segments\"\n[clock]\nidle_timeout = \"200ms\"\nmax_out_of_orderness = \"0s\"\n\
         [[source]]\nkind = \"kafka\"\nbrokers = \"{}\"\ntopic = \"{topic}\"\n[[sink]]\n\
         kind = \"file\"\npath = \"differences\"\n[state]\npath = \"state\"\ninterval = \"20ms\"\n\
         [serve]\nlisten = \"127.0.0.1:0\"\n[serve.sketches]\nevents = [\"buy\"]\n\
         segments = [\"pro\"]\npane = \"1d\"\nwindow = \"36500d\"\n",
        broker.address()
    ));
    broker.send(
        &topic,
        0,
        &[
            sets("u1", 0, "plan", "pro"),
            sets("u1", 10, "country", "DE"),
            sets("u2", 20, "plan", "pro"),
            event("u2", 25, "buy", ""),
            sets("u3", 30, "tick", "x"),
        ],
    );
    let served = Served::start(&place);
    served.await_ready();
    served.await_segments("u2", &["pro"]);
    let as_of = |served: &Served| served.get("/readyz").json["as_of"].as_i64().unwrap();
    let seen = as_of(&served);
    let distinct = |served: &Served, query: &str| {
        let answer = served.get(&format!("/v1/distinct?window=36500d&{query}")).fine();
        (answer["estimate"].as_u64().unwrap(), answer["complete_from"].as_i64())
    };
    assert_eq!(distinct(&served, "event=buy"), (1, None));
    assert_eq!(distinct(&served, "segment=pro"), (2, None));
    // A checkpoint that has all of it.
    let newest = || {
        let names = std::fs::read_dir(place.path("state/manifests")).into_iter().flatten();
        names.map(|it| it.unwrap().file_name()).max()
    };
    let (before, mut later) = (newest(), 0);
    eventually("there are checkpoints", || {
        later += usize::from(newest() != before);
        later > 3 && as_of(&served) > seen
    });
    served.kill();
    let mut come = 0;
    for flags in ["--workers 3", ""] {
        let served = Served::start_with(&place, flags);
        served.await_ready();
        assert_eq!(served.segments_of("u1"), ["both", "de", "pro"]);
        assert_eq!(served.segments_of("u2"), ["pro"]);
        let users = served.get("/v1/segments/pro/users").fine();
        assert_eq!(texts(&users["users"]), ["u1", "u2"]);
        let then = served.get("/v1/users/u1/segments?at=1767225600005").fine();
        assert_eq!(texts(&then["segments"]), ["pro"]);
        // What was counted before is counted still.
        assert_eq!(distinct(&served, "event=buy"), (1, None));
        assert_eq!(distinct(&served, "segment=pro&not=event:buy"), (1, None));
        come = as_of(&served) - START;
        served.kill();
    }
    // What a run has missed that did not answer is not known: it begins anew.
    let job = place.text("job.toml");
    place.write("job.toml", job.split_once("[serve]").unwrap().0);
    for partition in [0, 1] {
        broker.send(&topic, partition, &[sets("clock", come + 60_000, "tick", "x")]);
    }
    place.run("run job.toml --until caught-up").fine();
    place.write("job.toml", job);
    let again = Served::start(&place);
    again.await_ready();
    again.get("/v1/users/u1/segments?at=1767225600005").refused(410, "gone");
    assert!(distinct(&again, "event=buy").1.is_some());
    again.kill();
    // Of two processes the first answers, for the users of both.
    let ports = [0; 2].map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let hosts = ports.map(|it| format!("{}\n", it.local_addr().unwrap()));
    place.write("hosts", hosts.concat());
    let other = Running::start(&mut place.command("run job.toml --process 1 --hosts hosts"));
    let served = Served::start_with(&place, "--process 0 --hosts hosts");
    served.await_ready();
    served.await_segments("u1", &["both", "de", "pro"]);
    served.await_segments("u2", &["pro"]);
    // Time goes on by the wall, ahead of which records may be; each is counted by one process or the
    // other.
    let later = as_of(&served) - START + 60_000;
    let buy = |number| {
        let user = format!("u{}", number % 40);
        event(&user, later, "buy", &format!(r#","messageId":"{}""#, number % 60))
    };
    for (partition, records) in [(0, 70), (1, 90)] {
        broker.send(&topic, partition, &(0..records).map(buy).collect::<Vec<_>>());
        broker.send(&topic, partition, &[sets("clock", later + 1, "tick", "x")]);
    }
    eventually("all is counted", || distinct(&served, "event=buy").0 == 40);
    assert_eq!(distinct(&served, "segment=pro&and=event:buy").0, 2);
    assert_eq!(served.end(), Some(0));
    let other = other.end();
    assert!(!other.stderr.contains("listening"), "{other:?}");
}

/// How many records are sent between one crash and the next, and how far they are apart.
const RECORDS: i64 = 1_500;
const APART_MS: i64 = 350;

/// A record of each partition: views and purchases of some pages, some of them twice; a few become
/// professionals, and are no longer.
fn records(partition: i64, numbers: std::ops::Range<i64>) -> Vec<String> {
    let record = |number: i64| {
        let user = format!("u{partition}-{}", number * 7919 % 401);
        let after = number * APART_MS;
        let id = number - i64::from(number % 11 == 0);
        let path = ["/", "/cart", "/pay"][usize::try_from(number % 7 / 3).unwrap()];
        let more = format!(r#","messageId":"{partition}-{id}","properties":{{"path":"{path}"}}"#);
        match number % 5 {
            0 => sets(&user, after, "plan", if number % 3 == 0 { "pro" } else { "free" }),
            1 => event(&user, after, "buy", &more),
            _ => event(&user, after, "page", &more),
        }
    };
    numbers.map(record).collect()
}

/// The job that is killed, and what it is.
fn counting(topic: &str, emit: &str) -> String {
    format!(
        "segments = \"segments\"\n[clock]\nemit = \"{emit}\"\nidle_timeout = \"1h\"\n\
         max_out_of_orderness = \"2s\"\n[[source]]\nkind = \"kafka\"\nbrokers = \"{}\"\n\
         topic = \"{topic}\"\n[[sink]]\nkind = \"file\"\npath = \"differences\"\n[state]\n\
         path = \"state\"\ninterval = \"50ms\"\n[serve]\nlisten = \"127.0.0.1:0\"\n{SKETCHES}",
        Broker::shared().address()
    )
}

fn as_of(served: &Served) -> Option<i64> {
    served.get("/readyz").json["as_of"].as_i64()
}

/// Runs it with each of these flags, and kills it somewhere within what it is given, some checkpoints
/// after the one it goes on from. How many records each partition has.
fn crash(place: &Place, topic: &str, flags: &[&str], behind_ms: i64) -> i64 {
    let newest = || {
        let names = std::fs::read_dir(place.path("state/manifests")).into_iter().flatten();
        names.map(|it| it.unwrap().file_name()).max()
    };
    let mut sent = 0;
    for flags in flags {
        let served = Served::start_with(place, flags);
        let (before, first) = (newest(), sent);
        while sent < first + RECORDS {
            for partition in [0, 1] {
                let records = records(partition.into(), sent..sent + 100);
                Broker::shared().send(topic, partition, &records);
            }
            sent += 100;
            let come = START + (sent - 100) * APART_MS - behind_ms;
            eventually("it is read", || as_of(&served) >= Some(come));
        }
        eventually("there is a checkpoint", || newest() != before);
        served.kill();
    }
    sent
}

#[test]
fn what_was_counted_outlives_crashes_and_counts_once() {
    let topic = Broker::shared().topic(2);
    let job = counting(&topic, "on_watermark");
    let (crashing, whole) = (place(&job), place(&job));
    let flags = ["--workers 1", "--workers 3", "--workers 2", "--workers 3"];
    let sent = crash(&crashing, &topic, &flags, 2_001);
    let end = START + (sent - 1) * APART_MS - 2_001;
    let questions = [
        "distinct?event=buy",
        "distinct?event=buy&window=7m",
        "distinct?segment=pro",
        "distinct?segment=pro&window=3m",
        "distinct?segment=pro&and=event:buy&window=20m",
        "top?event=page&by=path",
        "top?event=page&by=path&window=11m",
        "segments/pro",
        "segments",
    ];
    let answers = |place, flags| {
        let served = Served::start_with(place, flags);
        eventually("all of it is read", || as_of(&served) == Some(end));
        let answers = questions.map(|it| served.get(&format!("/v1/{it}")).fine());
        assert_eq!(served.end(), Some(0));
        answers
    };
    let (found, expected) = (answers(&crashing, "--workers 1"), answers(&whole, "--workers 2"));
    for (question, (found, expected)) in questions.iter().zip(found.iter().zip(&expected)) {
        assert_eq!(found, expected, "{question}");
    }
    let [buyers, .., top, _, _, _] = &found;
    assert!(buyers["estimate"].as_i64() > Some(300), "{buyers}");
    assert_eq!(buyers["complete_from"], Json::Null);
    assert!(top["total"].as_i64() > Some(5_000), "{top}");
    // What is added to the job begins then, and the rest goes on.
    let more = SKETCHES.replace("\"shop.*\"", "\"page\"");
    crashing.write("job.toml", job.replace(SKETCHES, &more));
    let served = Served::start(&crashing);
    eventually("it has come as far", || as_of(&served) == Some(end));
    let distinct = |query: &str| served.get(&format!("/v1/distinct?{query}")).fine();
    assert_eq!(&distinct("event=buy"), buyers);
    let pages = distinct("event=page");
    assert!(pages["complete_from"].as_i64() > Some(START), "{pages}");
    assert_eq!(served.end(), Some(0));
}

#[test]
fn what_takes_effect_as_it_comes_is_counted_once_too() {
    let topic = Broker::shared().topic(2);
    let job = counting(&topic, "on_event");
    let (crashing, whole) = (place(&job), place(&job));
    let sent = crash(&crashing, &topic, &["--workers 2", "--workers 1", "--workers 3"], 1);
    let end = START + (sent - 1) * APART_MS;
    let answers = |place, flags| {
        let served = Served::start_with(place, flags);
        // All there was when it began is in.
        served.await_ready();
        assert!(as_of(&served) >= Some(end));
        let top = served.get("/v1/top?event=page&by=path").fine();
        let buyers = served.get("/v1/distinct?event=buy").fine();
        assert_eq!(served.end(), Some(0));
        [top["total"].clone(), top["values"].clone(), buyers["estimate"].clone()]
    };
    assert_eq!(answers(&crashing, "--workers 2"), answers(&whole, "--workers 1"));
}

#[test]
fn it_is_ready_when_what_other_processes_read_is_in_too() {
    let broker = Broker::shared();
    let topic = broker.topic(2);
    // One that the second process reads holds all of it.
    let users: Vec<_> = (0..30_000).map(|it| sets(&format!("u{it}"), it, "plan", "pro")).collect();
    broker.send(&topic, 1, &users);
    broker.send(&topic, 1, &[sets("clock", 30_000, "tick", "x")]);
    let place = place(&format!(
        "segments = \"segments\"\n[clock]\nidle_timeout = \"100ms\"\nmax_out_of_orderness = \"0s\"\n\
         [[source]]\nkind = \"kafka\"\nbrokers = \"{}\"\ntopic = \"{topic}\"\n[[sink]]\n\
         kind = \"file\"\npath = \"differences\"\n[serve]\nlisten = \"127.0.0.1:0\"\n",
        broker.address()
    ));
    let ports = [0; 2].map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let hosts = ports.map(|it| format!("{}\n", it.local_addr().unwrap()));
    place.write("hosts", hosts.concat());
    let other = Running::start(&mut place.command("run job.toml --process 1 --hosts hosts"));
    let served = Served::start_with(&place, "--process 0 --hosts hosts");
    served.await_ready();
    assert_eq!(served.get("/v1/segments/pro").fine()["size"], 30_000);
    assert_eq!(served.end(), Some(0));
    other.end();
}

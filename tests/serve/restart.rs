//! A job that is killed answers as before, from the first moment it is ready.

use crate::client::{START, Served, place, sets, texts};
use crate::common::Running;
use crate::harness::{Broker, eventually};
use crate::sketches::event;

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
    for flags in ["--workers 2", ""] {
        let served = Served::start_with(&place, flags);
        served.await_ready();
        assert_eq!(served.segments_of("u1"), ["both", "de", "pro"]);
        assert_eq!(served.segments_of("u2"), ["pro"]);
        let users = served.get("/v1/segments/pro/users").fine();
        assert_eq!(texts(&users["users"]), ["u1", "u2"]);
        served.get("/v1/users/u1/segments?at=1767225600005").refused(410, "gone");
        // What was counted before is counted no longer, and that is told. Members are known.
        let (buyers, complete_from) = distinct(&served, "event=buy");
        assert!(buyers == 0 && complete_from > Some(seen), "{buyers} {complete_from:?}");
        let (users, complete_from) = distinct(&served, "segment=pro&not=event:buy");
        assert!(users == 2 && complete_from > Some(seen), "{users} {complete_from:?}");
        served.kill();
    }
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

//! A job that is killed answers as before, from the first moment it is ready.

use crate::client::{Served, place, sets, texts};
use crate::harness::{Broker, eventually};

#[test]
fn a_restarted_job_answers_as_before() {
    let broker = Broker::shared();
    let topic = broker.topic(1);
    let place = place(&format!(
        "segments = \"segments\"\n[clock]\nidle_timeout = \"200ms\"\nmax_out_of_orderness = \"0s\"\n\
         [[source]]\nkind = \"kafka\"\nbrokers = \"{}\"\ntopic = \"{topic}\"\n[[sink]]\n\
         kind = \"file\"\npath = \"differences\"\n[state]\npath = \"state\"\ninterval = \"20ms\"\n\
         [serve]\nlisten = \"127.0.0.1:0\"\n",
        broker.address()
    ));
    broker.send(
        &topic,
        0,
        &[
            sets("u1", 0, "plan", "pro"),
            sets("u1", 10, "country", "DE"),
            sets("u2", 20, "plan", "pro"),
            sets("u3", 30, "tick", "x"),
        ],
    );
    let served = Served::start(&place);
    served.await_ready();
    served.await_segments("u2", &["pro"]);
    let as_of = |served: &Served| served.get("/readyz").json["as_of"].as_i64().unwrap();
    let seen = as_of(&served);
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
        served.kill();
    }
    let served = Served::start(&place);
    broker.send(&topic, 0, &[sets("late", 0, "plan", "pro")]);
    served.await_ready();
    assert_eq!(served.segments_of("u1"), ["both", "de", "pro"]);
    assert_eq!(served.end(), Some(0));
}

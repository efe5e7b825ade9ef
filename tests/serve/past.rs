//! The last differences, and by them the past, outlive a job that is killed.

use std::ops::Range;

use serde_json::Value as Json;

use crate::client::{Events, START, Served, place, sets, texts};
use crate::common::{Place, Running, hosts};
use crate::harness::eventually;

/// Records come from clients; time goes on by them alone.
const JOB: &str = "segments = \"segments\"\n[clock]\nmax_out_of_orderness = \"0s\"\n\
    idle_timeout = \"1h\"\n[[source]]\nkind = \"http\"\n[[sink]]\nkind = \"file\"\n\
    path = \"differences\"\n[state]\npath = \"state\"\ninterval = \"20ms\"\n\
    [serve]\nlisten = \"127.0.0.1:0\"\n";
/// How far records are apart.
const APART_MS: i64 = 10;

/// One record after the other: some come and go often, of others that come it is told once.
fn records(numbers: Range<i64>) -> Vec<String> {
    let record = |number: i64| {
        let user = if number % 5 == 0 { format!("u{number}") } else { format!("u{}", number % 7) };
        let (key, value) =
            [("plan", "pro"), ("country", "DE"), ("plan", "free"), ("country", "FR")]
                [usize::try_from(number / 7 % 4).unwrap()];
        sets(&user, number * APART_MS, key, value)
    };
    numbers.map(record).collect()
}

fn send(served: &Served, numbers: Range<i64>) {
    let body = format!(r#"{{"batch":[{}]}}"#, records(numbers).join(","));
    served.ask("POST", "/v1/batch", &[], &body).fine();
}

fn as_of(served: &Served) -> Option<i64> {
    served.get("/readyz").json["as_of"].as_i64()
}

/// All there are of so many records, but for the last instant, which is not over.
fn expected(place: &Place, count: i64) -> Vec<Json> {
    place.write("sent.jsonl", records(0..count).join("\n"));
    let words = "replay --segments segments --events sent.jsonl --max-out-of-orderness 0s";
    place.run(&format!("{words} --out replayed")).fine();
    let last = START + (count - 1) * APART_MS;
    let mut all = place.json_lines("replayed");
    all.retain(|it| it["time"].as_i64() < Some(last));
    all
}

/// Waits until all but the last instant of so many records is in a checkpoint.
fn await_checkpoint(place: &Place, count: i64) {
    let end = START + (count - 1) * APART_MS;
    eventually("there is a checkpoint of it", || {
        let files = std::fs::read_dir(place.path("state/manifests")).into_iter().flatten();
        let paths = files.map(|it| it.unwrap().path());
        let json = paths.filter(|path| path.extension().is_some_and(|it| it == "json"));
        let newest = json.max().and_then(|path| std::fs::read(path).ok());
        let manifest = newest.and_then(|it| serde_json::from_slice::<Json>(&it).ok());
        manifest.is_some_and(|it| it["frontier"] == end)
    });
}

/// A client that is cut off, and goes on where it was.
struct Follower {
    events: Option<Events>,
    last: Option<String>,
    got: Vec<Json>,
}

impl Follower {
    fn connect(&mut self, served: &Served) {
        // As browsers do it.
        let header = self.last.iter().map(|id| format!("last-event-id: {id}\r\n"));
        let path = format!("/v1/diffs?since={}", START - 1);
        self.events = Some(served.stream(&path, &header.collect::<String>()));
    }

    /// Reads until there are so many.
    fn read(&mut self, count: usize) {
        while self.got.len() < count {
            let event = self.events.as_mut().unwrap().next().unwrap();
            assert_eq!(event.kind, "", "{event:?}");
            let time = event.id.split_once('.').unwrap().0;
            assert_eq!(event.data["time"].to_string(), time);
            self.last = Some(event.id);
            self.got.push(event.data);
        }
    }
}

/// In which segments some were at some times that are long over.
fn at_times(served: &Served) -> Vec<Vec<String>> {
    let users = ["u0", "u3", "u5", "u40", "u6"];
    let times = (0..12).map(|it| START + it * 97);
    let asked = times.flat_map(|at| users.map(|user| format!("/v1/users/{user}/segments?at={at}")));
    let mut answers: Vec<_> =
        asked.map(|path| texts(&served.get(&path).fine()["segments"])).collect();
    let page = served.get(&format!("/v1/segments/pro/users?at={}", START + 900)).fine();
    answers.push(texts(&page["users"]));
    answers
}

#[test]
fn a_client_gets_every_difference_once_over_kills() {
    let place = place(JOB);
    let counts = [150, 400, 403, 700, 1_000];
    let expected = expected(&place, 1_000);
    let by = |count: i64| {
        let over = START + (count - 1) * APART_MS;
        expected.iter().filter(|it| it["time"].as_i64() < Some(over)).count()
    };
    let mut follower = Follower { events: None, last: None, got: Vec::new() };
    let (mut sent, mut before) = (0, None);
    let flags = ["--workers 1", "--workers 3", "--workers 2", "--workers 3", "--workers 1"];
    for (flags, count) in flags.into_iter().zip(counts) {
        let served = Served::start_with(&place, flags);
        if follower.last.is_some() {
            follower.connect(&served); // at once: it may be ahead of the job
        }
        send(&served, sent..count);
        sent = count;
        if follower.last.is_none() {
            eventually("time goes on", || as_of(&served) > Some(START));
            follower.connect(&served);
        }
        follower.read(by(count));
        let answers = at_times(&served);
        assert_eq!(before.get_or_insert_with(|| answers.clone()), &answers, "{flags}");
        if count == 1_000 {
            await_checkpoint(&place, count);
        }
        served.kill();
    }
    // Of two processes the first has it.
    hosts(&place, 2);
    let other = Running::start(&mut place.command("run job.toml --process 1 --hosts hosts"));
    let served = Served::start_with(&place, "--process 0 --hosts hosts");
    follower.connect(&served);
    let (mut anew, before_it) = (served.stream("/v1/diffs", ""), follower.got.len());
    served.await_ready();
    assert_eq!(before.as_ref(), Some(&at_times(&served)));
    send(&served, 1_000..1_020);
    let expected = self::expected(&place, 1_020);
    follower.read(expected.len());
    assert!(follower.got == expected, "each once, in order");
    // Who asks for what comes from now on is not told what was.
    assert_eq!(anew.next().unwrap().data, expected[before_it]);
    assert_eq!(served.end(), Some(0));
    other.end().fine();
}

#[test]
fn what_is_retained_no_longer_is_gone_after_a_kill_too() {
    let place = place(&format!("{JOB}differences = 100\n"));
    let served = Served::start(&place);
    send(&served, 0..600);
    let end = START + 599 * APART_MS;
    eventually("all of it is read", || as_of(&served) == Some(end - 1));
    let earliest = |served: &Served| {
        let path = format!("/v1/users/u1/segments?at={START}");
        served.get(&path).refused(410, "gone")["hint"].as_str().unwrap().to_owned()
    };
    let before = earliest(&served);
    await_checkpoint(&place, 600);
    served.kill();
    let served = Served::start_with(&place, "--workers 2");
    served.await_ready();
    assert!(earliest(&served) >= before, "{} {before}", earliest(&served));
    let lately = format!("/v1/users/u1/segments?at={}", end - 300);
    served.get(&lately).fine();
    assert_eq!(served.end(), Some(0));
    place.run("state --job job.toml --check").fine();
}

//! What wall time has decided stays so after a crash, though no checkpoint knows of it.

use std::time::{SystemTime, UNIX_EPOCH};

use dataflows::model::time::parse_time;
use serde_json::Value as Json;

use crate::common::{BUSY_SEGMENTS, Place};
use crate::harness::{Broker, eventually};
use crate::{Live, check, clickstream, from_topic, job, new_name, to_topic};

/// Never due while the test runs: all there is are decisions.
const STATE: &str = "[state]\npath = \"state\"\ninterval = \"1h\"\n";

fn keep(place: &Place, clock: &str) {
    let text = place.text("job.toml").replace("idle_timeout = \"1h\"\n", clock);
    place.write("job.toml", format!("{text}\n{STATE}"));
}

fn pro(user: &str, time: i64) -> String {
    format!(
        r#"{{"type":"identify","userId":"{user}","timestamp":{time},"traits":{{"plan":"pro"}}}}"#
    )
}

#[test]
fn what_was_late_because_its_partition_was_idle_stays_late() {
    let (broker, place) = (Broker::shared(), Place::new());
    place.write("segments.json", crate::common::SEGMENTS);
    let topic = broker.topic(2);
    let [diffs, late] = ["diffs", "late"].map(|what| new_name(broker, what));
    let sinks = [("differences", &diffs), ("late", &late)];
    job(&place, &from_topic(broker, &topic), &sinks.map(|(of, to)| to_topic(broker, of, to, "")));
    keep(&place, "idle_timeout = \"300ms\"\n");
    place.write("job.toml", place.text("job.toml").replace("\"9s\"", "\"0s\""));
    let users = |topic: &str| -> Vec<String> {
        let values = broker.read(topic).into_iter();
        let json = values.map(|it| serde_json::from_str::<Json>(it.value()).unwrap());
        let user =
            |it: &Json| it["user"].as_str().or(it["record"]["userId"].as_str()).map(str::to_owned);
        json.map(|it| user(&it).unwrap()).collect()
    };
    let time = now() - 60_000;
    broker.send(&topic, 0, &[pro("u", time)]);
    let live = Live::start(&place, "run job.toml");
    eventually("time goes on with the wall", || users(&diffs) == ["u"]);
    broker.send(&topic, 1, &[pro("old", time - 20_000)]);
    eventually("it is late", || users(&late) == ["old"]);
    live.kill();
    // It would have been late as well, had it come before the crash.
    broker.send(&topic, 0, &[pro("gone", time + 1)]);
    let live = Live::start(&place, "run job.toml");
    eventually("it is late, too", || users(&late).contains(&"gone".to_owned()));
    broker.send(&topic, 1, &[pro("new", now() + 1_000)]);
    eventually("who is in time enters", || users(&diffs).contains(&"new".to_owned()));
    live.kill();
    assert_eq!((users(&diffs), users(&late)), (strings(["u", "new"]), strings(["old", "gone"])));
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

fn strings<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

#[test]
fn a_definition_comes_into_force_again_when_it_did() {
    const NEW: &str = r#"{"id":"carting","rules":{"event":"add_to_cart","aggregate":"count","window":"9s","op":"gte","value":1}}"#;
    let (broker, place) = (Broker::shared(), Place::new());
    clickstream(&place, 6_000);
    let topic = broker.topic(1);
    let diffs = new_name(broker, "diffs");
    job(&place, &from_topic(broker, &topic), &[to_topic(broker, "differences", &diffs, "")]);
    keep(&place, "idle_timeout = \"1h\"\n");
    let whole = place.text("whole.jsonl");
    let lines: Vec<&str> = whole.lines().collect();
    let mut sent = 0;
    let mut send = |count: usize| {
        let end = lines.len().min(sent + count);
        broker.send(&topic, 0, &lines[sent..end]);
        sent = end;
    };
    send(1_500);
    let live = Live::start(&place, "run job.toml");
    eventually("it gives out", || !broker.read(&diffs).is_empty());
    let list = BUSY_SEGMENTS.trim_end().strip_suffix(']').unwrap();
    place.write("segments.json", format!("{list},{NEW}]"));
    let mut said = None;
    eventually("it is in force", || {
        send(10);
        said = live.has_said("is in force from ");
        said.is_some()
    });
    let said = said.unwrap();
    let time_in = |words: &str| {
        let after = said.split(words).nth(1).unwrap_or_else(|| panic!("{words} in {said}"));
        parse_time(after.split([';', ' ', '\n']).next().unwrap()).unwrap()
    };
    let (time, complete) = (time_in("is in force from "), time_in("complete from "));
    let of = |json: &Json| (json["time"].as_i64().unwrap(), json["segment"] == "carting");
    eventually("what it says is given out", || {
        send(10);
        let mut seen = broker.read(&diffs).into_iter();
        seen.any(|it| of(&serde_json::from_str(it.value()).unwrap()).1)
    });
    live.kill();
    // Edited while it is down: of what has been given out nothing is said anew.
    place.write("segments.json", BUSY_SEGMENTS);
    let before = broker.read(&diffs);
    let live = Live::start(&place, "run job.toml");
    let mut deleted = None;
    eventually("it is deleted", || {
        send(10);
        deleted = live.has_said("carting is deleted from ");
        deleted.is_some()
    });
    let deleted = deleted.unwrap();
    let deleted = deleted.split("deleted from ").nth(1).unwrap().split(';').next().unwrap();
    let deleted = parse_time(deleted).unwrap();
    send(lines.len());
    let last = r#"{"type":"page","userId":"z","timestamp":1767312100000}"#;
    broker.send(&topic, 0, &[last.replace("2100000", "2000000"), last.to_owned()]);
    let changes = [
        format!(r#"{{"time":{time},"put":{NEW}}}"#),
        format!(r#"{{"time":{deleted},"delete":"carting"}}"#),
    ];
    place.write("changes.jsonl", changes.join("\n"));
    let flags =
        "--events whole.jsonl --changes changes.jsonl --max-out-of-orderness 9s --out whole";
    place.replay(flags).fine();
    // A replay sees all of the past; the job, from `complete` on.
    let counts = |line: &str| {
        let (time, is_new) = of(&serde_json::from_str(line).unwrap());
        !is_new || time > complete
    };
    let expected: Vec<String> =
        place.text("whole").lines().filter(|it| counts(it)).map(str::to_owned).collect();
    let seen = || {
        let seen = broker.read(&diffs).into_iter();
        seen.filter(|it| counts(it.value())).collect::<Vec<_>>()
    };
    eventually("all is given out", || seen().len() >= expected.len());
    live.kill();
    check(&seen(), &expected);
    assert_eq!(broker.read(&diffs)[..before.len()], before);
}

#[test]
fn what_comes_while_a_job_is_down_that_began_with_the_latest_is_read() {
    let (broker, place) = (Broker::shared(), Place::new());
    place.write("segments.json", crate::common::SEGMENTS);
    let topic = broker.topic(1);
    let diffs = new_name(broker, "diffs");
    let source = format!("{}start = \"latest\"\n", from_topic(broker, &topic));
    job(&place, &source, &[to_topic(broker, "differences", &diffs, "")]);
    keep(&place, "idle_timeout = \"1h\"\n");
    broker.send(&topic, 0, &[pro("before", 1_767_225_600_000)]);
    let live = Live::start(&place, "run job.toml");
    let decisions = place.path("state/decisions");
    eventually("it is known where it began", || {
        let files = std::fs::read_dir(&decisions).into_iter().flatten().flatten();
        // A file that is still being written has another name: nobody would find it again.
        let files = files.filter(|it| !it.file_name().to_string_lossy().contains('#'));
        let text = |it: std::fs::DirEntry| std::fs::read_to_string(it.path()).unwrap_or_default();
        files.map(text).any(|text| text.contains("joined"))
    });
    live.kill();
    let times = [1_767_225_600_000, 1_767_225_660_000];
    broker.send(&topic, 0, &[pro("meanwhile", times[0]), pro("later", times[1])]);
    let live = Live::start(&place, "run job.toml");
    eventually("it is read", || !broker.read(&diffs).is_empty());
    live.kill();
    assert!(broker.read(&diffs).iter().all(|it| it.key == "meanwhile"));
}

//! What sketches count: distinct users, the most frequent values, memberships to hand out.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};

use crate::client::{JOB, START, Served, place, pypi, sets};
use crate::harness::eventually;

const MINUTE: i64 = 60_000;
/// What the job counts.
pub(crate) const SKETCHES: &str = "[serve.sketches]\nevents = [\"buy\", \"shop.*\"]\nsegments = [\"pro\", \"de\"]\n\
    top = [{ event = \"page\", by = \"path\" }]\npane = \"1s\"\nwindow = \"1h\"\n";

/// An event of a user, so many milliseconds after the start.
pub(crate) fn event(user: &str, after_ms: i64, name: &str, more: &str) -> String {
    let time = START + after_ms;
    format!(r#"{{"type":"track","userId":"{user}","event":"{name}","timestamp":{time}{more}}}"#)
}

/// Time has come so far after the start.
pub(crate) fn await_time(served: &Served, after_ms: i64) {
    served.send(&[sets("clock", after_ms, "tick", "x")]);
    let as_of = |served: &Served| served.get("/readyz").json["as_of"].as_i64();
    eventually("time goes on", || as_of(served) >= Some(START + after_ms));
}

fn counts(answer: &Json) -> (u64, u64, u64) {
    let of = |key: &str| answer[key].as_u64().unwrap();
    (of("low"), of("estimate"), of("high"))
}

#[test]
fn distinct_users_are_counted_over_windows_each_once() {
    let place = place(&format!("{JOB}{SKETCHES}"));
    let served = Served::start_with(&place, "--workers 2");
    served.get("/v1/distinct?event=buy").refused(409, "not_yet");
    let mut records = Vec::new();
    for number in 0..200 {
        let user = format!("u{}", number % 50);
        records.push(event(&user, number * 1_000, "buy", ""));
        records.push(event(&user, number * 1_000, "shop.cart", ""));
        records.push(event(&format!("v{number}"), number * 1_000, "shop.view", ""));
        records.push(event(&user, number * 1_000, "other", ""));
    }
    served.send(&records);
    await_time(&served, 200_000);
    let exactly = |query: &str, expected: u64| {
        let answer = served.get(&format!("/v1/distinct?{query}")).fine();
        assert_eq!(counts(&answer), (expected, expected, expected), "{query}: {answer}");
        assert_eq!((&answer["method"], &answer["confidence"]), (&"exact".into(), &1.0.into()));
        assert_eq!(answer["complete_from"], Json::Null);
        answer
    };
    let answer = exactly("event=buy", 50);
    assert_eq!((&answer["of"], &answer["with"]), (&json!({"event": "buy"}), &Json::Null));
    assert_eq!(answer["final"], false, "more may come");
    // The window begins with a pane, at most one before it would.
    let answer = exactly("event=buy&window=20s", 20);
    assert_eq!(
        (&answer["from"], &answer["to"]),
        (&(START + 180_000).into(), &(START + 200_000).into())
    );
    exactly("event=buy&window=19500ms", 20);
    exactly("event=buy&window=19s", 19);
    exactly("event=shop.*", 250);
    exactly("event=shop.*&and=event:buy", 50);
    exactly("event=shop.*&not=event:buy", 200);
    exactly("event=buy&or=event:shop.*", 250);
    served.get("/v1/distinct?event=other").refused(404, "not_counted");
    served.get("/v1/distinct?segment=both").refused(404, "not_counted");
    served.get("/v1/distinct?segment=none").refused(404, "unknown_segment");
    for wrong in [
        "",
        "?event=buy&segment=pro",
        "?event=buy&window=2h",
        "?event=buy&window=0s",
        "?event=buy&and=buy",
        "?event=buy&and=event:buy&not=event:buy",
    ] {
        served.get(&format!("/v1/distinct{wrong}")).refused(400, "bad_request");
    }
    // An hour later all of it is over.
    await_time(&served, 200_000 + 61 * MINUTE);
    exactly("event=buy", 0);
    assert_eq!(served.end(), Some(0));
}

#[test]
fn estimates_of_many_users_are_near_the_exact_counts() {
    let place = place(&format!("{JOB}{SKETCHES}"));
    let served = Served::start_with(&place, "--workers 2");
    let (mut buyers, mut pros, mut records) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for number in 0..24_000_u64 {
        let user = format!("u{}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40);
        let after = i64::try_from(number / 20).unwrap();
        if number % 3 == 0 {
            records.push(sets(&user, after, "plan", "pro"));
            pros.insert(user.clone());
        }
        if number % 4 != 1 {
            records.push(event(&user, after, "buy", ""));
            buyers.insert(user);
        }
    }
    records.chunks(1_000).for_each(|some| served.send(some));
    await_time(&served, 2_000);
    let near = |query: &str, truth: usize, method: &str| {
        let answer = served.get(&format!("/v1/distinct?{query}")).fine();
        assert_eq!(answer["method"], method, "{answer}");
        let (low, estimate, high) = counts(&answer);
        let truth = u64::try_from(truth).unwrap();
        // Bounds of two deviations may miss; twice as wide ones do not, with these users.
        assert!(
            truth + (estimate - low) >= low && truth <= high + (high - estimate),
            "{truth}: {answer}"
        );
        assert!(low < estimate && estimate < high, "{answer}");
        assert_eq!(answer["confidence"], 0.95);
        assert!(answer["error"].as_f64().unwrap() < 0.12, "{answer}");
    };
    near("event=buy", buyers.len(), "hyperloglog");
    near("segment=pro", pros.len(), "theta");
    near("event=buy&and=segment:pro", buyers.intersection(&pros).count(), "theta");
    near("event=buy&not=segment:pro", buyers.difference(&pros).count(), "theta");
    near("segment=pro&or=event:buy", buyers.union(&pros).count(), "theta");
    assert_eq!(served.end(), Some(0));
}

#[test]
fn a_second_copy_is_not_counted_and_neither_is_what_is_late() {
    let job = JOB.replace("on_event\"", "on_watermark\"\nmax_out_of_orderness = \"10s\"");
    let place = place(&format!("{job}{SKETCHES}"));
    let served = Served::start_with(&place, "--workers 2");
    let id = |id: &str| format!(r#","messageId":"{id}","properties":{{"path":"/a"}}"#);
    let mut records = Vec::new();
    for number in 0..60_i64 {
        // Out of order within what is allowed, and all of it twice.
        let record =
            event(&format!("u{number}"), (number ^ 3) * 1_000, "page", &id(&number.to_string()));
        records.extend([record.clone(), record]);
    }
    records.push(event("late", 20_000, "page", &id("late")));
    records.push(event("late", 20_000, "buy", ""));
    records.push(event("u1", 60_000, "buy", ""));
    served.send(&records);
    served.send(&[sets("clock", 80_000, "tick", "x")]);
    let top = || served.get("/v1/top?event=page&by=path").fine();
    eventually("all of it is counted", || {
        let answer = served.get("/v1/top?event=page&by=path");
        answer.status == 200 && answer.json["to"].as_i64() >= Some(START + 69_999)
    });
    let answer = top();
    assert_eq!(
        (&answer["total"], &answer["values"][0]["count"]),
        (&60.into(), &60.into()),
        "{answer}"
    );
    assert_eq!(answer["final"], true);
    let buyers = served.get("/v1/distinct?event=buy").fine();
    assert_eq!(counts(&buyers).1, 1, "{buyers}");
    let tail = served.get("/v1/top?event=page&by=path&window=20s").fine();
    assert_eq!(tail["total"], 10, "those of the seconds 50 to 59: {tail}");
    assert_eq!(served.end(), Some(0));
}

#[test]
fn who_was_in_a_segment_within_a_window_is_counted() {
    let place = place(&format!("{JOB}{SKETCHES}"));
    let served = Served::start(&place);
    let mut records = Vec::new();
    for number in 0..100 {
        records.push(sets(&format!("u{number}"), number * 100, "plan", "pro"));
    }
    for number in 0..60 {
        records.push(sets(&format!("u{number}"), 20_000 + number * 1_000, "plan", "free"));
    }
    for number in 50..55 {
        records.push(event(&format!("u{number}"), 80_000, "buy", ""));
    }
    served.send(&records);
    await_time(&served, 80_000);
    let exactly = |query: &str, expected: u64| {
        let answer = served.get(&format!("/v1/distinct?{query}")).fine();
        assert_eq!(counts(&answer), (expected, expected, expected), "{query}: {answer}");
    };
    exactly("segment=pro", 100);
    // 40 are in it, and those who left in the seconds 70 to 79 were.
    exactly("segment=pro&window=11s", 50);
    exactly("segment=pro&window=1s", 40);
    exactly("event=buy&and=segment:pro&window=11s", 5);
    exactly("event=buy&and=segment:pro&window=1s", 0);
    exactly("segment=pro&not=event:buy&window=11s", 45);
    exactly("segment=pro&or=segment:de&window=11s", 50);
    assert_eq!(served.end(), Some(0));
}

#[test]
fn the_most_frequent_values_are_listed() {
    let place = place(&format!("{JOB}{SKETCHES}"));
    let served = Served::start_with(&place, "--workers 2");
    let (mut truth, mut records) = (BTreeMap::<String, u64>::new(), Vec::new());
    for number in 0..6_000_i64 {
        let path = match number % 10 {
            0..=3 => "/".to_owned(),
            4 | 5 => "/cart".to_owned(),
            6 if number % 3 == 0 => "/pay".to_owned(),
            _ => format!("/item/{number}"),
        };
        let properties = format!(r#","properties":{{"path":"{path}"}}"#);
        records.push(event(&format!("u{}", number % 7), number / 2, "page", &properties));
        *truth.entry(path).or_default() += 1;
    }
    records.push(event("u1", 3_000, "page", ""));
    records.push(event("u1", 3_000, "page", r#","properties":{"path":["/"]}"#));
    records.push(event("u1", 3_000, "page", r#","properties":{"path":7}"#));
    records.chunks(1_000).for_each(|some| served.send(some));
    await_time(&served, 3_001);
    let answer = served.get("/v1/top?event=page&by=path&window=1m").fine();
    assert_eq!((&answer["total"], &answer["unranked"]), (&6_001.into(), &2.into()), "{answer}");
    let (values, error) = (answer["values"].as_array().unwrap(), answer["error"].as_u64().unwrap());
    assert_eq!(error, 13);
    let listed: Vec<_> = values.iter().take(3).map(|it| it["value"].as_str().unwrap()).collect();
    assert_eq!(listed, ["/", "/cart", "/pay"]);
    for value in values {
        let (count, at_least) =
            (value["count"].as_u64().unwrap(), value["at_least"].as_u64().unwrap());
        let truth = truth.get(value["value"].as_str().unwrap_or_default()).copied().unwrap_or(1);
        assert!(truth <= count && count <= truth + error && at_least <= truth, "{value}: {truth}");
    }
    assert_eq!(answer["overestimates_only"], true);
    let one = served.get("/v1/top?event=page&by=path&limit=1").fine();
    assert_eq!(one["values"].as_array().unwrap().len(), 1);
    served.get("/v1/top?event=page&by=title").refused(404, "not_counted");
    served.get("/v1/top?event=page&by=path&window=1y").refused(400, "bad_request");
    served.get("/v1/top?event=page").refused(400, "bad_request");
    assert_eq!(served.end(), Some(0));
}

#[test]
fn a_job_that_counts_nothing_says_so() {
    let place = place(JOB);
    let served = Served::start(&place);
    let error = served.get("/v1/distinct?event=buy").refused(404, "not_counted");
    assert!(error["hint"].as_str().unwrap().contains("[serve.sketches]"), "{error}");
    served.get("/v1/top?event=page&by=path").refused(404, "not_counted");
    assert_eq!(served.end(), Some(0));
}

/// Which of these users a filter knows, as another program reads it.
fn known(place: &crate::common::Place, filter: &[u8], users: &[String]) -> Vec<bool> {
    std::fs::write(place.path("filter"), filter).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/serve/bloom.py");
    let mut child = Command::new(pypi("xxhash", "4.1.0").join("python"))
        .args([script, place.path("filter")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let text = format!("{}\n", users.join("\n"));
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()).unwrap());
    let done = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(done.status.success());
    String::from_utf8(done.stdout).unwrap().lines().map(|line| line == "1").collect()
}

#[test]
fn members_are_handed_out_to_be_asked_elsewhere() {
    let place = place(JOB);
    let served = Served::start(&place);
    let (_, empty) = {
        served.send(&[sets("u", 0, "plan", "free")]);
        eventually("time goes on", || served.get("/v1/segments/pro/bloom").status == 200);
        served.bytes("/v1/segments/pro/bloom")
    };
    let members: Vec<_> = (0..3_000).map(|it| format!("mémber-{it}")).collect();
    let others: Vec<_> = (0..20_000).map(|it| format!("other-{it}")).collect();
    served.send(&members.iter().map(|it| sets(it, 10, "plan", "pro")).collect::<Vec<_>>());
    await_time(&served, 20);
    assert!(known(&place, &empty, &members).iter().all(|is_known| !is_known));
    for (query, asked_for) in [("", 0.01), ("?false_positives=0.001", 0.001)] {
        let (headers, filter) = served.bytes(&format!("/v1/segments/pro/bloom{query}"));
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        assert_eq!(header("rivulet-users"), "3000");
        assert_eq!(header("rivulet-as-of"), (START + 20).to_string());
        assert_eq!(header("rivulet-false-positives"), asked_for.to_string());
        assert!(known(&place, &filter, &members).iter().all(|is_known| *is_known));
        let wrong = known(&place, &filter, &others).iter().filter(|is_known| **is_known).count();
        let expected = asked_for * 20_000.0;
        assert!((wrong as f64) < expected + 5.0 * f64::sqrt(expected), "{wrong}");
        assert!(wrong > 0, "none is taken for a member: the filter is too large");
    }
    served.get("/v1/segments/none/bloom").refused(404, "unknown_segment");
    served.get("/v1/segments/pro/bloom?false_positives=0").refused(400, "bad_request");
    served.get("/v1/segments/pro/bloom?false_positives=often").refused(400, "bad_request");
    assert_eq!(served.end(), Some(0));
}

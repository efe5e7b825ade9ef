//! Killed at any moment, torn, and on a disk that is full: what was acknowledged takes effect, and
//! what is sent again takes effect once.

use std::cell::Cell;
use std::fs;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::{BUSY_SEGMENTS, Place, Running, hosts};
use crate::{BASIC, Live, job, lines_with, post, until};

const T0: i64 = 1_767_225_600_000;
/// Batches that are on their way at a time, and events in each.
const AT_ONCE: usize = 4;
const EVENTS: usize = 20;
/// Time stands still without records: what is sent is of long ago.
const CLOCK: &str = "max_out_of_orderness = \"1m\"\nidle_timeout = \"1d\"";

/// The events of a batch, five seconds of event time.
fn events(batch: usize) -> Vec<String> {
    let event = |place: usize| {
        let number = batch * EVENTS + place;
        let time = T0 + i64::try_from(number * 250).unwrap();
        let (user, name) = (number * number / 3 % 13, ["page_view", "purchase"][number % 2]);
        format!(
            r#"{{"type":"track","messageId":"m{number}","userId":"u{user}","event":"{name}","timestamp":{time},"properties":{{"amount":{}}}}}"#,
            number % 17
        )
    };
    (0..EVENTS).map(event).collect()
}

fn body(batch: usize) -> String {
    format!(r#"{{"batch":[{}]}}"#, events(batch).join(","))
}

/// An event so late that all windows are over.
fn last() -> String {
    let time = T0 + 864_000_000;
    format!(
        r#"{{"batch":[{{"type":"page","messageId":"last","userId":"u1","timestamp":{time}}}]}}"#
    )
}

/// Sends until it is acknowledged, wherever the collector is by now, as a client would.
fn insist(url: &Mutex<String>, body: &str) {
    until("it is acknowledged", || {
        let to = format!("{}/v1/batch", url.lock().unwrap());
        let is_kept = post(&to, &[BASIC], body.as_bytes()).is_some_and(|(code, ..)| code == 200);
        if !is_kept {
            std::thread::park_timeout(Duration::from_millis(20));
        }
        is_kept
    });
}

/// What a replay of the first batches gives.
fn expected(place: &Place, batches: usize) -> String {
    let all: Vec<_> = (0..batches).flat_map(events).collect();
    place.write("sent.jsonl", all.join("\n"));
    place.run("replay --segments segments.json --events sent.jsonl --out replayed").fine();
    place.text("replayed")
}

/// The run has given out all it is to give out, and ends.
fn ends_with(place: &Place, live: Live, expected: &str) {
    until("all differences are out", || {
        let given = place.text("differences").lines().count();
        given >= expected.lines().count()
    });
    live.stop();
    assert!(place.text("differences") == expected, "other differences");
    let (late, rejected) = (place.text("late"), place.text("rejected"));
    assert_eq!((&*late, &*rejected), ("", ""));
}

#[test]
fn what_is_acknowledged_outlives_kills_and_what_comes_twice_counts_once() {
    const ROUNDS: usize = 36;
    const KILLS: usize = 5;
    let place = Place::new();
    place.write("segments.json", BUSY_SEGMENTS);
    job(&place, CLOCK, "", "[state]\npath = \"state\"\ninterval = \"50ms\"");
    let expected = expected(&place, ROUNDS * AT_ONCE);
    assert!(expected.lines().count() > 100);
    let live = Mutex::new(Some(Live::start(&place)));
    let url = Mutex::new(live.lock().unwrap().as_ref().unwrap().url.clone());
    let kept = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        // Whenever some more has been acknowledged: it dies, in the middle of whatever it does.
        scope.spawn(|| {
            for kill in 1..=KILLS {
                let at = ROUNDS * AT_ONCE * kill / (KILLS + 1) + kill % AT_ONCE;
                until("some more is acknowledged", || kept.load(Ordering::Acquire) >= at);
                live.lock().unwrap().take().unwrap().kill();
                let next = Live::start(&place);
                url.lock().unwrap().clone_from(&next.url);
                *live.lock().unwrap() = Some(next);
            }
        });
        for round in 0..ROUNDS {
            std::thread::scope(|round_of| {
                for place in 0..AT_ONCE {
                    let (url, kept) = (&url, &kept);
                    round_of.spawn(move || {
                        let batch = round * AT_ONCE + place;
                        insist(url, &body(batch));
                        kept.fetch_add(1, Ordering::AcqRel);
                        if batch.is_multiple_of(3) {
                            insist(url, &body(batch)); // the answer had not come
                        }
                    });
                }
            });
        }
    });
    insist(&url, &last());
    ends_with(&place, live.into_inner().unwrap().unwrap(), &expected);
    place.run("state --job job.toml --check").fine();
}

#[test]
fn a_cluster_takes_in_its_first_process() {
    let place = Place::new();
    place.write("segments.json", BUSY_SEGMENTS);
    job(&place, CLOCK, "", "[state]\npath = \"state\"");
    let expected = expected(&place, 20);
    hosts(&place, 2);
    let words = |process| format!("run job.toml --process {process} --hosts hosts");
    let other = Running::start(&mut place.command(&words(1)));
    let live = Live::of(place.command(&words(0)));
    let url = Mutex::new(live.url.clone());
    (0..20).for_each(|batch| insist(&url, &body(batch)));
    insist(&url, &last());
    ends_with(&place, live, &expected);
    other.end().fine();
}

#[test]
fn a_full_disk_is_a_503_and_costs_nothing_that_was_acknowledged() {
    let place = Place::new();
    place.write("segments.json", BUSY_SEGMENTS);
    job(&place, CLOCK, "log = \"log\"", "");
    let expected = expected(&place, 60);
    // No file may get longer than this: what goes beyond fails as on a disk that is full.
    let mut command = place.command("run job.toml");
    let program = command.get_program().to_owned();
    let folder = command.get_current_dir().unwrap().to_owned();
    command = Command::new("bash");
    let script = "trap '' XFSZ; ulimit -f 100; exec \"$0\" run job.toml";
    command.args(["-c", script]).arg(program).current_dir(folder);
    command.stdin(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
    let live = Live::of(command);
    let to = format!("{}/v1/batch", live.url);
    let mut kept = 0;
    let (code, again, text) = loop {
        let answer = post(&to, &[BASIC], body(kept).as_bytes()).unwrap();
        if answer.0 != 200 {
            break answer;
        }
        kept += 1;
        assert!(kept < 60);
    };
    assert_eq!((code, again), (503, Some(5)), "{text}");
    assert!(kept > 3);
    live.says("cannot write");
    assert_eq!(post(&to, &[BASIC], body(kept).as_bytes()).unwrap().0, 503, "still");
    // What is short still fits: the place that was written in part is free again.
    let time = T0 + i64::try_from(kept).unwrap() * 5_000;
    let short = format!(r#"{{"batch":[{{"type":"page","userId":"u1","timestamp":{time}}}]}}"#);
    assert_eq!(post(&to, &[BASIC], short.as_bytes()).unwrap().0, 200);
    live.kill();
    let live = Live::start(&place);
    let url = Mutex::new(live.url.clone());
    (kept..60).for_each(|batch| insist(&url, &body(batch)));
    insist(&url, &last());
    ends_with(&place, live, &expected);
}

#[test]
fn a_torn_end_is_cut_and_damage_in_the_middle_is_named() {
    let place = Place::new();
    job(&place, CLOCK, "log = \"log\"", "");
    let live = Live::start(&place);
    let url = Mutex::new(live.url.clone());
    (0..4).for_each(|batch| insist(&url, &body(batch)));
    live.kill();
    let path = place.path("log/00000000000000000000.log");
    let whole = fs::read(&path).unwrap();
    let torn = [&whole[..], &whole[32..200]].concat();
    fs::write(&path, torn).unwrap();
    let live = Live::start(&place);
    // It was said before it listened.
    live.kill();
    assert_eq!(fs::metadata(&path).unwrap().len(), whole.len() as u64);
    let mut damaged = whole.clone();
    damaged[100] ^= 1;
    fs::write(&path, damaged).unwrap();
    place.run("run job.toml").refused_with(&["is damaged from byte 32, record 0", "copy"]);
}

#[test]
fn files_that_no_checkpoint_needs_are_deleted() {
    let place = Place::new();
    job(&place, CLOCK, "", "[state]\npath = \"state\"\ninterval = \"100ms\"\nkeep = 2");
    let live = Live::start(&place);
    let url = Mutex::new(live.url.clone());
    let fill = "x".repeat(31_000);
    let event = |number: i64| {
        let time = T0 + number * 1_000;
        format!(
            r#"{{"type":"page","userId":"u","timestamp":{time},"properties":{{"x":"{fill}"}}}}"#
        )
    };
    for batch in 0..150 {
        let events: Vec<_> = (0..15).map(|it| event(batch * 15 + it)).collect();
        insist(&url, &format!(r#"{{"batch":[{}]}}"#, events.join(",")));
    }
    let first = place.path("state/collector/00000000000000000000.log");
    let time = Cell::new(3_000);
    until("the first file is deleted", || {
        // Time goes on, so that there are more checkpoints.
        time.set(time.get() + 1);
        insist(&url, &format!(r#"{{"batch":[{}]}}"#, event(time.get())));
        !first.exists()
    });
    live.kill();
    let live = Live::start(&place);
    *url.lock().unwrap() = live.url.clone();
    let pro = r#"{"batch":[{"type":"identify","userId":"u","timestamp":1767300000000,"traits":{"plan":"pro"}}]}"#;
    insist(&url, pro);
    insist(&url, &last());
    until("it goes on", || lines_with(&place, "differences", "\"segment\":\"pro\"") == 1);
    live.stop();
}

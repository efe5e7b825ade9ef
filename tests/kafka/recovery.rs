//! A job that keeps state: killed at any moment, it goes on as if nothing had happened.

use std::fs;

use crate::common::{Place, Running};
use crate::harness::{Broker, eventually};
use crate::records::{clickstream, expected};
use crate::{Live, catch_up, hosts, job};

/// The same job, with state.
pub(crate) fn keep(place: &Place, interval: &str) {
    let job = place.text("job.toml");
    place.write(
        "job.toml",
        format!("{job}\n[state]\npath = \"state\"\ninterval = \"{interval}\"\n"),
    );
}

/// The newest checkpoint.
pub(crate) fn newest(place: &Place) -> u64 {
    let Ok(manifests) = fs::read_dir(place.path("state/manifests")) else { return 0 };
    let number = |name: &str| name.strip_suffix(".json").and_then(|it| it.parse().ok());
    let names = manifests.map(|it| it.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| number(&name)).max().unwrap_or(0)
}

/// The differences are these.
pub(crate) fn same(place: &Place, expected: &str) {
    let got = place.text("differences");
    for (number, (got, expected)) in got.lines().zip(expected.lines()).enumerate() {
        assert_eq!(got, expected, "line {number}");
    }
    assert_eq!(got.lines().count(), expected.lines().count());
}

/// A number below `bound` that depends on which one it is.
fn draw(which: u64, bound: u64) -> u64 {
    which.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(0xd6e8_feb8_6659_fd93)
        % bound
}

#[test]
fn a_job_that_is_killed_goes_on_where_it_was() {
    let (broker, place) = (Broker::shared(), Place::new());
    let (_, least) = clickstream(&place, broker);
    let expected = expected(&place, least);
    let topic = broker.topic(4);
    job(&place, broker, &[&topic], "");
    keep(&place, "10ms");
    let parts: Vec<Vec<String>> = (0..4)
        .map(|it| place.text(&format!("{it}.jsonl")).lines().map(str::to_owned).collect())
        .collect();
    let mut sent = [0; 4];
    for life in 0..12_u64 {
        let live = Live::start(&place, &format!("--workers {}", 1 + draw(life, 3)));
        let goal = newest(&place) + draw(100 + life, 4);
        let mut turn = 0;
        eventually("there are new checkpoints", || {
            for (partition, (sent, lines)) in sent.iter_mut().zip(&parts).enumerate() {
                turn += 1;
                let some = 1 + usize::try_from(draw(life * 1_000 + turn, 30)).unwrap();
                let end = lines.len().min(*sent + some);
                if end > *sent && end < lines.len() * usize::try_from(life + 1).unwrap() / 12 {
                    broker.send(&topic, i32::try_from(partition).unwrap(), &lines[*sent..end]);
                    *sent = end;
                }
            }
            newest(&place) >= goal || turn > 400
        });
        live.kill();
    }
    for (partition, (sent, lines)) in sent.iter().zip(&parts).enumerate() {
        broker.send(&topic, i32::try_from(partition).unwrap(), &lines[*sent..]);
    }
    let done = catch_up(&place, "--workers 2");
    for part in ["going on from checkpoint", "records are read again", "the first new difference"] {
        assert!(done.stderr.contains(part), "{part}: {}", done.stderr);
    }
    same(&place, &expected);
    let checked = place.run("state --job job.toml --check").fine();
    assert!(checked.stdout.contains("users"), "{}", checked.stdout);
}

#[test]
fn two_processes_take_over_from_one_and_one_from_two() {
    let (broker, place) = (Broker::shared(), Place::new());
    let (topic, least) = clickstream(&place, broker);
    let expected = expected(&place, least);
    job(&place, broker, &[&topic], "");
    keep(&place, "10ms");
    for _ in 0..3 {
        let live = Live::start(&place, "");
        let before = newest(&place);
        eventually("there is a checkpoint, or all is done", || {
            newest(&place) > before || before > 0
        });
        live.kill();
        hosts(&place);
        let start = |process| {
            let words = format!("run job.toml --until caught-up --process {process} --hosts hosts");
            Running::start(&mut place.command(&words))
        };
        let both = [start(0), start(1)];
        both.into_iter().for_each(|it| _ = it.end().fine());
        assert!(place.text("differences") == expected, "2 processes");
    }
    catch_up(&place, "");
    assert!(place.text("differences") == expected);
}

/// Sends a clickstream in two halves to a topic of one partition; gives back what a replay of it
/// gives before the clock.
fn halves(place: &Place, broker: &Broker) -> (String, [Vec<String>; 2], String) {
    let (_, _) = clickstream(place, broker);
    let lines: Vec<String> = place.text("0.jsonl").lines().map(str::to_owned).collect();
    let (first, second) = lines.split_at(lines.len() / 2);
    let topic = broker.topic(1);
    job(place, broker, &[&topic], "");
    broker.send(&topic, 0, &lines);
    catch_up(place, "");
    let whole = place.text("differences");
    let topic = broker.topic(1);
    job(place, broker, &[&topic], "");
    keep(place, "10ms");
    (topic, [first.to_vec(), second.to_vec()], whole)
}

#[test]
fn told_to_end_it_leaves_a_checkpoint_of_all_it_has_done() {
    let (broker, place) = (Broker::shared(), Place::new());
    let (topic, [first, second], whole) = halves(&place, broker);
    place.write("job.toml", place.text("job.toml").replace("10ms", "1h"));
    broker.send(&topic, 0, &first);
    catch_up(&place, "");
    assert_eq!(newest(&place), 1, "the last thing it does");
    let half = place.text("differences");
    let again = catch_up(&place, "--workers 3");
    assert!(again.stderr.contains("going on from checkpoint 1 "), "{}", again.stderr);
    assert_eq!(place.text("differences"), half);
    broker.send(&topic, 0, &second);
    catch_up(&place, "--workers 2");
    same(&place, &whole);
}

#[test]
fn a_damaged_checkpoint_is_named_and_an_earlier_one_used() {
    let (broker, place) = (Broker::shared(), Place::new());
    let (topic, [first, second], whole) = halves(&place, broker);
    broker.send(&topic, 0, &first);
    catch_up(&place, "");
    broker.send(&topic, 0, &second[..second.len() / 2]);
    catch_up(&place, "");
    let before = newest(&place);
    assert!(before > 1);
    let newest_batch = |folder: &str| {
        let files = fs::read_dir(place.path(folder)).unwrap().map(|it| it.unwrap().path());
        files.max().unwrap()
    };
    let path = newest_batch("state/batches");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    broker.send(&topic, 0, &second[second.len() / 2..]);
    let done = catch_up(&place, "");
    assert!(done.stderr.contains("is not whole, an earlier one is used"), "{}", done.stderr);
    assert!(done.stderr.contains("is damaged"), "{}", done.stderr);
    same(&place, &whole);
}

#[test]
fn definitions_may_change_while_the_job_is_down() {
    let (broker, place) = (Broker::shared(), Place::new());
    let (topic, [first, second], _) = halves(&place, broker);
    broker.send(&topic, 0, &first);
    catch_up(&place, "");
    let frontier = frontier(&place);
    let segments = place.text("segments.json");
    let mut definitions: Vec<serde_json::Value> = serde_json::from_str(&segments).unwrap();
    // about_to goes; looking asks for more; watching is new.
    definitions.pop();
    definitions[0]["rules"]["value"] = 3.into();
    let watching = r#"{"id":"watching","rules":{"segment":"looking"}}"#;
    definitions.push(serde_json::from_str(watching).unwrap());
    let changed = serde_json::to_string(&definitions).unwrap();
    place.write("segments.json", &changed);
    broker.send(&topic, 0, &second);
    let done = catch_up(&place, "--workers 2");
    assert!(done.stderr.contains("going on"), "{}", done.stderr);
    // The same by a replay in which they change at those instants. It sees what was held then.
    let since = |words: &str| {
        let said = done.stderr.lines().find_map(|line| line.strip_prefix(words));
        let said = said.unwrap_or_else(|| panic!("{words} in {}", done.stderr));
        let time = dataflows::model::time::parse_time(said.split(';').next().unwrap()).unwrap();
        assert!(time >= frontier);
        time
    };
    let edits = [
        format!(
            r#"{{"time":{},"put":{}}}"#,
            since("looking was edited: in force from "),
            definitions[0]
        ),
        format!(r#"{{"time":{},"put":{watching}}}"#, since("watching was edited: in force from ")),
        format!(r#"{{"time":{},"delete":"about_to"}}"#, since("about_to is deleted from ")),
    ];
    place.write("edits.jsonl", edits.join("\n"));
    place.write("old.json", segments);
    let flags = "--segments old.json --events 0.jsonl --changes edits.jsonl --out replayed";
    place.run(&format!("replay {flags}")).fine();
    let (got, replayed) = (place.text("differences"), place.text("replayed"));
    let count = got.lines().count();
    assert!(got.contains("watching") && count > 50);
    assert!(got.lines().eq(replayed.lines().take(count)), "{got}");
}

/// Before which time all is in the newest checkpoint.
fn frontier(place: &Place) -> i64 {
    let name = format!("state/manifests/{:010}.json", newest(place));
    let manifest: serde_json::Value = serde_json::from_str(&place.text(&name)).unwrap();
    manifest["frontier"].as_i64().unwrap()
}

#[test]
fn the_state_of_another_job_is_refused() {
    let (broker, place) = (Broker::shared(), Place::new());
    let (topic, [first, _], _) = halves(&place, broker);
    broker.send(&topic, 0, &first);
    catch_up(&place, "");
    let job = place.text("job.toml");
    place.write(
        "job.toml",
        job.replace("max_out_of_orderness = \"5s\"", "max_out_of_orderness = \"6s\""),
    );
    place.run("run job.toml --until caught-up").refused_with(&[
        "another job",
        "6s",
        "5s",
        "[state]",
    ]);
    place.write("job.toml", format!("{job}\n").replace("[clock]", "[clock]\nemit = \"on_event\""));
    place.run("run job.toml --until caught-up").refused_with(&["another job", "emit on_event"]);
    place.write("job.toml", &job);
    fs::write(place.path("differences"), "").unwrap();
    place
        .run("run job.toml --until caught-up")
        .refused_with(&["differences has 0 bytes", "put it back"]);
}

/// The job of a supervisor, if it runs.
fn child(supervisor: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children"));
    children.ok()?.split_whitespace().next()?.parse().ok()
}

fn kill(process: u32) {
    // It may have ended by itself: it has lost another one.
    let _ = std::process::Command::new("kill").args(["-KILL", &process.to_string()]).status();
}

#[test]
fn supervised_processes_are_killed_and_come_back() {
    let (broker, place) = (Broker::shared(), Place::new());
    let (_, least) = clickstream(&place, broker);
    let expected = expected(&place, least);
    let topic = broker.topic(4);
    job(&place, broker, &[&topic], "");
    keep(&place, "10ms");
    hosts(&place);
    let supervisors = [0, 1].map(|process| {
        Live::start(&place, &format!("--supervise --process {process} --hosts hosts"))
    });
    let parts: Vec<Vec<String>> = (0..4)
        .map(|it| place.text(&format!("{it}.jsonl")).lines().map(str::to_owned).collect())
        .collect();
    for round in 0..5_u64 {
        let before = newest(&place);
        for (partition, lines) in parts.iter().enumerate() {
            let at = |round: u64| lines.len() * usize::try_from(round).unwrap() / 5;
            let some = &lines[at(round)..at(round + 1)];
            broker.send(&topic, i32::try_from(partition).unwrap(), some);
        }
        eventually("there is a new checkpoint", || newest(&place) > before);
        if round < 4 {
            let victim = &supervisors[usize::try_from(draw(round, 2)).unwrap()];
            eventually("it runs", || child(victim.id()).map(kill).is_some());
        }
    }
    eventually("all has been given out", || place.text("differences") == expected);
    for supervisor in supervisors {
        assert_eq!(supervisor.stop(), Some(0));
    }
    same(&place, &expected);
}

#[test]
fn a_job_whose_supervisor_is_killed_ends_in_order() {
    let (broker, place) = (Broker::shared(), Place::new());
    let (topic, [first, _], _) = halves(&place, broker);
    broker.send(&topic, 0, &first);
    let supervisor = Live::start(&place, "--supervise");
    let mut job = None;
    eventually("it runs and takes checkpoints", || {
        job = child(supervisor.id());
        job.is_some() && newest(&place) > 0
    });
    supervisor.kill();
    let stat = format!("/proc/{}/stat", job.unwrap());
    let is_there = || fs::read_to_string(&stat).is_ok_and(|it| !it.contains(") Z "));
    eventually("it is gone", || !is_there());
    catch_up(&place, ""); // nobody else writes its state
}

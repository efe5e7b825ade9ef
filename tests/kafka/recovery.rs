//! A job that keeps state: killed at any moment, it goes on as if nothing had happened.

use std::fs;

use crate::common::{Place, Running};
use crate::harness::{Broker, eventually};
use crate::records::{clickstream, expected};
use crate::{Live, catch_up, hosts, job};

/// The same job, with state.
fn keep(place: &Place, interval: &str) {
    let job = place.text("job.toml");
    place.write(
        "job.toml",
        format!("{job}\n[state]\npath = \"state\"\ninterval = \"{interval}\"\n"),
    );
}

/// The newest checkpoint.
fn newest(place: &Place) -> u64 {
    let Ok(manifests) = fs::read_dir(place.path("state/manifests")) else { return 0 };
    let number = |name: &str| name.strip_suffix(".json").and_then(|it| it.parse().ok());
    let names = manifests.map(|it| it.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| number(&name)).max().unwrap_or(0)
}

/// The differences are these.
fn same(place: &Place, expected: &str) {
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
    assert!(done.stderr.contains("going on from checkpoint"), "{}", done.stderr);
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

//! Processes on loopback that are to meet, and others that are not to be met.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use crate::common::{DEADLINE, DIFFERENCES, Lines, Place, Running, hosts};

/// A replay of two files by two processes.
fn words(process: usize, more: &str) -> String {
    let to = if process == 0 { "--out differences" } else { "" };
    format!("--events events.jsonl more.jsonl {to} --process {process} --hosts hosts {more}")
}

/// What is computed, and a place to do it in.
fn place() -> Place {
    let place = Place::new();
    place.write("more.jsonl", "");
    place.write("secret", "as long as it must be\n");
    hosts(&place, 2);
    place
}

/// A process that waits, and what it says.
struct Waiting {
    running: Running,
    said: Lines,
}

impl Waiting {
    fn start(place: &Place, words: &str) -> Self {
        let mut running = Running::start(&mut place.command(words));
        let said = Lines::of(running.child.stderr.take().unwrap());
        Waiting { running, said }
    }

    fn replay(place: &Place, process: usize, more: &str) -> Self {
        let flags = words(process, more);
        Self::start(place, &format!("replay --segments segments.json {flags}"))
    }

    /// The next line that has this in it.
    fn says(&self, part: &str) -> String {
        let began = Instant::now();
        loop {
            let line = self.said.next();
            if line.contains(part) {
                return line;
            }
            assert!(began.elapsed() < DEADLINE, "in vain: {part}");
        }
    }

    fn ends_with(mut self, code: i32) {
        assert_eq!(self.running.code(), Some(code));
    }
}

/// The one that waits goes on waiting for the right one, and then all is well.
fn is_joined(place: &Place, first: Waiting, more: &str) {
    place.replay(&words(1, more)).fine();
    first.ends_with(0);
    assert_eq!(place.text("differences"), DIFFERENCES);
}

#[test]
fn whoever_has_another_secret_or_none_is_refused() {
    let place = place();
    place.write("other", "another one as long\n");
    let first = Waiting::replay(&place, 0, "--secret-file secret");
    first.says("waiting for process 1 at 127.0.0.1:");
    let host = place.text("hosts").lines().next().unwrap().to_owned();
    let expected = [&*format!("process 0 at {host}"), "another secret", "--secret-file"];
    place.replay(&words(1, "--secret-file other")).refused_with(&expected);
    let said = first.says("a connection from 127.0.0.1:");
    assert!(said.contains("is refused: it has another secret"), "{said}");
    place.replay(&words(1, "")).refused_with(&["it has a secret, and this one has none"]);
    is_joined(&place, first, "--secret-file secret");
}

#[test]
fn other_definitions_are_named_on_both_sides_and_only_the_one_that_joins_ends() {
    let place = place();
    let changed = place.text("segments.json").replace("\"pro\"}}]", "\"basic\"}}]");
    place.write("changed.json", changed);
    let first = Waiting::replay(&place, 0, "");
    let flags = words(1, "");
    place.run(&format!("replay --segments changed.json {flags}")).refused_with(&[
        "process 0 at",
        "segment pro is not the same there and here",
        "Start all processes with the same",
    ]);
    let said = first.says("process 1 at 127.0.0.1:");
    assert!(said.contains("is refused: segment pro is not the same"), "{said}");
    is_joined(&place, first, "");
}

/// A job of the same, which reads its definitions anew where it is started again.
const JOB: &str = "segments = \"segments.json\"\n[[source]]\nkind = \"file\"\n\
    path = [\"events.jsonl\", \"more.jsonl\"]\n[[sink]]\nkind = \"file\"\npath = \"differences\"\n";

#[test]
fn who_has_read_what_was_edited_since_begins_again() {
    for (earlier, later) in [(0, 1), (1, 0)] {
        let place = place();
        place.write("job.toml", JOB);
        let start = |process: usize, more: &str| {
            let words = format!("run job.toml --process {process} --hosts hosts {more}");
            Waiting::start(&place, &words)
        };
        let first = start(earlier, "--supervise");
        first.says(&format!("waiting for process {later}"));
        let edited = place.text("segments.json").replace("\"pro\"}}]", "\"basic\"}}]");
        place.write("segments.json", edited);
        let second = start(later, "--supervise");
        let said = first.says("been edited since it read them");
        assert!(said.contains("segment pro is not the same there and here"), "{said}");
        first.ends_with(0);
        second.ends_with(0);
        let (_, expected) = DIFFERENCES.split_once('\n').unwrap();
        assert_eq!(place.text("differences"), expected);
        // Whoever starts processes by hand is told by the code which one to start again.
        let first = start(0, "");
        first.says("waiting for process 1");
        place.write("segments.json", crate::common::SEGMENTS);
        start(1, "").ends_with(2);
        first.ends_with(3);
    }
}

#[test]
fn other_arguments_are_named() {
    let place = place();
    let first = Waiting::replay(&place, 0, "");
    let refused = |more: &str, parts: &[&str]| place.replay(&words(1, more)).refused_with(parts);
    refused("--workers 2", &["--workers: 1 there, 2 here"]);
    refused("--max-out-of-orderness 6s", &["max_out_of_orderness: 5s there, 6s here"]);
    let job = "name = \"shop\"\nsegments = \"segments.json\"\n[[source]]\nkind = \"file\"\npath = \
               [\"events.jsonl\", \"more.jsonl\"]\n";
    place.write("job.toml", job);
    place
        .run("replay --job job.toml --process 1 --hosts hosts")
        .refused_with(&["name of the job", "shop"]);
    place
        .run("run job.toml --process 1 --hosts hosts")
        .refused_with(&["verb: replay there, run here"]);
    let three = format!("{}127.0.0.1:1\n", place.text("hosts"));
    place.write("three", three);
    let flags = words(1, "").replace("--hosts hosts", "--hosts three");
    place.replay(&flags).refused_with(&["processes in the hosts file: 2 there, 3 here"]);
    is_joined(&place, first, "");
}

#[test]
fn a_hosts_file_in_another_order_is_refused() {
    let place = place();
    let listed = hosts(&place, 3);
    place.write("swapped", format!("{}\n{}\n{}\n", listed[1], listed[0], listed[2]));
    let _first = Waiting::replay(&place, 0, "");
    let flags = words(2, "").replace("--hosts hosts", "--hosts swapped");
    place.replay(&flags).refused_with(&["hosts file", "is process 0 by the other"]);
}

#[test]
fn garbage_and_silence_on_the_port_hold_nobody_up() {
    let place = place();
    let first = Waiting::replay(&place, 0, "");
    first.says("waiting for process 1");
    let host = place.text("hosts").lines().next().unwrap().to_owned();
    let mut silent: Vec<_> = (0..50).map(|_| TcpStream::connect(&host).unwrap()).collect();
    // The first are hung up on to make room for others.
    assert_eq!(silent[0].read(&mut [0]).unwrap_or(0), 0);
    let mut scanner = TcpStream::connect(&host).unwrap();
    scanner.write_all(b"GET / HTTP/1.1\r\nHost: mesh\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = scanner.read_to_end(&mut answer); // it may be reset
    assert_eq!(answer, b"", "strangers are told nothing");
    first.says("a connection from 127.0.0.1:");
    is_joined(&place, first, "");
}

#[test]
fn another_program_in_the_place_of_a_process_is_told_and_waited_out() {
    let place = place();
    let host = place.text("hosts").lines().next().unwrap().to_owned();
    let other = TcpListener::bind(&host).unwrap();
    let second = Waiting::replay(&place, 1, "");
    for _ in 0..2 {
        let (mut stream, _) = other.accept().unwrap();
        stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n").unwrap();
    }
    let said = second.says(" ("); // why is told, by the second time at the latest
    assert!(said.contains("waiting for process 0 at 127.0.0.1:"), "{said}");
    drop(other);
    let first = Waiting::replay(&place, 0, "");
    second.ends_with(0);
    first.ends_with(0);
    assert_eq!(place.text("differences"), DIFFERENCES);
}

#[test]
fn a_process_that_dies_while_others_are_awaited_may_come_again() {
    let place = place();
    hosts(&place, 3);
    let process = |process| {
        let waiting = Waiting::replay(&place, process, "");
        waiting.says("waiting for process 2");
        waiting
    };
    let first = Waiting::replay(&place, 0, "");
    let second = process(1);
    drop(second);
    first.says("waiting for process 1 at"); // it has noticed
    let second = process(1);
    let third = Waiting::replay(&place, 2, "");
    [first, second, third].into_iter().for_each(|it| it.ends_with(0));
    assert_eq!(place.text("differences"), DIFFERENCES);
}

#[test]
fn beyond_this_machine_there_must_be_a_secret() {
    let place = place();
    place.write("hosts", "127.0.0.1:2101\n192.0.2.7:2101\n");
    place.replay(&words(0, "")).refused_with(&["192.0.2.7:2101", "--secret-file", "secret"]);
    place.write("hosts", "0.0.0.0:2101\n127.0.0.1:2101\n");
    place.replay(&words(0, "")).refused_with(&["0.0.0.0:2101 is every address"]);
    place.write("short", "short\n");
    place.replay(&words(0, "--secret-file short")).refused_with(&["shorter than 16"]);
    place.replay(&words(0, "--secret-file none")).refused_with(&["secret file none"]);
}

#[test]
fn told_to_end_while_it_waits_it_ends() {
    let place = place();
    let job =
        "segments = \"segments.json\"\n[[source]]\nkind = \"file\"\npath = \"events.jsonl\"\n";
    place.write("job.toml", job);
    let first = Waiting::start(&place, "run job.toml --process 0 --hosts hosts");
    first.says("waiting for process 1");
    let id = first.running.child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    first.ends_with(0);
}

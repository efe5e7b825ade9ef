//! Runs that go on, and what is to come of a clickstream.

#![allow(dead_code, reason = "every test file uses a part of it")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value as Json;

use crate::common::{BUSY_SEGMENTS, Lines, Place, Running};

/// A clickstream that keeps its segments busy, and what a replay of it says, in order.
pub(crate) fn clickstream(place: &Place, events: usize) -> Vec<String> {
    place.write("segments.json", BUSY_SEGMENTS);
    let flags = "--users 60 --rate 20 --duplicates 0.05 --jitter 9s --identify 0.05 --seed 5";
    place.run(&format!("generate --events {events} {flags} --out whole.jsonl")).fine();
    let flags = "--events whole.jsonl --max-out-of-orderness 9s --out replayed";
    place.replay(flags).fine();
    let lines: Vec<_> = place.text("replayed").lines().map(str::to_owned).collect();
    assert!(lines.len() > events / 10, "{}", lines.len());
    lines
}

/// The lines of a user, in order; of all users.
pub(crate) fn by_user(lines: impl Iterator<Item = String>) -> BTreeMap<String, Vec<String>> {
    let mut by_user: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines {
        let json: Json = serde_json::from_str(&line).unwrap();
        by_user.entry(json["user"].as_str().unwrap().to_owned()).or_default().push(line);
    }
    by_user
}

/// Who is in which segment after these differences.
pub(crate) fn segments_after(lines: &[String]) -> BTreeMap<String, BTreeSet<String>> {
    let mut segments: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in lines {
        let json: Json = serde_json::from_str(line).unwrap();
        let text = |key: &str| json[key].as_str().unwrap().to_owned();
        let of = segments.entry(text("user")).or_default();
        let changed = if json["diff"] == 1 {
            of.insert(text("segment"))
        } else {
            of.remove(&text("segment"))
        };
        assert!(changed, "{line}");
    }
    segments.retain(|_, of| !of.is_empty());
    segments
}

/// A run of the job that reads `whole.jsonl` as it is fed with it, through a pipe.
pub(crate) struct Fed {
    pub(crate) live: Live,
    pipe: Option<std::process::ChildStdin>,
    waiting: VecDeque<String>,
}

impl Fed {
    /// The job must read `whole.jsonl`, in which its place is taken by standard input.
    pub(crate) fn start(place: &Place, words: &str) -> Self {
        place.write("job.toml", place.text("job.toml").replace("whole.jsonl", "-"));
        let mut live = Live::begin(place.command(words).stdin(Stdio::piped()));
        let pipe = live.running.child.stdin.take();
        let waiting = place.text("whole.jsonl").lines().map(|line| format!("{line}\n")).collect();
        Fed { live, pipe, waiting }
    }

    /// Gives it so many more lines.
    pub(crate) fn feed(&mut self, lines: usize) {
        let lines = lines.min(self.waiting.len());
        let text: String = self.waiting.drain(..lines).collect();
        self.pipe.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Gives it the rest, and waits until it ends by itself.
    pub(crate) fn end(mut self) -> Option<i32> {
        self.feed(usize::MAX);
        drop(self.pipe.take());
        self.live.code()
    }
}

/// A run of the job that goes on.
pub(crate) struct Live {
    pub(crate) running: Running,
    said: Lines,
}

impl Live {
    pub(crate) fn start(place: &Place, words: &str) -> Self {
        Live::begin(&mut place.command(words))
    }

    pub(crate) fn begin(command: &mut Command) -> Self {
        let mut running = Running::start(command.stdout(Stdio::null()));
        let said = Lines::of(running.child.stderr.take().unwrap());
        Live { running, said }
    }

    /// A line on standard error that has this in it, if it has come by now.
    pub(crate) fn has_said(&self, part: &str) -> Option<String> {
        std::iter::from_fn(|| self.said.now()).find(|line| line.contains(part))
    }

    /// The next line on standard error that has this in it.
    pub(crate) fn says(&self, part: &str) -> String {
        loop {
            let line = self.said.next();
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Whether it has come to its end.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.running.child.try_wait().unwrap().is_some()
    }

    /// Kills it, as a machine that fails would.
    pub(crate) fn kill(mut self) {
        self.running.child.kill().unwrap();
        self.running.child.wait().unwrap();
    }

    /// Tells it to end, and waits until it has.
    pub(crate) fn stop(mut self) -> Option<i32> {
        let id = self.running.child.id().to_string();
        let told = std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(told.success());
        self.running.code()
    }

    /// Waits until it ends by itself.
    pub(crate) fn code(mut self) -> Option<i32> {
        self.running.code()
    }
}

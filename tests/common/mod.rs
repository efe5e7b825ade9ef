//! What tests of the program share: a fresh folder, the real binary in it, and a bound on how long
//! it may take.

#![allow(dead_code, reason = "every test file uses a part of it")]

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tempfile::TempDir;

/// How long anything may take before it counts as hung: on a busy machine the longest, all rows of
/// the bench, takes over a minute.
pub(crate) const DEADLINE: Duration = Duration::from_secs(180);

/// A purchase sum over ten minutes, and an attribute.
pub(crate) const SEGMENTS: &str = r#"[
{"id":"high_value","rules":{"event":"purchase","aggregate":"sum","property":"amount","window":"10m","op":"gt","value":100}},
{"id":"pro","rules":{"attribute":"plan","op":"eq","value":"pro"}}]"#;

/// One of each: applied, a second copy, what is not JSON, late. Times from 2026-01-01.
pub(crate) const EVENTS: &str = r#"{"type":"identify","messageId":"a","userId":"u1","timestamp":1767225600000,"traits":{"plan":"pro"}}
{"type":"track","messageId":"b","userId":"u1","event":"purchase","timestamp":1767225601000,"properties":{"amount":80}}
{"type":"track","messageId":"b","userId":"u1","event":"purchase","timestamp":1767225601000,"properties":{"amount":80}}
nonsense
{"type":"track","messageId":"c","userId":"u1","event":"purchase","timestamp":1767225609000,"properties":{"amount":40}}
{"type":"track","messageId":"d","userId":"u2","event":"purchase","timestamp":1767225601000,"properties":{"amount":400}}
"#;

/// Definitions that a generated clickstream keeps busy, one that refers to others among them.
pub(crate) const BUSY_SEGMENTS: &str = r#"[
{"id":"looking","rules":{"event":"page_view","aggregate":"count","window":"10s","op":"gte","value":2}},
{"id":"buyer","rules":{"event":"purchase","aggregate":"sum","property":"amount","window":"30s","op":"gt","value":20}},
{"id":"about_to","rules":{"operator":"AND","conditions":[{"segment":"looking"},{"operator":"NOT","conditions":[{"segment":"buyer"}]}]}}]"#;

/// What comes of [`EVENTS`] and [`SEGMENTS`].
pub(crate) const DIFFERENCES: &str = r#"{"time":1767225600000,"segment":"pro","user":"u1","diff":1}
{"time":1767225609000,"segment":"high_value","user":"u1","diff":1}
{"time":1767226201000,"segment":"high_value","user":"u1","diff":-1}
"#;

/// A folder of its own with `segments.json` and `events.jsonl`.
pub(crate) struct Place {
    folder: TempDir,
}

/// What the program did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        let place = Place { folder: TempDir::new().unwrap() };
        place.write("segments.json", SEGMENTS);
        place.write("events.jsonl", EVENTS);
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        if let Some(folder) = self.path(name).parent() {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(self.path(name), bytes).unwrap();
    }

    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn json_lines(&self, name: &str) -> Vec<Json> {
        self.text(name).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The program in this folder, not started. Words are parted by blanks.
    pub(crate) fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rivulet"));
        command.args(words.split_whitespace()).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The program run to its end.
    pub(crate) fn run(&self, words: &str) -> Done {
        Running::start(&mut self.command(words)).end()
    }

    /// The same, reading this.
    pub(crate) fn run_reading(&self, words: &str, name: &str) -> Done {
        let input = fs::File::open(self.path(name)).unwrap();
        Running::start(self.command(words).stdin(input)).end()
    }

    /// `replay` of the usual definitions with more flags.
    pub(crate) fn replay(&self, flags: &str) -> Done {
        self.run(&format!("replay --segments segments.json {flags}"))
    }
}

impl Done {
    pub(crate) fn fine(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        self
    }

    /// That it was refused as configuration or input, and what was said.
    pub(crate) fn refused(self) -> String {
        assert_eq!(self.code, Some(2), "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        self.stderr
    }

    /// That it was refused with words that name all of these.
    pub(crate) fn refused_with(self, parts: &[&str]) {
        let said = self.refused();
        for part in parts {
            assert!(said.contains(part), "{part:?} is not in {said:?}");
        }
    }
}

/// A child that does not outlive the test.
pub(crate) struct Running {
    pub(crate) child: Child,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Running { child: command.spawn().unwrap() }
    }

    /// Waits for the end, reading both outputs meanwhile.
    pub(crate) fn end(mut self) -> Done {
        let (stdout, stderr) = (self.child.stdout.take(), self.child.stderr.take());
        let read = |from: Option<Box<dyn Read + Send>>| {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                from.map(|mut from| from.read_to_end(&mut bytes).unwrap());
                String::from_utf8(bytes).unwrap()
            })
        };
        let stdout = read(stdout.map(|it| Box::new(it) as Box<dyn Read + Send>));
        let stderr = read(stderr.map(|it| Box::new(it) as Box<dyn Read + Send>));
        let code = self.code();
        Done { code, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
    }

    /// The code it ends with, before the deadline.
    pub(crate) fn code(&mut self) -> Option<i32> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(began.elapsed() < DEADLINE, "the program hangs");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lines of a stream as they come, each awaited no longer than the deadline.
pub(crate) struct Lines {
    lines: std::sync::mpsc::Receiver<String>,
}

impl Lines {
    pub(crate) fn of(stream: impl Read + Send + 'static) -> Self {
        let (give, lines) = sync_channel(1_024);
        std::thread::spawn(move || {
            for line in std::io::BufRead::lines(std::io::BufReader::new(stream)) {
                if line.map(|line| give.send(line)).is_err() {
                    break;
                }
            }
        });
        Lines { lines }
    }

    /// A line that has come.
    pub(crate) fn now(&self) -> Option<String> {
        self.lines.try_recv().ok()
    }

    pub(crate) fn next(&self) -> String {
        self.lines.recv_timeout(DEADLINE).expect("a line comes before the deadline")
    }
}

/// The counts of a statistics file, `read applied late rejected duplicate`, which must add up.
pub(crate) fn counts(stats: &Path) -> [u64; 5] {
    let stats: Json = serde_json::from_str(&fs::read_to_string(stats).unwrap()).unwrap();
    let counts = ["read", "applied", "late", "rejected", "duplicate"]
        .map(|key| stats[key].as_u64().unwrap_or_else(|| panic!("{key} in {stats}")));
    assert_eq!(counts[0], counts[1..].iter().sum::<u64>(), "{stats}");
    counts
}

/// Addresses of this many processes in the file `hosts`, on ports that were free a moment ago; these.
pub(crate) fn hosts(place: &Place, processes: usize) -> Vec<SocketAddr> {
    let listeners: Vec<_> =
        (0..processes).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let hosts: Vec<_> = listeners.iter().map(|it| it.local_addr().unwrap()).collect();
    place.write("hosts", hosts.iter().map(|host| format!("{host}\n")).collect::<String>());
    hosts
}

/// Waits for a condition, no longer than the deadline.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < DEADLINE, "in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

//! The collector of a running job: Segment's own clients send to it, and it is killed.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

mod common;

#[path = "collector/clients.rs"]
mod clients;
#[path = "collector/crashes.rs"]
mod crashes;
#[path = "collector/ends.rs"]
mod ends;
#[path = "collector/refusals.rs"]
mod refusals;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{DEADLINE, Lines, Place, Running};

/// The write key, and how the job knows it: by its hash.
pub(crate) const KEY: &str = "key";
const HASH: &str = "sha256:2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683";

/// A job that clients send to, with more settings of time, of its source, and others.
pub(crate) fn job(place: &Place, clock: &str, source: &str, more: &str) {
    let sinks: String = ["differences", "late", "rejected"]
        .map(|of| format!("[[sink]]\nkind = \"file\"\nof = \"{of}\"\npath = \"{of}\"\n"))
        .concat();
    let text = format!(
        "segments = \"segments.json\"\n[clock]\n{clock}\n[serve]\nlisten = \"127.0.0.1:0\"\n\
         [[source]]\nkind = \"http\"\nwrite_keys = [{HASH:?}]\n{source}\n{sinks}\n{more}\n"
    );
    place.write("job.toml", text);
}

/// A run of the job that goes on, and where it listens.
pub(crate) struct Live {
    running: Running,
    said: Lines,
    pub(crate) url: String,
}

impl Live {
    pub(crate) fn start(place: &Place) -> Self {
        Live::of(place.command("run job.toml --stats stats"))
    }

    /// Whatever this command starts.
    pub(crate) fn of(mut command: Command) -> Self {
        let mut running = Running::start(command.stdout(Stdio::null()));
        let said = Lines::of(running.child.stderr.take().unwrap());
        let mut live = Live { running, said, url: String::new() };
        let line = live.says("listening on ");
        live.url = line.trim_start_matches("listening on ").to_owned();
        live
    }

    /// The next line on standard error that has this in it.
    pub(crate) fn says(&self, part: &str) -> String {
        std::iter::repeat_with(|| self.said.next()).find(|line| line.contains(part)).unwrap()
    }

    /// Tells it to end, and waits until it has.
    pub(crate) fn stop(mut self) {
        let id = self.running.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert_eq!(self.running.code(), Some(0));
    }

    /// Kills it as a power failure would.
    pub(crate) fn kill(mut self) {
        self.running.child.kill().unwrap();
        self.running.child.wait().unwrap();
    }
}

/// Waits until something is so.
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < 2 * DEADLINE, "not in time: {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// How many lines an output has that have this in it.
pub(crate) fn lines_with(place: &Place, output: &str, part: &str) -> usize {
    let text = std::fs::read_to_string(place.path(output)).unwrap_or_default();
    text.lines().filter(|line| line.contains(part)).count()
}

/// What a request is answered: its status, after how many seconds it may come again, its text.
pub(crate) type Answer = (u16, Option<u32>, String);

/// Sends a body there. The connection may break.
pub(crate) fn post(url: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Answer> {
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(DEADLINE))
        .build()
        .new_agent();
    let mut request = agent.post(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut response = request.send(body).ok()?;
    let again = response.headers().get("retry-after").map(|it| it.to_str().unwrap().to_owned());
    let text = response.body_mut().read_to_string().ok()?;
    Some((response.status().as_u16(), again.map(|it| it.parse().unwrap()), text))
}

/// Basic authentication with the write key.
pub(crate) const BASIC: (&str, &str) = ("authorization", "Basic a2V5Og==");

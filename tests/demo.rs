//! The shop of `./run.sh demo` in a real headless browser: its page changes with its visitor,
//! whether the segments come from Redis or from the engine's own view, and it ends in order.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

#[path = "common/browser.rs"]
mod browser;
mod common;

use std::fs;
use std::io::Read as _;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use browser::{packages, pictures, root};
use common::{Lines, Place, Running};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a visit with all its looks may take.
const DEADLINE: Duration = Duration::from_secs(240);

/// The demo, with a few simulated visitors, and what it says at first.
struct Demo {
    running: Running,
    said: Lines,
    errors: Lines,
    shop: String,
    engine: String,
    reads: String,
}

impl Demo {
    /// In a folder, in which it is to leave nothing.
    fn start(place: &Place, redis: &str, window: &str) -> Self {
        let mut command = Command::new("node");
        command.arg(root().join("fixtures/shop/demo.mjs"));
        command.args(["--port", "0", "--engine-port", "0", "--visitors", "4", "--redis", redis]);
        command.args(["--window", window]);
        command.args(["--program", env!("CARGO_BIN_EXE_rivulet")]);
        command.args(["--packages", &packages("fixtures/shop/packages.sh")]);
        fs::create_dir_all(place.path("tmp")).unwrap();
        command.env("TMPDIR", place.path("tmp")).stdin(Stdio::null());
        let mut running = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let said = Lines::of(running.child.stdout.take().unwrap());
        let errors = Lines::of(running.child.stderr.take().unwrap());
        let address = |line: String| line.split_whitespace().nth(1).unwrap().to_owned();
        let (shop, engine, reads) = (address(said.next()), address(said.next()), said.next());
        Demo { running, said, errors, shop, engine, reads }
    }

    /// Ends it as Ctrl-C does; what it said last.
    fn end(mut self, place: &Place) -> String {
        let id = i32::try_from(self.running.child.id()).unwrap();
        kill(Pid::from_raw(id), Signal::SIGINT).unwrap();
        let code = self.running.code();
        let errors: Vec<_> = std::iter::from_fn(|| self.errors.now()).collect();
        assert_eq!(code, Some(0), "{errors:?}");
        for url in [&self.shop, &self.engine] {
            let address = url.split_once("//").unwrap().1;
            assert!(TcpStream::connect(address).is_err(), "{url} still answers");
        }
        let left: Vec<_> = fs::read_dir(place.path("tmp")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        let rejected =
            errors.iter().any(|line| !line.contains(" rejected 0 ") && line.contains("rejected"));
        assert!(!rejected, "{errors:?}");
        std::iter::from_fn(|| self.said.now()).last().unwrap()
    }
}

/// Visits the shop in a browser, in a way of the script's; the names of the checks that were done.
fn visited(shop: &str, how: &[&str]) -> Vec<String> {
    let mut command = Command::new("node");
    command.arg(root().join("tests/demo/shop.mjs"));
    command.args([&packages("tests/common/browser.sh"), shop]).arg(pictures()).args(how);
    let mut running =
        Running::start(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()));
    let said = Lines::of(running.child.stdout.take().unwrap());
    let mut stderr = running.child.stderr.take().unwrap();
    let errors = std::thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).map(|_| text)
    });
    let began = Instant::now();
    let status = loop {
        if let Some(status) = running.child.try_wait().unwrap() {
            break status;
        }
        assert!(began.elapsed() < DEADLINE, "the visit hangs");
        std::thread::park_timeout(Duration::from_millis(20));
    };
    assert!(status.success(), "{}", errors.join().unwrap().unwrap());
    let names = std::iter::from_fn(|| said.now());
    names.filter_map(|line| line.strip_prefix("done ").map(str::to_owned)).collect()
}

fn check(redis: &str, reads: &str) {
    let place = Place::new();
    // Long enough for all that is looked at meanwhile, on a busy machine, too.
    let demo = Demo::start(&place, redis, "30m");
    assert!(demo.reads.contains(reads), "{}", demo.reads);
    let done = visited(&demo.shop, &[]);
    assert_eq!(done.len(), 4, "{done:?}");
    let last = demo.end(&place);
    // The changes of the visit, all of which a click brought.
    assert!(last.contains("click to changed page: 3, p50 "), "{last}");
    assert!(!last.contains("LOST"), "{last}");
}

#[test]
fn the_page_changes_by_the_engines_own_view() {
    check("off", "from the embedded view");
}

#[test]
fn the_page_changes_by_redis() {
    check("auto", "from Redis");
}

#[test]
fn time_alone_changes_the_page() {
    let place = Place::new();
    let demo = Demo::start(&place, "off", "5s");
    assert_eq!(visited(&demo.shop, &["fall"]).len(), 1);
    demo.end(&place);
}

#[test]
fn a_word_it_does_not_know_is_refused() {
    let mut command = Command::new("node");
    command.arg(root().join("fixtures/shop/demo.mjs")).args(["--for", "long"]);
    let done =
        Running::start(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()))
            .end();
    done.refused_with(&["--for: found long", "30s"]);
}

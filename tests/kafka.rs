//! Topics of a real broker, read by the program.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

mod common;
#[path = "common/kafka.rs"]
mod harness;
#[path = "common/network.rs"]
mod network;

#[path = "kafka/apart.rs"]
mod apart;
#[path = "kafka/cut.rs"]
mod cut;
#[path = "kafka/definitions.rs"]
mod definitions;
#[path = "kafka/faults.rs"]
mod faults;
#[path = "kafka/live.rs"]
mod live;
#[path = "kafka/records.rs"]
mod records;
#[path = "kafka/recovery.rs"]
mod recovery;
#[path = "kafka/secure.rs"]
mod secure;

use std::process::{Command, Stdio};

use common::{Done, Lines, Place, Running};
use harness::{Broker, eventually};

/// A job over these topics, in a folder of its own.
pub(crate) fn job(place: &Place, broker: &Broker, topics: &[&str], more: &str) {
    let clock = if more.contains("[clock]") {
        ""
    } else {
        "[clock]\nmax_out_of_orderness = \"5s\"\nidle_timeout = \"1h\"\n"
    };
    let (clock_or, source) = more.split_once("\n\n").unwrap_or(("", more));
    let topics = topics.iter().map(|topic| format!("{topic:?}")).collect::<Vec<_>>().join(", ");
    let sinks: String = ["differences", "late", "rejected"]
        .map(|of| format!("[[sink]]\nkind = \"file\"\nof = \"{of}\"\npath = \"{of}\"\n"))
        .concat();
    let text = format!(
        "segments = \"segments.json\"\n{clock}{clock_or}\n[[source]]\nkind = \"kafka\"\nbrokers = \
         {:?}\ntopics = [{topics}]\n{source}\n{sinks}",
        broker.address(),
    );
    place.write("job.toml", text);
}

/// A page view, which moves the clock of its partition.
pub(crate) fn view(user: &str, time: i64) -> String {
    format!(r#"{{"type":"page","userId":"{user}","timestamp":{time}}}"#)
}

/// A user takes the plan that [`common::SEGMENTS`] asks for.
pub(crate) fn pro(user: &str, time: i64) -> String {
    format!(
        r#"{{"type":"identify","userId":"{user}","timestamp":{time},"traits":{{"plan":"pro"}}}}"#
    )
}

pub(crate) const T0: i64 = 1_767_225_600_000;

/// Wall time.
pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// A run of the job that goes on. What it said is shown when its test fails.
pub(crate) struct Live {
    running: Running,
    said: Lines,
}

impl Live {
    pub(crate) fn start(place: &Place, flags: &str) -> Self {
        Self::of(&mut place.command(&format!("run job.toml --stats stats {flags}")))
    }

    /// A run by another command.
    pub(crate) fn of(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut running = Running::start(command);
        let said = Lines::of(running.child.stderr.take().unwrap());
        Live { running, said }
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

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.running.child.id()
    }

    /// A line on standard error that has this in it, if it has come by now.
    pub(crate) fn has_said(&self, part: &str) -> Option<String> {
        std::iter::from_fn(|| self.said.now()).find(|line| line.contains(part))
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, which: &str) {
        let id = self.running.child.id().to_string();
        let told = std::process::Command::new("kill").args([&format!("-{which}"), &id]).status();
        assert!(told.unwrap().success());
    }

    /// Tells it to end, and waits until it has.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.signal("TERM");
        self.running.code()
    }

    /// Kills it as a power failure would.
    pub(crate) fn kill(mut self) {
        self.running.child.kill().unwrap();
        self.running.child.wait().unwrap();
    }

    /// Waits until it ends by itself.
    pub(crate) fn code(mut self) -> Option<i32> {
        self.running.code()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let id = self.id();
            std::iter::from_fn(|| self.said.now()).for_each(|line| {
                rivulet::say::say(format_args!("{id}: {line}"));
            });
        }
    }
}

/// Waits until an output of the running job has this in it.
pub(crate) fn awaits(place: &Place, output: &str, part: &str) {
    eventually(&format!("{part:?} in {output}"), || {
        place.path(output).exists() && place.text(output).contains(part)
    });
}

/// Two processes on loopback, in the file `hosts`: on ports that were free a moment ago.
pub(crate) fn hosts(place: &Place) {
    common::hosts(place, 2);
}

/// Reads what there is, and ends.
pub(crate) fn catch_up(place: &Place, flags: &str) -> Done {
    place.run(&format!("run job.toml --stats stats --until caught-up {flags}")).fine()
}

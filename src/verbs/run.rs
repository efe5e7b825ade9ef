//! `run`: a job, until it is told to stop.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::replay::carry_out;
use super::what::live_subject;
use super::{VerbError, counted, say};
use crate::args::{Replay, Run, RunUntil, What};
use crate::ingest::Wall;
use crate::run::{Live, Until};

/// Runs a job.
pub(super) fn run(arguments: &Run) -> Result<(), VerbError> {
    let arguments_of_replay = as_replay(arguments);
    let subject = live_subject(&arguments_of_replay.what)?;
    let live = Live {
        topics: subject.topics.clone(),
        wall: Wall::system(),
        until_caught_up: arguments.until == Some(RunUntil::CaughtUp),
        stop: told_to_stop()?,
    };
    let topics = live.topics.iter().map(|it| it.settings.topics.len()).sum();
    say(format_args!(
        "running {}: {}, {}; Ctrl-C ends it",
        arguments.job.display(),
        counted(topics, "topic"),
        counted(subject.inputs.len(), "file")
    ));
    carry_out(&arguments_of_replay, subject, Some(live))
}

/// The same of a replay, of which a run is the live form.
fn as_replay(run: &Run) -> Replay {
    Replay {
        what: What {
            job: Some(run.job.clone()),
            segments: None,
            events: Vec::new(),
            changes: None,
            retain: None,
            clock: run.clock.clone(),
        },
        out: None,
        format: run.format,
        until: Until::End,
        late: None,
        rejected: None,
        stats: run.stats.clone(),
        workers: run.workers.clone(),
    }
}

/// What becomes true with the first signal to end. The second ends the program as if nothing were
/// done about it.
pub(super) fn told_to_stop() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        flag::register_conditional_default(signal, Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

//! Questions asked while a log is fed.

use std::sync::{Arc, Mutex};

use super::saving::Saves;
use super::{Pace, deal, feed_asking, lock, prepare};
use crate::model::{Difference, EventTime};
use crate::oracle::Log;
use crate::segmentation::{Command, Inputs, Question, Reply};
use crate::streams::Streams;

/// Questions, and what has been said to them.
pub(super) struct Asks {
    questions: Mutex<Vec<(EventTime, Question)>>,
    replies: Mutex<Vec<Reply>>,
}

/// Runs the dataflow over a log and asks questions about what is before these times. Gives back what
/// came out, and what every worker said.
pub fn run_asking(
    log: &Log<'_>,
    pace: Pace,
    questions: Vec<(EventTime, Question)>,
) -> (Vec<Difference>, Vec<Reply>) {
    let streams = Arc::new(Streams::of(log.timeline));
    let (ready, _) = prepare(log, &streams);
    let saves = Saves::new(&[], (pace.workers, streams.len()), None);
    let asks = Arc::new(Asks { questions: Mutex::new(questions), replies: Mutex::default() });
    let (differences, _) = feed_asking(log, &streams, deal(ready, pace), (&saves, &asks));
    let replies = std::mem::take(&mut *lock(&asks.replies));
    (differences, replies)
}

impl Asks {
    /// None.
    pub(super) fn nothing() -> Arc<Self> {
        Arc::new(Asks { questions: Mutex::default(), replies: Mutex::default() })
    }

    /// Asks all of them, of any one worker.
    pub(super) fn ask(&self, inputs: &mut Inputs) {
        for (before, question) in lock(&self.questions).drain(..) {
            inputs.saves.send((before, Command::Ask(Arc::new(question))));
        }
    }

    /// A worker has said something.
    pub(super) fn replied(&self, reply: &Reply) {
        lock(&self.replies).push(reply.clone());
    }
}

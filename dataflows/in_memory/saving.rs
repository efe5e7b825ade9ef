//! Definitions saved while a log is fed, as a running job saves them: readers come to know what a
//! new one asks for, then it is worked out, then it is in force.

use std::sync::{Arc, Mutex};

use super::{Block, Pace, deal, feed_saving, lock, prepare};
use crate::catalog::{Edit, TimedEdit};
use crate::model::{Change, Duration, EventTime, Incoming};
use crate::oracle::{Answer, Log};
use crate::rule::Definition;
use crate::segmentation::{Command, Inputs};
use crate::streams::{Stream, Streams};

/// Runs the dataflow over a log and saves definitions on the way, one after the other. Gives back
/// when each came into force and how far it sees.
pub fn run_saving(
    log: &Log<'_>,
    pace: Pace,
    definitions: &[Arc<Definition>],
) -> (Answer, Vec<TimedEdit>) {
    run_retaining(log, pace, definitions, None)
}

/// The same, spread over the log, where every event is retained for so long.
pub fn run_retaining(
    log: &Log<'_>,
    pace: Pace,
    definitions: &[Arc<Definition>],
    retain: Option<Duration>,
) -> (Answer, Vec<TimedEdit>) {
    let mut streams = Streams::of(log.timeline);
    retain.into_iter().for_each(|_| _ = streams.add(Stream::of_all()));
    let streams = Arc::new(streams);
    let saves = Saves::new(definitions, (pace.workers, streams.len()), retain);
    let mut all = (*streams).clone();
    for definition in definitions {
        all.add_rule(&definition.rule);
        lock(&saves.state).known_then.push(all.len());
    }
    let (ready, late) = prepare(log, &all);
    if retain.is_some() {
        lock(&saves.state).turns_each = ready.len() / pace.block.max(1) / (definitions.len() + 1);
    }
    let (differences, tally) = feed_saving(log, &streams, deal(ready, pace), &saves);
    let answer = Answer { differences, applied: tally.applied, late, duplicate: tally.duplicate };
    let in_force = std::mem::take(&mut lock(&saves.state).in_force);
    (answer, in_force)
}

/// Definitions to be saved, and how far that has come.
pub(super) struct Saves {
    definitions: Vec<Arc<Definition>>,
    workers: usize,
    /// How many streams there are at first.
    known: usize,
    /// For how long every event is retained.
    retain: Option<Duration>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many streams there are once so many definitions are known.
    known_then: Vec<usize>,
    /// How often it has been asked for the next, and how often it is before another is saved.
    turns: usize,
    turns_each: usize,
    /// How many of them readers are to know, and which of these have been sent off.
    told: usize,
    sent: usize,
    /// By worker, how many it knows as it reads.
    knows: Vec<usize>,
    /// When all that was read without has taken effect.
    read_before: EventTime,
    /// When the last one was saved, and from when on it is worked out.
    saved: EventTime,
    prepares: EventTime,
    /// How often a worker has worked out the last of them.
    prepared: usize,
    sees_after: EventTime,
    in_force: Vec<TimedEdit>,
}

/// What a worker knows as it reads.
pub(super) struct Reads {
    told: usize,
    /// Streams beyond have no hits.
    known: usize,
    greatest: EventTime,
}

impl Reads {
    pub(super) fn new(saves: &Saves) -> Self {
        Reads { told: 0, known: saves.known, greatest: EventTime::MIN }
    }

    /// Reads a block.
    pub(super) fn block(&mut self, block: &mut Block) {
        for incoming in &mut block.incoming {
            let Incoming::Update(update) = incoming else { continue };
            self.greatest = self.greatest.max(update.at);
            if let Change::Event(hits) = &mut update.change {
                hits.retain(|hit| (hit.stream.0 as usize) < self.known);
            }
        }
    }
}

impl Saves {
    pub(super) fn new(
        definitions: &[Arc<Definition>],
        (workers, known): (usize, usize),
        retain: Option<Duration>,
    ) -> Arc<Self> {
        let (definitions, state) = (definitions.to_vec(), Mutex::new(State::new(workers)));
        Arc::new(Saves { definitions, workers, known, retain, state })
    }

    /// What is given before anything else.
    pub(super) fn first(&self) -> Option<(EventTime, Command)> {
        let start = EventTime::MIN;
        self.retain.map(|retain| (start, Command::Retain(retain, start)))
    }

    /// What a worker does about it when its time stands at `clock`: the first one leads.
    pub(super) fn turn(
        &self,
        reads: &mut Reads,
        (clock, worker): (EventTime, usize),
        inputs: &mut Inputs,
    ) {
        let state = &mut *lock(&self.state);
        if reads.told < state.told {
            (reads.told, reads.known) = (state.told, state.known_then[state.told - 1]);
            state.knows[worker] = state.told;
            state.read_before = state.read_before.max(reads.greatest);
        }
        let last = state.in_force.last().map_or(EventTime::MIN, |last| last.time);
        if worker == 0 && clock > last {
            let commands = self.next(state, clock).into_iter().flatten();
            commands.for_each(|command| inputs.saves.send(command));
        }
    }

    fn next(&self, state: &mut State, clock: EventTime) -> Option<Vec<(EventTime, Command)>> {
        state.turns += 1;
        if state.told == state.in_force.len() {
            let is_time = state.turns >= state.turns_each * (state.told + 1);
            if is_time && state.told < self.definitions.len() {
                (state.told, state.prepared) = (state.told + 1, 0);
            }
            return None;
        }
        let definition = self.definitions.get(state.told - 1)?;
        if state.sent < state.told {
            let is_known = state.knows.iter().all(|knows| *knows >= state.told);
            return is_known.then(|| {
                let from = clock.max(state.read_before);
                (state.sent, state.saved) = (state.told, clock);
                (state.sees_after, state.prepares) = match self.retain {
                    None => (from, clock),
                    Some(retain) => (from.saturating_sub(retain.ms()), from.saturating_add(1)),
                };
                let save = Command::Save(definition.clone(), state.sees_after);
                vec![(clock, save), (state.prepares, Command::Prepare)]
            });
        }
        (state.prepared == self.workers).then(|| {
            let (edit, from) = (Edit::Put(definition.clone()), Some(state.sees_after));
            let saved = Some(state.saved);
            state.in_force.push(TimedEdit { time: clock, from, saved, edit });
            vec![(clock, Command::Commit)]
        })
    }

    /// From when on the one that was sent off last is worked out.
    pub(super) fn prepares(&self) -> EventTime {
        lock(&self.state).prepares
    }

    /// A worker has read all it is going to read.
    pub(super) fn finish(&self, reads: &Reads, worker: usize) {
        let state = &mut *lock(&self.state);
        state.knows[worker] = usize::MAX;
        state.read_before = state.read_before.max(reads.greatest);
    }

    /// A worker has worked out the definition that was sent off last.
    pub(super) fn prepared(&self) {
        lock(&self.state).prepared += 1;
    }

    pub(super) fn are_done(&self) -> bool {
        lock(&self.state).in_force.len() == self.definitions.len()
    }
}

impl State {
    fn new(workers: usize) -> Self {
        let start = EventTime::MIN;
        State { read_before: start, prepares: start, knows: vec![0; workers], ..State::default() }
    }
}

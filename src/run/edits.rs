//! Edits of the definitions while a job runs: how workers come to know them, and in which steps
//! they come into force.
//!
//! ```text
//! first worker ── Grow(n) ──► every worker: reads no more without what these ask for
//!              ◄─ Grown(n, t) ── each: it has read events up to t without
//!              ── Save ──► the dataflow works it out for all users ── prepared ──►
//!              (written down, while time stands)
//!              ── Commit ──► in force; Edited ──► every worker, for late records
//! ```
//! One at a time, each after those it refers to, deletions last. A command is given only when time
//! has moved since the one before, so that their order is that of their times.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use dataflows::catalog::{Edit, TimedEdit, Timeline};
use dataflows::model::EventTime;
use dataflows::model::time::format_time;
use dataflows::operators::feed::Feed;
use dataflows::rule::Definition;
use dataflows::segmentation::{Command, Inputs, Question, Sight, steps};
use dataflows::streams::Streams;
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::Inspect;
use timely::dataflow::operators::vec::Broadcast;
use timely::worker::Worker;

use super::{Run, Shared, lock, viewed};
use crate::ingest::{Decision, Ingest, Ticket};
use crate::say::say;
use crate::sink::delivery::MadeFinal;
use crate::state::Retention;

/// What workers say to all.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Word {
    /// These are to be known to readers: the growth of this number.
    Grow(u64, Vec<Arc<Definition>>),
    /// A worker reads nothing more without knowing them; by when all it has read takes effect.
    Grown(u64, EventTime),
    /// This is in force.
    Edited(TimedEdit),
}

/// The streams that the readers of a process know, and which growth they have come to.
pub(super) struct Known {
    number: u64,
    streams: Arc<Streams>,
}

impl Known {
    pub(super) fn new(streams: &Arc<Streams>) -> Self {
        Known { number: 0, streams: Arc::clone(streams) }
    }

    /// Grows, unless another worker of the process has seen to it.
    fn grow(&mut self, number: u64, definitions: &[Arc<Definition>]) -> Arc<Streams> {
        if self.number < number {
            self.number = number;
            let streams = Arc::make_mut(&mut self.streams);
            definitions.iter().for_each(|definition| streams.add_rule(&definition.rule));
        }
        Arc::clone(&self.streams)
    }
}

/// A worker's part in it.
pub(super) struct Edits {
    shared: Arc<Shared>,
    feed: Feed<Word>,
    heard: Rc<RefCell<VecDeque<Word>>>,
    /// What readers are to know once all that was read without has had its turn.
    grown: Option<(u64, Arc<Streams>)>,
    lead: Option<Lead>,
}

/// What the first worker knows besides.
struct Lead {
    workers: usize,
    in_force: HashMap<Arc<str>, Arc<Definition>>,
    waiting: VecDeque<Edit>,
    number: u64,
    /// How many workers know the last growth.
    grown: usize,
    /// By when all takes effect that may have been read without knowing what is asked for by now.
    read_without: EventTime,
    /// What is being worked out.
    saving: Option<TimedEdit>,
    /// How events are retained, if they are.
    retained: Option<Retention>,
    /// What comes into force once it is written down.
    decided: Option<(Ticket, Vec<TimedEdit>)>,
    /// How far that sees, if it is a definition.
    sight: Option<Sight>,
    /// The time of the last command. Nothing comes into force at times of which all has been given
    /// out before.
    last: EventTime,
}

impl Edits {
    pub(super) fn new(worker: &mut Worker, run: &Run, shared: &Arc<Shared>) -> Self {
        let heard = Rc::new(RefCell::new(VecDeque::new()));
        let hears = Rc::clone(&heard);
        let feed = worker.dataflow(|scope| {
            let (feed, words) = Feed::new(scope, "Edits");
            words.broadcast().inspect(move |word: &Word| {
                hears.borrow_mut().push_back(word.clone());
            });
            feed
        });
        if let Some(view) = &shared.view {
            let partitions = Arc::clone(&shared.partitions);
            view.questions().wake_by(move || partitions.wake());
        }
        let lead = (worker.index() == 0).then(|| Lead {
            last: shared.finals.iter().map(MadeFinal::time).max().unwrap_or(EventTime::MIN),
            retained: run.state.as_ref().and_then(|kept| kept.resumed.retained()),
            ..Lead::new(worker.peers(), &run.timeline)
        });
        Edits { shared: Arc::clone(shared), feed, heard, grown: None, lead }
    }

    /// What was edited since the earlier run comes into force, before anything else happens.
    pub(super) fn begin(&mut self, inputs: &mut Inputs) {
        let Some(lead) = &mut self.lead else { return };
        for edit in &self.shared.edited {
            if let Edit::Put(it) = &edit.edit {
                let since = format_time(edit.time);
                say(format_args!("{} was edited: in force from {since}", it.id));
            }
        }
        lead.come_into_force(&self.shared.edited, put, inputs);
        if let Some(view) = &self.shared.view {
            self.shared.edited.iter().for_each(|edit| viewed::edited(view, edit, None));
        }
        for edit in self.shared.edited.iter().cloned() {
            lead.last = edit.time;
            self.feed.send(Word::Edited(edit));
        }
        self.feed.flush();
    }

    /// Whether nothing more is to be read, for now.
    pub(super) fn are_awaited(&self) -> bool {
        self.grown.is_some()
    }

    /// Whether time is to stand: something comes into force at this instant.
    pub(super) fn hold_time(&self) -> bool {
        self.lead.as_ref().is_some_and(|lead| lead.decided.is_some())
    }

    /// Whether a definition is being worked out: a checkpoint in the midst of that would have some
    /// of the events it sees, and not others.
    pub(super) fn are_saving(&self) -> bool {
        self.lead.as_ref().is_some_and(|lead| lead.saving.is_some() || lead.decided.is_some())
    }

    /// What is to be done about them, for a worker that has nothing waiting or not, and whose time
    /// stands here.
    pub(super) fn turn(
        &mut self,
        run: &Run,
        ingest: &mut Ingest,
        (has_settled, time): (bool, EventTime),
        inputs: &mut Inputs,
    ) {
        while let Some(word) = self.next_word() {
            match (word, &mut self.lead) {
                (Word::Grow(number, definitions), _) => {
                    let streams = lock(&self.shared.known).grow(number, &definitions);
                    self.grown = Some((number, streams));
                }
                (Word::Grown(number, greatest), Some(lead)) if number == lead.number => {
                    lead.grown += 1;
                    lead.read_without = lead.read_without.max(greatest);
                }
                (Word::Grown(..), _) => {}
                (Word::Edited(edit), _) => ingest.edited(edit),
            }
        }
        if let Some((number, streams)) = self.grown.take_if(|_| has_settled) {
            let greatest = ingest.grow(&streams);
            self.say(Word::Grown(number, greatest));
        }
        if self.hold_time() || !self.shared.partitions.is_stopped() {
            self.lead(run, time, inputs);
            self.ask(time, inputs);
        }
    }

    /// Passes a question on to all workers, if there is one: about all before this time.
    fn ask(&self, time: EventTime, inputs: &mut Inputs) {
        let (Some(lead), Some(view)) = (&self.lead, &self.shared.view) else { return };
        // Before, what is in force now was not yet.
        if time <= lead.last || self.hold_time() {
            return;
        }
        if let Some((number, ask)) = view.questions().take(lead.workers) {
            let question = Question::new(number, ask, |id| lead.in_force.get(id).cloned());
            inputs.saves.send((time, Command::Ask(Arc::new(question))));
            inputs.saves.flush();
        }
    }

    fn next_word(&self) -> Option<Word> {
        self.heard.borrow_mut().pop_front()
    }

    fn say(&mut self, word: Word) {
        self.feed.send(word);
        self.feed.flush();
    }

    fn lead(&mut self, run: &Run, time: EventTime, inputs: &mut Inputs) {
        let Some(lead) = &mut self.lead else { return };
        if lead.is_free() {
            let watch = run.live.as_ref().and_then(|live| live.watch.as_ref());
            let Some(catalog) = watch.and_then(|watch| watch.take()) else { return };
            let wanted: Vec<_> = catalog.iter().cloned().collect();
            lead.waiting = steps(&lead.in_force, &wanted).into();
            if lead.waiting.is_empty() {
                // Read again, and the same: no command, so questions need not wait for time to move.
                return;
            }
            let known = lock(&self.shared.known).streams.clone();
            let new: Vec<_> = lead.new_ones().filter(|it| !known.know(&it.rule)).collect();
            if !new.is_empty() {
                (lead.number, lead.grown) = (lead.number + 1, 0);
                let word = Word::Grow(lead.number, new);
                return self.say(word);
            }
        }
        let journal = &self.shared.partitions.journal;
        if lead.decided.is_none() {
            // Time must have moved, and something must have been read.
            if time <= lead.last {
                return;
            }
            let edits = lead.next(time, inputs, &self.shared.prepared);
            if edits.is_empty() {
                return;
            }
            let ticket = journal.ask(edits.iter().cloned().map(Decision::Edited));
            lead.decided = Some((ticket, edits));
        }
        let durable = lead.decided.take_if(|(ticket, _)| journal.is_durable(*ticket));
        let Some((_, edits)) = durable else { return };
        lead.come_into_force(&edits, |_, _| vec![Command::Commit], inputs);
        let sight = lead.sight.take();
        if let Some(view) = &self.shared.view {
            edits.iter().for_each(|edit| viewed::edited(view, edit, sight.as_ref()));
        }
        for edit in edits {
            if let Some(kept) = &run.state {
                kept.resumed.history().add(edit.clone());
            }
            self.feed.send(Word::Edited(edit));
            self.feed.flush();
        }
    }
}

impl Lead {
    fn new(workers: usize, timeline: &Timeline) -> Self {
        let mut in_force: HashMap<_, _> =
            timeline.initial.iter().map(|it| (it.id.clone(), it.clone())).collect();
        timeline.edits.iter().for_each(|edit| apply(&mut in_force, &edit.edit));
        Lead {
            workers,
            in_force,
            waiting: VecDeque::new(),
            number: 0,
            grown: workers,
            read_without: EventTime::MIN,
            saving: None,
            retained: None,
            decided: None,
            sight: None,
            last: EventTime::MIN,
        }
    }

    fn is_free(&self) -> bool {
        self.waiting.is_empty() && self.saving.is_none() && self.decided.is_none()
    }

    /// The definitions that wait, in their order.
    fn new_ones(&self) -> impl Iterator<Item = Arc<Definition>> {
        self.waiting.iter().filter_map(|edit| match edit {
            Edit::Put(definition) => Some(definition.clone()),
            Edit::Delete(_) => None,
        })
    }

    /// Gives the next command, if it is time for one; what is to come into force now.
    fn next(
        &mut self,
        time: EventTime,
        inputs: &mut Inputs,
        prepared: &Mutex<Vec<Sight>>,
    ) -> Vec<TimedEdit> {
        let mut edits = Vec::new();
        if self.saving.is_some() {
            let mut prepared = lock(prepared);
            if prepared.len() < self.workers {
                return edits;
            }
            let sight = prepared.pop();
            prepared.clear();
            sight.iter().for_each(|sight| tell(sight, time));
            self.sight = sight;
            edits.extend(self.saving.take().map(|edit| TimedEdit { time, ..edit }));
        } else if self.grown < self.workers {
            return edits;
        } else if let Some(Edit::Put(definition)) = self.waiting.front() {
            let definition = definition.clone();
            self.waiting.pop_front();
            let settled = time.max(self.read_without);
            // Where it looks back, all that was read without must be among what it looks at.
            let (from, prepared) = match &self.retained {
                None => (settled, time),
                Some(retained) => (retained.seen_after(settled), settled.saturating_add(1)),
            };
            inputs.saves.send((time, Command::Save(definition.clone(), from)));
            inputs.saves.send((prepared, Command::Prepare));
            let edit = Edit::Put(definition);
            self.saving = Some(TimedEdit { time, from: Some(from), saved: Some(time), edit });
        } else {
            // Only deletions are left.
            for edit in self.waiting.drain(..) {
                edits.push(TimedEdit { time, from: None, saved: None, edit });
            }
        }
        self.last = time;
        inputs.saves.flush();
        edits
    }

    fn come_into_force(
        &mut self,
        edits: &[TimedEdit],
        put: impl Fn(Arc<Definition>, Option<EventTime>) -> Vec<Command>,
        inputs: &mut Inputs,
    ) {
        for TimedEdit { time, edit, from, .. } in edits {
            let commands = match edit {
                Edit::Put(definition) => put(definition.clone(), *from),
                Edit::Delete(id) => {
                    let since = format_time(*time);
                    say(format_args!("{id} is deleted from {since}; its members leave"));
                    vec![Command::Delete(id.clone())]
                }
            };
            commands.into_iter().for_each(|command| inputs.saves.send((*time, command)));
            apply(&mut self.in_force, edit);
        }
        inputs.saves.flush();
    }
}

/// What puts a definition at once; where it looks back, it is worked out when it is committed.
fn put(definition: Arc<Definition>, from: Option<EventTime>) -> Vec<Command> {
    match from {
        Some(from) => vec![Command::Save(definition, from), Command::Commit],
        None => vec![Command::Put(definition)],
    }
}

fn apply(in_force: &mut HashMap<Arc<str>, Arc<Definition>>, edit: &Edit) {
    match edit {
        Edit::Put(definition) => _ = in_force.insert(definition.id.clone(), definition.clone()),
        Edit::Delete(id) => _ = in_force.remove(id),
    }
}

/// Says what is in force, and since when its answers are exact.
fn tell(sight: &Sight, time: EventTime) {
    let Sight { segment, from, complete_from } = sight;
    let since = format_time(time);
    let [sees, complete] = [from, complete_from].map(|time| format_time(*time));
    if *from == EventTime::MIN || *complete_from <= time {
        say(format_args!("{segment} is in force from {since}"));
    } else if *complete_from == EventTime::MAX {
        say(format_args!("{segment} is in force from {since}; counts from {sees}"));
    } else {
        say(format_args!("{segment} is in force from {since}; complete from {complete}"));
    }
}

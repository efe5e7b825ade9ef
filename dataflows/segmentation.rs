//! The dataflow: changes in, differences out. Its shape never changes, however many segments there
//! are.
//!
//! ```text
//! seen ── counted, without copies ─ counted
//! stamps ── dedup ── copies ─┐
//! updates ───────────────────┼─ membership ─┬──────────────── differences ─┐
//! commands ──────────────────┘              ├─ flips ─┐                    ├─ release ─ differences
//!                                           └─ edges ─┴─ compose ─ gates ──┘
//! late, rejected, tallies ──────────────────────────────────────── gather ─ late, rejected, tallies
//! saves ──── to every worker, among the commands; prepared: once for each that has worked it out
//! questions ──── among the saves; replies: what each worker says of its own users
//! promises ──── to dedup and membership: how old further records may be (`on_event`)
//! ```

mod edits;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::operator::Operator;
use timely::dataflow::operators::vec::{Broadcast, Map};
use timely::dataflow::operators::{Concat, Exchange as _, Probe};
use timely::dataflow::{ProbeHandle, Scope, Stream};

use crate::clock::{ClockSettings, Emit, Reason};
use crate::model::{Difference, EventTime, Incoming, Position, Profile, Stamp};
use crate::operators::checkpoint::{
    Identifiers, Piece, Restored, Share, Survival, record_identifiers,
};
use crate::operators::compose::compose;
use crate::operators::counted::counted;
use crate::operators::dedup::dedup;
use crate::operators::feed::Feed;
use crate::operators::membership::{self, Membership, Tally, membership};
use crate::operators::memory::Memory;
use crate::operators::release::{gather, release};
use crate::operators::settled::Promise;
use crate::streams::Streams;

pub use edits::{commands, commands_as_they_come, referred_first, steps};

pub use crate::operators::counted::Seen;
pub use crate::operators::membership::{Ask, Command, Counted, Question, Reply, Told};
pub use crate::operators::plan::{Keep, Sight};

/// A record below its partition's clock.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Late {
    /// Where it stood.
    pub position: Position,
    /// Its event time.
    pub time: EventTime,
    /// The clock it missed.
    pub clock: EventTime,
    /// When it is given out: at that clock, or at that of all (`on_event`).
    pub at: EventTime,
    /// Why it missed it.
    pub reason: Reason,
    /// The segments whose conditions mention it.
    pub segments: Vec<Arc<str>>,
    /// The record as it came.
    pub record: Vec<u8>,
}

/// A record that could not be understood.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rejected {
    /// Where it stood.
    pub position: Position,
    /// Its partition's clock when its turn came.
    pub clock: EventTime,
    /// When it is given out: at that clock, or at that of all (`on_event`).
    pub at: EventTime,
    /// Why, in one line.
    pub reason: String,
    /// The record as it came.
    pub record: Vec<u8>,
}

/// The ends into which a worker feeds what its sources read. All of them are advanced together.
pub struct Inputs {
    /// Records that are on time, and the name of every user before the first of them.
    pub updates: Feed<Incoming>,
    /// What tells second copies, for those of them that carry an identifier.
    pub stamps: Feed<Stamp>,
    /// Those of them that are counted, where any are.
    pub seen: Option<Feed<Seen>>,
    /// Edits of the plan, the same on every worker.
    pub commands: Feed<(EventTime, Command)>,
    /// Edits while the stream flows, of any one worker: [`Command::Save`], and when every worker has
    /// [prepared](Outputs::prepared) it, [`Command::Commit`].
    pub saves: Feed<(EventTime, Command)>,
    /// What is taken over from an earlier run.
    restored: Feed<Restored>,
    /// Late records, each with when it is given out.
    pub late: Feed<(EventTime, Late)>,
    /// Rejected records, each with when it is given out.
    pub rejected: Feed<(EventTime, Rejected)>,
    /// What the others say of how old further records may be, where they run ahead of the
    /// watermark (`on_event`).
    promises: Promises,
    /// How far all workers have come in what they say of records.
    records: ProbeHandle<EventTime>,
    holds_saves: bool,
}

/// The way to tell all workers how old further records of this one may be.
struct Promises {
    feed: Feed<Promise>,
    emit: Emit,
    from: usize,
    workers: usize,
    last: Option<(EventTime, EventTime)>,
}

impl Promises {
    fn advance_to(&mut self, clock: EventTime, watermark: EventTime) {
        self.feed.advance_to(clock);
        if self.last != Some((clock, watermark)) {
            self.last = Some((clock, watermark));
            self.promise(clock, watermark);
        }
    }

    fn promise(&mut self, clock: EventTime, watermark: EventTime) {
        if self.emit == Emit::OnEvent {
            for to in 0..self.workers {
                self.feed.send(Promise { to, from: self.from, clock, watermark });
            }
        }
    }
}

impl Drop for Promises {
    /// A worker that sends nothing more holds nobody back.
    fn drop(&mut self) {
        let clock = self.last.map_or(EventTime::MIN, |(clock, _)| clock);
        self.promise(clock, EventTime::MAX);
    }
}

/// What comes out, all of it on the first worker and in order.
pub struct Outputs<'scope> {
    /// Who entered and left, by (time, segment, user).
    pub differences: Stream<'scope, EventTime, Vec<Difference>>,
    /// What attributes have become that outputs are [told](Streams::tell) of, by (time, user); where
    /// they are told of any.
    pub profiles: Option<Stream<'scope, EventTime, Vec<Profile>>>,
    /// Late records, by when they are given out and position.
    pub late: Stream<'scope, EventTime, Vec<Late>>,
    /// Rejected records, by when they are given out and position.
    pub rejected: Stream<'scope, EventTime, Vec<Rejected>>,
    /// Once for every worker that has worked out what was saved: the segment, and how far it sees.
    pub prepared: Stream<'scope, EventTime, Vec<Sight>>,
    /// What is said to [questions](Command::Ask), once by every worker.
    pub replies: Stream<'scope, EventTime, Vec<Reply>>,
    /// What is counted, each once and final, not in order within one batch; where anything is.
    pub counted: Option<Stream<'scope, EventTime, Vec<Seen>>>,
    /// What checkpoints add to what is kept: of this worker, and two or three for each checkpoint.
    pub pieces: Stream<'scope, EventTime, Vec<Piece>>,
    /// What was counted.
    pub tally: Stream<'scope, EventTime, Vec<Tally>>,
    /// Tells what the users of this worker needed when the last update had been applied, once the
    /// dataflow has come to its end.
    pub memory: Box<dyn Fn() -> Memory>,
}

/// Builds the dataflow on one worker. Every worker of the cluster must build the same.
pub fn segmentation<'scope>(
    scope: Scope<'scope, EventTime>,
    settings: ClockSettings,
    streams: Arc<Streams>,
    survival: Survival,
) -> (Inputs, Outputs<'scope>) {
    let (updates, updates_stream) = Feed::new(scope, "Updates");
    let (stamps, stamps_stream) = Feed::new(scope, "Stamps");
    let (commands, commands_stream) = Feed::new(scope, "Commands");
    let (saves, saves_stream) = Feed::new(scope, "Saves");
    let (restored, restored_stream) = Feed::new(scope, "Restored");
    let (late, late_stream) = Feed::<(EventTime, Late)>::new(scope, "Late records");
    let (rejected, rejected_stream) = Feed::<(EventTime, Rejected)>::new(scope, "Rejected records");
    let (feed, promises_stream) = Feed::new(scope, "Promises");
    let seen = streams.are_counted().then(|| Feed::<Seen>::new(scope, "Seen"));
    let (seen, seen_stream) = seen.unzip();
    let (from, workers) = (scope.index(), scope.peers());
    let promises = Promises { feed, emit: settings.emit, from, workers, last: None };
    let (records, holds_saves) = (ProbeHandle::new(), false);
    // As good as any other that goes with time, and almost nothing flows here.
    commands_stream.clone().probe_with(&records);
    let inputs = Inputs {
        updates,
        stamps,
        seen,
        commands,
        saves,
        restored,
        late,
        rejected,
        promises,
        records,
        holds_saves,
    };
    let saves_stream = saves_stream.broadcast();
    let applied =
        (survival != Survival::Nothing).then(|| Rc::new(RefCell::new(Identifiers::new(settings))));
    let copies = dedup(stamps_stream, promises_stream.clone(), settings, applied.clone());
    let counts = seen_stream.map(|seen| counted(seen, copies.clone()));
    let identifiers =
        applied.map(|it| record_identifiers(it, copies.clone(), saves_stream.clone()));

    let are_told = !streams.told().is_empty();
    let members = membership(
        membership::Inputs {
            updates: updates_stream,
            copies,
            commands: commands_stream.concat(saves_stream),
            restored: restored_stream,
            promises: promises_stream,
        },
        Membership::new(settings, streams, survival),
    );
    let (state, counted) = (members.state.clone(), members.state);
    let gates = compose(members.flips, members.edges).inner;
    let composed = gates.flat_map(move |((gate, slot), time, diff)| {
        let Membership { plan, users, .. } = &mut *state.borrow_mut();
        let gate = plan.node(gate);
        let mut user = || users.get_mut(slot).name.share();
        gate.root.then(|| (time, (gate.segment.clone(), user(), diff as i64)))
    });
    let plain = members
        .differences
        .map(|(segment, user, time, sign)| (time, (segment, user, i64::from(sign.diff()))));
    let late_tally = late_stream.clone().map(|_| Tally { late: 1, ..Tally::default() });
    let rejected_tally = rejected_stream.clone().map(|_| Tally { rejected: 1, ..Tally::default() });
    let tallies = members.tally.concat(late_tally).concat(rejected_tally);
    let outputs = Outputs {
        differences: release(plain.concat(composed)),
        profiles: are_told.then(|| gather(members.profiles, "Profiles")),
        late: gather(late_stream, "Late"),
        rejected: gather(rejected_stream, "Rejected"),
        prepared: members.prepared.exchange(|_| 0),
        replies: members.replies.exchange(|_| 0),
        counted: counts,
        pieces: match identifiers {
            Some(identifiers) => members.pieces.concat(identifiers),
            None => members.pieces,
        },
        tally: to_first(tallies),
        memory: Box::new(move || {
            let state = counted.borrow();
            state.at_end.unwrap_or_else(|| state.memory()) // where it is left before its end
        }),
    };
    (inputs, outputs)
}

/// Brings tallies to the first worker, added up batch by batch.
fn to_first<'scope>(
    tallies: Stream<'scope, EventTime, Vec<Tally>>,
) -> Stream<'scope, EventTime, Vec<Tally>> {
    let added = tallies.unary::<CapacityContainerBuilder<_>, _, _, _>(Pipeline, "Tally", |_, _| {
        |input, output| {
            input.for_each_time(|capability, batches| {
                let mut sum = Tally::default();
                batches.flat_map(|batch| batch.drain(..)).for_each(|tally| sum.add(&tally));
                output.session(&capability).give(sum);
            });
        }
    });
    let first = Exchange::new(|_: &Tally| 0);
    added.unary::<CapacityContainerBuilder<_>, _, _, _>(first, "Tallies", |_, _| {
        |input, output| {
            input.for_each_time(|capability, batches| {
                let all = batches.flat_map(|batch| batch.drain(..));
                output.session(&capability).give_iterator(all);
            });
        }
    })
}

impl Inputs {
    /// Takes over what has been read of an earlier run, where the instant up to which that had come
    /// is the time last said; before any record.
    pub fn restore(&mut self, share: Share) {
        let (restored, stamps) = share.finish();
        self.restored.open().extend(restored);
        self.stamps.open().extend(stamps);
    }

    /// Says that nothing before `time` will come any more, and that the watermark has come to
    /// `watermark`; sends what has been handed over.
    pub fn advance_to(&mut self, time: EventTime, watermark: EventTime) {
        self.updates.advance_to(time);
        self.stamps.advance_to(time);
        self.seen.iter_mut().for_each(|seen| seen.advance_to(time));
        self.commands.advance_to(time);
        self.saves.advance_to(self.reached(time));
        self.restored.advance_to(time);
        self.late.advance_to(time);
        self.rejected.advance_to(time);
        self.promises.advance_to(time, watermark);
    }

    /// From now on, `saves` stay behind until all workers have come as far: so what is sent by them
    /// can have a time that no worker has to be waited for to reach. For one worker of several
    /// processes; it costs a turn between them.
    pub fn hold_saves(&mut self) {
        self.holds_saves = true;
    }

    /// How far `saves` have come, where this worker has come to `time`: where they are not held
    /// back, so far as well.
    pub fn reached(&self, time: EventTime) -> EventTime {
        if !self.holds_saves {
            return time;
        }
        let all = self.records.with_frontier(|all| all.first().copied());
        all.unwrap_or(EventTime::MAX).min(time)
    }
}

//! The timely shell of the operator: what comes waits for its instant, what comes of it goes out.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::{Capability, InputCapability};

use super::{
    Alarm, Changes, Command, Effects, Entering, Flip, Instant, Membership, Question, Reply, Tally,
};
use crate::clock::Emit;
use crate::model::{Change, EventTime, Incoming, Profile, Update};
use crate::operators::checkpoint::{Piece, Restored};
use crate::operators::dedup::SecondCopy;
use crate::operators::plan::{Edge, Sight};
use crate::operators::settled::{Promise, Settled};
use crate::operators::slots::Slots;
use crate::operators::users::{Effect, Slot, Users};
use crate::operators::wheel::Wheel;

/// The streams this operator reads.
pub struct Inputs<'scope> {
    /// Records that are on time, and the names of their users.
    pub updates: Stream<'scope, EventTime, Vec<Incoming>>,
    /// Those of them that are second copies.
    pub copies: Stream<'scope, EventTime, Vec<SecondCopy>>,
    /// Edits of the plan, the same on every worker.
    pub commands: Stream<'scope, EventTime, Vec<(EventTime, Command)>>,
    /// What is taken over from an earlier run.
    pub restored: Stream<'scope, EventTime, Vec<Restored>>,
    /// How old further updates may be.
    pub promises: Stream<'scope, EventTime, Vec<Promise>>,
}

/// The streams it writes.
pub struct Outputs<'scope> {
    /// Users who entered or left segments without references.
    pub differences: Stream<'scope, EventTime, Vec<Entering>>,
    /// What attributes that outputs ask for have become.
    pub profiles: Stream<'scope, EventTime, Vec<(EventTime, Profile)>>,
    /// Users who entered or left nodes that gates count.
    pub flips: Stream<'scope, EventTime, Vec<Flip>>,
    /// Edges that came and went.
    pub edges: Stream<'scope, EventTime, Vec<(Edge, EventTime, isize)>>,
    /// Definitions that were saved and have been worked out by this worker.
    pub prepared: Stream<'scope, EventTime, Vec<Sight>>,
    /// What this worker says to questions.
    pub replies: Stream<'scope, EventTime, Vec<Reply>>,
    /// What checkpoints add to what is kept, of this worker.
    pub pieces: Stream<'scope, EventTime, Vec<Piece>>,
    /// What was counted.
    pub tally: Stream<'scope, EventTime, Vec<Tally>>,
    /// The state machine, for those who name users and gates after it.
    pub state: Rc<RefCell<Membership>>,
}

const OUTPUTS: usize = 8;
/// How many instants are worked off before other operators get their turn.
const INSTANTS_PER_TURN: usize = 4_096;

/// For how many users it looks at once: what is found of them stays near until they are.
const LOOKED_FOR: usize = 128;

/// Renders the operator (see the module).
pub fn membership<'scope>(inputs: Inputs<'scope>, state: Membership) -> Outputs<'scope> {
    let scope = inputs.updates.scope();
    let mut builder = OperatorBuilder::new("Membership".to_owned(), scope);
    let (emit, workers) = (state.settings.emit, scope.peers());
    let (mut written, outputs) = new_outputs(&mut builder, state);
    let by_user = Exchange::new(|incoming: &Incoming| incoming.user().route());
    let mut updates = builder.new_input(inputs.updates, by_user);
    let by_user = Exchange::new(|copy: &SecondCopy| copy.user.route());
    let mut copies = builder.new_input(inputs.copies, by_user);
    let mut commands = builder.new_input(inputs.commands, Pipeline);
    let to = Exchange::new(|part: &Restored| part.to as u64);
    let mut restored = builder.new_input(inputs.restored, to);
    // Nothing is ever produced because of a promise, so they hold nothing back.
    let to = Exchange::new(|promise: &Promise| promise.to as u64);
    let mut promises = builder.new_input_connection(inputs.promises, to, []);
    let activator = scope.activator_for(builder.operator_info().address);
    let shared = Rc::clone(&outputs.state);
    builder.build(move |_| {
        let mut held: Option<[Capability<EventTime>; OUTPUTS]> = None;
        let mut ahead = Ahead::new(emit, workers);
        let mut changes = Changes::default();
        move |frontiers| {
            let mut state = shared.borrow_mut();
            // In the order in which each worker sent it, so that names come first: by time, batches
            // of one time would change places.
            updates.for_each(|capability, batch| {
                hold(&mut held, &capability);
                let mut arrived = batch.drain(..);
                while let Some(some) = arrived.as_slice().chunks(LOOKED_FOR).next() {
                    ahead.look_for(some, &state.users);
                    for incoming in arrived.by_ref().take(LOOKED_FOR) {
                        match incoming {
                            Incoming::Name(user, name) => state.name(user, name),
                            Incoming::Update(update) => ahead.update(update, &state.users),
                        }
                    }
                }
            });
            copies.for_each_time(|capability, batches| {
                hold(&mut held, &capability);
                for copy in batches.flat_map(|batch| batch.drain(..)) {
                    ahead.copies.insert(copy.at, copy);
                }
            });
            commands.for_each_time(|capability, batches| {
                hold(&mut held, &capability);
                for (at, command) in batches.flat_map(|batch| batch.drain(..)) {
                    match command {
                        Command::Checkpoint(number) => _ = ahead.checkpoints.insert(at, number),
                        Command::Ask(question) => {
                            ahead.questions.entry(at).or_default().push(question);
                        }
                        command => ahead.commands.insert(at, command),
                    }
                }
            });
            restored.for_each_time(|capability, batches| {
                hold(&mut held, &capability);
                for part in batches.flat_map(|batch| batch.drain(..)) {
                    ahead.restored.insert(part.at, part);
                }
            });
            promises.for_each_time(|_, batches| {
                batches.flat_map(|batch| batch.drain(..)).for_each(|it| ahead.settled.promise(it));
            });
            let [inputs @ .., _] = frontiers else { return };
            let bounds = inputs.iter().filter_map(|it| it.frontier().first().copied());
            let bound = bounds.min();
            ahead.ends = bound.is_none();
            ahead.count(&mut state);
            let Some(capabilities) = &mut held else { return };
            let passed = |at: &EventTime| bound.is_none_or(|bound| *at < bound);
            ahead.settled.pass(passed);
            let next = ahead.turn(bound, &mut state, &mut changes);
            let caught_up = !next.as_ref().is_some_and(passed);
            // What waits for a free moment: alarms it sets are not before the bound.
            let slicing = bound.filter(|_| caught_up && state.has_slices());
            if let Some(bound) = slicing {
                state.slice(bound.saturating_sub(1), &mut changes);
            }
            state.record(bound.is_none(), &mut changes);
            let slicing = slicing.or(bound.filter(|_| state.is_recording()));
            if !caught_up || slicing.is_some() {
                activator.activate();
            }
            written.write(&mut changes, capabilities);
            let next = ahead.next(&mut state);
            match next.into_iter().chain(slicing).min() {
                // A checkpoint may be of a time before the one at which it was asked for.
                Some(next) => {
                    capabilities.iter_mut().for_each(|it| it.downgrade(&next.max(*it.time())));
                }
                None if ahead.checkpoints.is_empty() && ahead.questions.is_empty() => held = None,
                None => {}
            }
        }
    });
    outputs
}

/// Both ends of what the operator writes.
fn new_outputs<'scope>(
    builder: &mut OperatorBuilder<'scope, EventTime>,
    state: Membership,
) -> (Written, Outputs<'scope>) {
    let (differences, differences_stream) = builder.new_output();
    let (flips, flips_stream) = builder.new_output();
    let (edges, edges_stream) = builder.new_output();
    let (tally, tally_stream) = builder.new_output();
    let (prepared, prepared_stream) = builder.new_output();
    let (pieces, pieces_stream) = builder.new_output();
    let (replies, replies_stream) = builder.new_output();
    let (profiles, profiles_stream) = builder.new_output();
    let written = Written {
        differences: OutputBuilder::from(differences),
        flips: OutputBuilder::from(flips),
        edges: OutputBuilder::from(edges),
        tally: OutputBuilder::from(tally),
        prepared: OutputBuilder::from(prepared),
        pieces: OutputBuilder::from(pieces),
        replies: OutputBuilder::from(replies),
        profiles: OutputBuilder::from(profiles),
    };
    let outputs = Outputs {
        differences: differences_stream,
        profiles: profiles_stream,
        flips: flips_stream,
        edges: edges_stream,
        tally: tally_stream,
        prepared: prepared_stream,
        pieces: pieces_stream,
        replies: replies_stream,
        state: Rc::new(RefCell::new(state)),
    };
    (written, outputs)
}

/// Keeps the capabilities of the earliest time at which something waits.
fn hold(held: &mut Option<[Capability<EventTime>; OUTPUTS]>, arrived: &InputCapability<EventTime>) {
    if held.as_ref().is_none_or(|[first, ..]| arrived.time() < first.time()) {
        *held = Some([0, 1, 2, 3, 4, 5, 6, 7].map(|output| arrived.retain(output)));
    }
}

/// What has come and waits for the frontier.
struct Ahead {
    /// At their users.
    updates: Wheel<Effect>,
    copies: Wheel<SecondCopy>,
    commands: Wheel<Command>,
    /// Checkpoints to come, by time. Where time stands for good, one of a later time never comes.
    checkpoints: BTreeMap<EventTime, u64>,
    /// Questions about what is before a time, by time.
    questions: BTreeMap<EventTime, Vec<Arc<Question>>>,
    restored: Wheel<Restored>,
    settled: Settled,
    instant: Instant,
    emit: Emit,
    /// Users who are sure to exist.
    exist: Slots,
    /// Whether nothing more will come.
    ends: bool,
    /// The buckets of updates and of alarms whose users have been looked at.
    looked_at: [EventTime; 2],
    /// Where those are, most likely, whose updates have come.
    likely: Vec<Slot>,
}

impl Ahead {
    fn new(emit: Emit, workers: usize) -> Self {
        Ahead {
            updates: Wheel::default(),
            copies: Wheel::default(),
            commands: Wheel::default(),
            checkpoints: BTreeMap::new(),
            questions: BTreeMap::new(),
            restored: Wheel::default(),
            settled: Settled::new(emit, workers),
            instant: Instant::default(),
            emit,
            exist: Slots::default(),
            ends: false,
            looked_at: [EventTime::MIN; 2],
            likely: Vec::new(),
        }
    }

    /// Looks for the users of what has arrived, before each is found.
    fn look_for(&mut self, arrived: &[Incoming], users: &Users) {
        let of_update = |incoming: &Incoming| match incoming {
            Incoming::Update(update) => Some(update.user),
            Incoming::Name(..) => None,
        };
        users.look_for(arrived.iter().filter_map(of_update), &mut self.likely);
    }

    fn update(&mut self, update: Update, users: &Users) {
        let Update { user, time, at, position, change } = update;
        self.settled.wait(time, at);
        self.updates.insert(at, Effect { slot: users.slot(user), time, position, change });
    }

    fn next(&mut self, state: &mut Membership) -> Option<EventTime> {
        let seldom = [self.copies.next_due(), self.commands.next_due(), self.restored.next_due()];
        let often = earlier(self.updates.next_due(), state.wheel.next_due());
        seldom.into_iter().fold(often, earlier)
    }

    /// Works off instants that have passed, as many as a turn has; the next one that waits.
    fn turn(
        &mut self,
        bound: Option<EventTime>,
        state: &mut Membership,
        changes: &mut Changes,
    ) -> Option<EventTime> {
        let passed = |at: &EventTime| bound.is_none_or(|bound| *at < bound);
        for _ in 0..INSTANTS_PER_TURN {
            let next = self.next(state);
            let come_to = earlier(next, bound);
            self.checkpoint(come_to, state, changes);
            self.answer(come_to, state, changes);
            self.look_ahead(state);
            self.count(state);
            let Some(at) = next.filter(&passed) else { return next };
            self.take(at, state);
            self.effects(at, state, changes);
        }
        self.next(state)
    }

    /// Takes the checkpoints to which time has come.
    fn checkpoint(
        &mut self,
        come_to: Option<EventTime>,
        state: &mut Membership,
        changes: &mut Changes,
    ) {
        while let Some(next) = self.checkpoints.first_entry()
            && come_to.is_none_or(|come_to| *next.key() <= come_to)
        {
            let (before, number) = next.remove_entry();
            let settled = self.settled.before(before);
            state.checkpoint(number, (before, settled), changes);
        }
    }

    /// Answers the questions to which time has come.
    fn answer(&mut self, come_to: Option<EventTime>, state: &Membership, changes: &mut Changes) {
        while let Some(next) = self.questions.first_entry()
            && come_to.is_none_or(|come_to| *next.key() <= come_to)
        {
            let (before, questions) = next.remove_entry();
            for question in questions {
                state.reply(&question, before.saturating_sub(1), changes);
            }
        }
    }

    /// When a bucket of either wheel is opened, looks at the users it will be about.
    fn look_ahead(&mut self, state: &Membership) {
        let (bucket, updates) = self.updates.opened();
        if std::mem::replace(&mut self.looked_at[0], bucket) != bucket {
            state.users.look_ahead(updates.map(|update| update.slot));
        }
        let (bucket, alarms) = state.wheel.opened();
        if std::mem::replace(&mut self.looked_at[1], bucket) != bucket {
            state.users.look_ahead(alarms.map(Alarm::slot));
        }
    }

    /// Counts what users need, once: when the last update has been applied, and before all they
    /// need it for is over.
    fn count(&mut self, state: &mut Membership) {
        if self.ends && state.at_end.is_none() && self.updates.next_due().is_none() {
            let mut memory = state.memory();
            memory.user_bytes += self.exist.bytes() as u64;
            state.at_end = Some(memory);
        }
    }

    fn take(&mut self, at: EventTime, state: &mut Membership) {
        self.copies.take_due(at, &mut self.instant.copies);
        self.commands.take_due(at, &mut self.instant.commands);
        self.restored.take_due(at, &mut self.instant.restored);
        state.wheel.take_due(at, &mut self.instant.alarms);
    }

    /// Updates take effect, with all else of the instant.
    fn effects(&mut self, at: EventTime, state: &mut Membership, changes: &mut Changes) {
        let Ahead { updates, settled, exist, instant, .. } = self;
        let mut effects = Effects::new();
        updates.due(at).for_each(|effect| effects.push(effect));
        state.settle(settled.before(at));
        if self.emit == Emit::OnEvent {
            effects.iter().for_each(|update| settled.done(update.time, at));
        } else {
            pass_over(&mut effects, exist, (at, instant), changes);
        }
        state.instant(at, effects, instant, changes);
        updates.pass(at);
    }
}

/// Counts the events no rule asks about, and lets them be: of a user who exists they change
/// nothing. Where records may come out of order they may show that the user is older than
/// known, and an instant with deletions or second copies is worked off as it is.
fn pass_over(
    updates: &mut Effects<'_>,
    exist: &mut Slots,
    (at, instant): (EventTime, &Instant),
    changes: &mut Changes,
) {
    if updates.is_empty() {
        return;
    }
    let is_deletion = |update: &&Effect| update.change == Change::Delete;
    if !instant.copies.is_empty() || updates.iter().any(is_deletion) {
        return updates.iter().for_each(|update| _ = exist.take(update.slot));
    }
    let before = updates.len();
    updates.retain(|update| {
        let is_new = exist.put(update.slot);
        is_new || !update.change.is_unasked()
    });
    changes.tally.applied += (before - updates.len()) as u64;
    changes.tally.last = changes.tally.last.max(Some(at));
}

/// The earlier of two instants, where there are any.
fn earlier(left: Option<EventTime>, right: Option<EventTime>) -> Option<EventTime> {
    match (left, right) {
        (Some(left), Some(right)) => Some(left.min(right)),
        (one, None) | (None, one) => one,
    }
}

type Output<D> = OutputBuilder<EventTime, CapacityContainerBuilder<Vec<D>>>;

struct Written {
    differences: Output<Entering>,
    flips: Output<Flip>,
    edges: Output<(Edge, EventTime, isize)>,
    tally: Output<Tally>,
    prepared: Output<Sight>,
    pieces: Output<Piece>,
    replies: Output<Reply>,
    profiles: Output<(EventTime, Profile)>,
}

impl Written {
    fn write(
        &mut self,
        changes: &mut Changes,
        [first, second, third, fourth, fifth, sixth, seventh, eighth]: &[Capability<EventTime>;
             OUTPUTS],
    ) {
        give(&mut self.differences, first, changes.differences.drain(..));
        give(&mut self.flips, second, changes.flips.drain(..));
        give(&mut self.edges, third, changes.edges.drain(..));
        give(&mut self.prepared, fifth, changes.prepared.drain(..));
        give(&mut self.pieces, sixth, changes.pieces.drain(..));
        give(&mut self.replies, seventh, changes.replies.drain(..));
        give(&mut self.profiles, eighth, changes.profiles.drain(..));
        let tally = std::mem::take(&mut changes.tally);
        give(&mut self.tally, fourth, Some(tally).filter(|tally| !tally.is_empty()));
    }
}

fn give<D: Clone + 'static>(
    output: &mut Output<D>,
    capability: &Capability<EventTime>,
    data: impl IntoIterator<Item = D>,
) {
    output.activate().session(capability).give_iterator(data.into_iter());
}

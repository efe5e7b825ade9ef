//! Who is in which node, the moment it changes: the operator in which all users live.
//!
//! At time t it equals: for every existing user the nodes of the plan (rules without references)
//! that hold, given the user's attributes, events and the time t. Users are spread over workers;
//! everything about one user happens on one worker.
//!
//! An instant is worked off whole: updates in the order of their writers, then the alarms of the
//! wheel, then edits of the plan. Only nodes with a condition whose fact crossed a cut are
//! evaluated. Cost per update: what it flips, and the look-ups for its own user.
//! State: [`User`]s, and one alarm per fact that time may change.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::{Capability, InputCapability};

use super::attributes::Held;
use super::dedup::SecondCopy;
use super::matching::next_change;
use super::plan::{
    Check, Condition, ConditionId, Edge, Edited, Expression, Fact, FactId, FactKind, Keep, NodeId,
    Plan, Reader, kind_bit,
};
use super::sequence::Progress;
use super::settled::{Promise, Settled};
use super::users::{Slot, State, StateKind, UNARMED, User, Users, log_of, state_of};
use super::wheel::Wheel;
use super::window::{Aggregate, Aggregated, Entry, Log, Quantity, Window, blank};
use crate::clock::{ClockSettings, Emit};
use crate::model::record::sample_place;
use crate::model::time::leave_time;
use crate::model::{Change, EventTime, Hit, Payload, Sign, Update, UserKey, Value};
use crate::rule::{Definition, Truth};
use crate::streams::Streams;

/// A change of the plan.
#[derive(Debug, Clone)]
pub enum Command {
    /// Begin to keep what this definition will need when it is put.
    Keep(Arc<Definition>, Keep, EventTime),
    /// This is the segment of its id from now on.
    Put(Arc<Definition>),
    /// There is no segment of this id from now on.
    Delete(Arc<str>),
}

/// A look at a fact that time may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alarm {
    slot: Slot,
    fact: FactId,
}

/// A user who entered or left a segment without references: the segment, the user, when, which.
pub type Entering = (Arc<str>, Arc<str>, EventTime, Sign);

/// A user who entered or left a node that gates count.
pub type Flip = ((NodeId, Slot), EventTime, isize);

/// What comes of an instant.
#[derive(Debug, Default)]
pub struct Changes {
    /// Users who entered or left segments without references.
    pub differences: Vec<Entering>,
    /// Users who entered or left nodes that gates count.
    pub flips: Vec<Flip>,
    /// Edges that came and went.
    pub edges: Vec<(Edge, EventTime, isize)>,
    /// What was counted.
    pub tally: Tally,
}

/// What was counted. Tallies of different workers and times add up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Updates that took effect.
    pub applied: u64,
    /// Second copies.
    pub duplicate: u64,
    /// Records below their partition's clock.
    pub late: u64,
    /// Records that could not be understood.
    pub rejected: u64,
    /// Values of the wrong type a segment's conditions met, by segment.
    pub mismatches: Vec<(Arc<str>, u64)>,
    /// The greatest time of an applied update.
    pub last: Option<EventTime>,
}

impl Tally {
    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        *self == Tally::default()
    }

    /// Adds another.
    pub fn add(&mut self, other: &Tally) {
        self.applied += other.applied;
        self.duplicate += other.duplicate;
        self.late += other.late;
        self.rejected += other.rejected;
        self.last = self.last.max(other.last);
        for (segment, count) in &other.mismatches {
            self.mismatch(segment, *count);
        }
    }

    fn mismatch(&mut self, segment: &Arc<str>, count: u64) {
        match self.mismatches.binary_search_by(|(other, _)| other.cmp(segment)) {
            Ok(place) => self.mismatches[place].1 += count,
            Err(place) => self.mismatches.insert(place, (segment.clone(), count)),
        }
    }
}

/// The streams this operator reads.
pub struct Inputs<'scope> {
    /// Records that are on time.
    pub updates: Stream<'scope, EventTime, Vec<Update>>,
    /// Those of them that are second copies.
    pub copies: Stream<'scope, EventTime, Vec<SecondCopy>>,
    /// The name of every user, at or before the time of the first update from the same source.
    pub names: Stream<'scope, EventTime, Vec<(UserKey, Arc<str>)>>,
    /// Edits of the plan, the same on every worker.
    pub commands: Stream<'scope, EventTime, Vec<(EventTime, Command)>>,
    /// How old further updates may be.
    pub promises: Stream<'scope, EventTime, Vec<Promise>>,
}

/// The streams it writes.
pub struct Outputs<'scope> {
    /// Users who entered or left segments without references.
    pub differences: Stream<'scope, EventTime, Vec<Entering>>,
    /// Users who entered or left nodes that gates count.
    pub flips: Stream<'scope, EventTime, Vec<Flip>>,
    /// Edges that came and went.
    pub edges: Stream<'scope, EventTime, Vec<(Edge, EventTime, isize)>>,
    /// What was counted.
    pub tally: Stream<'scope, EventTime, Vec<Tally>>,
    /// The state machine, for those who name users and gates after it.
    pub state: Rc<RefCell<Membership>>,
}

/// How many instants are worked off before other operators get their turn.
const INSTANTS_PER_TURN: usize = 4_096;

/// Renders the operator (see the module).
pub fn membership<'scope>(inputs: Inputs<'scope>, state: Membership) -> Outputs<'scope> {
    let scope = inputs.updates.scope();
    let mut builder = OperatorBuilder::new("Membership".to_owned(), scope);
    let (differences, differences_stream) = builder.new_output();
    let (flips, flips_stream) = builder.new_output();
    let (edges, edges_stream) = builder.new_output();
    let (tally, tally_stream) = builder.new_output();
    let by_user = Exchange::new(|update: &Update| update.user.route());
    let mut updates = builder.new_input(inputs.updates, by_user);
    let by_user = Exchange::new(|copy: &SecondCopy| copy.user.route());
    let mut copies = builder.new_input(inputs.copies, by_user);
    let by_user = Exchange::new(|(user, _): &(UserKey, Arc<str>)| user.route());
    let mut names = builder.new_input(inputs.names, by_user);
    let mut commands = builder.new_input(inputs.commands, Pipeline);
    // Nothing is ever produced because of a promise, so they hold nothing back.
    let to = Exchange::new(|promise: &Promise| promise.to as u64);
    let mut promises = builder.new_input_connection(inputs.promises, to, []);
    let activator = scope.activator_for(builder.operator_info().address);
    let (emit, workers) = (state.settings.emit, scope.peers());
    let state = Rc::new(RefCell::new(state));
    let shared = Rc::clone(&state);
    builder.build(move |_| {
        let mut outputs = Written {
            differences: OutputBuilder::from(differences),
            flips: OutputBuilder::from(flips),
            edges: OutputBuilder::from(edges),
            tally: OutputBuilder::from(tally),
        };
        let mut held: Option<[Capability<EventTime>; 4]> = None;
        let mut ahead = Ahead::new(emit, workers);
        let mut changes = Changes::default();
        move |frontiers| {
            let mut state = shared.borrow_mut();
            names.for_each_time(|_, batches| {
                for (key, name) in batches.flat_map(|batch| batch.drain(..)) {
                    state.name(key, name);
                }
            });
            updates.for_each_time(|capability, batches| {
                hold(&mut held, &capability);
                for update in batches.flat_map(|batch| batch.drain(..)) {
                    ahead.settled.wait(update.time, update.at);
                    ahead.updates.insert(update.at, update);
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
                    ahead.commands.insert(at, command);
                }
            });
            promises.for_each_time(|_, batches| {
                batches.flat_map(|batch| batch.drain(..)).for_each(|it| ahead.settled.promise(it));
            });
            let Some(capabilities) = &mut held else { return };
            let [inputs @ .., _] = frontiers else { return };
            let passed = |at: &EventTime| !inputs.iter().any(|input| input.less_equal(at));
            ahead.settled.pass(passed);
            let mut turns = 0;
            let next = loop {
                let next = ahead.next(&mut state);
                match next.filter(passed) {
                    Some(at) if turns < INSTANTS_PER_TURN => {
                        ahead.take(at, &mut state);
                        state.instant(at, &mut ahead.instant, &mut changes);
                    }
                    Some(_) => {
                        activator.activate();
                        break next;
                    }
                    None => break next,
                }
                turns += 1;
            };
            outputs.write(&mut changes, capabilities);
            match next {
                Some(next) => capabilities.iter_mut().for_each(|it| it.downgrade(&next)),
                None => held = None,
            }
        }
    });
    Outputs {
        differences: differences_stream,
        flips: flips_stream,
        edges: edges_stream,
        tally: tally_stream,
        state,
    }
}

/// Keeps the capabilities of the earliest time at which something waits.
fn hold(held: &mut Option<[Capability<EventTime>; 4]>, arrived: &InputCapability<EventTime>) {
    if held.as_ref().is_none_or(|[first, ..]| arrived.time() < first.time()) {
        *held = Some([0, 1, 2, 3].map(|output| arrived.retain(output)));
    }
}

/// What has come and waits for the frontier.
struct Ahead {
    updates: Wheel<Update>,
    copies: Wheel<SecondCopy>,
    commands: Wheel<Command>,
    settled: Settled,
    instant: Instant,
}

impl Ahead {
    fn new(emit: Emit, workers: usize) -> Self {
        Ahead {
            updates: Wheel::default(),
            copies: Wheel::default(),
            commands: Wheel::default(),
            settled: Settled::new(emit, workers),
            instant: Instant::default(),
        }
    }

    fn next(&mut self, state: &mut Membership) -> Option<EventTime> {
        let each = [
            self.updates.next_due(),
            self.copies.next_due(),
            self.commands.next_due(),
            state.wheel.next_due(),
        ];
        each.into_iter().flatten().min()
    }

    fn take(&mut self, at: EventTime, state: &mut Membership) {
        self.updates.take_due(at, &mut self.instant.updates);
        state.settle(self.settled.before(at));
        self.instant.updates.iter().for_each(|update| self.settled.done(update.time, at));
        self.copies.take_due(at, &mut self.instant.copies);
        self.commands.take_due(at, &mut self.instant.commands);
        state.wheel.take_due(at, &mut self.instant.alarms);
    }
}

type Output<D> = OutputBuilder<EventTime, CapacityContainerBuilder<Vec<D>>>;

struct Written {
    differences: Output<Entering>,
    flips: Output<Flip>,
    edges: Output<(Edge, EventTime, isize)>,
    tally: Output<Tally>,
}

impl Written {
    fn write(
        &mut self,
        changes: &mut Changes,
        [first, second, third, fourth]: &[Capability<EventTime>; 4],
    ) {
        give(&mut self.differences, first, changes.differences.drain(..));
        give(&mut self.flips, second, changes.flips.drain(..));
        give(&mut self.edges, third, changes.edges.drain(..));
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

/// What waits for one instant.
#[derive(Debug, Default)]
pub struct Instant {
    /// Updates that take effect.
    pub updates: Vec<Update>,
    /// Those of them that have no effect.
    pub copies: Vec<SecondCopy>,
    /// Alarms that go off.
    pub alarms: Vec<Alarm>,
    /// Edits of the plan.
    pub commands: Vec<Command>,
}

/// All users of a worker, the plan, and the wheel: the state machine of this operator.
#[derive(Debug)]
pub struct Membership {
    settings: ClockSettings,
    /// The plan.
    pub plan: Plan,
    /// The users.
    pub users: Users,
    /// Alarms to come.
    pub wheel: Wheel<Alarm>,
    /// Before this no more updates will come.
    settled: EventTime,
    /// Per node, the last visit in which it was evaluated.
    visited: Vec<u64>,
    visit: u64,
    scratch: Scratch,
}

/// Buffers used anew for every user.
#[derive(Debug, Default)]
struct Scratch {
    /// Facts whose value may have changed, with what it was.
    touched: Vec<(FactId, Before)>,
    conditions: Vec<ConditionId>,
}

/// What a fact was before the instant.
#[derive(Debug, Clone, PartialEq)]
enum Before {
    Value(Option<Value>),
    Number(Option<Quantity>),
    /// It is not compared; every condition on it is looked at.
    Unknown,
}

impl Membership {
    /// No users, no segments.
    pub fn new(settings: ClockSettings, streams: Arc<Streams>) -> Self {
        Membership {
            settings,
            plan: Plan::new(streams),
            users: Users::default(),
            wheel: Wheel::default(),
            settled: EventTime::MIN,
            visited: Vec::new(),
            visit: 0,
            scratch: Scratch::default(),
        }
    }

    /// Makes a user's name known.
    pub fn name(&mut self, key: UserKey, name: Arc<str>) {
        self.users.name(key, name);
    }

    /// No update older than `settled` takes effect any more.
    pub fn settle(&mut self, settled: EventTime) {
        self.settled = settled;
    }

    /// Works off an instant.
    pub fn instant(&mut self, at: EventTime, instant: &mut Instant, changes: &mut Changes) {
        self.drop_copies(instant, changes);
        let mut updates: Vec<(Slot, Update)> = instant
            .updates
            .drain(..)
            .map(|update| (self.users.slot(update.user), update))
            .collect();
        updates.sort_unstable_by_key(|(slot, update)| (*slot, update.time, update.position));
        instant.alarms.sort_unstable();
        let (mut updates, mut alarms) = (updates.as_slice(), instant.alarms.as_slice());
        loop {
            let slots = [updates.first().map(|(slot, _)| *slot), alarms.first().map(|it| it.slot)];
            let Some(slot) = slots.into_iter().flatten().min() else { break };
            let own_updates = updates.partition_point(|(other, _)| *other == slot);
            let own_alarms = alarms.partition_point(|alarm| alarm.slot == slot);
            let (mine, others) = updates.split_at(own_updates);
            let (due, later) = alarms.split_at(own_alarms);
            (updates, alarms) = (others, later);
            self.user_instant(slot, mine, due, at, changes);
        }
        instant.alarms.clear();
        for command in std::mem::take(&mut instant.commands) {
            self.command(command, at, changes);
        }
    }

    fn drop_copies(&self, instant: &mut Instant, changes: &mut Changes) {
        if !instant.copies.is_empty() {
            let copies = &instant.copies;
            let is_copy = |update: &Update| {
                copies
                    .iter()
                    .any(|copy| copy.user == update.user && copy.position == update.position)
            };
            let before = instant.updates.len();
            instant.updates.retain(|update| !is_copy(update));
            changes.tally.duplicate += (before - instant.updates.len()) as u64;
            instant.copies.clear();
        }
        changes.tally.applied += instant.updates.len() as u64;
        let last = instant.updates.iter().map(|update| update.time).max();
        changes.tally.last = changes.tally.last.max(last);
    }

    fn user_instant(
        &mut self,
        slot: Slot,
        updates: &[(Slot, Update)],
        alarms: &[Alarm],
        at: EventTime,
        changes: &mut Changes,
    ) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let context =
            Context { settings: self.settings, settled: self.settled, plan: &self.plan, at };
        let user = self.users.get_mut(slot);
        let mut created = user.since.is_none();
        for (_, update) in updates {
            if context.erases(user, update) {
                leave_all(&self.plan, user, slot, at, changes);
                created = true;
            }
            context.update(user, update, &mut scratch.touched, &mut changes.tally);
        }
        if user.since.is_some() {
            context.ring(user, alarms, &mut scratch.touched);
            if created {
                let timed = self.plan.timed_from_the_start();
                timed.for_each(|fact| touch_all(&mut scratch.touched, fact));
                user.members.extend_from_slice(self.plan.defaults());
            }
            scratch.conditions.clear();
            for (fact, before) in scratch.touched.drain(..) {
                let armed = context.compare(user, fact, &before, &mut scratch.conditions);
                arm(&mut self.wheel, user, slot, fact, armed);
            }
            self.visit += 1;
            self.visited.resize(self.plan.node_count(), 0);
            let known = |id: &ConditionId| self.plan.condition(*id);
            let nodes = scratch.conditions.iter().filter_map(known).flat_map(|it| &it.nodes);
            let personal = if created { self.plan.personal() } else { &[] };
            for node in nodes.chain(personal) {
                let visited = &mut self.visited[node.0 as usize];
                if std::mem::replace(visited, self.visit) != self.visit {
                    let holds = context.node_holds(user, *node);
                    if user.set_member(*node, holds) && !created {
                        emit(&self.plan, user, slot, *node, holds, at, changes);
                    }
                }
            }
            if created {
                for node in &user.members {
                    emit(&self.plan, user, slot, *node, true, at, changes);
                }
            }
        }
        scratch.touched.clear();
        self.scratch = scratch;
    }

    fn command(&mut self, command: Command, at: EventTime, changes: &mut Changes) {
        let edited = match command {
            Command::Keep(definition, keep, from) => self.plan.keep(&definition, keep, from),
            Command::Put(definition) => self.plan.put(&definition, at),
            Command::Delete(id) => self.plan.delete(&id),
        };
        let edges = edited.edges.iter().map(|(edge, diff)| (edge.clone(), at, *diff));
        changes.edges.extend(edges);
        for slot in self.users.slots() {
            self.carry_over(slot, &edited, at, changes);
        }
    }

    /// Carries one user's membership from the old plan to the new one.
    fn carry_over(&mut self, slot: Slot, edited: &Edited, at: EventTime, changes: &mut Changes) {
        let context =
            Context { settings: self.settings, settled: self.settled, plan: &self.plan, at };
        let user = self.users.get_mut(slot);
        forget(&self.plan, user, edited);
        if user.since.is_none() {
            return;
        }
        for node in edited.lost.iter().filter(|node| user.is_member(**node)) {
            changes.flips.push(((*node, slot), at, -1));
        }
        let passed_on =
            |node: &NodeId| self.plan.node(*node).feeds > 0 && !edited.gained.contains(node);
        edited.holding.iter().for_each(|fact| context.hold(user, *fact));
        for fact in &edited.compared {
            let armed = context.adopt(user, *fact);
            arm(&mut self.wheel, user, slot, *fact, armed);
        }
        let removed = edited.removed.iter().map(|node| (*node, false));
        let changed = edited.changed.iter().map(|node| (*node, context.node_holds(user, *node)));
        for (node, holds) in removed.chain(changed).collect::<Vec<_>>() {
            if user.set_member(node, holds) {
                emit_to(&self.plan, user, slot, node, holds, passed_on(&node), at, changes);
            }
        }
        for node in edited.gained.iter().filter(|node| user.is_member(**node)) {
            changes.flips.push(((*node, slot), at, 1));
        }
    }
}

/// Drops what was kept for nobody but a rule that is no more.
fn forget(plan: &Plan, user: &mut User, edited: &Edited) {
    if !edited.dropped.is_empty() {
        user.states.retain(|(fact, _)| !edited.dropped.contains(fact));
        let states = &user.states;
        user.logs.retain(|(stream, _)| {
            plan.stream_readers(*stream).iter().any(|reader| {
                let (Reader::Aggregate(id) | Reader::Step(id, _)) = reader;
                let place = states.binary_search_by_key(id, |(fact, _)| *fact);
                place.is_ok_and(|place| matches!(states[place].1.kind, StateKind::Window(_)))
            })
        });
    }
    for fact in &edited.unheld {
        if let Ok(place) = user.states.binary_search_by_key(fact, |(fact, _)| *fact) {
            user.states[place].1.kind = StateKind::Attribute(None);
        }
    }
}

/// Sets an alarm, unless an earlier one stands.
fn arm(
    wheel: &mut Wheel<Alarm>,
    user: &mut User,
    slot: Slot,
    fact: FactId,
    next: Option<EventTime>,
) {
    let Some(next) = next else { return };
    let state = state_of(&mut user.states, fact, || StateKind::Attribute(None));
    if next < state.armed {
        state.armed = next;
        wheel.insert(next, Alarm { slot, fact });
    }
}

fn leave_all(plan: &Plan, user: &mut User, slot: Slot, at: EventTime, changes: &mut Changes) {
    for node in std::mem::take(&mut user.members) {
        emit(plan, user, slot, node, false, at, changes);
    }
}

fn emit(
    plan: &Plan,
    user: &User,
    slot: Slot,
    node: NodeId,
    entered: bool,
    at: EventTime,
    changes: &mut Changes,
) {
    emit_to(plan, user, slot, node, entered, plan.node(node).feeds > 0, at, changes);
}

#[expect(clippy::too_many_arguments, reason = "one difference, spelled out")]
fn emit_to(
    plan: &Plan,
    user: &User,
    slot: Slot,
    node: NodeId,
    entered: bool,
    passed_on: bool,
    at: EventTime,
    changes: &mut Changes,
) {
    let sign = if entered { Sign::Entered } else { Sign::Left };
    let described = plan.node(node);
    if described.public {
        changes.differences.push((described.segment.clone(), user.name.clone(), at, sign));
    }
    if passed_on {
        changes.flips.push(((node, slot), at, isize::from(sign.diff())));
    }
}

/// What applying an update to a user needs to know.
#[derive(Clone, Copy)]
struct Context<'a> {
    settings: ClockSettings,
    settled: EventTime,
    plan: &'a Plan,
    at: EventTime,
}

impl Context<'_> {
    fn disordered(&self) -> bool {
        self.settings.emit == Emit::OnEvent
    }

    /// Whether an update is a deletion that has not been overtaken by a later one.
    fn erases(&self, user: &User, update: &Update) -> bool {
        let overtaken = user.erased.is_some_and(|erased| (update.time, update.position) < erased);
        matches!(update.change, Change::Delete) && !overtaken
    }

    /// Applies one update, noting the facts it touches.
    fn update(
        &self,
        user: &mut User,
        update: &Update,
        touched: &mut Vec<(FactId, Before)>,
        tally: &mut Tally,
    ) {
        let writer = (update.time, update.position);
        if self.disordered() {
            if user.erased.is_some_and(|erased| writer < erased) {
                return; // erased before it came
            }
            user.recent.retain(|recent| recent.time >= self.settled);
            if !matches!(update.change, Change::Delete) {
                user.recent.push(update.clone());
            }
        }
        if let Change::Delete = update.change {
            return self.delete(user, writer, touched);
        }
        match user.since {
            Some(since) if update.time >= since => {}
            Some(_) => {
                // An earlier record has come later: the user exists since before.
                user.since = Some(update.time);
                self.plan.timed_from_the_start().for_each(|fact| touch_all(touched, fact));
            }
            None => user.since = Some(update.time),
        }
        match &update.change {
            Change::Event(hits) => {
                for hit in hits {
                    self.hit(user, update, hit, touched, tally);
                }
            }
            Change::Attributes(attributes) => {
                for (key, value) in attributes {
                    self.set(user, writer, *key, value, touched, tally);
                }
            }
            Change::Delete => {}
        }
    }

    /// Erases the user, but for the updates that are later than the deletion.
    fn delete(
        &self,
        user: &mut User,
        writer: (EventTime, crate::model::Position),
        touched: &mut Vec<(FactId, Before)>,
    ) {
        touched.clear();
        let mut recent = std::mem::take(&mut user.recent);
        user.erase();
        if !self.disordered() {
            return;
        }
        user.erased = Some(writer);
        recent.retain(|update| (update.time, update.position) > writer);
        recent.sort_unstable_by_key(|update| (update.time, update.position));
        for update in recent {
            let counted = &mut Tally::default(); // when it came
            self.update(user, &update, touched, counted);
        }
    }

    fn set(
        &self,
        user: &mut User,
        writer: (EventTime, crate::model::Position),
        key: crate::model::AttributeKey,
        value: &Value,
        touched: &mut Vec<(FactId, Before)>,
        tally: &mut Tally,
    ) {
        let readers = self.plan.attribute_readers(key);
        let facts = || readers.iter().filter_map(|id| Some((*id, self.plan.fact(*id)?)));
        for (id, fact) in facts() {
            let FactKind::Attribute { path, holding, suspect_kinds, .. } = &fact.kind else {
                continue;
            };
            if path.inner.is_some() {
                touch(touched, id, || Before::Value(user.attributes.at(path).cloned()));
            }
            if suspect_kinds & kind_bit(value) != 0 && path.whole == key {
                self.count_mismatches(fact, value, tally);
            }
            if *holding > 0 {
                let state = state_of(&mut user.states, id, || StateKind::Attribute(None));
                if let StateKind::Attribute(held) = &mut state.kind {
                    let settled = if self.disordered() { self.settled } else { self.at };
                    held.get_or_insert_default().update(
                        path,
                        (writer, key, value.clone()),
                        settled,
                    );
                }
            }
        }
        let order = self.disordered().then_some(writer);
        let replaced = user.attributes.set(key, value.clone(), order);
        for (id, fact) in facts() {
            let FactKind::Attribute { path, holding, .. } = &fact.kind else { continue };
            match &replaced {
                Some(old) if path.inner.is_none() => {
                    let old = Some(old.clone()).filter(|old| *old != Value::Null);
                    touch(touched, id, || Before::Value(old));
                }
                // The value stands, but since when may be new.
                None if *holding > 0 => touch_all(touched, id),
                _ => {}
            }
        }
    }

    fn count_mismatches(&self, fact: &Fact, value: &Value, tally: &mut Tally) {
        for condition in fact.conditions.iter().filter_map(|id| self.plan.condition(*id)) {
            if let Check::Value(test) = &condition.check
                && test.holds(Some(value)) == Truth::Mismatch
            {
                for node in &condition.nodes {
                    tally.mismatch(&self.plan.node(*node).segment, 1);
                }
            }
        }
    }

    fn hit(
        &self,
        user: &mut User,
        update: &Update,
        hit: &Hit,
        touched: &mut Vec<(FactId, Before)>,
        tally: &mut Tally,
    ) {
        let readers = self.plan.stream_readers(hit.stream);
        let facts = || {
            readers.iter().filter_map(|reader| {
                let (Reader::Aggregate(id) | Reader::Step(id, _)) = *reader;
                let fact = self.plan.fact(id)?;
                (update.time > fact.from).then_some((reader, id, fact))
            })
        };
        let entry = match &hit.payload {
            Payload::Happened => Entry::Happened,
            Payload::Amount(amount) => Entry::Amount(*amount),
            Payload::Value(value) => Entry::Value(update.position, value.clone()),
            Payload::Mismatch => {
                for (_, _, fact) in facts() {
                    let conditions = fact.conditions.iter();
                    for condition in conditions.filter_map(|id| self.plan.condition(*id)) {
                        for node in &condition.nodes {
                            tally.mismatch(&self.plan.node(*node).segment, 1);
                        }
                    }
                }
                return;
            }
        };
        let mut windowed = false;
        for (reader, id, fact) in facts() {
            match (&fact.kind, reader) {
                (FactKind::Sequence(bounds), Reader::Step(_, step)) => {
                    touch_all(touched, id);
                    let new = || StateKind::Sequence(Box::new(Progress::new(bounds)));
                    let state = state_of(&mut user.states, id, new);
                    if let StateKind::Sequence(progress) = &mut state.kind {
                        let settled = self.disordered().then_some(self.settled);
                        progress.hit(bounds, *step, update.time, settled);
                    }
                }
                (FactKind::Number { aggregate, .. } | FactKind::Value { aggregate, .. }, _) => {
                    touch(touched, id, || self.before(user, id, aggregate));
                    if aggregate.window.is_some() {
                        windowed = true;
                        continue;
                    }
                    let new = || StateKind::Total(Box::default());
                    if let StateKind::Total(total) = &mut state_of(&mut user.states, id, new).kind {
                        total.insert(aggregate, update.time, &entry);
                    }
                }
                _ => {}
            }
        }
        if windowed {
            self.insert_into_windows(user, update, hit, &entry, touched);
        }
    }

    /// Puts an event into the log of its stream and into every window over it.
    fn insert_into_windows(
        &self,
        user: &mut User,
        update: &Update,
        hit: &Hit,
        entry: &Entry,
        touched: &mut Vec<(FactId, Before)>,
    ) {
        let windows: Windows<'_> = self.windows_over(hit.stream).collect();
        if self.disordered() {
            // Also those that do not want the event move on.
            for (id, aggregate) in &windows {
                touch(touched, *id, || self.before(user, *id, aggregate));
            }
        }
        let log = log_of(&mut user.logs, hit.stream, || Log::for_entry(entry));
        let granularity = self.settings.granularity;
        for (id, aggregate) in &windows {
            if let Ok(place) = user.states.binary_search_by_key(id, |(fact, _)| *fact)
                && let Some((_, State { kind: StateKind::Window(window), .. })) =
                    user.states.get_mut(place)
            {
                window.expire(aggregate, granularity, log, self.at);
            }
        }
        let number = log.insert(update.time, entry);
        let mut keep = log.end();
        for (id, aggregate) in &windows {
            let span = aggregate.window.unwrap_or_default();
            let wanted = self.plan.fact(*id).is_some_and(|fact| update.time > fact.from);
            let counts = wanted && leave_time(update.time, span, granularity) > self.at;
            let known = user.states.binary_search_by_key(id, |(fact, _)| *fact).is_ok();
            if !wanted && !known {
                continue;
            }
            let new = || StateKind::Window(Window::new(aggregate, number));
            let state = state_of(&mut user.states, *id, new);
            if let StateKind::Window(window) = &mut state.kind {
                window.insert(aggregate, number, update.time, entry, counts);
                keep = keep.min(window.cursor());
            }
        }
        log.release(keep);
    }

    fn windows_over(
        &self,
        stream: crate::model::StreamId,
    ) -> impl Iterator<Item = (FactId, &Aggregate)> {
        self.plan.stream_readers(stream).iter().filter_map(|reader| {
            let Reader::Aggregate(id) = *reader else { return None };
            match &self.plan.fact(id)?.kind {
                FactKind::Number { aggregate, .. } | FactKind::Value { aggregate, .. } => {
                    aggregate.window.map(|_| (id, aggregate))
                }
                _ => None,
            }
        })
    }

    /// What an aggregate is compared from: its value as of the last look.
    fn before(&self, user: &User, id: FactId, aggregate: &Aggregate) -> Before {
        match aggregated(user, id, aggregate) {
            Aggregated::Missing => match aggregate.measure {
                crate::rule::Measure::First(_) | crate::rule::Measure::Last(_) => {
                    Before::Value(None)
                }
                _ => Before::Number(None),
            },
            Aggregated::Quantity(quantity) => Before::Number(Some(quantity)),
            Aggregated::Value(value) => Before::Value(Some(value)),
        }
    }

    /// Notes the facts whose alarms go off now; alarms set for another instant since are void.
    fn ring(&self, user: &mut User, alarms: &[Alarm], touched: &mut Vec<(FactId, Before)>) {
        for alarm in alarms {
            let Some(fact) = self.plan.fact(alarm.fact) else { continue };
            let Ok(place) = user.states.binary_search_by_key(&alarm.fact, |(fact, _)| *fact) else {
                continue;
            };
            if user.states[place].1.armed != self.at {
                continue;
            }
            user.states[place].1.armed = UNARMED;
            touch(touched, alarm.fact, || match &fact.kind {
                FactKind::Number { aggregate, .. } | FactKind::Value { aggregate, .. } => {
                    self.before(user, alarm.fact, aggregate)
                }
                FactKind::Attribute { path, .. } => {
                    Before::Value(user.attributes.at(path).cloned())
                }
                FactKind::Sequence(_) => Before::Unknown,
            });
        }
    }

    /// Finds the conditions that may differ from before, and when the fact wants to be looked at.
    fn compare(
        &self,
        user: &mut User,
        id: FactId,
        before: &Before,
        conditions: &mut Vec<ConditionId>,
    ) -> Option<EventTime> {
        let fact = self.plan.fact(id)?;
        let found = conditions.len();
        match (&fact.kind, before) {
            (FactKind::Attribute { path, index, .. }, before) => {
                let now = user.attributes.at(path);
                match before {
                    Before::Value(old) => index.between(old.as_ref(), now, conditions),
                    _ => conditions.extend_from_slice(&fact.conditions),
                }
                conditions.extend_from_slice(index.timed());
                self.next_change(user, index.timed(), id, path)
            }
            (FactKind::Number { aggregate, cuts }, before) => {
                self.expire(user, id, aggregate);
                let now = match aggregated(user, id, aggregate) {
                    Aggregated::Quantity(quantity) => Some(quantity),
                    _ => None,
                };
                match before {
                    Before::Number(old) => cuts.between(*old, now, conditions),
                    _ => conditions.extend_from_slice(&fact.conditions),
                }
                let crossed = conditions.len() > found;
                self.window_change(user, id, aggregate, Some(cuts), crossed)
            }
            (FactKind::Value { aggregate, index }, before) => {
                self.expire(user, id, aggregate);
                let now = match aggregated(user, id, aggregate) {
                    Aggregated::Value(value) => Some(value),
                    _ => None,
                };
                match before {
                    Before::Value(old) => index.between(old.as_ref(), now.as_ref(), conditions),
                    _ => conditions.extend_from_slice(&fact.conditions),
                }
                self.window_change(user, id, aggregate, None, true)
            }
            (FactKind::Sequence(bounds), _) => {
                conditions.extend_from_slice(&fact.conditions);
                match &user.state(id)?.kind {
                    StateKind::Sequence(progress) => progress.next_change(bounds, self.at),
                    _ => None,
                }
            }
        }
    }

    fn expire(&self, user: &mut User, id: FactId, aggregate: &Aggregate) {
        let Ok(place) = user.states.binary_search_by_key(&id, |(fact, _)| *fact) else { return };
        let Ok(log) = user.logs.binary_search_by_key(&aggregate.stream, |(stream, _)| *stream)
        else {
            return;
        };
        let log = &mut user.logs[log].1;
        if let StateKind::Window(window) = &mut user.states[place].1.kind {
            window.expire(aggregate, self.settings.granularity, log, self.at);
        }
        // The other windows of the stream may lag behind; what all have passed is released.
        let mut keep = log.end();
        for reader in self.plan.stream_readers(aggregate.stream) {
            if let Reader::Aggregate(other) = reader
                && let Ok(place) = user.states.binary_search_by_key(other, |(fact, _)| *fact)
                && let StateKind::Window(window) = &user.states[place].1.kind
            {
                keep = keep.min(window.cursor());
            }
        }
        log.release(keep);
    }

    fn window_change(
        &self,
        user: &User,
        id: FactId,
        aggregate: &Aggregate,
        cuts: Option<&super::matching::Cuts>,
        crossed: bool,
    ) -> Option<EventTime> {
        let state = user.state(id)?;
        let StateKind::Window(window) = &state.kind else { return None };
        if state.armed != UNARMED && !crossed && window.only_falls_later() {
            return None; // the alarm that stands is early enough
        }
        let log = user.log(aggregate.stream)?;
        window.next_change(aggregate, self.settings.granularity, log, cuts)
    }

    /// When an attribute's conditions change by themselves.
    fn next_change(
        &self,
        user: &User,
        timed: &[ConditionId],
        id: FactId,
        path: &super::attributes::AttributePath,
    ) -> Option<EventTime> {
        let value = user.attributes.at(path);
        let since = if timed.is_empty() { None } else { self.held_since(user, id) };
        let each = timed.iter().filter_map(|id| {
            let condition = self.plan.condition(*id)?;
            let Check::Value(test) = &condition.check else { return None };
            let held_from = condition.held.and_then(|held| Some(since? + held.ms()));
            next_change(test, value, held_from, self.at)
        });
        each.min()
    }

    fn held_since(&self, user: &User, id: FactId) -> Option<EventTime> {
        let held = match user.state(id).map(|state| &state.kind) {
            Some(StateKind::Attribute(Some(held))) => held.since(),
            _ => None,
        };
        held.or(user.since)
    }

    /// Begins to know since when an attribute is what it is. Nobody asked so far: if it was ever
    /// set, it is known to be so from now on.
    fn hold(&self, user: &mut User, id: FactId) {
        let Some(Fact { kind: FactKind::Attribute { path, .. }, .. }) = self.plan.fact(id) else {
            return;
        };
        let cells = path.keys().filter_map(|key| Some((key, user.attributes.cell(key)?.clone())));
        let cells: Vec<_> = cells.collect();
        if cells.is_empty() {
            return;
        }
        let mut held = Held::default();
        let position = crate::model::Position { partition: 0, offset: 0 };
        for (key, value) in cells {
            held.update(path, ((self.at, position), key, value), self.settled);
        }
        held.begin(self.at);
        let state = state_of(&mut user.states, id, || StateKind::Attribute(None));
        state.kind = StateKind::Attribute(Some(Box::new(held)));
    }

    /// Looks at a fact with new comparisons for a user that exists already.
    fn adopt(&self, user: &mut User, id: FactId) -> Option<EventTime> {
        if let Ok(place) = user.states.binary_search_by_key(&id, |(fact, _)| *fact) {
            user.states[place].1.armed = UNARMED;
        }
        self.compare(user, id, &Before::Unknown, &mut Vec::new())
    }

    fn node_holds(&self, user: &User, node: NodeId) -> bool {
        self.plan.node(node).expression.as_ref().is_some_and(|it| self.holds(user, it))
    }

    fn holds(&self, user: &User, expression: &Expression) -> bool {
        match expression {
            Expression::All(parts) => parts.iter().all(|part| self.holds(user, part)),
            Expression::Any(parts) => parts.iter().any(|part| self.holds(user, part)),
            Expression::Not(part) => !self.holds(user, part),
            Expression::Condition(id) => {
                self.plan.condition(*id).is_some_and(|it| self.condition_holds(user, it))
            }
            Expression::Everyone => true,
            Expression::Members(names) => names.binary_search(&user.name).is_ok(),
            Expression::Sample(sample) => {
                let place = sample_place(&sample.key, &user.name);
                (sample.from..sample.from + sample.size).contains(&place)
            }
        }
    }

    fn condition_holds(&self, user: &User, condition: &Condition) -> bool {
        let Some(fact) = self.plan.fact(condition.fact) else { return false };
        match (&fact.kind, &condition.check) {
            (FactKind::Attribute { path, .. }, Check::Value(test)) => {
                let long_enough = || match (condition.held, self.held_since(user, condition.fact)) {
                    (Some(held), Some(since)) => since + held.ms() <= self.at,
                    (held, _) => held.is_none(),
                };
                test.holds_at(user.attributes.at(path), self.at).holds() && long_enough()
            }
            (FactKind::Number { aggregate, .. }, Check::Number(test)) => {
                match aggregated(user, condition.fact, aggregate) {
                    Aggregated::Quantity(quantity) => test.holds(Some(quantity)),
                    _ => test.holds(None),
                }
            }
            (FactKind::Value { aggregate, .. }, Check::Value(test)) => {
                match aggregated(user, condition.fact, aggregate) {
                    Aggregated::Value(value) => test.holds(Some(&value)).holds(),
                    _ => test.holds(None).holds(),
                }
            }
            (FactKind::Sequence(bounds), _) => match user.state(condition.fact) {
                Some(State { kind: StateKind::Sequence(progress), .. }) => {
                    progress.holds(bounds, self.at)
                }
                _ => false,
            },
            _ => false,
        }
    }
}

type Windows<'a> = smallvec::SmallVec<[(FactId, &'a Aggregate); 4]>;

fn aggregated(user: &User, id: FactId, aggregate: &Aggregate) -> Aggregated {
    match user.state(id).map(|state| &state.kind) {
        Some(StateKind::Window(window)) => match user.log(aggregate.stream) {
            Some(log) => window.value(aggregate, log),
            None => blank(&aggregate.measure),
        },
        Some(StateKind::Total(total)) => total.value(aggregate),
        _ => blank(&aggregate.measure),
    }
}

/// Notes what a fact was before the instant, unless that has been noted.
fn touch(touched: &mut Vec<(FactId, Before)>, fact: FactId, before: impl FnOnce() -> Before) {
    if !touched.iter().any(|(other, _)| *other == fact) {
        touched.push((fact, before()));
    }
}

/// Notes that every condition on a fact must be looked at.
fn touch_all(touched: &mut Vec<(FactId, Before)>, fact: FactId) {
    match touched.iter_mut().find(|(other, _)| *other == fact) {
        Some((_, before)) => *before = Before::Unknown,
        None => touched.push((fact, Before::Unknown)),
    }
}

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

mod carry;
mod changes;
mod compare;
mod evaluate;
mod fill;
mod matcher;
mod question;
mod render;
mod restore;
mod save;
mod tally;
mod update;

use std::sync::Arc;

use smallvec::SmallVec;

pub use changes::{Changes, Entering, Flip};
use changes::{emit, leave_all};
use compare::{Before, touch_all};
use fill::Filling;
use matcher::Matcher;
pub use question::{Ask, Counted, Question, Reply, Told};
pub use render::{Inputs, Outputs, membership};
use save::{Saving, Sweeping};
pub use tally::Tally;

use super::checkpoint::{Recorder, Restored, Survival};
use super::dedup::SecondCopy;
use super::memory::Memory;
use super::plan::{ConditionId, FactId, Keep, Plan};
use super::profiles::Profiles;
use super::store::Store;
use super::users::{Effect, Slot, StateKind, User, Users, state_of};
use super::wheel::Wheel;
use crate::clock::{ClockSettings, Emit};
use crate::model::{Duration, EventTime, UserKey};
use crate::rule::Definition;
use crate::streams::Streams;

/// A change of the plan.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub enum Command {
    /// Begin to keep what this definition will need when it is put.
    Keep(Arc<Definition>, Keep, EventTime),
    /// This is the segment of its id from now on.
    Put(Arc<Definition>),
    /// There is no segment of this id from now on. (Costs a look at every user at once.)
    Delete(Arc<str>),
    /// From now on retain every event that is later than this time for so long: what is saved looks
    /// back at them. Given before anything else.
    Retain(Duration, EventTime),
    /// Begin to keep what this asks. Nothing else may be edited until it is committed. What it is
    /// the first to ask sees events later than this time: where none are retained, that must not be
    /// before the one at which it is sent, nor before that at which any event takes effect that was
    /// read without knowing what this asks for; else not before those that are retained.
    Save(Arc<Definition>, EventTime),
    /// Work out what was saved last for all users while the stream flows. Where events are retained,
    /// all must have taken effect by now that were read without knowing what it asks for.
    Prepare,
    /// What was saved last is in force from now on. (What has not been worked out is, at once.)
    Commit,
    /// Before anything of this time or later takes effect, give out what has changed since the last
    /// checkpoint; this is the one of this number.
    Checkpoint(u64),
    /// Before anything of this time or later takes effect, answer this. It changes nothing.
    Ask(Arc<Question>),
    /// Of what is taken over from an earlier run at this instant, tell who is in which segment, as
    /// if they had just entered. (Nobody is told otherwise, for they have been.)
    TellMembers,
}

impl Command {
    /// The definition that is put by it, sooner or later.
    fn puts(&self) -> Option<&Definition> {
        match self {
            Command::Keep(definition, ..)
            | Command::Put(definition)
            | Command::Save(definition, _) => Some(definition),
            _ => None,
        }
    }
}

/// A look at a fact that time may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alarm {
    slot: Slot,
    fact: FactId,
}

impl Alarm {
    /// Whose it is.
    pub fn slot(&self) -> Slot {
        self.slot
    }
}

/// Updates that take effect at one instant.
pub type Effects<'a> = SmallVec<[&'a Effect; 8]>;

/// What else waits for one instant.
#[derive(Debug, Default)]
pub struct Instant {
    /// Updates that have no effect.
    pub copies: Vec<SecondCopy>,
    /// Alarms that go off.
    pub alarms: Vec<Alarm>,
    /// Edits of the plan.
    pub commands: Vec<Command>,
    /// What is taken over from an earlier run, which had come up to here.
    pub restored: Vec<Restored>,
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
    /// What the users needed when the last update had been applied, once it has.
    pub at_end: Option<Memory>,
    /// What users share.
    store: Store,
    /// What outputs are told of attributes, if they are told of any.
    profiles: Option<Profiles>,
    /// Before this no more updates will come.
    settled: EventTime,
    scratch: Scratch,
    matcher: Matcher,
    /// What has changed since the last checkpoint, if there are any.
    recorder: Option<Recorder>,
    /// A rule that is being worked out.
    saving: Option<Saving>,
    /// What it is the first to ask, which looks back.
    filling: Filling,
    /// What is left of one that was replaced.
    sweeping: Option<Sweeping>,
    /// Whether it is told who is in which segment when that is taken over.
    tells_members: bool,
    /// Whether there is anything known of anybody, or has been.
    inhabited: bool,
}

/// Buffers used anew for every user.
#[derive(Debug, Default)]
struct Scratch {
    /// Facts whose value may have changed, with what it was.
    touched: Vec<(FactId, Before)>,
    conditions: Vec<ConditionId>,
}

impl Membership {
    /// No users, no segments.
    pub fn new(settings: ClockSettings, streams: Arc<Streams>, survival: Survival) -> Self {
        let recorder = match survival {
            Survival::Nothing => None,
            Survival::Checkpoints => Some(Recorder::new(settings.granularity)),
        };
        let mut store = Store::default();
        let profiles = Profiles::new(streams.told(), &mut store);
        Membership {
            settings,
            plan: Plan::new(streams),
            users: Users::default(),
            wheel: Wheel::lasting(),
            at_end: None,
            store,
            profiles,
            settled: EventTime::MIN,
            scratch: Scratch::default(),
            matcher: Matcher::default(),
            recorder,
            saving: None,
            filling: Filling::default(),
            sweeping: None,
            tells_members: false,
            inhabited: false,
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

    /// How many bytes of what the users need.
    pub fn memory(&self) -> Memory {
        let mut memory = Memory {
            pool_bytes: self.store.pool.bytes() as u64,
            alarm_bytes: self.wheel.bytes() as u64,
            ..Memory::default()
        };
        self.users.count(&mut memory);
        memory
    }

    /// Works off an instant.
    pub fn instant(
        &mut self,
        at: EventTime,
        mut updates: Effects<'_>,
        instant: &mut Instant,
        changes: &mut Changes,
    ) {
        self.drop_copies(&mut updates, &mut instant.copies, changes);
        updates.sort_unstable_by_key(|update| (update.slot, update.time, update.position));
        instant.alarms.sort_unstable();
        let (mut updates, mut alarms) = (updates.as_slice(), instant.alarms.as_slice());
        loop {
            let slot = match (updates.first(), alarms.first()) {
                (Some(update), Some(alarm)) => update.slot.min(alarm.slot),
                (Some(update), None) => update.slot,
                (None, Some(alarm)) => alarm.slot,
                (None, None) => break,
            };
            // Mostly one: to look at the next is sooner done than to look at the middle of all.
            let own_updates = updates.iter().take_while(|update| update.slot == slot).count();
            let own_alarms = alarms.iter().take_while(|alarm| alarm.slot == slot).count();
            let (mine, others) = updates.split_at(own_updates);
            let (due, later) = alarms.split_at(own_alarms);
            (updates, alarms) = (others, later);
            self.user_instant(slot, mine, due, at, changes);
        }
        instant.alarms.clear();
        self.note(changes);
        instant
            .commands
            .iter()
            .filter_map(Command::puts)
            .for_each(|it| self.plan.foresee(&it.rule));
        for command in std::mem::take(&mut instant.commands) {
            self.command(command, at, changes);
        }
        if !instant.restored.is_empty() {
            self.restore(std::mem::take(&mut instant.restored), at, changes);
        }
    }

    fn drop_copies(
        &self,
        updates: &mut Effects<'_>,
        copies: &mut Vec<SecondCopy>,
        changes: &mut Changes,
    ) {
        if !copies.is_empty() {
            // No two records stand in the same place.
            let is_copy = |it: &Effect| copies.iter().any(|copy| copy.position == it.position);
            let before = updates.len();
            updates.retain(|update| !is_copy(update));
            changes.tally.duplicate += (before - updates.len()) as u64;
            copies.clear();
        }
        changes.tally.applied += updates.len() as u64;
        let last = updates.iter().map(|update| update.time).max();
        changes.tally.last = changes.tally.last.max(last);
    }

    fn user_instant(
        &mut self,
        slot: Slot,
        updates: &[&Effect],
        alarms: &[Alarm],
        at: EventTime,
        changes: &mut Changes,
    ) {
        self.inhabited = true;
        let Scratch { touched, conditions } = &mut self.scratch;
        if let Some(recorder) = self.recorder.as_mut().filter(|_| !updates.is_empty()) {
            recorder.changes(slot, (&self.users, &self.plan, &self.store));
        }
        let context =
            Context { settings: self.settings, settled: self.settled, plan: &self.plan, at };
        let user = self.users.get_mut(slot);
        let mut created = user.since().is_none();
        let profiles = self.profiles.as_ref().filter(|it| it.concern(updates));
        let before = profiles.map(|it| (it, it.of(user, &self.store.pool)));
        for update in updates {
            if context.erases(user, update) {
                leave_all(&self.plan, user, slot, at, changes);
                created = true;
            }
            let is_void = context.is_void(user, update);
            context.update(user, update, &mut self.store, touched, &mut changes.tally);
            if let Some(recorder) = self.recorder.as_mut().filter(|_| !is_void) {
                context.record(recorder, user, update);
            }
        }
        if let Some((profiles, before)) = before {
            let changed = profiles.changed(&before, (user, &self.store.pool), at);
            changes.profiles.extend(changed.map(|it| (at, it)));
        }
        if created && let Some(recorder) = &mut self.recorder {
            recorder.changed(slot);
        }
        if user.since().is_some() {
            context.ring(user, alarms, touched);
            if created {
                let timed = self.plan.timed_from_the_start();
                timed.for_each(|fact| touch_all(touched, fact));
            }
            conditions.clear();
            let pool = &mut self.store.pool;
            for (fact, before) in touched.iter() {
                let armed = context.compare(user, *fact, before, pool, conditions);
                arm(&mut self.wheel, user, slot, *fact, armed);
            }
            if created {
                self.matcher.create(context, user, touched, conditions, pool);
                if !user.members.is_empty() {
                    user.name.share();
                }
                for node in user.members.iter() {
                    emit(&self.plan, user, slot, node, true, at, changes);
                }
            } else {
                let flipped = self.matcher.change(context, user, touched, conditions, pool);
                if !flipped.is_empty() {
                    user.name.share();
                }
                for node in flipped {
                    let holds = user.is_member(*node);
                    emit(&self.plan, user, slot, *node, holds, at, changes);
                }
            }
        }
        self.store.pool.sweep();
        touched.clear();
    }

    fn command(&mut self, command: Command, at: EventTime, changes: &mut Changes) {
        if matches!(command, Command::TellMembers) {
            self.tells_members = true; // what is taken over follows
            return;
        }
        self.sweep_all();
        // What is kept of users may change with the plan.
        self.record(true, changes);
        self.recorder.iter_mut().for_each(Recorder::plan_changes);
        let edited = match command {
            Command::Keep(definition, keep, from) => {
                self.plan.keep(&definition, keep, from, &mut self.store)
            }
            Command::Put(definition) => self.plan.put(&definition, at, &mut self.store),
            Command::Delete(id) => self.plan.delete(&id, &mut self.store),
            Command::Retain(span, from) => return self.plan.retain(span, from, &mut self.store),
            Command::Save(definition, from) => return self.save(&definition, from, at),
            Command::Prepare => return self.prepare(),
            Command::Commit => return self.commit(at, changes),
            // The first two have been taken when time came to them, the other is noted.
            Command::Checkpoint(_) | Command::Ask(_) | Command::TellMembers => return,
        };
        self.carry_all_over(&edited, at, changes);
    }

    /// Gives out what has changed since the last checkpoint. Everything before `before` has been
    /// worked off, and nothing later; and nothing older than `settled` is to come.
    pub fn checkpoint(
        &mut self,
        number: u64,
        (before, settled): (EventTime, EventTime),
        changes: &mut Changes,
    ) {
        self.record(true, changes);
        if let Some(recorder) = &mut self.recorder {
            changes.pieces.push(recorder.checkpoint(number, before, settled));
        }
    }

    /// Whether users of a checkpoint are still to be written.
    pub fn is_recording(&self) -> bool {
        self.recorder.as_ref().is_some_and(Recorder::is_writing)
    }

    /// Writes some of them, or all.
    pub fn record(&mut self, all: bool, changes: &mut Changes) {
        if let Some(recorder) = &mut self.recorder {
            let seen = (&self.users, &self.plan, &self.store);
            changes.pieces.extend(recorder.write_some(all, seen));
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
    if let Some((due, alarm)) = armed(user, slot, fact, next) {
        wheel.insert(due, alarm);
    }
}

/// Notes that an alarm is set for a fact, unless one stands that is as early; that alarm.
fn armed(
    user: &mut User,
    slot: Slot,
    fact: FactId,
    next: Option<EventTime>,
) -> Option<(EventTime, Alarm)> {
    let next = next?;
    let state = state_of(&mut user.states, fact, || StateKind::Attribute(None));
    if next >= state.armed {
        return None;
    }
    state.armed = next;
    Some((next, Alarm { slot, fact }))
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
}

//! Which updates are second copies of earlier ones.
//!
//! At time t it equals: the updates whose `messageId` an applied update carried at a time in
//! `[t - horizon, t]`, earlier in the order of (time, partition, offset). The updates themselves do
//! not pass here, only their [`Stamp`]s, spread by identifier; what comes out are the positions of
//! the copies, spread by user, so that a record crosses between workers once.
//!
//! Cost per update: one look-up in a hash map. State: the identifiers of one horizon of event time
//! (at most two), released as the watermark passes.

use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;

use hashbrown::hash_table::Entry;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::operator::Operator;
use timely::dataflow::operators::{Capability, InputCapability};

use super::checkpoint::{Identified, Identifiers};
use super::settled::{Promise, Settled};
use super::spread::Spread;
use super::wheel::Wheel;
use crate::clock::ClockSettings;
use crate::model::{Duration, EventTime, MessageKey, Position, Stamp, UserKey};

/// A second copy: the update of this user at this position has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SecondCopy {
    /// When the update would have taken effect.
    pub at: EventTime,
    /// Where it stood.
    pub position: Position,
    /// Whom it concerns.
    pub user: UserKey,
}

/// When an identifier was applied. Identifiers are hashes already.
type Times = Spread<(MessageKey, EventTime)>;

/// The identifiers applied within the horizon, in two generations: the older one is dropped whole.
#[derive(Debug)]
pub struct Seen {
    horizon: Duration,
    recent: Times,
    older: Times,
    /// The greatest time among both generations.
    latest: EventTime,
    /// The greatest time among the older generation.
    turned_at: EventTime,
}

impl Seen {
    /// Nothing seen yet.
    pub fn new(horizon: Duration) -> Self {
        Seen {
            horizon,
            recent: Times::default(),
            older: Times::default(),
            latest: EventTime::MIN,
            turned_at: EventTime::MIN,
        }
    }

    /// Whether the update of this identifier is a second copy; if not, it is applied and
    /// remembered. No update from this one on is older than `settled`.
    pub fn observe(&mut self, id: MessageKey, time: EventTime, settled: EventTime) -> bool {
        self.turn(settled);
        let within = |applied: &EventTime| (time - applied).abs() <= self.horizon.ms();
        let (hash, is_it) = (id.bucket(), |it: &(MessageKey, EventTime)| it.0 == id);
        let recent = self.recent.part_mut(hash);
        match recent.entry(hash, is_it, |it| it.0.bucket()) {
            Entry::Occupied(applied) if within(&applied.get().1) => return true,
            Entry::Occupied(mut applied) => applied.get_mut().1 = time,
            Entry::Vacant(place) => {
                let older = self.older.part(hash).find(hash, is_it);
                if older.is_some_and(|it| within(&it.1)) {
                    return true;
                }
                place.insert((id, time));
            }
        }
        self.latest = self.latest.max(time);
        false
    }

    /// Looks at where identifiers are to be found, one right after the other: the machine then waits
    /// for the memory of many at once.
    fn look_ahead(&self, ids: impl Iterator<Item = MessageKey>) {
        let (recent, older) = (&self.recent, &self.older);
        let is_there = |times: &Times, id: MessageKey| times.likely(id.bucket()).is_some();
        let found = |id| usize::from(is_there(recent, id)) + usize::from(is_there(older, id));
        black_box(ids.map(found).sum::<usize>());
    }

    /// Drops what no later update can be a copy of.
    fn turn(&mut self, settled: EventTime) {
        if settled.saturating_sub(self.turned_at) <= self.horizon.ms() {
            return;
        }
        // All of `older` was applied at `turned_at` or before, more than a horizon before what
        // can come.
        std::mem::swap(&mut self.older, &mut self.recent);
        self.recent.clear();
        self.turned_at = self.latest;
    }
}

/// The second copies among these updates (see the module). The identifiers of the others are noted
/// for checkpoints, where any are taken: before the frontier passes when they take effect.
pub fn dedup<'scope>(
    stamps: Stream<'scope, EventTime, Vec<Stamp>>,
    promises: Stream<'scope, EventTime, Vec<Promise>>,
    settings: ClockSettings,
    applied: Option<Rc<RefCell<Identifiers>>>,
) -> Stream<'scope, EventTime, Vec<SecondCopy>> {
    let route = Exchange::new(|stamp: &Stamp| stamp.id.route());
    let to = Exchange::new(|promise: &Promise| promise.to as u64);
    let workers = stamps.scope().peers();
    type Builder = CapacityContainerBuilder<Vec<SecondCopy>>;
    stamps.binary_frontier::<_, Builder, _, _, _, _>(promises, route, to, "Dedup", move |_, _| {
        let mut seen = Seen::new(settings.dedup_horizon);
        let mut settled = Settled::new(settings.emit, workers);
        let mut waiting = Wheel::default();
        let mut held = None;
        let (mut due, mut looked_at) = (Vec::<Stamp>::new(), EventTime::MIN);
        move |(input, frontier), (promises, _), output| {
            promises.for_each_time(|_, batches| {
                batches.flat_map(|batch| batch.drain(..)).for_each(|it| settled.promise(it));
            });
            settled.pass(|clock| !frontier.less_equal(clock));
            input.for_each_time(|capability, batches| {
                for stamp in batches.flat_map(|batch| batch.drain(..)) {
                    settled.wait(stamp.time, stamp.at);
                    waiting.insert(stamp.at, stamp);
                }
                hold_earliest(&mut held, &capability);
            });
            let Some(capability) = &mut held else { return };
            let mut session = output.session(capability);
            let mut applied = applied.as_ref().map(|it| it.borrow_mut());
            while let Some(at) = waiting.next_due().filter(|at| !frontier.less_equal(at)) {
                if waiting.opened().0 != looked_at {
                    let (bucket, opened) = waiting.opened();
                    looked_at = bucket;
                    seen.look_ahead(opened.map(|stamp| stamp.id));
                }
                waiting.take_due(at, &mut due);
                due.sort_unstable();
                let before = settled.before(at);
                for stamp in due.drain(..) {
                    settled.done(stamp.time, at);
                    let Stamp { position, user, id, time, .. } = stamp;
                    if seen.observe(id, time, before) {
                        session.give(SecondCopy { at, position, user });
                    } else if let Some(applied) = &mut applied {
                        applied.applied(Identified { at, time, id });
                    }
                }
            }
            drop(session);
            match waiting.next_due() {
                Some(next) => capability.downgrade(&next),
                None => held = None,
            }
        }
    })
}

/// Keeps the capability of the earliest time at which something waits.
pub(super) fn hold_earliest(
    held: &mut Option<Capability<EventTime>>,
    arrived: &InputCapability<EventTime>,
) {
    if held.as_ref().is_none_or(|held| arrived.time() < held.time()) {
        *held = Some(arrived.retain(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_within_the_horizon_is_known_and_one_beyond_is_new() {
        let mut seen = Seen::new(Duration::from_ms(5));
        let (a, b) = (MessageKey::of("a"), MessageKey::of("b"));
        let observed = [(a, 0), (b, 2), (a, 5), (a, 6), (b, 8), (a, 11), (a, 12)];
        let copies = observed.map(|(id, time)| seen.observe(id, time, time));
        // a: 0 applied, 5 copy of it, 6 is beyond 0 + 5 and applied, 11 copy of 6, 12 applied.
        // b: 2 applied, 8 is beyond it.
        assert_eq!(copies, [false, false, true, false, false, true, false]);
    }

    #[test]
    fn a_partition_far_behind_keeps_its_copies_known() {
        let mut seen = Seen::new(Duration::from_ms(5));
        let a = MessageKey::of("a");
        assert!(!seen.observe(a, 0, 0));
        for time in (1_000..10_000).step_by(100) {
            assert!(!seen.observe(MessageKey::of(&time.to_string()), time, 0));
        }
        assert!(seen.observe(a, 0, 0));
    }

    #[test]
    fn what_is_remembered_is_bounded_by_the_horizon() {
        let mut seen = Seen::new(Duration::from_ms(10));
        for time in 0..10_000 {
            seen.observe(MessageKey::of(&time.to_string()), time, time);
        }
        assert!(seen.recent.len() + seen.older.len() <= 2 * 11 + 1);
    }
}

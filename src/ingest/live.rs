//! What wall time decides in a running job: which partitions the watermark waits for, and which
//! records are too far ahead to be believed.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use dataflows::clock::ClockSettings;
use dataflows::model::EventTime;
use dataflows::model::time::format_time;

use super::journal::{Decision, Journal, Ticket};
use super::others::{Joint, Others, Standing};
use super::partition::{Partition, Turn};
use super::{Wall, lock};

/// In what steps the watermark follows wall time: each makes all workers turn once.
const STEP_MS: i64 = 50;
/// How much further than it could go at present the watermark is allowed to go without those who
/// are idle: so often something is written down while some are.
const AHEAD_MS: i64 = 1_000;

/// The watermark of a running job.
pub(super) struct Live {
    wall: Wall,
    settings: ClockSettings,
    state: Mutex<State>,
}

struct State {
    /// The greatest watermark that any worker was told.
    gone_to: EventTime,
    /// Where it stays, once nothing more is read.
    last: Option<Last>,
    /// By index, the partitions it may go on without, and those about to join it.
    left: BTreeMap<u32, Left>,
    /// What is being written down.
    grant: Option<Grant>,
    /// Where it stood when it was last asked for.
    standing: Option<Standing>,
    others: Others,
}

/// Where the watermark of a process stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Last {
    /// At this time.
    pub time: EventTime,
    /// Whether partitions say so. Otherwise it has only come so far, and may go on with others.
    pub has_say: bool,
}

/// A partition that is not waited for.
struct Left {
    /// Where its next record stands, or later.
    offset: u64,
    /// How far the watermark may go without it.
    until: EventTime,
    /// Once there is something to be read of it: that it is waited for again.
    joins: Option<Ticket>,
}

/// How far the watermark may go without these partitions at these offsets.
struct Grant {
    ticket: Ticket,
    until: EventTime,
    to: Vec<(u32, u64)>,
}

impl State {
    /// What has been written down takes effect.
    fn take_grant(&mut self, journal: &Journal<Decision>) {
        let durable = self.grant.take_if(|grant| journal.is_durable(grant.ticket));
        let Some(Grant { until, to, .. }) = durable else { return };
        for (index, offset) in to {
            if let Some(left) = self.left.get_mut(&index).filter(|it| it.offset == offset) {
                left.until = until;
            }
        }
    }

    /// How far a partition that is quiet lets the watermark go.
    fn lets_go(&self, partition: &Partition) -> EventTime {
        let until = self.left.get(&partition.index).map_or(EventTime::MIN, |left| left.until);
        partition.clock.load(Ordering::Acquire).max(until)
    }

    /// How far all that are quiet do, if it could go to `could` without them.
    fn allowed(&self, quiet: &[&Arc<Partition>], could: EventTime) -> EventTime {
        quiet.iter().map(|it| self.lets_go(it)).fold(could, EventTime::min)
    }

    /// How far it goes now, if it could go to `could` without those that are quiet.
    fn goes_on(
        &mut self,
        journal: &Journal<Decision>,
        quiet: &[&Arc<Partition>],
        could: EventTime,
    ) -> EventTime {
        self.take_grant(journal);
        let mut allowed = self.allowed(quiet, could);
        if allowed < could && self.gone_to < could && self.grant.is_none() {
            self.ask(journal, quiet, could);
            self.take_grant(journal);
            allowed = self.allowed(quiet, could);
        }
        let goes_on = |it: &&&Arc<Partition>| self.lets_go(it) >= could;
        quiet.iter().filter(goes_on).for_each(|it| it.is_idle.store(true, Ordering::Release));
        allowed
    }

    /// Asks for it to go on without those that hold it back.
    fn ask(&mut self, journal: &Journal<Decision>, quiet: &[&Arc<Partition>], could: EventTime) {
        let until = could.saturating_add(AHEAD_MS);
        let holding = quiet.iter().filter(|it| self.lets_go(it) < could);
        let place = |it: &&Arc<Partition>| (it.index, it.settled_to.load(Ordering::Acquire));
        let to: Vec<_> = holding.map(place).collect();
        for (index, offset) in &to {
            let new = Left { offset: *offset, until: EventTime::MIN, joins: None };
            self.left.entry(*index).or_insert(new);
        }
        let idle = |&(partition, offset)| Decision::Idle { partition, offset, until };
        let ticket = journal.ask(to.iter().map(idle));
        self.grant = Some(Grant { ticket, until, to });
    }
}

impl Live {
    /// All time before `gone_to` is over.
    pub(super) fn new(wall: Wall, settings: ClockSettings, gone_to: EventTime) -> Self {
        let state = State {
            gone_to,
            last: None,
            left: BTreeMap::new(),
            grant: None,
            standing: None,
            others: Others::default(),
        };
        Live { wall, settings, state: Mutex::new(state) }
    }

    pub(super) fn await_others(&self, count: usize, may_come: bool) {
        lock(&self.state).others = Others::new(count, may_come);
    }

    pub(super) fn hear(&self, process: usize, standing: Standing) {
        lock(&self.state).others.hear(process, standing);
    }

    /// Where it stood when the watermark was last asked for, and whether others go by it.
    pub(super) fn standing(&self) -> Option<(Standing, bool)> {
        let state = lock(&self.state);
        Some((state.standing?, state.others.go_by_others()))
    }

    /// The least clock over the partitions that are not idle; where all are, that of the other
    /// processes; wall time less the disorder where theirs are, too, which is told. It never goes
    /// back. `None` where no partition of any process has more to come.
    pub(super) fn watermark(
        &self,
        partitions: &[Arc<Partition>],
        journal: &Journal<Decision>,
    ) -> Option<(EventTime, bool)> {
        let mut state = lock(&self.state);
        if let Some(last) = state.last {
            return Some((last.time, false));
        }
        let (timeout, now) = (self.settings.idle_timeout.ms(), self.wall.elapsed_ms());
        let open = partitions.iter().filter(|it| it.is_open());
        let (quiet, waited_for): (Vec<_>, Vec<_>) =
            open.partition(|it| it.is_quiet_for(timeout, now));
        let least = waited_for.iter().map(|it| it.clock.load(Ordering::Acquire)).min();
        let standing = state.others.standing(least, least.is_some() || !quiet.is_empty());
        let goes_to = match (standing, state.others.joint()) {
            (Standing::At(time), _) | (_, Joint::At(time)) => Some(time),
            (_, Joint::Unknown) => Some(state.gone_to),
            (Standing::Over, Joint::Over) => {
                state.standing = Some(standing);
                return None;
            }
            (Standing::Idle | Standing::Over, Joint::Idle | Joint::Over) => None,
        };
        let could = goes_to.unwrap_or_else(|| self.wall_watermark());
        state.gone_to = state.goes_on(journal, &quiet, could).max(state.gone_to);
        // What others are told is what this process will not fall behind.
        state.standing = Some(match standing {
            Standing::At(_) => Standing::At(state.gone_to),
            other => other,
        });
        Some((state.gone_to, goes_to.is_none()))
    }

    /// The watermark where nothing comes from anywhere.
    fn wall_watermark(&self) -> EventTime {
        let time = self.wall.now().saturating_sub(self.settings.max_out_of_orderness.ms());
        time - time.rem_euclid(STEP_MS)
    }

    /// Where the watermark stays, now that all that was taken has had its turn. A partition that
    /// was read to its end and had no record has no say, if `only_read`; where none has, it comes as
    /// far as the files that have ended took it.
    pub(super) fn last_watermark(&self, partitions: &[Arc<Partition>], only_read: bool) -> Last {
        let mut state = lock(&self.state);
        if let Some(last) = state.last {
            return last;
        }
        let has_say = |it: &&Arc<Partition>| {
            let has_clock = it.clock.load(Ordering::Acquire) > EventTime::MIN;
            let is_read = !only_read || has_clock;
            it.is_open() && is_read
        };
        let (idle, waited_for): (Vec<_>, Vec<_>) =
            partitions.iter().filter(has_say).partition(|it| it.is_idle.load(Ordering::Acquire));
        let least = waited_for.iter().map(|it| it.clock.load(Ordering::Acquire)).min();
        let ended = partitions.iter().filter(|it| only_read && !it.is_open());
        let goes_to = least.or_else(|| ended.map(|it| lock(&it.turn).clock.now()).max());
        let time = goes_to.map_or(state.gone_to, |time| state.allowed(&idle, time));
        let last = Last { time: time.max(state.gone_to), has_say: least.is_some() };
        state.gone_to = last.time;
        // One that has no say goes on with the others.
        state.last = Some(last).filter(|_| last.has_say || state.others.are_none());
        last
    }

    /// Lets it stay at a later time.
    pub(super) fn stay_at(&self, time: EventTime) {
        let mut state = lock(&self.state);
        let time = state.gone_to.max(time);
        (state.gone_to, state.last) = (time, Some(Last { time, has_say: true }));
    }

    /// Where a new partition begins is written down, so that what comes while the job is down is
    /// not passed over.
    pub(super) fn begin(&self, partition: &Partition, journal: &Journal<Decision>) {
        if !partition.has_joined.load(Ordering::Acquire) {
            let watermark = lock(&self.state).gone_to;
            let offset = partition.settled_to.load(Ordering::Acquire);
            journal.ask([Decision::Joined { partition: partition.index, offset, watermark }]);
        }
    }

    /// Whether a partition of which there is something to be read may have its turn: where the
    /// watermark has gone without it must be written down first.
    pub(super) fn may_settle(&self, partition: &Partition, journal: &Journal<Decision>) -> bool {
        let mut state = lock(&self.state);
        let State { gone_to, left, .. } = &mut *state;
        let (index, has_joined) = (partition.index, partition.has_joined.load(Ordering::Acquire));
        if has_joined && !left.contains_key(&index) {
            return true;
        }
        let offset = partition.settled_to.load(Ordering::Acquire);
        let new = Left { offset, until: EventTime::MIN, joins: None };
        let left = left.entry(index).or_insert(new);
        let ticket = *left.joins.get_or_insert_with(|| {
            let offset = left.offset;
            let floor = lock(&partition.turn).floor(offset);
            let watermark = floor.map_or(*gone_to, |floor| floor.max(*gone_to));
            journal.ask([Decision::Joined { partition: index, offset, watermark }])
        });
        journal.is_durable(ticket)
    }

    /// Whoever has the turn of a partition takes note of where the watermark has gone without it.
    /// From its being taken to the end of its turn a chunk keeps its partition from being idle.
    pub(super) fn join(&self, partition: &Partition, turn: &mut Turn) {
        let mut state = lock(&self.state);
        if let Some(left) = state.left.remove(&partition.index) {
            partition.has_joined.store(true, Ordering::Release);
            turn.leave_behind(left.offset, state.gone_to);
        }
    }

    /// The greatest time that is believed at present.
    pub(super) fn believed(&self) -> EventTime {
        self.wall.now().saturating_add(self.settings.max_ahead.ms())
    }

    /// Why a record at this time is rejected.
    pub(super) fn too_far_ahead(&self, time: EventTime) -> String {
        let (time, bound) = (format_time(time), self.settings.max_ahead);
        format!("timestamp: {time} is more than {bound} ahead of wall time (max_ahead)")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;

    use dataflows::clock::{Punctuality, Reason};
    use dataflows::model::Duration;

    use super::super::journal::Recall;
    use super::super::partition::Input;
    use super::*;
    use crate::format::Mapping;
    use crate::source::file::ReadAhead;

    const DISORDER: Duration = Duration::from_ms(5);

    fn settings() -> ClockSettings {
        ClockSettings {
            max_out_of_orderness: DISORDER,
            idle_timeout: Duration::from_ms(1_000),
            ..ClockSettings::default()
        }
    }

    /// A record at this time comes and has its turn.
    fn comes(live: &Live, partition: &Partition, time: EventTime) -> Punctuality {
        assert!(live.may_settle(partition, &Journal::new(false)));
        let mut turn = lock(&partition.turn);
        live.join(partition, &mut turn);
        turn.comes_to(0);
        partition.stir();
        let said = turn.clock.observe(Some(time));
        partition.clock.store(turn.clock.now(), Ordering::Release);
        said
    }

    #[test]
    fn the_watermark_goes_on_without_the_idle_and_then_with_the_wall() {
        let hands = Arc::new(AtomicI64::new(1_000_000));
        let journal = Journal::new(false);
        let live = Live::new(Wall::held(Arc::clone(&hands)), settings(), EventTime::MIN);
        // Pipes that stay open: what gives to them is kept.
        let (gives, list): (Vec<_>, Vec<_>) = (0..2)
            .map(|index| {
                let (pipe, give) = ReadAhead::silent();
                let input = Input::File(pipe);
                let partition = Partition::new(
                    index,
                    input,
                    Mapping::default(),
                    DISORDER,
                    (None, Recall::default(), false),
                );
                (give, Arc::new(partition))
            })
            .unzip();
        comes(&live, &list[0], 500_005);
        comes(&live, &list[1], 400_005);
        assert_eq!(live.watermark(&list, &journal), Some((400_000, false)));
        hands.store(1_000_900, Ordering::Release);
        comes(&live, &list[0], 600_005);
        assert_eq!(
            live.watermark(&list, &journal),
            Some((400_000, false)),
            "not idle for long enough"
        );
        hands.store(1_001_000, Ordering::Release);
        assert_eq!(live.watermark(&list, &journal), Some((600_000, false)), "without the second");
        hands.store(1_002_017, Ordering::Release);
        assert_eq!(
            live.watermark(&list, &journal),
            Some((1_002_000, true)),
            "with the wall, in steps"
        );
        let late = Punctuality::Late { time: 450_000, clock: 1_002_000, reason: Reason::Idle };
        assert_eq!(comes(&live, &list[1], 450_000), late);
        assert_eq!(comes(&live, &list[1], 1_002_001), Punctuality::OnTime(1_002_001));
        assert_eq!(live.watermark(&list, &journal), Some((1_002_000, false)), "it never goes back");
        assert_eq!(live.last_watermark(&list, false), Last { time: 1_002_000, has_say: true });
        hands.store(9_000_000, Ordering::Release);
        assert_eq!(
            live.watermark(&list, &journal),
            Some((1_002_000, false)),
            "it stays, once it has ended"
        );
        drop(gives);
    }
}

//! What tells second copies, kept for one horizon.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator;

use super::merge::Merged;
use super::pages::PAGE_BYTES;
use super::{Collection, Piece, Unreadable, is_needed};
use crate::clock::{ClockSettings, Emit};
use crate::codec::{Entries, Short, Stopped, write_signed};
use crate::model::{EventTime, MessageKey, Position, Stamp, UserKey};
use crate::operators::dedup::{SecondCopy, hold_earliest};
use crate::operators::membership::Command;
use crate::operators::wheel::Wheel;

/// An identifier that was applied.
#[derive(Debug, Clone, Copy)]
pub struct Identified {
    /// When its update took effect.
    pub at: EventTime,
    /// When that happened.
    pub time: EventTime,
    /// The identifier.
    pub id: MessageKey,
}

/// The identifiers of applied updates that the next checkpoint is to have.
///
/// Cost: one is put into a list, and taken out again when no checkpoint can need it any more, which
/// is a horizon later; where what comes later may be older (`on_event`), it is written as soon as
/// no checkpoint can come before it.
#[derive(Debug)]
pub struct Identifiers {
    settings: ClockSettings,
    /// Those no checkpoint has, in the order in which they took effect.
    waiting: VecDeque<Identified>,
    /// Those the next checkpoint has in any case.
    pages: IdentifierPages,
    /// The instant from which on none of the pages is needed.
    until: EventTime,
}

impl Identifiers {
    /// None was applied yet.
    pub fn new(settings: ClockSettings) -> Self {
        let (waiting, pages) = (VecDeque::new(), IdentifierPages::default());
        Identifiers { settings, waiting, pages, until: EventTime::MIN }
    }

    /// One was applied, no earlier than those before it.
    pub fn applied(&mut self, identified: Identified) {
        self.waiting.push_back(identified);
    }

    /// No checkpoint will be of less than all before this.
    fn pass(&mut self, before: EventTime) {
        if self.settings.emit == Emit::OnEvent {
            return self.write(before);
        }
        let is_of_use = |it: &Identified| is_needed(it.until(self.settings), before);
        let gone = self.waiting.iter().take_while(|it| !is_of_use(it)).count();
        self.waiting.drain(..gone);
    }

    /// Writes those that took effect before this.
    fn write(&mut self, before: EventTime) {
        while let Some(it) = self.waiting.front().copied().filter(|it| it.at < before) {
            self.waiting.pop_front();
            let until = it.until(self.settings);
            // What comes later may be older.
            if self.settings.emit == Emit::OnEvent || is_needed(until, before) {
                self.pages.push(it.id, it.time);
                self.until = self.until.max(until);
            }
        }
    }

    /// The piece of those that took effect before this. They tell copies from then on.
    fn piece(&mut self, number: u64, before: EventTime) -> Piece {
        self.write(before);
        let until = std::mem::replace(&mut self.until, EventTime::MIN);
        let pages = std::mem::take(&mut self.pages).finish();
        let collection = Collection::Identifiers;
        Piece { number, before, settled: before, collection, until, pages }
    }
}

impl Identified {
    /// The instant from which on it is not needed, if nothing comes that is older.
    fn until(self, settings: ClockSettings) -> EventTime {
        self.time.saturating_add(settings.dedup_horizon.ms() + 1)
    }
}

/// The identifiers of applied updates since the checkpoint before, at every checkpoint. They are
/// needed until nothing can come that is within a horizon of their time. How far they have been
/// applied is told by the frontier of the copies.
pub fn record_identifiers<'scope>(
    applied: Rc<RefCell<Identifiers>>,
    copies: Stream<'scope, EventTime, Vec<SecondCopy>>,
    commands: Stream<'scope, EventTime, Vec<(EventTime, Command)>>,
) -> Stream<'scope, EventTime, Vec<Piece>> {
    type Builder = CapacityContainerBuilder<Vec<Piece>>;
    let name = "Record identifiers";
    copies.binary_frontier::<_, Builder, _, _, _, _>(
        commands,
        Pipeline,
        Pipeline,
        name,
        move |_, _| {
            let (mut checkpoints, mut held) = (Wheel::default(), None);
            move |(copies, before), (commands, frontier), output| {
                copies.for_each_time(|_, batches| batches.for_each(Vec::clear));
                commands.for_each_time(|capability, batches| {
                    for (at, command) in batches.flat_map(|batch| batch.drain(..)) {
                        if let Command::Checkpoint(number) = command {
                            hold_earliest(&mut held, &capability);
                            checkpoints.insert(at, number);
                        }
                    }
                });
                let mut applied = applied.borrow_mut();
                let come = |at: &EventTime| !before.less_than(at) && !frontier.less_than(at);
                if let Some(capability) = &mut held {
                    let mut due = Vec::new();
                    while let Some(at) = checkpoints.next_due().filter(come) {
                        checkpoints.take_due(at, &mut due);
                        for number in due.drain(..) {
                            output.session(capability).give(applied.piece(number, at));
                        }
                    }
                }
                if checkpoints.is_empty() {
                    held = None;
                }
                let passed = [before, frontier].map(|it| it.frontier().first().copied());
                let next = [passed[0], passed[1], checkpoints.next_due()];
                applied.pass(next.into_iter().flatten().min().unwrap_or(EventTime::MAX));
            }
        },
    )
}

/// Those of pieces that are not older than `before`.
pub(super) fn merge(pieces: &[Piece], before: EventTime) -> Merged<'_> {
    let mut pages = IdentifierPages::default();
    for page in pieces.iter().flat_map(|piece| &piece.pages) {
        let identifiers = identifiers(page).map_err(|stopped| (page.as_slice(), stopped))?;
        identifiers
            .iter()
            .filter(|(_, time)| *time >= before)
            .for_each(|(id, time)| pages.push(*id, *time));
    }
    Ok(pages.finish())
}

/// Pages being written: a time that others count from, then key and time of each.
#[derive(Debug, Default)]
struct IdentifierPages {
    full: Vec<Vec<u8>>,
    page: Vec<u8>,
    base: EventTime,
}

/// What a page may be longer than full by: an entry, as it is put together.
const SLACK_BYTES: usize = 128;

impl IdentifierPages {
    fn push(&mut self, id: MessageKey, time: EventTime) {
        if self.page.is_empty() {
            self.base = time;
            self.page.reserve(PAGE_BYTES + SLACK_BYTES);
            write_signed(time, &mut self.page);
        }
        let mut entry = Short::new(id.to_bytes());
        entry.signed(time - self.base);
        entry.end(&mut self.page);
        if self.page.len() >= PAGE_BYTES {
            self.full.push(std::mem::take(&mut self.page));
        }
    }

    fn finish(mut self) -> Vec<Vec<u8>> {
        self.full.extend(Some(self.page).filter(|page| !page.is_empty()));
        self.full
    }
}

fn identifiers(page: &[u8]) -> Result<Vec<(MessageKey, EventTime)>, Stopped> {
    let mut entries = Entries::new(page);
    let base: EventTime = entries.read()?;
    let mut identifiers = Vec::new();
    while !entries.is_empty() {
        let id = MessageKey::from_bytes(entries.key()?);
        identifiers.push((id, base.saturating_add(entries.signed()?)));
    }
    Ok(identifiers)
}

/// The identifiers of a page, as stamps that take effect at `at`: they make known what they stand
/// for, and nothing else.
pub(super) fn stamps(page: &[u8], at: EventTime) -> Result<Vec<Stamp>, Unreadable> {
    let (position, user) = (Position { partition: u32::MAX, offset: u64::MAX }, UserKey::of(""));
    let stamp = |(id, time)| Stamp { time, at, position, id, user };
    let identifiers = identifiers(page);
    let identifiers =
        identifiers.map_err(|stopped| Unreadable::new(Collection::Identifiers, page, stopped))?;
    Ok(identifiers.into_iter().map(stamp).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Duration;

    fn settings(emit: Emit) -> ClockSettings {
        ClockSettings { emit, dedup_horizon: Duration::from_ms(10), ..ClockSettings::default() }
    }

    fn applied(emit: Emit, times: impl IntoIterator<Item = EventTime>) -> Identifiers {
        let mut identifiers = Identifiers::new(settings(emit));
        for time in times {
            let id = MessageKey::of(&time.to_string());
            identifiers.applied(Identified { at: time, time, id });
        }
        identifiers
    }

    fn times(piece: &Piece) -> Vec<EventTime> {
        let read = |page: &Vec<u8>| identifiers(page).unwrap();
        piece.pages.iter().flat_map(read).map(|(_, time)| time).collect()
    }

    #[test]
    fn a_checkpoint_has_what_may_tell_a_copy_and_each_identifier_once() {
        let mut them = applied(Emit::OnWatermark, 0..50);
        let piece = them.piece(1, 30);
        assert_eq!(times(&piece), (19..30).collect::<Vec<_>>());
        assert_eq!(piece.until, 40);
        them.pass(45);
        assert_eq!(times(&them.piece(2, 45)), (34..45).collect::<Vec<_>>());
        assert_eq!(times(&them.piece(3, 50)), (45..50).collect::<Vec<_>>());
    }

    #[test]
    fn what_no_checkpoint_can_need_is_not_held() {
        let mut them = applied(Emit::OnWatermark, 0..1_000);
        them.pass(900);
        assert_eq!(them.waiting.len(), 111);
        assert_eq!(times(&them.piece(1, 900)), (889..900).collect::<Vec<_>>());
    }

    #[test]
    fn where_what_comes_may_be_older_all_are_kept() {
        let mut them = applied(Emit::OnEvent, 0..50);
        them.pass(20);
        assert_eq!(them.waiting.len(), 30);
        assert_eq!(times(&them.piece(1, 30)), (0..30).collect::<Vec<_>>());
        assert_eq!(times(&them.piece(2, 50)), (30..50).collect::<Vec<_>>());
    }
}

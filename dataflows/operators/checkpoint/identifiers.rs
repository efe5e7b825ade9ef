//! What tells second copies, kept for one horizon.

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator;

use super::merge::Merged;
use super::pages::PAGE_BYTES;
use super::{Collection, Piece, Unreadable, is_needed};
use crate::clock::{ClockSettings, Emit};
use crate::codec::{Entries, Stopped, write_signed};
use crate::model::{EventTime, MessageKey, Position, Stamp, UserKey};
use crate::operators::dedup::{Identified, hold_earliest};
use crate::operators::membership::Command;
use crate::operators::wheel::Wheel;

/// The identifiers of applied updates since the checkpoint before, at every checkpoint. They are
/// needed until nothing can come that is within a horizon of their time.
pub fn record_identifiers<'scope>(
    applied: Stream<'scope, EventTime, Vec<Identified>>,
    commands: Stream<'scope, EventTime, Vec<(EventTime, Command)>>,
    settings: ClockSettings,
) -> Stream<'scope, EventTime, Vec<Piece>> {
    type Builder = CapacityContainerBuilder<Vec<Piece>>;
    let name = "Record identifiers";
    applied.binary_frontier::<_, Builder, _, _, _, _>(
        commands,
        Pipeline,
        Pipeline,
        name,
        move |_, _| {
            let (mut waiting, mut checkpoints) = (Vec::new(), Wheel::default());
            let mut held = None;
            move |(applied, before), (commands, frontier), output| {
                applied.for_each_time(|_, batches| {
                    waiting.extend(batches.flat_map(|batch| batch.drain(..)));
                });
                commands.for_each_time(|capability, batches| {
                    for (at, command) in batches.flat_map(|batch| batch.drain(..)) {
                        if let Command::Checkpoint(number) = command {
                            hold_earliest(&mut held, &capability);
                            checkpoints.insert(at, number);
                        }
                    }
                });
                let come = |at: &EventTime| !before.less_than(at) && !frontier.less_than(at);
                let Some(capability) = &mut held else { return };
                let mut due = Vec::new();
                while let Some(at) = checkpoints.next_due().filter(come) {
                    checkpoints.take_due(at, &mut due);
                    for number in due.drain(..) {
                        let piece = piece(number, at, settings, &mut waiting);
                        output.session(capability).give(piece);
                    }
                }
                if checkpoints.is_empty() {
                    held = None;
                }
            }
        },
    )
}

/// The piece of those that were applied before `before`, which are taken out, and tell copies from
/// then on.
fn piece(
    number: u64,
    before: EventTime,
    settings: ClockSettings,
    waiting: &mut Vec<Identified>,
) -> Piece {
    let (mut pages, mut until) = (IdentifierPages::default(), EventTime::MIN);
    waiting.retain(|Identified { at, time, id }| {
        let needed = time.saturating_add(settings.dedup_horizon.ms() + 1);
        // What comes later may be older.
        let may_matter = settings.emit == Emit::OnEvent || is_needed(needed, before);
        if *at < before && may_matter {
            pages.push(*id, *time);
            until = until.max(needed);
        }
        *at >= before
    });
    let pages = pages.finish();
    let collection = Collection::Identifiers;
    Piece { number, before, settled: before, collection, until, pages }
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
#[derive(Default)]
struct IdentifierPages {
    full: Vec<Vec<u8>>,
    page: Vec<u8>,
    base: EventTime,
}

/// What a page may be longer than full by: an entry.
const SLACK_BYTES: usize = 32;

impl IdentifierPages {
    fn push(&mut self, id: MessageKey, time: EventTime) {
        if self.page.is_empty() {
            self.base = time;
            self.page.reserve(PAGE_BYTES + SLACK_BYTES);
            write_signed(time, &mut self.page);
        }
        self.page.extend_from_slice(&id.to_bytes());
        write_signed(time - self.base, &mut self.page);
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

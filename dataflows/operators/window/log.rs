//! One user's events of one stream, in order of time.
//!
//! Nearly every log is [`Narrow`]: its times lie within 49 days, and its amounts are short. Where
//! they do not, or whole values are kept, it is [`Wide`].
//!
//! Cost: O(1) to add at the end and to take from the front; what comes out of order moves those
//! that are later. State: 4 bytes an event where only its time is asked for, 12 with an amount; 8
//! and 24 in a wide log, 56 with a value, and 32 and its bytes with a whole event.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use thin_vec::ThinVec;

use super::narrow::Narrow;
use crate::model::{Amount, EventTime, Payload, Position, StreamId, Value};
use crate::operators::memory::thin_bytes;

/// What one event adds to a log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Entry {
    /// Only that it happened.
    Happened,
    /// A number.
    Amount(Amount),
    /// A value, and where its event stood.
    Value(Position, Value),
    /// A whole event, and where it stood.
    Whole(Position, ThinVec<u8>),
}

impl Entry {
    /// What a payload adds, of an event that stood at `position`; `None` for one of the wrong type.
    pub fn of(payload: &Payload, position: Position) -> Option<Self> {
        Some(match payload {
            Payload::Happened => Entry::Happened,
            Payload::Micros(micros) => Entry::Amount(Amount::from_micros((*micros).into())),
            Payload::Amount(amount) => Entry::Amount(**amount),
            Payload::Value(value) => Entry::Value(position, (**value).clone()),
            Payload::Whole(bytes) => Entry::Whole(position, bytes.clone()),
            Payload::Mismatch => return None,
        })
    }
}

/// One user's events of one stream, in order of time (values: then of position).
#[derive(Debug)]
pub struct Log(Entries);

#[derive(Debug)]
enum Entries {
    Narrow(Narrow),
    Wide(StreamId, Box<Wide>),
}

#[derive(Debug)]
enum Wide {
    Happened(VecDeque<EventTime>),
    Amounts(VecDeque<(EventTime, Amount)>),
    Values(VecDeque<(EventTime, Position, Value)>),
    Whole(VecDeque<(EventTime, Position, ThinVec<u8>)>),
}

impl Log {
    /// An empty log for events of a stream, like this one.
    pub fn for_entry(stream: StreamId, entry: &Entry) -> Self {
        let wide = |wide| Entries::Wide(stream, Box::new(wide));
        Log(match entry {
            Entry::Happened => Entries::Narrow(Narrow::times(stream)),
            Entry::Amount(_) => Entries::Narrow(Narrow::amounts(stream)),
            Entry::Value(..) => wide(Wide::Values(VecDeque::new())),
            Entry::Whole(..) => wide(Wide::Whole(VecDeque::new())),
        })
    }

    /// The stream.
    pub fn stream(&self) -> StreamId {
        match &self.0 {
            Entries::Narrow(narrow) => narrow.stream(),
            Entries::Wide(stream, _) => *stream,
        }
    }

    /// How many entries are held.
    pub fn len(&self) -> usize {
        match &self.0 {
            Entries::Narrow(narrow) => narrow.len(),
            Entries::Wide(_, wide) => match &**wide {
                Wide::Happened(times) => times.len(),
                Wide::Amounts(entries) => entries.len(),
                Wide::Values(entries) => entries.len(),
                Wide::Whole(entries) => entries.len(),
            },
        }
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes room for so many more entries, and not for others.
    pub fn make_room(&mut self, more: usize) {
        match &mut self.0 {
            Entries::Narrow(narrow) => narrow.make_room_for(more),
            Entries::Wide(_, wide) => match &mut **wide {
                Wide::Happened(times) => times.reserve_exact(more),
                Wide::Amounts(entries) => entries.reserve_exact(more),
                Wide::Values(entries) => entries.reserve_exact(more),
                Wide::Whole(entries) => entries.reserve_exact(more),
            },
        }
    }

    /// Puts an entry in its place.
    pub fn insert(&mut self, time: EventTime, entry: &Entry) {
        if let Entries::Narrow(narrow) = &mut self.0 {
            let fits = match entry {
                Entry::Happened => narrow.insert(time, 0),
                Entry::Amount(amount) => {
                    i64::try_from(amount.micros()).is_ok_and(|micros| narrow.insert(time, micros))
                }
                Entry::Value(..) | Entry::Whole(..) => false,
            };
            if fits {
                return;
            }
            self.0 = Entries::Wide(narrow.stream(), Box::new(widened(narrow)));
        }
        if let Entries::Wide(_, wide) = &mut self.0 {
            wide.insert(time, entry);
        }
    }

    /// The time of an entry.
    pub fn time(&self, place: usize) -> Option<EventTime> {
        match &self.0 {
            Entries::Narrow(narrow) => narrow.time(place),
            Entries::Wide(_, wide) => match &**wide {
                Wide::Happened(times) => times.get(place).copied(),
                Wide::Amounts(entries) => entries.get(place).map(|(time, _)| *time),
                Wide::Values(entries) => entries.get(place).map(|(time, _, _)| *time),
                Wide::Whole(entries) => entries.get(place).map(|(time, _, _)| *time),
            },
        }
    }

    /// An entry, and its time.
    pub fn entry(&self, place: usize) -> Option<(EventTime, Entry)> {
        Some(match &self.0 {
            Entries::Narrow(narrow) if narrow.holds_amounts() => {
                (narrow.time(place)?, Entry::Amount(self.amount(place)?))
            }
            Entries::Narrow(narrow) => (narrow.time(place)?, Entry::Happened),
            Entries::Wide(_, wide) => match &**wide {
                Wide::Happened(times) => (*times.get(place)?, Entry::Happened),
                Wide::Amounts(entries) => {
                    let (time, amount) = entries.get(place)?;
                    (*time, Entry::Amount(*amount))
                }
                Wide::Values(entries) => {
                    let (time, position, value) = entries.get(place)?;
                    (*time, Entry::Value(*position, value.clone()))
                }
                Wide::Whole(entries) => {
                    let (time, position, bytes) = entries.get(place)?;
                    (*time, Entry::Whole(*position, bytes.clone()))
                }
            },
        })
    }

    pub(super) fn amount(&self, place: usize) -> Option<Amount> {
        match &self.0 {
            Entries::Narrow(narrow) => {
                narrow.micros(place).map(|micros| Amount::from_micros(micros.into()))
            }
            Entries::Wide(_, wide) => match &**wide {
                Wide::Amounts(entries) => entries.get(place).map(|entry| entry.1),
                _ => None,
            },
        }
    }

    pub(super) fn value(&self, place: usize) -> Option<&Value> {
        match &self.0 {
            Entries::Wide(_, wide) => match &**wide {
                Wide::Values(entries) => entries.get(place).map(|entry| &entry.2),
                _ => None,
            },
            Entries::Narrow(_) => None,
        }
    }

    /// The whole events that are later than a time, in their order: when each was, where it stood,
    /// and its bytes.
    pub fn whole_after(
        &self,
        after: EventTime,
    ) -> impl Iterator<Item = (EventTime, Position, &[u8])> {
        let entries = match &self.0 {
            Entries::Wide(_, wide) => match &**wide {
                Wide::Whole(entries) => Some(entries),
                _ => None,
            },
            Entries::Narrow(_) => None,
        };
        let later = entries
            .map(|entries| entries.range(entries.partition_point(|(time, _, _)| *time <= after)..));
        later.into_iter().flatten().map(|(time, position, bytes)| (*time, *position, &**bytes))
    }

    /// Drops all entries but the last `kept`.
    pub fn keep(&mut self, kept: usize) {
        let count = self.len().saturating_sub(kept);
        if count == 0 {
            return;
        }
        match &mut self.0 {
            Entries::Narrow(narrow) => narrow.drop_front(count),
            Entries::Wide(_, wide) => match &mut **wide {
                Wide::Happened(times) => drop_front(times, count),
                Wide::Amounts(entries) => drop_front(entries, count),
                Wide::Values(entries) => drop_front(entries, count),
                Wide::Whole(entries) => drop_front(entries, count),
            },
        }
    }

    /// The bytes it has asked for, beside its own place.
    pub fn bytes(&self) -> usize {
        match &self.0 {
            Entries::Narrow(narrow) => narrow.bytes(),
            Entries::Wide(_, wide) => {
                let entries = match &**wide {
                    Wide::Happened(times) => times.capacity() * size_of::<EventTime>(),
                    Wide::Amounts(list) => list.capacity() * size_of::<(EventTime, Amount)>(),
                    Wide::Values(list) => {
                        list.capacity() * size_of::<(EventTime, Position, Value)>()
                    }
                    Wide::Whole(list) => {
                        let bytes = list.iter().map(|(_, _, bytes)| thin_bytes(bytes));
                        list.capacity() * size_of::<(EventTime, Position, ThinVec<u8>)>()
                            + bytes.sum::<usize>()
                    }
                };
                size_of::<Wide>() + entries
            }
        }
    }
}

impl Wide {
    fn insert(&mut self, time: EventTime, entry: &Entry) {
        match (self, entry) {
            (Wide::Happened(times), Entry::Happened) => {
                insert_sorted(times, time, |other| *other <= time);
            }
            (Wide::Amounts(entries), Entry::Amount(amount)) => {
                insert_sorted(entries, (time, *amount), |(other, _)| *other <= time);
            }
            (Wide::Values(entries), Entry::Value(position, value)) => {
                let new = (time, *position, value.clone());
                insert_sorted(entries, new, |(other, at, _)| (*other, *at) <= (time, *position));
            }
            (Wide::Whole(entries), Entry::Whole(position, bytes)) => {
                let new = (time, *position, bytes.clone());
                insert_sorted(entries, new, |(other, at, _)| (*other, *at) <= (time, *position));
            }
            _ => unreachable!("a stream takes the same kind of thing from every event"),
        }
    }
}

fn widened(narrow: &Narrow) -> Wide {
    let times = (0..narrow.len()).filter_map(|place| narrow.time(place));
    if narrow.holds_amounts() {
        let amounts = (0..narrow.len()).filter_map(|place| narrow.micros(place));
        let amounts = amounts.map(|micros| Amount::from_micros(micros.into()));
        Wide::Amounts(times.zip(amounts).collect())
    } else {
        Wide::Happened(times.collect())
    }
}

fn insert_sorted<E>(entries: &mut VecDeque<E>, entry: E, before: impl Fn(&E) -> bool) {
    if entries.back().is_none_or(&before) {
        return entries.push_back(entry);
    }
    let place = entries.partition_point(before);
    entries.insert(place, entry);
}

fn drop_front<E>(entries: &mut VecDeque<E>, count: usize) {
    entries.drain(..count);
    if entries.capacity() > 64 && entries.len() < entries.capacity() / 4 {
        entries.shrink_to(entries.len() * 2);
    }
}

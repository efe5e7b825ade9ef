//! What is made of the events of a name, remembered.
//!
//! Events are of few names, and a name is looked up for each: those that came last are kept where
//! they are found by their bytes, without a hash of them all or a comparison out of line.

use dataflows::model::{Hits, Value};
use dataflows::streams::{Streams, Wanted};
use hashbrown::HashMap;

/// How many names are remembered. Names beyond are hostile or a mistake; the memory then starts
/// anew.
const REMEMBERED_NAMES: usize = 4_096;
/// How many of them are found by their bytes: a power of two.
const LATEST_BITS: u32 = 6;
/// The golden ratio: what is multiplied with it spreads over the highest bits.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// What is made of an event.
pub(super) enum Answer {
    /// The same whatever its properties are.
    Always(Hits),
    /// By those of its properties that are wanted.
    Reads(Wanted),
}

/// The names of events.
pub(super) struct Names {
    answers: Vec<Answer>,
    /// By name, the place of its answer.
    all: HashMap<Box<str>, usize>,
    /// By a hash, the name that came last, and the place of its answer.
    latest: Box<[(Short, usize)]>,
}

/// A name of no more than sixteen bytes: those it begins with, those it ends with, and how many it
/// has. No two are alike.
type Short = (u64, u64, usize);

/// Is none.
const NO_NAME: Short = (0, 0, usize::MAX);

impl Default for Names {
    fn default() -> Self {
        let latest = vec![(NO_NAME, 0); 1 << LATEST_BITS].into();
        Names { answers: Vec::new(), all: HashMap::new(), latest }
    }
}

impl Names {
    /// What is made of an event of this name, for the rules behind `streams`: always the same ones.
    #[inline]
    pub(super) fn answer(&mut self, streams: &Streams, name: &str) -> &Answer {
        let short = short(name.as_bytes());
        let mixed = (short.0 ^ short.1.rotate_left(32)).wrapping_mul(GOLDEN);
        let place = (mixed >> (u64::BITS - LATEST_BITS)) as usize;
        match self.latest.get(place) {
            Some((latest, number)) if *latest == short && short.2 <= 16 => &self.answers[*number],
            _ => self.look_up(streams, name, short, place),
        }
    }

    #[cold]
    fn look_up(&mut self, streams: &Streams, name: &str, short: Short, place: usize) -> &Answer {
        if self.all.len() >= REMEMBERED_NAMES {
            *self = Names::default();
        }
        let number = match self.all.get(name) {
            Some(number) => *number,
            None => {
                self.answers.push(answer(streams, name));
                self.all.insert(name.into(), self.answers.len() - 1);
                self.answers.len() - 1
            }
        };
        self.latest[place] = (short, number);
        &self.answers[number]
    }
}

fn answer(streams: &Streams, name: &str) -> Answer {
    let wanted = streams.wanted(name);
    if wanted.keys.is_empty() && !wanted.is_all() {
        Answer::Always(streams.hits(&wanted, &Value::object(Vec::new())))
    } else {
        Answer::Reads(wanted)
    }
}

/// The name, if it has no more than sixteen bytes.
#[inline]
fn short(name: &[u8]) -> Short {
    let (first, last) = match (name.first_chunk(), name.last_chunk()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => shorter(name),
    };
    (first, last, name.len())
}

/// The name, if it has less than eight.
#[inline]
fn shorter(name: &[u8]) -> (u64, u64) {
    if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        return (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into());
    }
    let number = name.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    (number, 0)
}

#[cfg(test)]
mod tests {
    use dataflows::model::Path;
    use dataflows::rule::{NamePattern, Selector};
    use dataflows::streams::{Stream, Take};

    use super::*;

    #[test]
    fn every_name_has_its_own_answer() {
        let mut streams = Streams::default();
        let names: Vec<String> = (0..60)
            .flat_map(|length| ["", "b", "c"].map(|end| format!("{}{end}", "a".repeat(length))))
            .collect();
        for name in &names {
            let events = Selector { name: NamePattern::Exact((**name).into()), filter: None };
            streams.add(Stream { events, take: Take::Nothing });
        }
        let mut memory = Names::default();
        for _ in 0..3 {
            for name in &names {
                let expected = streams.hits(&streams.wanted(name), &Value::Null);
                let Answer::Always(hits) = memory.answer(&streams, name) else {
                    panic!("{name} reads")
                };
                assert_eq!((hits, hits.len()), (&expected, 1), "{name}");
            }
        }
    }

    #[test]
    fn memory_starts_anew_and_properties_are_asked_for() {
        let mut streams = Streams::default();
        let events = Selector { name: NamePattern::Prefix("buy".into()), filter: None };
        streams.add(Stream { events, take: Take::Amount(Path::new("amount")) });
        let mut memory = Names::default();
        for number in 0..2 * REMEMBERED_NAMES {
            assert!(matches!(memory.answer(&streams, &format!("buy {number}")), Answer::Reads(_)));
            let nothing = memory.answer(&streams, &format!("sell {number}"));
            assert!(matches!(nothing, Answer::Always(hits) if hits.is_empty()));
        }
        assert!(memory.answers.len() <= REMEMBERED_NAMES);
    }
}

//! Which record caused a difference, worked out by a second run over the same records.
//!
//! In that run a record's time is its place in the schedule, and everything is in order, so the
//! time of a difference names its record. It holds as long as nothing leaves a window during the
//! schedule and no user enters a segment twice, as is so with the segments latency is measured
//! over: then who enters what, and by which record, does not depend on when instants are closed.
//! Some neighbours share a place, so that all places fit into the shortest window; of them the
//! first counts.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use dataflows::model::{Difference, EventTime};

use crate::generate::clicks::START;

/// How many places there are at most: in milliseconds, less than the shortest window.
const PLACES_MAX: usize = 50_000;
/// Before this nothing leaves a window, neither in the schedule nor in the second run. What does at
/// the end of the input, when all time passes, is caused by no record.
pub(super) const LEAVES_FROM: EventTime = START + PLACES_MAX as EventTime;
const TIME_KEY: &[u8] = b"\"ts\":";

/// Segment, user, and 1 or -1.
type Flip = (Arc<str>, Arc<str>, i8);

/// For each difference there can be, the number of the record that causes it.
pub(super) struct Causes {
    by_flip: HashMap<Flip, usize>,
}

impl Causes {
    /// Of what the second run gave over so many records.
    pub(super) fn of(differences: &[Difference], records: usize) -> Self {
        let together = together(records);
        let mut by_flip = HashMap::new();
        let caused = differences.iter().filter(|difference| difference.time < LEAVES_FROM);
        for Difference { time, segment, user, sign } in caused {
            let place = usize::try_from(time - START).unwrap_or(0);
            let flip = (segment.clone(), user.clone(), sign.diff());
            by_flip.entry(flip).or_insert(place * together);
        }
        Causes { by_flip }
    }

    /// The number of the record that caused it.
    pub(super) fn record(&self, segment: &str, user: &str, diff: i8) -> Option<usize> {
        self.by_flip.get(&(segment.into(), user.into(), diff)).copied()
    }
}

/// Writes the records of a schedule with their places for their times; `None` is left out.
pub(super) fn write_places<'a>(
    pipe: File,
    records: impl ExactSizeIterator<Item = Option<&'a [u8]>>,
) -> io::Result<()> {
    let together = together(records.len());
    let mut pipe = BufWriter::with_capacity(1 << 16, pipe);
    for (number, line) in records.enumerate() {
        let Some(line) = line else { continue };
        let Some(from) = memchr::memmem::find(line, TIME_KEY) else { continue };
        let (head, tail) = line.split_at(from + TIME_KEY.len());
        let end = tail.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(tail.len());
        let time: EventTime = START + (number / together) as EventTime;
        pipe.write_all(head)?;
        pipe.write_all(itoa::Buffer::new().format(time).as_bytes())?;
        pipe.write_all(&tail[end..])?;
    }
    pipe.flush()
}

/// How many records share a place.
fn together(records: usize) -> usize {
    records / PLACES_MAX + 1
}

#[cfg(test)]
mod tests {
    use dataflows::model::Sign;

    use super::*;

    #[test]
    fn records_are_written_with_their_places() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records");
        let lines: [Option<&[u8]>; 3] =
            [Some(b"{\"ts\":17,\"n\":1}\n"), None, Some(b"{\"n\":3,\"ts\":12}\n")];
        write_places(File::create(&path).unwrap(), lines.into_iter()).unwrap();
        let expected = format!("{{\"ts\":{START},\"n\":1}}\n{{\"n\":3,\"ts\":{}}}\n", START + 2);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
    }

    #[test]
    fn the_first_of_those_who_share_a_place_is_the_cause() {
        let (segment, user) = ("s".into(), "u1".into());
        let entered = Difference { time: START + 7, segment, user, sign: Sign::Entered };
        let causes = Causes::of(&[entered], 2 * PLACES_MAX);
        assert_eq!(causes.record("s", "u1", 1), Some(21));
        assert_eq!(causes.record("s", "u1", -1), None);
    }
}

//! Differences as a log of steps, each of them files by day and a manifest.

use std::hash::{BuildHasher, Hasher, RandomState};

use dataflows::model::EventTime;
use dataflows::model::time::format_time;

use super::encode::{Row, Table};
use super::files::{Files, Stopped};
use super::manifest::{Head, Step, parse, text};
use super::{Place, Settings, Written};
use crate::sink::courier::{Destination, Failure, Watch};
use crate::sink::delivery::Item;
use crate::sink::queue::Due;

const MANIFESTS: &str = "_manifests";
const DAY_MS: i64 = 86_400_000;
/// How many differences are handed on at a time.
const SLICE: usize = 16_384;

/// A log that is being written.
pub(super) struct Log {
    settings: Settings,
    head: Head,
    place: Box<dyn Place>,
    watch: Watch,
    writer: String,
    /// The last step there is, once it is known.
    last: Option<Last>,
    /// Whether files may be there that no manifest names.
    may_be_torn: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Last {
    number: u64,
    frontier: Option<EventTime>,
}

impl Log {
    pub(super) fn new(name: &str, settings: Settings, place: Box<dyn Place>) -> Self {
        Log {
            head: Head::new(&settings, "differences"),
            settings,
            place,
            watch: Watch::new(name.to_owned()),
            writer: format!("{:016x}", RandomState::new().build_hasher().finish()),
            last: None,
            may_be_torn: true,
        }
    }

    fn manifest(number: u64) -> String {
        format!("{MANIFESTS}/{number:010}.json")
    }

    fn step(&self, number: u64) -> Result<Option<Step>, Stopped> {
        let path = Self::manifest(number);
        let Some(bytes) = self.place.read(&path)? else { return Ok(None) };
        Ok(Some(parse((&*self.place, &path), &bytes, &self.head)?))
    }

    /// The last step: at first by a list of all, then by whether there is one more than is known.
    fn find(&self) -> Result<Last, Stopped> {
        let number = match self.last {
            Some(last) => last.number + 1,
            None => {
                let names = self.place.list(MANIFESTS, "")?;
                let manifests = names.iter().filter(|name| name.ends_with(".json"));
                manifests.filter_map(|name| number_of(name)).max().unwrap_or(0)
            }
        };
        let step = self.step(number)?;
        let found = step.map(|step| Last { number, frontier: Some(step.frontier) });
        Ok(found.or(self.last).unwrap_or_default())
    }

    /// Deletes files of steps that have no manifest: they are of the day of the frontier, or later.
    fn sweep(&mut self, last: Last) -> Result<(), Stopped> {
        if self.may_be_torn {
            let from = last.frontier.map(|frontier| format!("date={}", day(frontier)));
            let names = self.place.list("", from.as_deref().unwrap_or_default())?;
            let is_torn = |name: &String| {
                name.starts_with("date=") && number_of(name).is_some_and(|it| it > last.number)
            };
            self.place.delete(names.into_iter().filter(is_torn).collect())?;
            self.may_be_torn = false;
        }
        Ok(())
    }

    fn files(&self, number: u64, items: &[Item]) -> Result<Vec<Written>, Stopped> {
        let mut written = Vec::new();
        for of_day in items.chunk_by(|one, next| day_of(one.time()) == day_of(next.time())) {
            let Some(first) = of_day.first() else { continue };
            let prefix = format!("date={}/{number:010}-", day(first.time()));
            let to = (&*self.place, &self.settings);
            let mut files = Files::new(to, Table::Differences, prefix);
            for slice in of_day.chunks(SLICE) {
                files.rows(&slice.iter().filter_map(row).collect::<Vec<_>>())?;
            }
            written.extend(files.finish()?);
        }
        Ok(written)
    }

    /// Writes a step; tells whether nobody else has written one of its number.
    fn put(&self, last: Last, due: &Due) -> Result<bool, Stopped> {
        let number = last.number + 1;
        let files = self.files(number, &due.items)?;
        let step = Step {
            head: self.head.clone(),
            number,
            from: last.frontier,
            frontier: due.upto,
            rows: files.iter().map(|file| file.rows).sum(),
            files,
            writer: self.writer.clone(),
        };
        if self.place.create(&Self::manifest(number), text(&step))? {
            return Ok(true);
        }
        // An answer may have been lost, so that it was tried twice.
        Ok(self.step(number)?.is_some_and(|found| found.writer == self.writer))
    }
}

impl Destination for Log {
    fn connect(&mut self) -> Result<Option<EventTime>, Failure> {
        let is_first = self.last.is_none();
        let found = self.find().map_err(|stopped| match is_first {
            true => stopped.at_start(&self.settings),
            false => stopped.into(),
        })?;
        self.may_be_torn = true;
        self.last = Some(found);
        Ok(found.frontier)
    }

    fn disconnect(&mut self) {}

    fn write(&mut self, due: &Due, _: Option<EventTime>) -> Result<(), Failure> {
        let last = self.last.unwrap_or_default();
        self.sweep(last)?;
        if !self.put(last, due)? {
            return Err(Failure::Fault(self.displaced(None, last.frontier)));
        }
        self.last = Some(Last { number: last.number + 1, frontier: Some(due.upto) });
        Ok(())
    }

    fn watch(&self) -> &Watch {
        &self.watch
    }
}

fn row(item: &Item) -> Option<Row<'_>> {
    let Item::Difference(it) = item else { return None };
    Some(Row { time: it.time, segment: &it.segment, user: &it.user, diff: it.sign.diff() })
}

/// The number of the step a file is of, by its name.
fn number_of(path: &str) -> Option<u64> {
    let (_, name) = path.rsplit_once('/')?;
    name.split(['-', '.']).next()?.parse().ok()
}

fn day_of(time: EventTime) -> i64 {
    time.div_euclid(DAY_MS)
}

/// `2026-01-01`.
fn day(time: EventTime) -> String {
    let text = format_time(day_of(time).saturating_mul(DAY_MS));
    text.split_once('T').map_or(text.clone(), |(day, _)| day.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_at_midnight_utc_before_1970_too() {
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(-1), "1969-12-31");
        assert_eq!(day(1_767_225_599_999), "2025-12-31");
        assert_eq!(day(1_767_225_600_000), "2026-01-01");
    }

    #[test]
    fn names_tell_their_step() {
        assert_eq!(number_of("date=2026-01-01/0000000012-0.parquet"), Some(12));
        assert_eq!(number_of("_manifests/0000000012.json"), Some(12));
        assert_eq!(number_of("_manifests/x.json"), None);
        assert_eq!(number_of("12.json"), None);
    }
}

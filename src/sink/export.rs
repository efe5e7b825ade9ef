//! Exports: files of differences, or of who is in which segment, for those who read tables.
//!
//! ```text
//! differences     date=2026-01-01/0000000012-0.parquet     what entered and left on that day
//!                 _manifests/0000000012.json               put last: files, and up to when it is all
//! users           snapshot=2026-01-01T00-00-00.000Z/0.parquet
//!                 snapshot=2026-01-01T00-00-00.000Z/manifest.json     put last
//!                 _progress.json                           up to when it has been looked
//! ```
//! A file is written whole or not at all, and is there for readers once a manifest names it:
//! manifests come after all files they name. What a crash leaves behind has no manifest, and is
//! cleared away before anything is written in its place.
//!
//! [`differences`] are a log: each step's manifest holds the frontier up to which it goes, which is
//! the position a restart goes on from. [`users`] are pictures at instants of event time, which come
//! out the same however often the run is killed. Both are written by a [`Courier`], so that a place
//! that is away or full only makes them wait.

mod at_end;
mod csv;
mod differences;
mod encode;
mod fault;
mod files;
mod jsonl;
mod manifest;
mod parquet;
mod place;
mod schedule;
mod snapshot;
mod users;

use std::time::Duration;

use dataflows::model::EventTime;

use super::SinkError;
use super::courier::{Begin, Courier, Terms, first_connection};
use super::queue::Pace;
pub use at_end::AtEnd;
use differences::Log;
pub use encode::{Format, Table};
pub use fault::ExportFault;
pub use manifest::Written;
pub use place::{Place, PlaceFault};
pub use schedule::{Schedule, Share};
pub use snapshot::Snapshot;
use users::Pictures;

/// How many differences make a step at once, however short the time: half of what may wait in
/// memory, so that others come in while they are written.
const STEP_ITEMS: usize = 250_000;
/// How long from one look at who is in which segment to the next, in wall time: this is how late
/// a picture may be, and how long a checkpoint may wait for it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the position of differences is stored while there are none.
const POSITION_EVERY: Duration = Duration::from_secs(600);

/// What is exported, and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The name of the job.
    pub job: String,
    /// The name of the export in it.
    pub name: String,
    /// What files are like.
    pub format: Format,
}

/// Which of the two is exported, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Differences, in files of what has come within so much wall time.
    Differences(Duration),
    /// Who is in which segment, at these instants of event time.
    Users(Schedule),
}

/// Finds how far an export has come, or begins one. `resumes` is the time the run goes on from.
/// `None` if the run was told to stop before.
///
/// # Errors
/// The place cannot be used, or holds something else.
pub fn open(
    settings: Settings,
    what: What,
    place: Box<dyn Place>,
    (resumes, terms): (Option<EventTime>, Terms),
) -> Result<Option<Courier>, SinkError> {
    let name = format!("export {} ({} in {})", settings.name, settings.format, place.name());
    match what {
        What::Differences(every) => {
            let pace = Pace {
                items: STEP_ITEMS,
                every,
                position_every: POSITION_EVERY,
                only_what_is_stored: false,
            };
            let mut log = Log::new(&name, settings, place);
            let Some(position) = first_connection(&mut log, &terms.stop)? else { return Ok(None) };
            let begin = Begin { position, ..Begin::default() };
            Ok(Some(Courier::start(name, log, begin, pace, terms)))
        }
        What::Users(schedule) => {
            let pace = Pace {
                items: STEP_ITEMS,
                every: LOOK_EVERY,
                position_every: LOOK_EVERY,
                only_what_is_stored: true,
            };
            let mut pictures = Pictures::new(&name, settings, schedule, (place, resumes));
            if first_connection(&mut pictures, &terms.stop)?.is_none() {
                return Ok(None);
            }
            // Members are nowhere but in memory: every life is told them anew.
            let begin = Begin::keeping_members(&name, "", None, resumes)?;
            Ok(Some(Courier::start(name, pictures, begin, pace, terms)))
        }
    }
}

#[cfg(test)]
mod tests;

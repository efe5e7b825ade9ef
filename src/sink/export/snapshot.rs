//! A picture of who is in which segment: files in a folder of their own, and their manifest, last.

use std::sync::Arc;

use dataflows::model::EventTime;
use dataflows::model::time::format_time;

use super::encode::{Row, Table};
use super::files::{Files, Stopped};
use super::manifest::{Head, Picture, SegmentRows, parse, text};
use super::{ExportFault, Place, Settings, Written};

/// How many users are handed on at a time.
const SLICE: usize = 16_384;

/// A picture that is being written. Without [`finish`](Self::finish), it is as if there were none.
pub struct Snapshot<'a> {
    place: &'a dyn Place,
    settings: &'a Settings,
    as_of: EventTime,
    files: Files<'a>,
    segments: Vec<SegmentRows>,
}

impl<'a> Snapshot<'a> {
    /// Begins a picture as of a time; none, if it is there already. What was left behind of an
    /// earlier try is cleared away.
    ///
    /// # Errors
    /// The place cannot be read or written, or another export has it.
    pub fn begin(
        place: &'a dyn Place,
        settings: &'a Settings,
        as_of: EventTime,
    ) -> Result<Option<Self>, ExportFault> {
        Self::try_begin(place, settings, as_of).map_err(|stopped| stopped.fault(settings))
    }

    pub(super) fn try_begin(
        place: &'a dyn Place,
        settings: &'a Settings,
        as_of: EventTime,
    ) -> Result<Option<Self>, Stopped> {
        let folder = folder(as_of);
        let manifest = format!("{folder}/manifest.json");
        if let Some(bytes) = place.read(&manifest)? {
            let head = Head::new(settings, "users");
            return Ok(parse::<Picture>((place, &manifest), &bytes, &head).map(|_| None)?);
        }
        let torn = place.list(&folder, "")?;
        place.delete(torn)?;
        let files = Files::new((place, settings), Table::Users, format!("{folder}/"));
        Ok(Some(Snapshot { place, settings, as_of, files, segments: Vec::new() }))
    }

    /// What is added from now on is of this segment.
    pub fn segment(&mut self, id: &str, version: Option<u64>) {
        self.segments.push(SegmentRows { id: id.into(), version, rows: 0 });
    }

    /// Adds users, in bytewise order.
    ///
    /// # Errors
    /// The place does not take them.
    pub fn users(&mut self, users: &[Arc<str>]) -> Result<(), ExportFault> {
        let settings = self.settings;
        self.add(users).map_err(|stopped| stopped.fault(settings))
    }

    pub(super) fn add<U: AsRef<str>>(&mut self, users: &[U]) -> Result<(), Stopped> {
        let Some(segment) = self.segments.last_mut() else { return Ok(()) };
        segment.rows += users.len() as u64;
        let row = |user| Row { time: self.as_of, segment: &segment.id, user, diff: 1 };
        for slice in users.chunks(SLICE) {
            let rows: Vec<_> = slice.iter().map(|user| row(user.as_ref())).collect();
            self.files.rows(&rows)?;
        }
        Ok(())
    }

    /// Puts the manifest: from now on it is there. Gives back its files.
    ///
    /// # Errors
    /// The place does not take it.
    pub fn finish(self) -> Result<Vec<Written>, ExportFault> {
        let settings = self.settings;
        self.try_finish().map_err(|stopped| stopped.fault(settings))
    }

    pub(super) fn try_finish(self) -> Result<Vec<Written>, Stopped> {
        let files = self.files.finish()?;
        let picture = Picture {
            head: Head::new(self.settings, "users"),
            as_of: self.as_of,
            rows: files.iter().map(|file| file.rows).sum(),
            segments: self.segments,
            files,
        };
        self.place.put(&format!("{}/manifest.json", folder(self.as_of)), text(&picture))?;
        Ok(picture.files)
    }
}

/// The folder of a picture. It has no colons, which some systems do not like in names.
fn folder(as_of: EventTime) -> String {
    format!("snapshot={}", format_time(as_of).replace(':', "-"))
}

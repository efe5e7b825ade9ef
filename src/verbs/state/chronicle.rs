//! What the chronicle tells of, and whether that is all that a run needs which goes on.

use std::collections::BTreeSet;
use std::fmt::Write;

use dataflows::model::EventTime;
use dataflows::model::time::format_time;
use serde_json::json;

use crate::args::State;
use crate::ingest::{Courses, Took, index};
use crate::say::say;
use crate::state::{CheckedChronicle, Chronicled, Listed, Manifest, Store};
use crate::verbs::{VerbError, counted, error, print};

/// Most partitions that are shown to people.
const PARTITIONS_SHOWN: usize = 8;

/// What a chronicle tells of.
pub(super) struct Told {
    checked: CheckedChronicle,
    courses: Courses,
    /// The first instant and the last one.
    instants: Option<(EventTime, EventTime)>,
    /// Why a run cannot go on by it.
    wrong: Vec<String>,
    /// Whether it could be looked for gaps.
    is_whole_known: bool,
}

impl Told {
    /// Reads all there is, for runs that go on from any of these. What the job reads has to be known
    /// in its order, unless it is one source.
    pub(super) fn read(
        store: &Store,
        listed: &[Listed],
        sources: Option<Vec<String>>,
    ) -> Result<Self, VerbError> {
        let checked = store.check_chronicle()?;
        let wrong = checked.wrong.iter().map(ToString::to_string).collect();
        let (courses, instants) = (Courses::default(), None);
        let mut told = Told { checked, courses, instants, wrong, is_whole_known: true };
        for file in std::mem::take(&mut told.checked.files) {
            told.add(&file);
            told.checked.files.push(file);
        }
        // Where a file is damaged, what that tells of is missing anyway.
        if told.wrong.is_empty() {
            let manifests = listed.iter().filter_map(|it| it.manifest.as_ref().ok());
            manifests.for_each(|it| told.look_for_gap(it, sources.as_deref()));
        }
        Ok(told)
    }

    fn add(&mut self, file: &Chronicled) {
        for content in &file.contents {
            let all: Vec<Took> = match serde_json::from_slice(content) {
                Ok(all) => all,
                Err(error) => {
                    self.wrong.push(format!("{} is not understood: {error}", file.path));
                    return;
                }
            };
            all.iter().for_each(|took| self.courses.add(took));
            for at in all.iter().flat_map(|took| &took.steps).map(|(_, at)| *at) {
                let (first, last) = self.instants.unwrap_or((at, at));
                self.instants = Some((first.min(at), last.max(at)));
            }
        }
    }

    fn look_for_gap(&mut self, manifest: &Manifest, sources: Option<&[String]>) {
        let names: BTreeSet<_> = manifest.sources.iter().map(|it| &it.source).collect();
        let alone: Vec<_> = names.into_iter().cloned().collect();
        let sources = sources.or(Some(&alone).filter(|it| it.len() == 1).map(|it| &**it));
        let Some(sources) = sources else {
            self.is_whole_known = manifest.sources.is_empty();
            return;
        };
        for position in &manifest.sources {
            let stream = sources.iter().position(|name| *name == position.source);
            let Some(stream) = stream.and_then(|it| u32::try_from(it).ok()) else { continue };
            let start = (index(stream, position.partition), position.offset);
            if let Some((_, from)) = self.courses.gap([start]) {
                self.wrong.push(format!(
                    "of {}, partition {}, it begins with record {from} only, and checkpoint {} needs \
                     it from record {} on: a file is missing; put it back from a copy",
                    position.source, position.partition, manifest.number, position.offset
                ));
            }
        }
    }

    /// Prints what it tells of, if there is any, and how far it is damaged. How many faults it has.
    pub(super) fn show(&self, arguments: &State) -> Result<usize, VerbError> {
        if self.checked.files.is_empty() && self.checked.wrong.is_empty() {
            return Ok(0);
        }
        if arguments.json {
            print(format!("{}\n", self.as_json()).as_bytes())?;
        } else {
            print(self.as_text().as_bytes())?;
        }
        for file in &self.checked.files {
            if let (Some(byte), true) = (file.torn, arguments.check) {
                say(format_args!(
                    "chronicle: {} is torn from byte {byte} on, as by a kill: nobody has relied on \
                     that",
                    file.path
                ));
            }
        }
        if arguments.check && !self.is_whole_known {
            say(format_args!("chronicle: to have it looked for gaps, name the job: --job FILE"));
        }
        for line in &self.wrong {
            error(format_args!("chronicle: {line}"));
        }
        Ok(self.wrong.len())
    }

    fn writes(&self) -> usize {
        self.checked.files.iter().map(|file| file.contents.len()).sum()
    }

    fn as_json(&self) -> serde_json::Value {
        let partitions = self
            .courses
            .extents()
            .map(|(index, it)| json!({"index": index, "from": it.start, "next": it.end}));
        json!({"chronicle": {
            "files": self.checked.files.len() + self.checked.wrong.len(),
            "writes": self.writes(),
            "bytes": self.checked.bytes,
            "from": self.instants.map(|(first, _)| format_time(first)),
            "to": self.instants.map(|(_, last)| format_time(last)),
            "partitions": partitions.collect::<Vec<_>>(),
            "wrong": self.wrong,
        }})
    }

    fn as_text(&self) -> String {
        let files = self.checked.files.len() + self.checked.wrong.len();
        let mut text = format!(
            "chronicle: {} in {}, {} bytes",
            counted(self.writes(), "write"),
            counted(files, "file"),
            self.checked.bytes
        );
        // Writing to text cannot fail.
        if let Some((first, last)) = self.instants {
            let (first, last) = (format_time(first), format_time(last));
            let _ = write!(text, ", of records that took effect from {first} to {last}");
        }
        text.push('\n');
        let records =
            |it: std::ops::Range<u64>| format!("records from {}, next is {}", it.start, it.end);
        for (index, extent) in self.courses.extents().take(PARTITIONS_SHOWN) {
            let _ = writeln!(text, "  partition of index {index}: {}", records(extent));
        }
        let more = self.courses.extents().count().saturating_sub(PARTITIONS_SHOWN);
        if more > 0 {
            let _ = writeln!(text, "  and {}", counted(more, "more partition"));
        }
        text
    }
}

//! `export`: a segment's users, or the differences, as files, now: from a running job that answers,
//! or from the files of a job.

mod server;

use std::path::Path;

use dataflows::model::EventTime;
use dataflows::model::time::format_time;

use super::outputs::{GATHER, export_of, origins};
use super::replay::run_of;
use super::what::{Subject, subject};
use super::{VerbError, counted, say, warn};
use crate::args::{Clock, Export, ExportOf, FileForm, What};
use crate::job::FileFormat;
use crate::run::places::place;
use crate::run::{self, Cluster, Deliveries, Outputs, Until};
use crate::sink::SinkError;
use crate::sink::Terms;
use crate::sink::delivery::Delivery;
use crate::sink::export::{self, AtEnd, Written};
use crate::sink::selection::Selection;
use crate::state::Location;

/// What an export is called that no job file names: by its segments too, so that one of other
/// segments as of the same time is not taken for it.
fn name_of(arguments: &Export) -> String {
    match arguments.segments.as_slice() {
        [] => "now".to_owned(),
        segments => format!("now, of {}", segments.join(", ")),
    }
}

/// Writes files.
pub(super) fn export(arguments: &Export) -> Result<(), VerbError> {
    let to = Location::parse(&arguments.to, Path::new(""))?;
    match &arguments.server {
        Some(url) => server::export(arguments, url, &to),
        None => of_files(arguments, &to),
    }
}

fn format_of(arguments: &Export) -> FileFormat {
    match arguments.format {
        FileForm::Csv => FileFormat::Csv,
        FileForm::Jsonl => FileFormat::Jsonl,
        FileForm::Parquet => FileFormat::Parquet,
    }
}

/// Replays the files of a job, up to a time or the last record's.
fn of_files(arguments: &Export, to: &Location) -> Result<(), VerbError> {
    let subject = subject(&What {
        job: arguments.job.clone(),
        segments: None,
        events: Vec::new(),
        changes: None,
        retain: None,
        clock: Clock::default(),
    })?;
    for refused in &subject.definitions.refused {
        warn(format_args!("refused: {refused}"));
    }
    let differences = vec![delivery(arguments, &subject, to)?];
    let outputs = Outputs {
        until: arguments.at.map_or(Until::Last, Until::Time),
        sources: origins(&subject),
        deliveries: Deliveries { differences, ..Deliveries::default() },
        ..Outputs::default()
    };
    run::run(run_of(subject, Cluster::single(1)), outputs)?;
    Ok(())
}

fn delivery(
    arguments: &Export,
    subject: &Subject,
    to: &Location,
) -> Result<Box<dyn Delivery>, SinkError> {
    let name = name_of(arguments);
    let settings = export_of(&subject.name, &name, format_of(arguments));
    let (place, selection) = (place(&name, to)?, Selection::new(arguments.segments.clone()));
    Ok(match arguments.of {
        ExportOf::Users => Box::new(AtEnd::new(settings, place, selection, tell)),
        ExportOf::Differences => {
            let terms = Terms { selection, ..Terms::default() };
            let what = export::What::Differences(GATHER);
            let opened = export::open(settings, what, place, (None, terms))?;
            Box::new(opened.ok_or(SinkError::Closed)?)
        }
    })
}

/// Says what has become of a picture.
fn tell(as_of: EventTime, written: Option<Vec<Written>>) {
    let time = format_time(as_of);
    let Some(written) = written else {
        return say(format_args!("users as of {time} were exported there already"));
    };
    let sum = |of: fn(&Written) -> u64| written.iter().map(of).sum::<u64>();
    let rows = usize::try_from(sum(|file| file.rows)).unwrap_or(usize::MAX);
    let bytes = sum(|file| file.bytes);
    let (rows, files) = (counted(rows, "row"), counted(written.len(), "file"));
    say(format_args!("users as of {time}: {rows} in {files}, {bytes} bytes"));
}

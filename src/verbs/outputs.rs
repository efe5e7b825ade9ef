//! The outputs of a run, opened, from the sinks of a job file and from flags.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::Duration;

use dataflows::model;

use super::what::{Subject, written_to};
use crate::args::{self, Replay};
use crate::job::{self, Exported, FileFormat, Format, Output, Target};
use crate::run::places::place;
use crate::run::{Form, Kept, Origin, Outputs};
use crate::sink::buffer::Place;
use crate::sink::delivery::Delivery;
use crate::sink::selection::Selection;
use crate::sink::{Sink, SinkError, Stop, Terms, export, kafka, postgres, redis, webhook};
use crate::state::Secret;

/// How long differences are gathered for a file unless it is said, in wall time.
pub(super) const GATHER: Duration = Duration::from_secs(60);

/// Opens the outputs; where a flag names a file, it takes the place of the job's sinks. `None` if
/// the run was told to stop meanwhile.
pub(super) fn outputs(
    arguments: &Replay,
    subject: &Subject,
    kept: Option<&Kept>,
    stop: &Stop,
) -> Result<Option<Outputs>, SinkError> {
    let mut outputs =
        Outputs { until: arguments.until, sources: origins(subject), ..Outputs::default() };
    let wanted = arguments.format.map(|format| match format {
        args::Format::Json => Form::Json,
        args::Format::Text => Form::Text,
    });
    for sink in subject.sinks.iter().filter(|sink| !is_overridden(arguments, sink.of)) {
        let made = match &sink.target {
            Target::Stdout => Sink::stdout()?,
            Target::File(path) => file(path, kept)?,
            _ => {
                let Some(delivery) = delivery(subject, sink, kept, stop)? else { return Ok(None) };
                let deliveries = &mut outputs.deliveries;
                match sink.of {
                    Output::Differences => deliveries.differences.push(delivery),
                    Output::Late => deliveries.late.push(delivery),
                    Output::Rejected => deliveries.rejected.push(delivery),
                }
                continue;
            }
        };
        let form = match sink.format {
            Format::Json => Form::Json,
            Format::Text => Form::Text,
        };
        match sink.of {
            Output::Differences => outputs.differences.push((made, wanted.unwrap_or(form))),
            Output::Late => outputs.late.push(made),
            Output::Rejected => outputs.rejected.push(made),
        }
    }
    for it in subject.exports.iter().filter(|_| !is_overridden(arguments, Output::Differences)) {
        let Some(delivery) = export(subject, it, kept, stop)? else { return Ok(None) };
        outputs.deliveries.differences.push(delivery);
    }
    if let Some(path) = &arguments.out {
        outputs.differences = vec![(Sink::file(path)?, wanted.unwrap_or(Form::Json))];
    } else if outputs.differences.is_empty() && outputs.deliveries.differences.is_empty() {
        let usual = if io::stdout().is_terminal() { Form::Text } else { Form::Json };
        outputs.differences.push((Sink::stdout()?, wanted.unwrap_or(usual)));
    }
    if let Some(path) = &arguments.late {
        outputs.late = vec![Sink::file(path)?];
    }
    if let Some(path) = &arguments.rejected {
        outputs.rejected = vec![Sink::file(path)?];
    }
    Ok(Some(outputs))
}

/// A file, in place of any old one or where an earlier run has left it.
fn file(path: &Path, kept: Option<&Kept>) -> Result<Sink, SinkError> {
    match kept.and_then(|kept| kept.resumed.position(&path.display().to_string())) {
        Some(length) => Sink::resume(path, length),
        None => Sink::file(path),
    }
}

fn is_overridden(arguments: &Replay, of: Output) -> bool {
    match of {
        Output::Differences => arguments.out.is_some(),
        Output::Late => arguments.late.is_some(),
        Output::Rejected => arguments.rejected.is_some(),
    }
}

/// A sink that delivers, opened. `None` if the run was told to stop meanwhile.
fn delivery(
    subject: &Subject,
    sink: &job::Sink,
    kept: Option<&Kept>,
    stop: &Stop,
) -> Result<Option<Box<dyn Delivery>>, SinkError> {
    let resumes = kept.and_then(|kept| kept.resumed.before());
    let rebuild = subject.rebuild.contains(&sink.name);
    let attributes = attributes(std::slice::from_ref(sink));
    let terms = Terms { attributes, ..terms(&sink.segments, sink.buffer.as_ref(), stop) };
    let opened = match &sink.target {
        Target::Topic(to) => kafka::open(written_to(&subject.name, to), terms)?,
        Target::Redis(to) => {
            let settings = redis_of(&subject.name, sink, to, rebuild);
            redis::open(settings, resumes, terms)?
        }
        Target::Postgres(to) => {
            let settings = postgres_of(&subject.name, sink, to, rebuild);
            postgres::open(settings, resumes, terms)?
        }
        Target::Webhook(to) => webhook::open(webhook_of(&subject.name, &sink.name, to), terms)?,
        Target::Stdout | Target::File(_) => unreachable!("what is written line by line"),
    };
    Ok(opened.map(|courier| -> Box<dyn Delivery> { Box::new(courier) }))
}

/// An export, opened. `None` if the run was told to stop meanwhile.
fn export(
    subject: &Subject,
    export: &job::Export,
    kept: Option<&Kept>,
    stop: &Stop,
) -> Result<Option<Box<dyn Delivery>>, SinkError> {
    let resumes = kept.and_then(|kept| kept.resumed.before());
    let opened = export::open(
        export_of(&subject.name, &export.name, export.format),
        what_of(export),
        place(&export.name, &export.to)?,
        (resumes, terms(&export.segments, export.buffer.as_ref(), stop)),
    )?;
    Ok(opened.map(|courier| -> Box<dyn Delivery> { Box::new(courier) }))
}

/// What is said of any output that delivers.
fn terms(segments: &[String], buffer: Option<&job::Buffer>, stop: &Stop) -> Terms {
    let place = |it: &job::Buffer| Place { folder: it.folder.clone(), bytes: it.bytes };
    Terms {
        selection: Selection::new(segments.to_vec()),
        attributes: Vec::new(),
        buffer: buffer.map(place),
        stop: stop.clone(),
    }
}

/// The attributes of users that any of these sinks is told of, in order, each once.
pub(super) fn attributes(sinks: &[job::Sink]) -> Vec<model::Path> {
    let asked = sinks.iter().filter_map(|sink| match &sink.target {
        Target::Postgres(to) => Some(&to.attributes),
        _ => None,
    });
    let mut attributes: Vec<_> = asked.flatten().cloned().collect();
    attributes.sort();
    attributes.dedup();
    attributes
}

/// An export, as it wants to be told.
pub(super) fn export_of(job: &str, name: &str, format: FileFormat) -> export::Settings {
    let format = match format {
        FileFormat::Csv => export::Format::Csv,
        FileFormat::Jsonl => export::Format::Jsonl,
        FileFormat::Parquet => export::Format::Parquet,
    };
    export::Settings { job: job.to_owned(), name: name.to_owned(), format }
}

/// Which of the two an export is, and when.
fn what_of(export: &job::Export) -> export::What {
    match export.of {
        Exported::Differences => {
            let every = export.every.map_or(GATHER, |every| {
                Duration::from_millis(u64::try_from(every.ms()).unwrap_or(0))
            });
            export::What::Differences(every)
        }
        Exported::Users => {
            let share = export.when_changed.map(export::Share::of_millionths);
            export::What::Users(export::Schedule::new(export.every, share))
        }
    }
}

/// Whether the settings of a sink can be such. Nothing is connected to.
pub(super) fn check(job: &str, sink: &job::Sink) -> Result<(), SinkError> {
    match &sink.target {
        Target::Stdout | Target::File(_) => {}
        Target::Topic(to) => written_to(job, to).check()?,
        Target::Redis(to) => redis_of(job, sink, to, false).check()?,
        Target::Postgres(to) => postgres_of(job, sink, to, false).check()?,
        Target::Webhook(to) => webhook_of(job, &sink.name, to).check()?,
    }
    Ok(())
}

/// A Redis server, as its sink wants to be told.
fn redis_of(job: &str, sink: &job::Sink, to: &job::ToRedis, rebuild: bool) -> redis::Settings {
    redis::Settings {
        job: job.to_owned(),
        name: sink.name.clone(),
        url: to.url.reveal().to_owned(),
        ca: to.ca.clone(),
        prefix: to.prefix.clone(),
        rebuild,
    }
}

/// A PostgreSQL database, as its sink wants to be told.
fn postgres_of(
    job: &str,
    sink: &job::Sink,
    to: &job::ToPostgres,
    rebuild: bool,
) -> postgres::Settings {
    postgres::Settings {
        job: job.to_owned(),
        name: sink.name.clone(),
        url: to.url.reveal().to_owned(),
        ca: to.ca.clone(),
        schema: to.schema.clone(),
        attributes: to.attributes.clone(),
        rebuild,
    }
}

/// An address that is posted to, as its sink wants to be told.
pub(super) fn webhook_of(job: &str, name: &str, to: &job::ToWebhook) -> webhook::Settings {
    let header = |(key, value): (&String, &Secret)| (key.clone(), value.reveal().to_owned());
    webhook::Settings {
        job: job.to_owned(),
        name: name.to_owned(),
        url: to.url.reveal().to_owned(),
        secret: to.secret.reveal().to_owned(),
        headers: to.headers.iter().map(header).collect(),
        batch: to.batch,
        linger: Duration::from_millis(u64::try_from(to.linger.ms()).unwrap_or(0)),
        attempts: to.attempts,
        folder: to.folder.clone(),
    }
}

/// The files, then the topics, then the collector.
pub(super) fn origins(subject: &Subject) -> Vec<Origin> {
    let files = subject.inputs.iter().map(|input| Origin::File(input.path.clone()));
    let topics = subject.topics.iter().flat_map(|it| it.settings.topics.iter().cloned());
    let collector = subject.collector.iter().map(|_| Origin::Collector);
    files.chain(topics.map(Origin::Topic)).chain(collector).collect()
}

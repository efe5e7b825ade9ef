//! The outputs of a run, opened, from the sinks of a job file and from flags.

use std::io::{self, IsTerminal};
use std::path::Path;

use super::what::{Subject, written_to};
use crate::args::{self, Replay};
use crate::job::{Format, Output, Target, ToTopic};
use crate::run::{Form, Kept, Origin, Outputs};
use crate::sink::delivery::Delivery;
use crate::sink::kafka::{KafkaSink, Stop};
use crate::sink::{Sink, SinkError};

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
            Target::Topic(to) => {
                let Some(delivery) = delivery(subject, to, stop)? else { return Ok(None) };
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

fn delivery(
    subject: &Subject,
    to: &ToTopic,
    stop: &Stop,
) -> Result<Option<Box<dyn Delivery>>, SinkError> {
    let opened = KafkaSink::open(written_to(&subject.name, to), stop.clone())?;
    Ok(opened.map(|sink| -> Box<dyn Delivery> { Box::new(sink) }))
}

/// The files, then the topics, then the collector.
pub(super) fn origins(subject: &Subject) -> Vec<Origin> {
    let files = subject.inputs.iter().map(|input| Origin::File(input.path.clone()));
    let topics = subject.topics.iter().flat_map(|it| it.settings.topics.iter().cloned());
    let collector = subject.collector.iter().map(|_| Origin::Collector);
    files.chain(topics.map(Origin::Topic)).chain(collector).collect()
}

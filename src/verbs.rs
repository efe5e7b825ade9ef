//! What each verb does, from its arguments to the code the program ends with.

mod apart;
mod cluster;
mod collecting;
mod estimate;
mod export;
mod exporting;
mod inspect_log;
mod kept;
mod outputs;
mod redeliver;
mod replay;
mod run;
mod serving;
mod state;
mod supervise;
mod tracing;
mod what;

use std::io::{self, Write};
use std::process::ExitCode;

use crate::args::{Arguments, Check, Schema, Verb};
use crate::job::Job;
use crate::say::{error, say, warn};
use crate::{bench, generate, schema};

pub use what::WhatError;

/// What keeps a verb from being carried out: told to people, with its causes.
pub type VerbError = Box<dyn std::error::Error>;

/// `verify` found a difference, or `state --check` damage.
const DIFFERS: u8 = 1;

/// Does what was asked.
///
/// # Errors
/// Usage, configuration, input or output.
pub fn carry_out(arguments: Arguments) -> Result<ExitCode, VerbError> {
    match arguments.verb {
        Verb::Replay(arguments) => replay::replay(&arguments)?,
        Verb::Run(arguments) if arguments.supervise => return Ok(supervise::supervise()?),
        Verb::Run(arguments) => run::run(&arguments)?,
        Verb::Check(arguments) => check(&arguments)?,
        Verb::Verify(arguments) => {
            if !inspect_log::verify(&arguments)? {
                return Ok(ExitCode::from(DIFFERS));
            }
        }
        Verb::Explain(arguments) => inspect_log::explain(&arguments)?,
        Verb::Estimate(arguments) => estimate::estimate(&arguments)?,
        Verb::Generate(arguments) => match generate::run(&arguments) {
            Ok(generate::Summary { records, copies, bytes }) => say(format_args!(
                "{records} records, {copies} copies of some of them, {bytes} bytes"
            )),
            Err(generate::GenerateError::Closed) => {}
            Err(error) => return Err(error.into()),
        },
        Verb::Bench(arguments) => print(bench::run(&arguments)?.as_bytes())?,
        Verb::State(arguments) => {
            if !state::state(&arguments)? {
                return Ok(ExitCode::from(DIFFERS));
            }
        }
        Verb::Redeliver(arguments) => redeliver::redeliver(&arguments)?,
        Verb::Export(arguments) => export::export(&arguments)?,
        Verb::Schema(arguments) => print_schema(&arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn check(arguments: &Check) -> Result<(), VerbError> {
    let (segments, changes, job) = match &arguments.job {
        Some(path) => {
            let job = Job::load(path)?;
            for topics in &job.topics {
                what::topics_of(topics).settings.check()?;
            }
            for sink in &job.sinks {
                outputs::check(&job.name, sink)?;
            }
            if let Some(trace) = &job.trace {
                tracing::check(&job.name, trace)?;
            }
            (job.segments.clone(), arguments.changes.clone().or(job.changes.clone()), Some(job))
        }
        None => (arguments.segments.clone().unwrap_or_default(), arguments.changes.clone(), None),
    };
    let checked = what::definitions(&segments, changes.as_deref())?;
    if !checked.refused.is_empty() {
        return Err(WhatError::Changes(checked.refused.join("\n")).into());
    }
    let (count, edits) = (checked.timeline.initial.len(), checked.timeline.edits.len());
    let changes =
        if edits == 0 { String::new() } else { format!(", {}", counted(edits, "change")) };
    match job {
        Some(job) => say(format_args!(
            "job {:?} is fine: {}{changes}, {}",
            job.name,
            counted(count, "segment"),
            counted(inputs(&job), "input")
        )),
        None => say(format_args!("{}{changes}: all fine", counted(count, "segment"))),
    }
    Ok(())
}

/// How many files, topics and collectors a job reads.
fn inputs(job: &Job) -> usize {
    let files = job.sources.iter().map(|source| source.inputs.len());
    let topics = job.topics.iter().map(|source| source.topics.len());
    files.chain(topics).chain(job.collector.iter().map(|_| 1)).sum()
}

fn print_schema(arguments: &Schema) -> Result<(), VerbError> {
    let text = schema::schema(&arguments.name).unwrap_or_default();
    print(text.as_bytes())
}

/// Writes data to standard output. A reader that has gone is no error.
fn print(data: &[u8]) -> Result<(), VerbError> {
    let mut out = io::stdout().lock();
    match out.write_all(data).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

//! `replay`: files in, differences out, then stop.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::Instant;

use serde_json::json;
use thiserror::Error;

use super::what::{Subject, subject};
use super::{VerbError, say};
use crate::args::{self, Replay, Workers};
use crate::job::{Format, Output, Target};
use crate::run::{self, Cluster, Form, Outputs, Run, RunError, Summary};
use crate::sink::{Sink, SinkError};

/// What is wrong with the processes of a cluster, or with where statistics go.
#[derive(Debug, Error)]
enum ReplayError {
    #[error("cannot read the hosts file {path}: {cause}")]
    Hosts { path: String, cause: io::Error },
    #[error("{path}: line {line}: {text:?} is not host:port")]
    Host { path: String, line: usize, text: String },
    #[error("--process {process}, but {path} names {hosts} processes, from 0")]
    Process { process: usize, hosts: usize, path: String },
    #[error("cannot write {path}: {cause}")]
    Stats { path: String, cause: io::Error },
}

/// Replays.
pub(super) fn replay(arguments: &Replay) -> Result<(), VerbError> {
    let began = Instant::now();
    let subject = subject(&arguments.what)?;
    for refused in &subject.definitions.refused {
        say(format_args!("refused: {refused}"));
    }
    let cluster = cluster(&arguments.workers)?;
    // Everything comes out on the first process; the others write nothing.
    let writes = cluster.process == 0;
    let outputs = if writes { outputs(arguments, &subject)? } else { Outputs::default() };
    let summary = match run::run(run_of(subject, cluster), outputs) {
        Ok((summary, _)) => summary,
        Err(RunError::Sink(SinkError::Closed)) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if writes {
        let cost = Cost::since(began);
        tell(&summary, &cost);
        if let Some(path) = &arguments.stats {
            write_stats(path, &summary, &cost)?;
        }
    }
    Ok(())
}

/// The run a subject asks for.
pub(super) fn run_of(subject: Subject, cluster: Cluster) -> Run {
    Run {
        inputs: subject.inputs,
        timeline: subject.definitions.timeline,
        clock: subject.clock,
        retain: subject.retain,
        cluster,
    }
}

fn cluster(workers: &Workers) -> Result<Cluster, ReplayError> {
    let (threads, process) = (usize::from(workers.workers), workers.process.unwrap_or(0));
    let Some(path) = &workers.hosts else {
        return Ok(Cluster { workers: threads, process: 0, hosts: Vec::new() });
    };
    let shown = path.display().to_string();
    let text = fs::read_to_string(path)
        .map_err(|cause| ReplayError::Hosts { path: shown.clone(), cause })?;
    let mut hosts = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let host = line.trim();
        if host.is_empty() || host.starts_with('#') {
            continue;
        }
        let port = host.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none() {
            let text = host.to_owned();
            return Err(ReplayError::Host { path: shown, line: index + 1, text });
        }
        hosts.push(host.to_owned());
    }
    if process >= hosts.len() {
        return Err(ReplayError::Process { process, hosts: hosts.len(), path: shown });
    }
    Ok(Cluster { workers: threads, process, hosts })
}

fn outputs(arguments: &Replay, subject: &Subject) -> Result<Outputs, SinkError> {
    let mut outputs = Outputs {
        until: arguments.until,
        sources: subject.inputs.iter().map(|input| input.path.clone()).collect(),
        ..Outputs::default()
    };
    let wanted = arguments.format.map(|format| match format {
        args::Format::Json => Form::Json,
        args::Format::Text => Form::Text,
    });
    for sink in &subject.sinks {
        let made = match &sink.target {
            Target::Stdout => Sink::stdout(),
            Target::File(path) => Sink::file(path)?,
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
    } else if outputs.differences.is_empty() {
        let usual = if io::stdout().is_terminal() { Form::Text } else { Form::Json };
        outputs.differences.push((Sink::stdout(), wanted.unwrap_or(usual)));
    }
    if let Some(path) = &arguments.late {
        outputs.late = vec![Sink::file(path)?];
    }
    if let Some(path) = &arguments.rejected {
        outputs.rejected = vec![Sink::file(path)?];
    }
    Ok(outputs)
}

/// What a run cost.
struct Cost {
    wall_s: f64,
    cpu_s: f64,
    peak_bytes: u64,
}

impl Cost {
    fn since(began: Instant) -> Self {
        use nix::sys::resource::{UsageWho, getrusage};
        use nix::sys::time::TimeValLike;
        let wall_s = began.elapsed().as_secs_f64();
        let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else {
            return Cost { wall_s, cpu_s: 0.0, peak_bytes: 0 };
        };
        let spent = usage.user_time() + usage.system_time();
        let peak_kib = u64::try_from(usage.max_rss()).unwrap_or(0);
        Cost { wall_s, cpu_s: spent.num_microseconds() as f64 / 1e6, peak_bytes: peak_kib * 1_024 }
    }
}

fn tell(summary: &Summary, cost: &Cost) {
    let tally = &summary.tally;
    say(format_args!(
        "read {} = applied {} + late {} + rejected {} + duplicate {}; {} differences in {:.1} s",
        summary.read(),
        tally.applied,
        tally.late,
        tally.rejected,
        tally.duplicate,
        summary.differences,
        cost.wall_s
    ));
    for (segment, count) in &tally.mismatches {
        say(format_args!("segment {segment}: {count} values of the wrong type"));
    }
}

fn write_stats(path: &Path, summary: &Summary, cost: &Cost) -> Result<(), ReplayError> {
    let tally = &summary.tally;
    let mismatches: serde_json::Map<_, _> = tally
        .mismatches
        .iter()
        .map(|(segment, count)| (segment.to_string(), json!(count)))
        .collect();
    let stats = json!({
        "read": summary.read(),
        "applied": tally.applied,
        "late": tally.late,
        "rejected": tally.rejected,
        "duplicate": tally.duplicate,
        "differences": summary.differences,
        "mismatches": mismatches,
        "wall_s": cost.wall_s,
        "cpu_s": cost.cpu_s,
        "peak_bytes": cost.peak_bytes,
    });
    let written = fs::write(path, format!("{stats}\n"));
    written.map_err(|cause| ReplayError::Stats { path: path.display().to_string(), cause })
}

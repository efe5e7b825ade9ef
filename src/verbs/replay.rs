//! `replay`: files in, differences out, then stop.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use super::apart::apart;
use super::cluster::cluster;
use super::kept::kept;
use super::outputs::{attributes, origins, outputs};
use super::what::{Subject, subject};
use super::{VerbError, counted, say, warn};
use crate::args::Replay;
use crate::job::{Output, Target};
use crate::run::{self, Cluster, Kept, Live, Outputs, Run, RunError, Summary};
use crate::sink::{Sink, SinkError};
use crate::source::SourceError;

/// Replays.
pub(super) fn replay(arguments: &Replay) -> Result<(), VerbError> {
    carry_out(arguments, subject(&arguments.what)?, None)
}

/// Replays, or runs, where it is live.
pub(super) fn carry_out(
    arguments: &Replay,
    mut subject: Subject,
    live: Option<Live>,
) -> Result<(), VerbError> {
    let began = Instant::now();
    for refused in &subject.definitions.refused {
        warn(format_args!("refused: {refused}"));
    }
    if subject.state.is_some() && live.is_none() {
        say(format_args!("a replay keeps no state: it reads all and starts from nothing"));
    }
    let cluster = cluster(&arguments.workers, &subject)?;
    // Everything comes out on the first process; the others write nothing.
    let writes = cluster.process == 0;
    if writes {
        apart(&read(arguments, &subject), &written(arguments, &subject))?;
    }
    // Before any output is made anew: a mistyped input must not cost an old output.
    for input in subject.inputs.iter().filter(|input| input.path != Path::new("-")) {
        let open = |cause| SourceError::Open { path: input.path.clone(), cause };
        fs::metadata(&input.path).map_err(open)?;
    }
    let kept = if live.is_some() { kept(&mut subject)? } else { None };
    kept.iter().for_each(|kept| read_ahead(kept, &cluster));
    let stop = live.as_ref().map(|live| Arc::clone(&live.stop));
    let outputs = match writes {
        true => outputs(arguments, &subject, kept.as_ref(), &stop)?,
        false => Some(Outputs { sources: origins(&subject), ..Outputs::default() }),
    };
    let Some(outputs) = outputs else { return Ok(()) }; // told to stop before there was anything
    if !cluster.hosts.is_empty() {
        Sink::divert_prints();
    }
    let stats = arguments.stats.as_deref().filter(|_| writes).map(Sink::file).transpose()?;
    let run = Run { live, state: kept, ..run_of(subject, cluster) };
    let summary = match run::run(run, outputs) {
        Ok((summary, _)) => summary,
        Err(RunError::Sink(SinkError::Closed)) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if writes {
        let cost = Cost::since(began);
        tell(&summary, &cost);
        if let Some(sink) = stats {
            write_stats(sink, &summary, &cost)?;
        }
    }
    Ok(())
}

/// Begins to read what the workers of this process are to go on from.
fn read_ahead(kept: &Kept, cluster: &Cluster) {
    let (own, processes) = (cluster.workers, cluster.hosts.len().max(1));
    let first = cluster.process * own;
    kept.resumed.read_ahead(first..first + own, own * processes);
}

/// The run a subject asks for.
pub(super) fn run_of(subject: Subject, cluster: Cluster) -> Run {
    Run {
        inputs: subject.inputs,
        timeline: subject.definitions.timeline,
        clock: subject.clock,
        attributes: attributes(&subject.sinks),
        retain: subject.retain,
        cluster,
        live: None,
        state: None,
    }
}

/// Every file that is read.
fn read(arguments: &Replay, subject: &Subject) -> Vec<PathBuf> {
    let what = &arguments.what;
    let workers = &arguments.workers;
    let named = [&what.job, &what.segments, &what.changes, &workers.hosts, &workers.secret_file];
    let events = subject.inputs.iter().map(|input| input.path.clone());
    named.into_iter().flatten().cloned().chain(events).collect()
}

/// Every file that is written, and by whose word.
fn written(arguments: &Replay, subject: &Subject) -> Vec<(String, PathBuf)> {
    let flags = [
        ("--out", &arguments.out),
        ("--late", &arguments.late),
        ("--rejected", &arguments.rejected),
        ("--stats", &arguments.stats),
    ];
    let mut written: Vec<_> = flags
        .into_iter()
        .filter_map(|(flag, path)| Some((flag.to_owned(), path.clone()?)))
        .collect();
    for sink in &subject.sinks {
        let overridden = match sink.of {
            Output::Differences => &arguments.out,
            Output::Late => &arguments.late,
            Output::Rejected => &arguments.rejected,
        };
        if let (Target::File(path), None) = (&sink.target, overridden) {
            written.push(("a sink of the job".to_owned(), path.clone()));
        }
    }
    written
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
    let (tally, memory) = (&summary.tally, &summary.memory);
    let many = |count: u64, what| counted(usize::try_from(count).unwrap_or(usize::MAX), what);
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    // The users are counted as of the last event, before time empties all windows.
    say(format_args!(
        "read {} = applied {} + late {} + rejected {} + duplicate {}; {} in {:.1} s; \
         {} and {} in windows took {:.1} MB, the process {:.0} MB",
        summary.read(),
        tally.applied,
        tally.late,
        tally.rejected,
        tally.duplicate,
        many(summary.differences, "difference"),
        cost.wall_s,
        many(memory.users, "user"),
        many(memory.events, "event"),
        megabytes(memory.bytes()),
        megabytes(cost.peak_bytes),
    ));
    if summary.waiting > 0 {
        say(format_args!(
            "{} read besides, at times the watermark has not passed: not applied",
            many(summary.waiting, "record")
        ));
    }
    for (segment, count) in &tally.mismatches {
        let values = counted(usize::try_from(*count).unwrap_or(usize::MAX), "value");
        warn(format_args!("segment {segment}: {values} of the wrong type"));
    }
}

fn write_stats(mut sink: Sink, summary: &Summary, cost: &Cost) -> Result<(), SinkError> {
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
        "memory": summary.memory,
        "memory_bytes": summary.memory.bytes(),
        "waiting": summary.waiting,
        "partitions": summary.lags,
        "wall_s": cost.wall_s,
        "cpu_s": cost.cpu_s,
        "peak_bytes": cost.peak_bytes,
    });
    sink.write(format!("{stats}\n").as_bytes())?;
    sink.finish()
}

//! `run`: a job, until it is told to stop.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use super::collecting::collector;
use super::replay::carry_out;
use super::serving::{Serving, serving};
use super::supervise::end_without;
use super::tracing::tracing;
use super::what::{Subject, WhatError, definitions, live_subject};
use super::{VerbError, counted, say};
use crate::args::{Replay, Run, RunUntil, What};
use crate::definitions::Watch;
use crate::ingest::Wall;
use crate::job::{self, Target};
use crate::mesh::IsEdited;
use crate::run::{Live, Until};
use crate::serve::Sketches;
use crate::trace::Tracing;

/// Runs a job.
pub(super) fn run(arguments: &Run) -> Result<(), VerbError> {
    let arguments_of_replay = as_replay(arguments);
    let mut subject = live_subject(&arguments_of_replay.what)?;
    subject.rebuild = rebuilt(arguments, &subject)?;
    let read_now = Arc::new(AtomicBool::new(false));
    let watch = watched(arguments, &subject, &read_now)?;
    let collector = collector(arguments, &subject)?;
    let serving = serving(arguments, &subject, &read_now, collector.as_ref())?;
    let tracing = tracing(&subject, &arguments.workers)?;
    if let (Some(serving), Some(tracing)) = (&serving, &tracing) {
        serving.view().metrics().add(|registry| tracing.tracer().measure(registry));
    }
    // In every process: where a record is read it is known whether it counts.
    let sketches = subject.serve.as_ref().and_then(|serve| serve.sketches.as_ref());
    let live = Live {
        topics: subject.topics.clone(),
        log: collector.as_ref().map(|it| Arc::clone(it.log())),
        is_endless: !subject.topics.is_empty() || subject.collector.is_some(),
        wall: Wall::system(),
        until_caught_up: arguments.until == Some(RunUntil::CaughtUp),
        is_supervised: arguments.supervised_by.is_some(),
        is_edited: is_edited(&subject),
        stop: told_to_stop()?,
        counted: sketches.map(Sketches::streams).unwrap_or_default(),
        watch,
        view: serving.as_ref().map(Serving::view),
        tracer: tracing.as_ref().map(Tracing::tracer),
    };
    if let Some(supervisor) = arguments.supervised_by {
        end_without(supervisor, &live.stop);
    }
    let topics = live.topics.iter().map(|it| it.settings.topics.len()).sum();
    say(format_args!(
        "running {}: {}, {}{}; Ctrl-C ends it",
        arguments.job.display(),
        counted(topics, "topic"),
        counted(subject.inputs.len(), "file"),
        if subject.collector.is_some() { ", clients" } else { "" }
    ));
    // It answers until the run has ended.
    let done = carry_out(&arguments_of_replay, subject, Some(live));
    drop((serving, tracing));
    done
}

/// The sinks that are to be rebuilt; each must be one that can be.
fn rebuilt(arguments: &Run, subject: &Subject) -> Result<Vec<String>, WhatError> {
    let can_be = |sink: &&job::Sink| matches!(sink.target, Target::Redis(_) | Target::Postgres(_));
    let names: Vec<_> = subject.sinks.iter().filter(can_be).map(|sink| &sink.name).collect();
    for name in &arguments.rebuild {
        if !names.contains(&name) {
            let hint = match names.as_slice() {
                [] => "the job has none of kind redis or postgres".to_owned(),
                names => format!("there is {}", said(names)),
            };
            return Err(WhatError::Rebuild(name.clone(), hint));
        }
    }
    Ok(arguments.rebuild.clone())
}

fn said(names: &[&String]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

/// The watch over the definitions, in the first process; the others are told. Changes that are
/// known in advance are all there are.
fn watched(
    arguments: &Run,
    subject: &Subject,
    read_now: &Arc<AtomicBool>,
) -> io::Result<Option<Watch>> {
    // Where nothing is watched, it must not end the process either.
    flag::register(SIGHUP, Arc::clone(read_now))?;
    let is_first = arguments.workers.process.unwrap_or(0) == 0;
    let is_watched = is_first && !subject.has_changes;
    Ok(is_watched.then(|| Watch::begin(subject.segments.clone(), Arc::clone(read_now))))
}

/// Whether the definitions are not what was read of them. What cannot be read is no edit.
fn is_edited(subject: &Subject) -> IsEdited {
    let (segments, read) = (subject.segments.clone(), Arc::clone(&subject.definitions.timeline));
    let now = move || definitions(&segments, None).map(|now| now.timeline);
    Arc::new(move || now().is_ok_and(|now| now.initial != read.initial))
}

/// The same of a replay, of which a run is the live form.
fn as_replay(run: &Run) -> Replay {
    Replay {
        what: What {
            job: Some(run.job.clone()),
            segments: None,
            events: Vec::new(),
            changes: None,
            retain: None,
            clock: run.clock.clone(),
        },
        out: None,
        format: run.format,
        until: Until::End,
        late: None,
        rejected: None,
        stats: run.stats.clone(),
        workers: run.workers.clone(),
    }
}

/// What becomes true with the first signal to end. The second ends the program as if nothing were
/// done about it.
pub(super) fn told_to_stop() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        flag::register_conditional_default(signal, Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

//! What a run is about, from a job file or from flags: inputs, definitions, the settings of time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dataflows::catalog::Timeline;
use dataflows::clock::{ClockSettings, Emit};
use dataflows::model::Duration;
use thiserror::Error;

use crate::args::{Clock, EmitWhen, What};
use crate::definitions::{Problems, load, load_changes};
use crate::format::Mapping;
use crate::job::{
    self, ClusterSettings, Collector, Export, Input, Job, JobError, Sink, StateSettings,
    TraceSettings,
};
use crate::run::{InputFile, Origin, Topics};
use crate::serve;
use crate::sink::kafka as kafka_sink;
use crate::source::kafka::{Settings, Start};

/// What is wrong with what a run is about.
#[derive(Debug, Error)]
pub enum WhatError {
    /// With the job file.
    #[error(transparent)]
    Job(#[from] JobError),
    /// With the definitions.
    #[error(transparent)]
    Definitions(#[from] Problems),
    /// With changes that were to be made to them.
    #[error("{0}")]
    Changes(String),
    /// With the settings of time.
    #[error("{0}")]
    Clock(String),
    /// No sink of the job that can be rebuilt has this name.
    #[error("--rebuild {0}: no sink that can be rebuilt is called so; {1}")]
    Rebuild(String, String),
    /// It reads topics, which have no end.
    #[error("{} reads topics of Kafka, which have no end: try  rivulet run {}", .0.display(), .0.display())]
    Topics(PathBuf),
    /// It is sent records, without end.
    #[error("{} is sent records by clients, without end: try  rivulet run {}", .0.display(), .0.display())]
    Collector(PathBuf),
}

/// What a run is about.
pub(super) struct Subject {
    /// The name of its job, if there is a job file.
    pub(super) name: String,
    /// Where records come from.
    pub(super) inputs: Vec<InputFile>,
    /// The topics they come from, too.
    pub(super) topics: Vec<Topics>,
    /// What clients send to.
    pub(super) collector: Option<Collector>,
    /// Where the definitions are.
    pub(super) segments: PathBuf,
    /// The definitions and their changes.
    pub(super) definitions: Definitions,
    /// The settings of time.
    pub(super) clock: ClockSettings,
    /// How far back new definitions see.
    pub(super) retain: Option<Duration>,
    /// Where a job file sends the outputs.
    pub(super) sinks: Vec<Sink>,
    /// What a job file has written as files for those who read tables.
    pub(super) exports: Vec<Export>,
    /// The sinks whose contents are to be written anew.
    pub(super) rebuild: Vec<String>,
    /// Where it keeps its state, and what it is called there.
    pub(super) state: Option<(StateSettings, String)>,
    /// Where it answers.
    pub(super) serve: Option<serve::Settings>,
    /// How its processes keep together.
    pub(super) cluster: ClusterSettings,
    /// Where it tells what becomes of a few records.
    pub(super) trace: Option<TraceSettings>,
    /// Whether definitions change at times that are known in advance.
    pub(super) has_changes: bool,
}

/// Definitions, and the changes that were refused.
pub(super) struct Definitions {
    /// What is in force when.
    pub(super) timeline: Arc<Timeline>,
    /// A line for each change that cannot be made, and why. What it would have changed stays.
    pub(super) refused: Vec<String>,
}

/// Reads definitions and their changes.
pub(super) fn definitions(
    segments: &Path,
    changes: Option<&Path>,
) -> Result<Definitions, WhatError> {
    let catalog = load(segments)?.catalog;
    let Some(path) = changes else {
        let (timeline, _) = Timeline::accept(catalog, Vec::new());
        return Ok(Definitions { timeline: Arc::new(timeline), refused: Vec::new() });
    };
    let changes = load_changes(path)?;
    let mut refused: Vec<String> = changes.problems.iter().map(ToString::to_string).collect();
    let (lines, edits): (Vec<_>, Vec<_>) = changes.edits.into_iter().unzip();
    let (timeline, refusals) = Timeline::accept(catalog, edits);
    for (number, refusal) in refusals {
        let line = lines.get(number).copied().unwrap_or_default();
        refused.push(format!("{}: line {line}: {refusal}", path.display()));
    }
    Ok(Definitions { timeline: Arc::new(timeline), refused })
}

/// Works out what the arguments mean, of what has an end.
pub(super) fn subject(what: &What) -> Result<Subject, WhatError> {
    let subject = live_subject(what)?;
    match &what.job {
        Some(path) if !subject.topics.is_empty() => Err(WhatError::Topics(path.clone())),
        Some(path) if subject.collector.is_some() => Err(WhatError::Collector(path.clone())),
        _ => Ok(subject),
    }
}

/// Works out what the arguments mean.
pub(super) fn live_subject(what: &What) -> Result<Subject, WhatError> {
    let (mut topics, mut name, mut serve, mut collector) = (Vec::new(), String::new(), None, None);
    let (mut cluster, mut exports, mut trace) = (ClusterSettings::default(), Vec::new(), None);
    let (inputs, segments, changes, clock, retain, sinks, state) = match &what.job {
        Some(path) => {
            let job = Job::load(path)?;
            let inputs = inputs_of(&job);
            name = job.name.clone();
            serve = job.serve.clone();
            cluster = job.cluster.clone();
            trace = job.trace.clone();
            exports = job.exports.clone();
            collector = job.collector.clone();
            topics = job.topics.iter().map(topics_of).collect();
            let state = job.state.clone().map(|state| (state, job.name.clone()));
            (inputs, job.segments, job.changes, Some(job.clock), job.retain, job.sinks, state)
        }
        None => {
            let input =
                |path: &PathBuf| InputFile { path: path.clone(), mapping: Mapping::default() };
            let inputs = what.events.iter().map(input).collect();
            let segments = what.segments.clone().unwrap_or_default();
            (inputs, segments, None, None, None, Vec::new(), None)
        }
    };
    let changes = what.changes.clone().or(changes);
    Ok(Subject {
        name,
        inputs,
        topics,
        collector,
        definitions: definitions(&segments, changes.as_deref())?,
        segments,
        clock: settings(&what.clock, clock)?,
        retain: what.retain.or(retain),
        sinks,
        exports,
        rebuild: Vec::new(),
        state,
        serve,
        cluster,
        trace,
        has_changes: changes.is_some(),
    })
}

/// The names of what a job reads, in the order that indexes of partitions have.
pub(super) fn sources_of(job: &Job) -> Vec<String> {
    let files = inputs_of(job).into_iter().map(|input| Origin::File(input.path));
    let topics = job.topics.iter().flat_map(|it| it.topics.iter().cloned().map(Origin::Topic));
    let collector = job.collector.iter().map(|_| Origin::Collector);
    files.chain(topics).chain(collector).map(|it| it.to_string()).collect()
}

fn inputs_of(job: &Job) -> Vec<InputFile> {
    let mut inputs = Vec::new();
    for source in &job.sources {
        for input in &source.inputs {
            let path = match input {
                Input::Stdin => PathBuf::from("-"),
                Input::File(path) => path.clone(),
            };
            inputs.push(InputFile { path, mapping: source.mapping.clone() });
        }
    }
    inputs
}

/// Topics, as their source wants to be told.
pub(super) fn topics_of(job: &job::Topics) -> Topics {
    let start = match job.start {
        job::Start::Earliest => Start::Earliest,
        job::Start::Latest => Start::Latest,
        job::Start::Committed => Start::Committed,
        job::Start::At(time) => Start::At(time),
    };
    let settings = Settings {
        brokers: job.brokers.clone(),
        topics: job.topics.clone(),
        start,
        go_on: BTreeMap::new(),
        group: job.group.clone(),
        options: job.options.0.clone(),
    };
    Topics { settings, mapping: job.mapping.clone() }
}

/// A topic that is written, as its sink wants to be told.
pub(super) fn written_to(job: &str, to: &job::ToTopic) -> kafka_sink::Settings {
    kafka_sink::Settings {
        brokers: to.brokers.clone(),
        job: job.to_owned(),
        topic: to.topic.clone(),
        users_topic: to.users_topic.clone(),
        partitions: to.partitions.into(),
        options: to.options.0.clone(),
    }
}

/// Flags over a job file's settings over the defaults.
fn settings(flags: &Clock, job: Option<ClockSettings>) -> Result<ClockSettings, WhatError> {
    let mut settings = job.unwrap_or_default();
    if let Some(disorder) = flags.max_out_of_orderness {
        if settings.dedup_horizon == settings.max_out_of_orderness {
            settings.dedup_horizon = disorder; // it follows, unless it was set
        }
        settings.max_out_of_orderness = disorder;
    }
    settings.idle_timeout = flags.idle_timeout.unwrap_or(settings.idle_timeout);
    settings.max_ahead = flags.max_ahead.unwrap_or(settings.max_ahead);
    settings.dedup_horizon = flags.dedup_horizon.unwrap_or(settings.dedup_horizon);
    settings.granularity = flags.granularity.unwrap_or(settings.granularity);
    settings.emit = match flags.emit {
        Some(EmitWhen::OnWatermark) => Emit::OnWatermark,
        Some(EmitWhen::OnEvent) => Emit::OnEvent,
        None => settings.emit,
    };
    if settings.granularity.ms() == 0 {
        return Err(WhatError::Clock("granularity must be above 0; try 1m".to_owned()));
    }
    Ok(settings)
}

//! The tree of a job file to a [`Job`].

mod buffers;
mod cluster;
mod exports;
mod http;
mod options;
mod serve;
mod servers;
mod sinks;
mod sketches;
mod state;
mod topics;
mod trace;
mod webhooks;
mod written;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dataflows::clock::{ClockSettings, Emit};
use dataflows::model;
use dataflows::rule::reader::{Fault, Named, Node, Reader};
use serde_json::Value as Json;

use super::tree::expand;
use super::{Collector, Input, Job, Source, StateSettings, Topics};
use crate::format::Mapping;
use crate::state::Location;

const JOB_KEYS: &[&str] = &[
    "name", "segments", "changes", "retain", "clock", "source", "sink", "export", "state", "serve",
    "cluster", "trace",
];
const CLOCK_KEYS: &[&str] =
    &["emit", "max_out_of_orderness", "idle_timeout", "max_ahead", "dedup_horizon", "granularity"];
/// Time where there are clients. Those of Segment hold events back for ten seconds; what they send
/// again has its old time, but what has none of its own is stamped anew.
const FOR_CLIENTS: ClockSettings = ClockSettings {
    emit: Emit::OnWatermark,
    max_out_of_orderness: model::Duration::from_ms(15_000),
    idle_timeout: model::Duration::from_ms(10_000),
    max_ahead: model::Duration::from_ms(3_600_000),
    dedup_horizon: model::Duration::from_ms(60_000),
    granularity: model::Duration::from_ms(60_000),
};
const SOURCE_KEYS: &[&str] = &["kind", "path", "mapping"];
const MAPPING_KEYS: &[&str] =
    &["user", "time", "event", "id", "properties", "traits", "attribute", "value"];

/// A word, and what it stands for: nothing, for what comes in a later version.
struct Word<T: 'static>(&'static str, Option<T>);

impl<T> Named for Word<T> {
    fn word(&self) -> &'static str {
        self.0
    }
}

static EMITS: &[Word<Emit>] =
    &[Word("on_watermark", Some(Emit::OnWatermark)), Word("on_event", Some(Emit::OnEvent))];

#[derive(Clone, Copy, PartialEq)]
enum SourceKind {
    File,
    Kafka,
    Http,
}

static SOURCE_KINDS: &[Word<SourceKind>] = &[
    Word("file", Some(SourceKind::File)),
    Word("kafka", Some(SourceKind::Kafka)),
    Word("http", Some(SourceKind::Http)),
];

/// What one `[[source]]` reads.
enum Reads {
    Files(Source),
    Topics(Topics),
    Clients(Collector),
}

/// Reads a job that stands in the file `path`.
pub(super) fn job(
    tree: &Json,
    path: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Job, Vec<Fault>> {
    let expand = |text: &str| expand(text, environment);
    let mut job = JobReader {
        reader: Reader::expanding(&expand),
        expand: &expand,
        folder: path.parent().unwrap_or(Path::new("")),
        inputs: BTreeSet::new(),
        topics: BTreeSet::new(),
        has_collector: false,
        outputs: BTreeSet::new(),
        topics_written: BTreeSet::new(),
        sink_names: BTreeSet::new(),
        segments: None,
        places: BTreeSet::new(),
        state_folder: None,
    };
    let fallback = path.file_stem().map_or_else(|| "job".into(), |stem| stem.to_string_lossy());
    let read = job.job(&Node::root(tree, ""), &fallback);
    job.reader.finish(read)
}

struct JobReader<'e> {
    reader: Reader<'e>,
    /// Text with the variables it names filled in.
    expand: &'e dyn Fn(&str) -> Result<String, String>,
    /// What relative paths start from.
    folder: &'e Path,
    /// Where records are read from; `-` is standard input.
    inputs: BTreeSet<PathBuf>,
    /// The topics that are read, each with its brokers.
    topics: BTreeSet<(String, String)>,
    /// Whether there is a source of kind http.
    has_collector: bool,
    /// Where output is written to; `-` is standard output.
    outputs: BTreeSet<PathBuf>,
    /// The topics that are written, each with its brokers.
    topics_written: BTreeSet<(String, String)>,
    /// The names of the sinks that store a position under theirs.
    sink_names: BTreeSet<String>,
    /// Where definitions are read from.
    segments: Option<PathBuf>,
    /// Where exports go.
    places: BTreeSet<String>,
    /// The folder of the state, if it is in one.
    state_folder: Option<PathBuf>,
}

impl JobReader<'_> {
    fn job(&mut self, node: &Node<'_>, fallback: &str) -> Option<Job> {
        self.reader.closed(node, JOB_KEYS);
        let name = self.reader.optional(&node.get("name"), |reader, node| {
            Some(reader.name(node, "a name")?.into_owned())
        });
        let segments = self.path(&node.get("segments"), "the file or directory of the segments");
        self.segments.clone_from(&segments);
        let changes = &node.get("changes");
        let changes = match changes.is_present() {
            true => self.path(changes, "the file of changes").map(Some),
            false => Some(None),
        };
        let retain = self.reader.optional(&node.get("retain"), |reader, node| {
            reader.duration(node, model::Duration::default())
        })?;
        let takes = node.get("source").items().any(|source| http::is_http(&source));
        let clock = self.clock(&node.get("clock"), takes);
        let sources = self.tables(&node.get("source"), "[[source]], at least one", Self::source);
        let is_read = sources.is_some();
        let (mut files, mut topics, mut collector) = (Vec::new(), Vec::new(), None);
        for reads in sources.into_iter().flatten() {
            match reads {
                Reads::Files(source) => files.push(source),
                Reads::Topics(source) => topics.push(source),
                Reads::Clients(source) => collector = Some(source),
            }
        }
        let state = self.state(&node.get("state"));
        self.state_folder = match &state {
            Some(Some(StateSettings { location: Location::Folder(folder), .. })) => {
                Some(folder.clone())
            }
            _ => None,
        };
        let sinks = match node.get("sink") {
            sink if sink.is_present() => self.tables(&sink, "[[sink]]", Self::sink),
            _ => Some(Vec::new()),
        };
        let exports = match node.get("export") {
            export if export.is_present() => self.tables(&export, "[[export]]", Self::export),
            _ => Some(Vec::new()),
        };
        let serve = self.serve(&node.get("serve"));
        let cluster = self.cluster(&node.get("cluster"));
        let trace = self.trace(&node.get("trace"));
        if let Some(collector) = &mut collector {
            self.is_reachable(node, serve.as_ref())?;
            self.log_folder(node, collector, state.as_ref())?;
        }
        Some(Job {
            name: name?.unwrap_or_else(|| fallback.to_owned()),
            segments: segments?,
            changes: changes?,
            retain,
            clock: clock?,
            sources: is_read.then_some(files)?,
            topics,
            collector,
            sinks: sinks?,
            exports: exports?,
            state: state?,
            serve: serve?,
            cluster: cluster?,
            trace: trace?,
        })
    }

    /// A list of tables, not empty.
    fn tables<T>(
        &mut self,
        node: &Node<'_>,
        allowed: &str,
        read: fn(&mut Self, &Node<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let items: Vec<_> = node.items().map(|item| read(self, &item)).collect();
        if items.is_empty() {
            let hint = node.json().is_some_and(Json::is_object);
            let hint = hint.then(|| "write its name in double brackets".to_owned());
            self.reader.fault(node, allowed, hint);
            return None;
        }
        items.into_iter().collect()
    }

    /// `takes` tells whether there are clients, who hold events back and send some twice.
    fn clock(&mut self, node: &Node<'_>, takes: bool) -> Option<ClockSettings> {
        let default = if takes { FOR_CLIENTS } else { ClockSettings::default() };
        if !node.is_present() {
            return Some(default);
        }
        self.reader.object(node, CLOCK_KEYS)?;
        let emit = self.pick(&node.get("emit"), EMITS, Some(default.emit));
        let mut duration = |key, least, default| {
            let least = model::Duration::from_ms(least);
            let read = |reader: &mut Reader<'_>, node: &Node<'_>| reader.duration(node, least);
            self.reader.optional(&node.get(key), read).map(|read| read.unwrap_or(default))
        };
        let disorder = duration("max_out_of_orderness", 0, default.max_out_of_orderness);
        let idle_timeout = duration("idle_timeout", 1, default.idle_timeout);
        let max_ahead = duration("max_ahead", 0, default.max_ahead);
        let least = if takes { FOR_CLIENTS.dedup_horizon } else { model::Duration::default() };
        let horizon = duration("dedup_horizon", 0, disorder.unwrap_or_default().max(least));
        let granularity = duration("granularity", 1, default.granularity);
        Some(ClockSettings {
            emit: emit?,
            max_out_of_orderness: disorder?,
            idle_timeout: idle_timeout?,
            max_ahead: max_ahead?,
            dedup_horizon: horizon?,
            granularity: granularity?,
        })
    }

    fn source(&mut self, node: &Node<'_>) -> Option<Reads> {
        match self.pick(&node.get("kind"), SOURCE_KINDS, None)? {
            SourceKind::File => self.files(node).map(Reads::Files),
            SourceKind::Kafka => self.kafka(node).map(Reads::Topics),
            SourceKind::Http => self.http(node).map(Reads::Clients),
        }
    }

    fn files(&mut self, node: &Node<'_>) -> Option<Source> {
        self.reader.object(node, SOURCE_KEYS)?;
        let path = node.get("path");
        let inputs: Option<Vec<_>> = match path.json() {
            Some(Json::Array(items)) if !items.is_empty() => {
                let inputs: Vec<_> = path.items().map(|item| self.input(&item)).collect();
                inputs.into_iter().collect()
            }
            _ => self.input(&path).map(|input| vec![input]),
        };
        let mapping = self.mapping(&node.get("mapping"));
        Some(Source { inputs: inputs?, mapping: mapping? })
    }

    fn input(&mut self, node: &Node<'_>) -> Option<Input> {
        let allowed = "the file of the records, or a list of such; \"-\" is standard input";
        let (path, is_stream) = self.path_or_dash(node, allowed)?;
        if !self.inputs.insert(path.clone()) {
            let hint = "it is read already".to_owned();
            self.reader.fault(node, "each input once", Some(hint));
            return None;
        }
        Some(if is_stream { Input::Stdin } else { Input::File(path) })
    }

    fn mapping(&mut self, node: &Node<'_>) -> Option<Mapping> {
        if !node.is_present() {
            return Some(Mapping::default());
        }
        self.reader.object(node, MAPPING_KEYS)?;
        let mut field = |key| {
            self.reader.optional(&node.get(key), |reader, node| {
                Some(model::Path::new(&reader.name(node, "the name or path of a field")?))
            })
        };
        let mapping = Mapping {
            user: field("user")?,
            time: field("time")?,
            event: field("event")?,
            id: field("id")?,
            properties: field("properties")?,
            traits: field("traits")?,
            attribute: field("attribute")?,
            value: field("value")?,
        };
        if let Some(missing) = mapping.missing() {
            let allowed = MAPPING_KEYS.join(", ");
            self.reader.fault(node, allowed, Some(format!("a mapping must name {missing}")));
            return None;
        }
        Some(mapping)
    }

    /// What the word at this node stands for; `default` where there is none.
    fn pick<T: Copy>(
        &mut self,
        node: &Node<'_>,
        table: &'static [Word<T>],
        default: Option<T>,
    ) -> Option<T> {
        if !node.is_present() && default.is_some() {
            return default;
        }
        let text = node.json().and_then(Json::as_str);
        if table.iter().any(|row| row.1.is_none() && Some(row.0) == text) {
            let now: Vec<_> = table.iter().filter(|row| row.1.is_some()).map(|row| row.0).collect();
            let hint = format!("{} comes in a later version", node.found());
            self.reader.fault(node, now.join(", "), Some(hint));
            return None;
        }
        self.reader.pick(node, table, |row| row.1.is_some()).and_then(|row| row.1)
    }

    fn path(&mut self, node: &Node<'_>, allowed: &str) -> Option<PathBuf> {
        self.reader.name(node, allowed).map(|path| self.folder.join(&*path))
    }

    /// A path, or `-`, which is told.
    fn path_or_dash(&mut self, node: &Node<'_>, allowed: &str) -> Option<(PathBuf, bool)> {
        let text = self.reader.name(node, allowed)?;
        let is_dash = text == "-";
        Some(if is_dash { ("-".into(), true) } else { (self.folder.join(&*text), false) })
    }
}

//! What a run says of itself to the other processes of its cluster: all of them must run the same.
//!
//! Definitions are those it begins with, as the state has them since the job began and as edited
//! since. What they become while it runs, process 0 tells the others.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use dataflows::catalog::{Edit, Timeline};
use dataflows::model::EventTime;

use super::Run;
use crate::mesh::{Statement, digest};

pub(super) fn of(run: &Run) -> Statement {
    Statement {
        settings: settings(run),
        definitions: definitions(&run.timeline),
        checkpoint: run.state.as_ref().and_then(|kept| kept.resumed.begins_with()),
    }
}

/// What must be equal. Addresses of brokers and folders of files may differ from machine to
/// machine; their names may not.
fn settings(run: &Run) -> Vec<(String, String)> {
    let (cluster, clock) = (&run.cluster, &run.clock);
    let live = run.live.as_ref();
    let topics = || live.iter().flat_map(|live| &live.topics);
    let files = run.inputs.iter().map(|input| name(&input.path));
    let names = topics().flat_map(|it| it.settings.topics.iter().cloned());
    let reads: Vec<String> = files.chain(names).collect();
    // Few would know what differs in them if it were shown.
    let files = run.inputs.iter().map(|input| format!("{:?}", input.mapping));
    let how = topics().map(|it| format!("{:?} {:?}", it.settings.start, it.mapping));
    let mappings: Vec<String> = files.chain(how).collect();
    let retain = run.retain.map_or_else(|| "for ever".to_owned(), |retain| retain.to_string());
    let is_caught_up = live.is_some_and(|live| live.until_caught_up);
    [
        ("version of the program", env!("CARGO_PKG_VERSION").to_owned()),
        ("verb", if live.is_some() { "run" } else { "replay" }.to_owned()),
        ("name of the job", cluster.job.clone()),
        ("--workers", cluster.workers.to_string()),
        ("--until caught-up", if is_caught_up { "yes" } else { "no" }.to_owned()),
        ("files and topics", reads.join(", ")),
        ("mappings and starts of sources", digest(mappings.join("\n").as_bytes())),
        ("emit", format!("{:?}", clock.emit)),
        ("max_out_of_orderness", clock.max_out_of_orderness.to_string()),
        ("idle_timeout", clock.idle_timeout.to_string()),
        ("max_ahead", clock.max_ahead.to_string()),
        ("dedup_horizon", clock.dedup_horizon.to_string()),
        ("granularity", clock.granularity.to_string()),
        ("retain", retain),
        ("state", state(run).to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn state(run: &Run) -> &'static str {
    match &run.state {
        None => "not kept",
        Some(kept) if kept.is_chronicled => "kept, for sinks that are delivered to",
        Some(_) => "kept",
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// The digest of everything that is or was in force under an identifier, and since when.
fn definitions(timeline: &Timeline) -> BTreeMap<String, String> {
    let mut parts: BTreeMap<Arc<str>, String> = BTreeMap::new();
    let mut add = |id: &Arc<str>, since: Option<(EventTime, Option<EventTime>)>, what: String| {
        parts.entry(Arc::clone(id)).or_default().push_str(&format!("{since:?} {what}\n"));
    };
    for definition in &timeline.initial {
        add(&definition.id, None, json(definition));
    }
    for edit in &timeline.edits {
        let since = Some((edit.time, edit.from));
        match &edit.edit {
            Edit::Put(definition) => add(&definition.id, since, json(definition)),
            Edit::Delete(id) => add(id, since, "deleted".to_owned()),
        }
    }
    parts.into_iter().map(|(id, parts)| (id.to_string(), digest(parts.as_bytes()))).collect()
}

fn json(definition: &Arc<dataflows::rule::Definition>) -> String {
    serde_json::to_string(definition).unwrap_or_default()
}

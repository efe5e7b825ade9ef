//! `state`: which checkpoints there are, what the chronicle has, and whether all of it is whole.

mod chronicle;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use dataflows::model::time::format_time;
use serde_json::{Value as Json, json};
use thiserror::Error;

use chronicle::Told;

use super::what::sources_of;
use super::{VerbError, counted, error, print, say};
use crate::args::State;
use crate::job::Job;
use crate::state::{Listed, Location, Manifest, Store};

/// Most sources of a checkpoint that are shown to people.
const SOURCES_SHOWN: usize = 8;

#[derive(Debug, Error)]
#[error("job {name:?} names no place for state: add  state = \"state\"  to {path}")]
struct NoState {
    name: String,
    path: String,
}

/// How much of a collection a checkpoint holds.
#[derive(Default)]
struct Size {
    batches: u64,
    entries: u64,
    bytes: u64,
}

/// Lists checkpoints; says whether nothing is wrong with them, as far as was looked.
pub(super) fn state(arguments: &State) -> Result<bool, VerbError> {
    let job = arguments.job.as_deref().map(Job::load).transpose()?;
    let store = Store::open(&location(arguments, job.as_ref())?)?;
    let listed = store.manifests()?;
    // Even where no checkpoint was taken: sinks may have been given what it tells of.
    let chronicle = Told::read(&store, &listed, job.as_ref().map(sources_of))?;
    if listed.is_empty() {
        say(format_args!("{} holds no checkpoint", store.place()));
    }
    let (mut faults, mut batches, count) = (0, 0, listed.len());
    for Listed { number, manifest } in listed {
        let mut wrong = Vec::new();
        if arguments.check {
            let checked = store.check(number)?;
            batches += checked.batches as u64;
            wrong.extend(checked.wrong.iter().map(ToString::to_string));
        } else if let Err(error) = &manifest {
            wrong.push(error.to_string());
        }
        faults += wrong.len();
        show(arguments, number, manifest.ok().as_ref(), &wrong)?;
    }
    faults += chronicle.show(arguments)?;
    let checkpoints = counted(count, "checkpoint");
    match faults {
        0 if !arguments.check || count == 0 => {}
        0 => say(format_args!(
            "{checkpoints} of {}: all whole",
            entities(batches, "batch", "batches")
        )),
        _ => error(format_args!("{checkpoints}: {}", counted(faults, "fault"))),
    }
    Ok(faults == 0 || !arguments.check)
}

fn location(arguments: &State, job: Option<&Job>) -> Result<Location, VerbError> {
    let (Some(file), Some(job)) = (&arguments.job, job) else {
        let path = arguments.path.as_deref().unwrap_or_default();
        return Ok(Location::parse(path, Path::new(""))?);
    };
    let none = || NoState { name: job.name.clone(), path: file.display().to_string() };
    Ok(job.state.as_ref().ok_or_else(none)?.location.clone())
}

fn show(
    arguments: &State,
    number: u64,
    manifest: Option<&Manifest>,
    wrong: &[String],
) -> Result<(), VerbError> {
    if arguments.json {
        let mut object = manifest.map_or_else(|| json!({}), as_json);
        object["number"] = number.into();
        object["wrong"] = wrong.into();
        print(format!("{object}\n").as_bytes())?;
    } else {
        match manifest {
            Some(manifest) => print(as_text(manifest).as_bytes())?,
            None => print(format!("checkpoint {number}, not to be used\n").as_bytes())?,
        }
    }
    for line in wrong {
        error(format_args!("checkpoint {number}: {line}"));
    }
    Ok(())
}

fn sizes(manifest: &Manifest) -> BTreeMap<&str, Size> {
    let mut sizes: BTreeMap<_, Size> = BTreeMap::new();
    for batch in &manifest.batches {
        let size = sizes.entry(batch.collection.as_str()).or_default();
        size.batches += 1;
        size.entries += batch.entries;
        size.bytes += batch.bytes;
    }
    sizes
}

fn as_json(manifest: &Manifest) -> Json {
    let sizes = sizes(manifest).into_iter().map(|(name, size)| {
        let Size { batches, entries, bytes } = size;
        (name.to_owned(), json!({"batches": batches, "pages": entries, "bytes": bytes}))
    });
    json!({
        "taken_at": manifest.taken_at,
        "frontier": format_time(manifest.frontier),
        "job": manifest.job,
        "workers": manifest.workers,
        "collections": sizes.collect::<serde_json::Map<_, _>>(),
        "sources": manifest.sources,
        "sinks": manifest.sinks,
        "counts": manifest.counts,
        "definitions": manifest.definitions.len(),
    })
}

fn as_text(manifest: &Manifest) -> String {
    let mut text = format!(
        "checkpoint {}, taken {}, holds all before {}\n",
        manifest.number,
        manifest.taken_at,
        format_time(manifest.frontier)
    );
    // Writing to text cannot fail.
    for (name, Size { batches, entries, bytes }) in sizes(manifest) {
        let _ = writeln!(
            text,
            "  {name}: {} in {}, {bytes} bytes",
            entities(entries, "page", "pages"),
            entities(batches, "batch", "batches"),
        );
    }
    for source in manifest.sources.iter().take(SOURCES_SHOWN) {
        let (name, partition, offset) = (&source.source, source.partition, source.offset);
        let _ = writeln!(text, "  source {name}, partition {partition}: next is {offset}");
    }
    let more = manifest.sources.len().saturating_sub(SOURCES_SHOWN);
    if more > 0 {
        let _ = writeln!(text, "  and {}", counted(more, "more partition"));
    }
    text
}

fn entities(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

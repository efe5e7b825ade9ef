//! The shapes of the records that the workloads have, and the segments of the mark.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use dataflows::catalog::Timeline;
use dataflows::model;

use super::error::BenchError;
use crate::definitions;
use crate::format::Mapping;

/// The two segments of the mark.
const MARK: [(&str, &str); 2] = [
    ("high_value.json", include_str!("../../fixtures/segments/mark/high_value.json")),
    ("window_shopper.json", include_str!("../../fixtures/segments/mark/window_shopper.json")),
];

fn path(name: &str) -> Option<model::Path> {
    Some(model::Path::new(name))
}

/// Of the clickstream (W1).
pub(super) fn clicks() -> Mapping {
    Mapping {
        user: path("user_id"),
        time: path("ts"),
        event: path("type"),
        id: path("event_id"),
        properties: path("properties"),
        ..Mapping::default()
    }
}

/// Of attribute changes (W2).
pub(super) fn attributes() -> Mapping {
    Mapping {
        user: path("user_id"),
        time: path("ts"),
        traits: path("attributes"),
        attribute: path("attribute"),
        value: path("value"),
        ..Mapping::default()
    }
}

/// Makes a folder of the mark's segments, and of more in a file of their own if there are any.
pub(super) fn mark(folder: &Path, more: Option<&str>) -> Result<(), BenchError> {
    fs::create_dir_all(folder).map_err(BenchError::file("make the folder", folder))?;
    let more = more.map(|text| ("more.json", text));
    for (name, text) in MARK.into_iter().chain(more) {
        let file = folder.join(name);
        fs::write(&file, text).map_err(BenchError::file("write", &file))?;
    }
    Ok(())
}

/// The definitions of a file or folder, all in force from the start.
pub(super) fn timeline(segments: &Path) -> Result<Arc<Timeline>, BenchError> {
    let (timeline, _) = Timeline::accept(definitions::load(segments)?.catalog, Vec::new());
    Ok(Arc::new(timeline))
}

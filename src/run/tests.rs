//! What is promised of whole runs, held against every step a crash may come after.

mod simulation;
mod stalled;

use std::sync::Arc;

use super::Live;
use crate::ingest::Wall;

/// A running job of nothing but files, until they end.
fn live() -> Live {
    Live {
        tracer: None,
        topics: Vec::new(),
        log: None,
        is_endless: false,
        wall: Wall::system(),
        until_caught_up: false,
        is_supervised: false,
        is_edited: Arc::new(|| false),
        stop: Arc::default(),
        counted: Vec::new(),
        watch: None,
        view: None,
    }
}

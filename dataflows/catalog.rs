//! The segments in force, and how they change.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::EventTime;
use crate::rule::Definition;

/// A change of the definitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Edit {
    /// From now on the segment of this id is this one.
    Put(Arc<Definition>),
    /// From now on there is no segment of this id.
    Delete(Arc<str>),
}

/// A change of the definitions, and when it takes effect. Edits of one time take effect in their
/// order, together with everything else of that time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimedEdit {
    /// When it takes effect.
    pub time: EventTime,
    /// What changes.
    pub edit: Edit,
}

/// The definitions of a whole run: those in force from the start, and the accepted edits in the
/// order of their times.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    /// In force from the start of time.
    pub initial: Vec<Arc<Definition>>,
    /// Accepted edits, by time.
    pub edits: Vec<TimedEdit>,
}

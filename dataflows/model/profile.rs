//! What outputs are told of a user's attributes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::time::EventTime;
use super::value::{Path, Value};

/// The attributes of a user that outputs ask for, as they are from a time on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Profile {
    /// From when on.
    pub time: EventTime,
    /// Whose they are.
    pub user: Arc<str>,
    /// All that are asked for, in the order in which they are.
    pub attributes: Box<[Asked]>,
}

/// An attribute that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Asked {
    /// Where it stands.
    pub path: Path,
    /// What it is, if it is not missing.
    pub value: Option<Value>,
    /// Whether it was something else just before.
    pub has_changed: bool,
}

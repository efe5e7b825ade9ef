//! Why a definition, or a change of one, cannot stand beside the others.

use std::sync::Arc;

use thiserror::Error;

use super::SEGMENTS_MAX;
use crate::rule::MAX_DEPTH;

/// Most ids that one message names.
const NAMED_MAX: usize = 100;

/// Why the catalogue does not take a definition or a change.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Two definitions of one id.
    #[error("segment {segment:?} is defined more than once; give each definition its own id")]
    Duplicate {
        /// The id.
        segment: Arc<str>,
    },
    /// It refers to a segment that there is not.
    #[error(
        "segment {segment:?} refers to unknown segment {reference:?}; {}",
        remedy(nearest, "define it first, or correct the id")
    )]
    UnknownReference {
        /// The one that refers.
        segment: Arc<str>,
        /// What it refers to.
        reference: Arc<str>,
        /// The id that was most likely meant.
        nearest: Option<Arc<str>>,
    },
    /// Following references leads back to it.
    #[error(
        "segment {segment:?} refers to itself: {}; take one of these references out",
        joined(path, " -> ")
    )]
    Cycle {
        /// The first of the path.
        segment: Arc<str>,
        /// The way round, its first id again at the end.
        path: Vec<Arc<str>>,
    },
    /// The chain of references from it is too long.
    #[error(
        "segment {segment:?} is nested too deep: a chain of {depth} segments, each referring to \
         the next, is beyond {MAX_DEPTH}; put some of their rules into one definition"
    )]
    TooDeep {
        /// Where the chain begins.
        segment: Arc<str>,
        /// How many segments it has.
        depth: usize,
    },
    /// There would be too many.
    #[error(
        "segment {segment:?} is one too many: {count} segments are beyond {SEGMENTS_MAX}; delete some"
    )]
    TooMany {
        /// The first beyond the limit.
        segment: Arc<str>,
        /// How many there would be.
        count: usize,
    },
    /// There is no such segment to delete.
    #[error(
        "segment {segment:?} cannot be deleted: there is none of this id; {}",
        remedy(nearest, "correct the id")
    )]
    Unknown {
        /// The id.
        segment: Arc<str>,
        /// The id that was most likely meant.
        nearest: Option<Arc<str>>,
    },
    /// Others refer to the one to delete.
    #[error(
        "segment {segment:?} cannot be deleted: it is referred to by {}; change or delete those",
        joined(by, ", ")
    )]
    Referenced {
        /// The id.
        segment: Arc<str>,
        /// Those that refer to it.
        by: Vec<Arc<str>>,
    },
}

impl Refusal {
    /// The segment it is about.
    pub fn segment(&self) -> &Arc<str> {
        match self {
            Refusal::Duplicate { segment }
            | Refusal::UnknownReference { segment, .. }
            | Refusal::Cycle { segment, .. }
            | Refusal::TooDeep { segment, .. }
            | Refusal::TooMany { segment, .. }
            | Refusal::Unknown { segment, .. }
            | Refusal::Referenced { segment, .. } => segment,
        }
    }
}

fn remedy(nearest: &Option<Arc<str>>, otherwise: &str) -> String {
    match nearest {
        Some(id) => format!("did you mean {id:?}?"),
        None => otherwise.to_owned(),
    }
}

fn joined(ids: &[Arc<str>], between: &str) -> String {
    let named: Vec<&str> = ids.iter().take(NAMED_MAX).map(|id| &**id).collect();
    let further = ids.len().saturating_sub(NAMED_MAX);
    let rest = if further > 0 { format!("{between}… ({further} more)") } else { String::new() };
    format!("{}{rest}", named.join(between))
}

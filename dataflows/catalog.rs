//! The segments in force, and how they change.
//!
//! A [`Catalog`] is valid at all times: every reference leads to a segment of it, none leads back
//! to where it came from, and no chain of them is longer than [`MAX_DEPTH`]. An edit is checked
//! at a cost that follows the definition, those it refers to and those that refer to it, not the
//! number of segments.

mod check;
mod refusal;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use refusal::Refusal;

use crate::model::EventTime;
use crate::rule::Definition;
#[cfg(doc)]
use crate::rule::MAX_DEPTH;

/// Most segments in force at one time.
pub const SEGMENTS_MAX: usize = 1_000_000;

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
    /// In a running job, events later than this are seen by what the edit begins to ask.
    #[serde(default)]
    // always written: between processes nothing tells one field from the next
    pub from: Option<EventTime>,
    /// In a running job, when it was begun to be worked out; if not said, when it takes effect.
    #[serde(default)]
    pub saved: Option<EventTime>,
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

impl Timeline {
    /// Applies `edits` in the order of their times, those of one time in the order given, and
    /// keeps the ones the catalogue accepts. Those refused are told by their place in `edits`,
    /// in the order in which they would have taken effect.
    pub fn accept(initial: Catalog, edits: Vec<TimedEdit>) -> (Timeline, Vec<(usize, Refusal)>) {
        let mut catalog = initial;
        let mut timeline =
            Timeline { initial: catalog.iter().map(Arc::clone).collect(), edits: vec![] };
        let mut refused = Vec::new();
        let mut numbered: Vec<_> = edits.into_iter().enumerate().collect();
        numbered.sort_by_key(|(_, edit)| edit.time);
        for (number, edit) in numbered {
            match catalog.apply(&edit.edit) {
                Ok(()) => timeline.edits.push(edit),
                Err(refusal) => refused.push((number, refusal)),
            }
        }
        (timeline, refused)
    }
}

/// The segments in force at one time.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    segments: BTreeMap<Arc<str>, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    definition: Arc<Definition>,
    /// The segments that refer to this one.
    dependents: BTreeSet<Arc<str>>,
    /// How many segments the longest chain of references from here on has, this one included.
    height: usize,
}

impl Entry {
    fn new(definition: Arc<Definition>) -> Self {
        Entry { definition, dependents: BTreeSet::new(), height: 1 }
    }
}

impl Catalog {
    /// A catalogue of these definitions.
    ///
    /// # Errors
    /// Everything that keeps them from standing together.
    pub fn new(definitions: Vec<Arc<Definition>>) -> Result<Self, Vec<Refusal>> {
        let mut catalog = Catalog::default();
        let mut refusals = Vec::new();
        if definitions.len() > SEGMENTS_MAX {
            let segment = definitions.get(SEGMENTS_MAX).map(|extra| Arc::clone(&extra.id));
            let segment = segment.unwrap_or_default();
            return Err(vec![Refusal::TooMany { segment, count: definitions.len() }]);
        }
        for definition in definitions {
            let id = Arc::clone(&definition.id);
            if catalog.segments.insert(Arc::clone(&id), Entry::new(definition)).is_some() {
                refusals.push(Refusal::Duplicate { segment: id });
            }
        }
        check::link(&mut catalog, &mut refusals);
        if refusals.is_empty() { Ok(catalog) } else { Err(refusals) }
    }

    /// Makes one change, or leaves everything as it was.
    ///
    /// # Errors
    /// Why the change cannot be made.
    pub fn apply(&mut self, edit: &Edit) -> Result<(), Refusal> {
        match edit {
            Edit::Put(definition) => self.put(definition),
            Edit::Delete(id) => self.delete(id),
        }
    }

    fn put(&mut self, definition: &Arc<Definition>) -> Result<(), Refusal> {
        let id = &definition.id;
        if self.segments.len() == SEGMENTS_MAX && !self.segments.contains_key(id) {
            return Err(Refusal::TooMany { segment: Arc::clone(id), count: SEGMENTS_MAX + 1 });
        }
        let heights = check::put(self, definition)?;
        self.unlink(id);
        match self.segments.get_mut(id) {
            Some(entry) => entry.definition = Arc::clone(definition),
            None => {
                self.segments.insert(Arc::clone(id), Entry::new(Arc::clone(definition)));
            }
        }
        for reference in definition.rule.references() {
            if let Some(entry) = self.segments.get_mut(reference) {
                entry.dependents.insert(Arc::clone(id));
            }
        }
        for (changed, height) in heights {
            if let Some(entry) = self.segments.get_mut(&changed) {
                entry.height = height;
            }
        }
        Ok(())
    }

    fn delete(&mut self, id: &Arc<str>) -> Result<(), Refusal> {
        let Some(entry) = self.segments.get(id) else {
            let nearest = check::nearest_id(self, id);
            return Err(Refusal::Unknown { segment: Arc::clone(id), nearest });
        };
        if !entry.dependents.is_empty() {
            let by = entry.dependents.iter().map(Arc::clone).collect();
            return Err(Refusal::Referenced { segment: Arc::clone(id), by });
        }
        self.unlink(id);
        self.segments.remove(id);
        Ok(())
    }

    /// Takes this segment off the dependents of those it refers to.
    fn unlink(&mut self, id: &Arc<str>) {
        let Some(entry) = self.segments.get(id) else { return };
        let definition = Arc::clone(&entry.definition);
        for reference in definition.rule.references() {
            if let Some(entry) = self.segments.get_mut(reference) {
                entry.dependents.remove(id);
            }
        }
    }

    /// The definition of this id.
    pub fn get(&self, id: &str) -> Option<&Arc<Definition>> {
        self.segments.get(id).map(|entry| &entry.definition)
    }

    /// All definitions, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Definition>> {
        self.segments.values().map(|entry| &entry.definition)
    }

    /// How many segments there are.
    pub fn len(&self) -> usize {
        self.segments.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }
}

#[cfg(test)]
mod tests;

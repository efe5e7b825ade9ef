//! Whether references lead somewhere, in no circle, and not too far.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Catalog, Refusal};
use crate::rule::words::nearest;
use crate::rule::{Definition, MAX_DEPTH};

/// How many ids on either side of where a wrong one would stand are looked at for the nearest.
const NEIGHBOURS: usize = 1_000;
/// Most refusals for which the nearest id is looked up.
const HINTS_MAX: usize = 100;
/// Most circles that are told: they can be as long as there are segments.
const CYCLES_MAX: usize = 100;
/// The height of a segment while its references are being followed.
const OPEN: usize = 0;
/// The height of a segment before that.
const UNSEEN: usize = usize::MAX;

/// Fills in dependents and heights of a new catalogue, noting what is wrong.
pub(super) fn link(catalog: &mut Catalog, refusals: &mut Vec<Refusal>) {
    let referring = referring(catalog);
    for (id, references) in &referring {
        for reference in references {
            match catalog.segments.get_mut(reference) {
                Some(entry) => {
                    entry.dependents.insert(Arc::clone(id));
                }
                None => {
                    let look_up = refusals.len() < HINTS_MAX;
                    refusals.push(Refusal::UnknownReference {
                        segment: Arc::clone(id),
                        reference: Arc::clone(reference),
                        nearest: look_up.then(|| nearest_id(catalog, reference)).flatten(),
                    });
                }
            }
        }
    }
    Heights { catalog, referring: &referring, refusals, cycles: 0 }.fill();
}

/// The segments that refer to others, and to which, each once. Most refer to none.
fn referring(catalog: &Catalog) -> BTreeMap<Arc<str>, Vec<Arc<str>>> {
    let references = |id: &Arc<str>, definition: &Definition| {
        let references = distinct(definition);
        (!references.is_empty()).then(|| (Arc::clone(id), references))
    };
    let segments = catalog.segments.iter();
    segments.filter_map(|(id, entry)| references(id, &entry.definition)).collect()
}

fn distinct(definition: &Definition) -> Vec<Arc<str>> {
    let mut references: Vec<_> = definition.rule.references().into_iter().map(Arc::clone).collect();
    references.sort_unstable();
    references.dedup();
    references
}

/// A walk along all references, depth first, with its own stack: a chain may have as many
/// segments as there are.
struct Heights<'c> {
    catalog: &'c mut Catalog,
    referring: &'c BTreeMap<Arc<str>, Vec<Arc<str>>>,
    refusals: &'c mut Vec<Refusal>,
    cycles: usize,
}

/// A segment on the way, and how many of its references have been followed.
struct Step<'c> {
    id: &'c Arc<str>,
    references: &'c [Arc<str>],
    followed: usize,
    height: usize,
}

impl Heights<'_> {
    fn fill(&mut self) {
        for id in self.referring.keys() {
            self.set(id, UNSEEN);
        }
        for id in self.referring.keys() {
            if self.height(id) == Some(UNSEEN) {
                self.follow(id);
            }
        }
    }

    fn follow(&mut self, start: &Arc<str>) {
        let referring = self.referring;
        let step = |id| {
            let (id, references) = referring.get_key_value(id)?;
            Some(Step { id, references, followed: 0, height: 1 })
        };
        let mut way: Vec<Step<'_>> = step(start).into_iter().collect();
        self.set(start, OPEN);
        while let Some(last) = way.last_mut() {
            let Some(next) = last.references.get(last.followed) else {
                let (id, height) = (last.id, last.height);
                self.close(id, height);
                way.pop();
                if let Some(parent) = way.last_mut() {
                    parent.height = parent.height.max(height + 1);
                }
                continue;
            };
            last.followed += 1;
            match self.height(next) {
                None => {} // unknown: told already
                Some(UNSEEN) => {
                    self.set(next, OPEN);
                    way.extend(step(next));
                }
                Some(OPEN) => self.cycle(&way, next),
                Some(height) => last.height = last.height.max(height + 1),
            }
        }
    }

    fn close(&mut self, id: &Arc<str>, height: usize) {
        self.set(id, height);
        // Only the first beyond the limit: those above it are too deep because of it.
        if height == MAX_DEPTH + 1 {
            self.refusals.push(Refusal::TooDeep { segment: Arc::clone(id), depth: height });
        }
    }

    fn cycle(&mut self, way: &[Step<'_>], back: &Arc<str>) {
        self.cycles += 1;
        if self.cycles > CYCLES_MAX {
            return;
        }
        let from = way.iter().position(|step| step.id == back).unwrap_or_default();
        let mut path: Vec<_> = way.iter().skip(from).map(|step| Arc::clone(step.id)).collect();
        path.push(Arc::clone(back));
        self.refusals.push(Refusal::Cycle { segment: Arc::clone(back), path });
    }

    fn height(&self, id: &Arc<str>) -> Option<usize> {
        self.catalog.segments.get(id).map(|entry| entry.height)
    }

    fn set(&mut self, id: &Arc<str>, height: usize) {
        if let Some(entry) = self.catalog.segments.get_mut(id) {
            entry.height = height;
        }
    }
}

/// The heights that change if this definition is put into a valid catalogue, or why it cannot be.
pub(super) fn put(
    catalog: &Catalog,
    definition: &Definition,
) -> Result<BTreeMap<Arc<str>, usize>, Refusal> {
    let references = distinct(definition);
    for reference in &references {
        if *reference != definition.id && !catalog.segments.contains_key(reference) {
            return Err(Refusal::UnknownReference {
                segment: Arc::clone(&definition.id),
                reference: Arc::clone(reference),
                nearest: nearest_id(catalog, reference),
            });
        }
    }
    if let Some(path) = way_back(catalog, &definition.id, &references) {
        return Err(Refusal::Cycle { segment: Arc::clone(&definition.id), path });
    }
    heights_after(catalog, &definition.id, &references)
}

/// The circle that these references of `id` would close, if any.
fn way_back(catalog: &Catalog, id: &Arc<str>, references: &[Arc<str>]) -> Option<Vec<Arc<str>>> {
    if references.contains(id) {
        return Some(vec![Arc::clone(id), Arc::clone(id)]);
    }
    let target = catalog.segments.get(id).filter(|entry| !entry.dependents.is_empty())?;
    // From each segment seen, the one it was reached from; only those higher than the target can
    // lead to it.
    let mut reached: BTreeMap<Arc<str>, Arc<str>> = BTreeMap::new();
    let mut ahead: Vec<(Arc<str>, Arc<str>)> =
        references.iter().map(|next| (Arc::clone(next), Arc::clone(id))).collect();
    while let Some((here, from)) = ahead.pop() {
        if here == *id {
            let mut path = vec![here, Arc::clone(&from)];
            while let Some(before) = path.last().and_then(|last| reached.get(last)) {
                path.push(Arc::clone(before));
            }
            path.reverse();
            return Some(path);
        }
        let Some(entry) = catalog.segments.get(&here).filter(|it| it.height > target.height) else {
            continue;
        };
        if reached.contains_key(&here) {
            continue;
        }
        let next = distinct(&entry.definition).into_iter();
        ahead.extend(next.map(|next| (next, Arc::clone(&here))));
        reached.insert(here, from);
    }
    None
}

/// The heights that change with these references of `id`, in it and in all that lead to it.
fn heights_after(
    catalog: &Catalog,
    id: &Arc<str>,
    references: &[Arc<str>],
) -> Result<BTreeMap<Arc<str>, usize>, Refusal> {
    let mut changed: BTreeMap<Arc<str>, usize> = BTreeMap::new();
    let old = |id: &Arc<str>| catalog.segments.get(id).map_or(UNSEEN, |entry| entry.height);
    let height = |changed: &BTreeMap<_, _>, references: &[Arc<str>]| {
        let each = references.iter().map(|it| changed.get(it).copied().unwrap_or_else(|| old(it)));
        1 + each.max().unwrap_or_default()
    };
    // By old height: what leads to `id` keeps its order, so each is reached once, all it refers
    // to being settled.
    let mut ahead: BTreeSet<(usize, Arc<str>)> = BTreeSet::from([(0, Arc::clone(id))]);
    while let Some((_, here)) = ahead.pop_first() {
        let entry = catalog.segments.get(&here);
        let now = match entry {
            Some(entry) if here != *id => height(&changed, &distinct(&entry.definition)),
            _ => height(&changed, references),
        };
        if now > MAX_DEPTH {
            return Err(Refusal::TooDeep { segment: here, depth: now });
        }
        if now == old(&here) {
            continue;
        }
        for dependent in entry.iter().flat_map(|entry| &entry.dependents) {
            ahead.insert((old(dependent), Arc::clone(dependent)));
        }
        changed.insert(here, now);
    }
    Ok(changed)
}

/// The id most likely meant by a wrong one, among those that stand near it in their order.
pub(super) fn nearest_id(catalog: &Catalog, wrong: &Arc<str>) -> Option<Arc<str>> {
    let after = catalog.segments.range(Arc::clone(wrong)..).take(NEIGHBOURS);
    let before = catalog.segments.range(..Arc::clone(wrong)).rev().take(NEIGHBOURS);
    nearest(wrong, before.chain(after).map(|(id, _)| &**id)).map(Into::into)
}

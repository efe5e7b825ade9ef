//! Definitions and their edits as the commands that the dataflow takes, in an order in which each
//! step stands.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Command, Keep};
use crate::catalog::{Edit, TimedEdit, Timeline};
use crate::model::{Duration, EventTime};
use crate::rule::Definition;

/// The edits of a run as commands, in the order in which they are to be given: from the start,
/// what later definitions will need is kept; with `retain`, their events only for so long.
pub fn commands(timeline: &Timeline, retain: Option<Duration>) -> Vec<(EventTime, Command)> {
    let start = EventTime::MIN;
    let mut keeps = Vec::new();
    for (index, edit) in timeline.edits.iter().enumerate() {
        let Edit::Put(definition) = &edit.edit else { continue };
        if overridden(&timeline.edits, index) {
            continue; // never in force, so it keeps nothing
        }
        keeps.push((start, Command::Keep(definition.clone(), Keep::Held, start)));
        let from = retain.map_or(start, |retain| edit.time.saturating_sub(retain.ms()));
        keeps.push((from, Command::Keep(definition.clone(), Keep::Behaviour, from)));
    }
    let initial = referred_first(&timeline.initial);
    let initial = initial.into_iter().map(|it| (start, Command::Put(it)));
    let edits = timeline.edits.iter().map(|edit| match &edit.edit {
        Edit::Put(definition) => (edit.time, Command::Put(definition.clone())),
        Edit::Delete(id) => (edit.time, Command::Delete(id.clone())),
    });
    let mut commands: Vec<_> = keeps.into_iter().chain(initial).chain(edits).collect();
    commands.sort_by_key(|(time, _)| *time);
    commands
}

/// The edits of a running job as commands, given before any record: a definition sees from the time
/// on that was recorded for it, else from that at which it is put.
pub fn commands_as_they_come(timeline: &Timeline) -> Vec<(EventTime, Command)> {
    let initial = referred_first(&timeline.initial);
    let initial = initial.into_iter().map(|it| (EventTime::MIN, Command::Put(it)));
    let edits = timeline.edits.iter().flat_map(|edit| {
        match (&edit.edit, edit.from) {
            // In two steps, as it was: it sees what came in between, too.
            (Edit::Put(it), Some(from)) => vec![
                (edit.saved.unwrap_or(edit.time), Command::Save(it.clone(), from)),
                (edit.time, Command::Commit),
            ],
            (Edit::Put(it), None) => vec![(edit.time, Command::Put(it.clone()))],
            (Edit::Delete(id), _) => vec![(edit.time, Command::Delete(id.clone()))],
        }
    });
    initial.chain(edits).collect()
}

/// What leads from the definitions in force to others that stand together, too, such that every
/// step stands: first what is put, each after those it refers to, then what is deleted, each after
/// those that refer to it.
pub fn steps(
    in_force: &HashMap<Arc<str>, Arc<Definition>>,
    wanted: &[Arc<Definition>],
) -> Vec<Edit> {
    let is_new = |it: &Arc<Definition>| in_force.get(&it.id).is_none_or(|old| old.rule != it.rule);
    let puts = referred_first(wanted).into_iter().filter(is_new).map(Edit::Put);
    let stay: HashSet<&str> = wanted.iter().map(|it| &*it.id).collect();
    let mut gone: Vec<_> =
        in_force.values().filter(|it| !stay.contains(&*it.id)).cloned().collect();
    gone.sort_by(|left, right| left.id.cmp(&right.id));
    let gone = referred_first(&gone);
    let deletes = gone.into_iter().rev().map(|it| Edit::Delete(it.id.clone()));
    puts.chain(deletes).collect()
}

/// Definitions in such an order that each comes after those it refers to.
pub fn referred_first(definitions: &[Arc<Definition>]) -> Vec<Arc<Definition>> {
    let mut waiting: HashMap<&str, &Arc<Definition>> =
        definitions.iter().map(|definition| (&*definition.id, definition)).collect();
    let mut ordered = Vec::with_capacity(definitions.len());
    for definition in definitions {
        let mut path = vec![definition];
        while let Some(last) = path.last().copied() {
            let reference =
                last.rule.references().into_iter().find_map(|id| {
                    waiting.get(&**id).copied().filter(|other| !path.contains(other))
                });
            match reference {
                Some(reference) => path.push(reference),
                None => {
                    path.pop();
                    ordered.extend(waiting.remove(&*last.id).cloned());
                }
            }
        }
    }
    ordered
}

/// Whether a later edit of the same millisecond concerns the same segment.
fn overridden(edits: &[TimedEdit], index: usize) -> bool {
    let id = |edit: &TimedEdit| match &edit.edit {
        Edit::Put(definition) => definition.id.clone(),
        Edit::Delete(id) => id.clone(),
    };
    let Some(own) = edits.get(index) else { return false };
    let later = edits.iter().skip(index + 1).take_while(|edit| edit.time == own.time);
    later.into_iter().any(|edit| id(edit) == id(own))
}

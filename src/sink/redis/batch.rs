//! What differences come to in sets.

use std::collections::{BTreeMap, BTreeSet};

use dataflows::model::Sign;
use redis::{Pipeline, pipe};

use super::Settings;
use crate::sink::delivery::Item;

/// How many members one command names at most: a command is carried out in one go.
const MEMBERS: usize = 1_000;

/// Who or what is added to a set, and what is taken from it.
#[derive(Default)]
struct Changed<'a> {
    added: Vec<&'a str>,
    removed: Vec<&'a str>,
}

/// The commands that bring all sets to where they are after these differences: each pair of user
/// and segment as the last of its differences has it.
pub(super) fn commands(items: &[Item], settings: &Settings) -> Pipeline {
    let mut last: BTreeMap<(&str, &str), Sign> = BTreeMap::new();
    for item in items {
        if let Item::Difference(it) = item {
            last.insert((&it.user, &it.segment), it.sign);
        }
    }
    let (mut users, mut segments) = (BTreeMap::new(), BTreeMap::new());
    for ((user, segment), sign) in &last {
        let of_user: &mut Changed<'_> = users.entry(*user).or_default();
        let of_segment: &mut Changed<'_> = segments.entry(*segment).or_default();
        match sign {
            Sign::Entered => {
                of_user.added.push(segment);
                of_segment.added.push(user);
            }
            Sign::Left => {
                of_user.removed.push(segment);
                of_segment.removed.push(user);
            }
        }
    }
    let mut step = pipe();
    step.atomic();
    let written: BTreeSet<_> = segments.keys().copied().collect();
    change(&mut step, "SADD", &settings.segments_key(), &written.into_iter().collect::<Vec<_>>());
    for (user, changed) in &users {
        change_set(&mut step, &settings.user_key(user), changed);
    }
    for (segment, changed) in &segments {
        change_set(&mut step, &settings.segment_key(segment), changed);
    }
    step
}

fn change_set(step: &mut Pipeline, key: &str, changed: &Changed<'_>) {
    change(step, "SADD", key, &changed.added);
    change(step, "SREM", key, &changed.removed);
}

fn change(step: &mut Pipeline, verb: &str, key: &str, members: &[&str]) {
    for members in members.chunks(MEMBERS) {
        step.cmd(verb).arg(key).arg(members).ignore();
    }
}

impl Settings {
    /// The set of a user's segments.
    pub(super) fn user_key(&self, user: &str) -> String {
        format!("{}user:{user}:segments", self.prefix)
    }

    /// The set of a segment's users.
    pub(super) fn segment_key(&self, segment: &str) -> String {
        format!("{}segment:{segment}:users", self.prefix)
    }
}

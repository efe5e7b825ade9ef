//! Attributes, or the properties of an event: their kinds, and which values many users have.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroU64;
use std::sync::Arc;

use dataflows::model::Value;

use super::common::Common;

/// How many different users must have had a value before it is told.
pub const USERS_LEAST: usize = 5;
/// The longest name, and the longest value, in bytes.
pub(super) const NAME_BYTES: usize = 128;
const VALUE_BYTES: usize = 64;
/// How many values of each are remembered.
const VALUES: usize = 28;
/// A value is told if one in so many has it.
const TOLD_OF: u64 = 100;
/// Those that are told must be one in so many of all, or they are what users have of their own.
const COVERED_OF: u64 = 10;
/// How deep objects are looked into, how many members of a record are, and items of a list.
const DEPTH: usize = 3;
const MEMBERS: usize = 64;
const ITEMS: usize = 8;

/// Tells users apart, and nobody who they are.
#[derive(Default)]
pub(super) struct User(RandomState);

impl User {
    pub(super) fn hash(&self, name: &str) -> NonZeroU64 {
        NonZeroU64::new(self.0.hash_one(name)).unwrap_or(NonZeroU64::MIN)
    }
}

/// Attributes, or the properties of one event.
pub(super) struct Fields(Common<Field>);

struct Field {
    kinds: BTreeSet<&'static str>,
    /// How many values there were.
    valued: u64,
    values: Common<Users, Value>,
}

/// The first different users of a value, up to [`USERS_LEAST`].
#[derive(Default)]
struct Users([Option<NonZeroU64>; USERS_LEAST]);

/// What is told of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The name; a dot leads into an object.
    pub name: Arc<str>,
    /// In how many records of the sample it was, at least.
    pub records: u64,
    /// `text`, `time` (of text that is one), `number`, `boolean`, `list`.
    pub kinds: Vec<&'static str>,
}

/// What is told of the values of a name.
#[derive(Debug, PartialEq, Eq)]
pub struct Values {
    /// How many values there were in the sample, items of lists each.
    pub count: u64,
    /// Of which kinds the name's values are.
    pub kinds: Vec<&'static str>,
    /// Values of many users, and how often each came at least; the most frequent first.
    pub values: Vec<(Value, u64)>,
    /// Whether hardly any value is shared, so that none is told.
    pub are_scattered: bool,
}

impl Fields {
    pub(super) fn new(most: usize) -> Self {
        Fields(Common::new(most))
    }

    /// A user has this value of this name.
    pub(super) fn see(&mut self, name: &Arc<str>, value: &Value, user: NonZeroU64) {
        let mut left = MEMBERS;
        self.see_within(name, value, user, (DEPTH, &mut left));
    }

    /// The members of an object.
    pub(super) fn see_members(&mut self, object: &Value, user: NonZeroU64) {
        let Value::Object(members) = object else { return };
        let mut left = MEMBERS;
        for (name, value) in members.iter() {
            self.see_within(name, value, user, (DEPTH, &mut left));
        }
    }

    fn see_within(
        &mut self,
        name: &Arc<str>,
        value: &Value,
        user: NonZeroU64,
        room: (usize, &mut usize),
    ) {
        let (depth, left) = room;
        if *left == 0 || name.is_empty() || name.len() > NAME_BYTES || *value == Value::Null {
            return;
        }
        if let Value::Object(members) = value {
            for (key, value) in members.iter().filter(|_| depth > 1) {
                let name = format!("{name}.{key}").into();
                self.see_within(&name, value, user, (depth - 1, &mut *left));
            }
            return;
        }
        *left -= 1;
        self.0.see(name, Field::new).see(value, user);
    }

    /// All names, the most frequent first.
    pub(super) fn told(&self) -> Vec<Told> {
        let one = |(name, records, field): (&Arc<str>, u64, &Field)| Told {
            name: Arc::clone(name),
            records,
            kinds: field.kinds.iter().copied().collect(),
        };
        self.0.most_first().into_iter().map(one).collect()
    }

    /// The common values of a name.
    pub(super) fn values(&self, name: &str) -> Option<Values> {
        self.0.get(name).map(Field::told)
    }
}

impl Field {
    fn new() -> Self {
        Field { kinds: BTreeSet::new(), valued: 0, values: Common::new(VALUES) }
    }

    fn see(&mut self, value: &Value, user: NonZeroU64) {
        let is_time = matches!(value, Value::Text(_)) && value.as_time().is_some();
        self.kinds.insert(if is_time { "time" } else { value.kind() });
        match value {
            Value::List(items) => items.iter().take(ITEMS).for_each(|it| self.see_one(it, user)),
            value => self.see_one(value, user),
        }
    }

    fn see_one(&mut self, value: &Value, user: NonZeroU64) {
        let is_short = match value {
            Value::Text(text) => text.len() <= VALUE_BYTES,
            Value::Bool(_) | Value::Number(_) => true,
            Value::Null | Value::List(_) | Value::Object(_) => return,
        };
        self.valued += 1;
        if is_short {
            self.values.see(value, Users::default).add(user);
        }
    }

    fn told(&self) -> Values {
        let all = self.values.most_first().into_iter();
        let shared = all.filter(|(_, _, users)| users.are_many());
        let values: Vec<_> = shared
            .filter(|(_, count, _)| count.saturating_mul(TOLD_OF) >= self.valued)
            .map(|(value, count, _)| (value.clone(), count))
            .collect();
        let covered: u64 = values.iter().map(|(_, count)| count).sum();
        let are_scattered = covered.saturating_mul(COVERED_OF) < self.valued;
        Values {
            count: self.valued,
            kinds: self.kinds.iter().copied().collect(),
            values: if are_scattered { Vec::new() } else { values },
            are_scattered,
        }
    }
}

impl Users {
    fn add(&mut self, user: NonZeroU64) {
        if !self.0.contains(&Some(user))
            && let Some(free) = self.0.iter_mut().find(|it| it.is_none())
        {
            *free = Some(user);
        }
    }

    fn are_many(&self) -> bool {
        self.0.iter().all(Option::is_some)
    }
}

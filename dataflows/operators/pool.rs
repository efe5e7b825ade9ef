//! The pool: every distinct value that users of a worker have, held once.
//!
//! Text that many users share (a country, a plan) costs each of them the four bytes of a
//! [`ValueId`], and to be equal is to have the same id. What patterns say of a value is remembered
//! beside it and goes when it goes.
//!
//! Cost: one hash of the value to take it up. State: each distinct value, and 24 bytes.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::model::Value;

/// A value of the pool, as long as someone uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(u32);

impl ValueId {
    /// The id as a number.
    pub fn number(self) -> u64 {
        self.0.into()
    }

    /// One of 64 bits, by which sets of values are told apart quickly.
    pub fn bit(self) -> u64 {
        1 << (self.0 & 63)
    }
}

/// The values (see the module).
#[derive(Debug, Default)]
pub struct Pool {
    entries: Vec<Entry>,
    by_value: HashTable<u32>,
    free: Vec<u32>,
    /// Uses given back that count until the end of the visit.
    retired: Vec<ValueId>,
    hasher: DefaultHashBuilder,
}

#[derive(Debug)]
struct Entry {
    value: Value,
    uses: u32,
    said: Option<Box<Said>>,
}

/// What the patterns on one attribute say of a value.
#[derive(Debug)]
struct Said {
    column: u32,
    /// The version of the patterns.
    version: u32,
    truths: u64,
    /// The same value may stand in other attributes.
    next: Option<Box<Said>>,
}

impl Pool {
    /// Takes up a value, for one more use.
    pub fn take(&mut self, value: &Value) -> ValueId {
        let hash = self.hasher.hash_one(value);
        let entries = &self.entries;
        if let Some(id) = self.by_value.find(hash, |id| entries[*id as usize].value == *value) {
            self.entries[*id as usize].uses += 1;
            return ValueId(*id);
        }
        let entry = Entry { value: value.clone(), uses: 1, said: None };
        let id = match self.free.pop() {
            Some(id) => {
                self.entries[id as usize] = entry;
                id
            }
            None => {
                self.entries.push(entry);
                u32::try_from(self.entries.len() - 1).expect("fewer than 2^32 distinct values")
            }
        };
        let (entries, hasher) = (&self.entries, &self.hasher);
        self.by_value.insert_unique(hash, id, |id| hasher.hash_one(&entries[*id as usize].value));
        ValueId(id)
    }

    /// One use less, once the visit is over: until then the id stays what it is.
    pub fn retire(&mut self, id: ValueId) {
        self.retired.push(id);
    }

    /// Ends a visit: what has been retired counts no more.
    pub fn sweep(&mut self) {
        while let Some(id) = self.retired.pop() {
            self.release(id);
        }
    }

    fn release(&mut self, id: ValueId) {
        let entry = &mut self.entries[id.0 as usize];
        entry.uses -= 1;
        if entry.uses > 0 {
            return;
        }
        let hash = self.hasher.hash_one(&entry.value);
        if let Ok(found) = self.by_value.find_entry(hash, |other| *other == id.0) {
            found.remove();
        }
        entry.value = Value::Null;
        entry.said = None;
        self.free.push(id.0);
    }

    /// The value.
    pub fn get(&self, id: ValueId) -> &Value {
        &self.entries[id.0 as usize].value
    }

    /// How many distinct values there are.
    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes it takes, but for what is inside lists and objects.
    pub fn bytes(&self) -> usize {
        let inside = |entry: &Entry| match &entry.value {
            Value::Text(text) => 2 * size_of::<usize>() + text.len(),
            _ => 0,
        };
        let said = |entry: &Entry| {
            let all = std::iter::successors(entry.said.as_deref(), |said| said.next.as_deref());
            all.count() * size_of::<Said>()
        };
        let entries = self.entries.iter().map(|entry| inside(entry) + said(entry));
        self.entries.capacity() * size_of::<Entry>()
            + self.by_value.capacity() * (size_of::<u32>() + 1) * 8 / 7
            + entries.sum::<usize>()
    }

    /// What the patterns of a column, in this version, say of the value: remembered, or asked.
    pub fn truths(
        &mut self,
        id: ValueId,
        (column, version): (u32, u32),
        ask: impl FnOnce(&Value) -> u64,
    ) -> u64 {
        let entry = &mut self.entries[id.0 as usize];
        let mut next = &mut entry.said;
        while next.as_ref().is_some_and(|said| said.column != column) {
            next = &mut next.as_mut().expect("it is one of another column").next;
        }
        match next {
            Some(said) if said.version == version => said.truths,
            Some(said) => {
                (said.version, said.truths) = (version, ask(&entry.value));
                said.truths
            }
            None => {
                let truths = ask(&entry.value);
                *next = Some(Box::new(Said { column, version, truths, next: None }));
                truths
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one_until_nobody_uses_them() {
        let mut pool = Pool::default();
        let (a, b) = (Value::text("a"), Value::text("b"));
        let first = pool.take(&a);
        assert_eq!(pool.take(&a), first);
        assert_ne!(pool.take(&b), first);
        pool.retire(first);
        pool.sweep();
        assert_eq!((pool.get(first), pool.len()), (&a, 2));
        pool.retire(first);
        assert_eq!(pool.get(first), &a, "what is retired stays to the end of the visit");
        pool.sweep();
        assert_eq!(pool.len(), 1);
        assert_eq!(pool.take(&Value::text("c")), first, "its place is used anew");
    }

    #[test]
    fn patterns_are_asked_once_a_version_and_value() {
        let mut pool = Pool::default();
        let id = pool.take(&Value::text("a"));
        assert_eq!(pool.truths(id, (0, 0), |_| 5), 5);
        assert_eq!(pool.truths(id, (1, 0), |_| 6), 6);
        assert_eq!(pool.truths(id, (0, 0), |_| unreachable!("it was asked")), 5);
        assert_eq!(pool.truths(id, (0, 1), |_| 7), 7);
        pool.retire(id);
        pool.sweep();
        let id = pool.take(&Value::text("b"));
        assert_eq!(pool.truths(id, (0, 1), |_| 8), 8, "another value in the same place");
    }
}

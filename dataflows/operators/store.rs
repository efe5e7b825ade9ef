//! What the users of a worker share: the values they have, and numbers for attribute names.

use std::hash::BuildHasherDefault;

use hashbrown::HashMap;

use super::pool::Pool;
use super::users::KeyHasher;
use crate::model::AttributeKey;

/// An attribute, as one worker knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributeNumber(pub u32);

/// Values and attribute names (see the module).
#[derive(Debug, Default)]
pub struct Store {
    /// The values.
    pub pool: Pool,
    /// By number, the attribute.
    keys: Vec<AttributeKey>,
    numbers: HashMap<AttributeKey, AttributeNumber, BuildHasherDefault<KeyHasher>>,
}

impl Store {
    /// The number of an attribute, a new one if it is new.
    pub fn number(&mut self, key: AttributeKey) -> AttributeNumber {
        let Store { keys, numbers, .. } = self;
        *numbers.entry(key).or_insert_with(|| {
            keys.push(key);
            let number = u32::try_from(keys.len() - 1);
            AttributeNumber(number.expect("fewer than 2^32 attribute names"))
        })
    }

    /// The number of an attribute, or one that no attribute has.
    pub fn find(&self, key: AttributeKey) -> AttributeNumber {
        self.numbers.get(&key).copied().unwrap_or(AttributeNumber(u32::MAX))
    }

    /// The attribute of a number.
    pub fn key(&self, number: AttributeNumber) -> AttributeKey {
        *self.keys.get(number.0 as usize).expect("an attribute number is one of its store")
    }
}

//! A hash table in parts, so that none who adds to it waits until all of it has moved.
//!
//! A table that is full is copied into one of twice the size: of a million entries that takes tens
//! of milliseconds, in which nothing else is done. Of a table in parts one part at a time is copied;
//! chance sees to it that they do not fill up at the same instant. Cost: one look at the list of
//! parts more than a single table.

use hashbrown::HashTable;

/// How many parts there are.
const PARTS: usize = 64;
/// Which bits of a hash tell the part: tables themselves take their places from the lowest bits and
/// their tags from the highest.
const PART_FROM_BIT: u32 = 40;

/// The table (see the module).
#[derive(Debug)]
pub struct Spread<T> {
    parts: Vec<HashTable<T>>,
}

impl<T> Default for Spread<T> {
    fn default() -> Self {
        Spread { parts: std::iter::repeat_with(HashTable::new).take(PARTS).collect() }
    }
}

impl<T> Spread<T> {
    /// The part where what has this hash is, if it is anywhere.
    pub fn part(&self, hash: u64) -> &HashTable<T> {
        &self.parts[place(hash)]
    }

    /// The same, to be changed.
    pub fn part_mut(&mut self, hash: u64) -> &mut HashTable<T> {
        &mut self.parts[place(hash)]
    }

    /// What is most likely the entry of this hash, of which a few bits are compared. It is cheap, and
    /// brings near what a look at the entry needs.
    pub fn likely(&self, hash: u64) -> Option<&T> {
        self.part(hash).find(hash, |_| true)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.parts.iter().map(HashTable::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.parts.iter().all(HashTable::is_empty)
    }

    /// For how many there is room.
    pub fn capacity(&self) -> usize {
        self.parts.iter().map(HashTable::capacity).sum()
    }

    /// Takes all entries away, and keeps the room they had.
    pub fn clear(&mut self) {
        self.parts.iter_mut().for_each(HashTable::clear);
    }
}

fn place(hash: u64) -> usize {
    (hash >> PART_FROM_BIT) as usize % PARTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_grow_by_turns() {
        let mut spread = Spread::default();
        let (mut capacity, mut longest) = (0, 0);
        for number in 0..100_000_u64 {
            let hash = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            spread.part_mut(hash).insert_unique(hash, hash, |it| *it);
            let grown = spread.capacity() - std::mem::replace(&mut capacity, spread.capacity());
            longest = longest.max(grown);
        }
        assert_eq!(spread.len(), 100_000);
        assert!(longest <= 2_048, "room for {longest} was made at once");
        let found = |number: u64| {
            let hash = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            spread.part(hash).find(hash, |it| *it == hash).is_some()
        };
        assert!((0..100_000).all(found) && !found(100_000));
        spread.clear();
        assert!(spread.is_empty() && spread.capacity() == capacity);
    }
}

//! A set of users of a worker, a bit each.

use super::users::Slot;

/// The users (see the module).
#[derive(Debug, Default, Clone)]
pub struct Slots {
    words: Vec<u64>,
}

const BITS: u32 = u64::BITS;

impl Slots {
    /// Puts a user in; says whether that was new.
    pub fn put(&mut self, slot: Slot) -> bool {
        let (word, bit) = self.place(slot);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// Takes a user out; says whether they were in.
    pub fn take(&mut self, slot: Slot) -> bool {
        let Some(word) = self.words.get_mut((slot / BITS) as usize) else { return false };
        let bit = 1 << (slot % BITS);
        let was = *word & bit != 0;
        *word &= !bit;
        was
    }

    /// Puts a user in or takes one out.
    pub fn set(&mut self, slot: Slot, member: bool) {
        let (word, bit) = self.place(slot);
        if member {
            *word |= bit;
        } else {
            *word &= !bit;
        }
    }

    /// The word and the bit of a user, for whom room is made.
    fn place(&mut self, slot: Slot) -> (&mut u64, u64) {
        let at = (slot / BITS) as usize;
        if self.words.len() <= at {
            self.words.resize(at + 1, 0);
        }
        (&mut self.words[at], 1 << (slot % BITS))
    }

    /// The bytes they take.
    pub fn bytes(&self) -> usize {
        self.words.capacity() * size_of::<u64>()
    }

    /// Who is in this set and not in the other.
    pub fn without<'a>(&'a self, other: &'a Slots) -> impl Iterator<Item = Slot> + 'a {
        let others = other.words.iter().copied().chain(std::iter::repeat(0));
        self.words.iter().zip(others).enumerate().flat_map(|(at, (mine, others))| {
            let mut left = mine & !others;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(at as u32 * BITS + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_taken_from_one_another() {
        let (mut left, mut right) = (Slots::default(), Slots::default());
        for slot in [0, 63, 64, 200] {
            left.set(slot, true);
        }
        for slot in [63, 1_000] {
            right.set(slot, true);
        }
        left.set(0, false);
        assert_eq!(left.without(&right).collect::<Vec<_>>(), [64, 200]);
        assert_eq!(right.without(&left).collect::<Vec<_>>(), [1_000]);
    }
}

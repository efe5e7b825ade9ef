//! The different users who did something: HyperLogLog for how many, and theta for sets of them.
//!
//! HyperLogLog errs half as much in a quarter of the room, but knows nothing of what two sets have
//! in common; theta does. Few users are counted exactly.

use datasketches::hll::{HllSketch, HllType, HllUnion};

use super::panes::{Sketch, Unreadable};
use super::set::{Count, DEVIATIONS, Set};
use crate::codec::{Entries, write_unsigned};
use crate::model::UserKey;

/// The number of registers, as a power of two: a standard error of 1.04/√16384 = 0.81 % in 8 KiB.
pub const LG_REGISTERS: u8 = 14;

const VALID: &str = "the number of registers is within what the sketch allows";

/// The users who did something.
#[derive(Debug, Clone)]
pub struct Distinct {
    set: Set,
    registers: HllSketch,
}

impl Default for Distinct {
    fn default() -> Self {
        let registers = HllSketch::new(LG_REGISTERS, HllType::Hll4).expect(VALID);
        Distinct { set: Set::default(), registers }
    }
}

impl Distinct {
    /// Adds a user.
    pub fn insert(&mut self, user: UserKey) {
        self.set.insert(user);
        self.registers.update(user.bucket());
    }

    /// Who they are, as far as sets can be put together from it.
    pub fn set(&self) -> &Set {
        &self.set
    }

    /// How many different users there are in some of these together.
    pub fn count<'a>(all: impl IntoIterator<Item = &'a Distinct>) -> Count {
        let all: Vec<_> = all.into_iter().collect();
        let exact = Set::union(all.iter().map(|it| &it.set)).count();
        if exact.is_exact {
            return exact;
        }
        let registers = union(all.iter().map(|it| &it.registers));
        Count {
            estimate: registers.estimate(),
            low: registers.lower_bound(DEVIATIONS),
            high: registers.upper_bound(DEVIATIONS),
            is_exact: false,
        }
    }
}

impl Sketch for Distinct {
    const FORM: u64 = (Set::FORM << 8) | LG_REGISTERS as u64;

    fn close(&mut self) {
        self.set.close();
    }

    fn absorb(&mut self, other: &Self) {
        self.set.absorb(&other.set);
        self.registers = union([&self.registers, &other.registers]);
    }

    fn to_bytes(&self) -> Vec<u8> {
        let (set, registers) = (self.set.to_bytes(), self.registers.serialize());
        let mut bytes = Vec::with_capacity(set.len() + registers.len() + 9);
        write_unsigned(set.len() as u64, &mut bytes);
        bytes.extend(set);
        bytes.extend(registers);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, Unreadable> {
        let mut entries = Entries::new(bytes);
        let mut set = || {
            let length = entries.unsigned()?;
            entries.bytes(usize::try_from(length).unwrap_or(usize::MAX))
        };
        let set = set().map_err(|(_, cause)| Unreadable(cause.to_string()))?;
        let registers = HllSketch::deserialize(&bytes[entries.read_bytes()..]);
        let registers = registers.map_err(|error| Unreadable(error.to_string()))?;
        Ok(Distinct { set: Set::from_bytes(set)?, registers })
    }
}

fn union<'a>(all: impl IntoIterator<Item = &'a HllSketch>) -> HllSketch {
    let mut union = HllUnion::new(LG_REGISTERS).expect(VALID);
    all.into_iter().for_each(|it| union.update(it));
    union.to_sketch(HllType::Hll4)
}

//! Comparisons of attributes as machine words: values become keys on one line, in the order of
//! numbers, and a [`Leaf`] asks whether a key lies within a stretch of it.
//!
//! ```text
//! missing  list/object  false  true  long number │ numbers, in their order │ texts, by id
//!    0          1         2     3         4      │  as ordered f64 bits    │ 0xfff8…
//! ```
//! So `is_null`, `eq`, `gt` and the rest are one subtraction and one comparison, without a branch
//! on what kind of value it is. `in` tests a bit of the text's id against a mask, and asks only
//! where that lets it through.

use crate::operators::cell::Cell;
use crate::operators::plan::ConditionId;
use crate::operators::pool::ValueId;

/// Index of an attribute, or of a pattern on one, among those that rules ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Column(pub u32);

impl Column {
    /// How many there can be.
    pub const LIMIT: usize = 1 << 27;
}

/// A value ready to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Code {
    /// The value.
    pub cell: Cell,
    /// Which of the first 64 patterns on its attribute hold.
    pub truths: u64,
}

/// Where a value stands on the line.
pub mod key {
    use super::{Cell, ValueId};

    /// Nothing.
    pub const MISSING: u64 = 0;
    /// The least key of a value.
    pub const PRESENT: u64 = COMPOUND;
    /// The least key of a value that is neither a list nor an object.
    pub const SCALAR: u64 = 2;
    const COMPOUND: u64 = 1;
    const WIDE: u64 = 4;
    /// No value stands here.
    pub(super) const NOWHERE: u64 = 5;
    /// The least key of a text.
    pub(super) const TEXT: u64 = 0xfff8_0000_0000_0000;
    /// The least number.
    pub const LEAST: u64 = 0x0010_0000_0000_0000;
    /// The greatest number.
    pub const GREATEST: u64 = 0xffef_ffff_ffff_ffff;

    /// Of a number.
    pub fn number(value: f64) -> u64 {
        let bits = value.to_bits();
        if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
    }

    /// Of a text.
    pub fn text(id: ValueId) -> u64 {
        TEXT | id.number()
    }

    /// Of a boolean.
    pub fn flag(flag: bool) -> u64 {
        SCALAR + u64::from(flag)
    }

    /// Of any value.
    pub fn of(cell: Cell) -> u64 {
        match cell {
            Cell::Missing => MISSING,
            Cell::Flag(value) => flag(value),
            Cell::Number(short) => number(short.to_f64()),
            Cell::Wide(_) => WIDE,
            Cell::Text(id) => text(id),
            Cell::Compound(_) => COMPOUND,
        }
    }
}

/// The codes of one user, by column.
#[derive(Debug, Default)]
pub struct Codes {
    slots: Vec<Slot>,
    cells: Vec<Cell>,
    set: Vec<Column>,
    /// Whether some number is too long for the line: then keys do not tell everything.
    wide: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    key: u64,
    /// Of a text, one bit by its id.
    bit: u64,
}

impl Codes {
    /// Forgets the user, and makes room for so many columns.
    pub fn clear(&mut self, columns: usize) {
        for column in self.set.drain(..) {
            self.slots[column.0 as usize] = Slot::default();
            self.cells[column.0 as usize] = Cell::Missing;
        }
        self.wide = false;
        let columns = columns.max(1); // a guard that lets everything pass looks at one, too
        if self.slots.len() < columns {
            self.slots.resize(columns, Slot::default());
            self.cells.resize(columns, Cell::Missing);
        }
    }

    /// Whether some number is too long for guards to be trusted.
    pub fn are_wide(&self) -> bool {
        self.wide
    }

    /// Whether the text a leaf asks for is one of these, or is none where it is inverted.
    pub fn is_one_of(&self, keys: &[u64], leaf: Leaf) -> bool {
        let key = self.slots[(leaf.packed & !KINDS) as usize].key;
        let is_in = |keys: &[u64]| keys.iter().fold(false, |found, it| found | (*it == key));
        keys.chunks(8).any(is_in) != leaf.is_inverted()
    }

    /// The value in a column.
    pub fn cell(&self, column: Column) -> Cell {
        self.cells[column.0 as usize]
    }

    /// Puts a value into a column.
    pub fn set(&mut self, column: Column, cell: Cell) {
        let bit = if let Cell::Text(id) = cell { id.bit() } else { 0 };
        self.slots[column.0 as usize] = Slot { key: key::of(cell), bit };
        self.cells[column.0 as usize] = cell;
        self.wide |= matches!(cell, Cell::Wide(_));
        self.set.push(column);
    }

    /// Puts the truth of a pattern into its column.
    pub fn set_truth(&mut self, column: Column, holds: bool) {
        self.slots[column.0 as usize] = Slot { key: u64::from(holds), bit: 0 };
        self.set.push(column);
    }
}

/// A comparison ready to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf {
    /// Where the stretch begins; or the mask; or what is to be asked.
    low: u64,
    /// How far it goes.
    span: u64,
    /// The column, and above it what kind of leaf it is.
    packed: u32,
    condition: ConditionId,
}

/// It holds where the test does not.
const INVERTED: u32 = 1 << 31;
/// The test is of bits.
const MASK: u32 = 1 << 30;
/// Only the condition itself can tell.
const ASK: u32 = 1 << 29;
/// It is of persons; which of the program's is in `low`.
const PERSON: u32 = 1 << 28;
/// It is of texts; which of the programs' is in `low` and `span`.
const TEXTS: u32 = 1 << 27;
/// All of the above.
const KINDS: u32 = INVERTED | MASK | ASK | PERSON | TEXTS;

impl Leaf {
    /// True of everyone: as a guard it lets everything pass.
    pub const ALWAYS: Leaf =
        Leaf { low: 0, span: u64::MAX, packed: 0, condition: ConditionId(u32::MAX) };

    /// The key lies between these, both included.
    pub fn within(low: u64, high: u64, column: Column, condition: ConditionId) -> Self {
        Leaf { low, span: high - low, packed: column.0, condition }
    }

    /// The key is this.
    pub fn at(key: u64, column: Column, condition: ConditionId) -> Self {
        Leaf::within(key, key, column, condition)
    }

    /// It may be one of the texts with these bits; the others it is not.
    pub fn maybe(bits: u64, column: Column, condition: ConditionId) -> Self {
        Leaf { low: bits, span: 0, packed: column.0 | MASK, condition }
    }

    /// What only the condition itself can tell.
    pub fn ask(condition: ConditionId) -> Self {
        Leaf { low: 0, span: 0, packed: ASK, condition }
    }

    /// Whether the user is one of those with this number in a program.
    pub fn person(number: u64) -> Self {
        Leaf { low: number, span: 0, packed: PERSON, condition: ConditionId(u32::MAX) }
    }

    /// The text is one of a list, which begins there in the programs' and is so long.
    pub fn texts(start: usize, length: usize, like: Leaf) -> Self {
        let packed = like.packed & !KINDS | TEXTS | like.packed & INVERTED;
        Leaf { low: start as u64, span: length as u64, packed, ..like }
    }

    /// Where the list of texts is.
    pub fn list(self) -> Option<std::ops::Range<usize>> {
        let start = self.low as usize;
        (self.packed & TEXTS != 0).then(|| start..start + self.span as usize)
    }

    /// The opposite.
    #[must_use]
    pub fn inverted(self) -> Self {
        Leaf { packed: self.packed ^ INVERTED, ..self }
    }

    /// The condition it is of.
    pub fn condition(self) -> ConditionId {
        self.condition
    }

    /// Whether a key is all it needs.
    pub fn is_quick(self) -> bool {
        self.packed & (ASK | PERSON | TEXTS) == 0
    }

    /// Whether it asks for a bit only: then it may hold where the condition does not.
    pub fn is_maybe(self) -> bool {
        self.packed & MASK != 0
    }

    /// Whether it holds where its test does not.
    pub fn is_inverted(self) -> bool {
        self.packed & INVERTED != 0
    }

    /// Which persons it is of.
    pub fn persons(self) -> Option<u64> {
        (self.packed & PERSON != 0).then_some(self.low)
    }

    /// Whether it holds; `ask` answers for its condition.
    #[inline]
    pub fn holds(&self, codes: &Codes, ask: impl FnOnce(Leaf) -> bool) -> bool {
        if self.is_quick() && !(codes.wide && self.is_of_wide(codes)) {
            return self.holds_of(&codes.slots[(self.packed & !KINDS) as usize]);
        }
        ask(*self)
    }

    fn holds_of(&self, slot: &Slot) -> bool {
        let within = slot.key.wrapping_sub(self.low) <= self.span;
        let shares = slot.bit & self.low != 0;
        let is_mask = self.is_maybe();
        ((within & !is_mask) | (shares & is_mask)) != self.is_inverted()
    }

    fn is_of_wide(&self, codes: &Codes) -> bool {
        matches!(codes.cells[(self.packed & !KINDS) as usize], Cell::Wide(_))
    }
}

/// A leaf that lets pass where it holds, of whichever kind it is: the key lies within a stretch, or
/// the text's bit is in the mask.
#[derive(Debug, Clone, Copy)]
#[repr(C, packed(4))]
pub struct Guard {
    low: u64,
    span: u64,
    mask: u64,
    column: Column,
}

impl From<Leaf> for Guard {
    /// The opposite of a stretch is what goes on where it ends, round to where it begins.
    fn from(leaf: Leaf) -> Self {
        let Leaf { low, span, packed, .. } = leaf;
        let (low, span, mask) = match (leaf.is_maybe(), leaf.is_inverted()) {
            (false, false) => (low, span, 0),
            (false, true) if span == u64::MAX => (key::NOWHERE, 0, 0),
            (false, true) => (low.wrapping_add(span + 1), u64::MAX - span - 1, 0),
            (true, false) => (key::NOWHERE, 0, low),
            (true, true) => (key::MISSING, key::TEXT - 1, !low),
        };
        Guard { low, span, mask, column: Column(packed & !KINDS) }
    }
}

impl Guard {
    /// Whether it lets pass. Not to be trusted where [`Codes::are_wide`], nor of a leaf that is not
    /// quick.
    #[inline]
    pub fn passes(&self, codes: &Codes) -> bool {
        let slot = &codes.slots[self.column.0 as usize];
        // Without a branch: what comes next is no more than a guess.
        (slot.key.wrapping_sub(self.low) <= self.span) | (slot.bit & self.mask != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Decimal, Value};
    use crate::operators::pool::Pool;

    #[test]
    fn values_stand_on_one_line() {
        let mut pool = Pool::default();
        let number = |text: &str| Value::Number(Decimal::parse(text).unwrap());
        let line = [
            Value::Null,
            Value::List([].into()),
            Value::Bool(false),
            Value::Bool(true),
            number("1e300"),
            number("-99999999999999e22"),
            number("-0.5"),
            number("0"),
            number("1e-22"),
            number("3"),
            Value::text(""),
        ];
        let keys: Vec<u64> = line.iter().map(|it| key::of(Cell::new(it, &mut pool))).collect();
        assert!(keys.is_sorted_by(|left, right| left < right), "{keys:x?}");
        assert!(keys[5..10].iter().all(|it| (key::LEAST..=key::GREATEST).contains(it)));
        assert!(keys[2] == key::SCALAR && keys[1] == key::PRESENT && keys[0] == key::MISSING);
    }

    #[test]
    fn a_guard_lets_pass_where_its_leaf_holds() {
        let (column, condition) = (Column(0), ConditionId(0));
        let mut pool = Pool::default();
        let mut cells = vec![Cell::Missing, Cell::Flag(false), Cell::Flag(true)];
        let numbers = ["-9999", "-1", "0", "0.5", "2", "1e9"].map(|it| Decimal::parse(it).unwrap());
        let texts = (0..100).map(|it| Value::text(&it.to_string()));
        let values = numbers.map(Value::Number).into_iter().chain(texts);
        cells.extend(values.map(|it| Cell::new(&it, &mut pool)));
        cells.push(Cell::new(&Value::List([].into()), &mut pool));
        let keys: Vec<u64> = cells.iter().map(|it| key::of(*it)).collect();
        let within = |low: &u64, high: &u64| Leaf::within(*low, *high, column, condition);
        let mut leaves = vec![Leaf::ALWAYS, within(&0, &(u64::MAX - 1)), within(&1, &u64::MAX)];
        for low in &keys {
            leaves.extend(keys.iter().filter(|high| *high >= low).map(|high| within(low, high)));
        }
        let bits = [0, 1, 0b1001, u64::MAX, u64::MAX << 7];
        leaves.extend(bits.map(|bits| Leaf::maybe(bits, column, condition)));
        for leaf in leaves.iter().flat_map(|leaf| [*leaf, leaf.inverted()]) {
            for cell in &cells {
                let mut codes = Codes::default();
                codes.clear(1);
                codes.set(column, *cell);
                let holds = leaf.holds(&codes, |_| unreachable!("they are all quick"));
                assert_eq!(Guard::from(leaf).passes(&codes), holds, "{leaf:?} of {cell:?}");
            }
        }
    }

    #[test]
    fn a_leaf_holds_within_its_stretch() {
        let (column, condition) = (Column(0), ConditionId(0));
        let mut codes = Codes::default();
        codes.clear(1);
        let mut holds = |leaf: Leaf, flag| {
            codes.set(column, flag);
            leaf.holds(&codes, |_| unreachable!("a flag is quick"))
        };
        let scalar = Leaf::within(key::SCALAR, u64::MAX, column, condition);
        let flag = Leaf::at(key::flag(true), column, condition);
        for (cell, is_scalar, is_true) in [
            (Cell::Missing, false, false),
            (Cell::Flag(false), true, false),
            (Cell::Flag(true), true, true),
        ] {
            assert_eq!(holds(scalar, cell), is_scalar);
            assert_eq!(holds(flag, cell), is_true);
            assert_eq!(holds(flag.inverted(), cell), !is_true);
            assert!(holds(Leaf::ALWAYS, cell));
        }
    }
}

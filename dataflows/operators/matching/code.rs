//! Comparisons of attributes as machine words: a [`Code`] is a value ready to be compared, a
//! [`Leaf`] a comparison ready to be made.

use super::super::cell::Cell;
use super::super::plan::ConditionId;

/// Index of an attribute among those that rules read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Column(pub u32);

impl Column {
    /// How many there can be: a leaf has 24 bits for it.
    pub const LIMIT: usize = 1 << 24;
}

/// A value ready to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Code {
    /// The value.
    pub cell: Cell,
    /// Of a short number: its `f64`. Of a value of the pool: the truths of the first 64 patterns.
    pub word: u64,
}

impl Code {
    /// The number, if it is a short one.
    pub fn number(self) -> Option<f64> {
        matches!(self.cell, Cell::Number(_)).then(|| f64::from_bits(self.word))
    }
}

/// The codes of one user, by column.
#[derive(Debug, Default)]
pub struct Codes {
    codes: Vec<Code>,
    set: Vec<Column>,
}

impl Codes {
    /// Forgets the user, and makes room for so many columns.
    pub fn clear(&mut self, columns: usize) {
        for column in self.set.drain(..) {
            self.codes[column.0 as usize] = Code::default();
        }
        if self.codes.len() < columns {
            self.codes.resize(columns, Code::default());
        }
    }

    /// What stands in a column.
    pub fn get(&self, column: Column) -> Code {
        self.codes[column.0 as usize]
    }

    /// Puts a code into a column.
    pub fn set(&mut self, column: Column, code: Code) {
        self.codes[column.0 as usize] = code;
        self.set.push(column);
    }
}

/// How a leaf compares. Numbers are short ones; what they compare with is the operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Op {
    /// True of everyone.
    Always,
    /// What only the condition itself can tell.
    Ask,
    /// A list of users or a share of them; the operand says which of the program's.
    Person,
    /// There is no value.
    Missing,
    /// There is one.
    Present,
    /// This number.
    SameNumber,
    /// Another scalar than this number.
    OtherNumber,
    /// Above the number.
    Above,
    /// At or above it.
    AtLeast,
    /// Below it.
    Below,
    /// At or below it.
    AtMost,
    /// This text: the operand is its cell's id.
    SameText,
    /// Another scalar than this text.
    OtherText,
    /// This boolean.
    SameFlag,
    /// Another scalar than this boolean.
    OtherFlag,
    /// One of these texts: the operand has the bits of their ids.
    AnyText,
    /// None of these texts, but a scalar.
    NoText,
    /// The pattern of this number.
    Pattern,
}

/// A comparison ready to be made: 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf {
    operand: u64,
    condition: ConditionId,
    /// The column, shifted up by eight; [`WANTED`]; the operator.
    packed: u32,
}

/// Set where a guard lets pass if the comparison holds, and not if it does not.
const WANTED: u32 = 1 << 7;

/// All operators, in the order of their numbers.
const OPS: [Op; 18] = {
    use Op::*;
    [
        Always,
        Ask,
        Person,
        Missing,
        Present,
        SameNumber,
        OtherNumber,
        Above,
        AtLeast,
        Below,
        AtMost,
        SameText,
        OtherText,
        SameFlag,
        OtherFlag,
        AnyText,
        NoText,
        Pattern,
    ]
};

impl Leaf {
    /// True of everyone: as a guard it lets everything pass.
    pub const ALWAYS: Leaf =
        Leaf { operand: 0, condition: ConditionId(u32::MAX), packed: WANTED | Op::Always as u32 };

    /// A comparison of the condition.
    pub fn new(op: Op, operand: u64, condition: ConditionId, column: Column) -> Self {
        Leaf { operand, condition, packed: column.0 << 8 | WANTED | op as u32 }
    }

    /// Whether the user is one of those with this number in a program.
    pub fn person(number: u64) -> Self {
        Leaf::new(Op::Person, number, ConditionId(u32::MAX), Column(0))
    }

    /// Lets pass if its truth is this.
    #[must_use]
    pub fn wanting(self, wanted: bool) -> Self {
        let packed = if wanted { self.packed | WANTED } else { self.packed & !WANTED };
        Leaf { packed, ..self }
    }

    /// How it compares.
    pub fn op(self) -> Op {
        OPS[(self.packed & (WANTED - 1)) as usize]
    }

    /// What it compares with.
    pub fn operand(self) -> u64 {
        self.operand
    }

    /// The condition it is of.
    pub fn condition(self) -> ConditionId {
        self.condition
    }

    /// The column it reads.
    pub fn column(self) -> Column {
        Column(self.packed >> 8)
    }

    /// Whether a code is all it needs.
    pub fn is_quick(self) -> bool {
        !matches!(self.op(), Op::Ask | Op::Person)
    }

    /// As a guard: whether it lets pass.
    #[inline]
    pub fn passes(self, codes: &Codes, ask: impl FnOnce(Leaf) -> bool) -> bool {
        self.holds(codes, ask) == (self.packed & WANTED != 0)
    }

    /// Whether it holds; `ask` answers what the code alone does not tell.
    #[inline]
    pub fn holds(self, codes: &Codes, ask: impl FnOnce(Leaf) -> bool) -> bool {
        let op = self.op();
        match op {
            Op::Always => return true,
            Op::Ask | Op::Person => return ask(self),
            _ => {}
        }
        let code = codes.get(self.column());
        match op {
            Op::Missing => code.cell == Cell::Missing,
            Op::Present => code.cell != Cell::Missing,
            Op::Above | Op::AtLeast | Op::Below | Op::AtMost => match code.cell {
                Cell::Number(_) => {
                    let (value, bound) = (f64::from_bits(code.word), f64::from_bits(self.operand));
                    match op {
                        Op::Above => value > bound,
                        Op::AtLeast => value >= bound,
                        Op::Below => value < bound,
                        _ => value <= bound,
                    }
                }
                Cell::Wide(_) => ask(self),
                _ => false,
            },
            Op::SameNumber => matches!(code.cell, Cell::Number(_)) && code.word == self.operand,
            Op::SameText => matches!(code.cell, Cell::Text(id) if id.number() == self.operand),
            Op::SameFlag => {
                matches!(code.cell, Cell::Flag(flag) if u64::from(flag) == self.operand)
            }
            Op::OtherNumber => match code.cell {
                Cell::Number(_) => code.word != self.operand,
                other => is_scalar(other),
            },
            Op::OtherText => match code.cell {
                Cell::Text(id) => id.number() != self.operand,
                other => is_scalar(other),
            },
            Op::OtherFlag => match code.cell {
                Cell::Flag(flag) => u64::from(flag) != self.operand,
                other => is_scalar(other),
            },
            Op::AnyText => match code.cell {
                Cell::Text(id) => id.bit() & self.operand != 0 && ask(self),
                _ => false,
            },
            Op::NoText => match code.cell {
                Cell::Text(id) => id.bit() & self.operand == 0 || ask(self),
                other => is_scalar(other),
            },
            Op::Pattern => match code.cell {
                Cell::Missing => false,
                Cell::Text(_) | Cell::Wide(_) | Cell::Compound(_) if self.operand < 64 => {
                    code.word >> self.operand & 1 == 1
                }
                _ => ask(self),
            },
            Op::Always | Op::Ask | Op::Person => true, // answered above
        }
    }
}

/// Whether it is a value that is neither a list nor an object.
pub(super) fn is_scalar(cell: Cell) -> bool {
    !matches!(cell, Cell::Missing | Cell::Compound(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_are_small_and_keep_what_they_are_made_of() {
        assert_eq!(size_of::<Leaf>(), 16);
        for (number, op) in OPS.into_iter().enumerate() {
            assert_eq!(op as usize, number);
            let leaf = Leaf::new(op, 7, ConditionId(3), Column(Column::LIMIT as u32 - 1));
            assert_eq!((leaf.op(), leaf.operand(), leaf.condition()), (op, 7, ConditionId(3)));
            assert_eq!(leaf.wanting(false).column().0 as usize, Column::LIMIT - 1);
        }
    }
}

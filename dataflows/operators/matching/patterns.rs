//! What has to be asked value by value: patterns of text, lists, times. Each has a number; what the
//! first 64 say of a value of the pool is one word, remembered with the value; each of those has a
//! column of its own, in which its truth stands.

use hashbrown::HashMap;

use super::code::{Code, Column};
use crate::model::Value;
use crate::operators::cell::Cell;
use crate::operators::plan::ConditionId;
use crate::operators::pool::Pool;
use crate::rule::Test;

/// How many have their truths in one word.
const FIRST: usize = 64;

/// The patterns on one attribute.
#[derive(Debug, Default)]
pub struct Patterns {
    tests: Vec<Option<Test>>,
    /// The columns of the first ones.
    columns: Vec<Column>,
    numbers: HashMap<ConditionId, usize>,
    /// Numbers that were given back.
    free: Vec<usize>,
    /// Changes whenever there is a new one: what is remembered of values says nothing of it.
    version: u32,
}

impl Patterns {
    /// Whether there never was one.
    pub fn is_empty(&self) -> bool {
        self.tests.is_empty()
    }

    /// The number of a condition's pattern, and its column if it has one; `new` columns are there
    /// for the asking.
    pub fn enter(
        &mut self,
        condition: ConditionId,
        test: &Test,
        new: impl FnOnce() -> Column,
    ) -> (usize, Option<Column>) {
        let Patterns { tests, columns, numbers, free, version } = self;
        let number = *numbers.entry(condition).or_insert_with(|| {
            *version = version.wrapping_add(1);
            let number = free.pop().unwrap_or(tests.len());
            if number == tests.len() {
                tests.push(None);
            }
            if number == columns.len() && number < FIRST {
                columns.push(new());
            }
            tests[number] = Some(test.clone());
            number
        });
        (number, columns.get(number).copied())
    }

    /// The columns of these patterns.
    pub fn columns(&self, mut truths: u64) -> impl Iterator<Item = Column> {
        std::iter::from_fn(move || {
            let number = (truths != 0).then(|| truths.trailing_zeros() as usize)?;
            truths &= truths - 1;
            self.columns.get(number).copied()
        })
    }

    /// Forgets a condition.
    pub fn leave(&mut self, condition: ConditionId) {
        if let Some(number) = self.numbers.remove(&condition) {
            self.tests[number] = None;
            self.free.push(number);
        }
    }

    /// The code of a cell of this attribute.
    pub fn code(&self, column: Column, cell: Cell, pool: &mut Pool) -> Code {
        let truths = match cell {
            _ if self.tests.is_empty() => 0,
            Cell::Missing => 0,
            Cell::Flag(_) | Cell::Number(_) => {
                cell.value(pool).map_or(0, |value| self.first_truths(&value))
            }
            Cell::Text(id) | Cell::Wide(id) | Cell::Compound(id) => {
                pool.truths(id, (column.0, self.version), |value| self.first_truths(value))
            }
        };
        Code { cell, truths }
    }

    fn first_truths(&self, value: &Value) -> u64 {
        let truth = |test: &Option<Test>| {
            u64::from(test.as_ref().is_some_and(|test| test.holds(Some(value)).holds()))
        };
        (0..FIRST).zip(&self.tests).fold(0, |all, (number, test)| all | truth(test) << number)
    }

    /// The numbers of patterns whose truths differ between the two.
    pub(super) fn that_differ(
        &self,
        old: Code,
        new: Code,
        pool: &Pool,
        mut each: impl FnMut(usize),
    ) {
        if self.tests.is_empty() {
            return;
        }
        let mut differ = old.truths ^ new.truths;
        while differ != 0 {
            each(differ.trailing_zeros() as usize);
            differ &= differ - 1;
        }
        if self.tests.len() > FIRST {
            let (old, new) = (old.cell.value(pool), new.cell.value(pool));
            for (number, test) in self.tests.iter().enumerate().skip(FIRST) {
                let Some(test) = test else { continue };
                let holds = |value: &Option<Value>| test.holds(value.as_ref()).holds();
                if holds(&old) != holds(&new) {
                    each(number);
                }
            }
        }
    }
}

//! What has to be asked value by value: patterns of text, lists, times. Each has a number; what the
//! first 64 say of a value of the pool is one word, remembered with the value.

use hashbrown::HashMap;

use super::code::{Code, Column};
use crate::model::Value;
use crate::operators::cell::Cell;
use crate::operators::plan::ConditionId;
use crate::operators::pool::Pool;
use crate::rule::Test;

/// The patterns on one attribute.
#[derive(Debug, Default)]
pub struct Patterns {
    tests: Vec<Option<Test>>,
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

    /// The number of a condition's pattern.
    pub fn enter(&mut self, condition: ConditionId, test: &Test) -> usize {
        let Patterns { tests, numbers, free, version } = self;
        *numbers.entry(condition).or_insert_with(|| {
            *version = version.wrapping_add(1);
            let number = free.pop().unwrap_or(tests.len());
            if number == tests.len() {
                tests.push(None);
            }
            tests[number] = Some(test.clone());
            number
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
        let word = match cell {
            Cell::Number(short) => short.to_f64().to_bits(),
            Cell::Text(id) | Cell::Wide(id) | Cell::Compound(id) if !self.tests.is_empty() => {
                pool.truths(id, (column.0, self.version), |value| self.first_truths(value))
            }
            _ => 0,
        };
        Code { cell, word }
    }

    fn first_truths(&self, value: &Value) -> u64 {
        let truth = |test: &Option<Test>| {
            u64::from(test.as_ref().is_some_and(|test| test.holds(Some(value)).holds()))
        };
        (0..64).zip(&self.tests).fold(0, |all, (number, test)| all | truth(test) << number)
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
        let has_word = |code: Code| code.cell.pooled().is_some() || code.cell == Cell::Missing;
        let mut asked_from = 0;
        if has_word(old) && has_word(new) {
            let mut differ = old.word ^ new.word;
            while differ != 0 {
                each(differ.trailing_zeros() as usize);
                differ &= differ - 1;
            }
            asked_from = 64;
        }
        if self.tests.len() > asked_from {
            let (old, new) = (old.cell.value(pool), new.cell.value(pool));
            for (number, test) in self.tests.iter().enumerate().skip(asked_from) {
                let Some(test) = test else { continue };
                let holds = |value: &Option<Value>| test.holds(value.as_ref()).holds();
                if holds(&old) != holds(&new) {
                    each(number);
                }
            }
        }
    }
}

//! A rule as a program: comparisons, each with where to go if it holds and if it does not.
//!
//! Parts are put in the order in which the answer is most likely known soonest, so that a rule is
//! seldom read to its end. Cost: the comparisons made.

use super::code::{Codes, Leaf, Op};
use super::sensitive::{Sensitive, cost, likelihood};
use crate::operators::plan::Expression;

/// A rule without references, ready to be run.
#[derive(Debug, Clone)]
pub struct Program {
    steps: Box<[Step]>,
    first: u32,
    /// What depends on who the user is.
    people: Box<[Expression]>,
}

#[derive(Debug, Clone, Copy)]
struct Step {
    leaf: Leaf,
    then: u32,
    otherwise: u32,
}

/// What a program asks of those who know the user.
pub enum Asked<'a> {
    /// Whether the leaf's condition holds.
    Leaf(Leaf),
    /// Whether the user is one of these.
    Person(&'a Expression),
}

const HOLDS: u32 = u32::MAX;
const FAILS: u32 = u32::MAX - 1;

impl Program {
    /// Compiles a rule.
    pub fn new(rule: &Expression, leaves: &impl Sensitive) -> Self {
        let mut program = Compiler { leaves, steps: Vec::new(), people: Vec::new() };
        let first = program.compile(rule, HOLDS, FAILS);
        Program { steps: program.steps.into(), first, people: program.people.into() }
    }

    /// Whether the user of these codes is in; `ask` answers what codes do not tell.
    pub fn holds(&self, codes: &Codes, mut ask: impl FnMut(Asked<'_>) -> bool) -> bool {
        let mut at = self.first;
        while let Some(step) = self.steps.get(at as usize) {
            let holds = step.leaf.holds(codes, |leaf| match leaf.op() {
                Op::Person => ask(Asked::Person(&self.people[leaf.operand() as usize])),
                _ => ask(Asked::Leaf(leaf)),
            });
            at = if holds { step.then } else { step.otherwise };
        }
        at == HOLDS
    }
}

/// Writes programs from their ends: where a step goes is known before the step.
struct Compiler<'a, S> {
    leaves: &'a S,
    steps: Vec<Step>,
    people: Vec<Expression>,
}

impl<S: Sensitive> Compiler<'_, S> {
    fn compile(&mut self, rule: &Expression, then: u32, otherwise: u32) -> u32 {
        match rule {
            Expression::All(parts) => {
                let ordered = self.ordered(parts, |likely| 1.0 - likely);
                ordered.into_iter().rev().fold(then, |then, it| self.compile(it, then, otherwise))
            }
            Expression::Any(parts) => {
                let ordered = self.ordered(parts, |likely| likely);
                ordered.into_iter().rev().fold(otherwise, |other, it| self.compile(it, then, other))
            }
            Expression::Not(part) => self.compile(part, otherwise, then),
            Expression::Everyone => then,
            Expression::Condition(id) => {
                let leaves = self.leaves.leaves(*id).iter().rev();
                leaves.fold(then, |then, leaf| self.step(*leaf, then, otherwise))
            }
            Expression::Members(_) | Expression::Sample(_) => {
                self.people.push(rule.clone());
                let number = self.people.len() as u64 - 1;
                self.step(Leaf::person(number), then, otherwise)
            }
        }
    }

    fn step(&mut self, leaf: Leaf, then: u32, otherwise: u32) -> u32 {
        self.steps.push(Step { leaf, then, otherwise });
        u32::try_from(self.steps.len() - 1).expect("a rule has fewer than 2^32 comparisons")
    }

    /// The parts, those first that end the matter at the least cost; `ends`: how likely one does.
    fn ordered<'r>(
        &self,
        parts: &'r [Expression],
        ends: impl Fn(f32) -> f32,
    ) -> Vec<&'r Expression> {
        let price = |part: &Expression| {
            cost(part, self.leaves) / ends(likelihood(part, self.leaves)).max(1e-6)
        };
        let mut priced: Vec<_> = parts.iter().map(|part| (price(part), part)).collect();
        priced.sort_by(|left, right| left.0.total_cmp(&right.0));
        priced.into_iter().map(|(_, part)| part).collect()
    }
}

//! Rules as programs: comparisons, each with where to go if it holds and if it does not, all rules
//! in one stretch of memory.
//!
//! Parts are put in the order in which the answer is most likely known soonest, so that a rule is
//! seldom read to its end. Cost: the comparisons made. State: 32 bytes a comparison; what rules
//! that are no more leave behind is cleared when it is half of all.

use super::code::{Codes, Leaf, key};
use super::sensitive::{Sensitive, cost, likelihood};
use crate::operators::plan::{Expression, NodeId};

/// The programs of all nodes.
#[derive(Debug, Default)]
pub struct Programs {
    steps: Vec<Step>,
    /// By node, where its program begins, and how long it is; [`NONE`] where there is none.
    places: Vec<(u32, u32)>,
    /// What depends on who the user is, by node.
    people: hashbrown::HashMap<NodeId, Box<[Expression]>>,
    /// The keys of the texts that steps compare with.
    texts: Vec<u64>,
    /// Steps of programs that are no more.
    waste: usize,
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
const NONE: (u32, u32) = (0, 0);

impl Programs {
    /// Compiles the rule of a node.
    pub fn put(&mut self, node: NodeId, rule: &Expression, leaves: &impl Sensitive) {
        let mut compiler =
            Compiler { leaves, steps: Vec::new(), people: Vec::new(), texts: &mut self.texts };
        let first = compiler.compile(rule, HOLDS, FAILS);
        // A program is entered at the step written last.
        if first as usize + 1 != compiler.steps.len() {
            compiler.step(Leaf::ALWAYS, first, first);
        }
        let Compiler { steps, people, .. } = compiler;
        self.remove(node);
        if !people.is_empty() {
            self.people.insert(node, people.into());
        }
        let place = node.0 as usize;
        if self.places.len() <= place {
            self.places.resize(place + 1, NONE);
        }
        let length = steps.len() as u32;
        self.places[place] = (index(self.steps.len()), length);
        // Written from its end: turned round, it begins where it is entered.
        let turned = |at: u32| if at < length { length - 1 - at } else { at };
        self.steps.extend(steps.into_iter().rev().map(|step| Step {
            then: turned(step.then),
            otherwise: turned(step.otherwise),
            ..step
        }));
    }

    /// Takes a node's program away.
    pub fn remove(&mut self, node: NodeId) {
        let Some(place) = self.places.get_mut(node.0 as usize) else { return };
        self.waste += std::mem::replace(place, NONE).1 as usize;
        self.people.remove(&node);
        if self.waste > 1_024 && self.waste * 2 > self.steps.len() {
            self.compact();
        }
    }

    fn compact(&mut self) {
        let mut steps = Vec::with_capacity(self.steps.len() - self.waste);
        let texts = std::mem::take(&mut self.texts);
        for (start, length) in &mut self.places {
            let from = *start as usize;
            *start = index(steps.len());
            steps.extend(self.steps[from..from + *length as usize].iter().map(|step| {
                let Some(list) = step.leaf.list() else { return *step };
                let keys = texts[list].iter().copied();
                Step { leaf: texts_leaf(&mut self.texts, keys, step.leaf), ..*step }
            }));
        }
        (self.steps, self.waste) = (steps, 0);
    }

    /// Whether there is a program for the node.
    pub fn contains(&self, node: NodeId) -> bool {
        self.places.get(node.0 as usize).is_some_and(|place| place.1 > 0)
    }

    /// Whether the user of these codes is in a node; `ask` answers what codes do not tell.
    pub fn holds(
        &self,
        node: NodeId,
        codes: &Codes,
        mut ask: impl FnMut(Asked<'_>) -> bool,
    ) -> bool {
        let Some((start, length)) = self.places.get(node.0 as usize) else { return false };
        let program = &self.steps[*start as usize..*start as usize + *length as usize];
        let mut at = if program.is_empty() { FAILS } else { 0 };
        while let Some(step) = program.get(at as usize) {
            let holds = step.leaf.holds(codes, |leaf| match (leaf.list(), leaf.persons()) {
                (Some(list), _) => codes.is_one_of(&self.texts[list], leaf),
                (_, Some(number)) => self
                    .people
                    .get(&node)
                    .and_then(|people| people.get(number as usize))
                    .is_some_and(|people| ask(Asked::Person(people))),
                _ => ask(Asked::Leaf(leaf)),
            });
            at = if holds { step.then } else { step.otherwise };
        }
        at == HOLDS
    }
}

fn index(length: usize) -> u32 {
    u32::try_from(length).expect("all rules together have fewer than 2^32 comparisons")
}

/// A leaf that compares with these texts, which are put down.
fn texts_leaf(texts: &mut Vec<u64>, keys: impl Iterator<Item = u64>, like: Leaf) -> Leaf {
    let start = texts.len();
    texts.extend(keys);
    Leaf::texts(start, texts.len() - start, like)
}

/// Writes programs from their ends: where a step goes is known before the step.
struct Compiler<'a, S> {
    leaves: &'a S,
    steps: Vec<Step>,
    people: Vec<Expression>,
    texts: &'a mut Vec<u64>,
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
                let leaves = self.leaves.leaves(*id);
                leaves.iter().rev().fold(then, |then, leaf| {
                    if !leaf.is_maybe() {
                        return self.step(*leaf, then, otherwise);
                    }
                    let keys = self.leaves.constants(*id).iter().map(|text| key::text(*text));
                    let sure = texts_leaf(self.texts, keys, *leaf);
                    let sure = self.step(sure, then, otherwise);
                    // A bit that is not there says that it is none of the texts.
                    if leaf.is_inverted() {
                        self.step(*leaf, then, sure)
                    } else {
                        self.step(*leaf, sure, otherwise)
                    }
                })
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
        index(self.steps.len() - 1)
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

//! Small, nasty worlds for property tests: random definitions and records, from a seed.
//!
//! A [`Case`] is what the oracle and the dataflow are both given, to be compared. It has few users
//! and few distinct times, so that ties, collisions within a millisecond and windows that meet
//! exactly are the rule and not the exception; and it has all that logs should not have: disorder
//! beyond the bound, copies under other times, deletions in the middle, values of wrong types.
//! Every case is valid: definitions refer only to what is there, without cycles, at every moment.
//!
//! One seed gives one case, for ever and on every machine; the crate needs no random source.

mod records;
mod rules;
#[cfg(test)]
mod tests;
mod timeline;
mod values;

use std::sync::Arc;

use crate::catalog::Timeline;
use crate::clock::{ClockSettings, Emit};
use crate::model::time::MAX_TIME;
use crate::model::{Arrival, Duration, EventTime};
use crate::oracle::Log;
use crate::rule::{Definition, Rule};
use crate::segmentation::referred_first;

const DAY_MS: i64 = 86_400_000;

/// A log with everything its answer depends on.
#[derive(Debug, Clone)]
pub struct Case {
    /// The definitions and their changes.
    pub timeline: Timeline,
    /// The records, each partition's in the order of its offsets.
    pub arrivals: Vec<Arrival>,
    /// The settings of time.
    pub clock: ClockSettings,
    /// How far back new definitions see.
    pub retain: Option<Duration>,
}

impl Case {
    /// The same as the oracle reads it.
    pub fn log(&self) -> Log<'_> {
        Log {
            arrivals: &self.arrivals,
            timeline: &self.timeline,
            clock: self.clock,
            retain: self.retain,
        }
    }

    /// The definitions of its start in two parts: those there are from the start, and those that are
    /// saved later, some of them again with another rule, so that what is kept comes and goes. None
    /// if none can be.
    pub fn parted(&self, seed: u64) -> Option<(Definitions, Definitions)> {
        let (mut initial, mut later) = (Definitions::new(), Definitions::new());
        for (number, definition) in (seed..).zip(referred_first(&self.timeline.initial)) {
            let is_there = |id: &Arc<str>| initial.iter().any(|it| it.id == *id);
            let stands = definition.rule.references().into_iter().all(is_there);
            if stands && (number % 3 == 0 || holds(&definition.rule)) {
                initial.push(definition);
            } else {
                later.push(definition);
            }
        }
        if later.is_empty() || later.iter().any(|it| holds(&it.rule)) {
            return None;
        }
        let plain: Vec<_> = later.iter().filter(|it| it.rule.references().is_empty()).collect();
        let again = plain.iter().zip(plain.iter().skip(1)).map(|(old, new)| {
            Arc::new(Definition { id: old.id.clone(), ..Definition::clone(new) })
        });
        let again: Vec<_> = again.collect();
        later.extend(again);
        Some((initial, later))
    }
}

/// Some of a case's definitions.
pub type Definitions = Vec<Arc<Definition>>;

/// Since when a value stands is known of those asked before only, which the oracle cannot tell.
fn holds(rule: &Rule) -> bool {
    let mut holds = false;
    rule.walk(&mut |rule| {
        holds |= matches!(rule, Rule::Attribute(condition) if condition.held.is_some());
    });
    holds
}

/// The case of this seed.
///
/// ```
/// use dataflows::generate::random_case;
/// use dataflows::oracle::answer;
/// let case = random_case(7);
/// assert_eq!(answer(&case.log()), answer(&random_case(7).log()));
/// ```
pub fn random_case(seed: u64) -> Case {
    let mut dice = Dice::new(seed);
    let scene = Scene::new(&mut dice);
    let timeline = timeline::timeline(&mut dice, &scene);
    let arrivals = records::arrivals(&mut dice, &scene);
    let retain = dice.chance(30).then(|| scene.duration(&mut dice));
    Case { timeline, arrivals, clock: scene.clock, retain }
}

/// A tiny random source: Steele, Lea and Flood's `SplitMix64`.
#[derive(Debug)]
struct Dice {
    state: u64,
}

impl Dice {
    fn new(seed: u64) -> Self {
        Dice { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below the bound; 0 if the bound is.
    fn below(&mut self, bound: u32) -> u32 {
        let scaled = (u128::from(self.next()) * u128::from(bound)) >> 64;
        u32::try_from(scaled).unwrap_or(0)
    }

    /// A number from the one to the other, both included.
    fn between(&mut self, least: i64, greatest: i64) -> i64 {
        let span = u32::try_from(greatest - least + 1).unwrap_or(u32::MAX);
        least + i64::from(self.below(span))
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    fn index(&mut self, len: usize) -> usize {
        let index = self.below(u32::try_from(len).unwrap_or(u32::MAX));
        usize::try_from(index).unwrap_or(0)
    }

    /// One of these. There is at least one: every list in this module is a constant, or checked.
    fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.index(items.len())].clone()
    }
}

/// What the parts of a case have in common.
struct Scene {
    users: Vec<&'static str>,
    /// The few times at which nearly everything happens, ascending.
    times: Vec<EventTime>,
    /// How far they are apart, about.
    step_ms: i64,
    clock: ClockSettings,
}

impl Scene {
    const USERS: [&'static str; 8] = ["u1", "u2", "b", "B", "é", "u 3", "u10", "0"];

    fn new(dice: &mut Dice) -> Self {
        let step_ms = dice.pick(&[1, 1, 7, 1_000, 60_000, 3_600_000, 25_200_001]);
        let slots = dice.between(3, 40);
        let last_start = MAX_TIME - (slots + 1) * step_ms;
        let start = dice.pick(&[0, -5, 1_767_225_600_000, 1_767_225_600_001, last_start]);
        let mut times: Vec<EventTime> = (0..slots)
            .map(|slot| start + slot * step_ms + dice.pick(&[0, 0, 0, 0, -1, 1]))
            .collect();
        times.sort_unstable();
        let disorder_ms = dice.pick(&[0, 1, step_ms, 3 * step_ms]);
        let dedup_ms = dice.pick(&[disorder_ms, disorder_ms, 0, 2 * step_ms, 100 * step_ms]);
        let granularity_ms = dice.pick(&[1, 7, 60_000, 60_000, 3_600_000]);
        let clock = ClockSettings {
            emit: Emit::OnWatermark,
            max_out_of_orderness: Duration::from_ms(disorder_ms),
            dedup_horizon: Duration::from_ms(dedup_ms),
            granularity: Duration::from_ms(granularity_ms),
            ..ClockSettings::default()
        };
        let some = dice.index(Self::USERS.len()) + 1;
        let users = Self::USERS.into_iter().take(some).collect();
        Scene { users, times, step_ms, clock }
    }

    /// One of the times of the scene.
    fn time(&self, dice: &mut Dice) -> EventTime {
        dice.pick(&self.times)
    }

    /// A length between a millisecond and a month, most often one the times are apart by.
    fn duration(&self, dice: &mut Dice) -> Duration {
        let step = self.step_ms;
        let near = [1, step - 1, step, step, step + 1, 2 * step, 3 * step, 5 * step];
        let far = [2, 50, DAY_MS - 1, DAY_MS, DAY_MS + 1, 30 * 3_600_000, 2 * DAY_MS, 30 * DAY_MS];
        let ms = if dice.chance(70) { dice.pick(&near) } else { dice.pick(&far) };
        Duration::from_ms(ms.max(1))
    }
}

//! The errors that are stated, measured: over many sets of users that have nothing in common.

use datasketches::bloom::BloomFilter;
use datasketches::hash::value::raw_bytes;

use super::bloom::membership;
use super::top::{DELTA, EPSILON, LEAST_SHARE};
use super::{Count, Distinct, Set, Sketch, Top};
use crate::model::{UserKey, Value};

/// How many sets each error is measured over.
const SEEDS: u32 = 60;
/// How many users a set has: more than are counted exactly.
const USERS: u32 = 12_000;

fn user(seed: u32, number: u32) -> UserKey {
    UserKey::of(&format!("{seed}-user-{number}"))
}

/// How estimates have turned out.
#[derive(Default)]
struct Measured {
    /// How often the truth was within the bounds.
    within: u32,
    /// How far off they were, relative to the truth.
    errors: Vec<f64>,
}

impl Measured {
    fn add(&mut self, count: Count, truth: u32) {
        let truth = f64::from(truth);
        assert!(count.low <= count.estimate && count.estimate <= count.high, "{count:?}");
        self.within += u32::from((count.low..=count.high).contains(&truth));
        self.errors.push(count.estimate / truth - 1.0);
    }

    /// The root of the mean square.
    fn deviation(&self) -> f64 {
        let squares: f64 = self.errors.iter().map(|it| it * it).sum();
        (squares / self.errors.len() as f64).sqrt()
    }

    fn mean(&self) -> f64 {
        self.errors.iter().sum::<f64>() / self.errors.len() as f64
    }

    /// Bounds of two standard deviations hold the truth in 95.4 % of all cases. With so many seeds,
    /// fewer than 88 % would come by chance in one case of a hundred.
    fn check(&self, what: &str, deviation: f64) {
        let share = f64::from(self.within) / self.errors.len() as f64;
        assert!(share >= 0.88, "{what}: {share} within bounds");
        assert!(self.deviation() < 1.25 * deviation, "{what}: {}", self.deviation());
        let of_mean = deviation / (self.errors.len() as f64).sqrt();
        assert!(self.mean().abs() < 3.5 * of_mean, "{what}: biased by {}", self.mean());
    }
}

#[test]
fn distinct_users_are_as_close_as_stated_also_when_put_together_from_panes() {
    let (mut whole, mut of_panes) = (Measured::default(), Measured::default());
    for seed in 0..SEEDS {
        let mut one = Distinct::default();
        let mut panes: [Distinct; 6] = Default::default();
        for number in 0..USERS {
            one.insert(user(seed, number));
            panes[number as usize % 6].insert(user(seed, number));
            panes[number as usize / 7 % 6].insert(user(seed, number));
        }
        whole.add(Distinct::count([&one]), USERS);
        let (rolled, rest) = panes.split_at_mut(3);
        let mut coarse = Distinct::default();
        rolled.iter_mut().for_each(|it| {
            it.close();
            coarse.absorb(it);
        });
        of_panes.add(Distinct::count(rest.iter().chain([&coarse])), USERS);
    }
    whole.check("a sketch", 1.04 / 128.0);
    of_panes.check("panes", 1.04 / 128.0);
}

#[test]
fn sets_are_as_close_as_stated() {
    let mut measured: [Measured; 4] = Default::default();
    for seed in 0..SEEDS {
        let (mut left, mut right) = (Set::default(), Set::default());
        (0..USERS).for_each(|it| left.insert(user(seed, it)));
        (USERS / 3..USERS * 4 / 3).for_each(|it| right.insert(user(seed, it)));
        right.close();
        let union = Set::union([&left, &right]);
        measured[0].add(left.count(), USERS);
        measured[1].add(union.count(), USERS * 4 / 3);
        measured[2].add(left.and(&right).count(), USERS * 2 / 3);
        measured[3].add(left.not(&right).count(), USERS / 3);
    }
    let rse = 1.0 / 64.0;
    measured[0].check("a set", rse);
    measured[1].check("union", rse);
    // The error of a part is that of the union, by the root of how much smaller the part is.
    measured[2].check("intersection", rse * 2_f64.sqrt());
    measured[3].check("difference", rse * 2.0);
}

#[test]
fn few_users_are_counted_exactly() {
    let mut distinct: [Distinct; 2] = Default::default();
    for number in 0..4_000 {
        distinct[number as usize % 2].insert(user(0, number));
        distinct[0].insert(user(0, number));
    }
    let exactly = |users: u32| Count {
        estimate: f64::from(users),
        low: users.into(),
        high: users.into(),
        is_exact: true,
    };
    assert_eq!(Distinct::count(&distinct), exactly(4_000));
    assert_eq!(Distinct::count([]), exactly(0));
    let [all, odd] = &distinct;
    assert_eq!(all.set().not(odd.set()).count(), exactly(2_000));
    assert_eq!(odd.set().and(all.set()).count(), exactly(2_000));
    assert_eq!(odd.set().not(all.set()).count(), exactly(0));
    assert_eq!(odd.set().and(&Set::default()).count(), exactly(0));
    assert_eq!(Set::default().not(all.set()).count(), exactly(0));
}

/// How often the value of this rank comes: the square of its rank makes it rarer.
fn times(rank: u32) -> u32 {
    8_000 / (rank + 4) / (rank + 4) + 1
}

#[test]
fn the_most_frequent_are_found_and_counted_as_close_as_stated() {
    const VALUES: u32 = 5_000;
    let (mut looked_at, mut too_high) = (0, 0);
    let total: u32 = (0..VALUES).map(times).sum();
    for seed in 0..12 {
        let value = |rank: u32| Value::text(&format!("/{seed}/{rank}"));
        let mut panes: [Top; 3] = Default::default();
        // The frequent ones come last in one pane, first in the next, and seldom in the third.
        for rank in (0..VALUES).rev() {
            (0..times(rank) / 2).for_each(|_| panes[0].insert(Some(&value(rank))));
        }
        for rank in 0..VALUES {
            let rest = times(rank) - times(rank) / 2;
            (0..rest).for_each(|it| panes[if it == 0 { 2 } else { 1 }].insert(Some(&value(rank))));
        }
        panes[1].insert(None);
        panes[2].insert(Some(&Value::text(&"x".repeat(257))));
        let ranked = Top::ranked(&panes);
        assert_eq!((ranked.total, ranked.unranked), (total.into(), 2));
        let allowed = EPSILON * f64::from(total);
        for rank in 0..VALUES {
            let truth = u64::from(times(rank));
            let found = ranked.values.iter().find(|(it, _)| *it == value(rank));
            if f64::from(times(rank)) >= LEAST_SHARE * f64::from(total) {
                assert!(found.is_some(), "{rank} is missing");
            }
            if let Some((_, count)) = found {
                assert!(*count >= truth, "never too low");
            }
        }
        let mut together = Top::default();
        panes.iter().for_each(|it| together.absorb(it));
        for rank in 0..VALUES {
            let count = together.estimate(&value(rank));
            let over = count.checked_sub(times(rank).into()).expect("never too low");
            looked_at += 1;
            too_high += u32::from(over as f64 > allowed);
        }
    }
    let share = f64::from(too_high) / f64::from(looked_at);
    assert!(share <= DELTA, "{share} are too high by more than is allowed");
}

#[test]
fn no_member_is_missed_and_others_are_taken_for_one_as_often_as_asked_for() {
    for asked_for in [0.1, 0.01, 0.001] {
        let mut wrong = 0;
        for seed in 0..10 {
            let names: Vec<_> = (0..5_000).map(|it| format!("{seed}-member-{it}")).collect();
            let bytes = membership(names.iter().map(String::as_str), asked_for).unwrap();
            assert!(((bytes.len() as f64) - super::bloom::bytes(5_000, asked_for)).abs() < 16.0);
            let filter = BloomFilter::deserialize(&bytes).unwrap();
            let has = |name: &str| filter.contains(&raw_bytes::from_str(name));
            assert!(names.iter().all(|name| has(name)));
            wrong += (0..10_000).filter(|it| has(&format!("{seed}-other-{it}"))).count();
        }
        let share = wrong as f64 / 100_000.0;
        let deviation = (asked_for / 100_000.0_f64).sqrt();
        assert!(share <= asked_for + 4.0 * deviation, "{share} instead of {asked_for}");
        assert!(share >= asked_for / 2.0, "{share} instead of {asked_for}: larger than it must be");
    }
    assert!(membership([].into_iter(), 0.01).is_ok());
    assert!(membership(["a"].into_iter(), 0.0).is_err());
}

#[test]
fn one_that_was_written_and_read_goes_on_as_if_it_had_not_been() {
    fn again<S: Sketch>(sketch: &S) -> S {
        S::from_bytes(&sketch.to_bytes()).unwrap()
    }
    for users in [0, 1, 7, 300, 4_000, 30_000_u32] {
        let (mut one, mut other, mut top, mut other_top) = Default::default();
        let insert = |it: &mut Distinct, number| it.insert(user(1, number));
        let count = |it: &mut Top, number: u32| {
            let value = Value::text(&format!("/{}", number.trailing_zeros()));
            it.insert(Some(&value).filter(|_| !number.is_multiple_of(7)));
        };
        for number in 0..users {
            insert(&mut one, number);
            insert(&mut other, number);
            count(&mut top, number);
            count(&mut other_top, number);
            if number % 977 == 3 {
                (other, other_top) = (again(&other), again(&other_top));
            }
        }
        (other, other_top) = (again(&other), again(&other_top));
        assert_eq!(Distinct::count([&other]), Distinct::count([&one]), "{users}");
        assert_eq!(other.set().count(), one.set().count(), "{users}");
        assert_eq!(Top::ranked([&other_top]), Top::ranked([&top]), "{users}");
        for bytes in [one.to_bytes(), top.to_bytes()] {
            for end in [0, 1, 5, bytes.len() / 2] {
                let cut = &bytes[..end.min(bytes.len() - 1)];
                assert!(Distinct::from_bytes(cut).is_err() && Top::from_bytes(cut).is_err());
            }
        }
    }
}

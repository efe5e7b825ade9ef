//! Whether a segment's size is what it usually is.
//!
//! Every minute of event time the size at its end moves an exponentially weighted mean and mean
//! absolute deviation, which forget within about an hour; one that lies beyond the band moves the
//! mean only as far as the edge of the band would, and the deviation half as far. That is the
//! pre-cleaning of S. Gelper, R. Fried and C. Croux, "Robust forecasting with exponential and
//! Holt-Winters smoothing" (Journal of Forecasting 29, 2010), with plain absolute deviations for its
//! measure of scale: a jump does not hide itself by widening the band at once, and a size that stays
//! is the usual one in the end, after an hour or two. The band is the mean, and to either side of it
//! the greatest of
//!
//! - four standard deviations (1.2533 mean absolute deviations each, as of a normal distribution),
//! - a tenth of the mean, so that growth of up to 10 % an hour is never flagged,
//! - three square roots of the mean, by which counts of chance differ.
//!
//! Nothing is flagged before a quarter of an hour has been seen. State: 48 bytes.

use dataflows::model::EventTime;
use serde::{Deserialize, Serialize};

/// How long a step is, in milliseconds of event time.
const STEP_MS: EventTime = 60_000;
/// How much of what is new a step takes over.
const ALPHA: f64 = 1.0 / 60.0;
/// How many standard deviations the band goes to either side.
const DEVIATIONS: f64 = 4.0;
/// A standard deviation in mean absolute deviations, of a normal distribution.
const NORMAL: f64 = 1.253_314_137;
/// The part of the mean that the band goes to either side at least.
const LEAST_PART: f64 = 0.1;
/// After how many steps anything is flagged.
const STEPS_LEAST: u32 = 15;
/// After so many steps without a change nothing is left of what was before.
const STEPS_MOST: EventTime = 1_000;

/// A size that is not what it usually is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drifting {
    /// Since when.
    pub since: EventTime,
    /// From this on it would be usual.
    pub low: u64,
    /// Up to this it would be usual.
    pub high: u64,
}

/// What is usual, and since when it is not so.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Drift {
    mean: f64,
    deviation: f64,
    /// How many steps have been seen.
    steps: u32,
    /// The end of the last of them; none has begun before the first size.
    stepped: Option<EventTime>,
    size: u32,
    since: Option<EventTime>,
}

impl Drift {
    /// There are so many, whenever that came.
    pub(super) fn begin(&mut self, size: u32) {
        self.size = size;
    }

    /// There are so many from this time on.
    pub(super) fn observe(&mut self, time: EventTime, size: u32) {
        self.pass(time);
        self.size = size;
        self.look(time);
    }

    /// Whether the size is unusual, as nothing more has changed up to a time.
    pub(super) fn as_of(&mut self, time: EventTime) -> Option<Drifting> {
        if self.stepped.is_some() {
            self.pass(time);
        }
        let (low, high) = self.band();
        let whole = |bound: f64| bound.round() as u64;
        Some(Drifting { since: self.since?, low: whole(low), high: whole(high) })
    }

    /// Lets the steps pass that end up to a time.
    fn pass(&mut self, time: EventTime) {
        let end = time - time.rem_euclid(STEP_MS);
        let Some(stepped) = self.stepped else {
            self.stepped = Some(end);
            return;
        };
        for step in 1..=((end - stepped) / STEP_MS).min(STEPS_MOST) {
            self.step(stepped + step * STEP_MS);
        }
        self.stepped = Some(end.max(stepped));
    }

    /// A step ends.
    fn step(&mut self, end: EventTime) {
        // The first ones count all alike.
        let weight = ALPHA.max(1.0 / f64::from(self.steps + 1));
        if self.steps == 0 {
            self.mean = self.size.into();
        }
        let half = self.half();
        let off = f64::from(self.size) - self.mean;
        let off = if self.steps < STEPS_LEAST { off } else { off.clamp(-half, half) };
        self.mean += weight * off;
        let apart = if self.steps < STEPS_LEAST { off.abs() } else { off.abs().min(half / 2.0) };
        self.deviation += weight * (apart - self.deviation);
        self.steps = self.steps.saturating_add(1);
        self.look(end);
    }

    /// Takes note of whether the size is usual.
    fn look(&mut self, time: EventTime) {
        let (low, high) = self.band();
        let is_usual = (low..=high).contains(&f64::from(self.size));
        if is_usual || self.steps < STEPS_LEAST {
            self.since = None;
        } else {
            self.since.get_or_insert(time);
        }
    }

    fn half(&self) -> f64 {
        let by_chance = 3.0 * self.mean.max(0.0).sqrt();
        (DEVIATIONS * NORMAL * self.deviation).max(LEAST_PART * self.mean).max(by_chance)
    }

    fn band(&self) -> (f64, f64) {
        let half = self.half();
        ((self.mean - half).max(0.0), self.mean + half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found when every minute has this size, at the end of the last.
    fn after(sizes: impl IntoIterator<Item = u32>) -> (Drift, EventTime) {
        let (mut drift, mut time) = (Drift::default(), 0);
        for size in sizes {
            drift.observe(time, size);
            time += STEP_MS;
        }
        (drift, time)
    }

    /// Around a size, as chance has it.
    fn about(size: u32, minute: u32) -> u32 {
        let spread = (f64::from(size).sqrt() * 2.0) as u32;
        size + minute.wrapping_mul(2_654_435_761) % (2 * spread + 1) - spread
    }

    #[test]
    fn one_that_doubles_is_found_at_once() {
        let (mut drift, now) = after((0..120).map(|minute| about(1_000, minute)));
        assert_eq!(drift.as_of(now), None);
        drift.observe(now + 7, 2_000);
        let found = drift.as_of(now + 8).unwrap();
        assert_eq!(found.since, now + 7);
        assert!((800..=1_000).contains(&found.low), "{found:?}");
        assert!((1_000..=1_300).contains(&found.high), "{found:?}");
        // The same half an hour later; in the end it is what is usual.
        let later = |minutes: i64| {
            let mut then = drift;
            then.as_of(now + minutes * STEP_MS).map(|it| it.since)
        };
        assert_eq!((later(30), later(600)), (Some(now + 7), None));
        // Back at once.
        drift.observe(now + 9, 1_010);
        assert_eq!(drift.as_of(now + 9), None);
    }

    #[test]
    fn one_that_empties_is_found() {
        let (mut drift, now) = after((0..60).map(|minute| about(500, minute)));
        drift.observe(now, 250);
        assert_eq!(drift.as_of(now).map(|it| it.since), Some(now));
    }

    #[test]
    fn slow_growth_is_not() {
        let mut size = 10_000.0;
        for (per_hour, begins) in [(0.02_f64, 0), (0.1, 0), (0.2, 0), (0.1, 500)] {
            let sizes = (0..3_000).map(|minute| {
                size *= if minute < begins { 1.0 } else { 1.0 + per_hour / 60.0 };
                if size > 1e9 {
                    size = 1e9;
                }
                size as u32
            });
            let (mut drift, mut time) = (Drift::default(), 0);
            for now in sizes {
                drift.observe(time, now);
                assert_eq!(drift.as_of(time), None, "{now} at {time}, {per_hour} an hour");
                time += STEP_MS;
            }
            size = 10_000.0;
        }
    }

    #[test]
    fn neither_is_chance_nor_what_has_just_begun() {
        for size in [4, 40, 4_000] {
            let (mut drift, mut time) = (Drift::default(), 0);
            for minute in 0..3_000 {
                drift.observe(time, about(size, minute));
                assert_eq!(drift.as_of(time), None, "{size} at {time}");
                time += STEP_MS;
            }
        }
        let (mut drift, now) = after((0..10).map(|minute| minute * 500));
        assert_eq!(drift.as_of(now), None);
        let (mut drift, _) = after([0]);
        assert_eq!(drift.as_of(EventTime::MAX / 2), None);
    }

    #[test]
    fn one_outlier_does_not_hide_the_next() {
        let (mut drift, now) = after((0..60).map(|minute| about(1_000, minute)));
        for minute in 0..5 {
            drift.observe(now + minute * STEP_MS, 100_000);
        }
        drift.observe(now + 5 * STEP_MS, 1_000);
        assert_eq!(drift.as_of(now + 5 * STEP_MS), None);
        drift.observe(now + 6 * STEP_MS, 3_000);
        assert!(drift.as_of(now + 6 * STEP_MS).is_some());
    }
}

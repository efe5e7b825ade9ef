//! How large a segment has been: in steps, the finer the nearer.
//!
//! A step holds who entered and who left within it, and the size at its end; where nobody did there
//! is none, and the size is that of the step before. When there are enough steps of one width the
//! oldest is merged into one of the next. State: 32 bytes a step, at most [`STEPS_MAX`] of them.

use std::collections::VecDeque;

use dataflows::model::{EventTime, Sign};
use serde::{Deserialize, Serialize};

use super::drift::{Drift, Drifting};

/// The widths of steps in milliseconds, and how many there are of each: a second for a while, a day
/// for three months.
const WIDTHS: [(EventTime, usize); 6] =
    [(1_000, 60), (10_000, 60), (60_000, 60), (600_000, 72), (3_600_000, 72), (86_400_000, 90)];
/// How many steps a segment has at most.
pub const STEPS_MAX: usize = 414;
/// Volatility is that of this time, in milliseconds of event time.
pub const VOLATILITY_MS: EventTime = 3_600_000;

/// A step of a segment's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// When it begins.
    pub from: EventTime,
    /// When it ends: the first instant that is not in it.
    pub until: EventTime,
    /// How many were in at its end.
    pub size: u32,
    /// How many entered.
    pub entered: u32,
    /// How many left.
    pub left: u32,
}

/// Who entered and left of late.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Volatility {
    /// How many entered.
    pub entered: u64,
    /// How many left.
    pub left: u64,
    /// Both together, as a share of the size; `None` where nobody is in.
    pub share: Option<f64>,
    /// From when on they are counted.
    pub since: EventTime,
}

/// A segment's history.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Brief", into = "Brief")]
pub(super) struct Sizes {
    /// By width, the oldest first; all of one are later than those of the next.
    steps: [VecDeque<Step>; WIDTHS.len()],
    drift: Drift,
    /// Whether it is not as it was when it was last kept.
    is_changed: bool,
}

/// A history as it is kept: of each step, how many widths after the one before it begins, the size,
/// who entered and who left. Most of these are small numbers.
#[derive(Serialize, Deserialize)]
struct Brief {
    steps: [Vec<(EventTime, u32, u32, u32)>; WIDTHS.len()],
    drift: Drift,
}

impl From<Sizes> for Brief {
    fn from(sizes: Sizes) -> Self {
        let mut steps: [Vec<_>; WIDTHS.len()] = Default::default();
        for ((brief, steps), (width, _)) in steps.iter_mut().zip(&sizes.steps).zip(WIDTHS) {
            let mut last = 0;
            brief.extend(steps.iter().map(|step| {
                let place = step.from.div_euclid(width);
                let after = place - std::mem::replace(&mut last, place);
                (after, step.size, step.entered, step.left)
            }));
        }
        Brief { steps, drift: sizes.drift }
    }
}

impl From<Brief> for Sizes {
    fn from(brief: Brief) -> Self {
        let mut sizes = Sizes { drift: brief.drift, ..Sizes::default() };
        for ((steps, brief), (width, _)) in sizes.steps.iter_mut().zip(brief.steps).zip(WIDTHS) {
            let mut place: EventTime = 0;
            steps.extend(brief.into_iter().map(|(after, size, entered, left)| {
                place = place.saturating_add(after);
                let from = place.saturating_mul(width);
                Step { from, until: from.saturating_add(width), size, entered, left }
            }));
        }
        sizes
    }
}

impl Sizes {
    /// Somebody entered or left, so that there are so many from this time on.
    pub(super) fn change(&mut self, time: EventTime, sign: Sign, size: usize) {
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        let (entered, left) = match sign {
            Sign::Entered => (1, 0),
            Sign::Left => (0, 1),
        };
        let from = time - time.rem_euclid(WIDTHS[0].0);
        self.push(0, Step { from, until: from + WIDTHS[0].0, size, entered, left });
        self.drift.observe(time, size);
        self.is_changed = true;
    }

    /// It is to be kept again, if there is anything to keep.
    pub(super) fn touch(&mut self) {
        self.is_changed |= self.steps.iter().any(|steps| !steps.is_empty());
    }

    /// All of it, if it is not as it was when this was last asked.
    pub(super) fn changed(&mut self) -> Option<Sizes> {
        std::mem::take(&mut self.is_changed).then(|| self.clone())
    }

    /// There are so many, and it is not known since when: an earlier run knew.
    pub(super) fn begin(&mut self, size: usize) {
        self.drift.begin(u32::try_from(size).unwrap_or(u32::MAX));
    }

    fn push(&mut self, width: usize, step: Step) {
        let (Some(steps), Some((_, room))) = (self.steps.get_mut(width), WIDTHS.get(width)) else {
            return;
        };
        if let Some(last) = steps.back_mut().filter(|last| last.from == step.from) {
            last.size = step.size;
            last.entered = last.entered.saturating_add(step.entered);
            last.left = last.left.saturating_add(step.left);
            return;
        }
        steps.push_back(step);
        if steps.len() > *room
            && let Some(oldest) = steps.pop_front()
            && let Some((coarser, _)) = WIDTHS.get(width + 1)
        {
            let from = oldest.from - oldest.from.rem_euclid(*coarser);
            self.push(width + 1, Step { from, until: from + coarser, ..oldest });
        }
    }

    /// The steps that end after a time, the oldest first. A coarse one ends where finer ones begin.
    pub(super) fn since(&self, since: EventTime) -> Vec<Step> {
        let mut steps: Vec<Step> = self.steps.iter().rev().flatten().copied().collect();
        for at in 1..steps.len() {
            let next = steps[at].from;
            steps[at - 1].until = steps[at - 1].until.min(next);
        }
        // A coarse step may have been merged from only its beginning.
        steps.retain(|step| step.until > since);
        steps
    }

    /// Who entered and left of late, as of a time and size.
    pub(super) fn volatility(&self, as_of: EventTime, size: usize) -> Volatility {
        let since = as_of.saturating_sub(VOLATILITY_MS);
        let (mut entered, mut left, mut from) = (0, 0, since);
        for step in self.since(since) {
            from = from.min(step.from);
            entered += u64::from(step.entered);
            left += u64::from(step.left);
        }
        let share = (size > 0).then(|| (entered + left) as f64 / size as f64);
        Volatility { entered, left, share, since: from }
    }

    /// Whether the size is not what it usually is, as of a time.
    pub(super) fn drifting(&mut self, as_of: EventTime) -> Option<Drifting> {
        self.drift.as_of(as_of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_the_finer_the_nearer_and_lose_nobody() {
        let mut sizes = Sizes::default();
        let mut size = 0;
        for minute in 0..20_000_i64 {
            size += 1;
            sizes.change(minute * 60_000 + 7, Sign::Entered, size);
            if minute % 3 == 0 {
                size -= 1;
                sizes.change(minute * 60_000 + 8, Sign::Left, size);
            }
        }
        let steps = sizes.since(EventTime::MIN);
        assert!(steps.len() <= STEPS_MAX, "{}", steps.len());
        assert!(steps.windows(2).all(|two| two[0].until <= two[1].from), "{steps:?}");
        assert!(steps.windows(2).all(|two| {
            let (entered, left) = (i64::from(two[1].entered), i64::from(two[1].left));
            i64::from(two[0].size) + entered - left == i64::from(two[1].size)
        }));
        let entered: u32 = steps.iter().map(|step| step.entered).sum();
        assert_eq!((entered, steps.last().map(|step| step.size)), (20_000, Some(13_333)));
        assert!(steps[0].until - steps[0].from > 3_000_000);
        assert_eq!(steps.last().map(|step| step.until - step.from), Some(1_000));
        let recent = sizes.since(19_990 * 60_000);
        assert_eq!(recent.len(), 10);
        let volatility = sizes.volatility(20_000 * 60_000, 100);
        assert_eq!((volatility.entered, volatility.left), (60, 20));
        let kept = dataflows::operators::checkpoint::content(&sizes);
        assert!(kept.len() < 8 * steps.len(), "{} bytes", kept.len());
        let kept = serde_json::to_vec(&sizes).unwrap();
        let again: Sizes = serde_json::from_slice(&kept).unwrap();
        assert_eq!(again.steps, sizes.steps);
        assert_eq!(volatility.share, Some(0.8));
    }

    #[test]
    fn all_widths_together_are_as_many_as_is_said() {
        assert_eq!(WIDTHS.iter().map(|(_, room)| room).sum::<usize>(), STEPS_MAX);
        assert!(WIDTHS.windows(2).all(|two| two[1].0 % two[0].0 == 0));
    }
}

//! Windows of sketches: time cut into panes, the recent past finely, what is older coarsely.
//!
//! ```text
//!   coarse panes, 60 times as long            fine panes
//! |───────────────|───────────────|───────|─|─|─|─|─|─|─| as of
//!                                         └ rolled up to here, 60 fine panes back
//! ```
//! Costs: a look-up in an ordered map per entry; a window is put together from at most 61 fine
//! panes and the coarse ones. As time goes on one pane after the other is rolled up, so nobody waits for
//! sixty. What is older than the longest window is dropped. Panes are handed out
//! as they are: one that changes while it is read is copied once.
//!
//! To outlive a run, the panes that have [changed](Panes::changed) are written down from time to time;
//! [put back](Panes::put_back), they are as they were: which panes there are follows from them and the
//! time, so nothing else need be known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use thiserror::Error;

use crate::model::{Duration, EventTime};

/// How many fine panes there are, and how many are rolled up into a coarse one.
pub const FINE: i64 = 60;

/// What a pane holds: a sketch that can be put together from others.
pub trait Sketch: Clone + Default {
    /// Stands for how it is made: what was written in another form is not to be read.
    const FORM: u64;

    /// Nothing more is expected: it may take less room. What comes all the same is taken.
    fn close(&mut self);

    /// Takes in all that another has been given.
    fn absorb(&mut self, other: &Self);

    /// All that it has been given, for a later run.
    fn to_bytes(&self) -> Vec<u8>;

    /// What an earlier run has written.
    ///
    /// # Errors
    /// It has not.
    fn from_bytes(bytes: &[u8]) -> Result<Self, Unreadable>;
}

/// Bytes that are no sketch.
#[derive(Debug, Error)]
#[error("a sketch cannot be read: {0}")]
pub struct Unreadable(pub(super) String);

/// Which pane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pane {
    /// When it begins.
    pub begins: EventTime,
    /// Whether it is 60 times as long as a fine one.
    pub is_coarse: bool,
}

/// A pane that is not as it was when it was last asked.
#[derive(Debug)]
pub struct Changed<S> {
    /// Which.
    pub pane: Pane,
    /// The last instant before which there is any use in putting it back.
    pub until: EventTime,
    /// All that it holds.
    pub sketch: Arc<S>,
}

/// How time is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The length of a fine pane.
    pub pane: Duration,
    /// The longest window that can be asked for.
    pub window: Duration,
}

/// The sketches of a sliding window.
#[derive(Debug)]
pub struct Panes<S> {
    span: Span,
    /// By when they begin.
    fine: BTreeMap<EventTime, Arc<S>>,
    coarse: BTreeMap<EventTime, Arc<S>>,
    /// All before this is in coarse panes.
    rolled_to: EventTime,
    /// All fine panes that begin before this are closed.
    closed_to: EventTime,
    /// All before this has been dropped.
    dropped_to: EventTime,
    /// What is not as it was when it was last asked.
    changed: BTreeSet<Pane>,
}

impl<S: Sketch> Panes<S> {
    /// Nothing yet.
    pub fn new(span: Span) -> Self {
        let (fine, coarse, changed) = Default::default();
        let (rolled_to, closed_to, dropped_to) = (EventTime::MIN, EventTime::MIN, EventTime::MIN);
        Panes { span, fine, coarse, rolled_to, closed_to, dropped_to, changed }
    }

    /// The sketch for what happened at a time; none where every window has left that behind.
    pub fn at(&mut self, time: EventTime) -> Option<&mut S> {
        if time < self.dropped_to {
            return None;
        }
        let is_coarse = time < self.rolled_to;
        let begins = floor(time, if is_coarse { self.coarse_ms() } else { self.pane_ms() });
        self.changed.insert(Pane { begins, is_coarse });
        let panes = if is_coarse { &mut self.coarse } else { &mut self.fine };
        Some(Arc::make_mut(panes.entry(begins).or_default()))
    }

    /// All up to this time is in. Panes that are over take less room from now on.
    pub fn advance(&mut self, as_of: EventTime) {
        let open = floor(as_of.saturating_add(1), self.pane_ms());
        if open <= self.closed_to {
            return;
        }
        let closed_to = std::mem::replace(&mut self.closed_to, open);
        self.fine.range_mut(closed_to..open).for_each(|(_, it)| Arc::make_mut(it).close());
        let coarse_ms = self.coarse_ms();
        self.rolled_to = self.rolled_to.max(open.saturating_sub(coarse_ms));
        while let Some(pane) = self.fine.first_entry().filter(|it| *it.key() < self.rolled_to) {
            let (begins, sketch) = pane.remove_entry();
            let rolled = floor(begins, coarse_ms);
            self.changed.remove(&Pane { begins, is_coarse: false });
            self.changed.insert(Pane { begins: rolled, is_coarse: true });
            let into = Arc::make_mut(self.coarse.entry(rolled).or_default());
            into.absorb(&sketch);
            into.close();
        }
        let oldest = first(as_of, self.span.window);
        self.dropped_to = self.dropped_to.max(floor(oldest, coarse_ms));
        while let Some(pane) = self.coarse.first_entry().filter(|it| *it.key() < self.dropped_to) {
            self.changed.remove(&Pane { begins: *pane.key(), is_coarse: true });
            pane.remove();
        }
    }

    /// The panes that are not as they were when this was last asked.
    pub fn changed(&mut self) -> Vec<Changed<S>> {
        let changed = std::mem::take(&mut self.changed);
        let of = |pane: Pane| {
            let panes = if pane.is_coarse { &self.coarse } else { &self.fine };
            let sketch = Arc::clone(panes.get(&pane.begins)?);
            Some(Changed { pane, until: self.until(pane), sketch })
        };
        changed.into_iter().filter_map(of).collect()
    }

    /// Takes over a pane of an earlier run that had come up to a time, before it has been told
    /// anything else; then that time is to be [told](Self::advance).
    pub fn put_back(&mut self, pane: Pane, sketch: S, as_of: EventTime) {
        if as_of >= self.until(pane) {
            return; // it has been rolled up, or dropped
        }
        let panes = if pane.is_coarse { &mut self.coarse } else { &mut self.fine };
        panes.insert(pane.begins, Arc::new(sketch));
    }

    /// The last instant before which a pane is there: then it is rolled up, or no window reaches it.
    fn until(&self, pane: Pane) -> EventTime {
        let longest = if pane.is_coarse { self.span.window.ms() } else { self.pane_ms() };
        pane.begins.saturating_add(self.coarse_ms()).saturating_add(longest).saturating_sub(1)
    }

    /// The sketches of the window that ends at `as_of`, that time included, and when the first of
    /// them begins: at most a pane before the window does. `as_of` is that of the last
    /// [`advance`](Self::advance), and the window no longer than the longest.
    pub fn window(&self, window: Duration, as_of: EventTime) -> (EventTime, Vec<Arc<S>>) {
        let first = first(as_of, window);
        let is_coarse = first < self.rolled_to;
        let from = floor(first, if is_coarse { self.coarse_ms() } else { self.pane_ms() });
        let coarse = self.coarse.range(from..).filter(|_| is_coarse);
        (
            from,
            coarse.chain(self.fine.range(from..)).map(|(_, sketch)| Arc::clone(sketch)).collect(),
        )
    }

    /// How many panes there are.
    pub fn len(&self) -> usize {
        self.fine.len() + self.coarse.len()
    }

    /// Whether there is no pane.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn pane_ms(&self) -> i64 {
        self.span.pane.ms().max(1)
    }

    fn coarse_ms(&self) -> i64 {
        self.pane_ms().saturating_mul(FINE)
    }
}

/// The first instant of a window: as in the rules, it holds what is later than its length before.
fn first(as_of: EventTime, window: Duration) -> EventTime {
    as_of.saturating_sub(window.ms()).saturating_add(1)
}

/// The last multiple of a length that is not later.
fn floor(time: EventTime, length_ms: i64) -> EventTime {
    time.div_euclid(length_ms).saturating_mul(length_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The times it was given.
    #[derive(Debug, Clone, Default)]
    struct Times(Vec<EventTime>);

    impl Sketch for Times {
        const FORM: u64 = 0;

        fn close(&mut self) {}

        fn absorb(&mut self, other: &Self) {
            self.0.extend(&other.0);
        }

        fn to_bytes(&self) -> Vec<u8> {
            self.0.iter().flat_map(|time| time.to_le_bytes()).collect()
        }

        fn from_bytes(bytes: &[u8]) -> Result<Self, Unreadable> {
            let times = bytes.chunks(8).map(|it| EventTime::from_le_bytes(it.try_into().unwrap()));
            Ok(Times(times.collect()))
        }
    }

    fn ms(ms: i64) -> Duration {
        Duration::from_ms(ms)
    }

    #[test]
    fn a_window_holds_what_it_says_and_nothing_that_is_a_pane_older() {
        let span = Span { pane: ms(10), window: ms(6_000) };
        let mut panes: Panes<Times> = Panes::new(span);
        for time in (-3_000..30_000).step_by(7) {
            panes.at(time).unwrap().0.push(time);
            panes.advance(time);
            for window in [10, 100, 599, 600, 2_000, 6_000] {
                let (from, held) = panes.window(ms(window), time);
                let mut held: Vec<_> = held.iter().flat_map(|it| it.0.iter().copied()).collect();
                held.sort_unstable();
                let expected: Vec<_> =
                    (-3_000..=time).step_by(7).filter(|it| *it >= from).collect();
                assert_eq!(held, expected, "as of {time}, {window}");
                let slack = time - window + 1 - from;
                assert!((0..if window <= 600 { 10 } else { 600 }).contains(&slack), "{slack}");
            }
            // The window in coarse ones, and what is begun at either end, too.
            assert!(panes.len() <= 61 + 12, "{}", panes.len());
        }
    }

    #[test]
    fn what_comes_late_is_in_the_pane_of_its_time_or_in_no_window() {
        let mut panes: Panes<Times> = Panes::new(Span { pane: ms(1), window: ms(1_000) });
        panes.advance(10_000);
        panes.at(9_995).unwrap().0.push(9_995);
        panes.at(9_300).unwrap().0.push(9_300);
        assert!(panes.at(8_000).is_none());
        let held = |panes: &Panes<Times>, window| panes.window(ms(window), 10_000).1.len();
        assert_eq!((held(&panes, 6), held(&panes, 5), held(&panes, 1_000)), (1, 0, 2));
        panes.advance(1_000_000_000_000);
        assert!(panes.is_empty());
    }

    #[test]
    fn what_has_changed_put_back_at_any_time_is_all_there_is() {
        let span = Span { pane: ms(10), window: ms(6_000) };
        let mut panes: Panes<Times> = Panes::new(span);
        let mut kept: BTreeMap<Pane, (EventTime, Vec<u8>)> = BTreeMap::new();
        for time in (-3_000..20_000_i64).step_by(7) {
            // A silence, after which much is rolled up and dropped at once; and some out of order.
            let time = if time > 9_000 { time + 4_000 } else { time };
            for at in [time, time - time.rem_euclid(900)] {
                panes.at(at).into_iter().for_each(|it| it.0.push(at));
            }
            panes.advance(time);
            if time % 5 != 0 {
                continue;
            }
            let changed = panes.changed().into_iter();
            kept.extend(changed.map(|it| (it.pane, (it.until, it.sketch.to_bytes()))));
            kept.retain(|_, (until, _)| *until > time);
            let mut later: Panes<Times> = Panes::new(span);
            for (pane, (_, bytes)) in &kept {
                later.put_back(*pane, Times::from_bytes(bytes).unwrap(), time);
            }
            later.advance(time);
            assert_eq!((later.len(), later.changed().len()), (panes.len(), 0), "at {time}");
            for window in [10, 599, 600, 6_000] {
                let held = |panes: &Panes<Times>| {
                    let (from, held) = panes.window(ms(window), time);
                    (from, held.iter().map(|it| it.0.clone()).collect::<Vec<_>>())
                };
                assert_eq!(held(&later), held(&panes), "at {time}, {window}");
            }
        }
    }
}

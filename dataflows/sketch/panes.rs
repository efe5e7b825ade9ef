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

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{Duration, EventTime};

/// How many fine panes there are, and how many are rolled up into a coarse one.
pub const FINE: i64 = 60;

/// What a pane holds: a sketch that can be put together from others.
pub trait Sketch: Clone + Default {
    /// Nothing more is expected: it may take less room. What comes all the same is taken.
    fn close(&mut self);

    /// Takes in all that another has been given.
    fn absorb(&mut self, other: &Self);
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
}

impl<S: Sketch> Panes<S> {
    /// Nothing yet.
    pub fn new(span: Span) -> Self {
        let (fine, coarse) = Default::default();
        let (rolled_to, closed_to, dropped_to) = (EventTime::MIN, EventTime::MIN, EventTime::MIN);
        Panes { span, fine, coarse, rolled_to, closed_to, dropped_to }
    }

    /// The sketch for what happened at a time; none where every window has left that behind.
    pub fn at(&mut self, time: EventTime) -> Option<&mut S> {
        if time < self.dropped_to {
            return None;
        }
        if time < self.rolled_to {
            let begins = floor(time, self.coarse_ms());
            return Some(Arc::make_mut(self.coarse.entry(begins).or_default()));
        }
        let begins = floor(time, self.pane_ms());
        Some(Arc::make_mut(self.fine.entry(begins).or_default()))
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
            let into = self.coarse.entry(floor(begins, coarse_ms)).or_default();
            let into = Arc::make_mut(into);
            into.absorb(&sketch);
            into.close();
        }
        let oldest = first(as_of, self.span.window);
        self.dropped_to = self.dropped_to.max(floor(oldest, coarse_ms));
        while let Some(pane) = self.coarse.first_entry().filter(|it| *it.key() < self.dropped_to) {
            pane.remove();
        }
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
        fn close(&mut self) {}

        fn absorb(&mut self, other: &Self) {
            self.0.extend(&other.0);
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
}

//! Before which time nothing more will take effect, where records may come out of order.
//!
//! With `on_event` the frontier follows the clock, and says nothing of how old the next record may
//! be. The workers say it: whenever one moves on, it promises that what it sends from then on is
//! not older than the watermark. A promise counts once the frontier has passed the clock it was
//! given at, for then all that was sent before it has arrived; and what has arrived but waits for
//! its instant bounds it too. With `on_watermark` records take effect at their own times, and there
//! is nothing to be promised.
//!
//! Cost: a message between each pair of workers when the clock moves; an ordered map of the records
//! that wait and are older than the clock.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::wheel::Wheel;
use crate::clock::Emit;
use crate::model::EventTime;

/// Said by a worker at a clock: what it sends from then on is not older than the watermark.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Promise {
    /// The worker it is sent to.
    pub to: usize,
    /// The worker that gives it.
    pub from: usize,
    /// Where its clock stood.
    pub clock: EventTime,
    /// Nothing older will come.
    pub watermark: EventTime,
}

/// What is known of what can no longer come (see the module).
#[derive(Debug)]
pub struct Settled {
    emit: Emit,
    waiting: Wheel<Promise>,
    due: Vec<Promise>,
    /// By worker, what its promises that count come to.
    promised: Vec<EventTime>,
    /// How many wait of each time that the clock had passed when they came.
    overtaken: BTreeMap<EventTime, usize>,
}

impl Settled {
    /// Nothing is promised yet.
    pub fn new(emit: Emit, workers: usize) -> Self {
        Settled {
            emit,
            waiting: Wheel::default(),
            due: Vec::new(),
            promised: vec![EventTime::MIN; workers],
            overtaken: BTreeMap::new(),
        }
    }

    /// Takes note of a promise.
    pub fn promise(&mut self, promise: Promise) {
        self.waiting.insert(promise.clock, promise);
    }

    /// Something of this time has come and waits for `at`.
    pub fn wait(&mut self, time: EventTime, at: EventTime) {
        if time < at {
            *self.overtaken.entry(time).or_default() += 1;
        }
    }

    /// It waits no more.
    pub fn done(&mut self, time: EventTime, at: EventTime) {
        if time < at
            && let Some(count) = self.overtaken.get_mut(&time)
        {
            *count -= 1;
            if *count == 0 {
                self.overtaken.remove(&time);
            }
        }
    }

    /// The promises given at clocks the frontier has passed count from now on.
    pub fn pass(&mut self, passed: impl Fn(&EventTime) -> bool) {
        while let Some(clock) = self.waiting.next_due().filter(&passed) {
            self.waiting.take_due(clock, &mut self.due);
            for promise in self.due.drain(..) {
                if let Some(promised) = self.promised.get_mut(promise.from) {
                    *promised = promise.watermark.max(*promised);
                }
            }
        }
    }

    /// The time before which nothing takes effect at instant `at` or after it.
    pub fn before(&self, at: EventTime) -> EventTime {
        match self.emit {
            Emit::OnWatermark => at,
            Emit::OnEvent => {
                let promised = self.promised.iter().min().copied().unwrap_or(EventTime::MIN);
                let waits = self.overtaken.first_key_value().map_or(at, |(time, _)| *time);
                promised.min(waits).min(at)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promise(from: usize, clock: EventTime, watermark: EventTime) -> Promise {
        Promise { to: 0, from, clock, watermark }
    }

    #[test]
    fn all_workers_promise_and_what_waits_counts() {
        let mut settled = Settled::new(Emit::OnEvent, 2);
        settled.promise(promise(0, 20, 12));
        settled.pass(|clock| *clock < 30);
        assert_eq!(settled.before(30), EventTime::MIN, "the other worker has promised nothing");
        settled.promise(promise(1, 20, 15));
        settled.promise(promise(1, 30, 25));
        settled.pass(|clock| *clock < 30);
        assert_eq!(settled.before(30), 12);
        settled.wait(10, 30);
        assert_eq!(settled.before(30), 10);
        settled.done(10, 30);
        assert_eq!(settled.before(11), 11);
        assert_eq!(Settled::new(Emit::OnWatermark, 2).before(7), 7);
    }
}

//! What waits to be written: a queue with a bound, between the run and the thread that writes.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dataflows::model::EventTime;

use super::{KafkaFault, Stop, lock};
use crate::sink::delivery::{Item, MadeFinal};

/// How much may wait, or be on its way, before whoever gives more has to wait: enough for some
/// seconds of many differences, and little beside the state of the users they concern.
const WAITING_BYTES: usize = 32 << 20;
/// How many records a transaction holds, about: markers cost little beside so many, and a consumer
/// waits for their end for no more than some tens of milliseconds. One instant is never divided.
const TRANSACTION_RECORDS: usize = 10_000;
/// How long from one transaction to the next while fewer are due: ten a second cost the brokers
/// little, and a tenth of a second is what a watermark is late by anyway.
const TRANSACTION_EVERY: Duration = Duration::from_millis(100);
/// How often the position is stored while there is nothing to write: brokers forget positions that
/// nobody renews, and a process that another has replaced learns of it.
const POSITION_EVERY: Duration = Duration::from_secs(10);
/// How long a run that is told to stop waits for delivery: as long as a broker needs to be
/// restarted, and not for ever.
const STOP_WAITS: Duration = Duration::from_secs(30);
/// How often it is looked whether the run has been told to stop.
const LOOK: Duration = Duration::from_millis(50);

/// What waits to be written.
pub(super) struct Queue {
    topic: String,
    pub(super) made_final: MadeFinal,
    stop: Stop,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    items: VecDeque<Item>,
    /// What waits and what is on its way.
    bytes: usize,
    on_its_way: usize,
    /// All before this has been given.
    frontier: EventTime,
    last: EventTime,
    stopped: Option<Instant>,
    is_last: bool,
    is_done: bool,
    is_abandoned: bool,
    /// What ends it, until it has been told.
    fault: Option<KafkaFault>,
    has_failed: bool,
}

/// What is to be written in one transaction.
pub(super) struct Due {
    pub(super) items: Vec<Item>,
    /// All before this time is written with it.
    pub(super) upto: EventTime,
}

impl Queue {
    pub(super) fn new(topic: String, made_final: MadeFinal, stop: Stop) -> Self {
        let state = State {
            items: VecDeque::new(),
            bytes: 0,
            on_its_way: 0,
            frontier: made_final.time(),
            last: EventTime::MIN,
            stopped: None,
            is_last: false,
            is_done: false,
            is_abandoned: false,
            fault: None,
            has_failed: false,
        };
        Queue { topic, made_final, stop, state: Mutex::new(state), changed: Condvar::new() }
    }

    pub(super) fn give(&self, items: Vec<Item>) -> Result<(), KafkaFault> {
        let Some(last) = items.last().map(Item::time) else { return Ok(()) };
        let mut state = lock(&self.state);
        state.bytes += items.iter().map(Item::bytes).sum::<usize>();
        for mut item in items {
            if let Item::Line { time, .. } = &mut item {
                *time = state.last.max(*time); // a clock may be behind (`on_event`)
            }
            state.last = item.time();
            state.items.push_back(item);
        }
        state.frontier = state.frontier.max(last);
        self.changed.notify_all();
        self.wait_while(state, |state| state.bytes > WAITING_BYTES)
    }

    pub(super) fn advance(&self, frontier: EventTime) -> Result<(), KafkaFault> {
        let mut state = lock(&self.state);
        state.frontier = state.frontier.max(frontier);
        self.changed.notify_all();
        state.fault.take().map_or(Ok(()), Err)
    }

    pub(super) fn finish(&self) -> Result<(), KafkaFault> {
        let mut state = lock(&self.state);
        state.is_last = true;
        self.changed.notify_all();
        self.wait_while(state, |state| !state.is_done)
    }

    pub(super) fn abandon(&self) {
        lock(&self.state).is_abandoned = true;
        self.changed.notify_all();
    }

    /// Waits; not for ever, once the run has been told to stop.
    fn wait_while(
        &self,
        mut state: Guard<'_>,
        holds: impl Fn(&State) -> bool,
    ) -> Result<(), KafkaFault> {
        loop {
            if let Some(fault) = state.fault.take() {
                return Err(fault);
            }
            if state.has_failed || !holds(&state) {
                return Ok(());
            }
            if self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Acquire)) {
                let since = *state.stopped.get_or_insert_with(Instant::now);
                if since.elapsed() >= STOP_WAITS {
                    let waiting = state.items.len() + state.on_its_way;
                    let (topic, bound_s) = (self.topic.clone(), STOP_WAITS.as_secs());
                    return Err(KafkaFault::Undelivered { topic, waiting, bound_s });
                }
            }
            state = self.wait(state, LOOK);
        }
    }

    fn wait<'a>(&self, state: Guard<'a>, long: Duration) -> Guard<'a> {
        self.changed.wait_timeout(state, long).unwrap_or_else(PoisonError::into_inner).0
    }

    /// The next transaction, when it is time for it. `None` at the end.
    pub(super) fn next(&self, last: Instant, stored: Option<EventTime>) -> Option<Due> {
        let mut state = lock(&self.state);
        loop {
            if state.is_abandoned {
                return None;
            }
            let due = state.due();
            if due == 0 {
                self.made_final.set(state.frontier);
                if state.is_last {
                    return None;
                }
                let has_moved = stored.is_none_or(|stored| stored < state.frontier);
                if has_moved && last.elapsed() >= POSITION_EVERY {
                    return Some(Due { items: Vec::new(), upto: state.frontier });
                }
                state = self.wait(state, POSITION_EVERY);
                continue;
            }
            let wait = TRANSACTION_EVERY.saturating_sub(last.elapsed());
            if wait.is_zero() || due >= TRANSACTION_RECORDS || state.is_last {
                return Some(state.take(due));
            }
            state = self.wait(state, wait);
        }
    }

    /// What was due is final.
    pub(super) fn wrote(&self, due: &Due) {
        self.made_final.set(due.upto);
        let mut state = lock(&self.state);
        state.bytes -= due.items.iter().map(Item::bytes).sum::<usize>();
        state.on_its_way = 0;
        self.changed.notify_all();
    }

    /// Whether nobody waits for what is being tried: all is final but the position.
    pub(super) fn is_left(&self, due: &Due) -> bool {
        let state = lock(&self.state);
        state.is_abandoned || (state.is_last && due.items.is_empty())
    }

    /// There will be no more transactions.
    pub(super) fn end(&self, fault: Option<KafkaFault>) {
        let mut state = lock(&self.state);
        state.is_done = fault.is_none();
        state.has_failed = fault.is_some();
        state.fault = fault;
        self.changed.notify_all();
    }

    /// Lets some time pass, unless there is no need to.
    pub(super) fn pause(&self, long: Duration, due: &Due) {
        let began = Instant::now();
        while began.elapsed() < long && !self.is_left(due) {
            let left = long.saturating_sub(began.elapsed());
            drop(self.wait(lock(&self.state), left));
        }
    }
}

type Guard<'a> = MutexGuard<'a, State>;

impl State {
    /// How many items are before the frontier.
    fn due(&self) -> usize {
        self.items.partition_point(|item| item.time() < self.frontier)
    }

    /// Takes what belongs into one transaction: whole instants.
    fn take(&mut self, due: usize) -> Due {
        let cut = match self.items.get(TRANSACTION_RECORDS).filter(|_| due > TRANSACTION_RECORDS) {
            None => due,
            Some(after) => {
                let before = self.items.partition_point(|item| item.time() < after.time());
                match before {
                    0 => self.items.partition_point(|item| item.time() <= after.time()),
                    _ => before,
                }
            }
        };
        let upto = match self.items.get(cut).filter(|_| cut < due) {
            Some(next) => next.time(),
            None => self.frontier,
        };
        self.on_its_way = cut;
        Due { items: self.items.drain(..cut).collect(), upto }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(time: EventTime) -> Item {
        Item::Line { time, key: "k".into(), line: vec![] }
    }

    fn queue() -> Queue {
        Queue::new("t".into(), MadeFinal::since(EventTime::MIN), None)
    }

    fn long_ago() -> Instant {
        Instant::now().checked_sub(POSITION_EVERY).unwrap()
    }

    #[test]
    fn an_instant_is_written_when_time_has_passed_it() {
        let queue = queue();
        queue.give(vec![item(1), item(2), item(2)]).unwrap();
        let due = queue.next(long_ago(), None).unwrap();
        assert_eq!((due.items, due.upto), (vec![item(1)], 2));
        queue.advance(7).unwrap();
        let due = queue.next(long_ago(), Some(2)).unwrap();
        assert_eq!((due.items.len(), due.upto), (2, 7));
        queue.advance(8).unwrap();
        let due = queue.next(long_ago(), Some(7)).unwrap();
        assert_eq!((due.items.len(), due.upto), (0, 8), "the position alone");
        assert_eq!(queue.made_final.time(), 8);
    }

    #[test]
    fn a_transaction_holds_whole_instants() {
        let queue = queue();
        let many = TRANSACTION_RECORDS + 5;
        queue.give((0..many).map(|_| item(1)).chain([item(2)]).collect()).unwrap();
        queue.give((0..many).map(|at| item(if at < 9 { 3 } else { 4 })).collect()).unwrap();
        queue.advance(EventTime::MAX).unwrap();
        let now = Instant::now();
        let sizes = [(many, 2), (10, 4), (many - 9, EventTime::MAX)];
        for (size, upto) in sizes {
            let due = queue.next(now.checked_sub(TRANSACTION_EVERY).unwrap(), None).unwrap();
            assert_eq!((due.items.len(), due.upto), (size, upto));
        }
    }

    #[test]
    fn a_full_queue_ends_a_run_that_was_told_what_is_wrong() {
        let queue = queue();
        queue.end(Some(KafkaFault::Fenced { topic: "t".into(), brokers: "b".into() }));
        assert!(matches!(queue.give(vec![item(1)]), Err(KafkaFault::Fenced { .. })));
    }
}

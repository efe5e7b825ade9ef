//! What waits to be written: a queue with a bound, between the run and the thread that writes.
//!
//! The oldest items are in memory. Where there is a [`Buffer`], those for which there is no room
//! wait on disk behind them, whole instants, until it is full too; then whoever gives more waits.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dataflows::model::EventTime;

use super::SinkError;
use super::buffer::{Buffer, Place};
use super::delivery::{Item, MadeFinal, Standing};
use crate::say::Trouble;

/// How much may wait, or be on its way, before whoever gives more has to wait: enough for some
/// seconds of many differences, and little beside the state of the users they concern.
const WAITING_BYTES: usize = 32 << 20;
/// How long a run that is told to stop waits for delivery: as long as a broker needs to be
/// restarted, and not for ever.
const STOP_WAITS: Duration = Duration::from_secs(30);
/// How often it is looked whether the run has been told to stop.
const LOOK: Duration = Duration::from_millis(50);

/// Whether the run has been told to stop; nothing, where that ends it at once.
pub type Stop = Option<Arc<AtomicBool>>;

/// In what steps items are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// How many items a step holds, about. One instant is never divided.
    pub(super) items: usize,
    /// How long from one step to the next while fewer are due.
    pub(super) every: Duration,
    /// How often the position is stored while there is nothing to write.
    pub(super) position_every: Duration,
    /// What counts as final while there is nothing to write: only what the stored position says,
    /// or all that time has passed. The first lets a later life tell whether anything was lost.
    pub(super) only_what_is_stored: bool,
}

/// What waits to be written.
pub(super) struct Queue {
    name: String,
    pace: Pace,
    /// Nothing is written before time has passed this.
    hold: EventTime,
    pub(super) made_final: MadeFinal,
    /// Whether what was tried last has failed.
    pub(super) is_down: AtomicBool,
    stop: Stop,
    /// That items wait on disk, and that those who give them wait.
    on_disk: Trouble,
    full: Trouble,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    items: VecDeque<Item>,
    /// Those that are younger, if they may wait on disk.
    buffer: Option<Buffer>,
    /// What waits in memory and what is on its way.
    bytes: usize,
    on_its_way: usize,
    /// How many items were written, and in how many steps.
    written: u64,
    steps: u64,
    /// All before this has been given.
    frontier: EventTime,
    last: EventTime,
    stopped: Option<Instant>,
    is_last: bool,
    is_done: bool,
    is_abandoned: bool,
    /// What ends it, until it has been told.
    fault: Option<SinkError>,
    has_failed: bool,
}

/// What is to be written in one step.
pub(super) struct Due {
    pub(super) items: Vec<Item>,
    /// All before this time is written with it.
    pub(super) upto: EventTime,
}

impl Queue {
    /// Nothing waits. What is before `made_final` is not waited for; nothing is written before
    /// time has passed `hold`.
    pub(super) fn new(
        name: String,
        pace: Pace,
        (made_final, hold): (MadeFinal, EventTime),
        (buffer, stop): (Option<Place>, Stop),
    ) -> Self {
        let state = State {
            items: VecDeque::new(),
            buffer: buffer.map(Buffer::new),
            bytes: 0,
            on_its_way: 0,
            written: 0,
            steps: 0,
            frontier: made_final.time(),
            last: EventTime::MIN,
            stopped: None,
            is_last: false,
            is_done: false,
            is_abandoned: false,
            fault: None,
            has_failed: false,
        };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        let (on_disk, full) = Default::default();
        let is_down = AtomicBool::new(false);
        Queue { name, pace, hold, made_final, is_down, stop, on_disk, full, state, changed }
    }

    pub(super) fn standing(&self) -> Standing {
        let state = lock(&self.state);
        let on_disk = state.buffer.as_ref().map_or(0, Buffer::items);
        Standing {
            name: self.name.clone(),
            is_down: self.is_down.load(Ordering::Acquire),
            waiting: state.items.len() + state.on_its_way + on_disk,
            bytes: state.bytes,
            on_disk,
            written: state.written,
            steps: state.steps,
            made_final: Some(self.made_final.time()).filter(|time| *time > EventTime::MIN),
        }
    }

    /// What is written, as people know it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn give(&self, items: Vec<Item>) -> Result<(), SinkError> {
        let Some(last) = items.last().map(Item::time) else { return Ok(()) };
        let mut state = lock(&self.state);
        for mut item in items {
            if let Item::Line { time, .. } = &mut item {
                *time = state.last.max(*time); // a clock may be behind (`on_event`)
            }
            state.push(item).map_err(|cause| self.buffer_fault(&state, cause))?;
        }
        state.frontier = state.frontier.max(last);
        self.changed.notify_all();
        self.tell_buffer(&state);
        // An instant that is not complete yet cannot be written, however large: waiting would not end.
        self.wait_while(state, |state| {
            let must_wait = state.is_full() && state.can_go(self.hold);
            if !must_wait {
                self.full.is_over(format_args!("{}: there is room again", self.name));
            }
            must_wait
        })
    }

    /// Says whether items wait on disk, and whether there is room for more.
    fn tell_buffer(&self, state: &State) {
        let Some(buffer) = &state.buffer else { return };
        let (name, items) = (&self.name, buffer.items());
        if buffer.is_full() {
            let bytes = buffer.place().bytes;
            self.full.is(format_args!(
                "{name}: its buffer of {bytes} bytes on disk is full: now the sources wait for it"
            ));
        } else if items > 0 {
            self.on_disk.is(format_args!("{name}: {items} differences or records wait on disk"));
        } else {
            self.on_disk.is_over(format_args!("{name}: none waits on disk any more"));
        }
    }

    fn buffer_fault(&self, state: &State, cause: std::io::Error) -> SinkError {
        let folder = state.buffer.as_ref().map(|it| it.place().folder.clone()).unwrap_or_default();
        SinkError::Buffer { name: self.name.clone(), folder, cause }
    }

    pub(super) fn advance(&self, frontier: EventTime) -> Result<(), SinkError> {
        let mut state = lock(&self.state);
        state.frontier = state.frontier.max(frontier);
        self.changed.notify_all();
        state.fault.take().map_or(Ok(()), Err)
    }

    pub(super) fn finish(&self) -> Result<(), SinkError> {
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
    ) -> Result<(), SinkError> {
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
                    let on_disk = state.buffer.as_ref().map_or(0, Buffer::items);
                    let waiting = state.items.len() + state.on_its_way + on_disk;
                    let (name, bound_s) = (self.name.clone(), STOP_WAITS.as_secs());
                    return Err(SinkError::Undelivered { name, waiting, bound_s });
                }
            }
            state = self.wait(state, LOOK);
        }
    }

    fn wait<'a>(&self, state: Guard<'a>, long: Duration) -> Guard<'a> {
        self.changed.wait_timeout(state, long).unwrap_or_else(PoisonError::into_inner).0
    }

    /// The next step, when it is time for it. `None` at the end.
    pub(super) fn next(&self, last: Instant, stored: Option<EventTime>) -> Option<Due> {
        let mut state = lock(&self.state);
        loop {
            if state.is_abandoned {
                return None;
            }
            if let Err(cause) = state.refill() {
                let fault = self.buffer_fault(&state, cause);
                (state.fault, state.has_failed) = (Some(fault), true);
                self.changed.notify_all();
                return None;
            }
            let is_held = state.frontier <= self.hold;
            let due = if is_held { 0 } else { state.due() };
            if due == 0 {
                if !self.pace.only_what_is_stored {
                    self.made_final.set(state.frontier);
                }
                if !is_held && self.is_position_due(&state, last, stored) {
                    return Some(Due { items: Vec::new(), upto: state.frontier });
                }
                if state.is_last {
                    return None;
                }
                state = self.wait(state, self.pace.position_every);
                continue;
            }
            let wait = self.pace.every.saturating_sub(last.elapsed());
            if wait.is_zero() || due >= self.pace.items || state.is_last {
                return Some(state.take(due, self.pace.items, self.hold));
            }
            state = self.wait(state, wait);
        }
    }

    /// Whether the position alone is to be stored.
    fn is_position_due(&self, state: &State, last: Instant, stored: Option<EventTime>) -> bool {
        let has_moved = stored.unwrap_or(EventTime::MIN) < state.frontier;
        let is_time = match state.is_last {
            true => self.pace.only_what_is_stored,
            false => last.elapsed() >= self.pace.position_every,
        };
        has_moved && is_time
    }

    /// What was due is final.
    pub(super) fn wrote(&self, due: &Due) {
        self.made_final.set(due.upto);
        let mut state = lock(&self.state);
        state.bytes -= due.items.iter().map(Item::bytes).sum::<usize>();
        state.on_its_way = 0;
        state.written += due.items.len() as u64;
        state.steps += 1;
        self.changed.notify_all();
    }

    /// Whether nobody waits for what is being tried: all is final but the position.
    pub(super) fn is_left(&self, due: &Due) -> bool {
        let state = lock(&self.state);
        let is_for_nobody = due.items.is_empty() && !self.pace.only_what_is_stored;
        state.is_abandoned || (state.is_last && is_for_nobody)
    }

    /// There will be no more steps.
    pub(super) fn end(&self, fault: Option<SinkError>) {
        let mut state = lock(&self.state);
        if !state.has_failed {
            state.is_done = fault.is_none();
            state.has_failed = fault.is_some();
            state.fault = fault;
        }
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
    /// Adds an item. What is behind others on disk goes there too; so does the first instant there
    /// is no room for in memory.
    fn push(&mut self, item: Item) -> std::io::Result<()> {
        let begins = self.last < item.time();
        self.last = item.time();
        if let Some(buffer) = &mut self.buffer
            && (buffer.items() > 0 || (self.bytes > WAITING_BYTES && begins))
        {
            return buffer.push(&item);
        }
        self.bytes += item.bytes();
        self.items.push_back(item);
        Ok(())
    }

    /// Takes items from the disk into memory, whole instants, once half of it is free.
    fn refill(&mut self) -> std::io::Result<()> {
        let Some(buffer) = &mut self.buffer else { return Ok(()) };
        let mut has_room = self.bytes <= WAITING_BYTES / 2;
        while let Some(first) = buffer.first() {
            let is_divided = self.items.back().is_some_and(|last| last.time() == first);
            if !has_room && !is_divided {
                break;
            }
            let items = buffer.take()?;
            self.bytes += items.iter().map(Item::bytes).sum::<usize>();
            self.items.extend(items);
            has_room &= self.bytes <= WAITING_BYTES;
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.buffer.as_ref().map_or(self.bytes > WAITING_BYTES, Buffer::is_full)
    }

    /// Whether something is being written, or can be.
    fn can_go(&self, hold: EventTime) -> bool {
        self.on_its_way > 0 || (self.frontier > hold && self.due() > 0)
    }

    /// How many items are before the frontier.
    fn due(&self) -> usize {
        self.items.partition_point(|item| item.time() < self.frontier)
    }

    /// Takes what belongs into one step: whole instants, all that was held back among them.
    fn take(&mut self, due: usize, wanted: usize, hold: EventTime) -> Due {
        let cut = match self.items.get(wanted).filter(|_| due > wanted) {
            None => due,
            Some(after) => {
                let before = self.items.partition_point(|item| item.time() < after.time());
                let held = self.items.partition_point(|item| item.time() <= hold);
                match before.max(held) {
                    0 => self.items.partition_point(|item| item.time() <= after.time()),
                    before => before,
                }
            }
        };
        let on_disk = self.buffer.as_ref().and_then(Buffer::first);
        let next = self.items.get(cut).map(Item::time).or(on_disk);
        let upto = next.map_or(self.frontier, |next| next.min(self.frontier));
        self.on_its_way = cut;
        Due { items: self.items.drain(..cut).collect(), upto }
    }
}

pub(super) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

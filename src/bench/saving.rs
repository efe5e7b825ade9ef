//! Segments saved while changes stream in: how long one takes over all users, and what it does to
//! the latency of the others.
//!
//! The dataflow by itself, one worker. Changes fall due at a fixed rate, whether or not it keeps
//! up; each is answered when the frontier has passed its millisecond.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataflows::catalog::Timeline;
use dataflows::clock::ClockSettings;
use dataflows::model::{EventTime, Incoming, Position, Update, UserKey};
use dataflows::operators::checkpoint::Survival;
use dataflows::rule::Definition;
use dataflows::segmentation::{Command, Inputs, commands, segmentation};
use dataflows::streams::Streams;
use hdrhistogram::Histogram;
use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::{Inspect, Probe};
use timely::worker::Worker;

use super::error::BenchError;
use super::figures::Figures;
use super::shapes;
use crate::format::Reader;
use crate::generate::changes::Population;
use crate::generate::clicks::START;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    pub(super) users: u32,
    /// Changes a second.
    pub(super) rate: f64,
    /// How long changes stream in before the first segment is saved.
    pub(super) before: Duration,
    /// How many segments are saved, one after the other.
    pub(super) saves: usize,
}

const SEED: u64 = 5;
const LONGEST_US: u64 = 600_000_000;

/// Measures with all but the last definitions in force, which are saved. Figures: `save_s` (the
/// longest), `before_p99_ms`, `while_p99_ms` and `p99_ratio`.
pub(super) fn measure(timeline: &Timeline, setting: Setting) -> Result<Figures, BenchError> {
    let mut initial = timeline.initial.clone();
    let saved = initial.split_off(initial.len().saturating_sub(setting.saves));
    let timeline = Timeline { initial, edits: Vec::new() };
    timely::execute_directly(move |worker| {
        Bench::new(worker, &timeline).run(worker, setting, saved)
    })
}

struct Bench {
    inputs: Inputs,
    probe: ProbeHandle<EventTime>,
    prepared: Rc<Cell<bool>>,
    reader: Reader,
    population: Population,
    offset: u64,
}

impl Bench {
    fn new(worker: &mut Worker, timeline: &Timeline) -> Self {
        let streams = Arc::new(Streams::of(timeline));
        let (probe, prepared) = (ProbeHandle::new(), Rc::new(Cell::new(false)));
        let told = prepared.clone();
        let mut inputs = worker.dataflow(|scope| {
            let clock = ClockSettings::default();
            let (inputs, outputs) = segmentation(scope, clock, streams.clone(), Survival::Nothing);
            outputs.differences.probe_with(&probe);
            outputs.prepared.inspect(move |_| told.set(true)).probe_with(&probe);
            inputs
        });
        for command in commands(timeline, None) {
            inputs.commands.send(command);
        }
        let reader = Reader::new(streams, shapes::attributes());
        Bench { inputs, probe, prepared, reader, population: Population::new(SEED), offset: 0 }
    }

    fn send(&mut self, line: &[u8], time: EventTime) -> Result<(), BenchError> {
        let read = self.reader.update(line.trim_ascii_end()).map_err(BenchError::Measure)?;
        let user = UserKey::of(&read.user);
        let position = Position { partition: 0, offset: self.offset };
        if (self.offset as usize) < self.population.users() {
            self.inputs.updates.send(Incoming::Name(user, (*read.user).into()));
        }
        let update = Update { user, time, at: time, position, change: read.change };
        self.inputs.updates.send(Incoming::Update(update));
        self.offset += 1;
        Ok(())
    }

    fn load(&mut self, worker: &mut Worker, users: u32) -> Result<(), BenchError> {
        let mut line = Vec::new();
        for user in 0..users {
            line.clear();
            self.population.user(None, &mut line);
            let time = START - i64::from(users) + i64::from(user);
            self.send(&line, time)?;
            if user % 1_000 == 0 {
                self.inputs.advance_to(time, time);
                worker.step();
            }
        }
        self.pass(worker, START);
        Ok(())
    }

    fn pass(&mut self, worker: &mut Worker, time: EventTime) {
        self.inputs.advance_to(time, time);
        while self.probe.less_than(&time) {
            worker.step();
        }
    }

    fn run(
        mut self,
        worker: &mut Worker,
        setting: Setting,
        saved: Vec<Arc<Definition>>,
    ) -> Result<Figures, BenchError> {
        self.load(worker, setting.users)?;
        let mut saving = Saving { waiting: saved.into(), since: None, longest: Duration::ZERO };
        let new = || {
            Histogram::<u64>::new_with_bounds(1, LONGEST_US, 3)
                .map_err(|error| BenchError::Measure(error.to_string()))
        };
        let (mut before, mut during) = (new()?, new()?);
        let (began, mut sent, mut line) = (Instant::now(), 0_u64, Vec::new());
        let mut unanswered: VecDeque<(EventTime, Duration)> = VecDeque::new();
        while !saving.is_done() {
            let now = began.elapsed();
            let now_ms = START + now.as_millis() as i64;
            while let due = Duration::from_secs_f64(sent as f64 / setting.rate)
                && due <= now
            {
                line.clear();
                self.population.change(&mut line);
                let time = START + due.as_millis() as i64;
                self.send(&line, time)?;
                unanswered.push_back((time, due));
                sent += 1;
            }
            self.inputs.advance_to(now_ms, now_ms);
            if now >= setting.before {
                saving.next(&mut self, now_ms, now);
            }
            worker.step();
            while let Some((time, due)) = unanswered.front().copied()
                && !self.probe.less_equal(&time)
            {
                let histogram = if due < setting.before { &mut before } else { &mut during };
                histogram.saturating_record((began.elapsed() - due).as_micros() as u64);
                unanswered.pop_front();
            }
        }
        drop(self.inputs);
        let p99_ms = |histogram: &Histogram<u64>| histogram.value_at_quantile(0.99) as f64 / 1e3;
        let mut figures = Figures::default();
        figures.set("save_s", saving.longest.as_secs_f64());
        figures.set("before_p99_ms", p99_ms(&before));
        figures.set("while_p99_ms", p99_ms(&during));
        figures.set("p99_ratio", p99_ms(&during) / p99_ms(&before));
        Ok(figures)
    }
}

/// Segments on their way, one at a time.
struct Saving {
    waiting: VecDeque<Arc<Definition>>,
    /// When the present one was saved, and the time of its coming into force once that is known.
    since: Option<(Duration, Option<EventTime>)>,
    longest: Duration,
}

impl Saving {
    fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.since.is_none()
    }

    fn next(&mut self, bench: &mut Bench, clock: EventTime, now: Duration) {
        match self.since {
            None => {
                if let Some(definition) = self.waiting.pop_front() {
                    bench.inputs.saves.send((clock, Command::Save(definition, clock)));
                    bench.inputs.saves.send((clock, Command::Prepare));
                    self.since = Some((now, None));
                }
            }
            Some((since, None)) if bench.prepared.take() => {
                bench.inputs.saves.send((clock, Command::Commit));
                self.since = Some((since, Some(clock)));
            }
            Some((since, Some(in_force))) if !bench.probe.less_equal(&in_force) => {
                self.longest = self.longest.max(now - since);
                self.since = None;
            }
            Some(_) => {}
        }
    }
}

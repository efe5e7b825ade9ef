//! Open-loop latency: records are written into a pipe at times fixed beforehand, whether or not
//! the program keeps up, and each difference is timed from the *scheduled* arrival of the record
//! that caused it to the moment the sink has its line. So a stall is charged to every record that
//! was due during it, and there is nothing to correct afterwards (no coordinated omission).
//!
//! Which record caused a difference is worked out by a second run ([`causes`](super::causes)). The
//! windows of the rules must be longer than the schedule: nothing leaves one by itself.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use dataflows::catalog::Timeline;
use dataflows::clock::{ClockSettings, Emit};
use dataflows::model::{self, EventTime};
use hdrhistogram::Histogram;
use serde::Deserialize;

use super::causes::{Causes, LEAVES_FROM, write_places};
use super::error::BenchError;
use super::figures::Figures;
use super::resources::Cpu;
use super::shapes;
use crate::generate::clicks::{Clicks, START, Settings};
use crate::run::{self, Cluster, Form, InputFile, Outputs, Run};
use crate::sink::Sink;

/// How often due records are written: what fell due meanwhile waits so long at most.
const TICK: Duration = Duration::from_micros(200);
/// The most records of one write, so that falling behind is noticed while it happens.
const AT_ONCE_RECORDS: usize = 4_096;
/// How far writing may fall behind before the rest is given up: the program does not keep up.
const BEHIND: Duration = Duration::from_secs(10);
const RESOLUTION_NS: u64 = 1_000;
const LONGEST_NS: u64 = 600_000_000_000;
/// What is due so close to the end is not counted: the end of the input closes the last instant.
const TAIL: Duration = Duration::from_millis(20);
/// From the opening of the pipe to the first record.
const HEAD_START: Duration = Duration::from_millis(200);

/// What arrives, and when.
pub struct Schedule {
    bytes: Vec<u8>,
    records: Vec<Scheduled>,
    /// What arrives before is not counted.
    warm_up: Duration,
}

struct Scheduled {
    due: Duration,
    /// Where its line ends among the bytes.
    end: usize,
    /// Whether it was there before, and has no effect.
    is_again: bool,
}

impl Schedule {
    /// Clicks, evenly spaced, for so long after the warm-up.
    pub fn clicks(settings: Settings, warm_up: Duration, measured: Duration) -> Self {
        let mut clicks = Clicks::new(settings);
        let mut schedule = Schedule { bytes: Vec::new(), records: Vec::new(), warm_up };
        let count = ((warm_up + measured).as_secs_f64() * settings.rate) as u64;
        for number in 0..count {
            let click = clicks.next(&mut schedule.bytes);
            let due = Duration::from_secs_f64(number as f64 / settings.rate);
            schedule.push(due, click.is_again);
        }
        schedule
    }

    /// One purchase at a time, each by another user and enough for `high_value`, with nothing in
    /// between.
    pub fn lone(count: u32, gap: Duration) -> Self {
        let warm_up = gap * (count / 10);
        let mut schedule = Schedule { bytes: Vec::new(), records: Vec::new(), warm_up };
        for user in 0..count {
            let due = gap * user;
            let time = START + due.as_millis() as i64;
            let line = format!(
                r#"{{"event_id":"{user:032x}","user_id":"u{user}","type":"purchase","ts":{time},"properties":{{"amount":200.00,"currency":"USD"}}}}"#
            );
            schedule.bytes.extend_from_slice(line.as_bytes());
            schedule.bytes.push(b'\n');
            schedule.push(due, false);
        }
        schedule
    }

    fn push(&mut self, due: Duration, is_again: bool) {
        self.records.push(Scheduled { due, end: self.bytes.len(), is_again });
    }

    /// The lines, but for those that were there before.
    fn lines(&self) -> impl ExactSizeIterator<Item = Option<&[u8]>> {
        let mut from = 0;
        self.records.iter().map(move |record| {
            let line = &self.bytes[std::mem::replace(&mut from, record.end)..record.end];
            (!record.is_again).then_some(line)
        })
    }

    fn length(&self) -> Duration {
        self.records.last().map_or(Duration::ZERO, |record| record.due)
    }

    /// Writes everything as it falls due, until that is done or too far behind; gives back by how
    /// much the last write was late.
    fn play(&self, pipe: &mut File, began: Instant) -> io::Result<Duration> {
        let (mut written, mut next) = (0, 0);
        while next < self.records.len() {
            let now = began.elapsed();
            let due = next + self.records[next..].partition_point(|record| record.due <= now);
            let due = due.min(next + AT_ONCE_RECORDS);
            if let Some(last) = due.checked_sub(1).and_then(|last| self.records[..due].get(last))
                && due > next
            {
                pipe.write_all(&self.bytes[written..last.end])?;
                (written, next) = (last.end, due);
            }
            let Some(coming) = self.records.get(next) else { break };
            if began.elapsed().saturating_sub(coming.due) > BEHIND {
                break;
            }
            thread::sleep(coming.due.saturating_sub(began.elapsed()).max(TICK));
        }
        let last = next.checked_sub(1).and_then(|last| self.records.get(last));
        let due = last.map_or(Duration::ZERO, |record| record.due);
        Ok(began.elapsed().saturating_sub(due))
    }
}

/// What the run is like.
#[derive(Clone)]
pub struct Setting {
    /// Worker threads.
    pub workers: usize,
    /// The segments.
    pub timeline: Arc<Timeline>,
    /// How far out of order records may be.
    pub disorder: model::Duration,
}

/// The lines of differences, each batch with the moment it came.
type Arrived = Arc<Mutex<Vec<(Instant, Vec<u8>)>>>;

/// A sink that only takes the time.
struct Stopwatch(Arrived);

impl Write for Stopwatch {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let now = Instant::now();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((now, bytes.to_vec()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs the program over a schedule that is played in real time, through a pipe made in `folder`.
/// Figures: `p50_ms` to `p999_ms`, `max_ms`, how many differences they are over, how many have no
/// cause, the CPU time of the whole process for each second of the schedule, and by how much
/// writing ended late.
///
/// # Errors
/// The pipe cannot be made, or the run fails.
pub fn measure(
    schedule: Schedule,
    setting: Setting,
    folder: &Path,
) -> Result<(Figures, Histogram<u64>), BenchError> {
    let arrived = Arrived::default();
    let sink = Sink::prompt("the stopwatch", Box::new(Stopwatch(arrived.clone())));
    let live = Outputs { differences: vec![(sink, Form::Json)], ..Outputs::default() };
    let cpu = Cpu::now();
    let ((began, late), _) = run_over(folder, &setting, Emit::OnEvent, live, |mut pipe| {
        let began = Instant::now() + HEAD_START;
        thread::sleep(HEAD_START);
        schedule.play(&mut pipe, began).map(|late| (began, late))
    })?;
    let cpu_s = cpu.elapsed_s();
    let arrived = std::mem::take(&mut *arrived.lock().unwrap_or_else(PoisonError::into_inner));
    let kept = Outputs { kept: Some(Vec::new()), ..Outputs::default() };
    let in_order = Setting { disorder: model::Duration::from_ms(0), ..setting };
    let ((), outputs) = run_over(folder, &in_order, Emit::OnWatermark, kept, |pipe| {
        write_places(pipe, schedule.lines())
    })?;
    let causes = Causes::of(&outputs.kept.unwrap_or_default(), schedule.records.len());
    let (histogram, without_cause) = latencies(&schedule, began, &arrived, &causes)?;
    let mut figures = Figures::default();
    for (name, quantile) in [("p50_ms", 0.5), ("p90_ms", 0.9), ("p99_ms", 0.99), ("p999_ms", 0.999)]
    {
        figures.set(name, histogram.value_at_quantile(quantile) as f64 / 1e6);
    }
    figures.set("max_ms", histogram.max() as f64 / 1e6);
    figures.set("differences", histogram.len() as f64);
    figures.set("without_cause", without_cause as f64);
    figures.set("cpu_s_per_s", cpu_s / schedule.length().as_secs_f64());
    figures.set("writing_ended_late_ms", late.as_secs_f64() * 1e3);
    Ok((figures, histogram))
}

/// Runs the program over a pipe into which `write` writes.
fn run_over<T: Send>(
    folder: &Path,
    setting: &Setting,
    emit: Emit,
    outputs: Outputs,
    write: impl FnOnce(File) -> io::Result<T> + Send,
) -> Result<(T, Outputs), BenchError> {
    let pipe = folder.join(format!("latency.{}.pipe", std::process::id()));
    let _ = std::fs::remove_file(&pipe);
    let mode = nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR;
    nix::unistd::mkfifo(&pipe, mode)
        .map_err(|cause| BenchError::file("make the pipe", &pipe)(cause.into()))?;
    let clock = ClockSettings {
        emit,
        max_out_of_orderness: setting.disorder,
        dedup_horizon: setting.disorder,
        ..ClockSettings::default()
    };
    let run = Run {
        inputs: vec![InputFile { path: pipe.clone(), mapping: shapes::clicks() }],
        timeline: setting.timeline.clone(),
        clock,
        attributes: Vec::new(),
        retain: None,
        cluster: Cluster::single(setting.workers),
        live: None,
        state: None,
    };
    let result = thread::scope(|scope| {
        let writer = scope.spawn(|| write(File::options().write(true).open(&pipe)?));
        // Were the run to fail before it opens the pipe, the writer would wait for ever.
        let ran = run::run(run, outputs);
        if ran.is_err() {
            let _ = File::options().read(true).write(true).open(&pipe);
        }
        let written = writer.join();
        let (_, outputs) = ran?;
        let written = written
            .map_err(|_| BenchError::Measure("the writer of the pipe failed".to_owned()))?
            .map_err(BenchError::file("write the pipe", &pipe))?;
        Ok((written, outputs))
    });
    let _ = std::fs::remove_file(&pipe);
    result
}

/// What is read of a line of the output.
#[derive(Deserialize)]
struct Line<'a> {
    time: EventTime,
    #[serde(borrow)]
    segment: Cow<'a, str>,
    #[serde(borrow)]
    user: Cow<'a, str>,
    diff: i8,
}

/// Nanoseconds from schedule to sink, of everything that was due after the warm-up and before the
/// tail; and how many differences have no cause.
fn latencies(
    schedule: &Schedule,
    began: Instant,
    arrived: &[(Instant, Vec<u8>)],
    causes: &Causes,
) -> Result<(Histogram<u64>, u64), BenchError> {
    let broken = |error: &dyn std::fmt::Display| BenchError::Measure(error.to_string());
    let mut histogram = Histogram::<u64>::new_with_bounds(RESOLUTION_NS, LONGEST_NS, 3)
        .map_err(|error| broken(&error))?;
    let mut without_cause = 0;
    let counted = schedule.warm_up..schedule.length().saturating_sub(TAIL);
    for (moment, lines) in arrived {
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line: Line<'_> = serde_json::from_slice(line).map_err(|error| broken(&error))?;
            if line.time >= LEAVES_FROM {
                continue;
            }
            let cause = causes.record(&line.segment, &line.user, line.diff);
            let Some(record) = cause.and_then(|number| schedule.records.get(number)) else {
                without_cause += 1;
                continue;
            };
            if counted.contains(&record.due) {
                let waited = moment.saturating_duration_since(began + record.due);
                histogram.saturating_record(waited.as_nanos() as u64);
            }
        }
    }
    Ok((histogram, without_cause))
}

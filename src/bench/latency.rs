//! Open-loop latency: records are written into a pipe at times fixed beforehand, whether or not
//! the program keeps up, and each difference is timed from the *scheduled* arrival of the record
//! that caused it to the moment the sink has its line. So a stall is charged to every record that
//! was due during it, and there is nothing to correct afterwards (no coordinated omission).
//!
//! Which record caused a difference is worked out from event time, which runs as fast as the wall
//! clock here: the earliest record of the user that takes effect at the difference's time. Where
//! the program has closed instants of its own accord, in silence, it is the user's last one before.
//! The windows of the rules must be longer than the schedule: nothing leaves one by itself.

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
    user: u32,
    /// When it takes effect: the greatest event time so far.
    at: EventTime,
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
            schedule.push(due, click.user, click.time);
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
            schedule.push(due, user, time);
        }
        schedule
    }

    fn push(&mut self, due: Duration, user: u32, time: EventTime) {
        let at = self.records.last().map_or(time, |last| last.at.max(time));
        self.records.push(Scheduled { due, end: self.bytes.len(), user, at });
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
/// Figures: `p50_ms` to `p999_ms`, `max_ms`, how many differences they are over, the CPU time of
/// the whole process for each second of the schedule, and by how much writing ended late.
///
/// # Errors
/// The pipe cannot be made, or the run fails.
pub fn measure(
    schedule: Schedule,
    setting: Setting,
    folder: &Path,
) -> Result<(Figures, Histogram<u64>), BenchError> {
    let path = folder.join(format!("latency.{}.pipe", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let mode = nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR;
    nix::unistd::mkfifo(&path, mode)
        .map_err(|cause| BenchError::file("make the pipe", &path)(cause.into()))?;
    let result = play_and_run(&schedule, setting, &path);
    let _ = std::fs::remove_file(&path);
    let (began, late, cpu_s, arrived) = result?;
    let histogram = latencies(&schedule, began, &arrived)?;
    let length = schedule.records.last().map_or(Duration::ZERO, |record| record.due);
    let mut figures = Figures::default();
    for (name, quantile) in [("p50_ms", 0.5), ("p90_ms", 0.9), ("p99_ms", 0.99), ("p999_ms", 0.999)]
    {
        figures.set(name, histogram.value_at_quantile(quantile) as f64 / 1e6);
    }
    figures.set("max_ms", histogram.max() as f64 / 1e6);
    figures.set("differences", histogram.len() as f64);
    figures.set("cpu_s_per_s", cpu_s / length.as_secs_f64());
    figures.set("writing_ended_late_ms", late.as_secs_f64() * 1e3);
    Ok((figures, histogram))
}

type Played = (Instant, Duration, f64, Vec<(Instant, Vec<u8>)>);

fn play_and_run(schedule: &Schedule, setting: Setting, pipe: &Path) -> Result<Played, BenchError> {
    let arrived = Arrived::default();
    let sink = Sink::prompt("the stopwatch", Box::new(Stopwatch(arrived.clone())));
    let outputs = Outputs {
        differences: vec![(sink, Form::Json)],
        sources: vec![pipe.to_owned()],
        ..Outputs::default()
    };
    let run = Run {
        inputs: vec![InputFile { path: pipe.to_owned(), mapping: shapes::clicks() }],
        timeline: setting.timeline,
        clock: ClockSettings {
            emit: Emit::OnEvent,
            max_out_of_orderness: setting.disorder,
            dedup_horizon: setting.disorder,
            ..ClockSettings::default()
        },
        retain: None,
        cluster: Cluster { workers: setting.workers, process: 0, hosts: Vec::new() },
    };
    let cpu = Cpu::now();
    let (began, late) = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut file = File::options().write(true).open(pipe)?;
            let began = Instant::now() + HEAD_START;
            thread::sleep(HEAD_START);
            schedule.play(&mut file, began).map(|late| (began, late))
        });
        // Were the run to fail before it opens the pipe, the writer would wait for ever.
        let ran = run::run(run, outputs);
        if ran.is_err() {
            let _ = File::options().read(true).write(true).open(pipe);
        }
        let written = writer.join();
        ran?;
        written
            .map_err(|_| BenchError::Measure("the writer of the pipe failed".to_owned()))?
            .map_err(BenchError::file("write the pipe", pipe))
    })?;
    let cpu_s = cpu.elapsed_s();
    let arrived = std::mem::take(&mut *arrived.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((began, late, cpu_s, arrived))
}

/// What is read of a line of the output.
#[derive(Deserialize)]
struct Line<'a> {
    time: EventTime,
    #[serde(borrow)]
    user: Cow<'a, str>,
}

/// Nanoseconds from schedule to sink, of everything that arrived after the warm-up and before the
/// last instant, which the end of the input closes.
fn latencies(
    schedule: &Schedule,
    began: Instant,
    arrived: &[(Instant, Vec<u8>)],
) -> Result<Histogram<u64>, BenchError> {
    let broken = |error: &dyn std::fmt::Display| BenchError::Measure(error.to_string());
    let mut histogram = Histogram::<u64>::new_with_bounds(RESOLUTION_NS, LONGEST_NS, 3)
        .map_err(|error| broken(&error))?;
    let causes = Causes::of(schedule);
    for (moment, lines) in arrived {
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line: Line<'_> = serde_json::from_slice(line).map_err(|error| broken(&error))?;
            let Some(due) = causes.due(&line, moment.saturating_duration_since(began)) else {
                continue;
            };
            if due >= schedule.warm_up {
                let waited = moment.saturating_duration_since(began + due);
                histogram.saturating_record(waited.as_nanos() as u64);
            }
        }
    }
    Ok(histogram)
}

/// The records of a schedule, found by user and by time.
struct Causes<'a> {
    records: &'a [Scheduled],
    by_user: Vec<Vec<u32>>,
}

impl<'a> Causes<'a> {
    fn of(schedule: &'a Schedule) -> Self {
        let mut by_user: Vec<Vec<u32>> = Vec::new();
        for (number, record) in (0_u32..).zip(&schedule.records) {
            let user = record.user as usize;
            by_user.resize_with(by_user.len().max(user + 1), Vec::new);
            by_user[user].push(number);
        }
        Causes { records: &schedule.records, by_user }
    }

    /// When the cause of a difference that came at `moment` was due; `None` from the last instant
    /// on.
    fn due(&self, line: &Line<'_>, moment: Duration) -> Option<Duration> {
        if line.time >= self.records.last()?.at {
            return None;
        }
        let user: usize = line.user.strip_prefix('u')?.parse().ok()?;
        let own = self.by_user.get(user)?;
        let record = |number: &u32| self.records.get(*number as usize);
        let at = |number: &u32| record(number).map(|record| record.at);
        let place = own.partition_point(|number| at(number) < Some(line.time));
        match own.get(place) {
            Some(number) if at(number) == Some(line.time) => record(number),
            _ => own[..place].iter().rev().filter_map(record).find(|record| record.due <= moment),
        }
        .map(|record| record.due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_a_record_of_the_user() {
        let mut schedule = Schedule { bytes: vec![], records: vec![], warm_up: Duration::ZERO };
        for (due, user, time) in [(0, 1, 100), (1, 2, 90), (2, 2, 100), (3, 1, 130), (4, 1, 200)] {
            schedule.push(Duration::from_millis(due), user, time);
        }
        let causes = Causes::of(&schedule);
        let due = |time, user: &'static str, moment| {
            let line = Line { time, user: user.into() };
            causes.due(&line, Duration::from_millis(moment)).map(|due| due.as_millis())
        };
        assert_eq!(due(100, "u2", 9), Some(1), "it took effect at 100, where time stood");
        assert_eq!(due(130, "u1", 9), Some(3));
        assert_eq!(due(101, "u2", 9), Some(2), "an instant was closed in silence");
        assert_eq!(due(101, "u2", 1), Some(1), "what comes later is no cause");
        assert_eq!(due(200, "u1", 9), None, "the end of the input closes the last instant");
    }
}

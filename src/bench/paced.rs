//! From topic to topic at a steady rate: how long differences take, with checkpoints and without.
//!
//! Open loop: W1 is sent to a topic at times fixed beforehand, whether or not the job keeps up, and a
//! consumer that reads committed records notes when each difference comes. An instant is complete
//! once records of every partition have passed it by the disorder that is allowed; its differences
//! are due when the record that completes it was *scheduled* to be sent. So the wait for records
//! that are out of order, which is event time, is left out, and a stall is charged to all that was
//! due during it (no coordinated omission).
//!
//! The job, the broker, and this process, which sends and reads, share the machine. Which record
//! completes an instant follows from the schedule alone, so nothing is worked out twice.

use std::borrow::Cow;
use std::fs;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use dataflows::model::EventTime;
use hdrhistogram::Histogram;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{Offset, TopicPartitionList};
use serde::Deserialize;

use super::data::Data;
use super::engine::Engine;
use super::error::BenchError;
use super::figures::Figures;
use super::topics::{CLICKS, Job, client, forget, kafka, make, new_name, send, spend, wrong};
use crate::generate::clicks::START;

/// What jobs of topics allow, in milliseconds.
const DISORDER: EventTime = 5_000;
const WORKERS: usize = 2;
/// The share of the schedule that is not counted, at its beginning.
const WARM_UP: f64 = 0.4;
/// How often due records are sent: what fell due meanwhile waits so long at most.
const TICK: Duration = Duration::from_micros(200);
/// How far sending may fall behind before the rest is given up: the machine does not keep up.
const BEHIND: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(120);
const RESOLUTION_NS: u64 = 1_000;
const LONGEST_NS: u64 = 600_000_000_000;
/// Who comes before all others, and after them: what is awaited.
const FIRST: &str = "first";
const LAST: &str = "last";
/// How often one of them is told of at most, before anyone asks: they enter, and leave.
const TOLD: usize = 8;
const TIME_KEY: &[u8] = b"\"ts\":";

/// What is sent, a file a partition, and when.
struct Schedule {
    files: [Vec<u8>; 2],
    /// Records a second.
    rate: f64,
    records: u64,
    /// From which time of the schedule on everything before an instant is there.
    complete: Vec<(EventTime, Duration)>,
}

impl Schedule {
    fn of(data: &Data, rate: f64) -> Result<Self, BenchError> {
        let [left, right] = data.clicks(false)?.parts;
        let read = |path: &Path| fs::read(path).map_err(BenchError::file("read", path));
        let files = [read(&left)?, read(&right)?];
        Ok(Schedule::over(files, rate))
    }

    fn over(files: [Vec<u8>; 2], rate: f64) -> Self {
        let mut schedule = Schedule { files, rate, records: 0, complete: Vec::new() };
        let (mut greatest, mut complete, mut records) = ([EventTime::MIN; 2], Vec::new(), 0);
        for (number, (partition, line)) in (0..).zip(schedule.lines()) {
            greatest[partition] = greatest[partition].max(time_of(line));
            let before = greatest[0].min(greatest[1]).saturating_sub(DISORDER);
            if complete.last().is_none_or(|(last, _): &(EventTime, _)| *last < before) {
                complete.push((before, schedule.due(number)));
            }
            records = number + 1;
        }
        (schedule.complete, schedule.records) = (complete, records);
        schedule
    }

    /// Line by line, each file in turn.
    fn lines(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let mut files = self.files.each_ref().map(|file| {
            let lines = file.split(|byte| *byte == b'\n');
            lines.filter(|line| !line.trim_ascii().is_empty())
        });
        (0..2).cycle().map_while(move |partition| Some((partition, files[partition].next()?)))
    }

    fn due(&self, number: u64) -> Duration {
        Duration::from_secs_f64(number as f64 / self.rate)
    }

    /// When the differences of an instant are due; `None` if the schedule does not complete it.
    fn completes(&self, time: EventTime) -> Option<Duration> {
        let place = self.complete.partition_point(|(before, _)| *before <= time);
        self.complete.get(place).map(|(_, due)| *due)
    }

    /// Sends everything as it falls due, until that is done or too far behind; gives back by how
    /// much the last record was late.
    fn play(
        &self,
        producer: &BaseProducer,
        topic: &str,
        began: Instant,
    ) -> Result<Duration, BenchError> {
        let mut late = Duration::ZERO;
        for (number, (partition, line)) in (0..).zip(self.lines()) {
            let due = self.due(number);
            while let now = began.elapsed()
                && now < due
            {
                producer.poll(Duration::ZERO);
                thread::sleep((due - now).max(TICK));
            }
            late = began.elapsed().saturating_sub(due);
            if late > BEHIND {
                break;
            }
            send(producer, topic, partition as i32, line)?;
        }
        Ok(late)
    }
}

/// The time of a record; where there is none, before all others.
fn time_of(line: &[u8]) -> EventTime {
    let digits = memchr::memmem::find(line, TIME_KEY).map(|from| &line[from + TIME_KEY.len()..]);
    let digits = digits.into_iter().flatten().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |time, digit| time * 10 + EventTime::from(digit - b'0'))
}

/// Runs the job over W1, sent at so many records a second. Figures: `p50_ms` to `p999_ms`, `max_ms`,
/// how many `differences` they are over, `job_cpu_ns` of the job for each record, and by how much
/// sending ended late.
pub(super) fn measure(
    data: &Data,
    rate: f64,
    is_kept: bool,
) -> Result<(Figures, Histogram<u64>), BenchError> {
    let schedule = Schedule::of(data, rate)?;
    let (from, to) = (new_name("paced"), new_name("paced-diffs"));
    make(&from, 2)?;
    make(&to, 1)?;
    let (segments, state) = (data.windows(0)?, data.folder().join("state-paced"));
    forget(&state)?;
    let job = Job { topic: &from, segments: &segments, mapping: CLICKS, state, to: to.clone() };
    let job = job.write(data, is_kept.then_some("1s"))?;
    let consumer = reader(&to)?;
    let producer: BaseProducer = client()?
        .set("linger.ms", "2")
        .set("queue.buffering.max.messages", "2000000")
        .set("queue.buffering.max.kbytes", "400000")
        .create()
        .map_err(kafka)?;
    let engine = Engine::start(&job, WORKERS)?;
    let (tell, seen) = sync_channel(TOLD);
    let reading = thread::spawn(move || read(&consumer, &tell));
    let bench = Bench { schedule, engine, producer, topic: from };
    let played = bench.play(&seen);
    // Who reads ends when nobody listens.
    drop(seen);
    let read = reading.join().map_err(|_| wrong("the reader of the differences failed"))?;
    let (mut figures, began) = played.map_err(|error| match bench.engine.said() {
        said if said.is_empty() => error,
        said => wrong(format!("{error}; the job said: {said}")),
    })?;
    bench.engine.end()?;
    let histogram = latencies(&bench.schedule, began, &read?)?;
    for (name, quantile) in [("p50_ms", 0.5), ("p90_ms", 0.9), ("p99_ms", 0.99), ("p999_ms", 0.999)]
    {
        figures.set(name, histogram.value_at_quantile(quantile) as f64 / 1e6);
    }
    figures.set("max_ms", histogram.max() as f64 / 1e6);
    figures.set("differences", histogram.len() as f64);
    Ok((figures, histogram))
}

struct Bench {
    schedule: Schedule,
    engine: Engine,
    producer: BaseProducer,
    topic: String,
}

impl Bench {
    /// Sends all, once the job is known to answer, and waits until the last answer has come. Gives
    /// back when the schedule began.
    fn play(&self, seen: &Receiver<&'static str>) -> Result<(Figures, Instant), BenchError> {
        self.ask(FIRST, START - 3_600_000, seen)?;
        let (cpu_s, began) = (self.engine.cpu_s()?, Instant::now());
        let late = self.schedule.play(&self.producer, &self.topic, began)?;
        let length = self.schedule.due(self.schedule.records).as_millis();
        let last = self.schedule.complete.last().map_or(START, |(before, _)| *before);
        self.ask(LAST, last + 2 * DISORDER, seen)?;
        let cpu_s = self.engine.cpu_s()? - cpu_s;
        let mut figures = Figures::default();
        figures.set("job_cpu_ns", cpu_s * 1e9 / self.schedule.records as f64);
        figures.set("length_ms", length as f64);
        figures.set("sending_ended_late_ms", late.as_secs_f64() * 1e3);
        Ok((figures, began))
    }

    /// Has a user enter a segment at this time, and waits until that is told.
    fn ask(
        &self,
        user: &'static str,
        time: EventTime,
        seen: &Receiver<&'static str>,
    ) -> Result<(), BenchError> {
        for partition in 0..2 {
            spend(&self.producer, (&self.topic, partition), user, time)?;
            let after = format!("after-{user}");
            spend(&self.producer, (&self.topic, partition), &after, time + DISORDER + 1_000)?;
        }
        self.producer.flush(PATIENCE).map_err(kafka)?;
        loop {
            match seen.recv_timeout(PATIENCE) {
                Ok(told) if told == user => return Ok(()),
                Ok(_) => {}
                Err(_) => return Err(wrong(format!("nothing is told of the {user} user"))),
            }
        }
    }
}

/// What is read of a difference.
#[derive(Deserialize)]
struct Line<'a> {
    time: EventTime,
    #[serde(borrow)]
    user: Cow<'a, str>,
}

/// The times of differences, and when they came.
type Arrived = Vec<(EventTime, Instant)>;

fn reader(topic: &str) -> Result<BaseConsumer, BenchError> {
    let consumer: BaseConsumer = client()?
        .set("group.id", topic)
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("fetch.wait.max.ms", "10")
        .create()
        .map_err(kafka)?;
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(topic, 0, Offset::Beginning).map_err(kafka)?;
    consumer.assign(&partitions).map_err(kafka)?;
    Ok(consumer)
}

/// Notes what comes until the last user has, or nobody wants to know.
fn read(consumer: &BaseConsumer, tell: &SyncSender<&'static str>) -> Result<Arrived, BenchError> {
    let (mut arrived, mut asked) = (Vec::new(), Instant::now());
    while asked.elapsed() < PATIENCE {
        // What goes wrong, as with a topic that not every broker knows of yet, the client tries again;
        // what lasts is told by nothing coming.
        let Some(Ok(record)) = consumer.poll(Duration::from_millis(100)) else { continue };
        let now = Instant::now();
        asked = now;
        let line: Line<'_> =
            serde_json::from_slice(record.payload().unwrap_or_default()).map_err(wrong)?;
        arrived.push((line.time, now));
        let told = match &*line.user {
            FIRST => tell.send(FIRST),
            LAST => tell.send(LAST),
            _ => continue,
        };
        if told.is_err() || line.user == LAST {
            break;
        }
    }
    Ok(arrived)
}

/// Nanoseconds from schedule to reader, of everything that was due after the warm-up.
fn latencies(
    schedule: &Schedule,
    began: Instant,
    arrived: &Arrived,
) -> Result<Histogram<u64>, BenchError> {
    let mut histogram =
        Histogram::<u64>::new_with_bounds(RESOLUTION_NS, LONGEST_NS, 3).map_err(wrong)?;
    let warm_up = schedule.due(schedule.records).mul_f64(WARM_UP);
    for (time, moment) in arrived {
        if let Some(due) = schedule.completes(*time).filter(|due| *due >= warm_up) {
            let waited = moment.saturating_duration_since(began + due);
            histogram.saturating_record(waited.as_nanos() as u64);
        }
    }
    Ok(histogram)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_complete_by_the_record_that_passes_it_in_the_slowest_partition() {
        let file = |times: &[i64]| {
            let line = |time: &i64| format!("{{\"ts\":{},\"n\":1}}\n", START + time);
            times.iter().map(line).collect::<String>().into_bytes()
        };
        // In turn: 0 left, 1 right, 2 left, …
        let schedule = Schedule::over([file(&[10, 40, 30]), file(&[20, 20, 90])], 1_000.0);
        assert_eq!(schedule.records, 6);
        let due = |time| schedule.completes(START + time - DISORDER).map(|it| it.as_millis());
        assert_eq!(
            [9, 10, 19, 20, 39, 40].map(due),
            [Some(1), Some(2), Some(2), Some(5), Some(5), None]
        );
    }
}

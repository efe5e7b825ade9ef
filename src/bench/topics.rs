//! From topic to topic, with checkpoints and without; how soon a run goes on after it has ended; how
//! much room its state takes. Against a broker that `KAFKA_BROKERS` names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dataflows::model::EventTime;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::child;
use super::data::{self, Data};
use super::error::BenchError;
use super::figures::Figures;
use crate::state::{Location, Store};

const ANSWER: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(600);
/// How a run says how long it took to go on.
const FIRST_NEW: &str = "the first new difference came ";

pub(super) fn wrong(what: impl std::fmt::Display) -> BenchError {
    BenchError::Measure(what.to_string())
}

pub(super) fn kafka(error: KafkaError) -> BenchError {
    wrong(format!("Kafka: {error}"))
}

fn brokers() -> Result<String, BenchError> {
    std::env::var("KAFKA_BROKERS").map_err(|_| {
        wrong("needs a broker: ./run.sh bench starts one, or name yours with KAFKA_BROKERS")
    })
}

pub(super) fn client() -> Result<ClientConfig, BenchError> {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", brokers()?);
    Ok(client)
}

/// Makes a topic with these files in it, one a partition, unless it is there and full.
fn load(topic: &str, files: &[PathBuf]) -> Result<(), BenchError> {
    let consumer: BaseConsumer = client()?.create().map_err(kafka)?;
    let mut is_full = true;
    for (partition, file) in (0..).zip(files) {
        let found = end(&consumer, topic, partition).unwrap_or(0);
        // One line may be blank.
        is_full &= data::lines(file).is_ok_and(|lines| found + 1 >= lines);
    }
    if is_full {
        return Ok(());
    }
    make(topic, files.len())?;
    let producer: BaseProducer = client()?
        .set("linger.ms", "20")
        .set("queue.buffering.max.kbytes", "200000")
        .create()
        .map_err(kafka)?;
    for (partition, file) in (0..).zip(files) {
        let text = fs::read(file).map_err(BenchError::file("read", file))?;
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            send(&producer, topic, partition, line)?;
        }
    }
    producer.flush(PATIENCE).map_err(kafka)
}

/// How many records a partition has; `None` where there is none.
fn end(consumer: &BaseConsumer, topic: &str, partition: i32) -> Option<u64> {
    let (_, end) = consumer.fetch_watermarks(topic, partition, ANSWER).ok()?;
    u64::try_from(end).ok()
}

pub(super) fn make(topic: &str, partitions: usize) -> Result<(), BenchError> {
    let admin: AdminClient<_> = client()?.create().map_err(kafka)?;
    let partitions = i32::try_from(partitions).map_err(wrong)?;
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(wrong)?;
    let made = runtime.block_on(admin.create_topics([&new], &AdminOptions::new()));
    for made in made.map_err(kafka)? {
        made.map_err(|(topic, code)| wrong(format!("cannot make the topic {topic}: {code}")))?;
    }
    Ok(())
}

pub(super) fn send(
    producer: &BaseProducer,
    topic: &str,
    partition: i32,
    line: &[u8],
) -> Result<(), BenchError> {
    let mut record: BaseRecord<'_, (), [u8]> =
        BaseRecord::to(topic).partition(partition).payload(line);
    let began = Instant::now();
    while let Err((error, back)) = producer.send(record) {
        if began.elapsed() > PATIENCE {
            return Err(kafka(error));
        }
        producer.poll(Duration::from_millis(10));
        record = back;
    }
    Ok(())
}

/// Sends a purchase that makes its user one of high value.
pub(super) fn spend(
    producer: &BaseProducer,
    (topic, partition): (&str, i32),
    user: &str,
    time: EventTime,
) -> Result<(), BenchError> {
    let line = format!(
        r#"{{"ts":{time},"type":"purchase","user_id":"{user}","event_id":"{user}{partition}","properties":{{"amount":5000}}}}"#
    );
    send(producer, topic, partition, line.as_bytes())
}

/// A name that no topic has yet.
pub(super) fn new_name(what: &str) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{what}-{}", since.as_micros())
}

/// What a job reads, and by which segments.
pub(super) struct Job<'a> {
    pub(super) topic: &'a str,
    pub(super) segments: &'a Path,
    pub(super) mapping: &'a str,
    /// The folder of its state.
    pub(super) state: PathBuf,
    /// The topic it writes, which nobody has written.
    pub(super) to: String,
}

pub(super) const CLICKS: &str =
    "time = \"ts\"\nevent = \"type\"\nid = \"event_id\"\nproperties = \"properties\"\n";
const CHANGES: &str =
    "time = \"ts\"\ntraits = \"attributes\"\nattribute = \"attribute\"\nvalue = \"value\"\n";

impl Job<'_> {
    /// Writes the job file, with a checkpoint so often, if any.
    pub(super) fn write(&self, data: &Data, interval: Option<&str>) -> Result<PathBuf, BenchError> {
        let (brokers, Job { topic, mapping, .. }) = (brokers()?, self);
        let absolute = |path: &Path| fs::canonicalize(path).map_err(BenchError::file("find", path));
        let text = |path: &Path| toml::Value::from(path.display().to_string()).to_string();
        let segments = text(&absolute(self.segments)?);
        let state = std::path::absolute(&self.state);
        let state = state.map_err(BenchError::file("find", &self.state))?;
        let state = interval.map_or(String::new(), |interval| {
            format!("[state]\npath = {}\ninterval = \"{interval}\"\n", text(&state))
        });
        let job = format!(
            "name = \"bench\"\nsegments = {segments}\n[clock]\nmax_out_of_orderness = \"5s\"\n\
             idle_timeout = \"1h\"\n{state}[[source]]\nkind = \"kafka\"\nbrokers = \"{brokers}\"\n\
             topic = \"{topic}\"\n[source.mapping]\nuser = \"user_id\"\n{mapping}\
             [[sink]]\nkind = \"kafka\"\nbrokers = \"{brokers}\"\ntopic = \"{}\"\n",
            self.to
        );
        let path = data.folder().join("job.toml");
        fs::write(&path, job).map_err(BenchError::file("write", &path))?;
        Ok(path)
    }
}

/// Forgets the state of an earlier run.
pub(super) fn forget(state: &Path) -> Result<(), BenchError> {
    if state.exists() {
        fs::remove_dir_all(state).map_err(BenchError::file("remove", state))?;
    }
    Ok(())
}

fn run_of(job: &Path) -> Result<Vec<String>, BenchError> {
    let own = child::own()?.display().to_string();
    let words = ["run", &job.display().to_string(), "--until", "caught-up", "--workers", "2"];
    Ok([own].into_iter().chain(words.map(str::to_owned)).collect())
}

/// W1 from topic to topic.
pub(super) fn clicks(data: &Data, is_kept: bool) -> Result<Figures, BenchError> {
    let files = data.clicks(false)?;
    let topic = format!("w1-{}", data::lines(&files.parts[0])?);
    load(&topic, &files.parts)?;
    let segments = data.windows(0)?;
    let state = data.folder().join("state-w1");
    forget(&state)?;
    let job =
        Job { topic: &topic, segments: &segments, mapping: CLICKS, state, to: new_name("diffs") };
    let job = job.write(data, is_kept.then_some("1s"))?;
    let command = run_of(&job)?;
    let (mut figures, _) = child::watched(&command, &data.folder().join("usage.json"))?;
    let events = (data::lines(&files.parts[0])? + data::lines(&files.parts[1])?) as f64;
    figures.set("per_s", events / figures.get("wall_s").unwrap_or(f64::NAN));
    figures.set("cpu_ns", figures.get("cpu_s").unwrap_or(f64::NAN) * 1e9 / events);
    Ok(figures)
}

/// From the start of a run that goes on from a checkpoint to the first difference that is new.
pub(super) fn recovery(data: &Data) -> Result<Figures, BenchError> {
    let (parts, last) = data.long_clicks()?;
    let lines = data::lines(&parts[0])?;
    let (topic, state) = (format!("long-{lines}"), data.folder().join("state-long"));
    let segments = data.long_windows()?;
    let (state_of_it, to) = (state.clone(), new_name("diffs"));
    let job = Job { topic: &topic, segments: &segments, mapping: CLICKS, state: state_of_it, to };
    let consumer: BaseConsumer = client()?.create().map_err(kafka)?;
    // The next time it goes on from where it was, which is as much but for two users.
    let is_there = state.exists() && end(&consumer, &topic, 0).is_some_and(|end| end > lines);
    if !is_there {
        load(&topic, &parts)?;
        forget(&state)?;
        let command = run_of(&job.write(data, Some("1h"))?)?;
        child::watched(&command, &data.folder().join("usage.json"))?;
    }
    let sent = end(&consumer, &topic, 0).unwrap_or(lines).saturating_sub(lines);
    let producer: BaseProducer = client()?.create().map_err(kafka)?;
    let time = last + i64::try_from(sent).map_err(wrong)? * 10_000 + 1_000;
    for partition in 0..2 {
        for (time, user) in [(time, "n"), (time + 10_000, "m")] {
            spend(&producer, (&topic, partition), &format!("{user}{time}"), time)?;
        }
    }
    producer.flush(PATIENCE).map_err(kafka)?;
    let command = run_of(&job.write(data, Some("1h"))?)?;
    let done = Command::new(&command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .output()
        .map_err(BenchError::file("start", Path::new(&command[0])))?;
    let said = String::from_utf8_lossy(&done.stderr);
    let after = said.split(FIRST_NEW).nth(1).and_then(|after| after.split(' ').next());
    let seconds = after.and_then(|text| text.parse().ok());
    let mut figures = Figures::default();
    let seconds = seconds.ok_or_else(|| wrong(format!("it did not go on: {said}")))?;
    figures.set("recovery_s", seconds);
    figures.set("state_bytes", bytes(&state)?);
    Ok(figures)
}

/// How many bytes of state an attribute takes.
pub(super) fn attributes(data: &Data) -> Result<Figures, BenchError> {
    let files = data.changes(true, 1_000)?;
    let users = files.folder.join("users.jsonl");
    let topic = format!("changes-{}", data::lines(&files.stream)?);
    load(&topic, std::slice::from_ref(&files.stream))?;
    let state = data.folder().join("state-users");
    forget(&state)?;
    let (segments, state_of_it, to) = (&files.segments, state.clone(), new_name("diffs"));
    let job = Job { topic: &topic, segments, mapping: CHANGES, state: state_of_it, to };
    let command = run_of(&job.write(data, Some("1s"))?)?;
    child::watched(&command, &data.folder().join("usage.json"))?;
    let mut figures = Figures::default();
    let (bytes, users) = (bytes(&state)?, data::lines(&users)? as f64);
    figures.set("bytes", bytes / (users * 20.0));
    Ok(figures)
}

/// What the newest checkpoint takes.
fn bytes(state: &Path) -> Result<f64, BenchError> {
    let store = Store::open(&Location::Folder(state.to_owned())).map_err(wrong)?;
    let latest = store.latest().map_err(wrong)?.manifest;
    let latest = latest.ok_or_else(|| wrong("there is no checkpoint"))?;
    Ok(latest.batches.iter().map(|batch| batch.bytes).sum::<u64>() as f64)
}

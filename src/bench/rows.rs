//! The table, as data: what is promised, in which unit, and of which measurements it is made.

use super::error::BenchError;

/// Whether more or less of it is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Better {
    Higher,
    Lower,
}

/// A number of a measurement (see [`Measurement`](super::measurement::Measurement)).
pub(super) type Key = (&'static str, &'static str);

/// How a row is worked out of measurements, run by run.
#[derive(Debug, Clone, Copy)]
pub(super) enum Formula {
    Of(Key),
    /// The first by the second.
    Ratio(Key, Key),
    /// The first, less the second.
    Difference(Key, Key),
    /// The greatest by the least.
    Spread(&'static [Key]),
    /// By how much a number grows from the first measurement to the second, for each of what their
    /// second numbers count.
    Slope([Key; 2], [Key; 2]),
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) id: &'static str,
    pub(super) what: &'static str,
    pub(super) unit: &'static str,
    pub(super) better: Better,
    /// The mark; `None` where the table only tells.
    pub(super) reach: Option<f64>,
    pub(super) stretch: Option<f64>,
    pub(super) value: Formula,
}

impl Formula {
    /// What it needs, ours before theirs.
    pub(super) fn needs(&self) -> Vec<Key> {
        match *self {
            Formula::Of(key) => vec![key],
            Formula::Ratio(over, under) => vec![over, under],
            Formula::Difference(more, less) => vec![less, more],
            Formula::Spread(keys) => keys.to_vec(),
            Formula::Slope(from, to) => vec![from[0], from[1], to[0], to[1]],
        }
    }
}

const RATE: &str = "per_s";

const fn row(
    id: &'static str,
    what: &'static str,
    unit: &'static str,
    better: Better,
    marks: (Option<f64>, Option<f64>),
    value: Formula,
) -> Row {
    Row { id, what, unit, better, reach: marks.0, stretch: marks.1, value }
}

use Better::{Higher, Lower};
use Formula::{Difference, Of, Ratio, Slope, Spread};

const fn marks(reach: f64, stretch: f64) -> (Option<f64>, Option<f64>) {
    (Some(reach), Some(stretch))
}

const fn mark(reach: f64) -> (Option<f64>, Option<f64>) {
    (Some(reach), None)
}

const HELD: &[Key] = &[
    ("alone/10000", RATE),
    ("alone/100000", RATE),
    ("alone/1000000", RATE),
    ("alone/10000000", RATE),
];
const INTERVALS: &[Key] = &[
    ("intervals/100", "us_per_change"),
    ("intervals/1000", "us_per_change"),
    ("intervals/10000", "us_per_change"),
    ("intervals/100000", "us_per_change"),
];

const W1_USERS: [&str; 2] = ["memory/w1/25000", "memory/w1/200000"];
const W2_USERS: [&str; 2] = ["memory/w2/25000", "memory/w2/200000"];

const fn per_user(number: &'static str, [few, many]: [&'static str; 2]) -> Formula {
    Slope([(few, number), (few, "users")], [(many, number), (many, "users")])
}

/// Every row, in the order of the table.
#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row("w1", "W1, 5,000 events a second of event time: files in, file out, 2 workers", "events/s", Higher, marks(1.6e6, 3e6), Of(("w1/2", RATE))),
    row("w1-flink-warm", "  … by Flink, heap state, third job of a warm JVM", "x", Higher, marks(1.4, 2.5), Ratio(("w1/2", RATE), ("peer/flink-warm/w1", RATE))),
    row("w1-flink-cold", "  … by Flink, heap state, cold JVM", "x", Higher, mark(3.5), Ratio(("w1/2", RATE), ("peer/flink-cold/w1", RATE))),
    row("w1-flink-rocksdb", "  … by Flink, RocksDB state", "x", Higher, mark(35.0), Ratio(("w1/2", RATE), ("peer/flink-rocksdb/w1", RATE))),
    row("w1-rust", "  … by the hand-written Rust program", "x", Higher, (None, None), Ratio(("w1/2", RATE), ("peer/rust/w1", RATE))),
    row("w1s", "W1, 1,000 events a second of event time: files in, file out, 2 workers", "events/s", Higher, marks(1.6e6, 3e6), Of(("w1s/2", RATE))),
    row("w1s-flink-warm", "  … by Flink, heap state, third job of a warm JVM", "x", Higher, marks(1.4, 2.5), Ratio(("w1s/2", RATE), ("peer/flink-warm/w1s", RATE))),
    row("w1s-flink-cold", "  … by Flink, heap state, cold JVM", "x", Higher, mark(3.5), Ratio(("w1s/2", RATE), ("peer/flink-cold/w1s", RATE))),
    row("w1-cpu", "W1, CPU an event, 1 worker", "ns", Lower, (None, None), Of(("w1/1", "cpu_ns"))),
    row("w1-cpu-rust", "  … by the hand-written Rust program", "x", Lower, marks(2.0, 1.3), Ratio(("w1/1", "cpu_ns"), ("peer/rust/w1", "cpu_ns"))),
    row("w1s-cpu-rust", "  … at 1,000 events a second", "x", Lower, marks(2.0, 1.3), Ratio(("w1s/1", "cpu_ns"), ("peer/rust/w1s", "cpu_ns"))),
    row("workers", "W1, 1 → 2 workers", "x", Higher, marks(1.7, 1.9), Ratio(("w1/2", RATE), ("w1/1", RATE))),
    row("alone", "computation alone, records parsed, 1 worker, a million events in windows", "events/s", Higher, marks(2e6, 4e6), Of(("alone/1000000", RATE))),
    row("alone-flat", "  … fastest by slowest, 10 thousand to 10 million events in windows", "x", Lower, mark(1.3), Spread(HELD)),
    row("w2-selective-1000", "W2 selective, 1,000 segments, 1 worker", "changes/s", Higher, marks(3e5, 6e5), Of(("w2/selective/1000", RATE))),
    row("w2-selective-10000", "W2 selective, 10,000 segments, 1 worker", "changes/s", Higher, marks(5e4, 1e5), Of(("w2/selective/10000", RATE))),
    row("w2-selective-10000-index", "  … by the attribute-index program in Rust", "x", Higher, mark(7.0), Ratio(("w2/selective/10000", RATE), ("peer/index/selective/10000", RATE))),
    row("w2-selective-10000-flip", "  … by the flip program in Rust", "x", Higher, (None, None), Ratio(("w2/selective/10000", RATE), ("peer/flip/selective/10000", RATE))),
    row("w2-dense-1000", "W2 dense, 1,000 segments, 1 worker", "changes/s", Higher, marks(1.3e5, 2.5e5), Of(("w2/dense/1000", RATE))),
    row("w2-dense-1000-flink", "  … by Flink, broadcast state and attribute index, 2 slots", "x", Higher, (None, None), Ratio(("w2/dense/1000", RATE), ("peer/flink-w2/dense/1000", RATE))),
    row("w2-dense-10000", "W2 dense, 10,000 segments, 1 worker", "changes/s", Higher, marks(1.5e4, 3e4), Of(("w2/dense/10000", RATE))),
    row("w2-dense-10000-index", "  … by the attribute-index program in Rust", "x", Higher, (None, None), Ratio(("w2/dense/10000", RATE), ("peer/index/dense/10000", RATE))),
    row("first-load", "first load: 100,000 users x 20 attributes over 10,000 selective segments", "s", Lower, marks(4.0, 1.5), Of(("w2/selective/10000", "load_s"))),
    row("segments-flat", "cost of a change, 100 to 100,000 segments with the same flips: dearest by cheapest", "x", Lower, marks(2.0, 1.2), Spread(INTERVALS)),
    row("save", "a segment saved over 1,000,000 users while 20,000 changes/s stream in, 1 worker", "s", Lower, mark(2.0), Of(("save", "save_s"))),
    row("save-p99", "  … p99 of the others meanwhile, by p99 before", "x", Lower, mark(2.0), Of(("save", "p99_ratio"))),
    row("export", "1,000,000 users of a segment as Parquet, from memory to a manifest on disk", "s", Lower, mark(2.0), Of(("export", "export_s"))),
    row("references", "segment references, three levels, CPU a base flip in batches of 1,000", "us", Lower, marks(12.0, 5.0), Of(("references", "cpu_us"))),
    row("latency-p50", "on_event, open loop 100,000 events/s, W1 and 1,000 segments: p50", "ms", Lower, mark(1.0), Of(("latency/clicks", "p50_ms"))),
    row("latency-p99", "  … p99", "ms", Lower, marks(10.0, 3.0), Of(("latency/clicks", "p99_ms"))),
    row("latency-in-order-p99", "  … records in order: p99", "ms", Lower, (None, None), Of(("latency/in-order", "p99_ms"))),
    row("latency-fraud-p99", "on_event, open loop 500,000 events/s, 100 ms of disorder, 2 workers: p99", "ms", Lower, marks(50.0, 20.0), Of(("latency/fraud", "p99_ms"))),
    row("latency-lone-p50", "on_event, one event every 10 ms: p50", "ms", Lower, mark(1.0), Of(("latency/lone", "p50_ms"))),
    row("kafka", "W1 from topic to topic, 2 workers, a checkpoint a second", "events/s", Higher, mark(3e5), Of(("kafka/kept", RATE))),
    row("kafka-kept-cpu", "  … CPU an event by that without checkpoints", "x", Lower, mark(1.05), Ratio(("kafka/kept", "cpu_ns"), ("kafka/none", "cpu_ns"))),
    row("kafka-latency-p99", "  … open loop at 300,000 events/s, from an instant being complete to its differences, committed; no checkpoints: p99", "ms", Lower, (None, None), Of(("kafka-paced/none", "p99_ms"))),
    row("kafka-latency-kept-p99", "  … a checkpoint a second: p99", "ms", Lower, (None, None), Of(("kafka-paced/kept", "p99_ms"))),
    row("kafka-latency-more", "  … p99 with checkpoints, less that without", "ms", Lower, mark(5.0), Difference(("kafka-paced/kept", "p99_ms"), ("kafka-paced/none", "p99_ms"))),
    row("kafka-latency-cpu", "  … CPU of the job by that without checkpoints", "x", Lower, (None, None), Ratio(("kafka-paced/kept", "job_cpu_ns"), ("kafka-paced/none", "job_cpu_ns"))),
    row("redis", "100,000 users moved from stage to stage a million times, into the sets of Redis, 1 worker", "differences/s", Higher, mark(2e5), Of(("redis", RATE))),
    row("redis-cpu", "  … CPU a difference", "us", Lower, (None, None), Of(("redis", "cpu_us"))),
    row("postgres", "  … into the tables of PostgreSQL", "differences/s", Higher, mark(5e4), Of(("postgres", RATE))),
    row("postgres-cpu", "  … CPU a difference", "us", Lower, (None, None), Of(("postgres", "cpu_us"))),
    row("recovery", "1,000,000 users, 10,000,000 events held: from the start to the first new difference", "s", Lower, mark(3.0), Of(("recovery", "recovery_s"))),
    row("state-bytes", "state on disk for an attribute, 20 a user, names and all", "B", Lower, mark(100.0), Of(("state", "bytes"))),
    row("serve-lookup-p99", "open loop from a second process, 50,000 events/s coming in: look-ups of a user, 20,000/s: p99", "ms", Lower, mark(1.0), Of(("serve", "lookup_p99_ms"))),
    row("serve-many-p99", "  … of 20 users at once, 1,000/s: p99", "ms", Lower, mark(1.0), Of(("serve", "many_p99_ms"))),
    row("serve-collector", "collector, batches of 100, answered when on disk: open loop of 50,000 events/s, taken", "events/s", Higher, mark(49_500.0), Of(("serve", "open_events_per_s"))),
    row("serve-collector-p99", "  … from the moment a batch was due to its answer: p99", "ms", Lower, (None, None), Of(("serve", "open_p99_ms"))),
    row("serve-collector-closed", "  … closed loop, 32 connections, a million users identified", "events/s", Higher, mark(5e4), Of(("serve", "closed_events_per_s"))),
    row("serve-visible-p99", "purchase due to be sent, to the look-up that shows its segment, 100/s: p99", "ms", Lower, mark(20.0), Of(("serve", "visible_p99_ms"))),
    row("serve-estimate", "estimate over 1,000,000 users: slowest of 24", "ms", Lower, mark(200.0), Of(("serve", "estimate_max_ms"))),
    row("serve-overload", "ten times as much due, 500,000 events/s on 512 connections: taken", "events/s", Higher, (None, None), Of(("serve", "overload_events_per_s"))),
    row("serve-overload-refused", "  … refused, with 429 and Retry-After, of what was answered", "share", Lower, (None, None), Of(("serve", "overload_refused_share"))),
    row("serve-overload-memory", "  … most memory of the job, by what it had before", "x", Lower, mark(1.2), Of(("serve", "overload_memory"))),
    row("serve-overload-lookup-p99", "  … look-ups of a user meanwhile, 2,000/s: p99", "ms", Lower, mark(5.0), Of(("serve", "overload_lookup_p99_ms"))),
    row("memory-w1", "memory for one more active user, W1, counted by the engine", "B", Lower, marks(200.0, 120.0), per_user("counted_bytes", W1_USERS)),
    row("memory-w1-peak", "  … by the peak of the process, with what is on its way", "B", Lower, (None, None), per_user("peak_bytes", W1_USERS)),
    row("memory-event", "memory of an event held in windows, W1, some sixty a user", "B", Lower, (None, None), Of((W1_USERS[0], "event_bytes_each"))),
    row("memory-w2", "memory for one more user, 20 attributes, 1,000 selective segments, counted", "B", Lower, marks(600.0, 400.0), per_user("counted_bytes", W2_USERS)),
    row("memory-w2-peak", "  … by the peak of the process, with what is on its way", "B", Lower, (None, None), per_user("peak_bytes", W2_USERS)),
];

/// The rows of these names; the first part of names stands for all that begin with it.
pub(super) fn named(names: &[String]) -> Result<Vec<&'static Row>, BenchError> {
    let mut rows = Vec::new();
    for name in names {
        let is_part = |row: &&Row| row.id.strip_prefix(name).is_some_and(|it| it.starts_with('-'));
        let mut found: Vec<_> = ROWS.iter().filter(|row| row.id == *name).collect();
        if found.is_empty() {
            found = ROWS.iter().filter(is_part).collect();
        }
        if found.is_empty() {
            return Err(BenchError::Row { row: name.clone() });
        }
        rows.extend(found);
    }
    Ok(rows)
}

//! What is measured, for Prometheus: `/metrics`.
//!
//! The server counts its own; the run says now and then how far it is ([`Measured`]). Others
//! [add](Metrics::add) what they count themselves. All of it is of the process that is asked.

mod sinks;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::get;
use dataflows::model::EventTime;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

pub use sinks::SinkMeasured;

/// How often the run says how far it is.
const EVERY: Duration = Duration::from_millis(500);
/// The bounds of the times of answers, in seconds.
const BOUNDS: [f64; 14] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
    5.0,
];

/// How many segments are told by name.
const DRIFTING_MAX: usize = 1_000;

/// What the server counts, and what it was told.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    told: Arc<Told>,
    /// Connections that are open.
    pub connections: Gauge,
    /// Connections refused because too many were, by whose.
    refused: Family<[(&'static str, &'static str); 1], Counter>,
    /// How long answers about users and segments take.
    answers: Histogram,
}

/// How far a run is.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// Records that took effect.
    pub applied: u64,
    /// Records that came too late.
    pub late: u64,
    /// Records that could not be understood.
    pub rejected: u64,
    /// Second copies.
    pub duplicate: u64,
    /// Records read by this process.
    pub read: u64,
    /// Differences given out.
    pub differences: u64,
    /// Up to which time all has been given out.
    pub watermark: Option<EventTime>,
    /// The segments whose size is not what it usually is.
    pub drifting: Vec<Arc<str>>,
    /// The partitions that are read by this process.
    pub partitions: Vec<PartitionMeasured>,
    /// The last checkpoint, where the run keeps state.
    pub checkpoint: Option<CheckpointMeasured>,
    /// Whether it can be asked.
    pub is_ready: bool,
}

/// How far a partition is.
#[derive(Debug, Clone)]
pub struct PartitionMeasured {
    /// Its file or topic.
    pub source: String,
    /// Its number there.
    pub partition: u32,
    /// Where its clock stands, once it has one.
    pub clock: Option<EventTime>,
    /// How many records there are to be read yet, where that is known.
    pub lag: Option<u64>,
}

/// The last checkpoint, and whether there will be more.
#[derive(Debug, Clone, Copy)]
pub struct CheckpointMeasured {
    /// When it was committed; while there is none yet, when the run began.
    pub at: Instant,
    /// What is kept of it, in bytes, if there is one.
    pub bytes: Option<u64>,
    /// How long from one to the next.
    pub interval: Duration,
    /// Whether the last attempt to write has failed.
    pub is_failing: bool,
}

#[derive(Debug, Default)]
struct Told(Mutex<(Option<Instant>, Measured)>);

/// When the process began to count, in seconds since the epoch.
#[derive(Debug)]
struct Began(f64);

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("rivulet");
        let connections = Gauge::default();
        let refused = Family::<[(&'static str, &'static str); 1], Counter>::default();
        for whose in ["all", "address"] {
            drop(refused.get_or_create(&[("of", whose)]));
        }
        let answers = Histogram::new(BOUNDS);
        let told = Arc::new(Told::default());
        registry.register("http_connections", "Connections that are open", connections.clone());
        let help = "Connections refused because too many were open: of all, or of their address";
        registry.register("http_connections_refused", help, refused.clone());
        let help = "How long answers about users and segments took, up to their head";
        registry.register_with_unit("lookup", help, Unit::Seconds, answers.clone());
        registry.register_collector(Box::new(Arc::clone(&told)));
        let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        registry.register_collector(Box::new(Began(began.as_secs_f64())));
        Metrics { registry: Arc::new(Mutex::new(registry)), told, connections, refused, answers }
    }
}

impl Metrics {
    /// A connection was refused, for there were too many of these.
    pub(super) fn refuse(&self, whose: &'static str) {
        self.refused.get_or_create(&[("of", whose)]).inc();
    }

    /// Whether it is time to say how far the run is.
    pub fn is_due(&self) -> bool {
        self.told.lock().0.is_none_or(|at| at.elapsed() >= EVERY)
    }

    /// Says how far the run is.
    pub fn tell(&self, measured: Measured) {
        *self.told.lock() = (Some(Instant::now()), measured);
    }

    /// Adds what others count.
    pub fn add(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Adds the sinks of a run, which are asked how they stand whenever this is.
    pub fn watch_sinks(&self, sinks: impl Fn() -> Vec<SinkMeasured> + Send + Sync + 'static) {
        let sinks = Box::new(sinks::Sinks(Box::new(sinks)));
        self.add(|registry| registry.register_collector(sinks));
    }

    /// `/metrics`.
    pub fn routes(&self) -> Router {
        Router::new().route("/metrics", get(answer)).with_state(self.clone())
    }
}

async fn answer(State(metrics): State<Metrics>) -> Response {
    let mut body = String::new();
    // Writing into text does not fail.
    metrics.add(|registry| _ = text::encode(&mut body, registry));
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    axum::response::IntoResponse::into_response(([(CONTENT_TYPE, kind)], body))
}

/// Measures how long an answer takes.
pub(super) async fn timed(
    State(metrics): State<Metrics>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let response = next.run(request).await;
    metrics.answers.observe(began.elapsed().as_secs_f64());
    response
}

impl Told {
    fn lock(&self) -> std::sync::MutexGuard<'_, (Option<Instant>, Measured)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Told {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (at, measured) = self.lock().clone();
        let mut to = To(&mut encoder);
        let help = "1 once it can be asked: all there was at the start has taken effect";
        to.gauge("ready", help, None, f64::from(u8::from(measured.is_ready)))?;
        if at.is_none() {
            return Ok(());
        }
        to.count("records_read", "Records read by this process", measured.read)?;
        to.count("records_applied", "Records that took effect", measured.applied)?;
        to.count("records_late", "Records that came too late", measured.late)?;
        to.count("records_rejected", "Records that could not be understood", measured.rejected)?;
        to.count("records_duplicate", "Second copies of records", measured.duplicate)?;
        to.count("differences", "Differences given out", measured.differences)?;
        if let Some(time) = measured.watermark {
            let help = "Up to which event time all has been given out, since the epoch";
            to.gauge("watermark", help, Some(&Unit::Seconds), seconds(time))?;
        }
        if let Some(checkpoint) = &measured.checkpoint {
            to.checkpoint(checkpoint)?;
        }
        let help = "Segments whose size is not what it usually is";
        to.gauge("segments_drifting", help, None, measured.drifting.len() as f64)?;
        let help = "1 for a segment whose size is not what it usually is; others are not told";
        let drifting = measured.drifting.iter().take(DRIFTING_MAX);
        to.named("segment_drifting", help, "segment", drifting)?;
        let clock = |it: &PartitionMeasured| it.clock.map(seconds);
        let help = "Where the clock of a partition stands, since the epoch";
        to.each("partition_clock", help, Some(&Unit::Seconds), &measured.partitions, clock)?;
        let lag = |it: &PartitionMeasured| it.lag.map(|lag| lag as f64);
        let help = "Records of a partition that are to be read yet";
        to.each("partition_lag_records", help, None, &measured.partitions, lag)
    }
}

impl Collector for Began {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "When the process began, since the epoch";
        To(&mut encoder).gauge("start_time", help, Some(&Unit::Seconds), self.0)
    }
}

fn seconds(time: EventTime) -> f64 {
    time as f64 / 1e3
}

/// Where measurements are written to.
struct To<'a, 'e>(&'a mut DescriptorEncoder<'e>);

impl To<'_, '_> {
    fn count(&mut self, name: &str, help: &str, count: u64) -> fmt::Result {
        let counter = ConstCounter::new(count);
        counter.encode(self.0.encode_descriptor(name, help, None, counter.metric_type())?)
    }

    fn gauge(&mut self, name: &str, help: &str, unit: Option<&Unit>, value: f64) -> fmt::Result {
        let gauge = ConstGauge::new(value);
        gauge.encode(self.0.encode_descriptor(name, help, unit, gauge.metric_type())?)
    }

    fn checkpoint(&mut self, checkpoint: &CheckpointMeasured) -> fmt::Result {
        let CheckpointMeasured { at, bytes, interval, is_failing } = checkpoint;
        let (age, seconds) = (at.elapsed().as_secs_f64(), Some(&Unit::Seconds));
        self.gauge("checkpoint_age", "Since the last checkpoint, or the start", seconds, age)?;
        let help = "From one checkpoint to the next, as the job has it";
        self.gauge("checkpoint_interval", help, seconds, interval.as_secs_f64())?;
        let help = "1 while no checkpoint can be written";
        self.gauge("checkpoint_failing", help, None, f64::from(u8::from(*is_failing)))?;
        let Some(bytes) = bytes else { return Ok(()) };
        let help = "What is kept of the last checkpoint";
        self.gauge("checkpoint", help, Some(&Unit::Bytes), *bytes as f64)
    }

    /// 1 for each of these.
    fn named<'s>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        those: impl Iterator<Item = &'s Arc<str>>,
    ) -> fmt::Result {
        let one = ConstGauge::new(1.0);
        let mut family = self.0.encode_descriptor(name, help, None, one.metric_type())?;
        for that in those {
            one.encode(family.encode_family(&[(label, &**that)])?)?;
        }
        Ok(())
    }

    fn each(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        partitions: &[PartitionMeasured],
        value: impl Fn(&PartitionMeasured) -> Option<f64>,
    ) -> fmt::Result {
        let kind = ConstGauge::new(0.0).metric_type();
        let mut family = self.0.encode_descriptor(name, help, unit, kind)?;
        for partition in partitions {
            let Some(value) = value(partition) else { continue };
            let number = partition.partition.to_string();
            let labels = [("source", partition.source.as_str()), ("partition", number.as_str())];
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

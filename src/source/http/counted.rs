//! What is counted of a collector, for Prometheus.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::log::Log;

/// Why requests are refused: each is there from the start, with none.
const REASONS: [&str; 8] = [
    "behind",
    "crowded",
    "disk_busy",
    "disk_failed",
    "encoding",
    "invalid_request",
    "too_large",
    "unauthorized",
];
/// The bounds of how long it takes to bring a step to disk, in seconds.
const SECONDS: [f64; 12] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
/// The bounds of how many records a step has.
const RECORDS: [f64; 9] = [1.0, 4.0, 16.0, 64.0, 256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0];

/// What is counted.
pub(super) struct Counted {
    requests: Counter,
    refused: Family<[(&'static str, &'static str); 1], Counter>,
    records: Counter,
    steps: Histogram,
    synced: Histogram,
}

impl Default for Counted {
    fn default() -> Self {
        let refused = Family::<[(&'static str, &'static str); 1], Counter>::default();
        for reason in REASONS {
            drop(refused.get_or_create(&[("reason", reason)]));
        }
        let (requests, records) = (Counter::default(), Counter::default());
        let (steps, synced) = (Histogram::new(RECORDS), Histogram::new(SECONDS));
        Counted { requests, refused, records, steps, synced }
    }
}

impl Counted {
    /// A request was taken.
    pub(super) fn take(&self) {
        self.requests.inc();
    }

    /// A request was not.
    pub(super) fn refuse(&self, reason: &'static str) {
        self.refused.get_or_create(&[("reason", reason)]).inc();
    }

    /// So many records were brought to disk together.
    pub(super) fn keep(&self, records: u32, took: Duration) {
        self.records.inc_by(u64::from(records));
        self.steps.observe(f64::from(records));
        self.synced.observe(took.as_secs_f64());
    }
}

/// Adds what is counted of a log.
pub(super) fn register(log: &Arc<Log>, registry: &mut Registry) {
    let counted = log.counted();
    let help = "Requests of clients that were taken";
    registry.register("collector_requests", help, counted.requests.clone());
    let help = "Requests of clients that were refused, by reason";
    registry.register("collector_refused", help, counted.refused.clone());
    let help = "Records that were brought to disk for good";
    registry.register("collector_records", help, counted.records.clone());
    let help = "Records that share a write and a sync";
    registry.register("collector_step_records", help, counted.steps.clone());
    let help = "How long a write and its sync took";
    registry.register_with_unit("collector_sync", help, Unit::Seconds, counted.synced.clone());
    registry.register_collector(Box::new(Backlog(Arc::clone(log))));
}

/// How much is on disk and not read yet.
struct Backlog(Arc<Log>);

impl fmt::Debug for Backlog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Backlog")
    }
}

impl Collector for Backlog {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut tell = |name: &str, help: &str, bytes: u64| {
            let gauge = ConstGauge::new(bytes as f64);
            let kind = gauge.metric_type();
            gauge.encode(encoder.encode_descriptor(name, help, Some(&Unit::Bytes), kind)?)
        };
        tell("collector_backlog", "What is on disk and not read yet", self.0.backlog())?;
        let help = "How much that may be; beyond it clients are told to come again";
        tell("collector_backlog_max", help, self.0.max_backlog())
    }
}

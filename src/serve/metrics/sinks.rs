//! How the sinks of a run stand, asked whenever someone wants to know: a run that waits for a sink
//! says nothing of itself, and then most of all it has to be seen.

use std::fmt;

use dataflows::model::EventTime;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::seconds;

/// How a sink stands.
#[derive(Debug, Clone)]
pub struct SinkMeasured {
    /// What is written, as people know it.
    pub name: String,
    /// Of what it is told: differences, late or rejected.
    pub of: &'static str,
    /// Whether it could not be written when it was last tried.
    pub is_down: bool,
    /// How many items wait, or are on their way.
    pub waiting: usize,
    /// About how many bytes of memory they take.
    pub bytes: usize,
    /// How many of them wait on disk.
    pub on_disk: usize,
    /// How many items were written.
    pub written: u64,
    /// In how many steps.
    pub steps: u64,
    /// All before this event time is written for good, if any is.
    pub made_final: Option<EventTime>,
}

/// Tells how all of them stand.
pub(super) struct Sinks(pub(super) Box<dyn Fn() -> Vec<SinkMeasured> + Send + Sync>);

impl fmt::Debug for Sinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sinks")
    }
}

impl Collector for Sinks {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let sinks = (self.0)();
        let mut to = To(&mut encoder, &sinks);
        let down = |it: &SinkMeasured| Some(f64::from(u8::from(it.is_down)));
        to.gauges("sink_down", "1 while what was tried last has failed", None, down)?;
        let waiting = |it: &SinkMeasured| Some(it.waiting as f64);
        to.gauges("sink_waiting_items", "Items that are not written yet", None, waiting)?;
        let bytes = |it: &SinkMeasured| Some(it.bytes as f64);
        to.gauges("sink_waiting", "Memory they take, about", Some(&Unit::Bytes), bytes)?;
        let on_disk = |it: &SinkMeasured| Some(it.on_disk as f64);
        to.gauges("sink_disk_items", "Items that wait on disk", None, on_disk)?;
        let help = "Up to which event time all is written for good, since the epoch";
        let made_final = |it: &SinkMeasured| it.made_final.map(seconds);
        to.gauges("sink_final", help, Some(&Unit::Seconds), made_final)?;
        to.counts("sink_items", "Items that were written", |it| it.written)?;
        to.counts("sink_steps", "Steps they were written in", |it| it.steps)
    }
}

struct To<'a, 'e>(&'a mut DescriptorEncoder<'e>, &'a [SinkMeasured]);

impl To<'_, '_> {
    fn gauges(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: impl Fn(&SinkMeasured) -> Option<f64>,
    ) -> fmt::Result {
        let kind = ConstGauge::new(0.0).metric_type();
        let mut family = self.0.encode_descriptor(name, help, unit, kind)?;
        for sink in self.1 {
            let Some(value) = value(sink) else { continue };
            ConstGauge::new(value).encode(family.encode_family(&sink.labels())?)?;
        }
        Ok(())
    }

    fn counts(
        &mut self,
        name: &str,
        help: &str,
        count: impl Fn(&SinkMeasured) -> u64,
    ) -> fmt::Result {
        let kind = ConstCounter::new(0_u64).metric_type();
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for sink in self.1 {
            ConstCounter::new(count(sink)).encode(family.encode_family(&sink.labels())?)?;
        }
        Ok(())
    }
}

impl SinkMeasured {
    fn labels(&self) -> [(&str, &str); 2] {
        [("sink", &self.name), ("of", self.of)]
    }
}

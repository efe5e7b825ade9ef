//! Measurements made inside a child: `bench --measure NAME` prints their figures as JSON.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dataflows::model;

use super::data::Data;
use super::error::BenchError;
use super::figures::Figures;
use super::latency::{self, Schedule, Setting};
use super::measurement::{Load, Measurement, Size};
use super::{alone, exporting, paced, phases, plots, saving, service, shapes};
use crate::generate::clicks::Settings;

/// Makes one measurement.
pub(super) fn measure(
    name: &str,
    data: &Data,
    size: Size,
    out: &Path,
) -> Result<Figures, BenchError> {
    let file = data.folder().join("differences.jsonl");
    match Measurement::named(name) {
        Some(Measurement::Changes { selective, segments }) => {
            let kind = if selective { "selective" } else { "dense" };
            let file = data.folder().join(format!("w2-{kind}-{segments}.differences.jsonl"));
            phases::measure(&data.changes(selective, segments)?, &file)
        }
        Some(Measurement::Intervals { segments }) => {
            phases::measure(&data.intervals(segments)?, &file)
        }
        Some(Measurement::Save) => {
            let timeline = shapes::timeline(&data.changes(true, 1_000)?.segments)?;
            let setting = saving::Setting {
                users: size.of(1_000_000),
                rate: if size.quick { 1_000.0 } else { 20_000.0 },
                before: Duration::from_secs_f64(if size.quick { 0.2 } else { 4.0 }),
                saves: 5,
            };
            saving::measure(&timeline, setting)
        }
        Some(Measurement::Export) => exporting::measure(size.of(1_000_000), data.folder()),
        Some(Measurement::References) => {
            let with = phases::measure(&data.flags(true)?, &file)?;
            let without = phases::measure(&data.flags(false)?, &file)?;
            let cpu_us = |figures: &Figures| figures.get("cpu_us").unwrap_or(f64::NAN);
            let mut figures = with.clone();
            figures.set("cpu_us", cpu_us(&with) - cpu_us(&without));
            figures.set("cpu_us_with", cpu_us(&with));
            figures.set("cpu_us_without", cpu_us(&without));
            Ok(figures)
        }
        Some(Measurement::Service) => service::measure(data, size),
        Some(Measurement::Alone { held }) => alone::measure(data, size.of(held), size.clicks()),
        Some(Measurement::Latency(load)) => {
            let (schedule, setting) = of_load(load, data, size)?;
            let (figures, histogram) = latency::measure(schedule, setting, data.folder())?;
            plots::percentiles(&plot(out, name), name, &histogram)?;
            Ok(figures)
        }
        Some(Measurement::Paced { is_kept }) => {
            let rate = if size.quick { 15_000.0 } else { 300_000.0 };
            let (figures, histogram) = paced::measure(data, rate, is_kept)?;
            plots::percentiles(&plot(out, name), name, &histogram)?;
            Ok(figures)
        }
        _ => Err(BenchError::Row { row: name.to_owned() }),
    }
}

/// Where the picture of a measurement goes.
fn plot(out: &Path, name: &str) -> PathBuf {
    out.join(format!("{}.svg", name.replace('/', "-")))
}

fn of_load(load: Load, data: &Data, size: Size) -> Result<(Schedule, Setting), BenchError> {
    let seconds = |full: f64| Duration::from_secs_f64(if size.quick { full / 20.0 } else { full });
    let rate = |full: f64| if size.quick { full / 20.0 } else { full };
    let clicks = |per_s: f64, jitter_ms: u64, measured_s: f64| {
        let settings = Settings { jitter_ms, ..Settings::mark(rate(per_s)) };
        Schedule::clicks(settings, seconds(2.0), seconds(measured_s))
    };
    let (schedule, workers, disorder_ms, segments) = match load {
        Load::Clicks => (clicks(100_000.0, 5_000, 8.0), 2, 5_000, 1_000),
        Load::InOrder => (clicks(100_000.0, 0, 8.0), 2, 0, 1_000),
        Load::Fraud => (clicks(500_000.0, 100, 4.0), 2, 100, 0),
        Load::Lone => (Schedule::lone(size.of(400), Duration::from_millis(10)), 1, 0, 0),
    };
    let timeline = shapes::timeline(&data.windows(segments)?)?;
    let disorder = model::Duration::from_ms(disorder_ms);
    Ok((schedule, Setting { workers, timeline, disorder }))
}

//! The dataflow by itself, over records that have been read and parsed before the clock starts.

use std::time::Instant;

use dataflows::clock::ClockSettings;
use dataflows::in_memory::{Pace, deal, feed, prepare};
use dataflows::model::{Action, Arrival, Decimal, Position, Value};
use dataflows::oracle::Log;
use dataflows::streams::Streams;

use super::data::Data;
use super::error::BenchError;
use super::figures::Figures;
use super::resources::Cpu;
use super::shapes;
use crate::generate::clicks::{Click, Clicks, Settings};

/// The length of the mark's windows.
const WINDOW_S: f64 = 600.0;
/// The share of clicks that the mark's segments hold: page views and purchases.
const HELD: f64 = 0.73;
/// Clicks are measured over at least so many, however few are held.
const CLICKS_MIN: u32 = 2_000_000;
/// Records before the clock advances.
const BLOCK: usize = 1_000;
/// Records that are prepared at a time: the parsed form is large.
const TOGETHER: usize = 100_000;

/// Measures with the clicks coming at such a rate that windows hold `held` of them. Every click
/// that enters a window also leaves it.
pub(super) fn measure(data: &Data, held: u32, clicks_min: u32) -> Result<Figures, BenchError> {
    let timeline = shapes::timeline(&data.windows(0)?)?;
    let clock = ClockSettings::default();
    let log = Log { arrivals: &[], timeline: &timeline, clock, retain: None };
    let streams = std::sync::Arc::new(Streams::of(&timeline));
    let rate = f64::from(held) / WINDOW_S / HELD;
    let count =
        u64::from((f64::from(held) / HELD) as u32).max(u64::from(clicks_min.min(CLICKS_MIN)));
    let (mut clicks, mut line) = (Clicks::new(Settings::mark(rate)), Vec::new());
    let (mut ready, mut arrivals) = (Vec::new(), Vec::new());
    while clicks.count() < count {
        line.clear();
        let click = clicks.next(&mut line);
        // What is sent again comes late, and would end before the dataflow.
        if !click.is_again {
            let position = Position { partition: 0, offset: clicks.count() };
            arrivals.push(arrival(click, position)?);
        }
        if arrivals.len() == TOGETHER || clicks.count() == count {
            // Each part starts with a new clock, which no click is late for either.
            ready.append(&mut prepare(&Log { arrivals: &arrivals, ..log }, &streams).0);
            arrivals.clear();
        }
    }
    let events = ready.len() as f64;
    let dealt = deal(ready, Pace { workers: 1, block: BLOCK });
    let (began, cpu) = (Instant::now(), Cpu::now());
    let (differences, _) = feed(&log, &streams, dealt);
    let (took_s, cpu_s) = (began.elapsed().as_secs_f64(), cpu.elapsed_s());
    let mut figures = Figures::default();
    figures.set("per_s", events / took_s);
    figures.set("cpu_ns", cpu_s * 1e9 / events);
    figures.set("feed_s", took_s);
    figures.set("differences", differences.len() as f64);
    Ok(figures)
}

/// What a click says, as far as the mark's segments ask.
fn arrival(click: Click, position: Position) -> Result<Arrival, BenchError> {
    let amount = |cents: u64| {
        let text = format!("{}.{:02}", cents / 100, cents % 100);
        let amount = Decimal::parse(&text).map_err(BenchError::Measure)?;
        Ok::<_, BenchError>(vec![("amount".into(), Value::Number(amount))])
    };
    let properties = click.cents.map(amount).transpose()?.unwrap_or_default();
    Ok(Arrival {
        position,
        time: Some(click.time),
        user: format!("u{}", click.user).into(),
        id: Some(format!("{:032x}", position.offset).into()),
        action: Action::Event { name: click.kind.into(), properties: Value::object(properties) },
    })
}

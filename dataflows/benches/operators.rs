//! What the parts of the dataflow cost by themselves. `cargo bench -p dataflows` measures; tests
//! run every part once.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dataflows::catalog::{Catalog, Timeline};
use dataflows::clock::ClockSettings;
use dataflows::in_memory::{Pace, deal, feed, prepare};
use dataflows::model::{
    Action, Amount, Arrival, Duration, EventTime, MessageKey, Path, Position, StreamId, Value,
};
use dataflows::operators::dedup::Seen;
use dataflows::operators::feed::Feed;
use dataflows::operators::release::release;
use dataflows::operators::wheel::Wheel;
use dataflows::operators::window::{Aggregate, Entry, Log as Events, Window};
use dataflows::oracle::Log;
use dataflows::rule::{Measure, parse};
use dataflows::streams::Streams;
use timely::dataflow::operators::Probe;

const MANY: u64 = 10_000;

/// Numbers below a bound, the same every time.
fn numbers(below: u64) -> impl FnMut() -> u64 {
    let mut bits = 42_u64;
    move || {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (bits >> 33) % below
    }
}

fn time(number: u64) -> EventTime {
    EventTime::try_from(number).unwrap_or(EventTime::MAX)
}

fn wheel(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wheel");
    group.throughput(Throughput::Elements(MANY));
    group.bench_function("put in and taken out", |bencher| {
        let mut next = numbers(600_000);
        let dues: Vec<EventTime> = (0..MANY).map(|_| time(next())).collect();
        bencher.iter(|| {
            let mut wheel = Wheel::default();
            dues.iter().for_each(|due| wheel.insert(*due, *due));
            let mut taken = Vec::new();
            while let Some(due) = wheel.next_due() {
                wheel.take_due(due, &mut taken);
            }
            black_box(taken.len())
        });
    });
}

fn dedup(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dedup");
    group.throughput(Throughput::Elements(MANY));
    group.bench_function("observe, one in 200 twice", |bencher| {
        let key = |number: u64| MessageKey::of(&(number - number % 200 / 199).to_string());
        let keys: Vec<MessageKey> = (0..MANY).map(key).collect();
        bencher.iter(|| {
            let mut seen = Seen::new(Duration::from_ms(5_000));
            let observe = |(number, id): (u64, &MessageKey)| {
                let now = time(number * 4);
                seen.observe(*id, now, now - 5_000)
            };
            (0..).zip(&keys).map(observe).filter(|copy| *copy).count()
        });
    });
}

fn window(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("window");
    group.throughput(Throughput::Elements(MANY));
    let minute = Duration::from_ms(60_000);
    for (name, measure) in [("count", Measure::Count), ("sum", Measure::Sum(Path::new("amount")))] {
        let aggregate = Aggregate { stream: StreamId(0), measure, window: Some(minute) };
        let entry = match aggregate.measure {
            Measure::Count => Entry::Happened,
            _ => Entry::Amount(Amount::whole(7)),
        };
        group.bench_function(BenchmarkId::new("events enter and leave", name), |bencher| {
            bencher.iter(|| {
                let mut events = Events::for_entry(aggregate.stream, &entry);
                let mut window = Window::new(&aggregate);
                for now in (0..MANY).map(|number| time(number * 100)) {
                    window.expire(&aggregate, minute, &events, now);
                    events.insert(now, &entry);
                    window.insert(&aggregate, now, &entry, true);
                    events.keep(window.len());
                }
                black_box(window.value(&aggregate, &events))
            });
        });
    }
}

/// Definitions as they are written.
fn timeline(definitions: impl Iterator<Item = String>) -> Timeline {
    let read = |text: String| {
        let definition = parse::definition_from_text(&text);
        Arc::new(definition.unwrap_or_else(|faults| panic!("{text}: {faults:?}")))
    };
    let catalog = Catalog::new(definitions.map(read).collect());
    Timeline::accept(catalog.expect("the definitions stand together"), Vec::new()).0
}

/// Changes of one attribute each: the values of a thousand users, one after the other.
fn changes(attributes: u64, below: u64) -> Vec<Arrival> {
    let (mut user, mut attribute, mut value) =
        (numbers(1_000), numbers(attributes), numbers(below));
    let change = |offset: u64| Arrival {
        position: Position { partition: 0, offset },
        time: Some(time(offset / 1_000)),
        user: format!("u{}", user()).into(),
        id: None,
        action: Action::Attributes(vec![(
            format!("a{}", attribute()).into(),
            Value::Number((value() as i64).into()),
        )]),
    };
    (0..MANY).map(change).collect()
}

/// The whole dataflow over these changes, a thousand at an instant.
fn run(
    group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
    name: BenchmarkId,
    timeline: &Timeline,
    arrivals: &[Arrival],
) {
    let disorder = Duration::from_ms(0);
    let clock = ClockSettings {
        max_out_of_orderness: disorder,
        dedup_horizon: disorder,
        ..ClockSettings::default()
    };
    let log = Log { arrivals, timeline, clock, retain: None };
    let streams = Arc::new(Streams::of(timeline));
    group.throughput(Throughput::Elements(arrivals.len() as u64));
    group.sample_size(10);
    group.bench_function(name, |bencher| {
        bencher.iter_batched(
            || deal(prepare(&log, &streams).0, Pace { workers: 1, block: 1_000 }),
            |dealt| feed(&log, &streams, dealt).0.len(),
            BatchSize::LargeInput,
        );
    });
}

fn matching(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("matching");
    for segments in [100, 1_000, 10_000] {
        let definition = |number: u64| {
            let (attribute, from) = (number % 10, number / 10);
            format!(
                r#"{{"id":"{number}","rules":{{"attribute":"a{attribute}","op":"between","value":[{from},{from}.9]}}}}"#
            )
        };
        let timeline = timeline((0..segments).map(definition));
        let arrivals = changes(10, segments / 10);
        let name = BenchmarkId::new("changes that flip two segments, of", segments);
        run(&mut group, name, &timeline, &arrivals);
    }
}

fn compose(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compose");
    let base = |number: u64| {
        format!(r#"{{"id":"0-{number}","rules":{{"attribute":"a{number}","op":"eq","value":1}}}}"#)
    };
    let pair = |level: u64, number: u64| {
        let (below, left, right) = (level - 1, 2 * number, 2 * number + 1);
        format!(
            r#"{{"id":"{level}-{number}","rules":{{"operator":"AND","conditions":[{{"segment":"{below}-{left}"}},{{"operator":"NOT","conditions":[{{"segment":"{below}-{right}"}}]}}]}}}}"#
        )
    };
    let arrivals = changes(8, 2);
    for levels in [0, 1, 3] {
        let above = (1..=levels).flat_map(|level| (0..8 >> level).map(move |it| pair(level, it)));
        let timeline = timeline((0..8).map(base).chain(above));
        let name = BenchmarkId::new("flips below levels of references", levels);
        run(&mut group, name, &timeline, &arrivals);
    }
}

fn released(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("release");
    group.throughput(Throughput::Elements(MANY));
    group.bench_function("differences put in order", |bencher| {
        let mut next = numbers(1_000);
        let partial = |number: u64| {
            let (segment, user) = (format!("s{}", next() % 10), format!("u{number}"));
            (time(next()), (segment.into(), user.into(), 1))
        };
        let partial: Vec<(EventTime, (Arc<str>, Arc<str>, i64))> = (0..MANY).map(partial).collect();
        bencher.iter_batched(
            || partial.clone(),
            |mut partial| {
                timely::execute_directly(move |worker| {
                    let (mut input, probe) = worker.dataflow(|scope| {
                        let (input, stream) = Feed::new(scope, "Partial");
                        (input, release(stream).probe().0)
                    });
                    input.advance_to(0);
                    worker.step();
                    input.open().append(&mut partial);
                    drop(input);
                    while !probe.done() {
                        worker.step();
                    }
                });
            },
            BatchSize::LargeInput,
        );
    });
}

criterion_group!(operators, wheel, dedup, window, matching, compose, released);
criterion_main!(operators);

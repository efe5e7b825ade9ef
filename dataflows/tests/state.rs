//! The state machine behind the dataflow by itself: what it keeps, and what it lets go.
#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

use std::sync::Arc;

use dataflows::catalog::{Edit, TimedEdit, Timeline};
use dataflows::clock::{ClockSettings, Emit};
use dataflows::in_memory::{Pace, change_of, run};
use dataflows::model::{
    Action, Arrival, Decimal, Duration, EventTime, Path, Position, Sign, UserKey, Value,
};
use dataflows::operators::checkpoint::Survival;
use dataflows::operators::membership::{Changes, Command, Effects, Instant, Membership};
use dataflows::operators::plan::Keep;
use dataflows::operators::users::Effect;
use dataflows::oracle::{Log, answer};
use dataflows::rule::{
    AggregateCondition, AttributeCondition, Comparison, Definition, Measure, NamePattern, Rule,
    Selector, Test,
};
use dataflows::streams::Streams;

fn number(text: &str) -> Value {
    Value::Number(Decimal::parse(text).unwrap())
}

fn definition(id: &str, rule: Rule) -> Arc<Definition> {
    Arc::new(Definition { id: id.into(), name: None, description: None, rule })
}

fn aggregate(measure: Measure, window: i64, above: &str) -> Rule {
    Rule::Aggregate(AggregateCondition {
        events: Selector { name: NamePattern::Exact("buy".into()), filter: None },
        measure,
        window: Some(Duration::from_ms(window)),
        test: Test::new(Comparison::Gt(number(above))),
    })
}

fn attribute(comparison: Comparison, held: Option<i64>) -> Rule {
    let (path, test) = (Path::new("plan"), Test::new(comparison));
    Rule::Attribute(AttributeCondition { path, test, held: held.map(Duration::from_ms) })
}

fn is_a(held: Option<i64>) -> Rule {
    attribute(Comparison::Eq(Value::text("a")), held)
}

/// One worker, driven by hand.
struct Bench {
    state: Membership,
    streams: Arc<Streams>,
    changes: Changes,
    now: EventTime,
    offset: u64,
}

impl Bench {
    fn new(emit: Emit, definitions: &[Arc<Definition>]) -> Self {
        let timeline = Timeline { initial: definitions.to_vec(), edits: Vec::new() };
        let streams = Arc::new(Streams::of(&timeline));
        let settings = ClockSettings { emit, ..ClockSettings::default() };
        let mut state = Membership::new(settings, streams.clone(), Survival::Nothing);
        state.name(UserKey::of("u"), "u".into());
        Bench { state, streams, changes: Changes::default(), now: EventTime::MIN, offset: 0 }
    }

    /// Lets time pass: alarms before `at` go off.
    fn pass(&mut self, at: EventTime) {
        while let Some(due) = self.state.wheel.next_due().filter(|due| *due < at) {
            self.instant(due, Effects::new(), Instant::default());
        }
        self.now = at;
    }

    fn instant(&mut self, at: EventTime, updates: Effects<'_>, mut instant: Instant) {
        self.state.wheel.take_due(at, &mut instant.alarms);
        self.state.instant(at, updates, &mut instant, &mut self.changes);
    }

    fn command(&mut self, at: EventTime, command: Command) {
        self.pass(at);
        let commands = vec![command];
        self.instant(at, Effects::new(), Instant { commands, ..Instant::default() });
    }

    fn act(&mut self, time: EventTime, action: &Action) {
        let at = time.max(self.now);
        self.pass(at);
        let change = change_of(action, &self.streams);
        let position = Position { partition: 0, offset: self.offset };
        self.offset += 1;
        let effect = Effect { slot: 0, time, position, change };
        self.instant(at, Effects::from_slice(&[&effect]), Instant::default());
    }

    fn buy(&mut self, time: EventTime, amount: &str) {
        let properties = Value::object(vec![("amount".into(), number(amount))]);
        self.act(time, &Action::Event { name: "buy".into(), properties });
    }

    fn set(&mut self, time: EventTime, plan: Value) {
        self.act(time, &Action::Attributes(vec![("plan".into(), plan)]));
    }

    fn held(&self) -> usize {
        let user = self.state.users.get(0);
        user.logs.iter().map(|log| log.len()).sum()
    }

    /// What changed, as (time, entered).
    fn changed(&self) -> Vec<(EventTime, bool)> {
        let changes = self.changes.differences.iter();
        changes.map(|(_, _, time, sign)| (*time, *sign == Sign::Entered)).collect()
    }
}

fn all_measures(window: i64, above: &str) -> Vec<Arc<Definition>> {
    let path = || Path::new("amount");
    let measures = [
        Measure::Count,
        Measure::Sum(path()),
        Measure::Avg(path()),
        Measure::Min(path()),
        Measure::Distinct(path()),
        Measure::Last(path()),
    ];
    let rules = measures.into_iter().map(|measure| aggregate(measure, window, above));
    rules.enumerate().map(|(id, rule)| definition(&format!("s{id}"), rule)).collect()
}

#[test]
fn at_the_end_of_time_nothing_is_held() {
    for emit in [Emit::OnWatermark, Emit::OnEvent] {
        let definitions = all_measures(1_000, "3");
        let mut bench = Bench::new(emit, &definitions);
        for definition in definitions {
            bench.command(EventTime::MIN, Command::Put(definition));
        }
        (0..500).for_each(|time| bench.buy(time * 3 % 700, "1"));
        bench.pass(EventTime::MAX);
        assert!(bench.state.wheel.is_empty());
        assert_eq!(bench.held(), 0);
    }
}

#[test]
fn far_from_every_threshold_logs_do_not_grow() {
    let definitions = all_measures(10, "1000000");
    let mut bench = Bench::new(Emit::OnWatermark, &definitions);
    for definition in definitions {
        bench.command(EventTime::MIN, Command::Put(definition));
    }
    for time in 0..5_000 {
        bench.buy(time, "1");
        assert!(bench.held() <= 3 * 10, "{} held", bench.held());
        assert!(bench.state.wheel.len() <= 6, "{} alarms", bench.state.wheel.len());
    }
}

#[test]
fn alarms_do_not_pile_up_when_events_come_out_of_order() {
    let path = Path::new("amount");
    let rule = definition("s", aggregate(Measure::Sum(path), 100_000, "3"));
    let mut bench = Bench::new(Emit::OnEvent, std::slice::from_ref(&rule));
    bench.command(EventTime::MIN, Command::Put(rule));
    for time in 0..1_000 {
        bench.buy(2 * time + 5, "1");
        bench.buy(2 * time, "1");
    }
    assert!(bench.state.wheel.len() < 10, "{} alarms", bench.state.wheel.len());
}

#[test]
fn what_only_a_deleted_segment_needed_is_released() {
    let rule = definition("s", aggregate(Measure::Count, 100_000, "3"));
    let mut bench = Bench::new(Emit::OnWatermark, std::slice::from_ref(&rule));
    bench.command(EventTime::MIN, Command::Put(rule));
    (0..100).for_each(|time| bench.buy(time, "1"));
    assert_eq!(bench.held(), 100);
    bench.command(200, Command::Delete("s".into()));
    assert_eq!(bench.held(), 0);
    assert!(bench.state.users.get(0).states.is_empty());
}

#[test]
fn since_when_is_known_from_the_first_question_on() {
    // Nobody asked before; a timed condition had left a note about its alarm.
    let timed = definition("t", attribute(Comparison::WithinLast(Duration::from_ms(1_000)), None));
    let rule = definition("s", is_a(Some(10)));
    let mut bench = Bench::new(Emit::OnWatermark, &[]);
    bench.command(EventTime::MIN, Command::Put(timed));
    bench.set(5, number("5"));
    bench.set(20, Value::text("a"));
    bench.command(100, Command::Put(rule));
    bench.pass(1_000);
    assert_eq!(bench.changed(), [(5, true), (20, false), (110, true)]);
}

#[test]
fn since_when_is_not_remembered_from_an_earlier_question() {
    let mut bench = Bench::new(Emit::OnWatermark, &[]);
    bench.command(EventTime::MIN, Command::Put(definition("plain", is_a(None))));
    bench.command(0, Command::Put(definition("held", is_a(Some(10)))));
    bench.set(1, Value::text("a"));
    bench.command(50, Command::Delete("held".into()));
    bench.set(60, Value::text("b"));
    bench.set(70, Value::text("a"));
    bench.changes.differences.clear();
    bench.command(72, Command::Put(definition("again", is_a(Some(10)))));
    bench.pass(1_000);
    assert_eq!(bench.changed(), [(82, true)]);
}

#[test]
fn setting_the_same_again_after_being_told_to_keep_starts_nothing_anew() {
    let rule = definition("s", is_a(Some(10)));
    let mut bench = Bench::new(Emit::OnWatermark, &[]);
    bench.set(0, Value::text("a"));
    bench.command(20, Command::Keep(rule.clone(), Keep::Held, 20));
    bench.set(25, Value::text("a"));
    bench.command(28, Command::Put(rule));
    bench.pass(1_000);
    assert_eq!(bench.changed(), [(30, true)]);
}

#[test]
fn one_definition_put_twice_sees_back_both_times() {
    let rule = definition("s", aggregate(Measure::Count, 100, "0"));
    let other = definition("s", is_a(None));
    let put = |time, rule: &Arc<Definition>| TimedEdit {
        time,
        from: None,
        saved: None,
        edit: Edit::Put(rule.clone()),
    };
    let edits = vec![put(5, &rule), put(6, &other), put(7, &rule)];
    let timeline = Timeline { initial: Vec::new(), edits };
    let arrivals = [Arrival {
        position: Position { partition: 0, offset: 0 },
        time: Some(1),
        user: "u".into(),
        id: None,
        action: Action::Event { name: "buy".into(), properties: Value::object(Vec::new()) },
    }];
    let clock = ClockSettings::default();
    let log = Log { arrivals: &arrivals, timeline: &timeline, clock, retain: None };
    assert_eq!(run(&log, Pace { workers: 1, block: 1 }), answer(&log));
}

/// An event too old for one window moves it on all the same, at the instant of its alarm.
#[test]
fn a_window_moved_on_by_an_event_it_does_not_want_still_rings() {
    let long = definition("long", aggregate(Measure::Count, 100, "0"));
    let late = definition("late", aggregate(Measure::Count, 10, "0"));
    let edits = vec![TimedEdit { time: 10, from: None, saved: None, edit: Edit::Put(late) }];
    let timeline = Timeline { initial: vec![long], edits };
    let arrivals: Vec<Arrival> = [("buy", 6), ("view", 16), ("buy", 4)]
        .into_iter()
        .zip(0..)
        .map(|((name, time), offset)| Arrival {
            position: Position { partition: 0, offset },
            time: Some(time),
            user: "u".into(),
            id: None,
            action: Action::Event { name: name.into(), properties: Value::object(Vec::new()) },
        })
        .collect();
    let clock = ClockSettings { emit: Emit::OnEvent, ..ClockSettings::default() };
    let retain = Some(Duration::from_ms(5));
    let log = Log { arrivals: &arrivals, timeline: &timeline, clock, retain };
    let got = run(&log, Pace { workers: 1, block: 1 }).differences;
    let lines: Vec<_> = got
        .iter()
        .map(|it| format!("{} {} {}", it.time, it.segment, it.sign == Sign::Entered))
        .collect();
    assert_eq!(lines, ["6 long true", "10 late true", "16 late false", "106 long false"]);
}

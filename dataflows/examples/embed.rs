//! The computation inside a program of your own: definitions and records in, differences out, and
//! nothing else. `cargo run -p dataflows --example embed`

#![expect(clippy::disallowed_macros, clippy::print_stdout, reason = "a program says what it found")]

use std::error::Error;
use std::sync::{Arc, Mutex};

use dataflows::catalog::{Catalog, Timeline};
use dataflows::clock::ClockSettings;
use dataflows::in_memory::change_of;
use dataflows::model::time::parse_time;
use dataflows::model::{Action, Difference, Incoming, Position, Update, UserKey, Value};
use dataflows::operators::checkpoint::Survival;
use dataflows::rule::parse::definition_from_text;
use dataflows::segmentation::{commands, segmentation};
use dataflows::streams::Streams;
use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::{Inspect as _, Probe as _};

const HIGH_VALUE: &str = r#"{"id":"high_value","rules":{"event":"purchase","aggregate":"sum",
    "property":"amount","window":"10m","op":"gt","value":100}}"#;

/// Who bought what when, in the order of time.
const PURCHASES: [(&str, &str, i64); 3] = [
    ("2026-01-01T00:00:00Z", "u1", 80),
    ("2026-01-01T00:01:00Z", "u2", 40),
    ("2026-01-01T00:02:00Z", "u1", 42),
];

/// What comes of it.
pub(crate) fn differences() -> Result<Vec<Difference>, Box<dyn Error>> {
    let definition = definition_from_text(HIGH_VALUE).map_err(|faults| format!("{faults:?}"))?;
    let catalog = Catalog::new(vec![Arc::new(definition)]).map_err(|them| format!("{them:?}"))?;
    let timeline = Timeline { initial: catalog.iter().cloned().collect(), edits: Vec::new() };
    // Which events the rules ask about, and what they take from each.
    let streams = Arc::new(Streams::of(&timeline));
    let mut updates = Vec::new();
    for (offset, (time, user, amount)) in PURCHASES.into_iter().enumerate() {
        let properties = Value::from_json(&serde_json::json!({ "amount": amount }))?;
        let action = Action::Event { name: "purchase".into(), properties };
        let time = parse_time(time)?;
        let position = Position { partition: 0, offset: offset as u64 };
        let change = change_of(&action, &streams);
        let update = Update { user: UserKey::of(user), time, at: time, position, change };
        updates.push((Arc::<str>::from(user), update));
    }
    let later = parse_time("2026-01-01T01:00:00Z")?;
    let found = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&found);
    timely::execute_directly(move |worker| {
        let probe = ProbeHandle::new();
        let mut inputs = worker.dataflow(|scope| {
            let settings = ClockSettings::default();
            let (inputs, outputs) = segmentation(scope, settings, streams, Survival::Nothing);
            let keep = move |difference: &Difference| {
                told.lock().expect("nobody panics with it").push(difference.clone());
            };
            outputs.differences.inspect(keep).probe_with(&probe);
            inputs
        });
        commands(&timeline, None).into_iter().for_each(|it| inputs.commands.send(it));
        for (user, update) in updates {
            // The watermark: nothing older will come. What lies before it is final, and is given out.
            inputs.advance_to(update.time, update.time);
            inputs.updates.send(Incoming::Name(update.user, user)); // a user's name, before the first of theirs
            inputs.updates.send(Incoming::Update(update));
            worker.step();
        }
        // Time passes with nothing to say so: windows empty by themselves.
        inputs.advance_to(later, later);
        while probe.less_than(&later) {
            worker.step();
        }
    });
    Ok(std::mem::take(&mut *found.lock().expect("nobody panics with it")))
}

fn main() -> Result<(), Box<dyn Error>> {
    for difference in differences()? {
        println!("{difference}");
    }
    Ok(())
}

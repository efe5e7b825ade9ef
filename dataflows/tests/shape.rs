//! The shape of the dataflow: how many operators it has does not depend on how many segments there
//! are, nor on what they ask.

use std::sync::{Arc, Mutex};

use dataflows::catalog::{Catalog, Timeline};
use dataflows::clock::ClockSettings;
use dataflows::operators::checkpoint::Survival;
use dataflows::rule::{Definition, parse};
use dataflows::segmentation::{commands, segmentation};
use dataflows::streams::Streams;
use timely::logging::{TimelyEvent, TimelyEventBuilder};

/// One rule of every kind in turn; every seventh refers to the segment before it.
fn definition(number: u32) -> Definition {
    let rule = match number % 7 {
        0 => r#"{"attribute":"country","op":"eq","value":"US"}"#.to_owned(),
        1 => format!(
            r#"{{"event":"purchase","aggregate":"sum","property":"amount","window":"10m","op":"gt","value":{number}}}"#
        ),
        2 => r#"{"attribute":"stage","op":"eq","value":"trial","held":"7d"}"#.to_owned(),
        3 => {
            r#"{"sequence":[{"event":"cart"},{"event":"pay"}],"within":"1h","window":"1d"}"#.into()
        }
        4 => r#"{"attribute":"signed_up_at","op":"within_last","value":"30d"}"#.to_owned(),
        5 => format!(
            r#"{{"event":"click{number}","aggregate":"count","window":"{number}s","op":"gte","value":3}}"#
        ),
        _ => format!(
            r#"{{"operator":"AND","conditions":[{{"segment":"s{}"}},{{"attribute":"a","op":"gt","value":{number}}}]}}"#,
            number - 1
        ),
    };
    let text = format!(r#"{{"id":"s{number}","rules":{rule}}}"#);
    parse::definition_from_text(&text).unwrap_or_else(|faults| panic!("{text}: {faults:?}"))
}

/// The names of the operators that exist once these many definitions are in force.
fn operators(definitions: u32) -> Vec<String> {
    let definitions = (0..definitions).map(|number| Arc::new(definition(number)));
    let catalog = Catalog::new(definitions.collect()).expect("the definitions stand together");
    let initial = catalog.iter().cloned().collect();
    let timeline = Timeline { initial, edits: Vec::new() };
    let streams = Arc::new(Streams::of(&timeline));
    let names = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&names);
    timely::execute_directly(move |worker| {
        let mut log = worker.log_register().expect("the log of a worker that runs");
        log.insert::<TimelyEventBuilder, _>("timely", move |_, events| {
            for (_, event) in events.iter().flat_map(|events| events.iter()) {
                if let TimelyEvent::Operates(operator) = event {
                    shared.lock().expect("no other thread").push(operator.name.clone());
                }
            }
        });
        drop(log);
        let mut inputs = worker.dataflow(|scope| {
            let (inputs, _) =
                segmentation(scope, ClockSettings::default(), streams.clone(), Survival::Nothing);
            inputs
        });
        for command in commands(&timeline, None) {
            inputs.commands.send(command);
        }
        inputs.advance_to(0, 0); // the definitions are in force before the operators are counted
        for _ in 0..100 {
            worker.step();
        }
    });
    let mut names = std::mem::take(&mut *names.lock().expect("no other thread"));
    names.sort();
    names
}

#[test]
fn ten_thousand_segments_need_no_more_operators_than_one() {
    let one = operators(1);
    assert!(one.iter().any(|name| name == "Dataflow"), "the log names operators: {one:?}");
    assert_eq!(one, operators(10_000));
}

//! Definitions saved and deleted while the job runs.

use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::Value as Json;

use crate::client::{Answer, JOB, Served, pause, place, sets};

const ADULTS: &str = r#"{"name":"Adults","rules":{"attribute":"plan","op":"eq","value":"pro"}}"#;

fn put(served: &Served, id: &str, text: &str) -> Answer {
    served.ask("PUT", &format!("/v1/segments/{id}"), &[], text)
}

/// A job whose time goes on.
fn served() -> (crate::common::Place, Served) {
    let place = place(JOB);
    let served = Served::start(&place);
    served.send(&[sets("u1", 0, "plan", "pro"), sets("u2", 10, "country", "DE")]);
    served.await_segments("u2", &["de"]);
    (place, served)
}

/// Lets time go on, for in an idle job it does so only after a while, until there is an answer.
fn with_time_going_on(served: &Served, ask: impl Fn() -> Answer + Sync) -> Answer {
    static TIME: AtomicI64 = AtomicI64::new(1_000);
    std::thread::scope(|scope| {
        let asking = scope.spawn(&ask);
        while !asking.is_finished() {
            let time = TIME.fetch_add(10, Ordering::Relaxed);
            served.send(&[sets("clock", time, "tick", "x")]);
            pause();
        }
        asking.join().unwrap()
    })
}

#[test]
fn a_definition_that_is_saved_takes_effect() {
    let (place, served) = served();
    let answer = with_time_going_on(&served, || {
        served.ask("PUT", "/v1/segments/adults?wait_ms=25000", &[], ADULTS)
    });
    assert_eq!(answer.status, 201, "{}", answer.json);
    let json = answer.fine();
    assert_eq!(
        (&json["status"], &json["version"], &json["size"]),
        (&"in_force".into(), &1.into(), &1.into())
    );
    assert!(json["in_force_since"].is_i64(), "{json}");
    assert_eq!(served.segments_of("u1"), ["adults", "pro"]);
    assert!(place.text("segments/adults.json").contains("Adults"));
    let other = ADULTS.replace("pro", "free");
    let answer = with_time_going_on(&served, || {
        served.ask("PUT", "/v1/segments/adults?wait_ms=25000", &[], &other)
    });
    assert_eq!((answer.status, &answer.json["version"]), (200, &2.into()), "{}", answer.json);
    assert_eq!(served.segments_of("u1"), ["pro"]);
    let versions = served.get("/v1/segments/adults/versions").fine();
    let values: Vec<_> = versions["versions"].as_array().unwrap().iter().collect();
    assert_eq!(values.len(), 2);
    assert_eq!(values[0]["definition"]["rules"]["value"], "pro");
    let gone = with_time_going_on(&served, || {
        served.ask("DELETE", "/v1/segments/adults?wait_ms=25000", &[], "")
    });
    assert_eq!((gone.status, &gone.json["status"]), (200, &"deleted".into()), "{}", gone.json);
    served.get("/v1/segments/adults").refused(404, "unknown_segment");
    assert!(!place.path("segments/adults.json").exists());
}

#[test]
fn who_does_not_wait_is_told_that_it_is_saved() {
    let (place, served) = served();
    let answer = served.ask("PUT", "/v1/segments/adults?wait_ms=0", &[], ADULTS);
    assert_eq!((answer.status, &answer.json["status"]), (202, &Json::from("saved")));
    assert!(place.path("segments/adults.json").exists());
}

#[test]
fn a_mistake_is_told_by_its_path_and_changes_nothing() {
    let (place, served) = served();
    let wrong = r#"{"rules":{"operator":"AND","conditions":[{"segment":"pro"},{"segment":"de"},
        {"attribute":"age","op":"ge","value":18}]}}"#;
    let error = put(&served, "adults", wrong).refused(422, "wrong_definition");
    assert_eq!(error["path"], "rules.conditions[2].op");
    assert_eq!(error["hint"], "did you mean \"gte\"?");
    assert_eq!(error["faults"][0]["found"], "\"ge\"");
    assert!(error["faults"][0]["allowed"].as_str().unwrap().starts_with("eq, neq"));
    let error = put(&served, "adults", r#"{"rules":{"segment":"prro"}}"#).refused(422, "refused");
    assert!(error["message"].as_str().unwrap().contains("did you mean \"pro\"?"), "{error}");
    put(&served, "pro", r#"{"rules":{"segment":"both"}}"#).refused(422, "refused");
    put(&served, "adults", "{").refused(422, "wrong_definition");
    put(&served, "adults", r#"{"id":"b","rules":{"everyone":true}}"#)
        .refused(422, "wrong_definition");
    let referred = served.ask("DELETE", "/v1/segments/pro", &[], "").refused(409, "referenced");
    assert!(referred["message"].as_str().unwrap().contains("referred to by both"), "{referred}");
    served.ask("DELETE", "/v1/segments/prro", &[], "").refused(404, "unknown_segment");
    assert!(!place.path("segments/adults.json").exists());
    place.write("segments/bad.json", "{");
    put(&served, "adults", ADULTS).refused(409, "standing_definitions");
}

#[test]
fn a_definition_is_checked_and_not_saved() {
    let (place, served) = served();
    let before = place.text("segments/all.json");
    let check =
        |query: &str, text: &str| served.ask("POST", &format!("/v1/check{query}"), &[], text);
    assert_eq!(check("?id=adults", ADULTS).fine()["status"], "fine");
    // Without an id to be saved under it needs its own.
    assert_eq!(check("", ADULTS).refused(422, "wrong_definition")["path"], "id");
    let wrong = r#"{"id":"a","rules":{"attribute":"plan","op":"equals","value":"pro"}}"#;
    let error = check("", wrong).refused(422, "wrong_definition");
    assert_eq!(error["path"], "rules.op", "{error}");
    assert_eq!(error, put(&served, "a", wrong).refused(422, "wrong_definition"));
    let other = check("?id=b", wrong).refused(422, "wrong_definition");
    assert_eq!(other["faults"][0]["path"], "id", "{other}");
    let circle = r#"{"id":"pro","rules":{"segment":"both"}}"#;
    assert_eq!(
        check("", circle).refused(422, "refused"),
        put(&served, "pro", circle).refused(422, "refused")
    );
    assert_eq!(place.text("segments/all.json"), before);
    served.get("/v1/segments/adults").refused(404, "unknown_segment");
    assert_eq!(served.end(), Some(0));
}

//! The attributes of a user, as far as rules ask for them.

use serde_json::json;

use crate::client::{JOB, START, Served, place, sets};
use crate::sketches::await_time;

#[test]
fn what_rules_ask_for_is_told_as_it_is_and_nothing_else() {
    let place = place(JOB);
    let deep = r#"{"id":"deep","rules":{"attribute":"address.city","op":"is_not_null"}}"#;
    place.write("segments/deep.json", deep);
    let served = Served::start(&place);
    let traits = r#"{"address":{"city":"Köln","zip":50667},"unasked":1}"#;
    let time = START + 2_000;
    served.send(&[
        sets("u1", 1_000, "plan", "free"),
        format!(r#"{{"type":"identify","userId":"u1","timestamp":{time},"traits":{traits}}}"#),
        sets("u1", 3_000, "plan", "pro"),
        sets("u2", 4_000, "unasked", "x"),
    ]);
    await_time(&served, 5_000);
    let answer = served.get("/v1/users/u1/attributes").fine();
    assert_eq!(answer["attributes"], json!({"plan":"pro","address.city":"Köln"}));
    assert_eq!((&answer["user"], &answer["since"]), (&json!("u1"), &json!(START + 1_000)));
    assert!(answer["as_of"].as_i64().unwrap() >= START + 4_000);
    assert_eq!(served.get("/v1/users/u2/attributes").fine()["attributes"], json!({}));
    served.get("/v1/users/nobody/attributes").refused(404, "unknown_user");
    // One that is taken away is set no more; a rule that asks for more makes more known.
    served.send(&[
        format!(
            r#"{{"type":"identify","userId":"u1","timestamp":{},"traits":{{"plan":null}}}}"#,
            START + 6_000
        ),
        sets("u1", 6_500, "country", "DE"),
    ]);
    await_time(&served, 7_000);
    let answer = served.get("/v1/users/u1/attributes").fine();
    assert_eq!(answer["attributes"], json!({"address.city":"Köln","country":"DE"}));
}

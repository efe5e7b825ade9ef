//! What records have named, for whoever writes a rule.

use serde_json::{Value as Json, json};

use crate::client::{JOB, START, Served, place, sets};
use crate::harness::eventually;

fn buys(user: &str, after_ms: i64, currency: &str) -> String {
    let properties = json!({ "currency": currency, "order": format!("order of {user}") });
    json!({ "type": "track", "userId": user, "event": "buy", "timestamp": START + after_ms,
        "properties": properties })
    .to_string()
}

#[test]
fn what_no_rule_reads_is_named_too_and_nobody_is_given_away() {
    let place = place(JOB);
    let served = Served::start(&place);
    assert_eq!(served.get("/v1/names").fine()["sampled"], 0);
    let users = (0..40).map(|nth| format!("u{nth}"));
    let records: Vec<_> = users
        .zip(0..)
        .flat_map(|(user, at)| {
            let currency = if at % 4 == 0 { "EUR" } else { "USD" };
            [sets(&user, at, "town", &format!("home of {user}")), buys(&user, at, currency)]
        })
        .collect();
    served.send(&records);
    let names = || served.get("/v1/names").fine().clone();
    eventually("all have been looked at", || names()["sampled"] == 80);
    let text = |name: &str| json!({ name: "", "records": 40, "kinds": ["text"] });
    let named = |kind: &str, name: &str| {
        let mut told = text(kind);
        told[kind] = name.into();
        told
    };
    assert_eq!(names()["attributes"], json!([named("attribute", "town")]));
    let properties = [named("property", "currency"), named("property", "order")];
    assert_eq!(
        names()["events"],
        json!([{ "event": "buy", "records": 40, "properties": properties }])
    );
    let common = served.get("/v1/names?event=buy&property=currency").fine().clone();
    let values = json!([{ "value": "USD", "count": 30 }, { "value": "EUR", "count": 10 }]);
    assert_eq!((&common["values"], &common["scattered"]), (&values, &Json::Bool(false)));
    // Everyone has one of their own.
    for of in ["attribute=town", "event=buy&property=order"] {
        let own = served.get(&format!("/v1/names?{of}")).fine().clone();
        assert_eq!((&own["values"], &own["scattered"]), (&json!([]), &Json::Bool(true)), "{own}");
        assert!(!own.to_string().contains("of u"), "{own}");
    }
    for (of, status) in [("attribute=x", 404), ("event=buy&property=x", 404), ("event=buy", 400)] {
        assert_eq!(served.get(&format!("/v1/names?{of}")).status, status, "{of}");
    }
    assert_eq!(served.end(), Some(0));
}

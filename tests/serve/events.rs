//! The events of a user that are held for windows.

use serde_json::{Value as Json, json};

use crate::client::{JOB, START, Served, place, sets};
use crate::common::Place;
use crate::sketches::{await_time, event};

/// Three conditions read each purchase, one of them only some; one reads all that begins with
/// `shop.`, another one of these.
const BUYERS: &str = r#"[
{"id":"often","rules":{"event":"purchase","aggregate":"count","window":"1h","op":"gte","value":2}},
{"id":"much","rules":{"event":"purchase","aggregate":"sum","property":"amount","window":"1h","op":"gt","value":100}},
{"id":"plan","rules":{"event":"purchase","aggregate":"last","property":"cart.plan","window":"10m","op":"eq","value":"pro"}},
{"id":"euro","rules":{"event":"refund","where":{"attribute":"currency","op":"eq","value":"EUR"},"aggregate":"count","window":"10m","op":"gte","value":1}},
{"id":"shop","rules":{"event":"shop.*","aggregate":"count","window":"30m","op":"gte","value":1}},
{"id":"shop_view","rules":{"event":"shop.view","aggregate":"count","window":"30m","op":"gte","value":1}}]"#;

fn buyers() -> (Place, Served) {
    let place = place(JOB);
    place.write("segments/buyers.json", BUYERS);
    let served = Served::start(&place);
    (place, served)
}

/// Time, name, count and properties of each.
fn listed(answer: &Json) -> Vec<(i64, String, u64, Json)> {
    let events = answer["events"].as_array().unwrap().iter();
    let each = events.map(|it| {
        let name = it["event"].as_str().unwrap().to_owned();
        let time = it["time"].as_i64().unwrap() - START;
        (time, name, it["count"].as_u64().unwrap(), it["properties"].clone())
    });
    each.collect()
}

fn one(time: i64, name: &str, properties: Json) -> (i64, String, u64, Json) {
    (time, name.to_owned(), 1, properties)
}

#[test]
fn each_event_is_listed_once_however_many_conditions_read_it() {
    let (_place, served) = buyers();
    let bought = r#","properties":{"amount":42.17,"cart":{"plan":"pro"},"unasked":1}"#;
    let refund = |currency| format!(r#","properties":{{"currency":"{currency}"}}"#);
    served.send(&[
        event("u1", 1_000, "purchase", bought),
        event("u1", 2_000, "shop.view", ""),
        event("u1", 3_000, "shop.cart", ""),
        event("u1", 4_000, "refund", &refund("USD")),
        event("u1", 5_000, "refund", &refund("EUR")),
        event("u1", 6_000, "unasked", ""),
        event("u2", 6_500, "shop.view", ""),
        event("u1", 7_000, "purchase", r#","properties":{"amount":1}"#),
        event("u1", 7_000, "purchase", r#","properties":{"amount":2}"#),
    ]);
    await_time(&served, 8_000);
    let answer = served.get("/v1/users/u1/events").fine();
    let expected = [
        (7_000, "purchase".to_owned(), 2, json!({})),
        one(5_000, "refund", json!({})),
        one(3_000, "shop.*", json!({})),
        one(2_000, "shop.view", json!({})),
        one(1_000, "purchase", json!({"amount": 42.17, "cart.plan": "pro"})),
    ];
    assert_eq!(listed(&answer), expected, "{answer:#}");
    assert_eq!(answer["next"], Json::Null);
    assert_eq!(answer["user"], "u1");
    let as_of = answer["as_of"].as_i64().unwrap();
    // `on_event`, time stands where the last record has put it.
    assert!(as_of >= START + 8_000, "{as_of}");
    let names: Vec<_> = answer["held"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["event"].as_str().unwrap(), it["filtered"].as_bool().unwrap()))
        .collect();
    let expected = [("purchase", false), ("refund", true), ("shop.*", false), ("shop.view", false)];
    assert_eq!(names, expected);
    assert!(answer["held"][0]["complete_from"].as_i64() >= Some(as_of - 3_600_000), "{answer:#}");
    assert_eq!(served.end(), Some(0));
}

#[test]
fn they_are_listed_page_by_page_and_since_when_it_is_said() {
    let (_place, served) = buyers();
    let views: Vec<_> = (1..=10).map(|it| event("u1", it * 1_000, "shop.view", "")).collect();
    served.send(&views);
    await_time(&served, 20_000);
    let times = |path: &str| {
        let answer = served.get(&format!("/v1/users/u1/events{path}")).fine();
        let times: Vec<_> = listed(&answer).into_iter().map(|it| it.0 / 1_000).collect();
        (times, answer["next"].as_i64())
    };
    let (page, next) = times("?limit=4");
    assert_eq!((page, next), (vec![10, 9, 8, 7], Some(START + 7_000)));
    let (page, next) = times(&format!("?limit=4&before={}", next.unwrap()));
    assert_eq!((page, next), (vec![6, 5, 4, 3], Some(START + 3_000)));
    let (page, next) = times(&format!("?limit=4&before={}", next.unwrap()));
    assert_eq!((page, next), (vec![2, 1], None));
    assert_eq!(times(&format!("?since={}", START + 9_000)).0, [10, 9]);
    assert_eq!(times("?since=24h").0.len(), 10);
    assert_eq!(times("?since=13s").0, [10, 9, 8, 7]);
    assert_eq!(times("?since=2026-01-01T00:00:09Z").0, [10, 9]);
    // What has left every window is held no more.
    served.send(&[sets("u1", 3_600_000, "plan", "pro")]);
    await_time(&served, 3_600_001);
    let answer = served.get("/v1/users/u1/events").fine();
    assert_eq!(listed(&answer), [], "{answer:#}");
    served.get("/v1/users/nobody/events").refused(404, "unknown_user");
    served.get("/v1/users/u1/events?since=soon").refused(400, "bad_request");
    served.get("/v1/users/u1/events?limit=0").refused(400, "bad_request");
    assert_eq!(served.end(), Some(0));
}

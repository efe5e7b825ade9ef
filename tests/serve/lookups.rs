//! Who is in what, now and before.

use serde_json::{Value as Json, json};

use crate::client::{JOB, START, Served, place, sets, texts};
use crate::harness::eventually;

/// A job with three users: u1 in all, u2 in one, u3 in none any more.
fn three_users() -> (crate::common::Place, Served) {
    let place = place(JOB);
    let served = Served::start(&place);
    served.send(&[
        sets("u1", 0, "plan", "pro"),
        sets("u2", 10, "country", "DE"),
        sets("u3", 20, "plan", "pro"),
        sets("u1", 30, "country", "DE"),
        sets("u3", 40, "plan", "free"),
        sets("u/4", 50, "plan", "pro"),
    ]);
    served.await_segments("u%2F4", &["pro"]);
    (place, served)
}

#[test]
fn an_event_is_seen_as_soon_as_it_has_come() {
    let (_place, served) = three_users();
    assert_eq!(served.segments_of("u1"), ["both", "de", "pro"]);
    assert_eq!(served.segments_of("u2"), ["de"]);
    assert_eq!(served.segments_of("u3"), [""; 0]);
    assert_eq!(served.segments_of("nobody"), [""; 0]);
    let answer = served.get("/v1/users/u1/segments").fine();
    assert!(answer["as_of"].as_i64().unwrap() >= START + 50, "{answer}");
    served.send(&[sets("u1", 60, "country", "FR")]);
    served.await_segments("u1", &["pro"]);
    assert_eq!(served.get("/healthz").status, 200);
    served.await_ready();
    assert_eq!(served.end(), Some(0));
}

#[test]
fn many_users_are_asked_about_at_once() {
    let (_place, served) = three_users();
    let ask = |body: &Json| served.ask("POST", "/v1/users/segments", &[], &body.to_string());
    let answer = ask(&json!({"users": ["u2", "u1", "nobody"]})).fine();
    let users = answer["users"].as_array().unwrap();
    let found: Vec<_> =
        users.iter().map(|it| (it["user"].as_str(), texts(&it["segments"]))).collect();
    let expected: [&[&str]; 3] = [&["de"], &["both", "de", "pro"], &[]];
    for ((user, found), (name, expected)) in
        found.into_iter().zip(["u2", "u1", "nobody"].into_iter().zip(expected))
    {
        assert_eq!((user, found), (Some(name), expected.iter().map(ToString::to_string).collect()));
    }
    let many: Vec<_> = (0..1_001).map(|it| it.to_string()).collect();
    ask(&json!({ "users": many })).refused(400, "bad_request");
    ask(&json!({"user": "u1"})).refused(400, "bad_request");
    served.ask("POST", "/v1/users/segments", &[], "{").refused(400, "bad_request");
}

#[test]
fn segments_tell_their_size_definition_and_users() {
    let (_place, served) = three_users();
    let all = served.get("/v1/segments").fine();
    let of = |all: &Json, key: &str| -> Vec<Json> {
        all["segments"].as_array().unwrap().iter().map(|it| it[key].clone()).collect()
    };
    assert_eq!(of(&all, "id"), ["both", "de", "pro"]);
    assert_eq!(of(&all, "size"), [1, 2, 2]);
    let two = served.get("/v1/segments?limit=2").fine();
    assert_eq!(
        (of(&two, "id"), two["next"].as_str()),
        (vec!["both".into(), "de".into()], Some("de"))
    );
    let rest = served.get("/v1/segments?limit=2&after=de").fine();
    assert_eq!((of(&rest, "id"), &rest["next"]), (vec!["pro".into()], &Json::Null));
    let pro = served.get("/v1/segments/pro").fine();
    assert_eq!(
        (&pro["name"], &pro["size"], &pro["version"]),
        (&"Professionals".into(), &2.into(), &1.into())
    );
    assert_eq!(pro["definition"]["rules"]["op"], "eq");
    let users = served.get("/v1/segments/pro/users?limit=1").fine();
    assert_eq!((texts(&users["users"]), users["next"].as_str()), (vec!["u/4".into()], Some("u/4")));
    let users = served.get("/v1/segments/pro/users?limit=5&after=u%2F4").fine();
    assert_eq!((texts(&users["users"]), &users["next"]), (vec!["u1".into()], &Json::Null));
    let error = served.get("/v1/segments/prro").refused(404, "unknown_segment");
    assert!(error["message"].as_str().unwrap().contains("prro"), "{error}");
    served.get("/v1/segments/prro/users").refused(404, "unknown_segment");
    served.get("/v1/segments?limit=0").refused(400, "bad_request");
    served.get("/v1/segment").refused(404, "no_such_path");
    let wrong = served.ask("POST", "/v1/segments", &[], "");
    assert_eq!(wrong.headers["allow"], "GET,HEAD");
    wrong.refused(405, "method_not_allowed");
}

#[test]
fn the_past_is_as_it_was() {
    let (_place, served) = three_users();
    let at = |path: &str, after: i64| served.get(&format!("{path}?at={}", START + after));
    let of = |user: &str, after: i64| {
        texts(&at(&format!("/v1/users/{user}/segments"), after).fine()["segments"])
    };
    assert_eq!(of("u1", -1), [""; 0]);
    assert_eq!(of("u1", 0), ["pro"]);
    assert_eq!(of("u1", 30), ["both", "de", "pro"]);
    assert_eq!(of("u3", 39), ["pro"]);
    assert_eq!(of("u3", 40), [""; 0]);
    let then = at("/v1/segments/pro/users", 25).fine();
    assert_eq!((texts(&then["users"]), &then["size"]), (vec!["u1".into(), "u3".into()], &2.into()));
    at("/v1/users/u1/segments", 1_000_000_000).refused(409, "not_yet");
    let error = served.get("/v1/users/u1/segments?at=noon").refused(400, "bad_request");
    assert_eq!(error["path"], "at");
    let text = served.get("/v1/users/u1/segments?at=2026-01-01T00:00:00.030Z").fine();
    assert_eq!(texts(&text["segments"]).len(), 3);
}

#[test]
fn what_is_retained_no_longer_is_told() {
    let place = place(&format!("{JOB}differences = 100\n"));
    let served = Served::start(&place);
    let flips = (0..500).map(|it| sets("u1", it, "plan", if it % 2 == 0 { "pro" } else { "free" }));
    served.send(&flips.collect::<Vec<_>>());
    served.send(&[sets("last", 1_000, "plan", "pro")]);
    served.await_segments("last", &["pro"]);
    let gone = served.get(&format!("/v1/users/u1/segments?at={START}")).refused(410, "gone");
    assert!(gone["hint"].as_str().unwrap().contains("earliest"), "{gone}");
    served.get(&format!("/v1/diffs?since={START}")).refused(410, "gone");
    eventually("the recent past is there", || {
        let at = START + 498;
        let then = served.get(&format!("/v1/users/u1/segments?at={at}")).fine();
        texts(&then["segments"]) == ["pro"]
    });
}

#[test]
fn what_is_measured_can_be_read_by_prometheus() {
    let (_place, served) = three_users();
    served.send(&["nonsense".to_owned()]);
    let text = || match served.get("/metrics").fine() {
        Json::String(text) => text,
        other => panic!("{other}"),
    };
    eventually("the record is counted", || text().contains("rivulet_records_rejected_total 1\n"));
    let text = text();
    for line in [
        "rivulet_records_applied_total 6",
        "rivulet_differences_total 7",
        "# TYPE rivulet_lookup_seconds histogram",
        "# HELP rivulet_records_late Records that came too late",
        "rivulet_partition_clock_seconds{source=\"-\",partition=\"0\"} 1767225595.05",
        "rivulet_http_connections 1",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[test]
fn records_without_effect_are_told_with_their_reasons() {
    let place = place(JOB);
    let served = Served::start(&place);
    served.send(&[
        sets("u1", 100_000, "plan", "pro"),
        sets("u2", 1_000, "plan", "pro"),
        "no record".to_owned(),
        sets("u3", 100_001, "plan", "pro"),
    ]);
    served.await_segments("u3", &["pro"]);
    eventually("both are told", || {
        let [late, rejected] = ["late", "rejected"]
            .map(|kind| served.get(&format!("/v1/{kind}")).fine()[kind].clone());
        late.as_array().unwrap().len() + rejected.as_array().unwrap().len() == 2
    });
    let late = served.get("/v1/late?limit=1").fine()["late"][0].clone();
    assert_eq!(late["offset"], 1, "{late}");
    assert_eq!(late["late_by"], "94s", "{late}");
    assert!(late["record"].as_str().unwrap().contains("u2"), "{late}");
    let rejected = served.get("/v1/rejected").fine()["rejected"][0].clone();
    assert_eq!(rejected["record"], "no record", "{rejected}");
    assert!(rejected["reason"].as_str().unwrap().contains("JSON"), "{rejected}");
    served.get("/v1/late?limit=0").refused(400, "bad_request");
    assert_eq!(served.end(), Some(0));
}

//! What is asked across users: sizes and their history, drift, overlaps, estimates, explanations.

use serde_json::{Value as Json, json};

use crate::client::{JOB, START, Served, place, sets};
use crate::harness::eventually;

const MINUTE: i64 = 60_000;

/// An event of a user, so many milliseconds after the start.
fn buys(user: &str, after_ms: i64, amount: u32) -> String {
    let time = START + after_ms;
    format!(
        r#"{{"type":"track","userId":"{user}","event":"buy","timestamp":{time},"properties":{{"amount":{amount}}}}}"#
    )
}

fn estimate(served: &Served, query: &str, rules: &Json) -> Json {
    let body = json!({ "rules": rules }).to_string();
    served.ask("POST", &format!("/v1/estimate{query}"), &[], &body).fine()
}

#[test]
fn sizes_have_a_history_and_a_volatility() {
    let place = place(JOB);
    let served = Served::start(&place);
    served.send(&[
        sets("u1", 0, "plan", "pro"),
        sets("u2", 400, "plan", "pro"),
        sets("u1", 5_000, "plan", "free"),
        sets("u3", 90_000, "country", "DE"),
    ]);
    served.await_segments("u3", &["de"]);
    let answer = served.get("/v1/segments/pro/sizes").fine();
    let step = |from: i64, size: u32, entered: u32, left: u32| {
        let from = START + from;
        json!({"from": from, "until": from + 1_000, "size": size, "entered": entered, "left": left})
    };
    assert_eq!(answer["steps"], json!([step(0, 2, 2, 0), step(5_000, 1, 0, 1)]), "{answer}");
    assert_eq!((&answer["size"], &answer["segment"]), (&1.into(), &"pro".into()));
    let late = served.get(&format!("/v1/segments/pro/sizes?since={}", START + 2_000)).fine();
    assert_eq!(late["steps"], json!([step(5_000, 1, 0, 1)]));
    let pro = served.get("/v1/segments/pro?history=true").fine();
    assert_eq!(pro["history"], answer["steps"]);
    let volatility = &pro["volatility"];
    assert_eq!((&volatility["entered"], &volatility["left"]), (&2.into(), &1.into()));
    assert_eq!(volatility["share"], 3.0);
    assert_eq!(served.get("/v1/segments/pro").fine()["history"], Json::Null);
    served.get("/v1/segments/prro/sizes").refused(404, "unknown_segment");
    served.get("/v1/segments/pro/sizes?since=noon").refused(400, "bad_request");
}

#[test]
fn a_segment_that_doubles_drifts() {
    let place = place(JOB);
    let served = Served::start(&place);
    let drift = |id: &str| {
        let all = served.get("/v1/segments").fine();
        let found = all["segments"].as_array().unwrap().iter().find(|it| it["id"] == id);
        found.unwrap()["drift"].clone()
    };
    let users = |range: std::ops::Range<i64>, after: i64| {
        range.map(|user| sets(&format!("u{user}"), after, "plan", "pro")).collect::<Vec<_>>()
    };
    served.send(&users(0..60, 0));
    served.send(&[sets("clock", 30 * MINUTE, "country", "DE")]);
    served.await_segments("clock", &["de"]);
    assert_eq!(drift("pro"), Json::Null);
    served.send(&users(60..120, 31 * MINUTE));
    served.send(&[sets("later", 31 * MINUTE + 1, "country", "DE")]);
    served.await_segments("later", &["de"]);
    let found = drift("pro");
    assert_eq!(found["since"], START + 31 * MINUTE, "{found}");
    let (low, high) = (found["low"].as_u64().unwrap(), found["high"].as_u64().unwrap());
    assert!(low < 60 && 60 < high && high < 120, "{found}");
    assert_eq!(served.get("/v1/segments/pro").fine()["drift"], found);
    assert_eq!(drift("de"), Json::Null);
    eventually("it is measured", || match served.get("/metrics").fine() {
        Json::String(text) => {
            text.contains("rivulet_segments_drifting 1.0\n")
                && text.contains("rivulet_segment_drifting{segment=\"pro\"} 1.0")
        }
        other => panic!("{other}"),
    });
}

#[test]
fn segments_are_laid_over_one_another() {
    let place = place(JOB);
    let served = Served::start(&place);
    let mut records = Vec::new();
    for user in 0..30 {
        if user % 2 == 0 {
            records.push(sets(&format!("u{user}"), user, "plan", "pro"));
        }
        if user % 3 == 0 {
            records.push(sets(&format!("u{user}"), user, "country", "DE"));
        }
    }
    served.send(&records);
    served.await_segments("u28", &["pro"]);
    let answer = served.get("/v1/overlap?segments=pro,de").fine();
    let expected = json!([
        {"segments": ["pro"], "size": 15, "only": 10},
        {"segments": ["de"], "size": 10, "only": 5},
        {"segments": ["pro", "de"], "size": 5, "only": 5},
    ]);
    assert_eq!((&answer["intersections"], &answer["union"]), (&expected, &20.into()));
    let three = served.get("/v1/overlap?segments=pro,de,both").fine();
    assert_eq!(three["intersections"].as_array().unwrap().len(), 7);
    assert_eq!(
        three["intersections"][6],
        json!({
            "segments": ["pro", "de", "both"], "size": 5, "only": 5,
        })
    );
    let then = served.get(&format!("/v1/overlap?segments=pro,de&at={}", START + 9)).fine();
    assert_eq!((&then["union"], &then["as_of"]), (&7.into(), &(START + 9).into()));
    served.get("/v1/overlap?segments=pro").refused(400, "bad_request");
    served.get("/v1/overlap?segments=pro,pro").refused(400, "bad_request");
    served.get("/v1/overlap?segments=pro,none").refused(404, "unknown_segment");
}

#[test]
fn a_size_is_estimated_before_it_is_saved() {
    let place = place(JOB);
    place.write(
        "segments/buyers.json",
        r#"{"id":"buyers","rules":{"event":"buy","aggregate":"count","window":"10m","op":"gte","value":1}}"#,
    );
    let served = Served::start_with(&place, "--workers 2");
    let records: Vec<_> = (0..3_000)
        .map(|user| {
            sets(&format!("u{user}"), user, "plan", if user % 3 == 0 { "pro" } else { "free" })
        })
        .collect();
    served.send(&records);
    served.send(&[buys("u1", 3_000, 5), buys("u3", 3_001, 7), sets("last", 3_002, "plan", "pro")]);
    served.await_segments("last", &["pro"]);
    let pro = json!({"attribute": "plan", "op": "eq", "value": "pro"});
    let all = estimate(&served, "?sample=100000", &pro);
    let size = |it: &Json| it["size"].as_u64().unwrap();
    assert_eq!((size(&all), &all["low"], &all["high"]), (1_001, &1_001.into(), &1_001.into()));
    assert_eq!((&all["users"], &all["sampled"]), (&3_001.into(), &3_001.into()));
    assert_eq!((&all["recommended_sample"], &all["complete_from"]), (&Json::Null, &Json::Null));
    let some = estimate(&served, "?sample=600", &pro);
    let (low, high) = (some["low"].as_u64().unwrap(), some["high"].as_u64().unwrap());
    let sampled = some["sampled"].as_u64().unwrap();
    assert!((500..700).contains(&sampled) && low < size(&some) && size(&some) < high, "{some}");
    assert!((700..1_300).contains(&size(&some)), "{some}");
    // Too few matches are told, and more asked for.
    let few = estimate(&served, "?sample=30", &pro);
    assert!(few["recommended_sample"].as_u64() > few["sampled"].as_u64(), "{few}");
    // A segment, and what is kept for one, are known; what nobody has asked for is not.
    let both =
        json!({"operator": "AND", "conditions": [{"segment": "pro"}, {"segment": "buyers"}]});
    assert_eq!(size(&estimate(&served, "?sample=100000", &both)), 1);
    let shorter =
        json!({"event": "buy", "aggregate": "count", "window": "5m", "op": "gte", "value": 1});
    let shorter = estimate(&served, "?sample=100000", &shorter);
    assert_eq!((size(&shorter), &shorter["sees_after"]), (2, &Json::Null), "{shorter}");
    assert!(shorter["complete_from"].as_i64().unwrap() >= START + 5 * MINUTE, "{shorter}");
    let other =
        json!({"event": "visit", "aggregate": "count", "window": "5m", "op": "gte", "value": 1});
    let other = estimate(&served, "?sample=100000", &other);
    assert_eq!((size(&other), &other["sees_after"]), (0, &other["as_of"]), "{other}");
    let total = json!({"event": "visit", "aggregate": "count", "op": "gte", "value": 1});
    assert_eq!(estimate(&served, "", &total)["complete_from"], "never");
    // Nothing was saved, and what is wrong is told as where it is saved.
    assert_eq!(served.get("/v1/segments").fine()["segments"].as_array().unwrap().len(), 4);
    let wrong = json!({"rules": {"attribute": "plan", "op": "eqq", "value": "pro"}}).to_string();
    let error = served.ask("POST", "/v1/estimate", &[], &wrong).refused(422, "wrong_definition");
    assert_eq!(error["path"], "rules.op", "{error}");
    let unknown = json!({"rules": {"segment": "nowhere"}}).to_string();
    served.ask("POST", "/v1/estimate", &[], &unknown).refused(422, "refused");
    served.ask("POST", "/v1/estimate?sample=0", &[], &wrong).refused(400, "bad_request");
}

#[test]
fn a_membership_is_explained() {
    let place = place(JOB);
    place.write(
        "segments/spenders.json",
        r#"{"id":"spenders","rules":{"operator":"AND","conditions":[{"segment":"pro"},
        {"event":"buy","aggregate":"sum","property":"amount","window":"10m","op":"gt","value":10}]}}"#,
    );
    let served = Served::start_with(&place, "--workers 2");
    served.send(&[
        sets("u1", 0, "plan", "pro"),
        buys("u1", 1_000, 8),
        buys("u1", 2_000, 4),
        sets("u2", 3_000, "plan", "free"),
        sets("last", 4_000, "plan", "pro"),
    ]);
    served.await_segments("last", &["pro"]);
    let told = served.get("/v1/explain?user=u1&segment=spenders").fine();
    assert_eq!((&told["member"], &told["exists"]), (&true.into(), &true.into()), "{told}");
    assert_eq!(told["next_change"], START + 1_000 + 10 * MINUTE, "{told}");
    let both = &told["tree"]["children"][0]["children"];
    assert_eq!((&both[0]["what"], &both[0]["truth"]), (&"segment pro".into(), &true.into()));
    assert_eq!(both[0]["children"][0]["value"], "pro");
    assert_eq!(both[1]["what"], "buy sum(amount) over 10m gt 10");
    assert_eq!((&both[1]["value"], &both[1]["next"]), (&12.into(), &told["next_change"]));
    let other = served.get("/v1/explain?user=u2&segment=spenders").fine();
    assert_eq!((&other["member"], &other["next_change"]), (&false.into(), &Json::Null), "{other}");
    served.get("/v1/explain?user=nobody&segment=spenders").refused(404, "unknown_user");
    served.get("/v1/explain?user=u1&segment=nowhere").refused(404, "unknown_segment");
    served.get("/v1/explain?user=u1").refused(400, "bad_request");
    assert_eq!(served.end(), Some(0));
}

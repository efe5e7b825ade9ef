//! What explanations say, in words and as JSON.

use super::*;
use crate::model::Path;
use crate::oracle::world::*;
use crate::rule::Comparison::*;
use crate::rule::Measure::Sum;
use crate::rule::Rule;

fn shop() -> World {
    world()
        .segment("spender", amount(Sum, 600_000, Gt(value("100"))))
        .segment("us", attribute("country", Eq(value("\"US\""))))
        .segment("trial", held("stage", Eq(value("\"trial\"")), 1_000_000))
        .segment("target", Rule::All(vec![refer("us"), refer("spender"), not(refer("trial"))]))
        .set(0, "u1", r#"{"country":"US","stage":"trial"}"#)
        .event(60_000, "u1", "buy", r#"{"amount":80}"#)
        .event(120_000, "u1", "buy", r#"{"amount":40}"#)
}

#[test]
fn draws_the_tree_with_values_and_the_next_instants() {
    let world = shop();
    let told = explain(&world.log(), "u1", "target", 120_000).unwrap();
    let expected = "\
✓ a member at 1970-01-01T00:02:00.000Z until 1970-01-01T00:11:00.000Z
└─ ✓ segment target until 1970-01-01T00:11:00.000Z
   └─ ✓ all of until 1970-01-01T00:11:00.000Z
      ├─ ✓ segment us
      │  └─ ✓ country eq \"US\" = \"US\"
      ├─ ✓ segment spender until 1970-01-01T00:11:00.000Z
      │  └─ ✓ buy sum(amount) over 10m gt 100 = 120 until 1970-01-01T00:11:00.000Z
      └─ ✓ not until 1970-01-01T00:16:40.000Z
         └─ ✗ segment trial until 1970-01-01T00:16:40.000Z
            └─ ✗ stage eq \"trial\" held 1000s = \"trial\" until 1970-01-01T00:16:40.000Z
";
    assert_eq!(told.to_string(), expected);
    assert_eq!((told.member, told.exists, told.next_change), (true, true, Some(660_000)));
}

#[test]
fn what_comes_later_is_left_out_of_account() {
    let world = shop().put(100_000, "us", not(Rule::Everyone));
    let told = explain(&world.log(), "u1", "spender", 60_000).unwrap();
    assert_eq!((told.member, told.next_change), (false, None));
    assert!(explain(&world.log(), "u1", "us", 99_999).unwrap().member);
    assert!(!explain(&world.log(), "u1", "us", 100_000).unwrap().member);
    assert_eq!(explain(&world.log(), "u1", "us_", 0), None);
    let world = shop().drop(100_000, "target");
    assert!(explain(&world.log(), "u1", "target", 99_999).is_some());
    assert_eq!(explain(&world.log(), "u1", "target", 100_000), None);
}

#[test]
fn a_user_that_does_not_exist_is_in_nothing() {
    let world = shop().delete(130_000, "u1");
    for (user, at) in [("u1", -1), ("u1", 130_000), ("u2", 120_000)] {
        let told = explain(&world.log(), user, "trial", at).unwrap();
        assert!(!told.member && !told.exists && told.next_change.is_none(), "{user} at {at}");
        assert!(told.to_string().contains("no such user"), "{told}");
    }
}

#[test]
fn mismatches_are_shown() {
    let world = shop().event(130_000, "u1", "buy", r#"{"amount":"x"}"#);
    let node = |at| {
        let told = explain(&world.log(), "u1", "spender", at).unwrap();
        told.tree.children.into_iter().next().unwrap()
    };
    assert!(!node(129_999).mismatch);
    assert!(node(130_000).mismatch);
    assert!(!node(730_000).mismatch, "it has left the window");
}

#[test]
fn values_are_plain_json() {
    let told = explain(&shop().log(), "u1", "spender", 120_000).unwrap();
    let json = serde_json::to_value(&told).unwrap();
    assert_eq!(json["tree"]["children"][0]["value"].to_string(), "120");
    assert_eq!(json["tree"]["value"], serde_json::Value::Null);
    assert_eq!(json["next_change"], 660_000);
}

#[test]
fn conditions_read_as_they_are_written() {
    let said = |rule: Rule, words: &str| assert_eq!(of_rule(&rule), words);
    let eur = named_where("shop.*", "cur", Eq(value("\"EUR\"")));
    let total = aggregate(eur, Sum(Path::new("a.b")), 0, In(vec![value("1"), value("2")]));
    said(total, "shop.* where cur eq \"EUR\" sum(a.b) in [1,2]");
    said(count("x", 1, IsNull), "x count over 1ms is_null");
    said(sequence(&["a", "b*"], 10_000, DAY), "sequence a → b* within 10s window 1d");
    said(attribute("at", WithinLast(ms(30 * DAY))), "at within_last 30d");
    said(attribute("at", Before(0)), "at before 1970-01-01T00:00:00.000Z");
    let sample = crate::rule::Sample { key: "k".into(), from: 100_000, size: 5_000 };
    said(Rule::Sample(sample), "sample k 0.5000 % from 10 %");
}

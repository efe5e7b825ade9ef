//! Users, attributes, time, sequences, references.

use super::one;
use crate::model::record::sample_place;
use crate::oracle::world::*;
use crate::rule::Comparison::*;
use crate::rule::{Rule, Sample};

// Users and attributes

#[test]
fn attributes_go_to_the_last_writer_by_time_then_partition_then_offset() {
    let log = world().segment("s", attribute("a", Eq(one())));
    log.clone().set(5, "u", r#"{"a":2}"#).set(4, "u", r#"{"a":1}"#).gives(&["4 + s u", "5 - s u"]);
    log.clone()
        .partition(1)
        .set(5, "u", r#"{"a":1}"#)
        .partition(0)
        .set(5, "u", r#"{"a":2}"#)
        .gives(&["5 + s u"]);
    log.set(5, "u", r#"{"a":2}"#).set(5, "u", r#"{"a":1}"#).gives(&["5 + s u"]);
}

#[test]
fn null_is_as_never_set_and_empty_text_is_present() {
    let log = world()
        .segment("neq", attribute("a", Neq(one())))
        .segment("not_eq", not(attribute("a", Eq(one()))))
        .segment("null", attribute("a", IsNull));
    log.set(1, "u", r#"{"a":null}"#).set(2, "u", r#"{"a":""}"#).set(3, "u", r#"{"a":null}"#).gives(
        &["1 + not_eq u", "1 + null u", "2 + neq u", "2 - null u", "3 - neq u", "3 + null u"],
    );
}

#[test]
fn dotted_paths_prefer_the_literal_name_unless_it_is_null() {
    let log = world().segment("s", attribute("p.city", Eq(value("\"x\""))));
    log.set(1, "u", r#"{"p":{"city":"x"}}"#)
        .set(2, "u", r#"{"p.city":"y"}"#)
        .set(3, "u", r#"{"p.city":null}"#)
        .set(4, "u", r#"{"p":7}"#)
        .gives(&["1 + s u", "2 - s u", "3 + s u", "4 - s u"]);
}

#[test]
fn deletion_takes_the_user_out_of_everything_and_creation_begins_anew() {
    let log = world()
        .segment("all", Rule::Everyone)
        .segment("bought", count("buy", 100, Gte(one())))
        .segment("null", attribute("a", IsNull));
    log.event(1, "u", "buy", "{}")
        .set(1, "u", r#"{"a":1}"#)
        .delete(5, "u")
        .delete(6, "u")
        .event(8, "u", "view", "{}")
        .delete(3, "nobody")
        .gives(&[
            "1 + all u",
            "1 + bought u",
            "5 - all u",
            "5 - bought u",
            "8 + all u",
            "8 + null u",
        ]);
}

#[test]
fn deletion_and_creation_in_one_millisecond_are_one_change() {
    let log = world()
        .segment("all", Rule::Everyone)
        .segment("bought", count("buy", 100, Gte(one())))
        .segment("new", attribute("a", Eq(one())));
    log.clone().event(1, "u", "buy", "{}").delete(5, "u").set(5, "u", r#"{"a":1}"#).gives(&[
        "1 + all u",
        "1 + bought u",
        "5 - bought u",
        "5 + new u",
    ]);
    // In the other order the user is gone; and one that came and went at once never was.
    log.event(1, "u", "buy", "{}")
        .set(5, "u", r#"{"a":1}"#)
        .delete(5, "u")
        .event(7, "v", "buy", "{}")
        .delete(7, "v")
        .gives(&["1 + all u", "1 + bought u", "5 - all u", "5 - bought u"]);
}

#[test]
fn nothing_is_true_of_users_that_do_not_exist() {
    let log = world()
        .segment("all", Rule::All(vec![]))
        .segment("any", Rule::Any(vec![]))
        .segment("listed", Rule::Members(["u".into(), "w".into()].into()))
        .segment("not_listed", not(refer("listed")));
    log.event(3, "u", "x", "{}").event(4, "v", "x", "{}").gives(&[
        "3 + all u",
        "3 + listed u",
        "4 + all v",
        "4 + not_listed v",
    ]);
}

#[test]
fn a_sample_is_half_open() {
    let place = sample_place("k", "u");
    let sample = |from, size| Rule::Sample(Sample { key: "k".into(), from, size });
    let log = |rule| world().segment("s", rule).event(1, "u", "x", "{}");
    log(sample(place, 1)).gives(&["1 + s u"]);
    log(sample(place + 1, 10)).gives(&[]);
    log(sample(place - 1, 1)).gives(&[]);
    log(sample(place, 0)).gives(&[]);
    log(sample(0, 1_000_000)).gives(&["1 + s u"]);
}

// Time

#[test]
fn within_last_and_next_become_false_and_true_by_themselves() {
    let log = world()
        .segment("last", attribute("at", WithinLast(ms(10))))
        .segment("next", attribute("at", WithinNext(ms(10))));
    log.set(1, "u", r#"{"at":100}"#).gives(&[
        "90 + next u",
        "100 + last u",
        "100 - next u",
        "110 - last u",
    ]);
}

#[test]
fn held_counts_from_the_last_change_of_the_value() {
    let trial = held("stage", Eq(value("\"trial\"")), 10);
    let log = world().segment("s", trial);
    // Setting the same value again does not start anew; another value in between does.
    log.clone()
        .set(1, "u", r#"{"stage":"trial"}"#)
        .set(5, "u", r#"{"stage":"trial"}"#)
        .set(20, "u", r#"{"stage":"paid"}"#)
        .set(21, "u", r#"{"stage":"trial"}"#)
        .gives(&["11 + s u", "20 - s u", "31 + s u"]);
    // Within one millisecond only the end counts.
    log.clone()
        .set(1, "u", r#"{"stage":"trial"}"#)
        .set(5, "u", r#"{"stage":"paid"}"#)
        .set(5, "u", r#"{"stage":"trial"}"#)
        .gives(&["11 + s u"]);
    // One millisecond short.
    log.set(1, "u", r#"{"stage":"trial"}"#).set(10, "u", r#"{"stage":"paid"}"#).gives(&[]);
}

#[test]
fn an_absence_is_held_since_the_user_exists() {
    let log = world().segment("s", held("stage", IsNull, 10));
    log.event(1, "u", "x", "{}")
        .set(3, "u", r#"{"stage":null}"#)
        .delete(20, "u")
        .event(20, "u", "x", "{}")
        .gives(&["11 + s u", "20 - s u", "30 + s u"]);
}

#[test]
fn held_beside_a_timed_test_needs_both() {
    let log = world().segment("s", held("at", WithinLast(ms(10)), 5));
    log.clone().set(100, "u", r#"{"at":100}"#).gives(&["105 + s u", "110 - s u"]);
    log.set(106, "u", r#"{"at":100}"#).gives(&[]);
}

// Sequences

#[test]
fn steps_need_strictly_increasing_times() {
    let log = world().segment("s", sequence(&["a", "b"], 10, 5));
    log.clone().event(1, "u", "a", "{}").event(1, "u", "b", "{}").gives(&[]);
    log.clone().event(1, "u", "b", "{}").event(2, "u", "a", "{}").gives(&[]);
    let done = ["2 + s u", "7 - s u"];
    log.event(1, "u", "a", "{}").event(2, "u", "b", "{}").gives(&done);
    // One event cannot be two steps.
    let same = world().segment("s", sequence(&["a", "a"], 10, 5)).event(1, "u", "a", "{}");
    same.clone().event(1, "u", "a", "{}").gives(&[]);
    same.event(2, "u", "a", "{}").gives(&done);
}

#[test]
fn the_whole_may_take_exactly_so_long() {
    let log = world().segment("s", sequence(&["a", "b", "c"], 10, 5));
    let begun = log.event(1, "u", "a", "{}").event(4, "u", "b", "{}");
    begun.clone().event(11, "u", "c", "{}").gives(&["11 + s u", "16 - s u"]);
    begun.clone().event(12, "u", "c", "{}").gives(&[]);
    // A later beginning does not help if the middle was before it.
    begun.clone().event(6, "u", "a", "{}").event(12, "u", "c", "{}").gives(&[]);
    let again = begun.event(6, "u", "a", "{}").event(7, "u", "b", "{}");
    again.event(12, "u", "c", "{}").gives(&["12 + s u", "17 - s u"]);
}

#[test]
fn a_sequence_completed_again_lasts_longer() {
    let log = world().segment("s", sequence(&["a", "b*"], 10, 5));
    log.event(1, "u", "a", "{}")
        .event(2, "u", "b1", "{}")
        .event(6, "u", "b2", "{}")
        .gives(&["2 + s u", "11 - s u"]);
}

// References

#[test]
fn all_layers_change_at_the_same_instant() {
    let log = world()
        .segment("a", count("buy", 10, Gte(one())))
        .segment("b", not(refer("a")))
        .segment("c", Rule::All(vec![refer("b"), not(refer("a"))]))
        .segment("d", Rule::Any(vec![refer("c"), refer("a")]));
    log.event(1, "u", "view", "{}").event(5, "u", "buy", "{}").gives(&[
        "1 + b u", "1 + c u", "1 + d u", "5 + a u", "5 - b u", "5 - c u", "15 - a u", "15 + b u",
        "15 + c u",
    ]);
}

//! Lateness, copies, changes of definitions, and the order of it all.

use super::one;
use crate::oracle::world::*;
use crate::rule::Comparison::*;
use crate::rule::Rule;

// Clocks and copies

#[test]
fn exactly_at_the_clock_is_not_late() {
    let log = world().disorder(5).segment("s", count("buy", 1, Gte(one())));
    let log = log.event(100, "u", "view", "{}");
    let on_time = log.clone().event(95, "u", "buy", "{}");
    on_time.gives(&["95 + s u", "96 - s u"]);
    assert_eq!((on_time.answer().applied, on_time.answer().late), (2, 0));
    let late = log.clone().event(94, "u", "buy", "{}");
    late.gives(&[]);
    assert_eq!((late.answer().applied, late.answer().late), (1, 1));
    // Another partition has its own clock, and a record without a time takes its own partition's.
    log.clone().partition(1).event(3, "u", "buy", "{}").gives(&["3 + s u", "4 - s u"]);
    log.event(0, "u", "buy", "{}").timeless().gives(&["95 + s u", "96 - s u"]);
}

#[test]
fn a_copy_within_the_horizon_has_no_effect() {
    let log = world().horizon(10).segment("s", count("buy", 0, Gte(value("2"))));
    let first = log.event(100, "u", "buy", "{}").id("x");
    let copy = first.clone().partition(1).event(110, "u", "buy", "{}").id("x");
    copy.gives(&[]);
    assert_eq!((copy.answer().applied, copy.answer().duplicate), (1, 1));
    first.clone().event(111, "u", "buy", "{}").id("x").gives(&["111 + s u"]);
    first.clone().event(100, "u", "buy", "{}").id("y").gives(&["100 + s u"]);
    // A copy does not prolong the horizon: 111 is within 10 of the copy, not of what was applied.
    copy.event(111, "u", "buy", "{}").id("x").gives(&["111 + s u"]);
    // The earlier by event time is the one that counts, whatever came first.
    first.event(95, "v", "buy", "{}").id("x").event(96, "v", "buy", "{}").gives(&["96 + s v"]);
}

#[test]
fn a_deletion_does_not_make_copies_count_again() {
    let log = world().horizon(50).segment("s", count("buy", 0, Gte(one())));
    let log = log.event(1, "u", "buy", "{}").id("x").delete(2, "u");
    let copied = log.event(3, "u", "buy", "{}").id("x");
    copied.gives(&["1 + s u", "2 - s u"]);
    assert_eq!(copied.answer().duplicate, 1);
}

#[test]
fn a_late_record_is_never_a_copy() {
    let log = world().disorder(5).horizon(50).segment("s", Rule::Everyone);
    let log = log.event(100, "u", "x", "{}").id("a").event(90, "u", "x", "{}").id("a");
    let answer = log.answer();
    assert_eq!((answer.applied, answer.late, answer.duplicate), (1, 1, 0));
}

// Changes of definitions

#[test]
fn a_replaced_definition_carries_members_from_the_old_to_the_new() {
    let log = world()
        .segment("s", attribute("a", Eq(one())))
        .put(10, "s", attribute("a", Gte(value("0"))))
        .put(20, "s", count("buy", 100, Gte(one())));
    log.set(1, "u", r#"{"a":1}"#)
        .set(1, "v", r#"{"a":0}"#)
        .event(2, "v", "buy", "{}")
        .event(30, "u", "buy", "{}")
        .gives(&["1 + s u", "10 + s v", "20 - s u", "30 + s u", "102 - s v", "130 - s u"]);
}

#[test]
fn a_deleted_definition_retracts_its_members_and_a_new_one_takes_in_its_own() {
    let log = world().segment("s", Rule::Everyone).put(5, "t", not(refer("s"))).drop(9, "t");
    log.put(9, "t", refer("s"))
        .drop(12, "t")
        .event(1, "u", "x", "{}")
        .gives(&["1 + s u", "9 + t u", "12 - t u"]);
}

#[test]
fn edits_of_one_time_take_effect_together_with_the_records_of_that_time() {
    let log = world().segment("s", attribute("a", Eq(one()))).drop(5, "s");
    let log = log.put(5, "s", attribute("a", Eq(value("2"))));
    log.set(1, "u", r#"{"a":1}"#).set(5, "u", r#"{"a":2}"#).gives(&["1 + s u"]);
}

#[test]
fn retain_limits_how_far_back_a_new_condition_sees() {
    let seen = |time| {
        let log = world().retain(10).put(100, "s", count("buy", 50, Gte(one())));
        log.event(time, "u", "buy", "{}")
    };
    seen(90).gives(&[]);
    seen(91).gives(&["100 + s u", "141 - s u"]);
    let back = |a, b| {
        let log = world().retain(10).put(100, "s", sequence(&["a", "b"], 50, 50));
        log.event(a, "u", "a", "{}").event(b, "u", "b", "{}")
    };
    back(90, 95).gives(&[]);
    back(91, 95).gives(&["100 + s u", "145 - s u"]);
}

#[test]
fn retain_does_not_limit_what_was_being_kept_already() {
    let bought = |least| count("buy", 50, Gte(value(least)));
    let event = |world: World| world.event(60, "u", "buy", "{}");
    // Another segment keeps the same aggregate, with another comparison.
    let log = world().retain(10).segment("r", bought("2")).put(100, "s", bought("1"));
    event(log).gives(&["100 + s u", "110 - s u"]);
    // It was kept until 90, which touches 100 - 10; until 89 does not.
    let log = |end| {
        let kept = world().retain(10).segment("r", bought("2")).drop(end, "r");
        event(kept.put(100, "s", bought("1")))
    };
    log(90).gives(&["100 + s u", "110 - s u"]);
    log(89).gives(&[]);
    // Another window is another aggregate.
    let other = world().retain(10).segment("r", count("buy", 51, Gte(value("2"))));
    event(other.put(100, "s", bought("1"))).gives(&[]);
    // Initial definitions see everything.
    event(world().retain(10).segment("s", bought("1"))).gives(&["60 + s u", "110 - s u"]);
}

#[test]
fn attributes_are_kept_whatever_is_retained() {
    let log = world().retain(1).put(100, "s", held("a", Eq(one()), 60));
    log.set(50, "u", r#"{"a":1}"#).gives(&["110 + s u"]);
}

// The whole

#[test]
fn differences_are_in_bytewise_order() {
    let log = world().segment("b", Rule::Everyone).segment("B", Rule::Everyone);
    log.event(1, "é", "x", "{}")
        .event(1, "z", "x", "{}")
        .event(0, "y", "x", "{}")
        .gives(&["0 + B y", "0 + b y", "1 + B z", "1 + B é", "1 + b z", "1 + b é"]);
}

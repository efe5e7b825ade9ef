//! Small logs with answers worked out by hand: every edge of what answers mean.

use super::world::*;
use crate::model::Path;
use crate::model::record::sample_place;
use crate::rule::Comparison::*;
use crate::rule::Measure::*;
use crate::rule::{Rule, Sample};

fn one() -> crate::model::Value {
    value("1")
}

// Windows

#[test]
fn an_event_leaves_exactly_one_window_after_it_came() {
    let spend = amount(Sum, 600, Gt(value("100")));
    world()
        .segment("s", spend)
        .event(60, "u", "buy", r#"{"amount":60.5}"#)
        .event(100, "u", "buy", r#"{"amount":39.6}"#)
        .gives(&["100 + s u", "660 - s u"]);
    // An event exactly one window later does not meet the first; one millisecond earlier it does.
    let twice = count("buy", 600, Gte(value("2")));
    let log = world().segment("s", twice).event(60, "u", "buy", "{}");
    log.clone().event(660, "u", "buy", "{}").gives(&[]);
    log.event(659, "u", "buy", "{}").gives(&["659 + s u", "660 - s u"]);
}

#[test]
fn a_window_of_one_millisecond_is_one_millisecond_long() {
    world()
        .segment("s", count("buy", 1, Gte(one())))
        .event(5, "u", "buy", "{}")
        .event(6, "u", "buy", "{}")
        .gives(&["5 + s u", "7 - s u"]);
}

#[test]
fn only_windows_longer_than_a_day_leave_at_the_granularity() {
    let long = world().segment("s", count("buy", DAY + 1, Gte(one())));
    let end = (DAY + 60_000).to_string();
    long.event(7, "u", "buy", "{}").gives(&["7 + s u", &format!("{end} - s u")]);
    let day = world().segment("s", count("buy", DAY, Gte(one())));
    day.event(7, "u", "buy", "{}").gives(&["7 + s u", &format!("{} - s u", DAY + 7)]);
}

#[test]
fn without_a_window_events_count_for_ever() {
    world()
        .segment("s", count("buy", 0, Gte(one())))
        .event(5, "u", "buy", "{}")
        .gives(&["5 + s u"]);
}

#[test]
fn an_enter_and_a_leave_in_one_millisecond_cancel() {
    // At 660 the first leaves and the next comes: it stays at one purchase all along.
    world()
        .segment("s", count("buy", 600, Eq(one())))
        .event(60, "u", "buy", "{}")
        .event(660, "u", "buy", "{}")
        .gives(&["60 + s u", "1260 - s u"]);
    // Two in one millisecond are never seen as one.
    world()
        .segment("s", count("buy", 600, Eq(one())))
        .event(60, "u", "buy", "{}")
        .event(60, "u", "buy", "{}")
        .gives(&[]);
    world()
        .segment("s", attribute("a", Eq(one())))
        .set(5, "u", r#"{"a":1}"#)
        .set(5, "u", r#"{"a":2}"#)
        .gives(&[]);
}

#[test]
fn windows_empty_beyond_the_last_year_of_the_calendar() {
    let last = crate::model::time::MAX_TIME;
    let gone = format!("{} - s u", last + 10);
    world()
        .segment("s", count("buy", 10, Gte(one())))
        .event(last, "u", "buy", "{}")
        .gives(&[&format!("{last} + s u"), &gone]);
}

// Aggregates

#[test]
fn over_nothing_only_count_sum_and_distinct_are_zero() {
    let zero = || Eq(value("0"));
    let log = world()
        .segment("avg", amount(Avg, 0, zero()))
        .segment("avg_null", amount(Avg, 0, IsNull))
        .segment("count", count("buy", 0, zero()))
        .segment("distinct", amount(Distinct, 0, zero()))
        .segment("first", amount(First, 0, Neq(one())))
        .segment("max", amount(Max, 0, zero()))
        .segment("min", amount(Min, 0, zero()))
        .segment("sum", amount(Sum, 0, zero()));
    let all = ["1 + avg_null u", "1 + count u", "1 + distinct u", "1 + sum u"];
    log.event(1, "u", "other", "{}").gives(&all);
}

#[test]
fn what_lacks_its_property_is_counted_but_not_added() {
    let log = world()
        .segment("avg", amount(Avg, 0, Eq(value("2"))))
        .segment("count", count("buy", 0, Eq(value("5"))))
        .segment("distinct", amount(Distinct, 0, Eq(value("3"))))
        .segment("last", amount(Last, 0, Eq(value("\"x\""))))
        .segment("sum", amount(Sum, 0, Eq(value("4"))));
    log.event(1, "u", "buy", r#"{"amount":1}"#)
        .event(1, "u", "buy", r#"{"amount":3}"#)
        .event(1, "u", "buy", r#"{"amount":"x"}"#)
        .event(1, "u", "buy", r#"{"amount":null}"#)
        .event(1, "u", "buy", "{}")
        .gives(&["1 + avg u", "1 + count u", "1 + distinct u", "1 + last u", "1 + sum u"]);
}

#[test]
fn a_mean_compares_exactly() {
    let log = |comparison| {
        ["1", "1", "0"]
            .into_iter()
            .fold(world().segment("s", amount(Avg, 0, comparison)), |w, a| {
                w.event(1, "u", "buy", &format!("{{\"amount\":{a}}}"))
            })
    };
    log(Gt(value("0.666666"))).gives(&["1 + s u"]);
    log(Lt(value("0.666667"))).gives(&["1 + s u"]);
    log(Eq(value("0.666667"))).gives(&[]);
    log(Between(value("0.6"), value("0.7"))).gives(&["1 + s u"]);
    log(NotIn(vec![value("0.666667")])).gives(&["1 + s u"]);
    log(IsNotNull).gives(&["1 + s u"]);
}

#[test]
fn amounts_are_rounded_half_to_even_one_by_one() {
    let log = world().segment("s", amount(Sum, 0, Eq(value("0.000002"))));
    log.event(1, "u", "buy", r#"{"amount":0.0000005}"#)
        .event(1, "u", "buy", r#"{"amount":0.0000015}"#)
        .event(2, "u", "buy", r#"{"amount":1e21}"#)
        .gives(&["1 + s u"]);
}

#[test]
fn least_and_greatest_follow_the_window() {
    let log = world()
        .segment("max", amount(Max, 10, Gte(value("5"))))
        .segment("min", amount(Min, 10, Lt(value("5"))));
    log.event(1, "u", "buy", r#"{"amount":7}"#).event(3, "u", "buy", r#"{"amount":-2}"#).gives(&[
        "1 + max u",
        "3 + min u",
        "11 - max u",
        "13 - min u",
    ]);
}

#[test]
fn different_values_are_counted_within_the_window() {
    let log = world().segment("s", amount(Distinct, 10, Gte(value("2"))));
    // 1 and 1.0 are one number. At 11 the first 1 leaves, the second is still there.
    log.event(1, "u", "buy", r#"{"amount":1}"#)
        .event(4, "u", "buy", r#"{"amount":"1"}"#)
        .event(6, "u", "buy", r#"{"amount":1.0}"#)
        .gives(&["4 + s u", "14 - s u"]);
}

#[test]
fn first_and_last_go_by_time_then_partition_then_offset() {
    let log = world()
        .segment("first", amount(First, 0, Eq(value("\"a\""))))
        .segment("last", amount(Last, 0, Eq(value("\"d\""))));
    log.partition(1)
        .event(5, "u", "buy", r#"{"amount":"c"}"#)
        .event(5, "u", "buy", r#"{"amount":"d"}"#)
        .partition(0)
        .event(5, "u", "buy", r#"{"amount":"b"}"#)
        .event(4, "u", "buy", r#"{"amount":"a"}"#)
        .gives(&["4 + first u", "5 + last u"]);
}

#[test]
fn names_may_be_prefixes_and_properties_may_be_asked_for() {
    let eur = named_where("shop.*", "cart.currency", Eq(value("\"EUR\"")));
    let log = world().segment("s", aggregate(eur, Count, 0, Eq(one())));
    log.event(1, "u", "shop", r#"{"cart":{"currency":"EUR"}}"#)
        .event(2, "u", "shop.pay", r#"{"cart":{"currency":"USD"}}"#)
        .event(3, "u", "shop.pay", r#"{"cart.currency":"EUR"}"#)
        .event(4, "u", "shop.x", r#"{"cart":{"currency":"EUR"}}"#)
        .gives(&["3 + s u", "4 - s u"]);
}

#[test]
fn not_having_done_something_holds_for_those_who_exist() {
    let log = world().segment("s", count("buy", 10, Eq(value("0"))));
    log.event(5, "u", "view", "{}")
        .event(7, "u", "buy", "{}")
        .event(7, "v", "buy", "{}")
        .gives(&["5 + s u", "7 - s u", "17 + s u", "17 + s v"]);
}

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

#[test]
fn a_property_path_may_reach_into_objects() {
    let total = aggregate(named("buy"), Sum(Path::new("cart.total")), 0, Eq(value("3")));
    let log = world().segment("s", total);
    log.event(1, "u", "buy", r#"{"cart":{"total":1}}"#)
        .event(2, "u", "buy", r#"{"cart.total":2}"#)
        .gives(&["2 + s u"]);
}

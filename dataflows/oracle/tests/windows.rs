//! Trailing windows and what is computed over them.

use super::one;
use crate::model::Path;
use crate::oracle::world::*;
use crate::rule::Comparison::*;
use crate::rule::Measure::*;

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

#[test]
fn a_property_path_may_reach_into_objects() {
    let total = aggregate(named("buy"), Sum(Path::new("cart.total")), 0, Eq(value("3")));
    let log = world().segment("s", total);
    log.event(1, "u", "buy", r#"{"cart":{"total":1}}"#)
        .event(2, "u", "buy", r#"{"cart.total":2}"#)
        .gives(&["2 + s u"]);
}

//! The view against differences laid one over the other.

use std::collections::BTreeSet;

use dataflows::model::Sign;
use proptest::prelude::*;

use super::past::NoPast;
use super::*;

mod kept;

fn difference(time: EventTime, segment: &str, user: &str, sign: Sign) -> Difference {
    Difference { time, segment: segment.into(), user: user.into(), sign }
}

fn entered(time: EventTime, segment: &str, user: &str) -> Difference {
    difference(time, segment, user, Sign::Entered)
}

fn left(time: EventTime, segment: &str, user: &str) -> Difference {
    difference(time, segment, user, Sign::Left)
}

fn texts(names: &[Arc<str>]) -> Vec<&str> {
    names.iter().map(|it| &**it).collect()
}

fn page(after: Option<&str>, limit: usize) -> Page {
    Page::new(after, limit)
}

fn everyone(id: &str) -> InForce {
    let json = serde_json::json!({"id": id, "rules": {"everyone": true}});
    let definition = Arc::new(dataflows::rule::parse::definition(&json).unwrap());
    InForce { definition, since: None, complete_from: None }
}

#[test]
fn what_has_come_is_seen_once_its_time_is_over() {
    let view = View::new(100);
    view.take(&[entered(5, "b", "u"), entered(5, "a", "u")]);
    assert_eq!(view.segments_of("u"), AsOf { time: None, answer: Vec::new() });
    view.advance(5);
    assert_eq!(view.segments_of("u"), AsOf { time: Some(4), answer: Vec::new() });
    view.advance(6);
    let both = view.segments_of("u");
    assert_eq!((both.time, texts(&both.answer)), (Some(5), vec!["a", "b"]));
    view.take(&[left(9, "a", "u"), left(9, "b", "u")]);
    view.advance(20);
    assert_eq!(view.segments_of("u"), AsOf { time: Some(19), answer: Vec::new() });
    assert_eq!(texts(&view.segments_at("u", 8).unwrap()), ["a", "b"]);
    assert_eq!(view.segments_at("u", 20), Err(NoPast::NotYet(Some(19))));
}

#[test]
fn users_come_page_by_page_in_bytewise_order() {
    let view = View::new(100);
    view.define(everyone("s"));
    assert!(view.segment("t").is_none());
    let mut all: Vec<_> = ["b", "a", "é", "B", "c"].map(|user| entered(1, "s", user)).into();
    all.sort();
    view.take(&all);
    view.advance(2);
    let segment = view.segment("s").unwrap();
    let first = view.users_of(&segment, &page(None, 2));
    assert_eq!((first.time, texts(&first.answer)), (Some(1), vec!["B", "a"]));
    let next = view.users_of(&segment, &page(Some("a"), 5));
    assert_eq!(texts(&next.answer), ["b", "c", "é"]);
    assert_eq!(segment.size(), 5);
    view.undefine("s");
    assert!(view.segment("s").is_none());
}

#[test]
fn a_restart_knows_who_was_in_but_not_since_when() {
    let view = View::new(100);
    view.go_on_from(100);
    view.take(&[entered(99, "s", "u")]);
    view.advance(100);
    assert!(!view.is_ready());
    assert_eq!(texts(&view.segments_of("u").answer), ["s"]);
    view.take(&[left(100, "s", "u"), entered(100, "s", "v")]);
    view.caught_up(103);
    view.advance(101);
    assert!(!view.is_ready());
    view.advance(103);
    assert!(view.is_ready());
    assert_eq!(texts(&view.segments_at("u", 99).unwrap()), ["s"]);
    assert_eq!(view.segments_at("u", 98), Err(NoPast::Gone(99)));
    let (news, place) = view.differences_after(Place::after(99)).unwrap();
    assert_eq!(news.iter().map(|it| &*it.user).collect::<Vec<_>>(), ["u", "v"]);
    assert_eq!(place, Place { time: 100, number: 2 });
    assert_eq!(view.differences_after(place), Ok((Vec::new(), place)));
    assert_eq!(view.differences_after(Place::after(5)), Err(Gone(Place::after(99))));
}

#[test]
fn who_reads_too_slowly_is_told_where_it_goes_on() {
    let view = View::new(100);
    let mut place = view.newest();
    for time in 1..=1_000 {
        view.take(&[entered(time, "s", &format!("u{time}"))]);
        view.advance(time + 1);
        if time == 50 {
            place = view.differences_after(place).unwrap().1;
        }
    }
    assert_eq!(place, Place { time: 50, number: 1 });
    let Err(Gone(floor)) = view.differences_after(place) else { panic!("it is retained") };
    assert!((800..=900).contains(&floor.time), "{floor:?}");
    let (rest, last) = view.differences_after(floor).unwrap();
    assert_eq!(last.time, 1_000);
    assert_eq!(rest.len(), usize::try_from(1_000 - floor.time).unwrap());
}

#[test]
fn what_a_restart_knows_is_no_history() {
    let view = View::new(100);
    view.define(everyone("s"));
    view.go_on_from(100);
    view.take(&[entered(99, "s", "u"), entered(99, "s", "v")]);
    view.advance(100);
    let segment = view.segment("s").unwrap();
    assert!(segment.sizes_since(0).is_empty());
    view.take(&[left(2_500, "s", "u")]);
    view.advance(2_501);
    let step = sizes::Step { from: 2_000, until: 3_000, size: 1, entered: 0, left: 1 };
    assert_eq!(segment.sizes_since(0), [step]);
    assert!(view.drifting().is_empty());
}

proptest! {
    /// Whoever is in what, combinations are counted as by hand: now, and at every time retained.
    #[test]
    fn overlaps_are_as_counted_by_hand(
        flips in prop::collection::vec((0_usize..4, 0_u8..12), 1..80),
        back in 0_i64..40,
    ) {
        let (view, mut members, mut history) = (View::new(10_000), BTreeSet::new(), Vec::new());
        (0..4).for_each(|it| view.define(everyone(&format!("s{it}"))));
        for (time, (segment, user)) in (1..).zip(flips) {
            let (id, user) = (format!("s{segment}"), format!("u{user}"));
            if members.remove(&(segment, user.clone())) {
                view.take(&[left(time, &id, &user)]);
            } else {
                view.take(&[entered(time, &id, &user)]);
                members.insert((segment, user));
            }
            history.push(members.clone());
            view.advance(time + 1);
        }
        let now = i64::try_from(history.len()).unwrap();
        let at = (now - back).max(1);
        let members = &history[usize::try_from(at - 1).unwrap()];
        let segments = view.segments_after(None, 10);
        let found = view.overlap(&segments, at).unwrap();
        prop_assert_eq!(found.len(), 15);
        let of_user = |user: &str| -> usize {
            (0..4).filter(|it| members.contains(&(*it, user.to_owned()))).map(|it| 1 << it).sum()
        };
        let of: Vec<_> = (0..12).map(|user| of_user(&format!("u{user}"))).collect();
        for it in found {
            let size = of.iter().filter(|of| *of & it.of == it.of).count();
            let only = of.iter().filter(|of| **of == it.of).count();
            prop_assert_eq!((it.size, it.only), (size as u64, only as u64));
        }
        prop_assert_eq!(view.overlap(&segments, now + 1), Err(NoPast::NotYet(Some(now))));
    }

    /// Any flips, in any steps of the frontier: at every time that is retained, users and segments
    /// agree with the flips up to then.
    #[test]
    fn at_every_time_it_is_what_the_differences_say(
        flips in prop::collection::vec((1_i64..4, 0_u8..3, 0_u8..4), 1..60),
        steps in prop::collection::vec(1_i64..9, 1..10),
    ) {
        let (mut now, mut state, mut history) = (0, BTreeSet::new(), Vec::new());
        let mut differences = Vec::new();
        for (later, segment, user) in flips {
            now += later;
            let (segment, user) = (format!("s{segment}"), format!("u{user}"));
            let sign = if state.remove(&(segment.clone(), user.clone())) {
                Sign::Left
            } else {
                state.insert((segment.clone(), user.clone()));
                Sign::Entered
            };
            differences.push(difference(now, &segment, &user, sign));
            history.push((now, state.clone()));
        }
        let view = View::new(10_000);
        (0..3).for_each(|it| view.define(everyone(&format!("s{it}"))));
        let (mut frontier, mut steps) = (0, steps.iter().cycle());
        for difference in &differences {
            while difference.time >= frontier {
                view.advance(frontier);
                frontier += steps.next().unwrap();
            }
            view.take(std::slice::from_ref(difference));
        }
        view.advance(now + 1);
        for time in 0..=now {
            let then = history.iter().rev().find(|(at, _)| *at <= time);
            let then = then.map(|(_, state)| state.clone()).unwrap_or_default();
            let mut by_user = BTreeSet::new();
            for user in (0..4).map(|it| format!("u{it}")) {
                for segment in view.segments_at(&user, time).unwrap() {
                    by_user.insert((segment.to_string(), user.clone()));
                }
            }
            prop_assert_eq!(&by_user, &then);
            let mut by_segment = BTreeSet::new();
            for segment in view.segments_after(None, 10) {
                let (users, size) = view.users_at(&segment, page(None, 10), time).unwrap();
                prop_assert_eq!(users.len(), size);
                by_segment.extend(users.iter().map(|it| (segment.id.to_string(), it.to_string())));
            }
            prop_assert_eq!(&by_segment, &then);
        }
    }
}

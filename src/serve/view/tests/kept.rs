//! A view that is killed and goes on from what checkpoints have answers as one that was not.

use dataflows::model::{Duration, Path, Position, UserKey, Value};
use dataflows::operators::checkpoint::{Collection, Counts, Forget, Piece, counts_piece, merge};
use dataflows::sketch::{Distinct, Set, Span, Top};

use super::*;
use crate::serve::view::drift::Drifting;
use crate::serve::view::sizes::{Step, Volatility};
use crate::serve::view::sketches::{Counted, Held, Window};

const MINUTE: EventTime = 60_000;
/// How long a stretch of the test is; at the end of each there is a checkpoint.
const STRETCH: EventTime = 7 * MINUTE + 300;

fn span() -> Span {
    Span { pane: Duration::from_ms(1_000), window: Duration::from_ms(90 * MINUTE) }
}

fn counting() -> settings::Sketches {
    settings::Sketches {
        events: vec!["buy".into(), "view".into()],
        segments: vec!["s".into()],
        top: vec![("view".into(), Path::new("path"))],
        span: span(),
    }
}

fn begin(settings: &settings::Sketches) -> View {
    let view = View::new(1_000).with_sketches(Some(settings), Emit::OnWatermark);
    view.define(everyone("s"));
    view
}

/// What happens at a time.
fn seen(time: EventTime, number: u64) -> Vec<Seen> {
    let user = UserKey::of(&format!("u{}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52));
    let of = |counter, value| {
        let position = Position { partition: 0, offset: number };
        Seen { counter, user, time: time - 200, at: time, position, value }
    };
    let path = Value::text(&format!("/{}", number.trailing_zeros()));
    vec![of((number % 2) as u32, None), of(2, Some(path).filter(|_| !number.is_multiple_of(9)))]
}

/// Who enters and leaves at a time: 400, a few of them again and again, and then many at once.
fn changes(time: EventTime, number: u64) -> Vec<Difference> {
    let is_in = number < 400 || number / 20 % 2 == 1;
    let user = if number < 400 { number } else { number % 20 };
    let sign = if is_in { Sign::Entered } else { Sign::Left };
    let many =
        (0..3_000 * u64::from(number == 2_300)).map(|it| entered(time, "s", &format!("x{it}")));
    let mut all: Vec<_> = many.chain([difference(time, "s", &format!("m{user}"), sign)]).collect();
    all.sort();
    all
}

/// Tells all that happens from one time up to, and not at, another.
fn feed(view: &View, (from, to): (EventTime, EventTime), backwards: bool) {
    let mut all: Vec<_> = (from.div_euclid(700) + 1..=to.div_euclid(700))
        .map(|it| (it * 700, it.unsigned_abs()))
        .filter(|(time, _)| (from..to).contains(time))
        .collect();
    all.iter().for_each(|(time, number)| view.take(&changes(*time, *number)));
    if backwards {
        all.reverse(); // as other workers may give it out
    }
    all.iter().for_each(|(time, number)| view.count(&seen(*time, *number)));
}

#[derive(Debug, PartialEq)]
struct Answers {
    distinct: Vec<(Window, [u64; 3])>,
    top: (Window, Vec<(Value, u64)>, u64),
    steps: Vec<Step>,
    volatility: Volatility,
    drifting: Option<Drifting>,
}

fn answers(view: &View) -> Answers {
    let sketches = view.sketches().unwrap();
    let count = |window: Duration, of| {
        let (held, stretch) = sketches.held(&[of], window).unwrap();
        let count = match &held[0] {
            Held::Event(panes) => Distinct::count(panes.iter().map(|it| &**it)),
            Held::Segment(panes) => Set::union(panes.iter().map(|it| &**it)).count(),
        };
        (stretch, [count.low, count.estimate, count.high].map(|it| it as u64))
    };
    let windows = [10_000, 20 * MINUTE, 90 * MINUTE].map(Duration::from_ms);
    let distinct = windows.into_iter().flat_map(|window| {
        [Counted::Event(0), Counted::Event(1), Counted::Segment(0)].map(|of| count(window, of))
    });
    let distinct = distinct.collect();
    let (panes, stretch) = sketches.top(0, Duration::from_ms(30 * MINUTE)).unwrap();
    let ranked = Top::ranked(panes.iter().map(|it| &**it));
    let segment = view.segment("s").unwrap();
    let as_of = view.as_of().unwrap();
    Answers {
        distinct,
        top: (stretch, ranked.values, ranked.total),
        steps: segment.sizes_since(EventTime::MIN),
        volatility: segment.volatility(as_of),
        drifting: segment.drifting(as_of),
    }
}

/// What is kept, as a later run finds it.
fn counts(kept: &[Vec<Vec<u8>>], before: EventTime) -> Counts {
    let mut counts = Counts::default();
    kept.iter().flatten().for_each(|page| counts.take(page, before).unwrap());
    counts
}

/// Goes on from there, with the members there were.
fn go_on(view: &View, kept: &[Vec<Vec<u8>>], (before, whole): (EventTime, &View)) -> Vec<String> {
    view.go_on_from(before);
    let anew = view.restore(&counts(kept, before), before).unwrap();
    let members = whole.users_of(&whole.segment("s").unwrap(), &page(None, usize::MAX)).answer;
    view.take(&members.iter().map(|user| entered(before - 1, "s", user)).collect::<Vec<_>>());
    view.advance(before - 1);
    view.advance(before);
    anew
}

#[test]
fn a_view_that_goes_on_answers_as_one_that_was_never_killed() {
    let (whole, mut view) = (begin(&counting()), begin(&counting()));
    let (mut kept, mut drifted) = (Vec::new(), 0);
    for number in 0..16_i64 {
        let (from, to) = (number * STRETCH, (number + 1) * STRETCH);
        feed(&whole, (from, to), false);
        whole.advance(to);
        // Some of what is later has come by then, in another order, and time goes on in bounds.
        let beyond = to + 3 * MINUTE;
        feed(&view, (from, beyond), true);
        view.cut_at(number.unsigned_abs(), to);
        view.advance(from + MINUTE);
        view.advance(if number % 3 == 0 { to } else { beyond });
        for it in view.kept() {
            assert_eq!((it.number, it.before), (number.unsigned_abs(), to));
            kept.push(counts_piece((it.number, it.before), it.counts).pages);
        }
        assert_eq!(kept.len(), usize::try_from(number).unwrap() + 1);
        view = begin(&counting());
        assert_eq!(go_on(&view, &kept, (to, &whole)), Vec::<String>::new());
        let (found, expected) = (answers(&view), answers(&whole));
        assert_eq!(found, expected, "stretch {number}");
        drifted += u32::from(expected.drifting.is_some());
        assert!(expected.distinct.iter().all(|(stretch, _)| stretch.complete_from.is_none()));
    }
    assert!((1..16).contains(&drifted), "{drifted}");
}

#[test]
fn what_is_counted_otherwise_than_before_begins_anew_and_is_told() {
    let view = begin(&counting());
    let to = 20 * MINUTE;
    feed(&view, (0, to), false);
    view.cut_at(1, to);
    view.advance(to);
    let pages = |view: &View| {
        let kept = view.kept().into_iter();
        kept.map(|it| counts_piece((it.number, it.before), it.counts).pages).collect::<Vec<_>>()
    };
    let kept = pages(&view);
    let before = answers(&view);
    let again = |settings: &settings::Sketches| {
        let later = begin(settings);
        let anew = go_on(&later, &kept, (to, &view));
        (later, anew)
    };
    // One more, one less, in another order.
    let mut other = counting();
    other.events = vec!["view".into(), "other".into()];
    let (later, anew) = again(&other);
    assert_eq!(anew, ["event \"other\""]);
    let of = |place| {
        let held = later.sketches().unwrap().held(&[Counted::Event(place)], span().window);
        let (held, stretch) = held.unwrap();
        (held[0].set().count().estimate as u64, stretch.complete_from)
    };
    assert_eq!(of(0), (before.distinct[7].1[1], None));
    assert_eq!(of(1), (0, Some(to)));
    // What is counted no longer is forgotten: it is not said to be counted up to now.
    later.cut_at(2, to + 400 * MINUTE);
    later.advance(to + 400 * MINUTE);
    let all = [kept.clone(), pages(&later)].concat();
    let last = begin(&counting());
    let anew = go_on(&last, &all, (to + 400 * MINUTE, &later));
    assert_eq!(anew, ["event \"buy\""]);
    // Another window, other panes.
    for span in [
        Span { window: Duration::from_ms(60 * MINUTE), ..span() },
        Span { pane: Duration::from_ms(2_000), ..span() },
    ] {
        let (later, anew) = again(&settings::Sketches { span, ..counting() });
        assert_eq!(anew.len(), 4);
        let held = later.sketches().unwrap().held(&[Counted::Event(0)], span.window);
        assert_eq!(held.unwrap().1.complete_from, Some(to));
    }
    // The history of a segment that is deleted is forgotten with its last member.
    view.undefine("s");
    view.take(
        &view
            .users_of(&view.segments.get("s").unwrap(), &page(None, usize::MAX))
            .answer
            .iter()
            .map(|user| left(to + 5, "s", user))
            .collect::<Vec<_>>(),
    );
    view.cut_at(2, to + 10);
    view.advance(to + 10);
    let all = [kept.clone(), pages(&view)].concat();
    let last = begin(&counting());
    last.restore(&counts(&all, to + 10), to + 10).unwrap();
    assert_eq!(last.segment("s").unwrap().sizes_since(EventTime::MIN), []);
    // Nothing was kept at all: by a version before this one.
    let last = begin(&counting());
    last.go_on_from(to);
    assert_eq!(last.restore(&Counts::default(), to).unwrap().len(), 4);
    last.advance(to);
    assert_eq!(last.segments_at("m1", to - 2), Err(NoPast::Gone(to - 1)));
}

/// After which place all differences are there, and these.
fn past(view: &View) -> (Place, Vec<(Place, Arc<str>, Arc<str>, Sign)>) {
    let first = Place { time: EventTime::MIN, number: 0 };
    let floor = view.differences_after(first).err().map_or(first, |Gone(floor)| floor);
    let (mut all, mut place) = (Vec::new(), floor);
    loop {
        let (some, end) = view.differences_after(place).unwrap();
        if some.is_empty() {
            return (floor, all);
        }
        let named = |it: Entry| (it.place, view.segment_id(it.segment), it.user, it.sign);
        all.extend(some.into_iter().map(named));
        place = end;
    }
}

/// The pieces of one checkpoint.
fn pieces(view: &View) -> Vec<Piece> {
    view.kept().into_iter().map(|it| counts_piece((it.number, it.before), it.counts)).collect()
}

#[test]
fn the_last_differences_are_told_after_crashes_as_if_there_had_been_none() {
    for retained in [0, 40, 3_000] {
        let (whole, mut view) = (View::new(1 << 20), View::new(retained));
        whole.define(everyone("s"));
        let (mut kept, mut least) = (Vec::<Piece>::new(), usize::MAX);
        for number in 0..8_i64 {
            let (from, to) = (number * STRETCH, (number + 1) * STRETCH);
            feed(&whole, (from, to), false);
            whole.advance(to);
            feed(&view, (from, to + MINUTE), false);
            // Some checkpoints have little that is new.
            for cut in [from + 2 * MINUTE, from + 2 * MINUTE + 1_500, to] {
                view.cut_at(number.unsigned_abs(), cut);
            }
            view.advance(from + MINUTE);
            view.advance(to + MINUTE);
            kept.extend(pieces(&view));
            if number % 3 == 2 {
                let forget = Forget { before: to, erasures: true };
                kept = vec![merge(Collection::Counts, &kept, forget).unwrap()];
            }
            view = View::new(retained);
            view.define(everyone("s"));
            let pages: Vec<_> = kept.iter().map(|it| it.pages.clone()).collect();
            go_on(&view, &pages, (to, &whole));
            let ((floor, found), (_, all)) = (past(&view), past(&whole));
            let there = all.iter().position(|it| it.0 > floor).unwrap_or(all.len());
            assert!(found == all[there..], "stretch {number}, {retained} retained");
            least = least.min(found.len() + usize::from(there == 0) * retained);
            let users = (0..20).map(|it| format!("m{it}"));
            for (user, time) in users.zip((from.max(floor.time)..to).step_by(20_000)) {
                assert_eq!(view.segments_at(&user, time), whole.segments_at(&user, time));
            }
        }
        assert!(least >= retained, "{least} of {retained}");
        let entries = kept.iter().flat_map(|it| &it.pages).map(Vec::len).sum::<usize>();
        assert!(entries < 40_000 + retained * 40, "what is retained no longer goes: {entries}");
    }
}

#[test]
fn what_is_kept_of_the_past_follows_what_is_new() {
    let view = View::new(10_000);
    let kept = |view: &View, number: u64| {
        let to = number as EventTime * 1_000;
        view.cut_at(number, to);
        view.advance(to);
        let bytes = pieces(view).iter().flat_map(|it| &it.pages).map(Vec::len).sum::<usize>();
        // Beside it there is how large the segment has been.
        bytes.saturating_sub(view.segments.counts(to).len())
    };
    view.take(&(0..5_000).map(|it| entered(5, "s", &format!("user {it:05}"))).collect::<Vec<_>>());
    assert!((5_000 * 13..5_000 * 16).contains(&kept(&view, 1)));
    view.take(&[entered(1_500, "s", "one more")]);
    assert!(kept(&view, 2) < 1_000);
    assert_eq!(kept(&view, 3), 0);
    // Names may be long: what is kept at once is not.
    view.take(&[0, 1, 2, 3].map(|it| entered(3_500, "s", &"x".repeat(700_000 + it))));
    view.cut_at(4, 4_000);
    view.advance(4_000);
    let sizes: Vec<_> = pieces(&view)[0].pages.iter().map(Vec::len).collect();
    assert!(sizes.len() > 1 && sizes.iter().all(|it| *it < 2_200_000), "{sizes:?}");
}

//! References that stand, and those that are refused.

use super::*;
use crate::rule::{MAX_DEPTH, Rule};

/// `a: b c` is a segment `a` that refers to `b` and `c`.
fn segment(line: &str) -> Arc<Definition> {
    let (id, references) = line.split_once(':').unwrap();
    let references = references.split_whitespace().map(|id| Rule::Segment(id.into()));
    let rule = Rule::All(references.collect());
    Arc::new(Definition { id: id.into(), name: None, description: None, rule })
}

fn catalog(lines: &[&str]) -> Result<Catalog, Vec<String>> {
    let definitions = lines.iter().map(|line| segment(line)).collect();
    Catalog::new(definitions).map_err(|refusals| refusals.iter().map(Refusal::to_string).collect())
}

fn put(catalog: &mut Catalog, line: &str) -> Result<(), String> {
    catalog.apply(&Edit::Put(segment(line))).map_err(|refusal| refusal.to_string())
}

fn delete(catalog: &mut Catalog, id: &str) -> Result<(), String> {
    catalog.apply(&Edit::Delete(id.into())).map_err(|refusal| refusal.to_string())
}

/// What an edited catalogue keeps in mind is what a new one of the same definitions finds.
fn check_kept(catalog: &Catalog) {
    let fresh = Catalog::new(catalog.iter().map(Arc::clone).collect()).unwrap();
    for (id, entry) in &catalog.segments {
        assert_eq!(entry.dependents, fresh.segments[id].dependents, "dependents of {id}");
        assert_eq!(entry.height, fresh.segments[id].height, "height of {id}");
    }
}

#[test]
fn a_diamond_stands() {
    let catalog = catalog(&["a: b c", "b: d", "c: d", "d:"]).unwrap();
    assert_eq!(catalog.len(), 4);
    assert_eq!(catalog.segments["a"].height, 3);
    assert_eq!(catalog.segments["d"].dependents.len(), 2);
    assert!(catalog.get("a").is_some() && catalog.get("e").is_none());
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let refused = catalog(&["a: b", "b: a", "c: c", "premium:", "d: premum", "premium:", "e: zzz"]);
    let expected = [
        "segment \"premium\" is defined more than once; give each definition its own id",
        "segment \"d\" refers to unknown segment \"premum\"; did you mean \"premium\"?",
        "segment \"e\" refers to unknown segment \"zzz\"; define it first, or correct the id",
        "segment \"a\" refers to itself: a -> b -> a; take one of these references out",
        "segment \"c\" refers to itself: c -> c; take one of these references out",
    ];
    assert_eq!(refused.unwrap_err(), expected);
}

#[test]
fn every_circle_is_broken_by_what_is_told() {
    let refused = catalog(&["a: b c", "b: a", "c: a d", "d: c", "e: a"]).unwrap_err();
    let paths: Vec<_> = refused.iter().map(|text| text.split(": ").nth(1).unwrap()).collect();
    assert_eq!(
        paths,
        [
            "a -> b -> a; take one of these references out",
            "a -> c -> a; take one of these references out",
            "c -> d -> c; take one of these references out"
        ]
    );
}

fn chain(length: usize) -> Vec<String> {
    let link =
        |n| if n + 1 < length { format!("s{n:02}: s{:02}", n + 1) } else { format!("s{n:02}:") };
    (0..length).map(link).collect()
}

#[test]
fn chains_have_a_limit() {
    let lines = chain(MAX_DEPTH);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut full = catalog(&lines).unwrap();
    let expected = "segment \"top\" is nested too deep: a chain of 65 segments, each referring to \
                    the next, is beyond 64; put some of their rules into one definition";
    assert_eq!(put(&mut full, "top: s00"), Err(expected.to_owned()));
    put(&mut full, "more:").unwrap();
    let through = put(&mut full, "s63: more").unwrap_err();
    assert!(through.starts_with("segment \"s00\" is nested too deep"), "{through}");
    check_kept(&full);
    let lines = chain(MAX_DEPTH + 10);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(catalog(&lines).unwrap_err().len(), 1);
}

#[test]
fn edits_keep_the_catalogue_valid() {
    let mut catalog = catalog(&["a: b", "b: c", "c:", "d:"]).unwrap();
    assert_eq!(
        put(&mut catalog, "c: d a"),
        Err("segment \"c\" refers to itself: c -> a -> b -> c; take one of these references out"
            .to_owned())
    );
    assert_eq!(
        put(&mut catalog, "n: n"),
        Err("segment \"n\" refers to itself: n -> n; take one of these references out".to_owned())
    );
    assert!(put(&mut catalog, "c: x").is_err());
    check_kept(&catalog);
    put(&mut catalog, "c: d").unwrap();
    assert_eq!(catalog.segments["a"].height, 4);
    check_kept(&catalog);
    put(&mut catalog, "b: d").unwrap();
    check_kept(&catalog);
    delete(&mut catalog, "c").unwrap();
    check_kept(&catalog);
    assert_eq!(
        delete(&mut catalog, "d"),
        Err("segment \"d\" cannot be deleted: it is referred to by b; change or delete those"
            .into())
    );
    assert_eq!(
        delete(&mut catalog, "c"),
        Err("segment \"c\" cannot be deleted: there is none of this id; correct the id".into())
    );
}

#[test]
fn random_edits_are_judged_as_a_new_catalogue_would_be() {
    let mut state = 1_u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % below
    };
    let mut catalog = Catalog::default();
    for _ in 0..3_000 {
        let id = random(9);
        let edit = if random(4) == 0 {
            Edit::Delete(format!("s{id}").into())
        } else {
            let references: Vec<_> = (0..random(3)).map(|_| format!("s{}", random(9))).collect();
            Edit::Put(segment(&format!("s{id}: {}", references.join(" "))))
        };
        let mut after: Vec<_> = catalog.iter().map(Arc::clone).collect();
        let id: Arc<str> = format!("s{id}").into();
        let existed = after.iter().any(|definition| definition.id == id);
        after.retain(|definition| definition.id != id);
        let allowed = match &edit {
            Edit::Put(definition) => {
                after.push(Arc::clone(definition));
                Catalog::new(after).is_ok()
            }
            Edit::Delete(_) => existed && Catalog::new(after).is_ok(),
        };
        assert_eq!(catalog.apply(&edit).is_ok(), allowed, "{edit:?}");
        check_kept(&catalog);
    }
}

#[test]
fn a_timeline_keeps_what_is_accepted_in_the_order_of_time() {
    let initial = catalog(&["a:"]).unwrap();
    let put =
        |time, line| TimedEdit { time, from: None, saved: None, edit: Edit::Put(segment(line)) };
    let delete =
        |time, id: &str| TimedEdit { time, from: None, saved: None, edit: Edit::Delete(id.into()) };
    let edits =
        vec![put(20, "c: b"), put(10, "b: a"), delete(20, "a"), put(10, "x: y"), delete(20, "c")];
    let (timeline, refused) = Timeline::accept(initial, edits);
    assert_eq!(timeline.initial, [segment("a:")]);
    assert_eq!(timeline.edits, [put(10, "b: a"), put(20, "c: b"), delete(20, "c")]);
    let refused: Vec<_> = refused.iter().map(|(at, it)| (*at, &**it.segment())).collect();
    assert_eq!(refused, [(3, "x"), (2, "a")]);
}

#[test]
fn a_long_circle_needs_no_deep_stack() {
    let count = 100_000;
    let lines: Vec<_> = (0..count).map(|n| format!("s{n}: s{}", (n + 1) % count)).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let refused = catalog(&lines).unwrap_err();
    assert_eq!(refused.len(), 2, "the circle, and the chain that is left without it");
    assert!(refused[0].contains("refers to itself: s0 -> s1 -> s2 -> "));
}

#[test]
fn there_are_at_most_a_million() {
    let plain = |n: usize| {
        let id = n.to_string().into();
        Arc::new(Definition { id, name: None, description: None, rule: Rule::Everyone })
    };
    let mut full = Catalog::new((0..SEGMENTS_MAX).map(plain).collect()).unwrap();
    let refused = put(&mut full, "one:").unwrap_err();
    assert!(refused.ends_with("1000001 segments are beyond 1000000; delete some"));
    put(&mut full, "17: 18").unwrap();
    delete(&mut full, "0").unwrap();
    put(&mut full, "one: 17").unwrap();
}

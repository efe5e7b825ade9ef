//! A job that answers at once (`on_event`) and keeps its state, killed with no warning.

use std::fs;

use crate::common::Place;
use crate::disorder::{T0, check_order, killed_when, members, two_files};

const RECORDS: i64 = 30_000;
const JOB: &str = "segments = \"segments.json\"\n[state]\npath = \"state\"\ninterval = \"10ms\"\n\
    [clock]\nemit = \"on_event\"\nmax_out_of_orderness = \"3s\"\n\
    [[source]]\nkind = \"file\"\npath = [\"a.jsonl\", \"b.jsonl\"]\n";
const SINKS: &str = "[[sink]]\nkind = \"file\"\npath = \"out.jsonl\"\n\
    [[sink]]\nkind = \"file\"\nof = \"late\"\npath = \"late.jsonl\"\n";

fn sorted(place: &Place, name: &str) -> Vec<String> {
    let mut lines: Vec<_> = place.text(name).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// The number of the newest checkpoint.
fn newest(place: &Place) -> Option<String> {
    let names = fs::read_dir(place.path("state/manifests")).ok()?;
    names.filter_map(|it| it.ok()?.file_name().into_string().ok()).max()
}

#[test]
fn killed_at_any_moment_it_ends_with_the_same_members() {
    let place = Place::new();
    let (expected, _) = two_files(&place, RECORDS);
    place.write("job.toml", format!("{JOB}{SINKS}"));
    let mut killed = 0;
    for (life, processes) in [1, 2, 1, 2].into_iter().enumerate() {
        let before = newest(&place);
        let who = (processes, 1 + life % 2);
        killed += usize::from(killed_when(&place, who, || newest(&place) > before));
    }
    assert!(killed > 0, "it was too fast to be killed");
    place.run("run job.toml --workers 3").fine();
    let got = place.json_lines("out.jsonl");
    check_order(&got);
    let last = T0 + RECORDS * 100;
    for until in [last, last + 5_000, i64::MAX] {
        assert_eq!(members(&got, until), members(&expected, until), "{until}");
    }
    assert_eq!(sorted(&place, "late.jsonl"), sorted(&place, "late_once.jsonl"));
}

//! The files for those who operate a job: the dashboard, the alerts, the runbook.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;

/// What a dashboard leaves to be filled in, and with what it is here.
const FILLED_IN: &[(&str, &str)] =
    &[("$__rate_interval", "10s"), ("$job", ".*"), ("$instance", ".*")];

/// Where a file of them is.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/operations").join(name)
}

pub(crate) fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap()
}

fn dashboard() -> Json {
    serde_json::from_str(&text("dashboard.json")).unwrap()
}

fn panels(dashboard: &Json) -> Vec<&Json> {
    dashboard["panels"].as_array().unwrap().iter().collect()
}

/// All queries of the dashboard, as Prometheus takes them.
pub(crate) fn queries() -> Vec<String> {
    let dashboard = dashboard();
    let of_panels = panels(&dashboard).into_iter().filter_map(|panel| panel["targets"].as_array());
    let annotations = dashboard["annotations"]["list"].as_array().unwrap();
    let all = of_panels.flatten().chain(annotations);
    let filled_in = |it: &Json| {
        let expr = it["expr"].as_str().unwrap().to_owned();
        FILLED_IN.iter().fold(expr, |expr, (what, with)| expr.replace(what, with))
    };
    all.map(filled_in).collect()
}

/// The metrics of Rivulet that some text names.
pub(crate) fn named(text: &str) -> BTreeSet<String> {
    let is_part = |sign: char| sign.is_ascii_alphanumeric() || sign == '_';
    let words = text.split(|sign| !is_part(sign));
    words.filter(|word| word.starts_with("rivulet_")).map(str::to_owned).collect()
}

fn promtool(words: &[&str]) -> String {
    let done = Command::new("promtool").args(words).current_dir(path("")).output();
    let done = done.expect("promtool is there: apt-get install prometheus");
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(done.status.success(), "{said}");
    said
}

#[test]
fn prometheus_takes_the_alerts_and_they_fire_when_they_should() {
    assert!(promtool(&["check", "rules", "alerts.yml"]).contains("SUCCESS"));
    promtool(&["test", "rules", "alerts.test.yml"]);
}

#[test]
fn every_alert_has_its_part_of_the_runbook() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"));
    let readme = readme.unwrap();
    let heading = |line: &str| {
        let words = line.strip_prefix("### ")?.to_lowercase();
        let signs = words.chars().filter(|it| it.is_alphanumeric() || *it == ' ' || *it == '-');
        Some(signs.map(|sign| if sign == ' ' { '-' } else { sign }).collect::<String>())
    };
    let headings: BTreeSet<_> = readme.lines().filter_map(heading).collect();
    let alerts = text("alerts.yml");
    let of = |key: &str| {
        let parts = alerts.lines().filter_map(|line| line.trim().split_once(key));
        parts.map(|(_, value)| value.trim().to_owned()).collect::<Vec<_>>()
    };
    let (names, runbook) = (of("- alert:"), of("runbook: "));
    assert!(names.len() > 9 && names.len() == runbook.len(), "{names:?} {runbook:?}");
    for part in runbook {
        assert!(headings.contains(&part), "{part} is not in {headings:?}");
    }
    for name in names {
        assert!(readme.contains(&format!("`{name}`")), "the runbook does not name {name}");
    }
}

#[test]
fn the_dashboard_can_be_read() {
    let dashboard = dashboard();
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    let rows: Vec<_> =
        panels(&dashboard).iter().filter(|it| it["type"] == "row").copied().collect();
    let is_question = |row: &&Json| row["title"].as_str().unwrap().ends_with('?');
    assert!(rows.len() == 6 && rows.iter().all(is_question));
    for panel in panels(&dashboard) {
        let number = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        assert!(number("x") + number("w") <= 24, "{panel}");
        for x in number("x")..number("x") + number("w") {
            for y in number("y")..number("y") + number("h") {
                assert!(taken.insert((x, y)), "it lies over another one: {panel}");
            }
        }
        if panel["type"] != "row" {
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{panel}");
            assert!(panel["description"].as_str().unwrap().len() > 20, "{panel}");
            assert!(!panel["targets"].as_array().unwrap().is_empty(), "{panel}");
        }
    }
}

//! The verb `bench` at tiny sizes: every row runs, the table is whole, and its JSON can be read.
//! Nothing here looks at how long anything took.

#![expect(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]

mod common;
#[path = "common/kafka.rs"]
mod harness;
#[path = "common/server.rs"]
mod server;
#[path = "common/stores.rs"]
mod stores;

use common::{Place, Running};
use harness::Broker;
use serde_json::Value as Json;
use stores::{Postgres, Redis};

/// The rows that another program has a part in.
fn is_of_peers(row: &Json) -> bool {
    row["id"].as_str().unwrap().contains("flink")
        || ["rust", "index", "flip"].iter().any(|it| row["id"].as_str().unwrap().ends_with(it))
}

#[test]
fn every_row_runs_and_the_table_is_whole() {
    let place = Place::new();
    let list = place.run("bench --list").fine().stdout;
    let mut command = place.command("bench --quick --runs 2 --out out --json table.json");
    let (redis, postgres) = (Redis::new(""), Postgres::new());
    command.env("KAFKA_BROKERS", Broker::shared().address());
    command.env("REDIS_URL", redis.url()).env("POSTGRES_URL", postgres.url());
    let done = Running::start(&mut command).end().fine();
    let report: Json = serde_json::from_str(&place.text("table.json")).unwrap();
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), list.lines().count());
    for row in rows {
        let id = row["id"].as_str().unwrap();
        assert!(list.lines().any(|line| line.split("  ").next() == Some(id)), "{id}");
        assert!(done.stdout.lines().any(|line| line.starts_with(&format!("{id} "))), "{id}");
        if is_of_peers(row) {
            assert_eq!(row["missing"], "needs --peers", "{id}");
        } else {
            let [min, median, max] =
                ["min", "median", "max"].map(|it| row["value"][it].as_f64().unwrap());
            assert!(min <= median && median <= max, "{row}");
        }
        assert_eq!(row["reached"], Json::Null, "tiny sizes reach nothing: {id}");
    }
    assert!(report["machine"]["cores"].as_u64().unwrap() > 0);
    assert!(done.stdout.contains("--quick"), "{}", done.stdout);
    let is_svg = |name: &str| place.text(&format!("out/{name}.svg")).starts_with("<svg");
    assert!(["events-held", "segments", "changes", "workers", "memory"].into_iter().all(is_svg));
    assert_eq!(done.stdout, place.text("out/table.txt"));
}

#[test]
fn some_rows_can_be_picked_and_data_is_used_again() {
    let place = Place::new();
    place.run("bench --quick --runs 1 --out out w1 w1s").fine();
    let path = place.path("out/data-quick/w1/w1.p0.jsonl");
    let made = std::fs::metadata(&path).unwrap().modified().unwrap();
    let done = place.run("bench --quick --runs 1 --out out w1").fine();
    assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), made);
    assert!(done.stdout.contains("\nw1 ") && !done.stdout.contains("\nw1s "), "{}", done.stdout);
}

#[test]
fn the_first_part_of_names_stands_for_all_that_begin_with_it() {
    let place = Place::new();
    place.run("bench --quick --runs 1 --out out --json table.json serve").fine();
    let report: Json = serde_json::from_str(&place.text("table.json")).unwrap();
    let rows = report["rows"].as_array().unwrap();
    let ids: Vec<_> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert!(ids.len() > 5 && ids.iter().all(|id| id.starts_with("serve-")), "{ids:?}");
    // Everything that was due was answered, and nothing that was sent is left behind.
    let figures = &report["samples"]["serve"][0];
    for figure in ["closed_events_per_s", "open_per_s", "lookup_per_s", "visible_per_s"] {
        assert!(figures[figure].as_f64().unwrap() > 0.0, "{figure}: {figures}");
    }
    assert!(!place.path("out/data-quick/service").exists());
}

#[test]
fn what_cannot_be_measured_is_said() {
    let place = Place::new();
    place.run("bench w9").refused_with(&["\"w9\"", "--list"]);
    place.run("bench --runs 0").refused_with(&["--runs"]);
    let mut command = place.command("bench --quick --runs 1 --out out kafka");
    let done = Running::start(command.env_remove("KAFKA_BROKERS")).end();
    done.refused_with(&["./run.sh bench", "KAFKA_BROKERS"]);
    let mut command = place.command("bench --quick --runs 1 --out out redis postgres");
    let done = Running::start(command.env_remove("REDIS_URL").env_remove("POSTGRES_URL")).end();
    done.refused_with(&["./run.sh bench", "REDIS_URL", "POSTGRES_URL"]);
    place.write("file", "");
    place.run("bench --quick --out file w1").refused_with(&["file"]);
    let done =
        place.run("bench --quick --runs 1 --out out --peers=nowhere w1 w1-flink-cold").fine();
    let line = done.stdout.lines().find(|line| line.starts_with("w1-flink-cold ")).unwrap();
    assert!(line.contains("missing") && line.contains("nowhere"), "{line}");
    place.write("peers/run-peers.sh", "exit 7");
    let done = place.run("bench --quick --runs 1 --out out --peers=peers w1 w1-flink-cold").fine();
    let line = done.stdout.lines().find(|line| line.starts_with("w1-flink-cold ")).unwrap();
    assert!(line.contains("missing") && line.contains("exit status: 7"), "{line}");
    assert!(place.path("out/peers/run-peers.sh").is_file(), "it is set up apart");
    assert!(!place.path("peers/data").exists(), "nothing is written into the folder of the peers");
}

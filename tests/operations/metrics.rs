//! What a running job exports, and whether that is what the files ask for.

use std::collections::BTreeSet;
use std::net::TcpListener;

use serde_json::Value as Json;

use crate::common::eventually;
use crate::files::{named, path, queries, text as file};
use crate::job::{Job, agent, receive, text};
use crate::server::Server;

/// The names of all that is exported, and of how it is kept (`_bucket`).
fn exported(metrics: &str) -> BTreeSet<String> {
    // One that tells of nothing now, as no segment drifts, has its type all the same.
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let samples = metrics.lines().filter(|line| !line.starts_with('#')).chain(types);
    samples.map(|line| line.split(['{', ' ']).next().unwrap().to_owned()).collect()
}

#[test]
fn every_metric_that_is_named_is_exported_with_its_help() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let job = Job::start(&listener.local_addr().unwrap().to_string());
    receive(listener);
    let wanted: BTreeSet<_> = ["dashboard.json", "alerts.yml", "alerts.test.yml"]
        .iter()
        .flat_map(|it| named(&file(it)))
        .collect();
    assert!(wanted.len() > 25, "{wanted:?}");
    for name in wanted {
        eventually(&format!("{name} is exported"), || {
            job.someone_comes();
            exported(&job.metrics()).contains(&name)
        });
    }
    assert_eq!(job.post("track", "nonsense"), 400);
    let metrics = job.metrics();
    for line in [
        "rivulet_collector_refused_total{reason=\"invalid_request\"} 1",
        "rivulet_collector_refused_total{reason=\"disk_failed\"} 0",
        "# UNIT rivulet_collector_backlog_max_bytes bytes",
        "rivulet_collector_backlog_max_bytes 1073741824",
        "rivulet_checkpoint_interval_seconds 0.1",
        "rivulet_checkpoint_failing 0",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    for name in exported(&metrics).iter().filter(|it| it.starts_with("rivulet_")) {
        let family = ["_total", "_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end))
            .unwrap_or(name);
        assert!(metrics.contains(&format!("# HELP {family} ")), "{name} has no help");
    }
    for class in ["attributes", "events", "segments"] {
        let line =
            format!("rivulet_class_differences_total{{class=\"{class}\",change=\"entered\"}} ");
        eventually(&line, || {
            job.metrics().lines().any(|it| it.starts_with(&line) && !it.ends_with(" 0"))
        });
    }
    assert!(job.place().path("state").is_dir());
}

#[test]
fn a_sink_that_is_away_is_seen_and_so_is_its_return() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let job = Job::start(&address);
    let is = |name: &str, value: &str| {
        let metrics = job.metrics();
        let mut samples = metrics.lines().filter(|it| it.starts_with(&format!("{name}{{")));
        samples.any(|it| it.contains("of=\"differences\"") && it.ends_with(&format!(" {value}")))
    };
    job.someone_comes();
    job.someone_comes();
    eventually("it is down", || {
        job.someone_comes();
        is("rivulet_sink_down", "1.0") && !is("rivulet_sink_waiting_items", "0.0")
    });
    receive(TcpListener::bind(&address).unwrap());
    eventually("it is written again", || is("rivulet_sink_down", "0.0"));
    eventually("nothing waits", || is("rivulet_sink_waiting_items", "0.0"));
    assert!(!is("rivulet_sink_items_total", "0"));
}

#[test]
fn prometheus_has_an_answer_to_every_question_of_the_dashboard() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let job = Job::start(&listener.local_addr().unwrap().to_string());
    receive(listener);
    let server = Server::new();
    let rules = path("alerts.yml");
    let target = job.url.trim_start_matches("http://");
    let config = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [{rules:?}]\n\
         scrape_configs: [{{ job_name: rivulet, static_configs: [{{ targets: ['{target}'] }}] }}]\n"
    );
    std::fs::write(server.folder().join("prometheus.yml"), config).unwrap();
    let url = format!("http://127.0.0.1:{}", server.port);
    let listen = format!("--web.listen-address=127.0.0.1:{}", server.port);
    let words = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data", &listen];
    let words: Vec<_> = words.into_iter().map(str::to_owned).collect();
    server.start(&words, || {
        let ready = agent().get(format!("{url}/-/ready")).call();
        ready.is_ok_and(|answer| answer.status() == 200)
    });
    // What is shown only where it is not zero is asked for as it is.
    for query in queries() {
        let query = query.strip_suffix(" > 0").unwrap_or(&query);
        eventually(query, || {
            job.someone_comes();
            job.post("track", "nonsense");
            let asked = agent().get(format!("{url}/api/v1/query")).query("query", query).call();
            let answer = asked.unwrap().body_mut().read_to_string().unwrap();
            let answer: Json = serde_json::from_str(&answer).unwrap();
            assert_eq!(answer["status"], "success", "{query}: {answer}");
            !answer["data"]["result"].as_array().unwrap().is_empty()
        });
    }
    eventually("every rule is evaluated", || {
        let rules: Json = serde_json::from_str(&text(&format!("{url}/api/v1/rules"))).unwrap();
        let groups = rules["data"]["groups"].as_array().unwrap().clone();
        let rules: Vec<_> =
            groups.iter().flat_map(|it| it["rules"].as_array().unwrap().clone()).collect();
        assert!(rules.iter().all(|rule| rule["health"] != "err"), "{rules:?}");
        rules.len() > 9 && rules.iter().all(|rule| rule["health"] == "ok")
    });
}

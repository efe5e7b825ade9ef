//! How long one record takes on the hot path, and how fast a clickstream is made.
//!
//! `cargo bench --bench format` prints the best of several rounds. Without `--bench`, as when
//! tests run it, it does one small round.

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use clap::Parser;
use dataflows::model::{Path, UserKey};
use dataflows::rule::{NamePattern, Selector};
use dataflows::streams::{Stream, Streams, Take};
use rivulet::format::{Mapping, Reader};
use rivulet::generate::{self, Args};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
}

/// Page views are counted, amounts of purchases summed.
fn streams() -> Arc<Streams> {
    let mut streams = Streams::default();
    for (name, take) in
        [("page_view", Take::Nothing), ("purchase", Take::Amount(Path::new("amount")))]
    {
        let events = Selector { name: NamePattern::Exact(name.into()), filter: None };
        streams.add(Stream { events, take });
    }
    Arc::new(streams)
}

/// Clickstream lines in a flat shape of about 160 bytes.
fn flat(count: u64) -> Vec<String> {
    let mut bits = 42_u64;
    let mut random = move || {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bits >> 33
    };
    let line = |number| {
        let share = random() % 100;
        let (name, properties) = if share < 70 {
            let page = random() % 500;
            ("page_view", format!(r#"{{"page":"/category/{page}","referrer":"search"}}"#))
        } else if share < 97 {
            let product = random() % 20_000;
            ("click", format!(r#"{{"product_id":"p{product}","position":{}}}"#, random() % 40))
        } else {
            let amount = format!("{}.{:02}", random() % 200, random() % 100);
            ("purchase", format!(r#"{{"amount":{amount},"currency":"USD"}}"#))
        };
        format!(
            r#"{{"event_id":"{:032x}","user_id":"u{}","type":"{name}","ts":{},"properties":{properties}}}"#,
            u128::from(random()) << 64 | u128::from(random()),
            random() % 200_000,
            1_767_225_600_000 + number / 5,
        )
    };
    (0..count).map(line).collect()
}

/// The best nanoseconds per record of some rounds, with the key of the user worked out.
fn time(name: &str, mapping: Mapping, lines: &[String], rounds: u32) {
    let mut reader = Reader::new(streams(), mapping);
    let round = |_| {
        let start = Instant::now();
        for line in lines {
            let record = reader.update(line.as_bytes()).expect("every line is a record");
            black_box((UserKey::of(&record.user), record.time, record.id, record.change));
        }
        start.elapsed().as_nanos() / lines.len() as u128
    };
    let best = (0..rounds).map(round).min().unwrap_or_default();
    let bytes = lines.iter().map(String::len).sum::<usize>() / lines.len();
    println!("{name}: {best} ns per record of {bytes} bytes");
}

/// The lines of the built-in clickstream.
fn generated(count: u64) -> Vec<String> {
    let count = count.to_string();
    let args = Command::parse_from(["generate", "--events", &count, "--out", "/dev/null"]).args;
    let start = Instant::now();
    let summary = generate::run(&args).expect("it is written to nowhere");
    let rate = summary.records as f64 / start.elapsed().as_secs_f64();
    println!("generate: {rate:.0} records per second");
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut outputs: Vec<Box<dyn Write>> = vec![Box::new(file.reopen().expect("the same file"))];
    generate::write(&args, &mut outputs).expect("it is written");
    let text = std::fs::read_to_string(file.path()).expect("it is text");
    text.lines().map(str::to_owned).collect()
}

fn main() {
    let measured = std::env::args().any(|flag| flag == "--bench");
    let (count, rounds) = if measured { (200_000, 9) } else { (1_000, 1) };
    let path = |name: &str| Some(Path::new(name));
    let mapping = Mapping {
        user: path("user_id"),
        time: path("ts"),
        event: path("type"),
        id: path("event_id"),
        properties: path("properties"),
        ..Mapping::default()
    };
    time("flat shape", mapping, &flat(count), rounds);
    time("Segment shape", Mapping::default(), &generated(count), rounds);
}

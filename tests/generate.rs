//! The generated stream is what its settings say, and the same for ever.

#![expect(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use clap::Parser;
use dataflows::clock::{PartitionClock, Punctuality};
use dataflows::model::{Action, Arrival, Position};
use rivulet::format::{Mapping, Reader, arrival};
use rivulet::generate::{self, Args, Summary};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
}

/// The settings a command line stands for.
fn settings(flags: &str) -> Args {
    Command::parse_from(std::iter::once("generate").chain(flags.split_whitespace())).args
}

/// The lines of every partition.
fn generated(flags: &str, folder: &Path) -> (Summary, Vec<Vec<String>>) {
    let mut args = settings(flags);
    args.out = folder.join("out.jsonl");
    let summary = generate::run(&args).unwrap();
    let names: Vec<String> = match args.partitions {
        1 => vec!["out.jsonl".into()],
        count => (0..count).map(|index| format!("out.p{index}.jsonl")).collect(),
    };
    let lines = |name: &String| {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        text.lines().map(str::to_owned).collect()
    };
    (summary, names.iter().map(lines).collect())
}

fn read(line: &str) -> Arrival {
    arrival(&Mapping::default(), Position { partition: 0, offset: 0 }, line.as_bytes()).unwrap()
}

#[test]
fn equal_seeds_give_equal_bytes_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let flags = "--events 5000 --users 100 --identify 0.1";
    let (_, first) = generated(flags, folder.path());
    let (_, again) = generated(flags, folder.path());
    assert_eq!(first, again);
    let (_, other) = generated(&format!("{flags} --seed 43"), folder.path());
    assert_ne!(first, other);
    let fingerprint = xxhash_rust::xxh3::xxh3_64(first[0].join("\n").as_bytes());
    assert_eq!(fingerprint, 0xd6ca_ae78_1b89_d610, "measurements depend on these bytes");
}

#[test]
fn counts_and_shares_are_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let flags = "--events 100000 --users 1000 --identify 0.2 --duplicates 0.1 --mix a=1,purchase=3";
    let (summary, lines) = generated(flags, folder.path());
    assert_eq!(summary.records, 100_000);
    assert!((9_500..10_500).contains(&summary.copies), "{summary:?}");
    assert_eq!(lines[0].len() as u64, summary.records + summary.copies);
    let mut ids = HashSet::new();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut reader = Reader::new(Default::default(), Mapping::default());
    for line in &lines[0] {
        assert!(reader.update(line.as_bytes()).is_ok(), "{line}");
        let record = read(line);
        if !ids.insert(record.id.unwrap()) {
            continue;
        }
        let name = match record.action {
            Action::Event { name, .. } => name.to_string(),
            Action::Attributes(traits) => traits.len().to_string(),
            Action::Delete => "delete".into(),
        };
        *counts.entry(name).or_default() += 1;
    }
    assert_eq!(ids.len(), 100_000);
    let near = |name: &str, expected: u64| counts[name].abs_diff(expected) < 1_000;
    assert!(near("5", 20_000) && near("a", 20_000) && near("purchase", 60_000), "{counts:?}");
}

#[test]
fn nothing_is_late_in_any_partition() {
    let folder = tempfile::tempdir().unwrap();
    for (jitter, rate) in [("1s", 500.0), ("30s", 100.5), ("0s", 1000.0), ("1ms", 3000.0)] {
        let flags = format!(
            "--events 20000 --users 50 --duplicates 0.2 --jitter {jitter} --rate {rate} \
             --partitions 3"
        );
        let args = settings(&flags);
        let (_, partitions) = generated(&flags, folder.path());
        let mut earliest = i64::MAX;
        for lines in &partitions {
            let mut clock = PartitionClock::new(args.jitter);
            for line in lines {
                let time = read(line).time;
                earliest = earliest.min(time.unwrap());
                assert!(matches!(clock.observe(time), Punctuality::OnTime(_)), "{flags}: {line}");
            }
        }
        assert!((args.start - args.jitter.ms()..=args.start).contains(&earliest));
    }
}

#[test]
fn settings_that_do_not_fit_are_refused() {
    for flags in [
        "--rate 0",
        "--rate NaN",
        "--zipf=-1",
        "--partitions 2",
        "--events 1000000000000000 --rate 1",
        "--start 0001-01-02T00:00:00Z",
    ] {
        let error = generate::check(&settings(flags)).unwrap_err();
        assert!(error.to_string().starts_with("--"), "{flags}: {error}");
    }
    for flags in ["--duplicates 1.5", "--mix click", "--mix click=0", "--users 0", "--jitter 5"] {
        let words = std::iter::once("generate").chain(flags.split_whitespace());
        assert!(Command::try_parse_from(words).is_err(), "{flags}");
    }
}

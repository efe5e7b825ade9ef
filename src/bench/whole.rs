//! The whole program as a child: `replay` from files to a file.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::child;
use super::data::{self, Data};
use super::error::BenchError;
use super::figures::Figures;

/// Where the differences of a run over the clickstream are left.
pub(super) fn differences(data: &Data, slow: bool, workers: u16) -> PathBuf {
    data.folder().join(format!("{}-{workers}.differences.jsonl", if slow { "w1s" } else { "w1" }))
}

/// Over the clickstream.
pub(super) fn clicks(data: &Data, slow: bool, workers: u16) -> Result<Figures, BenchError> {
    let files = data.clicks(slow)?;
    let events = data::lines(&files.parts[0])? + data::lines(&files.parts[1])?;
    let job = job(data, &data.windows(0)?, &files.parts, false)?;
    let mut figures = replay(data, &job, workers, &differences(data, slow, workers))?;
    let (wall_s, cpu_s) = (figures.get("wall_s"), figures.get("cpu_s"));
    figures.set("per_s", events as f64 / wall_s.unwrap_or(f64::NAN));
    figures.set("cpu_ns", cpu_s.unwrap_or(f64::NAN) * 1e9 / events as f64);
    Ok(figures)
}

/// With so many users, to see what its memory peaks at.
pub(super) fn memory(data: &Data, attributes: bool, users: u32) -> Result<Figures, BenchError> {
    let (stream, segments) = data.memory(attributes, users)?;
    let job = job(data, &segments, std::slice::from_ref(&stream), attributes)?;
    let mut figures = replay(data, &job, 1, &data.folder().join("differences.jsonl"))?;
    let stats = data.folder().join("stats.json");
    let text = fs::read_to_string(&stats).map_err(BenchError::file("read", &stats))?;
    let stats: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| BenchError::Measure(format!("{}: {error}", stats.display())))?;
    let number = |pointer: &str| stats.pointer(pointer).and_then(serde_json::Value::as_f64);
    for (name, value) in stats["memory"].as_object().into_iter().flatten() {
        figures.set(&format!("counted_{name}"), value.as_f64().unwrap_or(f64::NAN));
    }
    figures.set("counted_bytes", number("/memory_bytes").unwrap_or(f64::NAN));
    let each = number("/memory/event_bytes").zip(number("/memory/events"));
    figures.set("event_bytes_each", each.map_or(f64::NAN, |(bytes, events)| bytes / events));
    let active = active(&stream).map_err(BenchError::file("read", &stream))?;
    figures.set("users", active as f64);
    Ok(figures)
}

fn replay(data: &Data, job: &Path, workers: u16, out: &Path) -> Result<Figures, BenchError> {
    let shown = |path: &Path| path.display().to_string();
    let own = child::own()?;
    let command = [
        shown(&own),
        "replay".into(),
        "--job".into(),
        shown(job),
        "--workers".into(),
        workers.to_string(),
        "--out".into(),
        shown(out),
        "--stats".into(),
        shown(&data.folder().join("stats.json")),
    ];
    child::watched(&command, &data.folder().join("usage.json")).map(|(figures, _)| figures)
}

/// Writes the job file of a run.
fn job(
    data: &Data,
    segments: &Path,
    inputs: &[PathBuf],
    attributes: bool,
) -> Result<PathBuf, BenchError> {
    let absolute = |path: &Path| fs::canonicalize(path).map_err(BenchError::file("find", path));
    let text = |path: &Path| toml::Value::from(path.display().to_string()).to_string();
    let mut paths = Vec::new();
    for input in inputs {
        paths.push(text(&absolute(input)?));
    }
    let (disorder, mapping) = if attributes {
        ("0s", "traits = \"attributes\"\nattribute = \"attribute\"\nvalue = \"value\"\n")
    } else {
        ("5s", "event = \"type\"\nid = \"event_id\"\nproperties = \"properties\"\n")
    };
    let job = format!(
        "name = \"bench\"\nsegments = {}\n[clock]\nmax_out_of_orderness = \"{disorder}\"\n\
         [[source]]\nkind = \"file\"\npath = [{}]\n[source.mapping]\nuser = \"user_id\"\n\
         time = \"ts\"\n{mapping}",
        text(&absolute(segments)?),
        paths.join(", "),
    );
    let path = data.folder().join("job.toml");
    fs::write(&path, job).map_err(BenchError::file("write", &path))?;
    Ok(path)
}

/// How many users a file has records of.
fn active(path: &Path) -> std::io::Result<usize> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let (mut users, mut line) = (HashSet::new(), Vec::new());
    while file.read_until(b'\n', &mut line)? > 0 {
        let after = memchr::memmem::find(&line, b"\"user_id\":\"u").map_or(0, |at| at + 12);
        let digits = line[after..].iter().take_while(|byte| byte.is_ascii_digit());
        users.insert(digits.fold(0_u32, |number, digit| number * 10 + u32::from(digit - b'0')));
        line.clear();
    }
    Ok(users.len())
}

//! Processes that are measured, one at a time.
//!
//! Between the bench and what it measures stands a process that does nothing but wait
//! (`bench --watch FILE -- COMMAND…`): what it can say of its children is of this one alone. The
//! bench itself could not say it so: it has had others, and a child's peak of memory begins at that
//! of whoever started it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};

use super::error::BenchError;
use super::figures::Figures;
use super::resources::cpu_s;

/// How much of the end of what a child said is told when it fails.
const SAID_CHARACTERS: usize = 600;

/// This program.
pub(super) fn own() -> Result<PathBuf, BenchError> {
    std::env::current_exe().map_err(BenchError::file("find", Path::new("this program")))
}

/// Runs a command to its end, watched. Gives back `wall_s`, `cpu_s` and `peak_bytes`, and what it
/// wrote to standard output.
pub(super) fn watched(command: &[String], note: &Path) -> Result<(Figures, String), BenchError> {
    let output = Command::new(own()?)
        .args(["bench", "--watch"])
        .arg(note)
        .arg("--")
        .args(command)
        .stdin(Stdio::null())
        .output()
        .map_err(BenchError::file("start", Path::new(&command[0])))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let all = said + &String::from_utf8_lossy(&output.stderr);
        let skipped = all.chars().count().saturating_sub(SAID_CHARACTERS);
        let said = all.chars().skip(skipped).collect::<String>().trim().to_owned();
        return Err(BenchError::Child { what: command.join(" "), said });
    }
    let text = fs::read_to_string(note).map_err(BenchError::file("read", note))?;
    let figures = serde_json::from_str(&text)
        .map_err(|error| BenchError::Measure(format!("{}: {error}", note.display())))?;
    Ok((figures, said))
}

/// The process between: runs a command and notes what it used.
pub(super) fn watch(command: &[String], note: &Path) -> Result<(), BenchError> {
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| BenchError::Measure("--watch needs a command after --".to_owned()))?;
    let began = Instant::now();
    let status = Command::new(program)
        .args(arguments)
        .status()
        .map_err(BenchError::file("start", Path::new(program)))?;
    let wall_s = began.elapsed().as_secs_f64();
    if !status.success() {
        let said = format!("it ended with {status}");
        return Err(BenchError::Child { what: program.clone(), said });
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|cause| {
        BenchError::file("ask what was used by", Path::new(program))(cause.into())
    })?;
    let mut figures = Figures::default();
    figures.set("wall_s", wall_s);
    figures.set("cpu_s", cpu_s(&usage));
    figures.set("peak_bytes", usage.max_rss() as f64 * 1_024.0);
    let text = serde_json::to_string(&figures).unwrap_or_default();
    fs::write(note, text).map_err(BenchError::file("write", note))
}

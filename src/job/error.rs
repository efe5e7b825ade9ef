//! What can be wrong with a job file.

use std::path::PathBuf;

use dataflows::rule::reader::Fault;
use thiserror::Error;

/// Why a job file is not a job.
#[derive(Debug, Error)]
pub enum JobError {
    /// The file cannot be read.
    #[error("cannot read job file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not TOML.
    #[error("{}: line {line} column {column}: not TOML: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What is wrong there.
        reason: String,
    },
    /// It is TOML, but not a job.
    #[error("{}", lines(path, faults))]
    Faults {
        /// The file.
        path: PathBuf,
        /// Everything that is wrong.
        faults: Vec<Fault>,
    },
}

fn lines(path: &std::path::Path, faults: &[Fault]) -> String {
    let lines: Vec<_> = faults.iter().map(|fault| format!("{}: {fault}", path.display())).collect();
    lines.join("\n")
}

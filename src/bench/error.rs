//! What keeps a bench from being run.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::definitions::Problems;
use crate::run::RunError;

/// What keeps a bench from being run.
#[derive(Debug, Error)]
pub enum BenchError {
    /// A row that is not in the table.
    #[error("there is no row {row:?}; rivulet bench --list names them all")]
    Row {
        /// What was asked for.
        row: String,
    },
    /// A file or folder cannot be made, read or written.
    #[error("cannot {what} {}: check that its folder exists, may be written and has room", path.display())]
    File {
        /// What was to be done.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// Something that was started failed.
    #[error("{what} failed: {said}")]
    Child {
        /// What.
        what: String,
        /// The end of what it said.
        said: String,
    },
    /// The program run within this one failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The definitions of a row cannot be read.
    #[error(transparent)]
    Definitions(#[from] Problems),
    /// Something that cannot be measured here.
    #[error("{0}")]
    Measure(String),
}

impl BenchError {
    /// For `map_err`: what was done with which file.
    pub(super) fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |cause| BenchError::File { what, path, cause }
    }
}

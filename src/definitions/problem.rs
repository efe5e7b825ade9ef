//! What can be wrong with files of definitions.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io};

use dataflows::catalog::Refusal;
use dataflows::rule::parse::Syntax;
use dataflows::rule::reader::Fault;
use thiserror::Error;

/// One thing wrong, and the file it stands in.
#[derive(Debug, Error)]
#[error("{}: {}{reason}", file.display(), Line(*line))]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// Its line, for files of lines, from 1.
    pub line: Option<usize>,
    /// What is wrong.
    pub reason: Reason,
}

impl Problem {
    pub(super) fn new(file: &Path, reason: Reason) -> Self {
        Problem { file: file.into(), line: None, reason }
    }
}

struct Line(Option<usize>);

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| write!(f, "line {line}: "))
    }
}

/// What is wrong.
#[derive(Debug, Error)]
pub enum Reason {
    /// The file or directory cannot be read. As one problem of many it names its cause itself.
    #[error("cannot be read: check that the path is right and that it may be read: {0}")]
    Read(io::Error),
    /// It is not text.
    #[error("not UTF-8 after {0} bytes: save it as UTF-8")]
    Encoding(usize),
    /// It is not JSON.
    #[error("{0}")]
    Syntax(Syntax),
    /// It is JSON, but not what is meant to be there.
    #[error("{0}")]
    Fault(Fault),
    /// Two definitions have one id.
    #[error(
        "segment {id:?} is defined in {} already; give each definition an id of its own",
        first.display()
    )]
    Doubled {
        /// The id.
        id: Arc<str>,
        /// The file of the first.
        first: PathBuf,
    },
    /// It cannot stand beside the others.
    #[error("{0}")]
    Refused(Refusal),
}

/// Everything that is wrong, a line for each.
#[derive(Debug, Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            write!(f, "{}{problem}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Problems(vec![problem])
    }
}

//! What keeps the log from being read or written.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// What ends the job, because going on would lose records unseen.
#[derive(Debug, Error)]
pub enum LogFault {
    /// The folder or a file of it cannot be opened, made or read.
    #[error("the log of the collector: cannot {what} {}", path.display())]
    Io {
        /// What was to be done.
        what: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// Another process writes it.
    #[error(
        "the log of the collector in {} is written by another process: one job, one log; end the \
         other one, or name another folder", folder.display()
    )]
    Taken {
        /// The folder.
        folder: PathBuf,
    },
    /// What was acknowledged is not as it was written.
    #[error(
        "the log of the collector: {} is damaged from byte {at}, record {offset} on, and what had \
         been acknowledged stands there: put the file back from a copy, or start anew with another \
         place for state and log", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it.
        at: u64,
        /// The offset of the first record that is damaged.
        offset: u64,
    },
    /// It is of another version.
    #[error(
        "the log of the collector: {} is of version {found}: read it with the Rivulet that wrote it",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// What is to be read next is not there.
    #[error(
        "the log of the collector in {}: record {wanted} is to be read next, but there are only {low} \
         to {high}: put its files back, or start anew with another place for state and log",
        folder.display()
    )]
    OutOfRange {
        /// The folder.
        folder: PathBuf,
        /// The offset that was to be read.
        wanted: u64,
        /// The first offset there is.
        low: u64,
        /// The offset after the last.
        high: u64,
    },
}

impl LogFault {
    /// For an error of the system, the fault that tells of it.
    pub(in crate::source::http) fn io(
        what: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |cause| LogFault::Io { what, path, cause }
    }
}

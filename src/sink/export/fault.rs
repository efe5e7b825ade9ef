//! What keeps an export from being written.

use std::io;

use thiserror::Error;

use super::PlaceFault;

/// What ends a run, because trying again would not help.
#[derive(Debug, Error)]
pub enum ExportFault {
    /// The place cannot be read or written.
    #[error("export {name}: {cause}")]
    Place {
        /// The name of the export.
        name: String,
        /// What is wrong, and what to do.
        cause: PlaceFault,
    },
    /// Something else is kept there.
    #[error(
        "export {name}: {file} is of {found}, not of {expected}: give this export a place of its own"
    )]
    Others {
        /// The name of the export.
        name: String,
        /// The file that says so.
        file: String,
        /// Whose it is.
        found: String,
        /// Whose it would be.
        expected: String,
    },
    /// A file of ours cannot be understood.
    #[error(
        "export {name}: {file} is damaged ({reason}): put it back from a copy, or give another \
         place, which begins anew"
    )]
    Damaged {
        /// The name of the export.
        name: String,
        /// Which.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Rows cannot be written in a format.
    #[error("export {name}: cannot write rows as {format}")]
    Encode {
        /// The name of the export.
        name: String,
        /// Which format.
        format: &'static str,
        /// What is wrong.
        #[source]
        cause: io::Error,
    },
}

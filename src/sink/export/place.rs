//! Where files go, as far as an export sees it: names to bytes, each whole or not there.

use std::fmt;

/// A folder, or a prefix in an object store. Names have `/` between their parts.
pub trait Place: Send {
    /// What people call it.
    fn name(&self) -> &str;

    /// Puts a file there, whole or not at all, in place of any old one.
    ///
    /// # Errors
    /// It cannot be written.
    fn put(&self, path: &str, bytes: Vec<u8>) -> Result<(), PlaceFault>;

    /// The same, if there is none of its name; tells whether that is so.
    ///
    /// # Errors
    /// It cannot be written.
    fn create(&self, path: &str, bytes: Vec<u8>) -> Result<bool, PlaceFault>;

    /// A whole file, if it is there.
    ///
    /// # Errors
    /// It cannot be read.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, PlaceFault>;

    /// The names of files below a folder that come after `after`, bytewise; `""` is the top, and
    /// before all.
    ///
    /// # Errors
    /// They cannot be listed.
    fn list(&self, folder: &str, after: &str) -> Result<Vec<String>, PlaceFault>;

    /// Deletes files. Those that are gone already are as well.
    ///
    /// # Errors
    /// They cannot be deleted.
    fn delete(&self, paths: Vec<String>) -> Result<(), PlaceFault>;
}

/// Why a place cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceFault {
    /// What is wrong, and what to do, in one line.
    pub message: String,
    /// Whether the same may go well when tried again, with nothing done about it.
    pub passes: bool,
}

impl fmt::Display for PlaceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for PlaceFault {}

//! The little that the log asks of a disk. Tests put one in its place that fails and forgets.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// A disk.
pub(super) trait Disk: Send {
    /// Makes a file, in place of any of this name.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Tail>>;
    /// Opens a file to be written on at this length; what is beyond is cut off.
    fn open(&self, path: &Path, length: u64) -> io::Result<Box<dyn Tail>>;
    /// What was made and deleted in a folder is so for good.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// A file that is written at its end.
pub(super) trait Tail: Send {
    /// Writes all of it, or fails with part of it written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// What was written is there for good.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts it off at this length, and writes on from there; for good.
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

/// The system's.
pub(super) struct System;

impl Disk for System {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Tail>> {
        Ok(Box::new(File::create(path)?))
    }

    fn open(&self, path: &Path, length: u64) -> io::Result<Box<dyn Tail>> {
        let mut file: Box<dyn Tail> = Box::new(OpenOptions::new().write(true).open(path)?);
        file.cut(length)?;
        Ok(file)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

impl Tail for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        use std::io::Seek as _;
        self.set_len(length)?;
        self.seek(io::SeekFrom::Start(length))?;
        self.sync_all()
    }
}

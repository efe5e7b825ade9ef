//! The files of a log, as they are found: named after the offset of their first record.
//!
//! Only the last one can be torn: a file is begun when the one before it is on disk for good. What a
//! crash has torn off was not acknowledged, and is cut off. What is not whole but stands before a
//! whole frame had been acknowledged: that is damage, and is named.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

use super::LogFault;
use super::disk::Disk;
use super::frame::{self, FileHeader, HEADER};
use crate::say::say;

/// A file of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// The offset of its first record.
    pub(super) first: u64,
    /// How much of it is there for good, in bytes.
    pub(super) length: u64,
}

/// What stands in the folder.
#[derive(Debug, PartialEq)]
pub(super) struct Found {
    /// The files, oldest first.
    pub(super) parts: VecDeque<Part>,
    /// The offset after the last record.
    pub(super) end: u64,
}

/// The path of the file that begins with this record.
pub(super) fn path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.log"))
}

/// Finds the files, cutting off what a crash has torn. `end` is 0 where there is none.
pub(super) fn recover(folder: &Path, disk: &dyn Disk) -> Result<Found, LogFault> {
    let mut parts = list(folder)?;
    while let Some(last) = parts.back_mut() {
        let path = path(folder, last.first);
        let bytes = fs::read(&path).map_err(LogFault::io("read", &path))?;
        match frame::read_file_header(&bytes) {
            FileHeader::First(first) if first == last.first => {
                let (whole, end) = scan(&path, &bytes, first)?;
                if whole < last.length {
                    let torn = last.length - whole;
                    disk.open(&path, whole).map_err(LogFault::io("cut", &path))?;
                    say(format_args!(
                        "{}: the last {torn} bytes were torn by a crash before they were \
                         acknowledged; they are cut off, record {end} is next",
                        path.display()
                    ));
                    last.length = whole;
                }
                return Ok(Found { parts, end });
            }
            FileHeader::Version(found) => return Err(LogFault::Version { path, found }),
            FileHeader::First(_) | FileHeader::Damaged => {
                if frame::find(&bytes).is_some() {
                    return Err(LogFault::Damaged { path, at: 0, offset: last.first });
                }
                // Its header was torn: nothing had been written behind it.
                fs::remove_file(&path).map_err(LogFault::io("remove", &path))?;
                disk.sync_folder(folder).map_err(LogFault::io("sync", folder))?;
                say(format_args!("{}: torn by a crash before its use, removed", path.display()));
                parts.pop_back();
            }
        }
    }
    Ok(Found { parts, end: 0 })
}

/// The files by their names.
fn list(folder: &Path) -> Result<VecDeque<Part>, LogFault> {
    let wrong = || LogFault::io("read", folder);
    let mut parts = Vec::new();
    for entry in fs::read_dir(folder).map_err(wrong())? {
        let entry = entry.map_err(wrong())?;
        let name = entry.file_name();
        let first = name.to_str().and_then(|name| name.strip_suffix(".log")?.parse().ok());
        if let Some(first) = first {
            let length = entry.metadata().map_err(wrong())?.len();
            parts.push(Part { first, length });
        }
    }
    parts.sort_by_key(|part| part.first);
    Ok(parts.into())
}

/// How much of the last file is whole, and the offset after that.
fn scan(path: &Path, bytes: &[u8], first: u64) -> Result<(u64, u64), LogFault> {
    let (mut at, mut offset) = (HEADER, first);
    while let Some(header) = frame::whole(&bytes[at..]).filter(|header| header.first == offset) {
        at += HEADER + header.length;
        offset += u64::from(header.records);
    }
    let rest = &bytes[at..];
    let at = at as u64;
    match frame::find(rest) {
        Some(_) => Err(LogFault::Damaged { path: path.to_owned(), at, offset }),
        None => Ok((at, offset)),
    }
}

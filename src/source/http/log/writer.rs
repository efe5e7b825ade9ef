//! The end of the log that is written: frame after frame, each on disk for good before the next.

use std::path::Path;

use super::LogFault;
use super::disk::{Disk, Tail};
use super::files::{self, Part};
use super::frame::{self, Draft, HEADER};

/// How long a file gets before another one is begun, in bytes.
const FILE_BYTES: u64 = 64 << 20;

/// The file that is written.
pub(super) struct Writer {
    disk: Box<dyn Disk>,
    file_bytes: u64,
    tail: Option<Box<dyn Tail>>,
    part: Part,
    /// Whether more may stand in the file than is known to be there.
    is_torn: bool,
}

impl Writer {
    /// Goes on after the last of these files; where there is none, begins one with record `end`.
    pub(super) fn new(disk: Box<dyn Disk>, last: Option<Part>, end: u64) -> Self {
        let part = last.unwrap_or(Part { first: end, length: 0 });
        Writer { disk, file_bytes: FILE_BYTES, tail: None, part, is_torn: true }
    }

    #[cfg(test)]
    pub(super) fn with_files_of(self, file_bytes: u64) -> Self {
        Writer { file_bytes, ..self }
    }

    /// Writes a frame whose first record has this offset, and gives back the file it stands in. It
    /// is on disk for good after that; where it fails, nothing of it will be found, unless the
    /// program dies before the next one is written.
    pub(super) fn write(
        &mut self,
        folder: &Path,
        draft: &mut Draft,
        first: u64,
    ) -> Result<Part, LogFault> {
        if self.part.length == 0 || self.part.length >= self.file_bytes {
            self.begin(folder, first)?;
        }
        let path = files::path(folder, self.part.first);
        let length = self.part.length;
        let tail = match &mut self.tail {
            Some(tail) => tail,
            none => {
                let opened = self.disk.open(&path, length).map_err(LogFault::io("open", &path))?;
                self.is_torn = false;
                none.insert(opened)
            }
        };
        if self.is_torn {
            tail.cut(length).map_err(LogFault::io("cut", &path))?;
        }
        self.is_torn = true;
        let bytes = draft.seal(first);
        tail.write(bytes).map_err(LogFault::io("write", &path))?;
        tail.sync().map_err(LogFault::io("sync", &path))?;
        self.is_torn = false;
        self.part.length += bytes.len() as u64;
        Ok(self.part)
    }

    /// Begins a file. It counts once its header is on disk for good.
    fn begin(&mut self, folder: &Path, first: u64) -> Result<(), LogFault> {
        let path = files::path(folder, first);
        let mut tail = self.disk.create(&path).map_err(LogFault::io("make", &path))?;
        let header = frame::file_header(first);
        tail.write(&header).map_err(LogFault::io("write", &path))?;
        tail.sync().map_err(LogFault::io("sync", &path))?;
        self.disk.sync_folder(folder).map_err(LogFault::io("sync", folder))?;
        self.tail = Some(tail);
        self.part = Part { first, length: HEADER as u64 };
        self.is_torn = false;
        Ok(())
    }

    /// After what has failed, brings the file back to what was acknowledged, if that can be done
    /// now.
    pub(super) fn mend(&mut self) {
        if let (true, Some(tail)) = (self.is_torn, &mut self.tail)
            && tail.cut(self.part.length).is_ok()
        {
            self.is_torn = false;
        }
    }
}

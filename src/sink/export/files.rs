//! Rows to files of a bounded length, each put when it is whole.

use super::encode::{Encode, Row, Table};
use super::{ExportFault, Place, PlaceFault, Settings, Written};
use crate::sink::courier::Failure;

/// How many rows a file has at most, and about how many bytes: it is made in memory.
const FILE_ROWS: u64 = 1_000_000;
const FILE_BYTES: usize = 64 << 20;
/// After how many rows it is looked how long a file has become.
const LOOK_ROWS: usize = 16_384;

/// Files that are being written: `PREFIX0.parquet`, `PREFIX1.parquet`, ….
pub(super) struct Files<'a> {
    place: &'a dyn Place,
    settings: &'a Settings,
    table: Table,
    prefix: String,
    open: Option<(Box<dyn Encode>, u64)>,
    written: Vec<Written>,
}

/// Why files cannot be written.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The place does not take them.
    Place(PlaceFault),
    /// They cannot be made.
    Fault(ExportFault),
}

impl From<PlaceFault> for Stopped {
    fn from(fault: PlaceFault) -> Self {
        Stopped::Place(fault)
    }
}

impl From<ExportFault> for Stopped {
    fn from(fault: ExportFault) -> Self {
        Stopped::Fault(fault)
    }
}

/// While a run goes on, whatever a place says may be mended: it waits, and tries again.
impl From<Stopped> for Failure {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Place(fault) => Failure::Trouble(fault.message, None),
            Stopped::Fault(fault) => Failure::Fault(fault.into()),
        }
    }
}

impl Stopped {
    /// The failure that it is at the start: there, a place that will not mend by itself is of no use.
    pub(super) fn at_start(self, settings: &Settings) -> Failure {
        match self {
            Stopped::Place(ref cause) if !cause.passes => self.fault(settings).into(),
            stopped => stopped.into(),
        }
    }

    /// The fault that it is for those who do not try again.
    pub(super) fn fault(self, settings: &Settings) -> ExportFault {
        match self {
            Stopped::Place(cause) => ExportFault::Place { name: settings.name.clone(), cause },
            Stopped::Fault(fault) => fault,
        }
    }
}

impl<'a> Files<'a> {
    pub(super) fn new(
        (place, settings): (&'a dyn Place, &'a Settings),
        table: Table,
        prefix: String,
    ) -> Self {
        Files { place, settings, table, prefix, open: None, written: Vec::new() }
    }

    pub(super) fn rows(&mut self, rows: &[Row<'_>]) -> Result<(), Stopped> {
        for rows in rows.chunks(LOOK_ROWS) {
            let (mut file, count) = match self.open.take() {
                Some(open) => open,
                None => (self.settings.format.begin(self.table).map_err(self.broken())?, 0),
            };
            file.rows(rows).map_err(self.broken())?;
            let count = count + rows.len() as u64;
            let is_full = count + LOOK_ROWS as u64 > FILE_ROWS || file.bytes() >= FILE_BYTES;
            self.open = Some((file, count));
            if is_full {
                self.end_file()?;
            }
        }
        Ok(())
    }

    fn end_file(&mut self) -> Result<(), Stopped> {
        let Some((file, rows)) = self.open.take() else { return Ok(()) };
        let bytes = file.finish().map_err(self.broken())?;
        let path = format!("{}{}.{}", self.prefix, self.written.len(), self.settings.format);
        let written = Written::new(path, rows, &bytes);
        self.place.put(&written.path, bytes)?;
        self.written.push(written);
        Ok(())
    }

    /// What was written, all of it there.
    pub(super) fn finish(mut self) -> Result<Vec<Written>, Stopped> {
        self.end_file()?;
        Ok(self.written)
    }

    fn broken(&self) -> impl Fn(std::io::Error) -> Stopped + use<> {
        let (name, format) = (self.settings.name.clone(), self.settings.format.word());
        move |cause| Stopped::Fault(ExportFault::Encode { name: name.clone(), format, cause })
    }
}

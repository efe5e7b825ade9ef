//! Who is in a segment, written as Parquet: from the members in memory to the manifest on the disk.

use std::fs;
use std::path::Path;
use std::time::Instant;

use dataflows::model::{Difference, Sign};

use super::error::BenchError;
use super::figures::Figures;
use crate::run::places::place;
use crate::sink::SinkError;
use crate::sink::delivery::{Delivery as _, Item};
use crate::sink::export::{AtEnd, Format, Settings};
use crate::sink::selection::Selection;
use crate::state::Location;

/// Exports so many users of one segment.
pub(super) fn measure(users: u32, folder: &Path) -> Result<Figures, BenchError> {
    let folder = folder.join("export");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(BenchError::file("clear", &folder))?;
    }
    let failed = |error: SinkError| BenchError::Measure(error.to_string());
    let settings = Settings { job: "bench".into(), name: "bench".into(), format: Format::Parquet };
    let place = place("bench", &Location::Folder(folder.clone())).map_err(failed)?;
    let mut export = AtEnd::new(settings, place, Selection::default(), |_, _| {});
    let item = |user: u32| {
        Item::Difference(Difference {
            time: 0,
            segment: "all".into(),
            user: format!("user-{:08x}", user.wrapping_mul(0x9e37_79b1)).into(),
            sign: Sign::Entered,
        })
    };
    export.give((0..users).map(item).collect()).map_err(failed)?;
    export.advance(1).map_err(failed)?;
    let began = Instant::now();
    export.finish().map_err(failed)?;
    let mut figures = Figures::default();
    figures.set("export_s", began.elapsed().as_secs_f64());
    fs::remove_dir_all(&folder).map_err(BenchError::file("clear", &folder))?;
    Ok(figures)
}

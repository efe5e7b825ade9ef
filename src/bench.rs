//! How fast the program is: every figure that is promised, measured, in one table.

mod error;
mod figures;
pub mod latency;
mod resources;
mod shapes;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use dataflows::model;

pub use error::BenchError;
pub use figures::Figures;

use crate::generate::catalogue;
use crate::generate::clicks::Settings;
use latency::{Schedule, Setting};

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Which rows
    #[arg(value_name = "ROW")]
    pub rows: Vec<String>,
    /// Where data, results and plots go
    #[arg(long, value_name = "DIR", default_value = "out/bench")]
    pub out: PathBuf,
}

/// Measures, and says what came of it.
///
/// # Errors
/// Something cannot be read, written or run.
pub fn run(args: &Args) -> Result<(), BenchError> {
    fs::create_dir_all(&args.out).map_err(BenchError::file("make the folder", &args.out))?;
    for row in &args.rows {
        let figures = latency_row(row, &args.out)?;
        let _ = writeln!(io::stderr(), "{row}: {figures:?}");
    }
    Ok(())
}

fn latency_row(row: &str, out: &Path) -> Result<Figures, BenchError> {
    let folder = out.join("segments-latency");
    let (schedule, workers, disorder, more) = match row {
        "latency" | "latency-in-order" => {
            let jitter_ms = if row == "latency" { 5_000 } else { 0 };
            let settings = Settings { jitter_ms, ..Settings::mark(100_000.0) };
            let s = Schedule::clicks(settings, Duration::from_secs(2), Duration::from_secs(6));
            (s, 2, jitter_ms, 1_000)
        }
        "latency-fraud" => {
            let s = Schedule::clicks(
                Settings { jitter_ms: 100, ..Settings::mark(500_000.0) },
                Duration::from_secs(2),
                Duration::from_secs(4),
            );
            (s, 2, 100, 0)
        }
        _ => (Schedule::lone(400, Duration::from_millis(10)), 1, 0, 0),
    };
    shapes::mark(&folder, Some(&catalogue::windows(more, 7)))?;
    let setting = Setting {
        workers,
        timeline: shapes::timeline(&folder)?,
        disorder: model::Duration::from_ms(disorder as i64),
    };
    latency::measure(schedule, setting, out).map(|it| it.0)
}

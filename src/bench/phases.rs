//! Users first, then changes, by the ordinary path from file to file with one worker; each timed
//! by itself.
//!
//! Users come before the first change; the data has that change alone in a chunk (see
//! [`data`](super::data)), so no other is worked on before the differences of all users are out.
//! Those are counted, not kept: only what changes bring about is written.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use dataflows::clock::ClockSettings;
use dataflows::model::Duration;

use super::data::ChangeFiles;
use super::error::BenchError;
use super::figures::Figures;
use super::resources::Cpu;
use super::shapes;
use crate::generate::clicks::START;
use crate::run::{self, Cluster, Form, InputFile, Origin, Outputs, Run};
use crate::sink::Sink;

/// Wall and CPU time so far, and differences, when the users were all in.
type Parting = Arc<Mutex<Option<(f64, f64, u64)>>>;

/// A file that notes when the last difference of a user came.
struct Parted {
    file: BufWriter<File>,
    began: (Instant, Cpu),
    lines: u64,
    parting: Parting,
}

impl Write for Parted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let loaded = bytes.split_inclusive(|byte| *byte == b'\n').take_while(|line| is_early(line));
        let (lines, length) =
            loaded.fold((0, 0), |(lines, length), line| (lines + 1, length + line.len()));
        if lines > 0 {
            let (wall, cpu) = (self.began.0.elapsed().as_secs_f64(), self.began.1.elapsed_s());
            self.lines += lines;
            *lock(&self.parting) = Some((wall, cpu, self.lines));
        }
        self.file.write_all(&bytes[length..])?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Whether a difference is of a user, not of a change.
fn is_early(line: &[u8]) -> bool {
    let digits = line.strip_prefix(b"{\"time\":".as_slice()).unwrap_or_default();
    let time = digits.iter().take_while(|byte| byte.is_ascii_digit());
    time.fold(0, |time, digit| time * 10 + i64::from(digit - b'0')) < START
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs users and changes through these segments; differences go to `out`. Figures: `load_s`, and
/// of the changes alone `change_s`, `per_s`, `us_per_change`, `cpu_us`, `differences`.
pub(super) fn measure(files: &ChangeFiles, out: &Path) -> Result<Figures, BenchError> {
    let timeline = shapes::timeline(&files.segments)?;
    let parting = Parting::default();
    let file = File::create(out).map_err(BenchError::file("create", out))?;
    let began = Instant::now();
    let writer = Parted {
        file: BufWriter::with_capacity(1 << 20, file),
        began: (began, Cpu::now()),
        lines: 0,
        parting: parting.clone(),
    };
    let cpu = Cpu::now();
    let outputs = Outputs {
        differences: vec![(Sink::prompt("the differences", Box::new(writer)), Form::Json)],
        sources: vec![Origin::File(files.stream.clone())],
        ..Outputs::default()
    };
    let disorder = Duration::from_ms(0);
    let run = Run {
        inputs: vec![InputFile { path: files.stream.clone(), mapping: shapes::attributes() }],
        timeline,
        clock: ClockSettings {
            max_out_of_orderness: disorder,
            dedup_horizon: disorder,
            ..ClockSettings::default()
        },
        attributes: Vec::new(),
        retain: None,
        cluster: Cluster::single(1),
        live: None,
        state: None,
    };
    let (summary, _) = run::run(run, outputs)?;
    let (wall_s, cpu_s) = (began.elapsed().as_secs_f64(), cpu.elapsed_s());
    let (load_s, load_cpu_s, load_differences) = lock(&parting).take().ok_or_else(|| {
        BenchError::Measure("no user is in any segment before the first change".to_owned())
    })?;
    let (change_s, changes) = (wall_s - load_s, files.changes as f64);
    let mut figures = Figures::default();
    figures.set("load_s", load_s);
    figures.set("load_differences", load_differences as f64);
    figures.set("change_s", change_s);
    figures.set("per_s", changes / change_s);
    figures.set("us_per_change", change_s * 1e6 / changes);
    figures.set("cpu_us", (cpu_s - load_cpu_s) * 1e6 / changes);
    figures.set("differences", (summary.differences - load_differences) as f64 / changes);
    Ok(figures)
}

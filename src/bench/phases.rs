//! Users first, then changes, by the ordinary path from file to file with one worker; each timed
//! by itself.
//!
//! Records of users have no time, so all of them take effect at the start of time, and their
//! differences are given out when the first change says that it is over. The data has that change
//! alone in a chunk (see [`data`](super::data)), so no other is worked on before they are out.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use dataflows::clock::ClockSettings;
use dataflows::model::Duration;
use dataflows::model::time::MIN_TIME;

use super::data::ChangeFiles;
use super::error::BenchError;
use super::figures::Figures;
use super::resources::Cpu;
use super::shapes;
use crate::run::{self, Cluster, Form, InputFile, Outputs, Run};
use crate::sink::Sink;

/// Wall and CPU time so far, and differences, when the users were all in.
type Parting = Arc<Mutex<Option<(f64, f64, u64)>>>;

/// A file that notes when the last difference of the start of time came.
struct Parted {
    file: BufWriter<File>,
    began: (Instant, Cpu),
    start: Vec<u8>,
    lines: u64,
    parting: Parting,
}

impl Write for Parted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.starts_with(&self.start) {
            let (wall, cpu) = (self.began.0.elapsed().as_secs_f64(), self.began.1.elapsed_s());
            self.lines += memchr::memmem::find_iter(bytes, &self.start).count() as u64;
            *lock(&self.parting) = Some((wall, cpu, self.lines));
        }
        self.file.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
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
        start: format!("{{\"time\":{MIN_TIME},").into_bytes(),
        lines: 0,
        parting: parting.clone(),
    };
    let cpu = Cpu::now();
    let outputs = Outputs {
        differences: vec![(Sink::prompt("the differences", Box::new(writer)), Form::Json)],
        sources: vec![files.stream.clone()],
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
        retain: None,
        cluster: Cluster { workers: 1, process: 0, hosts: Vec::new() },
    };
    let (summary, _) = run::run(run, outputs)?;
    let (wall_s, cpu_s) = (began.elapsed().as_secs_f64(), cpu.elapsed_s());
    let (load_s, load_cpu_s, load_differences) = lock(&parting).take().ok_or_else(|| {
        BenchError::Measure("no user is in any segment from the start".to_owned())
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

//! How fast the program is: every figure that is promised, measured several times, in one table.
//!
//! [`rows`] says what is promised and of which measurements it is made, [`measurement`] what can be
//! measured. Whole programs (ours in [`whole`], others in [`peers`]) and what is measured within
//! this one ([`inside`]) run as [`child`] processes one at a time, so that time and memory are of
//! one alone. Runs go in turn, ours and theirs, so that a slow minute of the machine meets both.

mod alone;
mod causes;
mod child;
mod compare;
mod data;
mod engine;
mod error;
mod exporting;
mod figures;
mod inside;
pub mod latency;
mod machine;
mod measurement;
mod paced;
mod peers;
mod phases;
mod plots;
mod resources;
mod rows;
mod saving;
mod servers;
mod service;
mod shapes;
mod stalls;
mod table;
mod topics;
mod whole;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

pub use error::BenchError;
pub use figures::Figures;

use compare::Comparison;
use data::Data;
use machine::Machine;
use measurement::{Measurement, Size};
use peers::{Peer, Peers};
use rows::{ROWS, Row};
use table::Samples;

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Which rows of the table, or the first part of their names; without any, all of them
    #[arg(value_name = "ROW")]
    pub rows: Vec<String>,
    /// Name the rows, and measure nothing
    #[arg(long)]
    pub list: bool,
    /// How often each measurement is run; what takes minutes is run less often
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub runs: u32,
    /// Where data, results and plots go
    #[arg(long, value_name = "DIR", default_value = "out/bench")]
    pub out: PathBuf,
    /// Where the table goes as JSON [default: results.json in the folder of --out]
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Run other programs beside it, from this folder
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = "../shared/peers")]
    pub peers: Option<PathBuf>,
    /// Tiny sizes: shows that every row runs, and measures nothing of use
    #[arg(long)]
    pub quick: bool,
    /// Make one measurement in this process
    #[arg(long, value_name = "NAME", hide = true)]
    pub measure: Option<String>,
    /// Run a command and note what it used
    #[arg(long, value_name = "FILE", hide = true)]
    pub watch: Option<PathBuf>,
}

/// Measures; gives back what is to be printed.
///
/// # Errors
/// A row that there is not; data, results or a measurement of our own that cannot be made.
pub fn run(args: &Args) -> Result<String, BenchError> {
    if let Some(note) = &args.watch {
        return child::watch(&args.rows, note).map(|()| String::new());
    }
    if args.list {
        let line = |row: &Row| format!("{}  {} ({})\n", row.id, row.what.trim(), row.unit);
        return Ok(ROWS.iter().map(line).collect());
    }
    fs::create_dir_all(&args.out).map_err(BenchError::file("make the folder", &args.out))?;
    let size = Size { quick: args.quick };
    if let Some(name) = &args.measure {
        let peers = args.peers.clone();
        let data = Data::new(&args.out, size, peers);
        let figures = inside::measure(name, &data, size, &args.out)?;
        return Ok(serde_json::to_string(&figures).unwrap_or_default() + "\n");
    }
    Bench::new(args, size)?.run()
}

/// How long the machine is watched before anything is measured on it.
const WATCHED: Duration = Duration::from_secs(3);

/// A bench that is being run.
struct Bench<'a> {
    args: &'a Args,
    rows: Vec<&'static Row>,
    data: Data,
    peers: Result<Peers, String>,
    machine: Machine,
    samples: Samples,
    /// What of our own could not be measured.
    failed: Vec<String>,
}

impl<'a> Bench<'a> {
    fn new(args: &'a Args, size: Size) -> Result<Self, BenchError> {
        let rows = match args.rows.as_slice() {
            [] => ROWS.iter().collect(),
            names => rows::named(names)?,
        };
        let machine = Machine::here(if size.quick { WATCHED / 50 } else { WATCHED });
        let peers = match &args.peers {
            None => Err("needs --peers".to_owned()),
            Some(folder) => Peers::ready(folder, &args.out).map_err(|error| told(&error)),
        };
        let data = Data::new(&args.out, size, peers.as_ref().ok().map(Peers::data));
        fs::create_dir_all(data.folder())
            .map_err(BenchError::file("make the folder", data.folder()))?;
        let (samples, failed) = (Samples::new(), Vec::new());
        Ok(Bench { args, rows, data, peers, machine, samples, failed })
    }

    fn run(mut self) -> Result<String, BenchError> {
        let wanted = self.wanted();
        for run in 0..self.args.runs {
            for name in &wanted {
                let Some(measurement) = Measurement::named(name) else { continue };
                if run < measurement.runs(self.args.runs)
                    && !matches!(self.samples.get(*name), Some(Err(_)))
                {
                    say(&format!("run {} of {}: {name}", run + 1, self.args.runs));
                    self.sample(name, measurement);
                    // At once, so that what comes later cannot lose it.
                    self.write(&[])?;
                }
            }
        }
        let comparisons = self.comparisons()?;
        let text = self.write(&comparisons)?;
        plots::draw(&self.args.out, &self.samples)?;
        if self.failed.is_empty() {
            Ok(text)
        } else {
            Err(BenchError::Measure(self.failed.join("\n")))
        }
    }

    /// The measurements to be made, in the order of the rows, ours before theirs.
    fn wanted(&self) -> Vec<&'static str> {
        let of_rows = self.rows.iter().flat_map(|row| row.value.needs()).map(|(name, _)| name);
        let of_plots = plots::needs().filter(|_| self.args.rows.is_empty());
        let mut wanted = Vec::new();
        for name in of_rows.chain(of_plots) {
            if !wanted.contains(&name) {
                wanted.push(name);
            }
        }
        wanted
    }

    fn sample(&mut self, name: &str, measurement: Measurement) {
        let result = match measurement {
            Measurement::Clicks { slow, workers } => whole::clicks(&self.data, slow, workers),
            Measurement::Memory { attributes, users } => {
                whole::memory(&self.data, attributes, users)
            }
            Measurement::Topics { is_kept } => topics::clicks(&self.data, is_kept),
            Measurement::Recovery => topics::recovery(&self.data),
            Measurement::Server(server) => servers::measure(&self.data, server),
            Measurement::State => topics::attributes(&self.data),
            Measurement::Peer(peer) => match &self.peers {
                Ok(peers) => peers.run(peer, name, &self.data),
                Err(why) => Err(BenchError::Measure(why.clone())),
            },
            _ => self.inside(name),
        };
        let runs = self.samples.entry(name.to_owned()).or_insert_with(|| Ok(Vec::new()));
        match (result, runs) {
            (Ok(figures), Ok(runs)) => runs.push(figures),
            (Ok(_), Err(_)) => {}
            (Err(error), runs) => {
                let why = told(&error);
                if !matches!(measurement, Measurement::Peer(_)) {
                    self.failed.push(format!("{name}: {why}"));
                }
                *runs = Err(why);
            }
        }
    }

    /// A measurement made in a child of this program.
    fn inside(&self, name: &str) -> Result<Figures, BenchError> {
        let shown = |path: &Path| path.display().to_string();
        let mut command = vec![shown(&child::own()?)];
        command.extend(["bench", "--measure", name, "--out"].map(String::from));
        command.push(shown(&self.args.out));
        command.extend(self.args.quick.then(|| "--quick".to_owned()));
        if let Ok(peers) = &self.peers {
            command.push(format!("--peers={}", shown(&peers.data())));
        }
        let (used, said) = child::watched(&command, &self.data.folder().join("usage.json"))?;
        let mut figures: Figures = serde_json::from_str(&said)
            .map_err(|error| BenchError::Measure(format!("{name} said {said:?}: {error}")))?;
        used.iter().for_each(|(name, value)| figures.set(name, value));
        Ok(figures)
    }

    /// Our differences beside theirs, wherever both ran.
    fn comparisons(&self) -> Result<Vec<Comparison>, BenchError> {
        let Ok(peers) = &self.peers else { return Ok(Vec::new()) };
        let mut comparisons = Vec::new();
        for (name, runs) in &self.samples {
            let Some(Measurement::Peer(peer)) = Measurement::named(name) else { continue };
            let ours = match peer {
                Peer::Rust { slow } | Peer::Flink { slow, .. } => [1, 2]
                    .map(|workers| whole::differences(&self.data, slow, workers))
                    .into_iter()
                    .find(|path| path.is_file()),
                Peer::Changes { selective, segments, .. }
                | Peer::FlinkChanges { selective, segments } => {
                    let kind = if selective { "selective" } else { "dense" };
                    let name = format!("w2-{kind}-{segments}.differences.jsonl");
                    Some(self.data.folder().join(name)).filter(|path| path.is_file())
                }
            };
            if let (Some(ours), true) = (ours, runs.is_ok()) {
                comparisons.push(compare::compare(name, &ours, &peers.output(name))?);
            }
        }
        Ok(comparisons)
    }

    /// Writes the table as text and as JSON; gives back the text.
    fn write(&self, comparisons: &[Comparison]) -> Result<String, BenchError> {
        let results: Vec<_> = self
            .rows
            .iter()
            .map(|row| table::result(row, &self.samples, self.args.quick))
            .collect();
        let mut text = table::text(&results, &self.machine, self.args.quick);
        for comparison in comparisons {
            text.push_str(&format!("outputs beside {}\n", comparison.line()));
        }
        let samples: serde_json::Map<_, _> = self
            .samples
            .iter()
            .map(|(name, runs)| match runs {
                Ok(runs) => (name.clone(), json!(runs)),
                Err(why) => (name.clone(), json!(why)),
            })
            .collect();
        let report = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "quick": self.args.quick,
            "machine": self.machine,
            "rows": results,
            "outputs": comparisons,
            "samples": samples,
        });
        let json = self.args.json.clone().unwrap_or_else(|| self.args.out.join("results.json"));
        fs::write(&json, format!("{report:#}\n")).map_err(BenchError::file("write", &json))?;
        let table = self.args.out.join("table.txt");
        fs::write(&table, &text).map_err(BenchError::file("write", &table))?;
        Ok(text)
    }
}

/// An error with its causes, in one line.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string().replace('\n', " ");
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text.push_str(&format!(": {deeper}"));
        cause = deeper.source();
    }
    text
}

/// Says how far it has come, on standard error.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

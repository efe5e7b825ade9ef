//! Other programs over the same bytes, run in turn with ours: Flink (heap and RocksDB state) and
//! straight-line Rust that does only the one workload.
//!
//! The folder of the peers is never written to. Where it is not ready to run, it is copied beside
//! the results and set up there by its own script.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::child;
use super::data::{self, ChangeFiles, Data};
use super::error::BenchError;
use super::figures::Figures;

/// Another program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    /// Straight-line Rust over clicks.
    Rust { slow: bool },
    /// Flink over clicks.
    Flink { state: State, slow: bool },
    /// Straight-line Rust over changes: re-evaluates what mentions the attribute, or (`flip`) only
    /// what has a condition that changed.
    Changes { flip: bool, selective: bool, segments: u32 },
    /// Flink over changes.
    FlinkChanges { selective: bool, segments: u32 },
}

/// Where Flink keeps state, and how warm its virtual machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Cold,
    Warm,
    RocksDb,
}

impl Peer {
    /// The peer of this name, in parts.
    pub(super) fn named(parts: &[&str]) -> Option<Self> {
        let slow = |name: &str| Some(name == "w1s").filter(|_| name.starts_with("w1"));
        Some(match *parts {
            ["rust", stream] => Peer::Rust { slow: slow(stream)? },
            ["flink-cold", stream] => Peer::Flink { state: State::Cold, slow: slow(stream)? },
            ["flink-warm", stream] => Peer::Flink { state: State::Warm, slow: slow(stream)? },
            ["flink-rocksdb", stream] => Peer::Flink { state: State::RocksDb, slow: slow(stream)? },
            [kind @ ("index" | "flip"), rules, segments] => Peer::Changes {
                flip: kind == "flip",
                selective: rules == "selective",
                segments: segments.parse().ok()?,
            },
            ["flink-w2", rules, segments] => Peer::FlinkChanges {
                selective: rules == "selective",
                segments: segments.parse().ok()?,
            },
            _ => return None,
        })
    }

    /// How often it is run at most: what takes minutes once or twice.
    pub(super) fn runs_max(self) -> u32 {
        match self {
            Peer::Flink { state: State::RocksDb, .. } => 1,
            Peer::Changes { segments: 10_000.., .. } => 2,
            _ => u32::MAX,
        }
    }
}

/// Peers that are ready to run.
#[derive(Debug, Clone)]
pub(super) struct Peers {
    root: PathBuf,
    out: PathBuf,
}

impl Peers {
    /// Those of a folder; set up in `out` if they are not ready there.
    pub(super) fn ready(folder: &Path, out: &Path) -> Result<Self, BenchError> {
        let folder =
            fs::canonicalize(folder).map_err(BenchError::file("find the peers in", folder))?;
        let results = out.join("peers-out");
        fs::create_dir_all(&results).map_err(BenchError::file("make the folder", &results))?;
        let results = fs::canonicalize(&results).map_err(BenchError::file("find", &results))?;
        let found = Peers { root: folder.clone(), out: results.clone() };
        if found.is_ready() {
            return Ok(found);
        }
        let own = out.join("peers");
        copy(&folder, &own).map_err(BenchError::file("copy the peers to", &own))?;
        let own = fs::canonicalize(&own).map_err(BenchError::file("find", &own))?;
        let peers = Peers { root: own.clone(), out: results };
        if !peers.is_ready() {
            // They are built as locked, and come without a lock.
            let rust = own.join("rust");
            let has_lock = || rust.join("Cargo.lock").is_file();
            if rust.join("Cargo.toml").is_file() && !has_lock() {
                let locked =
                    Command::new("cargo").arg("generate-lockfile").current_dir(&rust).status();
                locked.map_err(BenchError::file("run cargo generate-lockfile in", &rust))?;
            }
            let ran = Command::new("bash")
                .args(["run-peers.sh", "2000000", "1", "setup", "data"])
                .current_dir(&own)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .status();
            let status = ran.map_err(BenchError::file("run run-peers.sh in", &own))?;
            if !status.success() && !peers.is_ready() {
                let said = format!("it ended with {status}; see {}", own.display());
                return Err(BenchError::Child { what: "run-peers.sh setup data".into(), said });
            }
        }
        Ok(peers)
    }

    fn is_ready(&self) -> bool {
        let there = ["rust/target/release/w1", "rust/target/release/w2", "flink/classes/W1.class"];
        there.iter().all(|file| self.root.join(file).is_file()) && self.flink_jars().is_some()
    }

    /// Their own data.
    pub(super) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Flink's libraries, wherever Python has put them.
    fn flink_jars(&self) -> Option<PathBuf> {
        let versions = fs::read_dir(self.root.join("venv/lib")).ok()?;
        let jars = |version: io::Result<fs::DirEntry>| {
            let jars = version.ok()?.path().join("site-packages/pyflink/lib");
            jars.is_dir().then_some(jars)
        };
        versions.filter_map(jars).next()
    }

    /// Runs one; its outputs are at [`output`](Self::output).
    pub(super) fn run(&self, peer: Peer, name: &str, data: &Data) -> Result<Figures, BenchError> {
        let out = self.output_stem(name);
        let (command, count) = match peer {
            Peer::Rust { slow } => {
                let whole = data.clicks(slow)?.whole;
                let count = data::lines(&whole)?;
                let command = self.rust("w1", &[shown(&whole), shown(&out)]);
                (command, count)
            }
            Peer::Flink { state, slow } => {
                let [first, second] = data.clicks(slow)?.parts.each_ref().map(|it| absolute(it));
                let count = data::lines(&first)? + data::lines(&second)?;
                let state: &[&str] = match state {
                    State::Cold => &["heap", "1"],
                    State::Warm => &["heap", "3"],
                    State::RocksDb => &["rocksdb", "1", "0", "trim"],
                };
                let parts = format!("{},{}", first.display(), second.display());
                let mut arguments = vec!["W1".to_owned(), parts, shown(&out)];
                arguments.extend(state.iter().map(|it| (*it).to_owned()));
                (self.java(&arguments)?, count)
            }
            Peer::Changes { flip, selective, segments } => {
                let files = data.changes(selective, segments)?;
                let alg = if flip { "flip" } else { "index" };
                let segments = number_of_segments(&files)?;
                let arguments =
                    [shown(&files.folder), segments, shown(&out), "--alg".into(), alg.into()];
                (self.rust("w2", &arguments), files.changes)
            }
            Peer::FlinkChanges { selective, segments } => {
                let files = data.changes(selective, segments)?;
                let folder = dealt_out(&files, &self.out.join(format!("{}-data", stem(name))))?;
                let segments = number_of_segments(&files)?;
                let arguments = ["W2".into(), shown(&folder), segments, shown(&out), "1".into()];
                (self.java(&arguments)?, files.changes)
            }
        };
        let note = self.out.join("usage.json");
        let (mut figures, said) = child::watched(&command, &note)?;
        let steady_s = steady_s(&said)
            .ok_or_else(|| BenchError::Measure(format!("{name} printed no RESULT: {said}")))?;
        figures.set("steady_s", steady_s);
        figures.set("per_s", count as f64 / steady_s);
        let cpu_s = figures.get("cpu_s").unwrap_or(f64::NAN);
        figures.set("cpu_ns", cpu_s * 1e9 / count as f64);
        Ok(figures)
    }

    /// The files a peer wrote its differences to.
    pub(super) fn output(&self, name: &str) -> Vec<PathBuf> {
        let stem = self.output_stem(name);
        let numbered = [0, 1].map(|part| PathBuf::from(format!("{}.{part}", stem.display())));
        std::iter::once(stem).chain(numbered).filter(|path| path.is_file()).collect()
    }

    fn output_stem(&self, name: &str) -> PathBuf {
        self.out.join(stem(name))
    }

    fn rust(&self, program: &str, arguments: &[String]) -> Vec<String> {
        let program = self.root.join("rust/target/release").join(program);
        std::iter::once(shown(&program)).chain(arguments.iter().cloned()).collect()
    }

    fn java(&self, arguments: &[String]) -> Result<Vec<String>, BenchError> {
        let flink = self.root.join("flink");
        let jars = self
            .flink_jars()
            .ok_or_else(|| BenchError::Measure("the libraries of Flink are missing".to_owned()))?;
        let opened = ["util", "lang", "time", "util.concurrent", "io", "nio"];
        let mut command: Vec<String> =
            ["java", "-Xmx6g", "-XX:+UseParallelGC"].map(String::from).into();
        command.extend(opened.map(|it| format!("--add-opens=java.base/java.{it}=ALL-UNNAMED")));
        let log = flink.join("log4j2.properties");
        command.push(format!("-Dlog4j2.configurationFile=file:{}", log.display()));
        command.push("-cp".to_owned());
        command.push(format!("{}:{}/*", flink.join("classes").display(), jars.display()));
        command.extend(arguments.iter().cloned());
        Ok(command)
    }
}

fn stem(name: &str) -> String {
    format!("{}.csv", name.replace('/', "-"))
}

fn absolute(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn shown(path: &Path) -> String {
    absolute(path).display().to_string()
}

/// `1000` of `segments-1000.json`.
fn number_of_segments(files: &ChangeFiles) -> Result<String, BenchError> {
    let name = files.segments.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    name.strip_prefix("segments-")
        .map(str::to_owned)
        .ok_or_else(|| BenchError::Measure(format!("{name} is not segments-N")))
}

/// The seconds of the last `RESULT` line that count: of the changes, of the job without its start,
/// or of the whole.
fn steady_s(said: &str) -> Option<f64> {
    let line = said.lines().rfind(|line| line.starts_with("RESULT"))?;
    let value = |name: &str| {
        let word = line.split_whitespace().find_map(|word| word.strip_prefix(name))?;
        word.strip_prefix('=')?.parse().ok()
    };
    ["change_s", "net_runtime_s", "job_s", "run_s", "wall_s"].iter().find_map(|name| value(name))
}

/// A folder with all records dealt out by user to `stream.p0.jsonl` and `stream.p1.jsonl`.
fn dealt_out(files: &ChangeFiles, folder: &Path) -> Result<PathBuf, BenchError> {
    let deal = || {
        fs::create_dir_all(folder)?;
        let name = files.segments.file_name().unwrap_or_default();
        fs::copy(&files.segments, folder.join(name))?;
        let part = |part: usize| {
            let file = File::create(folder.join(format!("stream.p{part}.jsonl")));
            file.map(|file| BufWriter::with_capacity(1 << 20, file))
        };
        let mut parts = [part(0)?, part(1)?];
        let mut stream = BufReader::with_capacity(1 << 20, File::open(&files.stream)?);
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line)? > 0 {
            if line.trim_ascii().is_empty() {
                line.clear();
                continue;
            }
            let user = line.split(|byte| *byte == b'"').nth(3).unwrap_or_default();
            let odd = user.last().is_some_and(|digit| digit % 2 == 1);
            parts[usize::from(odd)].write_all(&line)?;
            line.clear();
        }
        parts.iter_mut().try_for_each(Write::flush)
    };
    deal().map_err(BenchError::file("make data in", folder))?;
    Ok(absolute(folder))
}

/// Copies what a setup starts from: not what it makes.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    const MADE: [&str; 7] = ["venv", "venv-py", "target", "classes", "data", "out", "log"];
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if MADE.iter().any(|made| name == *made) {
            continue;
        }
        let target = to.join(&name);
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else if !target.exists() {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_result_counts_and_its_changes_before_the_whole() {
        let warm =
            "RESULT rep=0 job_s=4.0 net_runtime_s=3.0\nRESULT rep=1 job_s=2.0 net_runtime_s=1.5\n";
        assert_eq!(steady_s(warm), Some(1.5));
        assert_eq!(steady_s("RESULT boot_s=9 change_s=2.5 job_s=11"), Some(2.5));
        assert_eq!(steady_s("RESULT lines=5 wall_s=0.250"), Some(0.25));
        assert_eq!(steady_s("nothing"), None);
    }
}

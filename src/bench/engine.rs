//! The job that is measured: a process of its own, told to end when it is done.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::child;
use super::error::BenchError;

/// How a run says where it listens.
const LISTENING: &str = "listening on http://";
/// How long it may take to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many of the last lines it said are told when it fails.
const SAID_LINES: usize = 8;

/// A running job. Dropped, it is ended at once.
pub(super) struct Engine {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
    listening: Receiver<SocketAddr>,
}

fn wrong(what: impl std::fmt::Display) -> BenchError {
    BenchError::Measure(what.to_string())
}

impl Engine {
    /// Starts a job.
    pub(super) fn start(job: &Path, workers: usize) -> Result<Self, BenchError> {
        let own = child::own()?;
        let mut child = Command::new(&own)
            .arg("run")
            .arg(job)
            .args(["--workers", &workers.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(BenchError::file("start", &own))?;
        let stderr = child.stderr.take().ok_or_else(|| wrong("the job says nothing"))?;
        let (said, (tell, listening)) = (Arc::default(), sync_channel(1));
        let own = Arc::clone(&said);
        std::thread::spawn(move || keep(stderr, &own, &tell));
        Ok(Engine { child, said, listening })
    }

    /// Waits until it listens; where, is told once.
    pub(super) fn listening(&self) -> Result<SocketAddr, BenchError> {
        self.listening.recv().map_err(|_| {
            let (what, said) = ("rivulet run".to_owned(), self.said());
            BenchError::Child { what, said }
        })
    }

    /// What it said last.
    pub(super) fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// Bytes of memory it has now, and the most it had since [it was asked to forget](Self::forget).
    pub(super) fn memory(&self) -> Result<(f64, f64), BenchError> {
        let path = format!("/proc/{}/status", self.child.id());
        let text = fs::read_to_string(&path).map_err(BenchError::file("read", Path::new(&path)))?;
        let bytes = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
            number.map(|kib| kib * 1_024.0)
        };
        bytes("VmRSS:")
            .zip(bytes("VmHWM:"))
            .ok_or_else(|| wrong(format!("{path} does not tell of memory")))
    }

    /// The most memory it had is what it has now.
    pub(super) fn forget(&self) -> Result<(), BenchError> {
        let path = format!("/proc/{}/clear_refs", self.child.id());
        fs::write(&path, "5").map_err(BenchError::file("write", Path::new(&path)))
    }

    /// Seconds of CPU it has used.
    pub(super) fn cpu_s(&self) -> Result<f64, BenchError> {
        let tasks = format!("/proc/{}/task", self.child.id());
        let mut ns = 0.0;
        for task in
            fs::read_dir(&tasks).map_err(BenchError::file("read", Path::new(&tasks)))?.flatten()
        {
            // A thread may end meanwhile.
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            ns += text.split(' ').next().and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
        }
        Ok(ns / 1e9)
    }

    /// Tells it to end, and waits until it has.
    pub(super) fn end(mut self) -> Result<(), BenchError> {
        let id = i32::try_from(self.child.id()).map_err(wrong)?;
        kill(Pid::from_raw(id), Signal::SIGTERM).map_err(wrong)?;
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            match self.child.try_wait().map_err(wrong)? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    let said = format!("it ended with {status}: {}", self.said());
                    return Err(BenchError::Child { what: "rivulet run".to_owned(), said });
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        Err(wrong("the job does not end"))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads what it says, for it would stand still one day if nobody did; keeps the last of it.
fn keep(stderr: ChildStderr, said: &Mutex<Vec<String>>, tell: &SyncSender<SocketAddr>) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        if let Some(address) = line.strip_prefix(LISTENING).and_then(|it| it.trim().parse().ok()) {
            // Nobody may want to know.
            let _ = tell.try_send(address);
        }
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        let surplus = (said.len() + 1).saturating_sub(SAID_LINES);
        said.drain(..surplus);
        said.push(line);
    }
}

//! Real servers for tests, each on its own port and folder. A server is killed when the standard
//! input of the shell beside it is closed, so it does not outlive the test process however that
//! ends.

#![allow(dead_code, reason = "every test file uses a part of it")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use tempfile::TempDir;

use crate::common::eventually;

/// Runs what it is given until nobody is there any more.
const GUARD: &str = r#""$@" </dev/null & own=$!; cat >/dev/null; kill -KILL $own; wait $own"#;

/// A server, its port and its data.
pub(crate) struct Server {
    folder: TempDir,
    pub(crate) port: u16,
    guard: Mutex<Option<Child>>,
}

impl Server {
    /// One that does not run yet.
    pub(crate) fn new() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        Server { folder: TempDir::new().unwrap(), port, guard: Mutex::default() }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder().join("log")
    }

    /// Starts it with these words, and waits until it answers.
    pub(crate) fn start(&self, words: &[String], answers: impl FnMut() -> bool) {
        let log = std::fs::File::options().create(true).append(true).open(self.log()).unwrap();
        let guard = Command::new("bash")
            .args(["-c", GUARD, "guard"])
            .args(words)
            .current_dir(self.folder())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        *self.guard.lock().unwrap() = Some(guard);
        eventually(&format!("{} answers, see {:?}", words[0], self.log()), answers);
    }

    /// Kills it, as a machine that fails would.
    pub(crate) fn kill(&self) {
        if let Some(mut guard) = self.guard.lock().unwrap().take() {
            drop(guard.stdin.take());
            guard.wait().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

//! Definitions watched while a job runs: read anew when their files change.
//!
//! The system tells of changes; where it does not (file systems of the network), a look at the
//! files now and then does; and a signal has them read at once. What is wrong is said, and what was
//! in force stays.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};
use std::{fs, io};

use dataflows::catalog::Catalog;
use notify::{RecursiveMode, Watcher as _};

use super::{files, load};
use crate::say::{say, warn};

/// How long nothing may have changed before files are read: an edit of several is one.
const QUIET: Duration = Duration::from_millis(150);
/// How often files are looked at though nothing was told.
const POLL: Duration = Duration::from_secs(3);
/// How often signals are looked at.
const TICK: Duration = Duration::from_millis(50);

/// A watch over a file or folder of definitions; it ends when this is dropped.
pub struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    path: PathBuf,
    /// What stands in the files, and has not been taken yet.
    wanted: Mutex<Option<Catalog>>,
    /// Whether to read at once.
    read_now: Arc<AtomicBool>,
    is_over: AtomicBool,
}

/// By which a change of files is told: path, time, length.
type Looks = Vec<(PathBuf, Option<SystemTime>, u64)>;

impl Watch {
    /// Begins to watch. What stands there is read once at the start, too.
    pub fn begin(path: PathBuf, read_now: Arc<AtomicBool>) -> Self {
        let (wanted, is_over) = (Mutex::new(None), AtomicBool::new(false));
        let shared = Arc::new(Shared { path, wanted, read_now, is_over });
        let own = Arc::clone(&shared);
        let thread = std::thread::spawn(move || own.watch());
        Watch { shared, thread: Some(thread) }
    }

    /// The newest definitions that stand together, if they have been read since the last time.
    pub fn take(&self) -> Option<Catalog> {
        self.shared.wanted.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        // One that has panicked was told of already.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Shared {
    fn watch(&self) {
        let (told, _watcher) = tell_of_changes(&self.path);
        let (mut read, mut last, mut looked) = (None, None, Instant::now());
        let (mut is_told, mut was_wrong) = (true, false);
        while !self.is_over.load(Ordering::Acquire) {
            match told.recv_timeout(TICK) {
                Ok(()) => is_told = true,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => std::thread::park_timeout(TICK),
            }
            let at_once = self.read_now.swap(false, Ordering::AcqRel);
            let wait = if is_told { QUIET } else { POLL };
            if !at_once && looked.elapsed() < wait {
                continue;
            }
            looked = Instant::now();
            let looks = Some(looks(&self.path).ok());
            // Beside the files, others may change all the time: these must have come to rest.
            if at_once || (looks != read && looks == last) {
                was_wrong = self.read(was_wrong);
                read.clone_from(&looks);
            }
            is_told = looks != read;
            last = looks;
        }
    }

    /// Reads what stands there; whether it is wrong.
    fn read(&self, was_wrong: bool) -> bool {
        match load(&self.path) {
            Ok(loaded) => {
                if was_wrong {
                    say(format_args!("{}: nothing is wrong any more", self.path.display()));
                }
                let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
                *wanted = Some(loaded.catalog);
                false
            }
            Err(problems) => {
                let path = self.path.display();
                warn(format_args!("{problems}\n{path}: what was in force stays; mend it and save"));
                true
            }
        }
    }
}

/// Where changes are told, and what has to be kept for it. Told without end where there may be more
/// changes than are told of; never where the system cannot.
fn tell_of_changes(path: &Path) -> (Receiver<()>, Option<notify::RecommendedWatcher>) {
    let (tell, told) = sync_channel(1);
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Being read is no change; and one that waits stands for all.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            let _ = tell.try_send(());
        }
    });
    let folder = match fs::metadata(path) {
        Ok(about) if about.is_dir() => path,
        // A file that is replaced is another one, in the same folder.
        _ => path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new(".")),
    };
    let watcher = watcher.and_then(|mut watcher| {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    match watcher {
        Ok(watcher) => (told, Some(watcher)),
        Err(error) => {
            let every = POLL.as_secs();
            warn(format_args!(
                "{}: changes are not told here ({error}): it is looked at every {every} s",
                path.display()
            ));
            (told, None)
        }
    }
}

fn looks(path: &Path) -> io::Result<Looks> {
    let look = |file: PathBuf| {
        let about = fs::metadata(&file)?;
        Ok((file, about.modified().ok(), about.len()))
    };
    files(path)?.into_iter().map(look).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"{"id":"one","rules":{"everyone":true}}"#;

    fn taken(watch: &Watch) -> Vec<String> {
        let began = Instant::now();
        loop {
            if let Some(catalog) = watch.take() {
                return catalog.iter().map(|it| it.id.to_string()).collect();
            }
            assert!(began.elapsed() < Duration::from_secs(60), "nothing is read");
            std::thread::park_timeout(TICK);
        }
    }

    #[test]
    fn a_folder_is_read_when_files_come_and_go_and_when_told() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("1.json"), ONE).unwrap();
        let read_now = Arc::new(AtomicBool::new(false));
        let watch = Watch::begin(folder.path().into(), Arc::clone(&read_now));
        assert_eq!(taken(&watch), ["one"]);
        fs::write(path("2.json.new"), ONE.replace("\"one\"", "\"two\"")).unwrap();
        fs::rename(path("2.json.new"), path("2.json")).unwrap();
        assert_eq!(taken(&watch), ["one", "two"]);
        fs::remove_file(path("1.json")).unwrap();
        assert_eq!(taken(&watch), ["two"]);
        read_now.store(true, Ordering::Release);
        assert_eq!(taken(&watch), ["two"]);
    }
}

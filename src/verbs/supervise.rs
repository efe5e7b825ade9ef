//! `run --supervise`: a process that starts the job again whenever it dies.
//!
//! A process of a cluster that loses another one ends, for it cannot go on alone; each machine's
//! supervisor starts its own again, and they find one another. With state, all go on from the last
//! checkpoint.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::parent_id;
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::run::told_to_stop;
use super::{error, warn};

/// How long to wait before it is started again: at first, and at most.
const AGAIN: Duration = Duration::from_millis(200);
const AGAIN_MAX: Duration = Duration::from_secs(30);
/// What has lived so long is not in trouble.
const LONG: Duration = Duration::from_secs(60);
/// How often it is looked whether the job still runs.
const LOOK: Duration = Duration::from_millis(20);
/// Codes up to this are the job's own word: it is done, or someone has something to mend.
const LAST_WORD: i32 = 2;

/// Runs the job that the arguments of this process name, again and again; the code it ends with.
pub(super) fn supervise() -> io::Result<ExitCode> {
    let stop = told_to_stop()?;
    let (mut wait, mut lives) = (AGAIN, 0_u64);
    loop {
        let began = Instant::now();
        let own = again(std::env::args_os().skip(1), lives == 0);
        lives += 1;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(own).arg("--supervised-by").arg(std::process::id().to_string());
        let child = command.spawn()?;
        let status = watch(child, &stop)?;
        if let Some(code @ 0..=LAST_WORD) = status.code() {
            return Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)));
        }
        if stop.load(Ordering::Acquire) {
            error(format_args!("the job was told to stop, and ended by {status}"));
            return Ok(ExitCode::FAILURE);
        }
        wait = if began.elapsed() >= LONG { AGAIN } else { wait };
        warn(format_args!("the job ended by {status}: starting it again in {wait:?}"));
        let until = Instant::now() + wait;
        while Instant::now() < until && !stop.load(Ordering::Acquire) {
            thread::sleep(LOOK);
        }
        wait = (wait * 2).min(AGAIN_MAX);
    }
}

/// Ends a job in order whose supervisor is gone: the next one would start a second beside it.
pub(super) fn end_without(supervisor: u32, stop: &Arc<AtomicBool>) {
    let stop = Arc::clone(stop);
    thread::spawn(move || {
        while parent_id() == supervisor {
            thread::sleep(LOOK);
        }
        warn(format_args!("the supervisor is gone, so the job ends"));
        stop.store(true, Ordering::Release);
    });
}

/// The arguments of a life. What is to be rebuilt is begun by the first; the others carry on.
fn again(own: impl Iterator<Item = OsString>, is_first: bool) -> Vec<OsString> {
    let mut own = own.filter(|word| word != "--supervise");
    let mut words = Vec::new();
    while let Some(word) = own.next() {
        if is_first {
            words.push(word);
        } else if word == "--rebuild" {
            _ = own.next(); // the name of the sink
        } else if !word.to_string_lossy().starts_with("--rebuild=") {
            words.push(word);
        }
    }
    words
}

/// Waits for the job, and passes on that it is to stop.
fn watch(mut child: Child, stop: &AtomicBool) -> io::Result<ExitStatus> {
    let mut is_told = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if stop.load(Ordering::Acquire) && !is_told {
            is_told = true;
            let id = i32::try_from(child.id()).map_err(io::Error::other)?;
            kill(Pid::from_raw(id), Signal::SIGTERM)?;
        }
        thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_life_rebuilds() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let typed = "run job.toml --supervise --rebuild redis --workers 2 --rebuild=some";
        let first = words("run job.toml --rebuild redis --workers 2 --rebuild=some");
        assert_eq!(again(words(typed).into_iter(), true), first);
        assert_eq!(again(words(typed).into_iter(), false), words("run job.toml --workers 2"));
    }
}

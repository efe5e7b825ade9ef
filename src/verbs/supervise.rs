//! `run --supervise`: a process that starts the job again whenever it dies.
//!
//! A process of a cluster that loses another one ends, for it cannot go on alone; each machine's
//! supervisor starts its own again, and they find one another. With state, all go on from the last
//! checkpoint.

use std::io;
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::run::told_to_stop;
use super::say;

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
    let mut wait = AGAIN;
    loop {
        let began = Instant::now();
        let own = std::env::args_os().skip(1).filter(|it| it != "--supervise");
        let child = Command::new(std::env::current_exe()?).args(own).spawn()?;
        let status = watch(child, &stop)?;
        if let Some(code @ 0..=LAST_WORD) = status.code() {
            return Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)));
        }
        if stop.load(Ordering::Acquire) {
            say(format_args!("the job was told to stop, and ended by {status}"));
            return Ok(ExitCode::FAILURE);
        }
        wait = if began.elapsed() >= LONG { AGAIN } else { wait };
        say(format_args!("the job ended by {status}: starting it again in {wait:?}"));
        let until = Instant::now() + wait;
        while Instant::now() < until && !stop.load(Ordering::Acquire) {
            thread::sleep(LOOK);
        }
        wait = (wait * 2).min(AGAIN_MAX);
    }
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

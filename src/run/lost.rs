//! What becomes of a process that loses another one of its cluster.
//!
//! Timely has no way back from that: its threads panic. What they have to say is said in one line,
//! and the process ends with a code of its own, before anything else comes of it.

use std::fmt::Display;
use std::panic::{self, PanicHookInfo};

use crate::say::{error, warn};

/// The code of a process that has lost another one: whoever started it may start it again.
pub const LOST: i32 = 3;

/// From now on the loss of another process, at one of these addresses, ends this one.
pub(super) fn end_when_lost(hosts: &[String]) {
    let (usual, hosts) = (panic::take_hook(), hosts.to_vec());
    panic::set_hook(Box::new(move |panic| match lost(panic) {
        Some(how) => {
            let who = which(&hosts).unwrap_or_else(|| "another process of the cluster".to_owned());
            error(format_args!(
                "{who} is gone ({how}): this one ends, too. Start all of them again with the same \
                 arguments, or with --supervise; with state they go on from the last checkpoint"
            ));
            end();
        }
        None => usual(panic),
    }));
}

/// Ends this process, which is to be started again.
pub(super) fn start_again(why: &dyn Display) -> ! {
    warn(format_args!("{why}"));
    end()
}

#[expect(clippy::exit, reason = "no thread can bring this process to its end any more")]
fn end() -> ! {
    std::process::exit(LOST)
}

/// What timely's threads for the network say.
fn lost(panic: &PanicHookInfo<'_>) -> Option<String> {
    let text = panic.payload().downcast_ref::<String>()?;
    let how = text.strip_prefix("timely communication error: ")?;
    Some(how.to_owned())
}

/// With which process this thread of timely's speaks.
fn which(hosts: &[String]) -> Option<String> {
    let thread = std::thread::current();
    let (_, number) = thread.name()?.strip_prefix("timely:")?.rsplit_once('-')?;
    let process: usize = number.parse().ok()?;
    Some(format!("process {process} at {}", hosts.get(process)?))
}

//! What this process has used so far.

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// CPU time, user and system, of all threads of this process, from a moment on.
pub(super) struct Cpu(f64);

impl Cpu {
    pub(super) fn now() -> Self {
        Cpu(spent_s(UsageWho::RUSAGE_SELF))
    }

    pub(super) fn elapsed_s(&self) -> f64 {
        spent_s(UsageWho::RUSAGE_SELF) - self.0
    }
}

fn spent_s(who: UsageWho) -> f64 {
    getrusage(who).map_or(0.0, |usage| cpu_s(&usage))
}

/// User and system time together.
pub(super) fn cpu_s(usage: &Usage) -> f64 {
    (usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6
}

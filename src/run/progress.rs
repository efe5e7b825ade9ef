//! How far a long run has come, for people at a terminal.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::ingest::Partitions;

/// Runs that are over sooner show nothing.
const LONG: Duration = Duration::from_secs(1);
/// Fits a line of 80 columns.
const FORM: &str = "{bar:24} {percent:>3} % {msg} (eta {eta})";

/// A bar on standard error, if that is a terminal.
pub(super) struct Progress {
    bar: ProgressBar,
    began: Instant,
    /// Whether it has been brought up, or never is to be.
    settled: AtomicBool,
}

impl Progress {
    /// A bar over these files; none where differences go to the terminal themselves.
    pub(super) fn new(partitions: &Partitions, is_wanted: bool) -> Self {
        let total = partitions.progress().total;
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        let bar = match ProgressStyle::with_template(FORM) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        };
        Progress { bar, began: Instant::now(), settled: AtomicBool::new(!is_wanted) }
    }

    /// Says how far the files have been read.
    pub(super) fn tell(&self, partitions: &Partitions) {
        let elapsed = self.began.elapsed();
        if elapsed < LONG {
            return;
        }
        if !self.settled.swap(true, Ordering::Relaxed) {
            self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(4));
        }
        let rate = partitions.read() as f64 / elapsed.as_secs_f64();
        self.bar.set_position(partitions.progress().read);
        self.bar.set_message(format!("{} records, {rate:.0}/s", partitions.read()));
    }

    /// Leaves nothing behind.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

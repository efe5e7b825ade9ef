//! How often the machine itself stands still: what a loop that does nothing but read the clock
//! notices. On a machine that is shared with others, latencies below that are not to be had, whoever
//! is measured.

use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

/// What takes longer between two looks at the clock is a stall.
const NOTICED: Duration = Duration::from_millis(1);

/// Stalls of all cores.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Stalls {
    /// Which part of the time they took.
    pub(super) share: f64,
    /// How long the longest was, in milliseconds.
    pub(super) longest_ms: f64,
}

impl Stalls {
    /// Watches all cores for so long.
    pub(super) fn watch(cores: usize, watched: Duration) -> Self {
        let lost: Vec<Duration> = thread::scope(|scope| {
            let each = (0..cores).map(|_| scope.spawn(|| watch(watched))).collect::<Vec<_>>();
            // A loop that reads a clock does not panic.
            each.into_iter().filter_map(|it| it.join().ok()).flatten().collect()
        });
        let whole = watched.as_secs_f64() * cores.max(1) as f64;
        Stalls {
            share: lost.iter().sum::<Duration>().as_secs_f64() / whole,
            longest_ms: lost.iter().max().map_or(0.0, |longest| longest.as_secs_f64() * 1e3),
        }
    }
}

fn watch(watched: Duration) -> Vec<Duration> {
    let (began, mut stalls) = (Instant::now(), Vec::new());
    let mut last = began;
    while last - began < watched {
        let now = Instant::now();
        if now - last > NOTICED {
            stalls.push(now - last);
        }
        last = now;
    }
    stalls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_of_all_cores() {
        let stalls = Stalls::watch(2, Duration::from_millis(5));
        // It says nothing of a machine, but what it says is possible: the last stall may go beyond
        // the end.
        assert!(stalls.share >= 0.0 && stalls.longest_ms >= 0.0);
        assert_eq!(stalls.longest_ms > 0.0, stalls.share > 0.0);
    }
}

//! The machine that was measured on, as far as the system tells.

use std::fs;
use std::time::Duration;

use serde::Serialize;

use super::stalls::Stalls;

/// The machine.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Machine {
    pub(super) cpu: String,
    pub(super) cores: usize,
    pub(super) memory_bytes: u64,
    pub(super) system: String,
    /// Of the last minute, when the bench began: above 0.5, others were at work.
    pub(super) load: f64,
    /// How often it stands still by itself.
    pub(super) stalls: Stalls,
}

impl Machine {
    /// This one, watched for so long.
    pub(super) fn here(watched: Duration) -> Self {
        let after = |file: &str, key: &str| {
            let text = fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(key))?.to_owned();
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let kib = after("/proc/meminfo", "MemTotal").and_then(|text| {
            text.split_whitespace().next().and_then(|number| number.parse::<u64>().ok())
        });
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let name = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let name = name.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        Machine {
            cpu: after("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
            cores,
            memory_bytes: kib.unwrap_or(0) * 1_024,
            system: format!(
                "{}, {} {}",
                name.unwrap_or("unknown").trim_matches('"'),
                std::env::consts::OS,
                kernel.trim()
            ),
            load: load.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0.0),
            stalls: Stalls::watch(cores, watched),
        }
    }

    /// In one line.
    pub(super) fn line(&self) -> String {
        let gib = self.memory_bytes as f64 / (1_u64 << 30) as f64;
        format!(
            "{}, {} cores, {gib:.1} GiB, {}, load {}; a loop on idle cores was held up for more than \
             1 ms in {:.1} % of the time, {:.1} ms at most",
            self.cpu,
            self.cores,
            self.system,
            self.load,
            self.stalls.share * 100.0,
            self.stalls.longest_ms
        )
    }
}

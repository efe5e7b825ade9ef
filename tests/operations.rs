//! What those who operate a job go by: the metrics of a running job, and the dashboard, alerts and
//! runbook that name them, held against one another by a real Prometheus.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

mod common;
#[path = "operations/files.rs"]
mod files;
#[path = "operations/job.rs"]
mod job;
#[path = "operations/metrics.rs"]
mod metrics;
#[path = "common/server.rs"]
mod server;

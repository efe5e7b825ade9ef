//! Traces of a running job: what it says of them, as the tracer wants to be told.

use crate::args::Workers;
use crate::job::TraceSettings;
use crate::state::Secret;
use crate::trace::{Settings, TraceError, Tracing};

use super::what::Subject;

/// Begins to trace, where the job says so.
pub(super) fn tracing(subject: &Subject, workers: &Workers) -> Result<Option<Tracing>, TraceError> {
    let trace = subject.trace.as_ref();
    let process = workers.process.unwrap_or(0);
    let hears = process == 0 && workers.hosts.is_some();
    let settings = |trace| settings(&subject.name, (process, hears), trace);
    trace.map(|trace| Tracing::start(&settings(trace))).transpose()
}

/// Whether such can be traced. Nothing is connected to.
pub(super) fn check(job: &str, trace: &TraceSettings) -> Result<(), TraceError> {
    settings(job, (0, false), trace).check()
}

fn settings(job: &str, (process, hears): (usize, bool), trace: &TraceSettings) -> Settings {
    let header = |(key, value): (&String, &Secret)| (key.clone(), value.reveal().to_owned());
    Settings {
        job: job.to_owned(),
        process,
        hears,
        endpoint: trace.endpoint.clone(),
        headers: trace.headers.iter().map(header).collect(),
        billionths: trace.billionths,
        service_name: trace.service_name.clone(),
    }
}

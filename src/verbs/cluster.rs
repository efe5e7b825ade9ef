//! The processes of a cluster, from the hosts file and the secret they know one another by.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use thiserror::Error;

use super::counted;
use super::what::Subject;
use crate::args::Workers;
use crate::mesh::SECRET_BYTES_MIN;
use crate::run::Cluster;
use crate::state::Secret;

/// What is wrong with the processes of a cluster.
#[derive(Debug, Error)]
pub(super) enum ClusterError {
    #[error("cannot read the hosts file {path}: check that the path is right")]
    Hosts {
        path: String,
        #[source]
        cause: io::Error,
    },
    #[error("{path}: line {line}: {text:?} is not host:port, such as 10.0.0.1:2101")]
    Host { path: String, line: usize, text: String },
    #[error("{path} names no process: write host:port of each into it, one a line")]
    NoHosts { path: String },
    #[error("--process {process}: {path} names {hosts}, counted from 0")]
    Process { process: usize, hosts: String, path: String },
    #[error("cannot read the secret file {path}: check that the path is right")]
    Secret {
        path: String,
        #[source]
        cause: io::Error,
    },
    #[error(
        "{path}: the secret is shorter than {SECRET_BYTES_MIN} characters: make one with  openssl rand \
         -hex 32 > {path}"
    )]
    Short { path: String },
}

/// The cluster that the arguments name.
pub(super) fn cluster(workers: &Workers, subject: &Subject) -> Result<Cluster, ClusterError> {
    let (threads, process) = (usize::from(workers.workers), workers.process.unwrap_or(0));
    let Some(path) = &workers.hosts else {
        return Ok(Cluster::single(threads));
    };
    let hosts = hosts(path, process)?;
    let secret = match &workers.secret_file {
        Some(path) => Some(secret(path)?),
        None => subject.cluster.secret.clone(),
    };
    let job = subject.name.clone();
    let lost_after = u64::try_from(subject.cluster.lost_after.ms()).unwrap_or(0);
    let lost_after = Duration::from_millis(lost_after);
    Ok(Cluster { workers: threads, process, hosts, job, secret, lost_after })
}

/// The addresses of all processes, of which this is one.
fn hosts(path: &Path, process: usize) -> Result<Vec<String>, ClusterError> {
    let shown = path.display().to_string();
    let text = fs::read_to_string(path)
        .map_err(|cause| ClusterError::Hosts { path: shown.clone(), cause })?;
    let mut hosts = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let host = line.trim();
        if host.is_empty() || host.starts_with('#') {
            continue;
        }
        let port = host.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none() {
            let text = host.to_owned();
            return Err(ClusterError::Host { path: shown, line: index + 1, text });
        }
        hosts.push(host.to_owned());
    }
    if hosts.is_empty() {
        return Err(ClusterError::NoHosts { path: shown });
    }
    if process >= hosts.len() {
        let hosts = counted(hosts.len(), "host");
        return Err(ClusterError::Process { process, hosts, path: shown });
    }
    Ok(hosts)
}

/// The secret in a file, without the white space around it.
fn secret(path: &Path) -> Result<Secret, ClusterError> {
    let shown = path.display().to_string();
    let text = fs::read_to_string(path)
        .map_err(|cause| ClusterError::Secret { path: shown.clone(), cause })?;
    match text.trim() {
        secret if secret.len() >= SECRET_BYTES_MIN => Ok(Secret::new(secret)),
        _ => Err(ClusterError::Short { path: shown }),
    }
}

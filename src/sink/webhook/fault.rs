//! What keeps webhooks from being posted.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// What ends a run, because trying again would not help.
#[derive(Debug, Error)]
pub enum WebhookFault {
    /// The address is none.
    #[error("sink {sink}: its url is not an address ({reason}): write https://host/path")]
    Address {
        /// The name of the sink.
        sink: String,
        /// What is wrong.
        reason: String,
    },
    /// The secret is none.
    #[error(
        "sink {sink}: its secret is not `whsec_` and 16 to 64 bytes in base64: make one with \
         `echo whsec_$(openssl rand -base64 32)`, and give it to the receiver"
    )]
    Secret {
        /// The name of the sink.
        sink: String,
    },
    /// A header cannot be sent.
    #[error("sink {sink}: the header {header:?} cannot be sent: correct its name, or its value")]
    Header {
        /// The name of the sink.
        sink: String,
        /// The name of the header.
        header: String,
    },
    /// The client of HTTP cannot be made.
    #[error("sink {sink}: cannot speak HTTP: {reason}")]
    Client {
        /// The name of the sink.
        sink: String,
        /// What is the matter.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("cannot read or write {}: make room, and see that the folder may be written", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} is damaged at line {line} ({reason}): put it back as it was, or take it away", file.display())]
    Damaged {
        /// Which.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// It is the progress of another job or version.
    #[error(
        "{} is of the job {job:?} in version {version}: say another path, or another name",
        file.display()
    )]
    Others {
        /// The file.
        file: PathBuf,
        /// Whose it is.
        job: String,
        /// The version that has written it.
        version: u32,
    },
    /// Another process posts in its place.
    #[error("{} is in use by another process of the same job and sink: end that one first", file.display())]
    InUse {
        /// The file.
        file: PathBuf,
    },
}

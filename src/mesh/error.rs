//! Why a process does not join the mesh, and what to do about it.

use std::io;

use thiserror::Error;

use super::SECRET_BYTES_MIN;
use super::handshake::Refusal;
use super::statement::Difference;

/// Why a process does not join the mesh.
#[derive(Debug, Error)]
pub enum MeshError {
    /// The hosts file names an address that is none in particular.
    #[error(
        "{host} is every address of a machine: write into the hosts file the one that the other processes are to use"
    )]
    Anywhere {
        /// As the hosts file has it.
        host: String,
    },
    /// There is no secret, and it is not one machine.
    #[error(
        "{host} is not on this machine, and whoever can reach it could join: give all processes one \
         secret of at least {SECRET_BYTES_MIN} characters, by [cluster] secret = \"${{NAME}}\" in the \
         job file or by --secret-file FILE"
    )]
    NoSecret {
        /// As the hosts file has it.
        host: String,
    },
    /// It cannot listen.
    #[error("cannot listen at {host}, which the hosts file has for this process")]
    Listen {
        /// As the hosts file has it.
        host: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Another process does not go together with this one.
    #[error("process {process} at {host} and this one cannot work together: {reason}")]
    Refused {
        /// The other.
        process: usize,
        /// Where it is.
        host: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A later checkpoint has come about since this process looked for one.
    #[error(
        "process {process} at {host} goes on from another checkpoint ({difference}), which was \
         written meanwhile: this process ends, to begin with that one. Start it again, as \
         --supervise does; if that does not help, see to it that all processes have one state"
    )]
    Stale {
        /// The other.
        process: usize,
        /// Where it is.
        host: String,
        /// Which.
        difference: String,
    },
    /// Another process has other definitions.
    #[error("process {process} at {host} and this one cannot work together: {reason}")]
    Definitions {
        /// The other.
        process: usize,
        /// Where it is.
        host: String,
        /// Which, and what to do.
        reason: String,
    },
    /// The same, and those of this one have been edited since it read them.
    #[error(
        "process {process} at {host} has other definitions ({difference}), and those of this one have \
         been edited since it read them: this process ends, to begin with what they are now. Start it \
         again, as --supervise does"
    )]
    Edited {
        /// The other.
        process: usize,
        /// Where it is.
        host: String,
        /// Which.
        difference: String,
    },
    /// The system refuses what every system grants.
    #[error("cannot set up the mesh")]
    System(#[source] io::Error),
}

const ALIKE: &str = "Start all processes with the same program, job, definitions and arguments";

/// Why another process does not go together with this one, and what to do.
pub(super) fn reason(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Nonsense => "it does not speak as a process of a cluster does".to_owned(),
        Refusal::Protocol => "another version of the program: use one for all processes".to_owned(),
        Refusal::Secret => {
            "it has another secret: give all processes the same ([cluster] secret, or --secret-file)"
                .to_owned()
        }
        Refusal::SecretHere => {
            "it has no secret, and this one has: give all processes the same ([cluster] secret, or \
             --secret-file)"
                .to_owned()
        }
        Refusal::SecretThere => {
            "it has a secret, and this one has none: give all processes the same ([cluster] secret, \
             or --secret-file)"
                .to_owned()
        }
        Refusal::Host { expected, found } => format!(
            "where the one hosts file has process {expected} is process {found} by the other: give \
             all processes the same hosts file, and each its own --process"
        ),
        Refusal::Differs(difference @ (Difference::Older { .. } | Difference::Newer { .. })) => {
            difference.to_string()
        }
        Refusal::Differs(difference @ Difference::OtherState(_)) => difference.to_string(),
        Refusal::Differs(difference) => format!("{difference}. {ALIKE}"),
        Refusal::Taken => {
            "it has a connection with this process already: is one running, or not yet known to be \
             gone?"
                .to_owned()
        }
    }
}

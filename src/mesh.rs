//! The mesh: the connections between the processes of a cluster, opened and checked before any data
//! flows.
//!
//! ```text
//! 0 ◄── 1     every process listens at its own address, for those that come after it in the hosts
//! ▲     ▲     file, and calls those before it, until it has a connection with each
//! └─ 2 ─┘
//! ```
//! On a new connection each side proves that it knows the job's secret ([`handshake`]), then says
//! what it is about to run ([`statement`]). Where these differ, the one that called is refused, and
//! ends; the one that was called goes on waiting for a better one. (Unless it is the one that has read
//! what has been edited since: then it ends, to begin with that.) What speaks nonsense, or nothing,
//! is hung up on after a bounded time and number of bytes.
//!
//! Nothing is encrypted: what flows afterwards can be read, and changed, by whoever sits on the way.

mod error;
mod handshake;
mod link;
mod meeting;
mod statement;
mod wire;

use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

pub use error::MeshError;
pub use statement::{Checkpoint, Statement, digest};

use handshake::{Key, Own};

/// The least length of a secret, in bytes: a shorter one can be guessed from what is overheard.
pub const SECRET_BYTES_MIN: usize = 16;

/// A process of a cluster, about to meet the others.
pub struct Mesh<'a> {
    /// Which process this is.
    pub process: usize,
    /// `host:port` of every process.
    pub hosts: &'a [String],
    /// What all of them know and nobody else does.
    pub secret: Option<&'a [u8]>,
    /// For how long a process may not answer before it counts as lost.
    pub lost_after: Duration,
    /// What it is about to run.
    pub statement: Statement,
    /// Whether the definitions it has read have been edited since, if they can be.
    pub is_edited: Option<IsEdited>,
}

/// Whether something has been edited.
pub type IsEdited = Arc<dyn Fn() -> bool + Send + Sync>;

impl Mesh<'_> {
    /// Meets all other processes, however long it takes; a connection with each, in their order.
    /// `None` if it is to stop meanwhile.
    ///
    /// # Errors
    /// It cannot listen at its address, is to listen beyond this machine without a secret, or is
    /// refused by another process.
    pub fn connect(
        self,
        is_to_stop: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<Option<TcpStream>>>, MeshError> {
        for host in self.hosts {
            check(host, self.secret.is_some())?;
        }
        let own = Own {
            process: self.process,
            processes: self.hosts.len(),
            key: Key::new(self.secret),
            statement: self.statement,
        };
        let hosts = self.hosts.to_vec();
        meeting::meet(own, hosts, (self.lost_after, self.is_edited), is_to_stop)
    }
}

/// Refuses an address that is none in particular, and one beyond this machine without a secret. One
/// that is not known yet may be anywhere.
fn check(host: &str, has_secret: bool) -> Result<(), MeshError> {
    let found: Vec<SocketAddr> = host.to_socket_addrs().map(Iterator::collect).unwrap_or_default();
    let mut addresses = found.iter().map(SocketAddr::ip);
    if addresses.clone().any(|address| address.is_unspecified()) {
        return Err(MeshError::Anywhere { host: host.to_owned() });
    }
    let is_here = !found.is_empty() && addresses.all(is_loopback);
    match has_secret || is_here {
        true => Ok(()),
        false => Err(MeshError::NoSecret { host: host.to_owned() }),
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_secret_only_this_machine_will_do() {
        for host in ["127.0.0.1:2101", "[::1]:2101", "[::ffff:127.0.0.1]:1", "127.9.9.9:1"] {
            assert!(check(host, false).is_ok(), "{host}");
        }
        for host in ["10.0.0.1:2101", "[fe80::1]:2101", "no.such.host.invalid:1"] {
            let said = check(host, false).unwrap_err().to_string();
            assert!(said.contains("secret") && said.contains(host), "{said}");
            assert!(check(host, true).is_ok(), "{host}");
        }
    }

    #[test]
    fn every_address_is_no_address() {
        for host in ["0.0.0.0:2101", "[::]:2101"] {
            let said = check(host, true).unwrap_err().to_string();
            assert!(said.contains(host), "{said}");
        }
    }
}

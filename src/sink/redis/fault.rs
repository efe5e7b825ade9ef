//! What keeps a Redis server from being written.

use thiserror::Error;

/// What ends a run, because trying again would not help.
#[derive(Debug, Error)]
pub enum RedisFault {
    /// The address is none.
    #[error(
        "sink {sink}: its url is not an address of Redis ({reason}): write \
         redis://[user:password@]host:port[/database], or rediss:// for TLS"
    )]
    Address {
        /// The name of the sink.
        sink: String,
        /// What the client says.
        reason: String,
    },
    /// The user or the password is wrong, or the user may not do it.
    #[error(
        "{name} does not let it in: {reason}; correct user, password and database in the url, and allow the \
         user the keys of the sink, and the commands MULTI, EXEC, WATCH, EXISTS, H*, S* and UNLINK"
    )]
    NotAllowed {
        /// The sink.
        name: String,
        /// What the server says.
        reason: String,
    },
    /// A key is there, and is no set.
    #[error(
        "{name}: one of its keys {prefix}user:*:segments or {prefix}segment:*:users holds something \
         else than a set: say another prefix, or delete that key and start with --rebuild {sink}"
    )]
    Occupied {
        /// The sink.
        name: String,
        /// Its name.
        sink: String,
        /// What its keys begin with.
        prefix: String,
    },
    /// Another version has written.
    #[error(
        "{name}: {key} has version {found}, and this program writes version {known}: use the program \
         that wrote it, or say another prefix"
    )]
    Version {
        /// The sink.
        name: String,
        /// The key that says so.
        key: String,
        /// What it says.
        found: u32,
        /// What would be right.
        known: u32,
    },
}

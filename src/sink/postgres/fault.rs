//! What keeps a database from being written.

use std::error::Error as _;

use postgres::error::SqlState;
use thiserror::Error;

/// What ends a run, because trying again would not help.
#[derive(Debug, Error)]
pub enum PostgresFault {
    /// The address is none.
    #[error(
        "sink {sink}: its url is not an address of PostgreSQL ({reason}): write \
         postgres://user:password@host:port/database"
    )]
    Address {
        /// The name of the sink.
        sink: String,
        /// What the client says.
        reason: String,
    },
    /// The user or the password is wrong, or the user may not do it.
    #[error(
        "{name} does not let it in: {reason}; correct user, password and database in the url, and \
         let the user make the schema {schema} and temporary tables, or own the schema"
    )]
    NotAllowed {
        /// The sink.
        name: String,
        /// What the server says.
        reason: String,
        /// The schema.
        schema: String,
    },
    /// The tables are not as this program makes them.
    #[error(
        "{name}: the tables in schema {schema} are not as they were made ({reason}): say another \
         schema, or drop this one and start with --rebuild {sink}"
    )]
    Tables {
        /// The sink.
        name: String,
        /// The schema.
        schema: String,
        /// What the server says.
        reason: String,
        /// The name of the sink.
        sink: String,
    },
    /// Another version has written.
    #[error(
        "{name}: the tables in schema {schema} have version {found}, and this program writes version \
         {known}: use the program that made them, or say another schema"
    )]
    Version {
        /// The sink.
        name: String,
        /// The schema.
        schema: String,
        /// What it has.
        found: i32,
        /// What would be right.
        known: i32,
    },
    /// Other attributes have been written.
    #[error(
        "{name}: in schema {schema}, user_attribute_snapshot has been written with the attributes \
         [{attributes}], which are not those of the job: start with --rebuild {sink}, and all of it is \
         filled anew; or name these again"
    )]
    Attributes {
        /// The sink.
        name: String,
        /// The schema.
        schema: String,
        /// Those that were written.
        attributes: String,
        /// The name of the sink.
        sink: String,
    },
    /// Another job writes there.
    #[error(
        "{name}: schema {schema} is that of the sink {sink:?} of the job {job:?}: say a schema of its \
         own"
    )]
    Others {
        /// The sink.
        name: String,
        /// The schema.
        schema: String,
        /// Whose it is.
        job: String,
        /// Which of its sinks.
        sink: String,
    },
}

impl PostgresFault {
    /// What trying again would not help against.
    pub(super) fn of(
        error: &postgres::Error,
        name: String,
        sink: String,
        schema: &str,
    ) -> Option<Self> {
        let code = error.code()?;
        let (reason, schema) = (with_causes(error), schema.to_owned());
        let is_refused = code.code().starts_with("28")
            || matches!(
                *code,
                SqlState::INSUFFICIENT_PRIVILEGE
                    | SqlState::INVALID_CATALOG_NAME
                    | SqlState::INVALID_SCHEMA_NAME
            );
        if is_refused {
            return Some(PostgresFault::NotAllowed { name, reason, schema });
        }
        // Syntax, names and types; data; constraints; limits.
        let is_other = ["42", "22", "23", "54"].iter().any(|class| code.code().starts_with(class));
        is_other.then_some(PostgresFault::Tables { name, schema, reason, sink })
    }
}

/// What is wrong with the certificate of a server, if that is what is.
pub(super) fn not_proven(error: &postgres::Error) -> Option<String> {
    let text = with_causes(error);
    if text.contains("server does not support TLS") {
        return Some("it has no TLS, which the job asks for".to_owned());
    }
    // Before it stands where in OpenSSL it was found.
    let (_, reason) = text.split_once("certificate verify failed")?;
    Some(reason.rsplit(": ").next().unwrap_or(reason).to_owned())
}

/// An error and what is behind it, in one line.
pub(super) fn with_causes(error: &postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        return said.message().to_owned();
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let said = deeper.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = deeper.source();
    }
    text
}

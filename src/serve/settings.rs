//! What the server of a job is told: where it listens, to whom it answers, and how much it takes.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use dataflows::model::Path;
use dataflows::rule::{NamePattern, Selector};
use dataflows::sketch::Span;
use dataflows::streams::{Stream, Take};

/// Where and to whom a job answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The address it listens on; with port 0, the system chooses one.
    pub listen: SocketAddr,
    /// What connections are encrypted with; plain, if there is nothing.
    pub tls: Option<Tls>,
    /// Who may do what. Without any, all who reach it may do all, so it must be loopback.
    pub tokens: Vec<Token>,
    /// How many connections there may be at a time.
    pub connections: usize,
    /// How many of them one address may have; of IPv6, one network of 64 bits.
    pub connections_per_address: usize,
    /// How many of the last differences are retained, for past times and those who read them late.
    pub differences: usize,
    /// Where exports go that clients ask for; they cannot, if it is not said.
    pub exports: Option<PathBuf>,
    /// What is counted by sketches; nothing, if not said.
    pub sketches: Option<Sketches>,
}

/// What is counted by sketches, over windows of event time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sketches {
    /// The events whose users are counted: names, or how they begin (`shop.*`).
    pub events: Vec<Arc<str>>,
    /// The segments whose users are.
    pub segments: Vec<Arc<str>>,
    /// Events, each with the property whose most frequent values are asked for.
    pub top: Vec<(Arc<str>, Path)>,
    /// How time is cut, and how long a window may be.
    pub span: Span,
}

impl Sketches {
    /// The streams that are counted: those of the events, then those of the properties.
    pub fn streams(&self) -> Vec<Stream> {
        let named = |event: &Arc<str>, take| {
            let name = match event.strip_suffix('*') {
                Some(prefix) => NamePattern::Prefix(prefix.into()),
                None => NamePattern::Exact(Arc::clone(event)),
            };
            Stream { events: Selector { name, filter: None }, take }
        };
        let events = self.events.iter().map(|event| named(event, Take::Nothing));
        let tops = self.top.iter().map(|(event, by)| named(event, Take::Value(by.clone())));
        events.chain(tops).collect()
    }
}

/// What a server shows that it is who it is, both in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Its certificate, and those between it and the root.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// A bearer token, by its hash: the token itself is nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// What it is called.
    pub name: String,
    /// Its SHA-256.
    pub hash: [u8; 32],
    /// What its bearer may do.
    pub scopes: Vec<Scope>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.name).field("scopes", &self.scopes).finish()
    }
}

/// What a bearer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Ask who is in what.
    Read,
    /// Save and delete definitions, and have exports written.
    Definitions,
    /// Send records.
    Ingest,
}

impl Scope {
    /// As job files and answers have it.
    pub fn word(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Definitions => "definitions",
            Scope::Ingest => "ingest",
        }
    }
}

//! `[serve]`: where a running job answers, and to whom.
//!
//! What would let strangers in is refused here, when the job is read: an address of the network
//! without tokens, or tokens that would cross it unencrypted.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use dataflows::rule::reader::{Node, Reader};
use serde_json::Value as Json;

use super::{JobReader, Word};
use crate::serve::{Scope, Settings, Tls, Token};
use crate::state::Location;

const SERVE_KEYS: &[&str] = &[
    "listen",
    "cert",
    "key",
    "allow_http",
    "connections",
    "connections_per_address",
    "differences",
    "exports",
    "sketches",
    "token",
];
const TOKEN_KEYS: &[&str] = &["name", "sha256", "scopes"];
const LISTEN: &str = "address:port, such as 127.0.0.1:8080";
const HASH: &str = "64 hexadecimal digits";
/// How many connections there may be unless said, and at most.
const CONNECTIONS: usize = 1_024;
const CONNECTIONS_MAX: u64 = 65_536;
/// How many of them one address may have unless said.
const PER_ADDRESS: usize = 256;
/// How many differences are retained unless said, and at most: of 40 bytes each.
const DIFFERENCES: usize = 262_144;
const DIFFERENCES_MAX: u64 = 1 << 28;

static SCOPES: &[Word<Scope>] = &[
    Word("read", Some(Scope::Read)),
    Word("definitions", Some(Scope::Definitions)),
    Word("ingest", Some(Scope::Ingest)),
];

impl JobReader<'_> {
    pub(super) fn serve(&mut self, node: &Node<'_>) -> Option<Option<Settings>> {
        if !node.is_present() {
            return Some(None);
        }
        self.reader.object(node, SERVE_KEYS)?;
        let listen = listen(&mut self.reader, &node.get("listen"));
        let tls = self.tls(node);
        let allow_http = self.reader.optional(&node.get("allow_http"), flag);
        let connections = self.count(&node.get("connections"), CONNECTIONS_MAX);
        let per_address = self.count(&node.get("connections_per_address"), CONNECTIONS_MAX);
        let differences = self.count(&node.get("differences"), DIFFERENCES_MAX);
        let exports = self.asked_exports(&node.get("exports"));
        let sketches = self.sketches(&node.get("sketches"));
        let token = node.get("token");
        let tokens = match token.is_present() {
            true => self.tables(&token, "[[serve.token]]", Self::token),
            false => Some(Vec::new()),
        };
        let settings = Settings {
            listen: listen?,
            tls: tls?,
            tokens: tokens?,
            connections: connections?.unwrap_or(CONNECTIONS),
            connections_per_address: per_address?.unwrap_or(PER_ADDRESS),
            differences: differences?.unwrap_or(DIFFERENCES),
            exports: exports?,
            sketches: sketches?,
        };
        self.is_safe(node, &settings, allow_http?.unwrap_or(false)).then_some(Some(settings))
    }

    /// The folder of exports that clients ask for.
    fn asked_exports(&mut self, node: &Node<'_>) -> Option<Option<PathBuf>> {
        if !node.is_present() {
            return Some(None);
        }
        let folder = self.path(node, "the folder of exports that clients ask for")?;
        self.is_own_place(node, &Location::Folder(folder.clone())).then_some(Some(folder))
    }

    /// Whether none but those who may can do anything.
    fn is_safe(&mut self, node: &Node<'_>, settings: &Settings, allow_http: bool) -> bool {
        if settings.listen.ip().is_loopback() {
            return true;
        }
        let hint = if settings.tokens.is_empty() {
            "without [[serve.token]] anyone in the network could read and change all: add a token \
             (name, sha256, scopes), or listen on loopback"
        } else if settings.tls.is_none() && !allow_http {
            "tokens would go unencrypted: add cert and key, or say allow_http = true where \
             something before it encrypts"
        } else {
            return true;
        };
        self.reader.fault(&node.get("listen"), "127.0.0.1:PORT", Some(hint.to_owned()));
        false
    }

    /// A number from 1 on, if there is one.
    fn count(&mut self, node: &Node<'_>, most: u64) -> Option<Option<usize>> {
        self.reader.optional(node, |reader, node| {
            let count = node.json().and_then(Json::as_u64).filter(|it| (1..=most).contains(it));
            if count.is_none() {
                reader.fault(node, format!("a whole number from 1 to {most}"), None);
            }
            count.and_then(|count| usize::try_from(count).ok())
        })
    }

    fn tls(&mut self, node: &Node<'_>) -> Option<Option<Tls>> {
        let (cert, key) = (node.get("cert"), node.get("key"));
        if !cert.is_present() && !key.is_present() {
            return Some(None);
        }
        let cert = self.path(&cert, "the file of the certificate, in PEM, beside key");
        let key = self.path(&key, "the file of the private key, in PEM, beside cert");
        Some(Some(Tls { cert: cert?, key: key? }))
    }

    fn token(&mut self, node: &Node<'_>) -> Option<Token> {
        self.reader.object(node, TOKEN_KEYS)?;
        let name = self.reader.name(&node.get("name"), "what the token is called");
        let hash = self.hash(&node.get("sha256"));
        let scopes = node.get("scopes");
        let words: Vec<_> = scopes.items().map(|it| self.pick(&it, SCOPES, None)).collect();
        if words.is_empty() {
            let allowed = "a list of read, definitions, ingest; at least one";
            self.reader.fault(&scopes, allowed, None);
            return None;
        }
        let scopes = words.into_iter().collect::<Option<Vec<_>>>();
        Some(Token { name: name?.into_owned(), hash: hash?, scopes: scopes? })
    }

    /// The hash of a token. What stands there instead may be the token itself, so it is not shown.
    fn hash(&mut self, node: &Node<'_>) -> Option<[u8; 32]> {
        let read = match node.json() {
            Some(Json::String(text)) => (self.expand)(text).map_err(Some),
            _ => Err(None),
        };
        let hash = read.and_then(|text| bytes(&text).ok_or(None));
        if let Err(hint) = &hash {
            let make = || "make it by  printf %s TOKEN | sha256sum".to_owned();
            let hint = hint.clone().unwrap_or_else(make);
            self.reader.fault_with(node, "something else", HASH, Some(hint));
        }
        hash.ok()
    }
}

fn listen(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<SocketAddr> {
    let text = reader.name(node, LISTEN)?;
    let local = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    let local = local.map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    let address = local.or_else(|| text.parse().ok());
    if address.is_none() {
        reader.fault(node, LISTEN, None);
    }
    address
}

fn flag(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<bool> {
    let flag = node.json().and_then(Json::as_bool);
    if flag.is_none() {
        reader.fault(node, "true, false", None);
    }
    flag
}

/// What hexadecimal digits say.
fn bytes(text: &str) -> Option<[u8; 32]> {
    let (text, mut bytes) = (text.trim().as_bytes(), [0; 32]);
    if text.len() != 2 * bytes.len() || !text.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

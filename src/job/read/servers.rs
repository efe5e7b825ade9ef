//! `[[sink]]` of the kinds that are servers: how they are reached, what they are called, and which
//! segments they are told of.
//!
//! Addresses hold passwords: no fault shows what stands there.

use std::path::PathBuf;

use dataflows::model::Path;
use dataflows::rule::reader::Node;
use serde_json::Value as Json;

use super::JobReader;
use crate::job::{Format, Output, Sink, Target, ToPostgres, ToRedis};
use crate::state::Secret;

const REDIS_KEYS: &[&str] =
    &["kind", "name", "url", "ca", "prefix", "segments", "buffer", "buffer_path"];
const POSTGRES_KEYS: &[&str] =
    &["kind", "name", "url", "ca", "schema", "attributes", "segments", "buffer", "buffer_path"];

/// Where tables are made unless said: in a schema of their own.
const SCHEMA: &str = "rivulet";

impl JobReader<'_> {
    pub(super) fn redis(&mut self, node: &Node<'_>) -> Option<Sink> {
        self.reader.object(node, REDIS_KEYS)?;
        let url = self.address(node, "redis://[user:password@]host:port[/database], or rediss://…");
        let prefix = self.reader.optional(&node.get("prefix"), |reader, node| {
            reader.name(node, "what the names of keys begin with").map(|it| it.into_owned())
        });
        let (ca, prefix) = (self.authorities(node), prefix.map(Option::unwrap_or_default));
        let target = || Some(Target::Redis(ToRedis { url: url?, ca: ca?, prefix: prefix? }));
        self.server(node, "redis", target)
    }

    pub(super) fn postgres(&mut self, node: &Node<'_>) -> Option<Sink> {
        self.reader.object(node, POSTGRES_KEYS)?;
        let url = self.address(node, "postgres://user:password@host:port/database");
        let schema = self.reader.optional(&node.get("schema"), |reader, node| {
            reader.name(node, "the schema of the tables").map(|it| it.into_owned())
        });
        let schema = schema.map(|schema| schema.unwrap_or_else(|| SCHEMA.to_owned()));
        let ca = self.authorities(node);
        let attributes = self.attributes(&node.get("attributes"));
        let target = || {
            let (url, ca, schema, attributes) = (url?, ca?, schema?, attributes?);
            Some(Target::Postgres(ToPostgres { url, ca, schema, attributes }))
        };
        self.server(node, "postgres", target)
    }

    /// The file of the authorities that sign its certificate, if one is named.
    fn authorities(&mut self, node: &Node<'_>) -> Option<Option<PathBuf>> {
        let at = node.get("ca");
        if !at.is_present() {
            return Some(None);
        }
        self.path(&at, "a PEM file of authorities").map(Some)
    }

    /// What all of them say.
    pub(super) fn server(
        &mut self,
        node: &Node<'_>,
        kind: &str,
        target: impl FnOnce() -> Option<Target>,
    ) -> Option<Sink> {
        let name = self.sink_name(node, kind);
        let segments = self.selection(&node.get("segments"));
        let buffer = self.buffer(node);
        Some(Sink {
            of: Output::Differences,
            format: Format::Json,
            target: target()?,
            name: name?,
            segments: segments?,
            buffer: buffer?,
        })
    }

    /// The name of a sink: its kind, unless it says. No two have the same.
    pub(super) fn sink_name(&mut self, node: &Node<'_>, kind: &str) -> Option<String> {
        let at = node.get("name");
        let name = self.reader.optional(&at, |reader, node| {
            let name = reader.name(node, "a name")?.into_owned();
            let is_plain = |sign: char| sign.is_ascii_alphanumeric() || "-_.".contains(sign);
            if !name.chars().all(is_plain) || name.starts_with('.') {
                let hint = "letters, digits, -, _ and . make up a name".to_owned();
                reader.fault(node, "a name", Some(hint));
                return None;
            }
            Some(name)
        })?;
        let name = name.unwrap_or_else(|| kind.to_owned());
        if !self.sink_names.insert(name.clone()) {
            let hint = format!("another sink is called {name:?} already");
            self.reader.fault_with(&at, "no other", "a name of its own", Some(hint));
            return None;
        }
        Some(name)
    }

    /// The segments a sink is told of: names, or how they begin.
    pub(super) fn selection(&mut self, node: &Node<'_>) -> Option<Vec<String>> {
        let allowed = "a list of segments, at least one; \"b*\" are all that begin with b";
        self.names(node, allowed, "a segment")
    }

    /// The attributes of users a sink is told of, in order, each once.
    fn attributes(&mut self, node: &Node<'_>) -> Option<Vec<Path>> {
        let allowed = "a list of attributes, at least one; \"address.city\" reaches into an object";
        let mut names = self.names(node, allowed, "an attribute")?;
        names.sort();
        names.dedup();
        Some(names.iter().map(|name| Path::new(name)).collect())
    }

    /// A list of names, not empty; none where it is left out.
    fn names(&mut self, node: &Node<'_>, allowed: &str, each: &str) -> Option<Vec<String>> {
        if !node.is_present() {
            return Some(Vec::new());
        }
        if !node.json().is_some_and(Json::is_array) {
            self.reader.fault(node, allowed, None);
            return None;
        }
        let names: Vec<_> = node
            .items()
            .map(|item| self.reader.name(&item, each).map(|it| it.into_owned()))
            .collect();
        if names.is_empty() {
            self.reader.fault(node, allowed, None);
            return None;
        }
        names.into_iter().collect()
    }

    /// A `url` that must be there.
    pub(super) fn address(&mut self, node: &Node<'_>, allowed: &str) -> Option<Secret> {
        let at = node.get("url");
        let url = self.secret(&at, allowed)?;
        if url.is_none() {
            self.reader.fault(&at, allowed, None);
        }
        url
    }
}

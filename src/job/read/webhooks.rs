//! `[[sink]]` of kind webhook: where to, how signed, in what batches.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dataflows::model::Duration;
use dataflows::rule::reader::{Node, Reader};
use serde_json::Value as Json;

use super::JobReader;
use crate::job::{Sink, Target, ToWebhook};
use crate::state::Secret;

const KEYS: &[&str] = &[
    "kind",
    "name",
    "url",
    "secret",
    "headers",
    "batch",
    "linger",
    "attempts",
    "path",
    "segments",
    "buffer",
    "buffer_path",
];
const ADDRESS: &str = "https://host/path";
const SECRET: &str = "whsec_ and base64, best as a variable: ${NAME}";
const HEADER: &str = "text, best as a variable: ${NAME}";
const BATCH: u32 = 100;
const BATCH_MAX: u32 = 10_000;
const LINGER: Duration = Duration::from_ms(1_000);
const ATTEMPTS: u32 = 12;

impl JobReader<'_> {
    pub(super) fn webhook(&mut self, node: &Node<'_>) -> Option<Sink> {
        self.reader.object(node, KEYS)?;
        let url = self.address(node, ADDRESS);
        let secret = self.secret(&node.get("secret"), SECRET);
        if secret == Some(None) {
            self.reader.fault(&node.get("secret"), SECRET, None);
        }
        let headers = self.headers(&node.get("headers"));
        let batch = self.number(&node.get("batch"), (1, BATCH_MAX), BATCH);
        let attempts = self.number(&node.get("attempts"), (0, u32::MAX), ATTEMPTS);
        let linger = self.reader.optional(&node.get("linger"), |reader, node| {
            reader.duration(node, Duration::from_ms(0))
        });
        let folder = self.webhook_folder(&node.get("path"));
        let target = || {
            Some(Target::Webhook(ToWebhook {
                url: url?,
                secret: secret??,
                headers: headers?,
                batch: usize::try_from(batch?).ok()?,
                linger: linger?.unwrap_or(LINGER),
                attempts: attempts?,
                folder: folder?,
            }))
        };
        self.server(node, "webhook", target)
    }

    /// Further headers of requests. Some are secrets.
    pub(super) fn headers(&mut self, node: &Node<'_>) -> Option<BTreeMap<String, Secret>> {
        if !node.is_present() {
            return Some(BTreeMap::new());
        }
        if !node.json().is_some_and(Json::is_object) {
            self.reader.fault_with(node, "something else", "a table of headers", None);
            return None;
        }
        let keys: Vec<String> = node.keys().map(str::to_owned).collect();
        let values = keys.into_iter().map(|key| {
            let value = self.secret(&node.get(&key), HEADER);
            Some((key, value??))
        });
        values.collect::<Vec<_>>().into_iter().collect()
    }

    fn number(&mut self, node: &Node<'_>, (least, most): (u32, u32), usual: u32) -> Option<u32> {
        let read = |reader: &mut Reader<'_>, node: &Node<'_>| {
            let number = node.json().and_then(Json::as_u64).and_then(|it| u32::try_from(it).ok());
            let number = number.filter(|number| (least..=most).contains(number));
            if number.is_none() {
                reader.fault(node, format!("a whole number from {least} to {most}"), None);
            }
            number
        };
        self.reader.optional(node, read).map(|number| number.unwrap_or(usual))
    }

    /// Beside the state, where that is in a folder.
    fn webhook_folder(&mut self, node: &Node<'_>) -> Option<PathBuf> {
        if node.is_present() {
            return self.path(node, "a folder for progress and dead letters");
        }
        let folder = self.state_folder.as_ref().map(|folder| folder.join("sinks"));
        if folder.is_none() {
            let hint = "a job without state in a folder says where the progress is kept";
            let allowed = "a folder for progress and dead letters";
            self.reader.fault(node, allowed, Some(hint.to_owned()));
        }
        folder
    }
}

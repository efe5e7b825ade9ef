//! `[[source]]` of kind http: who may send, and where what they send is kept.
//!
//! Write keys are secret: no fault shows what stands there.

use dataflows::rule::reader::Node;
use serde_json::Value as Json;

use super::JobReader;
use crate::job::StateSettings;
use crate::serve;
use crate::source::http::{self, Settings, WriteKey, WriteKeys};
use crate::state::Location;

const KEYS: &[&str] = &["kind", "write_keys", "log", "max_backlog"];
const KEY: &str = "a write key, best as a variable: ${NAME}, or sha256: and the 64 hexadecimal \
                   digits of its hash";
/// How many bytes may wait to be read, unless said: minutes at full speed, and no disk is full
/// of it.
const MAX_BACKLOG: u64 = 1 << 30;

impl JobReader<'_> {
    /// A collector, whose folder is empty where it is not said.
    pub(super) fn http(&mut self, node: &Node<'_>) -> Option<Settings> {
        self.reader.object(node, KEYS)?;
        if std::mem::replace(&mut self.has_collector, true) {
            let hint = "all clients send to the one there is".to_owned();
            self.reader.fault(&node.get("kind"), "one source of kind http", Some(hint));
            return None;
        }
        let keys = node.get("write_keys");
        let read: Vec<_> = keys.items().map(|item| self.write_key(&item)).collect();
        if keys.is_present() && read.is_empty() {
            let hint = "leave it out where whoever reaches the server may send".to_owned();
            self.reader.fault_with(&keys, "something else", "a list of write keys", Some(hint));
            return None;
        }
        let log = node.get("log");
        let folder = match log.is_present() {
            true => self.path(&log, "a folder"),
            false => Some(Default::default()),
        };
        let max_backlog = self.reader.optional(&node.get("max_backlog"), |reader, node| {
            let bytes = node.json().and_then(Json::as_u64).filter(|bytes| *bytes > 0);
            if bytes.is_none() {
                reader.fault(node, "a number of bytes", None);
            }
            bytes
        });
        Some(Settings {
            folder: folder?,
            keys: WriteKeys(read.into_iter().collect::<Option<_>>()?),
            max_backlog: max_backlog?.unwrap_or(MAX_BACKLOG),
        })
    }

    fn write_key(&mut self, node: &Node<'_>) -> Option<WriteKey> {
        let text = self.secret(node, KEY)??;
        let key = WriteKey::parse(text.reveal());
        if key.is_none() {
            self.reader.fault_with(node, "something else", KEY, None);
        }
        key
    }

    /// Finds out where the log of a collector is: where it says, or with the state, if that was
    /// understood.
    pub(super) fn log_folder(
        &mut self,
        job: &Node<'_>,
        collector: &mut Settings,
        state: Option<&Option<StateSettings>>,
    ) -> Option<()> {
        if !collector.folder.as_os_str().is_empty() {
            return Some(());
        }
        if let Some(Location::Folder(folder)) = state?.as_ref().map(|state| &state.location) {
            collector.folder = http::folder_in(folder);
            return Some(());
        }
        let hint = "what is acknowledged must be on a disk of this machine: say log = \"FOLDER\", or \
                    keep state in a folder";
        for node in job.get("source").items().filter(is_http) {
            self.reader.fault(&node.get("log"), "a folder", Some(hint.to_owned()));
        }
        None
    }

    /// Whether clients find a collector anywhere, if it was understood where.
    pub(super) fn is_reachable(
        &mut self,
        job: &Node<'_>,
        serve: Option<&Option<serve::Settings>>,
    ) -> Option<()> {
        if serve?.is_none() {
            let hint = "clients of a source of kind http must find it somewhere: say [serve] with \
                        listen = \"127.0.0.1:8080\"";
            self.reader.fault(&job.get("serve"), "[serve]", Some(hint.to_owned()));
            return None;
        }
        Some(())
    }
}

/// Whether a source is a collector.
pub(super) fn is_http(source: &Node<'_>) -> bool {
    source.get("kind").json().and_then(Json::as_str) == Some("http")
}

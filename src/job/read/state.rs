//! Where a job keeps its state: `state = "PATH"`, or a table `[state]` with more settings.
//!
//! Keys of an object store are secret: no fault shows what stands there, even where it is written
//! out instead of being a variable.

use dataflows::model::Duration;
use dataflows::rule::reader::{Node, Reader};
use serde_json::Value as Json;

use super::JobReader;
use crate::job::StateSettings;
use crate::state::{Location, S3, Secret, StateError};

const STATE_KEYS: &[&str] = &[
    "path",
    "interval",
    "keep",
    "retain",
    "endpoint",
    "region",
    "access_key",
    "secret_key",
    "allow_http",
];
/// Of these, those that are about an object store.
pub(super) const S3_KEYS: &[&str] =
    &["endpoint", "region", "access_key", "secret_key", "allow_http"];
const PATH: &str = "a folder, or s3://bucket/prefix";
const INTERVAL: Duration = Duration::from_ms(10_000);
const KEEP: usize = 3;
const KEY: &str = "a key, best as a variable: ${NAME}";
/// Most checkpoints that stay.
const KEEP_MAX: u64 = 10_000;

impl JobReader<'_> {
    pub(super) fn state(&mut self, node: &Node<'_>) -> Option<Option<StateSettings>> {
        match node.json() {
            None => Some(None),
            Some(Json::String(_)) => {
                let location = self.location(node)?;
                Some(Some(StateSettings { location, interval: INTERVAL, keep: KEEP, retain: None }))
            }
            Some(Json::Object(_)) => self.state_table(node).map(Some),
            Some(_) => {
                let allowed = format!("{PATH}, or an object of {}", STATE_KEYS.join(", "));
                self.reader.fault(node, allowed, None);
                None
            }
        }
    }

    fn state_table(&mut self, node: &Node<'_>) -> Option<StateSettings> {
        self.reader.object(node, STATE_KEYS)?;
        let location = self.place(node, "path");
        let interval = self.reader.optional(&node.get("interval"), |reader, node| {
            reader.duration(node, Duration::from_ms(1))
        });
        let keep = self.reader.optional(&node.get("keep"), keep);
        let retain = self.reader.optional(&node.get("retain"), |reader, node| {
            reader.duration(node, Duration::default())
        });
        Some(StateSettings {
            location: location?,
            interval: interval?.unwrap_or(INTERVAL),
            keep: keep?.unwrap_or(KEEP),
            retain: retain?.filter(|retain| *retain > Duration::default()),
        })
    }

    /// A folder or a place in an object store, of which a table says more.
    pub(super) fn place(&mut self, node: &Node<'_>, key: &str) -> Option<Location> {
        match self.location(&node.get(key))? {
            Location::S3(place) => self.object_store(node, place).map(Location::S3),
            folder => self.no_object_store(node, key).map(|()| folder),
        }
    }

    fn location(&mut self, node: &Node<'_>) -> Option<Location> {
        let text = self.reader.name(node, PATH)?;
        match Location::parse(&text, self.folder) {
            Ok(location) => Some(location),
            Err(error) => {
                let StateError::Location { reason, .. } = error else {
                    unreachable!("a location is wrong in no other way");
                };
                self.reader.fault(node, PATH, Some(reason));
                None
            }
        }
    }

    fn no_object_store(&mut self, node: &Node<'_>, place: &str) -> Option<()> {
        let mut is_fine = Some(());
        for key in S3_KEYS.iter().filter(|key| node.get(key).is_present()) {
            let hint = format!("only where {place} is s3://bucket/prefix: leave it out");
            self.reader.fault_with(&node.get(key), "a setting", "nothing", Some(hint));
            is_fine = None;
        }
        is_fine
    }

    fn object_store(&mut self, node: &Node<'_>, place: S3) -> Option<S3> {
        let endpoint = self.reader.optional(&node.get("endpoint"), |reader, node| {
            let allowed = "the server's address, such as https://minio.example:9000";
            let text = reader.name(node, allowed)?.into_owned();
            let is_address = text.starts_with("https://") || text.starts_with("http://");
            if !is_address {
                reader.fault(node, allowed, None);
            }
            is_address.then_some(text)
        });
        let region = self.reader.optional(&node.get("region"), |reader, node| {
            reader.name(node, "a region, such as eu-central-1").map(|text| text.into_owned())
        });
        let allow_http = self.reader.optional(&node.get("allow_http"), |reader, node| {
            let flag = node.json().and_then(Json::as_bool);
            if flag.is_none() {
                reader.fault(node, "true, false", None);
            }
            flag
        });
        let keys = self.keys(node);
        let (endpoint, region, allow_http) = (endpoint?, region?, allow_http?.unwrap_or(false));
        if !allow_http && endpoint.as_ref().is_some_and(|text| text.starts_with("http://")) {
            let hint = "keys and data would go unencrypted: say allow_http = true to have it so";
            self.reader.fault(&node.get("endpoint"), "https://…", Some(hint.to_owned()));
            return None;
        }
        Some(S3 { endpoint, region, keys: keys?, allow_http, ..place })
    }

    /// Both keys or neither.
    fn keys(&mut self, node: &Node<'_>) -> Option<Option<(Secret, Secret)>> {
        let [name, key] = ["access_key", "secret_key"].map(|key| self.secret(&node.get(key), KEY));
        match (name?, key?) {
            (None, None) => Some(None),
            (Some(name), Some(key)) => Some(Some((name, key))),
            (name, _) => {
                let missing = if name.is_some() { "secret_key" } else { "access_key" };
                let hint = "access_key and secret_key stand together, or neither, and the keys \
                            are those of the environment";
                self.reader.fault(&node.get(missing), KEY, Some(hint.to_owned()));
                None
            }
        }
    }

    /// Text that no fault shows; `allowed` says what it may be.
    pub(super) fn secret(&mut self, node: &Node<'_>, allowed: &str) -> Option<Option<Secret>> {
        let Some(json) = node.json() else { return Some(None) };
        let read = match json {
            Json::String(text) if text.is_empty() => Err(None),
            Json::String(text) => (self.expand)(text).map_err(Some),
            _ => Err(None),
        };
        match read {
            Ok(text) => Some(Some(Secret::new(text))),
            Err(hint) => {
                self.reader.fault_with(node, "something else", allowed, hint);
                None
            }
        }
    }
}

fn keep(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<usize> {
    let count = node.json().and_then(Json::as_u64).filter(|count| (1..=KEEP_MAX).contains(count));
    if count.is_none() {
        let allowed = format!("how many checkpoints stay: a whole number from 1 to {KEEP_MAX}");
        reader.fault(node, allowed, None);
    }
    count.and_then(|count| usize::try_from(count).ok())
}

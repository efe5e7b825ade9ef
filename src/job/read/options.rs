//! Settings of librdkafka, passed on as they are, but for those that are the run's own.

use std::collections::BTreeMap;

use dataflows::rule::reader::Node;
use serde_json::Value as Json;

use super::JobReader;
use crate::job::Options;

/// Settings that a job does not get to change, and what it can do instead.
pub(super) type NotYours = &'static [(&'static str, &'static str)];

impl JobReader<'_> {
    pub(super) fn options(&mut self, node: &Node<'_>, not_yours: NotYours) -> Option<Options> {
        let mut options = BTreeMap::new();
        let is_fine = !node.is_present() || self.table(node, "", not_yours, &mut options);
        is_fine.then_some(Options(options))
    }

    /// Takes in the settings of a table, and of those in it: unquoted, TOML reads dots as tables.
    fn table(
        &mut self,
        node: &Node<'_>,
        path: &str,
        not_yours: NotYours,
        into: &mut BTreeMap<String, String>,
    ) -> bool {
        let mut is_fine = true;
        if !node.json().is_some_and(Json::is_object) {
            self.reader.fault(node, "a table of settings of librdkafka", None);
            return false;
        }
        for key in node.keys() {
            let name = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            let value = node.get(key);
            if value.json().is_some_and(Json::is_object) {
                is_fine &= self.table(&value, &name, not_yours, into);
                continue;
            }
            if let Some((_, instead)) = not_yours.iter().find(|(it, _)| *it == name) {
                let found = format!("the setting {name:?}");
                let allowed = "other settings of librdkafka";
                self.reader.fault_with(node, found, allowed, Some((*instead).to_owned()));
                is_fine = false;
                continue;
            }
            let text = match value.json() {
                Some(Json::Number(number)) => Some(number.to_string()),
                Some(Json::Bool(flag)) => Some(flag.to_string()),
                _ => self.reader.text(&value, "text, a number, true or false").map(Into::into),
            };
            is_fine &= text.is_some();
            text.into_iter().for_each(|text| _ = into.insert(name.clone(), text));
        }
        is_fine
    }
}

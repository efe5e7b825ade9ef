//! The attributes of one user, as far as rules ask for them.
//!
//! Of attributes the engine knows a hash of the name; the name itself only where a rule in force
//! has it. Cost: a look at every attribute that rules ask for; nothing is held for it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::Membership;
use super::events::as_json;
use crate::model::{EventTime, Value};
use crate::operators::users::User;

/// What is known of a user.
#[derive(Debug, Serialize)]
pub(super) struct Known<'a> {
    user: &'a str,
    as_of: EventTime,
    /// From when on they exist.
    since: Option<EventTime>,
    /// Those that are set, by the path by which rules ask for them.
    #[serde(serialize_with = "as_json")]
    attributes: BTreeMap<&'a str, Value>,
}

impl Membership {
    /// What is known of a user, as of `at`.
    pub(super) fn known<'a>(&'a self, user: &'a User, at: EventTime) -> Known<'a> {
        let value = |(name, path)| Some((name, user.attributes.at(path, &self.store.pool)?));
        let attributes = self.plan.attributes().filter_map(value).collect();
        Known { user: user.name.text(), as_of: at, since: user.since(), attributes }
    }
}

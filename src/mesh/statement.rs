//! What a process says of itself, and what must be the same in all of them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What a process is about to run. All processes of a cluster must say the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Names and values that must be equal, in the order in which they are compared.
    pub settings: Vec<(String, String)>,
    /// Each definition by its identifier: the digest of what it is, and of since when.
    pub definitions: BTreeMap<String, String>,
    /// The checkpoint it goes on from.
    pub checkpoint: Option<Checkpoint>,
}

/// A checkpoint to go on from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Its number.
    pub number: u64,
    /// The digest of what it holds.
    pub digest: String,
}

/// The digest by which two things are told apart: the first half of their SHA-256, in hexadecimal
/// digits.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// In what another process differs from this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Difference {
    /// In a setting.
    Setting { name: String, own: String, other: String },
    /// In a definition that both have.
    Changed(String),
    /// In a definition that only this process has.
    OnlyHere(String),
    /// In one that only the other has.
    OnlyThere(String),
    /// It goes on from an earlier checkpoint, or from none.
    Older { own: u64, other: Option<u64> },
    /// It goes on from a later checkpoint.
    Newer { own: Option<u64>, other: u64 },
    /// Its checkpoint has the same number as this one's, and holds something else.
    OtherState(u64),
}

impl Statement {
    /// The first thing in which another process differs.
    pub(super) fn difference(&self, other: &Statement) -> Option<Difference> {
        let setting = self.settings_differ(other);
        setting
            .or_else(|| self.definitions_differ(other))
            .or_else(|| self.checkpoints_differ(other))
    }

    fn settings_differ(&self, other: &Statement) -> Option<Difference> {
        let value = |of: &Statement, name: &str| {
            let found = of.settings.iter().find(|(it, _)| it == name);
            found.map_or_else(|| "nothing".to_owned(), |(_, value)| value.clone())
        };
        let names = self.settings.iter().chain(&other.settings).map(|(name, _)| name);
        names.map(|name| (name, value(self, name), value(other, name))).find_map(
            |(name, own, other)| {
                (own != other).then(|| Difference::Setting { name: name.clone(), own, other })
            },
        )
    }

    fn definitions_differ(&self, other: &Statement) -> Option<Difference> {
        for (id, own) in &self.definitions {
            match other.definitions.get(id) {
                None => return Some(Difference::OnlyHere(id.clone())),
                Some(theirs) if theirs != own => return Some(Difference::Changed(id.clone())),
                Some(_) => {}
            }
        }
        let only_there = other.definitions.keys().find(|id| !self.definitions.contains_key(*id));
        only_there.map(|id| Difference::OnlyThere(id.clone()))
    }

    fn checkpoints_differ(&self, other: &Statement) -> Option<Difference> {
        let number = |of: &Statement| of.checkpoint.as_ref().map(|it| it.number);
        match (number(self), number(other)) {
            (Some(own), there) if there < Some(own) => {
                Some(Difference::Older { own, other: there })
            }
            (own, Some(other)) if own < Some(other) => Some(Difference::Newer { own, other }),
            (Some(own), _) if self.checkpoint != other.checkpoint => {
                Some(Difference::OtherState(own))
            }
            _ => None,
        }
    }
}

impl Difference {
    /// Whether it is in a definition.
    pub(super) fn is_defined(&self) -> bool {
        matches!(self, Difference::Changed(_) | Difference::OnlyHere(_) | Difference::OnlyThere(_))
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = |number: &Option<u64>| match number {
            Some(number) => format!("from checkpoint {number}"),
            None => "without a checkpoint".to_owned(),
        };
        match self {
            Difference::Setting { name, own, other } => {
                write!(f, "{name}: {other} there, {own} here")
            }
            Difference::Changed(id) => write!(f, "segment {id} is not the same there and here"),
            Difference::OnlyHere(id) => write!(f, "segment {id} is here and not there"),
            Difference::OnlyThere(id) => write!(f, "segment {id} is there and not here"),
            Difference::Older { own, other } => {
                write!(f, "it begins {}, this one {}", from(other), from(&Some(*own)))
            }
            Difference::Newer { own, other } => {
                write!(f, "it begins {}, this one {}", from(&Some(*other)), from(own))
            }
            Difference::OtherState(number) => {
                write!(f, "its checkpoint {number} is not that of this one: one state for all")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(version: &str, definitions: &[(&str, &str)], number: Option<u64>) -> Statement {
        let own = |text: &&str| (*text).to_owned();
        Statement {
            settings: vec![("version".into(), version.into()), ("workers".into(), "1".into())],
            definitions: definitions.iter().map(|(id, it)| (own(id), own(it))).collect(),
            checkpoint: number.map(|number| Checkpoint { number, digest: "d".into() }),
        }
    }

    #[track_caller]
    fn check(own: &Statement, other: &Statement, expected: &str) {
        assert_eq!(own.difference(other).map(|it| it.to_string()).as_deref(), Some(expected));
    }

    #[test]
    fn what_differs_is_named() {
        let own = statement("0.1.0", &[("a", "1"), ("b", "2")], Some(3));
        assert_eq!(own.difference(&own.clone()), None);
        let other = statement("0.2.0", &[("b", "7")], None);
        check(&own, &other, "version: 0.2.0 there, 0.1.0 here");
        let other = statement("0.1.0", &[("a", "1"), ("b", "7")], Some(3));
        check(&own, &other, "segment b is not the same there and here");
        let other = statement("0.1.0", &[("a", "1")], Some(3));
        check(&own, &other, "segment b is here and not there");
        check(&other, &own, "segment b is there and not here");
        let other = statement("0.1.0", &[("a", "1"), ("b", "2")], Some(2));
        check(&own, &other, "it begins from checkpoint 2, this one from checkpoint 3");
        check(&other, &own, "it begins from checkpoint 3, this one from checkpoint 2");
        let other = statement("0.1.0", &[("a", "1"), ("b", "2")], None);
        check(&own, &other, "it begins without a checkpoint, this one from checkpoint 3");
    }

    #[test]
    fn one_number_may_stand_for_two_checkpoints() {
        let own = statement("1", &[], Some(3));
        let mut other = own.clone();
        other.checkpoint = Some(Checkpoint { number: 3, digest: "e".into() });
        assert_eq!(own.difference(&other), Some(Difference::OtherState(3)));
    }

    #[test]
    fn a_setting_that_only_one_has_differs() {
        let own = statement("1", &[], None);
        let mut other = own.clone();
        other.settings.push(("emit".into(), "on_event".into()));
        check(&own, &other, "emit: on_event there, nothing here");
        check(&other, &own, "emit: nothing there, on_event here");
    }
}

//! Which fields of a record mean what.

use dataflows::model::Path;
use serde::{Deserialize, Serialize};

/// Names the fields of records in a shape of their own, as dotted paths. The default, which names
/// none, stands for the shape of the Segment specification.
///
/// If a record has several of `event`, `traits` and `attribute`, the first of them counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mapping {
    /// Whom a record concerns.
    pub user: Option<Path>,
    /// When it happened.
    pub time: Option<Path>,
    /// The name of an event.
    pub event: Option<Path>,
    /// By what a second copy is known.
    pub id: Option<Path>,
    /// The object of an event's properties.
    pub properties: Option<Path>,
    /// An object of attributes.
    pub traits: Option<Path>,
    /// The name of one attribute.
    pub attribute: Option<Path>,
    /// The value of that attribute; null where it is missing.
    pub value: Option<Path>,
}

impl Mapping {
    /// Whether records have the shape of the Segment specification.
    pub fn is_segment(&self) -> bool {
        *self == Mapping::default()
    }

    /// What it must name besides for records to be read with it; `None` if it is whole. (The
    /// default is never asked: it reads another shape.)
    pub fn missing(&self) -> Option<&'static str> {
        if self.user.is_none() {
            return Some("\"user\"");
        }
        if self.event.is_none() && self.traits.is_none() && self.attribute.is_none() {
            return Some("one of \"event\", \"traits\" and \"attribute\"");
        }
        if self.attribute.is_some() != self.value.is_some() {
            return Some("\"attribute\" and \"value\" together");
        }
        if self.properties.is_some() && self.event.is_none() {
            return Some("\"event\" beside \"properties\"");
        }
        None
    }

    /// The reason given for a record that has nothing to say, by this mapping.
    pub(super) fn says_nothing(&self) -> String {
        let named = [&self.event, &self.traits, &self.attribute];
        let named: Vec<&str> = named.into_iter().flatten().map(Path::as_str).collect();
        format!("record: has no {}", named.join(" and no "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_must_be_whole() {
        let mapping = |json: &str| serde_json::from_str::<Mapping>(json).unwrap();
        assert!(mapping("{}").is_segment());
        assert_eq!(mapping(r#"{"user":"u","event":"e"}"#).missing(), None);
        for lacking in [
            r#"{"event":"e"}"#,
            r#"{"user":"u"}"#,
            r#"{"user":"u","attribute":"a"}"#,
            r#"{"user":"u","traits":"t","properties":"p"}"#,
        ] {
            assert!(mapping(lacking).missing().is_some(), "{lacking}");
        }
        assert!(serde_json::from_str::<Mapping>(r#"{"users":"u"}"#).is_err());
    }
}

//! The rule language: what a segment's definition says, as data without holes.
//!
//! A [`Rule`] is a tree of conditions. Its leaves ask about one fact of one user each: an
//! attribute, a trailing window over events, a sequence. What a leaf's comparison means is
//! [`Test`]; reading rules from JSON, with errors that name the node, is in [`parse`].

pub mod language;
pub mod parse;
pub mod reader;
pub mod test;
pub mod words;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use test::{Comparison, Pattern, Test, Truth};

use crate::model::{Duration, Path, Value};

/// How deep rules may nest, and how deep segments may refer to one another.
pub const MAX_DEPTH: usize = 64;

/// A segment: its name in every output, and the rule that says who is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// The name in every output.
    pub id: Arc<str>,
    /// For people; has no meaning here.
    pub name: Option<String>,
    /// For people; has no meaning here.
    pub description: Option<String>,
    /// Who is in it.
    pub rule: Rule,
}

/// Who is in a segment. Every rule ranges over the users that exist.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Rule {
    /// All of these hold (`AND`); of nothing, true.
    All(Vec<Rule>),
    /// Any of these holds (`OR`); of nothing, false.
    Any(Vec<Rule>),
    /// This does not hold.
    Not(Box<Rule>),
    /// The user is in that segment at the same time.
    Segment(Arc<str>),
    /// Every existing user.
    Everyone,
    /// The users of this list, in bytewise order, each once.
    Members(Arc<[Arc<str>]>),
    /// A stable share of all users.
    Sample(Sample),
    /// An attribute compares so.
    Attribute(AttributeCondition),
    /// An aggregate over events compares so.
    Aggregate(AggregateCondition),
    /// Events happened in this order.
    Sequence(SequenceCondition),
}

/// The users whose [`sample_place`](crate::model::record::sample_place) for `key` lies in
/// `from .. from + size`, in parts per million.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sample {
    /// The name of the split: equal keys split equally.
    pub key: Arc<str>,
    /// Where the share begins, in parts per million.
    pub from: u32,
    /// How much of all it is, in parts per million.
    pub size: u32,
}

/// A comparison of one attribute.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AttributeCondition {
    /// The attribute.
    pub path: Path,
    /// The comparison.
    pub test: Test,
    /// If given: and the attribute has had its present value (or its absence) for at least this
    /// long. Setting the same value again does not start anew.
    pub held: Option<Duration>,
}

/// A comparison of an aggregate over one user's events.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AggregateCondition {
    /// Which events.
    pub events: Selector,
    /// What is computed over them.
    pub measure: Measure,
    /// An event at t counts while `t <= now < t + window`; without one, for ever.
    pub window: Option<Duration>,
    /// The comparison.
    pub test: Test,
}

/// What is computed over the events of a window. Over none, `Count`, `Sum` and `Distinct` are 0
/// and the others are missing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Measure {
    /// How many events.
    Count,
    /// The exact sum of a property.
    Sum(Path),
    /// The exact mean of a property.
    Avg(Path),
    /// Its least value.
    Min(Path),
    /// Its greatest value.
    Max(Path),
    /// How many different values it has.
    Distinct(Path),
    /// Its value in the earliest event.
    First(Path),
    /// Its value in the latest event.
    Last(Path),
}

impl Measure {
    /// The word of the rule language for it.
    pub fn word(&self) -> &'static str {
        match self {
            Measure::Count => "count",
            Measure::Sum(_) => "sum",
            Measure::Avg(_) => "avg",
            Measure::Min(_) => "min",
            Measure::Max(_) => "max",
            Measure::Distinct(_) => "distinct",
            Measure::First(_) => "first",
            Measure::Last(_) => "last",
        }
    }

    /// The property it is computed over.
    pub fn property(&self) -> Option<&Path> {
        match self {
            Measure::Count => None,
            Measure::Sum(path)
            | Measure::Avg(path)
            | Measure::Min(path)
            | Measure::Max(path)
            | Measure::Distinct(path)
            | Measure::First(path)
            | Measure::Last(path) => Some(path),
        }
    }
}

/// Events of this order: A, then B, then C, at strictly increasing times, the first and the last
/// at most `within` apart. True from the last one's time for `window`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SequenceCondition {
    /// At least two of them.
    pub steps: Vec<Selector>,
    /// The longest the whole may take.
    pub within: Duration,
    /// How long it counts after its last event.
    pub window: Duration,
}

/// Which events of a user: by name, and by what their properties say.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Selector {
    /// Names.
    pub name: NamePattern,
    /// If given, what the properties must say.
    pub filter: Option<Filter>,
}

/// Which event names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NamePattern {
    /// This one.
    Exact(Arc<str>),
    /// All that begin so (written with a `*` at the end).
    Prefix(Arc<str>),
}

impl NamePattern {
    /// Whether an event of this name is meant.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            NamePattern::Exact(exact) => **exact == *name,
            NamePattern::Prefix(prefix) => name.starts_with(&**prefix),
        }
    }
}

/// What an event's properties must say (`where`). Timeless: nothing in it changes by itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Filter {
    /// All of these; of nothing, true.
    All(Vec<Filter>),
    /// Any of these; of nothing, false.
    Any(Vec<Filter>),
    /// Not this.
    Not(Box<Filter>),
    /// A property compares so.
    Property(Path, Test),
}

impl Filter {
    /// Whether it holds for an event at `time` with these properties, and whether any property it
    /// asked for was of the wrong type.
    pub fn holds(&self, properties: &Value) -> (bool, bool) {
        match self {
            Filter::All(filters) => {
                Self::fold(filters, properties, |all| all.iter().all(|(holds, _)| *holds))
            }
            Filter::Any(filters) => {
                Self::fold(filters, properties, |all| all.iter().any(|(holds, _)| *holds))
            }
            Filter::Not(filter) => {
                let (holds, mismatch) = filter.holds(properties);
                (!holds, mismatch)
            }
            Filter::Property(path, test) => match test.holds(properties.at(path.as_str())) {
                Truth::True => (true, false),
                Truth::False => (false, false),
                Truth::Mismatch => (false, true),
            },
        }
    }

    fn fold(
        filters: &[Filter],
        properties: &Value,
        combine: impl Fn(&[(bool, bool)]) -> bool,
    ) -> (bool, bool) {
        let each: Vec<_> = filters.iter().map(|filter| filter.holds(properties)).collect();
        (combine(&each), each.iter().any(|(_, mismatch)| *mismatch))
    }

    /// The properties it asks for.
    pub fn paths<'a>(&'a self, paths: &mut Vec<&'a Path>) {
        match self {
            Filter::All(filters) | Filter::Any(filters) => {
                filters.iter().for_each(|filter| filter.paths(paths));
            }
            Filter::Not(filter) => filter.paths(paths),
            Filter::Property(path, _) => paths.push(path),
        }
    }
}

impl Rule {
    /// Calls `visit` on this node and every node below it.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Rule)) {
        visit(self);
        match self {
            Rule::All(rules) | Rule::Any(rules) => rules.iter().for_each(|rule| rule.walk(visit)),
            Rule::Not(rule) => rule.walk(visit),
            _ => {}
        }
    }

    /// The segments it refers to, in the order of the text, each as often as it is named.
    pub fn references(&self) -> Vec<&Arc<str>> {
        let mut found = Vec::new();
        self.walk(&mut |rule| {
            if let Rule::Segment(id) = rule {
                found.push(id);
            }
        });
        found
    }
}

//! The rule language as tables: its kinds of nodes, its operators, its aggregates.
//!
//! The parser interprets these tables, its messages list them, and a test holds the published
//! schema against them, so the three cannot disagree.

use std::sync::Arc;

use super::reader::Named;
use super::{Comparison, Measure};
use crate::model::{Duration, EventTime, Path, Value};

/// The keys of a definition. `$schema` is for editors and has no meaning here.
pub const DEFINITION_KEYS: &[&str] = &["id", "name", "description", "rules", "$schema"];
/// The keys of a step of a sequence.
pub const STEP_KEYS: &[&str] = &["event", "where"];
/// Longest id of a segment, in bytes.
pub const ID_BYTES_MAX: usize = 256;
/// Most users in one list of members.
pub const MEMBERS_MAX: usize = 1_000_000;
/// Fewest steps of a sequence.
pub const STEPS_MIN: usize = 2;
/// Most steps of a sequence.
pub const STEPS_MAX: usize = 16;

/// What a node of a rule can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `AND`, `OR`, `NOT`.
    Group,
    /// Another segment's members.
    Segment,
    /// Every user.
    Everyone,
    /// A fixed list.
    Members,
    /// A stable share.
    Sample,
    /// A comparison of an attribute.
    Attribute,
    /// A comparison of an aggregate over events.
    Aggregate,
    /// Events in an order.
    Sequence,
}

/// A kind of node: known by its first key, which no other kind has.
#[derive(Debug)]
pub struct Kind {
    /// What it is.
    pub shape: Shape,
    /// All its keys, the one it is known by first.
    pub keys: &'static [&'static str],
}

impl Kind {
    /// The key it is known by.
    pub fn key(&self) -> &'static str {
        self.keys.first().copied().unwrap_or_default()
    }
}

/// The kinds of nodes of a rule.
pub static RULE_KINDS: &[Kind] = &[
    Kind { shape: Shape::Group, keys: &["operator", "conditions"] },
    Kind { shape: Shape::Segment, keys: &["segment"] },
    Kind { shape: Shape::Everyone, keys: &["everyone"] },
    Kind { shape: Shape::Members, keys: &["members"] },
    Kind { shape: Shape::Sample, keys: &["sample", "percent", "from"] },
    Kind { shape: Shape::Attribute, keys: &["attribute", "op", "value", "ignore_case", "held"] },
    Kind {
        shape: Shape::Aggregate,
        keys: &["event", "where", "aggregate", "property", "window", "op", "value", "ignore_case"],
    },
    Kind { shape: Shape::Sequence, keys: &["sequence", "within", "window"] },
];

/// The kinds of nodes of a `where`.
pub static FILTER_KINDS: &[Kind] = &[
    Kind { shape: Shape::Group, keys: &["operator", "conditions"] },
    Kind { shape: Shape::Attribute, keys: &["attribute", "op", "value", "ignore_case"] },
];

/// Kinds of rules that this version knows of but does not compute.
pub const LATER_KINDS: &[&str] = &["session", "rank", "model"];

/// How conditions are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Junction {
    /// All hold.
    And,
    /// Any holds.
    Or,
    /// The only one does not hold.
    Not,
}

/// The words of `operator`.
pub static JUNCTIONS: &[Junction] = &[Junction::And, Junction::Or, Junction::Not];

impl Named for Junction {
    fn word(&self) -> &'static str {
        match self {
            Junction::And => "AND",
            Junction::Or => "OR",
            Junction::Not => "NOT",
        }
    }

    fn also(&self) -> &'static [&'static str] {
        match self {
            Junction::And => &["all", "&&", "every"],
            Junction::Or => &["any", "||", "some"],
            Junction::Not => &["none", "!"],
        }
    }
}

/// What an operator is compared with, and what the two make.
pub enum Takes {
    /// No value.
    Nothing(Comparison),
    /// A boolean, number or text.
    Scalar(fn(Value) -> Comparison),
    /// A list of such, not empty.
    Scalars(fn(Vec<Value>) -> Comparison),
    /// A number or text.
    Bound(fn(Value) -> Comparison),
    /// Two bounds of one type, the lower first.
    Range(fn(Value, Value) -> Comparison),
    /// Text.
    Text(fn(Arc<str>) -> Comparison),
    /// A regular expression.
    Pattern,
    /// A time.
    Time(fn(EventTime) -> Comparison),
    /// A duration.
    Span(fn(Duration) -> Comparison),
}

/// What stands on the left of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// An attribute of the user.
    Attribute,
    /// A property of one event (`where`), or the first or last value of one.
    Property,
    /// A number that is never missing.
    Count,
    /// A number that is missing where there are no events.
    Number,
}

impl Subject {
    /// Whether it is compared with exact numbers only.
    pub fn is_number(self) -> bool {
        matches!(self, Subject::Count | Subject::Number)
    }
}

/// Which subjects an operator is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// All.
    Everything,
    /// All that can be missing.
    Missing,
    /// Those that need not be numbers.
    Values,
    /// Attributes only, because it changes as time passes.
    Attributes,
}

/// A row of the table of operators.
pub struct Operator {
    /// Its word.
    pub word: &'static str,
    /// What it is compared with.
    pub takes: Takes,
    /// Where it may stand.
    pub reach: Reach,
    also: &'static [&'static str],
}

impl Operator {
    /// Whether it may stand beside this subject.
    pub fn is_for(&self, subject: Subject) -> bool {
        match self.reach {
            Reach::Everything => true,
            Reach::Missing => subject != Subject::Count,
            Reach::Values => !subject.is_number(),
            Reach::Attributes => subject == Subject::Attribute,
        }
    }
}

impl Named for Operator {
    fn word(&self) -> &'static str {
        self.word
    }

    fn also(&self) -> &'static [&'static str] {
        self.also
    }
}

const fn row(
    word: &'static str,
    takes: Takes,
    reach: Reach,
    also: &'static [&'static str],
) -> Operator {
    Operator { word, takes, reach, also }
}

/// The operators.
pub static OPERATORS: &[Operator] = {
    use Comparison as C;
    use Reach::{Attributes, Everything, Missing, Values};
    &[
        row("eq", Takes::Scalar(C::Eq), Everything, &["=", "==", "equals", "equal", "is"]),
        row("neq", Takes::Scalar(C::Neq), Everything, &["!=", "<>", "not_equals", "is_not"]),
        row("in", Takes::Scalars(C::In), Everything, &["one_of", "is_in"]),
        row("not_in", Takes::Scalars(C::NotIn), Everything, &["nin", "not_one_of"]),
        row("gt", Takes::Bound(C::Gt), Everything, &[">", "greater", "greater_than", "more_than"]),
        row("gte", Takes::Bound(C::Gte), Everything, &[">=", "ge", "at_least"]),
        row("lt", Takes::Bound(C::Lt), Everything, &["<", "less", "less_than", "smaller"]),
        row("lte", Takes::Bound(C::Lte), Everything, &["<=", "le", "at_most"]),
        row("between", Takes::Range(C::Between), Everything, &["range"]),
        row("contains", Takes::Scalar(C::Contains), Values, &["like", "has", "includes"]),
        row("starts_with", Takes::Text(C::StartsWith), Values, &["prefix", "begins_with"]),
        row("ends_with", Takes::Text(C::EndsWith), Values, &["suffix"]),
        row("matches", Takes::Pattern, Values, &["regex", "regexp", "~", "rlike"]),
        row("any_of", Takes::Scalars(C::AnyOf), Values, &["contains_any", "overlaps"]),
        row("all_of", Takes::Scalars(C::AllOf), Values, &["contains_all"]),
        row("none_of", Takes::Scalars(C::NoneOf), Values, &["contains_none"]),
        row("before", Takes::Time(C::Before), Values, &["earlier_than"]),
        row("after", Takes::Time(C::After), Values, &["since", "later_than"]),
        row("within_last", Takes::Span(C::WithinLast), Attributes, &["last", "in_last"]),
        row("within_next", Takes::Span(C::WithinNext), Attributes, &["next", "in_next"]),
        row("is_null", Takes::Nothing(C::IsNull), Missing, &["missing", "not_exists", "is_empty"]),
        row("is_not_null", Takes::Nothing(C::IsNotNull), Missing, &["exists", "is_set", "present"]),
    ]
};

/// What an aggregate is computed over.
pub enum Over {
    /// The events themselves.
    Events(Measure),
    /// A property of them.
    Property(fn(Path) -> Measure),
}

/// A row of the table of aggregates.
pub struct Aggregate {
    /// Its word.
    pub word: &'static str,
    /// What it is computed over.
    pub over: Over,
    /// What its result is compared as.
    pub result: Subject,
    also: &'static [&'static str],
}

impl Named for Aggregate {
    fn word(&self) -> &'static str {
        self.word
    }

    fn also(&self) -> &'static [&'static str] {
        self.also
    }
}

const fn aggregate(
    word: &'static str,
    over: Over,
    result: Subject,
    also: &'static [&'static str],
) -> Aggregate {
    Aggregate { word, over, result, also }
}

/// The aggregates.
pub static AGGREGATES: &[Aggregate] = {
    use Subject::{Count, Number, Property};
    &[
        aggregate("count", Over::Events(Measure::Count), Count, &["number", "times"]),
        aggregate("sum", Over::Property(Measure::Sum), Count, &["total"]),
        aggregate("avg", Over::Property(Measure::Avg), Number, &["mean", "average"]),
        aggregate("min", Over::Property(Measure::Min), Number, &["least", "lowest"]),
        aggregate("max", Over::Property(Measure::Max), Number, &["greatest", "highest"]),
        aggregate("distinct", Over::Property(Measure::Distinct), Count, &["unique"]),
        aggregate("first", Over::Property(Measure::First), Property, &["earliest"]),
        aggregate("last", Over::Property(Measure::Last), Property, &["latest"]),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_is_said_twice() {
        fn check<T: Named>(table: &[T]) {
            let mut words: Vec<_> = table.iter().map(T::word).collect();
            words.extend(table.iter().flat_map(|row| row.also().iter().copied()));
            words.sort_unstable();
            let doubled: Vec<_> = words.windows(2).filter(|pair| pair[0] == pair[1]).collect();
            assert!(doubled.is_empty(), "{doubled:?}");
        }
        check(OPERATORS);
        check(AGGREGATES);
        check(JUNCTIONS);
    }

    #[test]
    fn a_kind_is_known_by_a_key_of_its_own() {
        for kind in RULE_KINDS {
            let same = RULE_KINDS.iter().filter(|other| other.keys.contains(&kind.key()));
            assert_eq!(same.count(), 1, "{}", kind.key());
        }
    }

    #[test]
    fn aggregates_are_called_as_their_measures() {
        for row in AGGREGATES {
            let measure = match &row.over {
                Over::Events(measure) => measure.clone(),
                Over::Property(of) => of(Path::new("p")),
            };
            assert_eq!(measure.word(), row.word);
        }
    }
}

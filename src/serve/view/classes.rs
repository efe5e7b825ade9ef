//! Differences counted by what their segments are decided by: which kind of rule it is whose
//! answers change.

use std::sync::RwLock;

use dataflows::model::{Difference, Sign};
use dataflows::rule::Rule;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::{read, write};

/// What decides who is in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// What is known of a user, and nothing else.
    Attributes,
    /// What happened, and the passing of time, too.
    Events,
    /// Who is in other segments, too.
    Segments,
}

/// How they are told, in the order of [`Class`].
const CLASSES: [&str; 3] = ["attributes", "events", "segments"];

/// What is counted, by the class of the segment and whether someone entered or left.
#[derive(Debug)]
pub(super) struct Classes {
    by_number: RwLock<Vec<Class>>,
    changes: Family<[(&'static str, &'static str); 2], Counter>,
}

impl Default for Classes {
    fn default() -> Self {
        let classes = Classes { by_number: RwLock::default(), changes: Family::default() };
        classes.add([[0; 2]; 3]);
        classes
    }
}

impl Classes {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Differences given out, by what decides who is in their segments";
        registry.register("class_differences", help, self.changes.clone());
    }

    /// The segment of this number has this rule.
    pub(super) fn define(&self, number: u32, rule: &Rule) {
        let Ok(place) = usize::try_from(number) else { return };
        let mut by_number = write(&self.by_number);
        if by_number.len() <= place {
            by_number.resize(place + 1, Class::Attributes);
        }
        by_number[place] = Class::of(rule);
    }

    /// Counts differences of segments of these numbers.
    pub(super) fn count(&self, differences: &[Difference], numbers: &[u32]) {
        let mut counts = [[0; 2]; 3];
        {
            let by_number = read(&self.by_number);
            for (difference, number) in differences.iter().zip(numbers) {
                let place = usize::try_from(*number).ok();
                let class = place.and_then(|place| by_number.get(place));
                let class = match class.copied().unwrap_or(Class::Attributes) {
                    Class::Attributes => 0,
                    Class::Events => 1,
                    Class::Segments => 2,
                };
                counts[class][usize::from(difference.sign == Sign::Left)] += 1;
            }
        }
        self.add(counts);
    }

    fn add(&self, counts: [[u64; 2]; 3]) {
        for (class, counts) in CLASSES.into_iter().zip(counts) {
            for (change, count) in ["entered", "left"].into_iter().zip(counts) {
                let labels = [("class", class), ("change", change)];
                self.changes.get_or_create(&labels).inc_by(count);
            }
        }
    }
}

impl Class {
    fn of(rule: &Rule) -> Self {
        match rule {
            Rule::All(rules) | Rule::Any(rules) => {
                rules.iter().map(Class::of).max().unwrap_or(Class::Attributes)
            }
            Rule::Not(rule) => Class::of(rule),
            Rule::Segment(_) => Class::Segments,
            Rule::Aggregate(_) | Rule::Sequence(_) => Class::Events,
            Rule::Everyone | Rule::Members(_) | Rule::Sample(_) | Rule::Attribute(_) => {
                Class::Attributes
            }
        }
    }
}

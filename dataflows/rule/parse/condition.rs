//! The kinds of nodes of a rule, one function each.

use std::sync::Arc;

use serde_json::Value as Json;

use super::comparison::test;
use super::{name_or_number, read_id};
use crate::model::{Decimal, Duration, Path};
use crate::rule::language::{
    AGGREGATES, FILTER_KINDS, JUNCTIONS, Junction, Kind, LATER_KINDS, MEMBERS_MAX, Over,
    RULE_KINDS, STEP_KEYS, STEPS_MAX, STEPS_MIN, Shape, Subject,
};
use crate::rule::reader::{Node, Reader};
use crate::rule::words::did_you_mean;
use crate::rule::{
    AggregateCondition, AttributeCondition, Filter, MAX_DEPTH, NamePattern, Rule, Sample, Selector,
    SequenceCondition,
};

/// The shortest window: an event must count for some time.
const WINDOW_MIN: Duration = Duration::from_ms(1);
/// All of them, in parts per million.
const WHOLE_PPM: u32 = 1_000_000;

/// Reads a rule whose root is at this depth, counted from 1.
pub(super) fn rule(reader: &mut Reader<'_>, node: &Node<'_>, depth: usize) -> Option<Rule> {
    match kind(reader, node, RULE_KINDS, depth)?.shape {
        Shape::Group => Some(match group(reader, node, depth, rule)? {
            Group::All(rules) => Rule::All(rules),
            Group::Any(rules) => Rule::Any(rules),
            Group::Not(rule) => Rule::Not(Box::new(rule)),
        }),
        Shape::Segment => read_id(reader, &node.get("segment")).map(Rule::Segment),
        Shape::Everyone => everyone(reader, &node.get("everyone")),
        Shape::Members => members(reader, &node.get("members")),
        Shape::Sample => sample(reader, node).map(Rule::Sample),
        Shape::Attribute => attribute(reader, node).map(Rule::Attribute),
        Shape::Aggregate => aggregate(reader, node, depth).map(Rule::Aggregate),
        Shape::Sequence => sequence(reader, node, depth).map(Rule::Sequence),
    }
}

/// Reads a `where` whose root is at this depth.
fn filter(reader: &mut Reader<'_>, node: &Node<'_>, depth: usize) -> Option<Filter> {
    if kind(reader, node, FILTER_KINDS, depth)?.shape == Shape::Group {
        return Some(match group(reader, node, depth, filter)? {
            Group::All(filters) => Filter::All(filters),
            Group::Any(filters) => Filter::Any(filters),
            Group::Not(filter) => Filter::Not(Box::new(filter)),
        });
    }
    let path = path(reader, &node.get("attribute"));
    let test = test(reader, node, Subject::Property);
    Some(Filter::Property(path?, test?))
}

/// Which kind of node this is, by the key it has. Its other keys are checked.
fn kind<'t>(
    reader: &mut Reader<'_>,
    node: &Node<'_>,
    kinds: &'t [Kind],
    depth: usize,
) -> Option<&'t Kind> {
    let allowed = || {
        let keys: Vec<_> = kinds.iter().map(Kind::key).collect();
        format!("an object with one of the keys {}", keys.join(", "))
    };
    if depth > MAX_DEPTH {
        let allowed = format!("at most {MAX_DEPTH} conditions, each within another");
        reader.fault_with(node, format!("a condition at depth {depth}"), allowed, None);
        return None;
    }
    if let Some(kind) = kinds.iter().find(|kind| node.get(kind.key()).is_present()) {
        reader.closed(node, kind.keys);
        return Some(kind);
    }
    let hint = match LATER_KINDS.iter().find(|key| node.get(key).is_present()) {
        Some(later) => Some(format!("rules of {later:?} come in a later version")),
        None => node.keys().find_map(|key| did_you_mean(key, kinds.iter().map(Kind::key))),
    };
    reader.fault(node, allowed(), hint);
    None
}

enum Group<T> {
    All(Vec<T>),
    Any(Vec<T>),
    Not(T),
}

fn group<T>(
    reader: &mut Reader<'_>,
    node: &Node<'_>,
    depth: usize,
    read: impl Fn(&mut Reader<'_>, &Node<'_>, usize) -> Option<T>,
) -> Option<Group<T>> {
    let junction = reader.pick(&node.get("operator"), JUNCTIONS, |_| true).copied();
    let conditions = node.get("conditions");
    let count = conditions.items().count();
    let each = reader
        .each(&conditions, "a list of conditions", |reader, item| read(reader, item, depth + 1));
    if junction == Some(Junction::Not)
        && count != 1
        && conditions.json().is_some_and(Json::is_array)
    {
        let hint = "put them under one AND or OR".to_owned();
        reader.fault(&conditions, "a list of exactly one", (count > 1).then_some(hint));
        return None;
    }
    let mut each = each?;
    match junction? {
        Junction::And => Some(Group::All(each)),
        Junction::Or => Some(Group::Any(each)),
        Junction::Not => each.pop().map(Group::Not),
    }
}

fn everyone(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Rule> {
    if node.json() != Some(&Json::Bool(true)) {
        let hint = "for nobody say {\"members\": []}".to_owned();
        let is_false = node.json() == Some(&Json::Bool(false));
        reader.fault(node, "true", is_false.then_some(hint));
        return None;
    }
    Some(Rule::Everyone)
}

fn members(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Rule> {
    let count = node.items().count();
    if count > MEMBERS_MAX {
        reader.fault(node, format!("a list of at most {MEMBERS_MAX} users"), None);
        return None;
    }
    let mut users = reader.each(node, "a list of users", |reader, item| {
        let user = name_or_number(item).filter(|user| !user.is_empty());
        if user.is_none() {
            reader.fault(item, "a user: text that is not empty, or an integer", None);
        }
        user
    })?;
    users.sort_unstable();
    users.dedup();
    Some(Rule::Members(users.into()))
}

fn sample(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Sample> {
    let key = reader.name(&node.get("sample"), "the name of the split, text");
    let (percent, from_node) = (node.get("percent"), node.get("from"));
    let size = parts_per_million(reader, &percent);
    let from = reader.optional(&from_node, parts_per_million).map(Option::unwrap_or_default);
    let (key, size, from) = (key?, size?, from?);
    if from + size > WHOLE_PPM {
        let found = format!("{} from {} on", percent.found(), from_node.found());
        reader.fault_with(
            &percent,
            found,
            "\"from\" and \"percent\" of together at most 100",
            None,
        );
        return None;
    }
    Some(Sample { key: key.into(), from, size })
}

fn parts_per_million(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<u32> {
    /// Millionths of a percent in a part per million.
    const STEP_MICROS: i128 = 100;
    let read = match node.json() {
        Some(Json::Number(number)) => Decimal::parse(&number.to_string()).ok(),
        _ => None,
    };
    let micros = read.and_then(|percent| percent.to_amount_exactly()).map(|it| it.micros());
    let ppm = micros
        .filter(|micros| micros % STEP_MICROS == 0)
        .and_then(|micros| u32::try_from(micros / STEP_MICROS).ok())
        .filter(|ppm| *ppm <= WHOLE_PPM);
    if ppm.is_none() {
        reader.fault(node, "a number from 0 to 100 with at most four decimal places", None);
    }
    ppm
}

fn attribute(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<AttributeCondition> {
    let path = path(reader, &node.get("attribute"));
    let test = test(reader, node, Subject::Attribute);
    let held = optional_window(reader, &node.get("held"));
    Some(AttributeCondition { path: path?, test: test?, held: held? })
}

fn aggregate(reader: &mut Reader<'_>, node: &Node<'_>, depth: usize) -> Option<AggregateCondition> {
    let events = selector(reader, node, depth);
    let window = optional_window(reader, &node.get("window"));
    let property = node.get("property");
    let Some(row) = reader.pick(&node.get("aggregate"), AGGREGATES, |_| true) else {
        return None; // what may stand beside it is not known
    };
    let measure = match &row.over {
        Over::Events(measure) if !property.is_present() => Some(measure.clone()),
        Over::Events(_) => {
            let hint = format!("leave it out: {:?} is of the events themselves", row.word);
            reader.fault(&property, "nothing", Some(hint));
            None
        }
        Over::Property(of) => path(reader, &property).map(of),
    };
    let test = test(reader, node, row.result);
    Some(AggregateCondition { events: events?, measure: measure?, window: window?, test: test? })
}

fn sequence(reader: &mut Reader<'_>, node: &Node<'_>, depth: usize) -> Option<SequenceCondition> {
    let allowed = format!("a list of {STEPS_MIN} to {STEPS_MAX} steps");
    let list = node.get("sequence");
    let count = list.items().count();
    let steps = reader.each(&list, &allowed, |reader, step| {
        reader.object(step, STEP_KEYS)?;
        selector(reader, step, depth)
    });
    if steps.is_some() && !(STEPS_MIN..=STEPS_MAX).contains(&count) {
        reader.fault(&list, allowed, None);
    }
    let within = reader.duration(&node.get("within"), WINDOW_MIN);
    let window = optional_window(reader, &node.get("window"));
    let (steps, within, window) = (steps?, within?, window?);
    let in_bounds = (STEPS_MIN..=STEPS_MAX).contains(&count);
    in_bounds.then(|| SequenceCondition { steps, within, window: window.unwrap_or(within) })
}

/// The `event` and `where` of a node.
fn selector(reader: &mut Reader<'_>, node: &Node<'_>, depth: usize) -> Option<Selector> {
    let name = event_name(reader, &node.get("event"));
    let filter =
        reader.optional(&node.get("where"), |reader, node| filter(reader, node, depth + 1));
    Some(Selector { name: name?, filter: filter? })
}

fn event_name(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<NamePattern> {
    let allowed = "the name of an event, or the beginning of names and one * at the very end";
    let name = reader.name(node, allowed)?;
    let (prefix, is_prefix) =
        name.strip_suffix('*').map_or((&*name, false), |prefix| (prefix, true));
    if prefix.contains('*') {
        reader.fault(node, allowed, None);
        return None;
    }
    let text: Arc<str> = prefix.into();
    Some(if is_prefix { NamePattern::Prefix(text) } else { NamePattern::Exact(text) })
}

fn path(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Path> {
    reader.name(node, "a name, or a path of names with dots").map(|name| Path::new(&name))
}

fn optional_window(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Option<Duration>> {
    reader.optional(node, |reader, node| reader.duration(node, WINDOW_MIN))
}

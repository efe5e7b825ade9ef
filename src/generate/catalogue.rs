//! Made-up catalogues of segments, as the text of a definitions file.

use std::fmt::Write;

use super::changes::{ATTRIBUTES, CATEGORIES, Kind, SCALES, WORDS, phrase, rounded};
use super::random::Random;

const EVENTS: [&str; 4] = ["page_view", "click", "add_to_cart", "purchase"];
const WINDOWS: [&str; 4] = ["1m", "5m", "10m", "1h"];

/// Segments over windows of the clickstream of [`clicks`](super::clicks): enough events of a kind,
/// and enough spent, each within a window of its own.
pub fn windows(count: u32, seed: u64) -> String {
    let mut random = Random::new(seed);
    list(count, |text, number| {
        let (event, window) = (random.pick(&EVENTS), random.pick(&WINDOWS));
        let least = 5.0 * libm::pow(100.0, random.fraction());
        let (spent, over) = (50.0 * libm::pow(100.0, random.fraction()), random.pick(&WINDOWS));
        let _ = write!(
            text,
            r#"{{"id":"windows-{number}","rules":{{"operator":"AND","conditions":[{{"event":"{event}","aggregate":"count","window":"{window}","op":"gte","value":{least:.0}}},{{"event":"purchase","aggregate":"sum","property":"amount","window":"{over}","op":"gt","value":{spent:.2}}}]}}}}"#
        );
    })
}

/// Rule trees over the attributes of [`changes`](super::changes). Dense ones are of all kinds, and
/// many users are in each; selective ones ask for many things at once.
pub fn attributes(count: u32, selective: bool, seed: u64) -> String {
    let mut random = Random::of(seed, u64::from(count));
    list(count, |text, number| {
        let rules = if selective { narrow(&mut random) } else { broad(&mut random) };
        let _ = write!(text, r#"{{"id":{number},"rules":{rules}}}"#);
    })
}

/// Segments that cut the values of twenty attributes into neighbouring intervals: a user is in one
/// segment an attribute, however many there are. A change by about one interval costs the same
/// flips in any catalogue.
pub fn intervals(count: u32) -> String {
    list(count, |text, number| {
        let (attribute, from) = (number % 20, number / 20);
        let _ = write!(
            text,
            r#"{{"id":{number},"rules":{{"attribute":"i{attribute}","op":"between","value":[{from},{from}.99]}}}}"#
        );
    })
}

/// Eight segments over an attribute each; with `levels`, seven more in three levels of references
/// above them.
pub fn references(levels: bool) -> String {
    let mut segments: Vec<String> = (0..8)
        .map(|number| format!(r#"{{"id":"base-{number}","rules":{{"attribute":"f{number}","op":"eq","value":1}}}}"#))
        .collect();
    let both = |id: String, operator: &str, left: String, right: String| {
        format!(
            r#"{{"id":"{id}","rules":{{"operator":"{operator}","conditions":[{left},{right}]}}}}"#
        )
    };
    let to = |level: &str, number: u32| format!(r#"{{"segment":"{level}-{number}"}}"#);
    let no = |inner: String| format!(r#"{{"operator":"NOT","conditions":[{inner}]}}"#);
    if levels {
        for number in 0..4 {
            let (left, right) = (to("base", 2 * number), no(to("base", 2 * number + 1)));
            segments.push(both(format!("one-{number}"), "AND", left, right));
        }
        for number in 0..2 {
            let (left, right) = (to("one", 2 * number), to("one", 2 * number + 1));
            segments.push(both(format!("two-{number}"), "OR", left, right));
        }
        segments.push(both("three-0".into(), "AND", to("two", 0), no(to("two", 1))));
    }
    format!("[\n{}\n]\n", segments.join(",\n"))
}

/// Five to eight conditions that must all hold, the last two sometimes as alternatives, the last
/// one sometimes turned round.
fn narrow(random: &mut Random) -> String {
    let count = 5 + random.below(4) as usize;
    let mut conditions: Vec<String> = (0..count).map(|_| condition(random)).collect();
    if random.chance(0.3) {
        let last = conditions.split_off(count - 2);
        conditions.push(tree("OR", &last));
    }
    if random.chance(0.2)
        && let Some(last) = conditions.pop()
    {
        conditions.push(tree("NOT", &[last]));
    }
    tree("AND", &conditions)
}

/// Five to ten conditions in groups of one to four.
fn broad(random: &mut Random) -> String {
    let mut left = 5 + random.below(6);
    let mut groups = Vec::new();
    while left > 0 {
        let size = (1 + random.below(4)).min(left);
        left -= size;
        let mut group: Vec<String> = (0..size).map(|_| condition(random)).collect();
        let mut rule = if size == 1 {
            group.remove(0)
        } else {
            tree(if random.chance(0.65) { "OR" } else { "AND" }, &group)
        };
        if random.chance(0.12) {
            rule = tree("NOT", &[rule]);
        }
        groups.push(rule);
    }
    tree(if random.chance(0.85) { "AND" } else { "OR" }, &groups)
}

fn tree(operator: &str, conditions: &[String]) -> String {
    format!(r#"{{"operator":"{operator}","conditions":[{}]}}"#, conditions.join(","))
}

fn condition(random: &mut Random) -> String {
    let kind = Kind::of(random.below(ATTRIBUTES));
    let name = kind.name();
    let with = |op: &str, value: String| {
        format!(r#"{{"attribute":"{name}","op":"{op}","value":{value}}}"#)
    };
    if random.chance(0.08) {
        let op = random.pick(&["is_null", "is_not_null"]);
        return format!(r#"{{"attribute":"{name}","op":"{op}"}}"#);
    }
    match kind {
        Kind::Category(number) => match *random.pick(&["eq", "neq", "in", "not_in"]) {
            op @ ("eq" | "neq") => {
                with(op, format!("\"v{number}_{}\"", random.below(CATEGORIES[number])))
            }
            op => with(op, some_of(random, number)),
        },
        Kind::Number(number) => {
            let bound = rounded(random.fraction() * SCALES[number]);
            let op = *random.pick(&["gt", "gte", "lt", "lte"]);
            with(op, bound.to_string())
        }
        Kind::Text(_) if random.chance(0.75) => {
            with("contains", format!("\"{}\"", random.pick(&WORDS)))
        }
        Kind::Text(_) => with("eq", format!("\"{}\"", phrase(random))),
    }
}

/// Two to six values of a category, each once.
fn some_of(random: &mut Random, number: usize) -> String {
    let mut places: Vec<u64> = (0..CATEGORIES[number]).collect();
    random.shuffle(&mut places);
    let count = 2 + random.below(CATEGORIES[number].min(6) - 1);
    places.truncate(count as usize);
    let values: Vec<String> = places.iter().map(|place| format!("\"v{number}_{place}\"")).collect();
    format!("[{}]", values.join(","))
}

fn list(count: u32, mut segment: impl FnMut(&mut String, u32)) -> String {
    let mut text = String::from("[");
    for number in 0..count {
        text.push_str(if number == 0 { "\n" } else { ",\n" });
        segment(&mut text, number);
    }
    text.push_str("\n]\n");
    text
}

#[cfg(test)]
mod tests {
    use dataflows::catalog::Catalog;
    use dataflows::rule::parse;

    use super::*;

    #[test]
    fn every_catalogue_is_valid_and_the_same_for_a_seed() {
        let catalogues: [fn() -> String; 6] = [
            || windows(100, 7),
            || attributes(200, false, 7),
            || attributes(200, true, 7),
            || intervals(100),
            || references(false),
            || references(true),
        ];
        for catalogue in catalogues {
            let text = catalogue();
            assert_eq!(text, catalogue());
            let list: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
            let definition = |json| parse::definition(json).unwrap().into();
            Catalog::new(list.iter().map(definition).collect()).unwrap();
        }
        assert_ne!(attributes(10, true, 7), attributes(10, true, 8));
    }
}

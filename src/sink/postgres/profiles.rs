//! What attributes have become in a step: for each user of whom any have changed, the last of it.

use std::collections::HashMap;

use super::text::{Row, id, json};
use crate::sink::delivery::Item;

/// Of whom nothing is left.
const NOTHING: &str = "{}";

/// As rows that are copied: the user, the attributes (null where there are none left), and when they
/// became so.
pub(super) fn rows(items: &[Item]) -> Vec<u8> {
    let mut last = HashMap::new();
    for item in items {
        if let Item::Profile { time, user, json } = item {
            last.insert(user, (*time, json));
        }
    }
    let mut last: Vec<_> = last.into_iter().collect();
    // Transactions that go through rows in one order do not wait for one another in circles.
    last.sort_unstable();
    let mut rows = Vec::new();
    for (user, (time, attributes)) in last {
        let attributes = (attributes != NOTHING).then(|| json(attributes));
        Row::new(&mut rows).text(&id(user)).maybe_text(attributes.as_deref()).time(time).end();
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_each_user_counts() {
        let told = |user: &str, time, json: &str| {
            let (user, json) = (user.into(), json.to_owned());
            Item::Profile { time, user, json }
        };
        let items = [
            told("b", 1, r#"{"plan":"free"}"#),
            told("a", 2, r#"{"said":"\"\u0000\\u0000"}"#),
            told("c", 2, r#"{"plan":"pro"}"#),
            told("b", 3, r#"{"plan":"pro"}"#),
            told("c", 4, "{}"),
        ];
        let at = |ms: i64| format!("1970-01-01T00:00:00.00{ms}Z");
        let expected = [
            // Backslashes are doubled for COPY.
            format!("a\t{{\"said\":\"\\\\\"\u{2400}\\\\\\\\u0000\"}}\t{}\n", at(2)),
            format!("b\t{{\"plan\":\"pro\"}}\t{}\n", at(3)),
            format!("c\t\\N\t{}\n", at(4)),
        ];
        assert_eq!(String::from_utf8(rows(&items)).unwrap(), expected.concat());
    }
}

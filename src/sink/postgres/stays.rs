//! What differences come to: stays in segments that end, begin, or do both.

use std::collections::{BTreeMap, BTreeSet};

use dataflows::model::{EventTime, Sign};

use super::text::{Row, id};
use crate::sink::delivery::Item;

/// What the differences of a step come to, as rows that are copied.
#[derive(Debug, Default)]
pub(super) struct Stays {
    /// For each pair of segment and user: when the stay before the step ended, if it did; the last
    /// stay that began in it, if one did, and when that ended; how many began.
    pub(super) changed: Vec<u8>,
    /// Stays that began and ended in the step, but for the last of each pair.
    pub(super) over: Vec<u8>,
    /// How many entered and left segments.
    pub(super) entered: i64,
    pub(super) left: i64,
    pub(super) segments: i64,
    pub(super) users: i64,
    /// The times of the first and the last difference.
    pub(super) times: Option<(EventTime, EventTime)>,
}

/// What happens to one pair.
#[derive(Debug, Default)]
struct Pair {
    closed: Option<EventTime>,
    last: Option<(EventTime, Option<EventTime>)>,
    entries: i64,
}

impl Stays {
    pub(super) fn of(items: &[Item]) -> Self {
        let mut stays = Stays::default();
        let (mut pairs, mut users) = (BTreeMap::<_, Pair>::new(), BTreeSet::new());
        for item in items {
            let Item::Difference(it) = item else { continue };
            let first = stays.times.map_or(it.time, |(first, _)| first);
            stays.times = Some((first, it.time));
            users.insert(&it.user);
            let pair = pairs.entry((&it.segment, &it.user)).or_default();
            match (it.sign, &mut pair.last) {
                (Sign::Entered, last) => {
                    if let Some((from, Some(upto))) = *last {
                        let row = Row::new(&mut stays.over);
                        row.text(&id(&it.segment)).text(&id(&it.user)).time(from).time(upto).end();
                    }
                    *last = Some((it.time, None));
                    pair.entries += 1;
                    stays.entered += 1;
                }
                (Sign::Left, Some((_, upto))) => {
                    *upto = Some(it.time);
                    stays.left += 1;
                }
                (Sign::Left, None) => {
                    pair.closed = Some(it.time);
                    stays.left += 1;
                }
            }
        }
        stays.users = count(users.len());
        stays.segments =
            count(pairs.keys().map(|(segment, _)| segment).collect::<BTreeSet<_>>().len());
        for ((segment, user), pair) in pairs {
            let row = Row::new(&mut stays.changed).text(&id(segment)).text(&id(user));
            let row = row.maybe(pair.closed).maybe(pair.last.map(|(from, _)| from));
            row.maybe(pair.last.and_then(|(_, upto)| upto)).number(pair.entries).end();
        }
        stays
    }
}

fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use dataflows::model::Difference;

    use super::*;

    #[test]
    fn a_pair_that_comes_and_goes_is_one_row_and_its_stays() {
        let signs = [Sign::Left, Sign::Entered, Sign::Left, Sign::Entered];
        let items: Vec<_> = (1..)
            .zip(signs)
            .map(|(time, sign)| {
                let (segment, user) = ("s".into(), "a\tb".into());
                Item::Difference(Difference { time, segment, user, sign })
            })
            .collect();
        let stays = Stays::of(&items);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let at = |ms: i64| format!("1970-01-01T00:00:00.00{ms}Z");
        assert_eq!(text(&stays.changed), format!("s\ta\\tb\t{}\t{}\t\\N\t2\n", at(1), at(4)));
        assert_eq!(text(&stays.over), format!("s\ta\\tb\t{}\t{}\n", at(2), at(3)));
        let counted = (stays.entered, stays.left, stays.segments, stays.users);
        assert_eq!((counted, stays.times), ((2, 2, 1, 1), Some((1, 4))));
    }
}

//! The end of the dataflow: everything of one time together, in order, once the frontier has
//! passed it.
//!
//! All workers' outputs meet on the first worker, so that a file has one writer. Differences of one
//! time are added up by (segment, user): an enter and a leave cancel. State: what is ahead of the
//! frontier.

use std::sync::Arc;

use differential_dataflow::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::operator::Operator;

use super::dedup::hold_earliest;
use super::wheel::Wheel;
use crate::model::{Difference, EventTime, Sign};

/// A change of one (segment, user) that may not be the only one of its time.
pub type Partial = (Arc<str>, Arc<str>, i64);

/// The differences of all workers, in the order of (time, segment, user).
pub fn release<'scope>(
    partial: Stream<'scope, EventTime, Vec<(EventTime, Partial)>>,
) -> Stream<'scope, EventTime, Vec<Difference>> {
    let mut order = Order::default();
    in_order(partial, "Release", move |time, partial, output| {
        order.sort(partial);
        let mut rest = partial.drain(..).peekable();
        while let Some((segment, user, mut sum)) = rest.next() {
            while let Some((.., diff)) = rest.next_if(|it| (&it.0, &it.1) == (&segment, &user)) {
                sum += diff;
            }
            let sign = match sum {
                0 => continue,
                1 => Sign::Entered,
                -1 => Sign::Left,
                sum => panic!("membership is 0 or 1, but {user} changes by {sum} in {segment}"),
            };
            output.push(Difference { time, segment, user, sign });
        }
    })
}

/// From how many on keys are made: fewer are in order sooner than keys are.
const MANY: usize = 16;

/// Puts changes in the order of (segment, user).
///
/// To compare names is to go where they lie and to compare them byte by byte, a dozen times each.
/// Names of many begin alike; the eight bytes after that, as a number, tell most of them apart.
#[derive(Debug, Default)]
struct Order {
    keys: Vec<(u64, u32)>,
    taken: Vec<Option<Partial>>,
}

impl Order {
    fn sort(&mut self, changes: &mut Vec<Partial>) {
        let Some((one, ..)) = changes.first().filter(|_| changes.len() >= MANY) else {
            return changes.sort_unstable();
        };
        if changes.iter().all(|(segment, ..)| segment == one) {
            self.sort_by(changes, |(_, user, _)| user);
        } else {
            self.sort_by(changes, |(segment, ..)| segment);
        }
    }

    fn sort_by(&mut self, changes: &mut Vec<Partial>, name: impl Fn(&Partial) -> &str) {
        let Order { keys, taken } = self;
        let names = || changes.iter().map(|change| name(change).as_bytes());
        let Some(first) = names().next() else { return };
        let alike = names().fold(first.len(), |alike, name| {
            first[..alike].iter().zip(name).take_while(|(left, right)| left == right).count()
        });
        keys.clear();
        keys.extend(names().map(|name| key(&name[alike..])).zip(0..));
        // Equal keys say nothing.
        let change = |at: u32| &changes[at as usize];
        keys.sort_unstable_by(|left, right| {
            left.0.cmp(&right.0).then_with(|| change(left.1).cmp(change(right.1)))
        });
        taken.extend(changes.drain(..).map(Some));
        changes.extend(keys.iter().filter_map(|(_, at)| taken[*at as usize].take()));
        taken.clear();
    }
}

/// The first bytes of a text, such that what is before another by them is so as a whole.
fn key(text: &[u8]) -> u64 {
    let mut word = [0; 8];
    let length = text.len().min(word.len());
    word[..length].copy_from_slice(&text[..length]);
    u64::from_be_bytes(word)
}

/// Brings a stream to the first worker, in the order of time, and of the data within one time.
pub fn gather<'scope, D: ExchangeData>(
    stream: Stream<'scope, EventTime, Vec<(EventTime, D)>>,
    name: &str,
) -> Stream<'scope, EventTime, Vec<D>> {
    in_order(stream, name, |_, data, output| {
        data.sort();
        output.append(data);
    })
}

fn in_order<'scope, D: ExchangeData, O: Clone + 'static>(
    stream: Stream<'scope, EventTime, Vec<(EventTime, D)>>,
    name: &str,
    mut order: impl FnMut(EventTime, &mut Vec<D>, &mut Vec<O>) + 'static,
) -> Stream<'scope, EventTime, Vec<O>> {
    let to_first = Exchange::new(|_: &(EventTime, D)| 0);
    stream.unary_frontier::<CapacityContainerBuilder<_>, _, _, _>(to_first, name, move |_, _| {
        let mut waiting = Wheel::default();
        let mut held = None;
        let (mut together, mut ordered) = (Vec::new(), Vec::new());
        move |(input, frontier), output| {
            input.for_each_time(|capability, batches| {
                for (time, data) in batches.flat_map(|batch| batch.drain(..)) {
                    waiting.insert(time, data);
                }
                hold_earliest(&mut held, &capability);
            });
            let Some(capability) = &mut held else { return };
            while let Some(time) = waiting.next_due().filter(|time| !frontier.less_equal(time)) {
                waiting.take_due(time, &mut together);
                order(time, &mut together, &mut ordered);
            }
            output.session(capability).give_iterator(ordered.drain(..));
            match waiting.next_due() {
                Some(next) => capability.downgrade(&next),
                None => held = None,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_put_in_bytewise_order_however_they_begin() {
        let mut seed = 9_u64;
        let mut next = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        };
        let mut order = Order::default();
        for lead in ["", "windows-", "a long name that all begin with, and more: \u{e9}"] {
            for (segments, users) in [(1, 90), (90, 1), (7, 9), (5_000, 40)] {
                for count in [0, 1, MANY as u64 - 1, MANY as u64, 300] {
                    let mut name = |of: u64| -> Arc<str> {
                        let number = next(of);
                        let tail = ["", "\0", "\0\0", "~", "\u{ff}"][(number % 5) as usize];
                        format!("{lead}{number}{tail}").into()
                    };
                    let mut changes: Vec<Partial> =
                        (0..count).map(|_| (name(segments), name(users), 1)).collect();
                    let mut expected = changes.clone();
                    expected.sort();
                    order.sort(&mut changes);
                    assert_eq!(changes, expected);
                }
            }
        }
    }
}

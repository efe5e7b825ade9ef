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
    in_order(partial, "Release", |time, partial, output| {
        partial.sort_unstable();
        for same in partial.chunk_by(|left, right| (&left.0, &left.1) == (&right.0, &right.1)) {
            let Some((segment, user, _)) = same.first() else { continue };
            let sign = match same.iter().map(|(_, _, diff)| diff).sum() {
                0 => continue,
                1 => Sign::Entered,
                -1 => Sign::Left,
                sum => panic!("membership is 0 or 1, but {user} changes by {sum} in {segment}"),
            };
            output.push(Difference { time, segment: segment.clone(), user: user.clone(), sign });
        }
        partial.clear();
    })
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
    order: impl Fn(EventTime, &mut Vec<D>, &mut Vec<O>) + 'static,
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

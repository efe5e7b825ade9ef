//! The events that are counted, each once.
//!
//! At time t it equals: the events at t that streams ask to be [counted](crate::streams::Streams),
//! without those that are second copies. They come out on the first worker once the frontier has
//! passed their time, so that what is counted is final.
//!
//! Cost per event: an insertion into a wheel, and the way to the first worker. State: what is ahead
//! of the frontier. Where nothing is to be counted, it is not there.

use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Exchange as _;
use timely::dataflow::operators::generic::operator::Operator;

use super::dedup::{SecondCopy, hold_earliest};
use super::wheel::Wheel;
use crate::model::{EventTime, Position, UserKey, Value};

/// An event that is counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// By which counter, of those of the streams.
    pub counter: u32,
    /// Whose it is.
    pub user: UserKey,
    /// When it happened.
    pub time: EventTime,
    /// When it takes effect.
    pub at: EventTime,
    /// Where it stood.
    pub position: Position,
    /// What the counter takes from it, if it takes anything and that is there.
    pub value: Option<Value>,
}

/// These events without the second copies, on the first worker (see the module).
pub fn counted<'scope>(
    seen: Stream<'scope, EventTime, Vec<Seen>>,
    copies: Stream<'scope, EventTime, Vec<SecondCopy>>,
) -> Stream<'scope, EventTime, Vec<Seen>> {
    let by_user = Exchange::new(|seen: &Seen| seen.user.route());
    let also = Exchange::new(|copy: &SecondCopy| copy.user.route());
    type Builder = CapacityContainerBuilder<Vec<Seen>>;
    let once = seen.binary_frontier::<_, Builder, _, _, _, _>(
        copies,
        by_user,
        also,
        "Counted",
        move |_, _| {
            let (mut waiting, mut copied) = (Wheel::default(), Wheel::default());
            let (mut due, mut copies_due): (Vec<Seen>, Vec<SecondCopy>) = Default::default();
            let mut held = None;
            move |(input, frontier), (copies, of_copies), output| {
                input.for_each_time(|capability, batches| {
                    for seen in batches.flat_map(|batch| batch.drain(..)) {
                        waiting.insert(seen.at, seen);
                    }
                    hold_earliest(&mut held, &capability);
                });
                copies.for_each_time(|_, batches| {
                    for copy in batches.flat_map(|batch| batch.drain(..)) {
                        copied.insert(copy.at, copy);
                    }
                });
                let is_over =
                    |at: &EventTime| !frontier.less_equal(at) && !of_copies.less_equal(at);
                if let Some(capability) = &mut held {
                    let mut session = output.session(capability);
                    while let Some(at) = waiting.next_due().filter(is_over) {
                        take_copies(&mut copied, at, &mut copies_due);
                        waiting.take_due(at, &mut due);
                        let are_copies = &copies_due;
                        due.retain(|seen| !is_copy(seen, are_copies));
                        session.give_iterator(due.drain(..));
                    }
                    drop(session);
                    match waiting.next_due() {
                        Some(next) if next > *capability.time() => capability.downgrade(&next),
                        Some(_) => {}
                        None => held = None,
                    }
                }
                // Those of events that are not counted.
                while let Some(at) = copied.next_due().filter(is_over) {
                    take_copies(&mut copied, at, &mut copies_due);
                }
            }
        },
    );
    once.exchange(|_| 0)
}

/// The second copies of this time, in order; those of earlier times are forgotten.
fn take_copies(copied: &mut Wheel<SecondCopy>, at: EventTime, due: &mut Vec<SecondCopy>) {
    due.clear();
    while let Some(next) = copied.next_due().filter(|next| *next <= at) {
        due.clear();
        copied.take_due(next, due);
    }
    due.retain(|copy| copy.at == at);
    due.sort_unstable_by_key(|copy| (copy.user, copy.position));
}

fn is_copy(seen: &Seen, copies: &[SecondCopy]) -> bool {
    let place = (seen.user, seen.position);
    copies.binary_search_by_key(&place, |copy| (copy.user, copy.position)).is_ok()
}

//! Differences and profiles in one order, for outputs that write both together.
//!
//! Both come on the first worker in the order of time. What comes out of this is that of both whose
//! time the frontiers of both have passed, by time; of one time, the profiles first. State: what one
//! of them is ahead of the other.

use std::collections::VecDeque;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator;

use super::dedup::hold_earliest;
use crate::model::{Difference, EventTime, Profile};

/// Something an output is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Who entered or left.
    Difference(Difference),
    /// What attributes have become.
    Profile(Profile),
}

/// Both streams as one (see the module).
pub fn together<'scope>(
    differences: Stream<'scope, EventTime, Vec<Difference>>,
    profiles: Stream<'scope, EventTime, Vec<Profile>>,
) -> Stream<'scope, EventTime, Vec<Outcome>> {
    type Builder = CapacityContainerBuilder<Vec<Outcome>>;
    differences.binary_frontier::<_, Builder, _, _, _, _>(
        profiles,
        Pipeline,
        Pipeline,
        "Together",
        |_, _| {
            let mut waiting = Waiting::default();
            let mut held = None;
            move |(differences, frontier), (profiles, of_profiles), output| {
                differences.for_each_time(|capability, batches| {
                    waiting.differences.extend(batches.flat_map(|batch| batch.drain(..)));
                    hold_earliest(&mut held, &capability);
                });
                profiles.for_each_time(|capability, batches| {
                    waiting.profiles.extend(batches.flat_map(|batch| batch.drain(..)));
                    hold_earliest(&mut held, &capability);
                });
                let Some(capability) = &mut held else { return };
                let passed =
                    |time: EventTime| !frontier.less_equal(&time) && !of_profiles.less_equal(&time);
                output
                    .session(capability)
                    .give_iterator(std::iter::from_fn(|| waiting.next_if(passed)));
                match waiting.first() {
                    Some(next) if next > *capability.time() => capability.downgrade(&next),
                    Some(_) => {}
                    None => held = None,
                }
            }
        },
    )
}

#[derive(Default)]
struct Waiting {
    differences: VecDeque<Difference>,
    profiles: VecDeque<Profile>,
}

impl Waiting {
    /// The time of what comes next.
    fn first(&self) -> Option<EventTime> {
        let difference = self.differences.front().map(|it| it.time);
        difference.into_iter().chain(self.profiles.front().map(|it| it.time)).min()
    }

    fn next_if(&mut self, passed: impl Fn(EventTime) -> bool) -> Option<Outcome> {
        let time = self.first().filter(|time| passed(*time))?;
        if self.profiles.front().is_some_and(|it| it.time == time) {
            return self.profiles.pop_front().map(Outcome::Profile);
        }
        self.differences.pop_front().map(Outcome::Difference)
    }
}

//! Segments that refer to segments: sums of members over edges, compared with thresholds.
//!
//! At time t it equals: the least set of (gate, user) such that a user is in a gate iff the weights
//! of the gate's edges from nodes and gates the user is in sum up to its threshold. `AND`, `OR` and
//! `NOT` are such gates (see [`Plan`](super::plan::Plan)); references nest to any depth inside one
//! `iterate`, and all layers change at the same logical time. References have no cycles, so it
//! comes to rest after as many rounds as they are deep.
//!
//! Cost: per flip of a node that is referred to, its edges, and what they flip in turn. State: the
//! members of nodes that are referred to, twice, and the sums. All of a user is on one worker
//! (`Pipeline`); every worker has all edges.

use differential_dataflow::lattice::Lattice;
use differential_dataflow::operators::arrange::arrangement::arrange_core;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::operators::iterate::Variable;
use differential_dataflow::trace::implementations::chunker::ContainerChunker;
use differential_dataflow::trace::implementations::{
    KeyBatcher, KeyBuilder, KeySpine, ValBatcher, ValBuilder, ValSpine,
};
use differential_dataflow::{AsCollection, ExchangeData, VecCollection};
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::order::Product;
use timely::progress::Timestamp;

use super::plan::{Edge, NodeId};
use super::users::Slot;
use crate::model::EventTime;

type Updates<D> = Vec<(D, EventTime, isize)>;

/// Keys arranged without values.
type Keys<'scope, K, T> = Arranged<'scope, TraceAgent<KeySpine<K, T, isize>>>;

/// A gate and what its sum must reach.
type Goal = (NodeId, i64);

/// The members of gates (see the module).
pub fn compose<'scope>(
    nodes: Stream<'scope, EventTime, Updates<(NodeId, Slot)>>,
    edges: Stream<'scope, EventTime, Updates<Edge>>,
) -> VecCollection<'scope, EventTime, (NodeId, Slot), isize> {
    let outer = nodes.scope();
    let nodes = nodes.as_collection();
    let edges = edges.as_collection().explode(|edge: Edge| {
        Some(((edge.child, (edge.gate, edge.threshold)), edge.weight as isize))
    });
    outer.iterative::<u32, _, _>(|inner| {
        let edges = arrange_here(edges.enter(inner), "edges by child");
        let step = Product::new(Default::default(), 1);
        let (again, gates) = Variable::new(inner, step);
        let members = arrange_here(nodes.enter(inner).concat(gates), "members by node");
        let sums = members.join_core(edges, |_node, user: &Slot, goal: &Goal| Some((*goal, *user)));
        let composed = reached(sums);
        again.set(composed.clone());
        composed.leave(outer)
    })
}

/// The gates whose sum reaches the threshold, user by user.
fn reached<'scope, T: Timestamp + Lattice>(
    sums: VecCollection<'scope, T, (Goal, Slot), isize>,
) -> VecCollection<'scope, T, (NodeId, Slot), isize> {
    let keyed = sums.map(|sum| (sum, ())).inner;
    let by_goal: Keys<'scope, (Goal, Slot), T> = arrange_core::<
        _,
        _,
        ContainerChunker<Vec<(((Goal, Slot), ()), T, isize)>>,
        KeyBatcher<_, _, _>,
        KeyBuilder<_, _, _>,
        _,
    >(keyed, Pipeline, "sums by gate and user");
    by_goal
        .reduce_abelian::<_, KeyBuilder<(Goal, Slot), T, isize>, KeySpine<(Goal, Slot), T, isize>, _, _>(
            "Reached",
            |((_, threshold), _), sum, output| {
                if sum.first().is_some_and(|(_, sum)| *sum as i64 >= *threshold) {
                    output.push(((), 1));
                }
            },
            |batch, key, updates| {
                batch.clear();
                batch.extend(updates.drain(..).map(|(value, time, diff)| ((*key, value), time, diff)));
            },
        )
        .as_collection(|((gate, _), user), ()| (*gate, *user))
}

/// Arranges by key without leaving the worker.
fn arrange_here<'scope, T: Timestamp + Lattice, V: ExchangeData>(
    collection: VecCollection<'scope, T, (NodeId, V), isize>,
    name: &str,
) -> Arranged<'scope, TraceAgent<ValSpine<NodeId, V, T, isize>>> {
    arrange_core::<
        _,
        _,
        ContainerChunker<Vec<((NodeId, V), T, isize)>>,
        ValBatcher<_, _, _, _>,
        ValBuilder<_, _, _, _>,
        _,
    >(collection.inner, Pipeline, name)
}

//! The processes of a run, brought together.

use std::any::Any;
use std::net::TcpStream;
use std::sync::atomic::Ordering;

use timely::communication::allocator::ProcessBuilder;
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::{AllocatorBuilder, Hooks};

use super::{Run, RunError, lost, statement};
use crate::mesh::{Mesh, MeshError};

/// What timely makes the workers of this process from, and what they need while they run.
type Builders = (Vec<AllocatorBuilder>, Box<dyn Any + Send>);

/// Brings this process together with the others, if there are any. `None` if the run was told to
/// stop meanwhile.
pub(super) fn join(run: &Run) -> Result<Option<Builders>, RunError> {
    let cluster = &run.cluster;
    if cluster.hosts.len() <= 1 {
        let alone = timely::CommunicationConfig::Process(cluster.workers);
        return alone.try_build().map(Some).map_err(RunError::Start);
    }
    let mesh = Mesh {
        process: cluster.process,
        hosts: &cluster.hosts,
        secret: cluster.secret.as_ref().map(|secret| secret.reveal().as_bytes()),
        lost_after: cluster.lost_after,
        statement: statement::of(run),
        is_edited: run.live.as_ref().map(|live| live.is_edited.clone()),
    };
    let stop = run.live.as_ref().map(|live| &live.stop);
    let is_to_stop = || stop.is_some_and(|stop| stop.load(Ordering::Acquire));
    let sockets = match mesh.connect(&is_to_stop) {
        Ok(Some(sockets)) => sockets,
        Ok(None) => return Ok(None),
        Err(stale @ (MeshError::Stale { .. } | MeshError::Edited { .. })) => {
            lost::start_again(&stale)
        }
        // It may be the other one that has yet to read what was edited.
        Err(other @ MeshError::Definitions { .. })
            if run.live.as_ref().is_some_and(|it| it.is_supervised) =>
        {
            lost::start_again(&other)
        }
        Err(error) => return Err(error.into()),
    };
    lost::end_when_lost(&cluster.hosts);
    Ok(Some(builders(run, sockets)?))
}

fn builders(run: &Run, sockets: Vec<Option<TcpStream>>) -> Result<Builders, RunError> {
    let (workers, process) = (run.cluster.workers, run.cluster.process);
    let hooks = Hooks::default();
    let inside =
        ProcessBuilder::new_typed_vector(workers, hooks.refill.clone(), hooks.spill.clone());
    let started = initialize_networking_from_sockets(inside, sockets, process, workers, hooks);
    let (builders, guard) = started.map_err(|error| RunError::Start(error.to_string()))?;
    Ok((builders.into_iter().map(AllocatorBuilder::Tcp).collect(), Box::new(guard)))
}

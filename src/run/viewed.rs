//! What the view is told of a run: from where it goes on, how far time has come, and which
//! definitions are in force.

use std::sync::Arc;

use dataflows::catalog::{Edit, TimedEdit};
use dataflows::model::{Duration, EventTime, Position};
use dataflows::segmentation::{Late, Rejected, Sight};
use serde_json::{Value as Json, json};
use timely::dataflow::ProbeHandle;

use super::outputs::{Origin, name};
use super::{Run, Shared, lock};
use crate::format::Mapping;
use crate::ingest::{Onlooker, Shown};
use crate::say::say;
use crate::serve::metrics::{Measured, PartitionMeasured, SinkMeasured};
use crate::serve::view::recent::{KEPT, shown};
use crate::serve::view::{InForce, View};
use crate::sink::delivery::HowItStands;
use crate::state::StateError;

/// The view of a run that goes on from a time, with the definitions it begins with, and with what an
/// earlier run has kept of its own.
pub(super) fn begin(run: &Run, before: EventTime) -> Result<Option<Arc<View>>, StateError> {
    let Some(view) = run.live.as_ref().and_then(|live| live.view.clone()) else { return Ok(None) };
    view.go_on_from(before);
    for definition in &run.timeline.initial {
        let definition = Arc::clone(definition);
        view.define(InForce { definition, since: None, complete_from: None });
    }
    run.timeline.edits.iter().for_each(|edit| edited(&view, edit, None));
    if let Some(kept) = run.state.as_ref().filter(|kept| kept.resumed.before().is_some()) {
        let anew = view.restore(&kept.resumed.counts()?, before);
        let anew = anew.map_err(|error| kept.resumed.unreadable(&error))?;
        if !anew.is_empty() {
            say(format_args!(
                "counting begins anew for {}: not counted before, or in other panes or windows",
                anew.join(", ")
            ));
        }
    }
    view.begin();
    Ok(Some(view))
}

/// From now on whoever asks how the run is is told how its sinks stand, too.
pub(super) fn watch_sinks(view: &View, sinks: Vec<(&'static str, HowItStands)>) {
    view.metrics().watch_sinks(move || {
        let measured = |(of, how): &(&'static str, HowItStands)| {
            let standing = how();
            SinkMeasured {
                name: standing.name,
                of,
                is_down: standing.is_down,
                waiting: standing.waiting,
                bytes: standing.bytes,
                on_disk: standing.on_disk,
                written: standing.written,
                steps: standing.steps,
                made_final: standing.made_final,
            }
        };
        sinks.iter().map(measured).collect()
    });
}

/// An edit is in force, and sees so far, if that is known.
pub(super) fn edited(view: &View, edit: &TimedEdit, sight: Option<&Sight>) {
    match &edit.edit {
        Edit::Put(definition) => {
            let complete_from = sight.map(|it| it.complete_from);
            view.define(InForce {
                definition: Arc::clone(definition),
                since: Some(edit.time),
                complete_from: complete_from.filter(|time| *time > EventTime::MIN),
            });
        }
        Edit::Delete(id) => view.undefine(id),
    }
}

/// Says how far time has come, on the first worker.
pub(super) fn turn(shared: &Shared, probe: &ProbeHandle<EventTime>) {
    let Some(view) = &shared.view else { return };
    if let Some(frontier) = probe.with_frontier(|frontier| frontier.first().copied()) {
        view.advance(frontier);
    }
    for kept in view.kept() {
        if let Some(them) = &shared.checkpoints {
            them.kept(kept);
        }
    }
    if view.metrics().is_due() {
        view.metrics().tell(measured(shared, view));
    }
    if !view.is_ready()
        && let Some(time) = shared.ending.up_to_date()
    {
        view.caught_up(time);
    }
}

/// Records came too late.
pub(super) fn late(view: &View, batch: &[Late], sources: &[Origin]) {
    view.late().take(newest(batch).iter().map(|it| {
        let mut line = place(it.position, sources);
        line["time"] = json!(it.time);
        line["clock"] = json!(it.clock);
        line["late_by"] = json!(Duration::from_ms(it.clock - it.time).to_string());
        line["reason"] = json!(it.reason);
        line["segments"] = json!(it.segments);
        line["record"] = json!(shown(&it.record));
        line
    }));
}

/// Who looks at some of the records as they are read.
pub(super) fn onlooker(shared: &Shared) -> Option<Arc<dyn Onlooker>> {
    let view = shared.view.clone()?;
    Some(view)
}

impl Onlooker for View {
    fn look(&self, mapping: &Mapping, shown: &Shown<'_>) {
        self.names().glance(mapping, shown.count(), |place| shown.get(place));
    }
}

/// Records could not be understood.
pub(super) fn rejected(view: &View, batch: &[Rejected], sources: &[Origin]) {
    view.rejected().take(newest(batch).iter().map(|it| {
        let mut line = place(it.position, sources);
        line["clock"] = json!((it.clock > EventTime::MIN).then_some(it.clock));
        line["reason"] = json!(it.reason);
        line["record"] = json!(shown(&it.record));
        line
    }));
}

/// Those of a batch that will be kept.
fn newest<T>(batch: &[T]) -> &[T] {
    &batch[batch.len().saturating_sub(KEPT)..]
}

fn place(position: Position, sources: &[Origin]) -> Json {
    let (source, partition) = name(sources, position.partition);
    json!({ "source": source, "partition": partition, "offset": position.offset })
}

/// How far the run is.
fn measured(shared: &Shared, view: &View) -> Measured {
    let outputs = lock(&shared.outputs);
    let (tally, differences) = outputs.counted();
    let partition = |(index, clock, lag)| {
        let (source, partition) = name(outputs.sources(), index);
        PartitionMeasured { source, partition, clock, lag }
    };
    Measured {
        applied: tally.applied,
        late: tally.late,
        rejected: tally.rejected,
        duplicate: tally.duplicate,
        read: shared.partitions.read(),
        differences,
        watermark: view.as_of(),
        drifting: view.drifting(),
        partitions: shared.partitions.clocks_and_lags().into_iter().map(partition).collect(),
        checkpoint: shared.checkpoints.as_ref().map(|them| them.measured()),
        is_ready: view.is_ready(),
    }
}

//! The state of a job: what it must be like to keep one, and what an earlier run has left of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dataflows::clock::{ClockSettings, Emit};
use thiserror::Error;

use super::VerbError;
use super::outputs::origins;
use super::what::Subject;
use crate::job::Target;
use crate::run::{Kept, Resumed, Start};

/// Why a job cannot keep state.
#[derive(Debug, Error)]
enum KeptError {
    #[error(
        "state: changes at times known in advance are for replays: edit the segments and start the \
         job again instead"
    )]
    Changes,
    #[error(
        "state: {0} cannot be read again after a crash: read a file or a topic, or leave [state] out"
    )]
    Pipe(String),
}

/// What a job keeps and goes on from; its definitions become those of before, and what has changed
/// since.
pub(super) fn kept(subject: &mut Subject) -> Result<Option<Kept>, VerbError> {
    let Some((settings, name)) = subject.state.clone() else { return Ok(None) };
    if subject.has_changes {
        return Err(KeptError::Changes.into());
    }
    for input in &subject.inputs {
        if !is_file(&input.path) {
            return Err(KeptError::Pipe(input.path.display().to_string()).into());
        }
    }
    let sources: Vec<String> = origins(subject).iter().map(ToString::to_string).collect();
    let mut resumed = Resumed::find(&settings, described(&name, &sources, &subject.clock))?;
    resumed.tell();
    let start = resumed.start(&subject.definitions.timeline, &sources, &subject.clock);
    subject.definitions.timeline = Arc::new(start.timeline.clone());
    let interval = Duration::from_millis(u64::try_from(settings.interval.ms()).unwrap_or(0));
    let Start { go_on, edits, recalled, .. } = start;
    let is_chronicled = subject.clock.emit == Emit::OnEvent && delivers(subject);
    Ok(Some(Kept { resumed, interval, go_on, edits, recalled, is_chronicled }))
}

/// Whether anything cannot be cut back to where a checkpoint was taken.
fn delivers(subject: &Subject) -> bool {
    let is_cut = |target: &Target| matches!(target, Target::Stdout | Target::File(_));
    !subject.exports.is_empty() || subject.sinks.iter().any(|sink| !is_cut(&sink.target))
}

fn is_file(path: &Path) -> bool {
    path.as_os_str() != "-" && std::fs::metadata(path).is_ok_and(|about| about.is_file())
}

/// What makes a job another one: what was kept would mean something else.
fn described(name: &str, sources: &[String], clock: &ClockSettings) -> String {
    let emit = match clock.emit {
        Emit::OnWatermark => "",
        Emit::OnEvent => ", emit on_event",
    };
    format!(
        "{name:?} reads {}; max_out_of_orderness {}, dedup_horizon {}, granularity {}{emit}",
        sources.join(", "),
        clock.max_out_of_orderness,
        clock.dedup_horizon,
        clock.granularity
    )
}

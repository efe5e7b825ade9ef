//! `redeliver`: the dead letters of a webhook, posted again.

use std::path::Path;

use thiserror::Error;

use super::outputs::webhook_of;
use super::{VerbError, say};
use crate::args::Redeliver;
use crate::job::{Job, Target};
use crate::sink::webhook::{self, Settings};

#[derive(Debug, Error)]
enum RedeliverError {
    #[error("job {job:?} has {}: say which by --sink", webhooks(names))]
    Which { job: String, names: Vec<String> },
    #[error("{left} of {all} batches were not taken: see the reasons in {letters}")]
    Left { left: usize, all: usize, letters: String },
}

fn webhooks(names: &[String]) -> String {
    match names {
        [] => "no sink of kind webhook".to_owned(),
        names => format!("the webhooks {}", names.join(", ")),
    }
}

/// Posts dead letters again.
pub(super) fn redeliver(arguments: &Redeliver) -> Result<(), VerbError> {
    let settings = settings(&Job::load(&arguments.job)?, arguments.sink.as_deref())?;
    let letters = arguments.letters.clone().unwrap_or_else(|| settings.dead_letters());
    if arguments.letters.is_none() && !is_there(&letters) {
        say(format_args!("there are no dead letters in {}", letters.display()));
        return Ok(());
    }
    let webhook::Redelivered { taken, left } = webhook::redeliver(&settings, &letters)?;
    if left > 0 {
        let letters = letters.display().to_string();
        return Err(RedeliverError::Left { left, all: taken + left, letters }.into());
    }
    say(format_args!("delivered: {taken}, none is left"));
    Ok(())
}

/// Whether there are any, or such as an earlier try has left behind.
fn is_there(letters: &Path) -> bool {
    letters.exists() || webhook::taken_away_name(letters).exists()
}

fn settings(job: &Job, name: Option<&str>) -> Result<Settings, RedeliverError> {
    let mut found: Vec<Settings> = Vec::new();
    for sink in &job.sinks {
        if let Target::Webhook(to) = &sink.target {
            found.push(webhook_of(&job.name, &sink.name, to));
        }
    }
    let names = found.iter().map(|settings| settings.name.clone()).collect();
    let mut wanted = found.into_iter().filter(|it| name.is_none_or(|name| name == it.name));
    match (wanted.next(), wanted.next()) {
        (Some(settings), None) => Ok(settings),
        _ => Err(RedeliverError::Which { job: job.name.clone(), names }),
    }
}

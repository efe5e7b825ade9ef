//! `estimate`: how many users a definition would have, from a sample of those of a log. The judge
//! works it out; the sample and its interval are those of `/v1/estimate`.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use dataflows::explain::{self, Count};
use dataflows::model::time::format_time;
use serde_json::json;
use thiserror::Error;

use super::inspect_log::{LogError, log_of, read_all};
use super::what::subject;
use super::{VerbError, print};
use crate::args::{Estimate, Format};
use crate::definitions::{Store, StoreError};
use crate::serve::sample::{self, Size};

/// What is wrong with the definition that is asked about.
#[derive(Debug, Error)]
enum RulesError {
    #[error("cannot read {}: {cause}", path.display())]
    File { path: PathBuf, cause: std::io::Error },
    #[error("{}: {reason}", path.display())]
    Wrong { path: PathBuf, reason: String },
}

/// Says how large a segment of this definition would be.
pub(super) fn estimate(arguments: &Estimate) -> Result<(), VerbError> {
    let subject = subject(&arguments.what)?;
    let path = || arguments.rules.clone();
    let text = fs::read_to_string(&arguments.rules)
        .map_err(|cause| RulesError::File { path: path(), cause })?;
    let definition = Store::new(&subject.segments).read(&text).map_err(|error| {
        let reason = match error {
            StoreError::Faults(faults) => {
                let each: Vec<_> = faults.iter().map(ToString::to_string).collect();
                each.join("\n")
            }
            other => other.to_string(),
        };
        RulesError::Wrong { path: path(), reason }
    })?;
    let whole = read_all(&subject.inputs)?;
    let last = whole.arrivals.iter().filter_map(|arrival| arrival.time).max();
    let at = arguments.at.or(last).ok_or(LogError::NoRecords)?;
    let share = |users| sample::share(arguments.sample, users);
    let log = log_of(&subject, &whole);
    let Count { users, sampled, matches } =
        explain::count_members(&log, &Arc::new(definition), at, share);
    let Size { size, low, high, recommended } = sample::size(matches, sampled, users);
    let text = match arguments.format {
        Some(Format::Json) => json!({
            "size": size, "low": low, "high": high, "users": users, "sampled": sampled,
            "matches": matches, "recommended_sample": recommended, "as_of": at,
        })
        .to_string(),
        _ => {
            let exactly = if sampled == users {
                "exactly".to_owned()
            } else {
                format!("{low} to {high} with 95 % confidence, likeliest")
            };
            let more = recommended.map_or(String::new(), |it| {
                format!("\nthat is few: with  --sample {it}  it would be better known")
            });
            let at = format_time(at);
            format!("{exactly} {size} of {users} users at {at}\n{matches} of {sampled} match{more}")
        }
    };
    print(format!("{text}\n").as_bytes())
}

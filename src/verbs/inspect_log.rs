//! `verify` and `explain`: what reads the whole log and works it out from first principles.

use std::path::Path;

use dataflows::clock::Emit;
use dataflows::explain;
use dataflows::model::time::format_time;
use dataflows::model::{Arrival, Difference, Position};
use dataflows::oracle::{Answer, Log, answer};
use thiserror::Error;

use super::replay::run_of;
use super::what::{Subject, subject};
use super::{VerbError, counted, error, print, say, warn};
use crate::args::{Explain, Format, Verify};
use crate::format;
use crate::run::{self, Cluster, InputFile, Outputs};
use crate::source::SourceError;
use crate::source::file::FilePartition;

/// How many disagreements are shown.
const SHOWN: usize = 20;
const READ_BYTES: usize = 1 << 20;

/// What keeps a log from being looked into.
#[derive(Debug, Error)]
pub(super) enum LogError {
    #[error(
        "verify compares what is final: run it with --emit on_watermark (on_event answers depend \
         on the order of arrival)"
    )]
    NotFinal,
    #[error("standard input can be read only once: save the records to a file first")]
    Stdin,
    #[error("no segment {segment:?} at {at}; there are: {known}")]
    UnknownSegment { segment: String, at: String, known: String },
    #[error("there are no records to go by: name a time with --at")]
    NoRecords,
}

/// The records of all inputs, and how many could not be understood.
pub(super) struct Whole {
    pub(super) arrivals: Vec<Arrival>,
    rejected: u64,
}

pub(super) fn read_all(inputs: &[InputFile]) -> Result<Whole, VerbError> {
    let mut whole = Whole { arrivals: Vec::new(), rejected: 0 };
    for (partition, input) in (0..).zip(inputs) {
        if input.path == Path::new("-") {
            return Err(LogError::Stdin.into());
        }
        read_one(partition, input, &mut whole)?;
    }
    Ok(whole)
}

fn read_one(partition: u32, input: &InputFile, whole: &mut Whole) -> Result<(), SourceError> {
    let mut file = FilePartition::open(&input.path)?;
    while let Some(chunk) = file.next_chunk(READ_BYTES)? {
        for line in chunk.lines() {
            let position = Position { partition, offset: line.offset };
            let read = match format::oversize(line.length) {
                Some(reason) => Err(reason),
                None => format::arrival(&input.mapping, position, line.bytes),
            };
            match read {
                Ok(arrival) => whole.arrivals.push(arrival),
                Err(_) => whole.rejected += 1,
            }
        }
        file.recycle(chunk);
    }
    Ok(())
}

pub(super) fn log_of<'a>(subject: &'a Subject, whole: &'a Whole) -> Log<'a> {
    Log {
        arrivals: &whole.arrivals,
        timeline: &subject.definitions.timeline,
        clock: subject.clock,
        retain: subject.retain,
    }
}

/// Replays and compares; says whether the two agree.
pub(super) fn verify(arguments: &Verify) -> Result<bool, VerbError> {
    let subject = subject(&arguments.what)?;
    if subject.clock.emit != Emit::OnWatermark {
        return Err(LogError::NotFinal.into());
    }
    for refused in &subject.definitions.refused {
        warn(format_args!("refused: {refused}"));
    }
    let whole = read_all(&subject.inputs)?;
    let expected = answer(&log_of(&subject, &whole));
    let cluster = Cluster::single(arguments.workers.into());
    let outputs = Outputs { kept: Some(Vec::new()), ..Outputs::default() };
    let (summary, outputs) = run::run(run_of(subject, cluster), outputs)?;
    let got = Answer {
        differences: outputs.kept.unwrap_or_default(),
        applied: summary.tally.applied,
        late: summary.tally.late,
        duplicate: summary.tally.duplicate,
    };
    let disagreements = compare(&got, summary.tally.rejected, &expected, whole.rejected)?;
    if disagreements == 0 {
        say(format_args!(
            "{} and {} agree with the recomputation from the whole log",
            counted(expected.differences.len(), "difference"),
            counted(usize::try_from(summary.read()).unwrap_or(usize::MAX), "record")
        ));
    } else {
        error(format_args!(
            "{} (- recomputed from the whole log, + replayed). This is a bug of Rivulet: please \
             report it with the log and the definitions.",
            counted(disagreements, "disagreement")
        ));
    }
    Ok(disagreements == 0)
}

/// Prints what is in one answer only; gives back how much that is.
fn compare(
    got: &Answer,
    got_rejected: u64,
    expected: &Answer,
    expected_rejected: u64,
) -> Result<usize, VerbError> {
    let mut lines = Vec::new();
    let counts = [
        ("applied", got.applied, expected.applied),
        ("late", got.late, expected.late),
        ("duplicate", got.duplicate, expected.duplicate),
        ("rejected", got_rejected, expected_rejected),
    ];
    for (what, got, expected) in counts {
        if got != expected {
            lines.push(format!("{what}: {got} replayed, {expected} recomputed"));
        }
    }
    let (mut left, mut right) = (expected.differences.as_slice(), got.differences.as_slice());
    let line = |mark: char, difference: &Difference| format!("{mark} {difference}");
    while let Some(difference) = left.first().min(right.first()).or(left.first()).or(right.first())
    {
        match (left.first() == Some(difference), right.first() == Some(difference)) {
            (true, true) => (left, right) = (&left[1..], &right[1..]),
            (true, false) => {
                lines.push(line('-', difference));
                left = &left[1..];
            }
            _ => {
                lines.push(line('+', difference));
                right = &right[1..];
            }
        }
    }
    let shown: String = lines.iter().take(SHOWN).map(|line| format!("{line}\n")).collect();
    print(shown.as_bytes())?;
    if lines.len() > SHOWN {
        say(format_args!("and {} more", lines.len() - SHOWN));
    }
    Ok(lines.len())
}

/// Shows the rule of a segment for one user.
pub(super) fn explain(arguments: &Explain) -> Result<(), VerbError> {
    let subject = subject(&arguments.what)?;
    let whole = read_all(&subject.inputs)?;
    let last = whole.arrivals.iter().filter_map(|arrival| arrival.time).max();
    let at = arguments.at.or(last).ok_or(LogError::NoRecords)?;
    let log = log_of(&subject, &whole);
    let Some(explanation) = explain::explain(&log, &arguments.user, &arguments.segment, at) else {
        let known: Vec<&str> =
            subject.definitions.timeline.initial.iter().take(50).map(|it| &*it.id).collect();
        return Err(LogError::UnknownSegment {
            segment: arguments.segment.clone(),
            at: format_time(at),
            known: known.join(", "),
        }
        .into());
    };
    let text = match arguments.format {
        Some(Format::Json) => format!("{}\n", serde_json::to_string(&explanation)?),
        _ => format!("{}\n", explanation.to_string().trim_end()),
    };
    print(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use dataflows::model::Sign;

    use super::*;

    fn answer(differences: &[(i64, &str, Sign)]) -> Answer {
        let difference = |&(time, user, sign): &(i64, &str, Sign)| Difference {
            time,
            segment: "s".into(),
            user: user.into(),
            sign,
        };
        let differences = differences.iter().map(difference).collect();
        Answer { differences, applied: 3, late: 2, duplicate: 1 }
    }

    #[test]
    fn every_disagreement_counts_once() {
        use Sign::{Entered, Left};
        let expected = answer(&[(1, "a", Entered), (2, "a", Left), (3, "b", Entered)]);
        let disagreements = |got: &Answer| compare(got, 0, &expected, 0).unwrap();
        assert_eq!(
            disagreements(&answer(&[(1, "a", Entered), (2, "a", Left), (3, "b", Entered)])),
            0
        );
        assert_eq!(disagreements(&answer(&[(1, "a", Entered), (3, "b", Entered)])), 1); // missing
        let extra = [(1, "a", Entered), (2, "a", Left), (3, "b", Entered), (4, "b", Left)];
        assert_eq!(disagreements(&answer(&extra)), 1);
        let sign = [(1, "a", Entered), (2, "a", Entered), (3, "b", Entered)];
        assert_eq!(disagreements(&answer(&sign)), 2); // one side has each
        assert_eq!(disagreements(&answer(&[])), 3);
        assert_eq!(compare(&expected, 4, &expected, 5).unwrap(), 1);
        let counts = Answer { applied: 4, late: 1, duplicate: 2, ..expected.clone() };
        assert_eq!(disagreements(&counts), 3);
    }
}

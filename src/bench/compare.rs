//! Whether another program's differences are ours.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use dataflows::model::EventTime;
use serde::{Deserialize, Serialize};

use super::error::BenchError;

/// How two outputs differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Comparison {
    /// What was compared.
    pub(super) what: String,
    /// Differences of ours.
    pub(super) ours: usize,
    /// Differences of theirs.
    pub(super) theirs: usize,
    pub(super) only_ours: usize,
    pub(super) only_theirs: usize,
    /// The first that only one has, `-` ours, `+` theirs.
    pub(super) first: Option<String>,
}

#[derive(Deserialize)]
struct Line<'a> {
    time: EventTime,
    #[serde(borrow)]
    segment: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    user: std::borrow::Cow<'a, str>,
    diff: i8,
}

/// Compares ours with what others wrote as `time,segment,user,+1`.
pub(super) fn compare(
    what: &str,
    ours: &Path,
    theirs: &[PathBuf],
) -> Result<Comparison, BenchError> {
    let mut own = lines(ours)?
        .into_iter()
        .map(|line| {
            let line: Line<'_> = serde_json::from_str(&line)
                .map_err(|error| BenchError::Measure(format!("{}: {error}", ours.display())))?;
            let text = format!("{},{},{},{:+}", line.time, line.segment, line.user, line.diff);
            Ok(text)
        })
        .collect::<Result<Vec<_>, BenchError>>()?;
    let mut other = Vec::new();
    for path in theirs {
        other.extend(lines(path)?);
    }
    own.sort_unstable();
    other.sort_unstable();
    Ok(merged(what, &own, &other))
}

fn merged(what: &str, own: &[String], other: &[String]) -> Comparison {
    let mut comparison = Comparison {
        what: what.to_owned(),
        ours: own.len(),
        theirs: other.len(),
        only_ours: 0,
        only_theirs: 0,
        first: None,
    };
    let (mut left, mut right) = (own.iter().peekable(), other.iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (None, None) => return comparison,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(own), Some(other)) => own.cmp(other),
        };
        match order {
            std::cmp::Ordering::Equal => {
                left.next();
                right.next();
            }
            std::cmp::Ordering::Less => {
                comparison.only_ours += 1;
                let line = left.next();
                comparison.first = comparison.first.or(line.map(|line| format!("-{line}")));
            }
            std::cmp::Ordering::Greater => {
                comparison.only_theirs += 1;
                let line = right.next();
                comparison.first = comparison.first.or(line.map(|line| format!("+{line}")));
            }
        }
    }
}

fn lines(path: &Path) -> Result<Vec<String>, BenchError> {
    let read = || BufReader::new(File::open(path)?).lines().collect::<io::Result<Vec<_>>>();
    read().map_err(BenchError::file("read", path))
}

impl Comparison {
    /// In one line.
    pub(super) fn line(&self) -> String {
        let Comparison { what, ours, theirs, only_ours, only_theirs, first } = self;
        match first {
            None => format!("{what}: equal, {ours} differences"),
            Some(first) => format!(
                "{what}: DIFFERENT: {ours} of ours, {theirs} of theirs, {only_ours} only ours, \
                 {only_theirs} only theirs, first {first}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_matter() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let ours = concat!(
            "{\"time\":5,\"segment\":\"1\",\"user\":\"u1\",\"diff\":-1}\n",
            "{\"time\":6,\"segment\":\"2\",\"user\":\"u2\",\"diff\":1}\n"
        );
        std::fs::write(at("ours"), ours).unwrap();
        std::fs::write(at("a"), "6,2,u2,+1\n").unwrap();
        std::fs::write(at("b"), "5,1,u1,-1\n").unwrap();
        let both = compare("x", &at("ours"), &[at("a"), at("b")]).unwrap();
        assert_eq!(both.line(), "x: equal, 2 differences");
        let one = compare("x", &at("ours"), &[at("a")]).unwrap();
        assert_eq!((one.only_ours, one.only_theirs), (1, 0));
        assert_eq!(one.first.as_deref(), Some("-5,1,u1,-1"));
    }
}

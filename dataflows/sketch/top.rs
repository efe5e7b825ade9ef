//! The most frequent values: a Count-Min sketch, and the values that may be among them.
//!
//! A value with at least [`LEAST_SHARE`] of all is never missed: when it comes for the last time,
//! its count is at least that share of what has come by then, and a Count-Min sketch never counts
//! too low; and whoever has that share of a window has it of one of its panes.

use std::hash::{Hash as _, Hasher as _};

use datasketches::countmin::CountMinSketch;
use hashbrown::HashSet;
use xxhash_rust::xxh3::Xxh3;

use super::panes::{Sketch, Unreadable};
use crate::codec::{Entries, write};
use crate::model::Value;

/// A count is too high by at most this share of all that was counted,
pub const EPSILON: f64 = 0.002;
/// save in this share of the cases.
pub const DELTA: f64 = 0.01;
/// Whatever has at least this share of all is listed.
pub const LEAST_SHARE: f64 = 0.01;
/// Values of more bytes than this are not told apart.
pub const VALUE_BYTES: usize = 256;

/// How many values may be kept: there are at most 1/(LEAST_SHARE - EPSILON) = 125 that have to be,
/// but for what DELTA lets through.
const KEPT: usize = 256;
/// e/EPSILON counters in each of ln(1/DELTA) rows: of 8 bytes, 54 kB.
const COUNTERS: u32 = 1_360;
const ROWS: u8 = 5;

const VALID: &str = "counters and rows are within what the sketch allows";

/// How often values have come.
#[derive(Debug, Clone)]
pub struct Top {
    counts: CountMinSketch<u64>,
    /// All that may have the least share.
    candidates: HashSet<Value>,
    unranked: u64,
}

/// What there is most of, the most frequent first.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked {
    /// Values with about the least share or more, and how often each has come, at most.
    pub values: Vec<(Value, u64)>,
    /// How often any has come.
    pub total: u64,
    /// Besides these, how often there was none, or one that is not told apart: a list, an object,
    /// or longer than [`VALUE_BYTES`].
    pub unranked: u64,
}

impl Ranked {
    /// By how much counts may be too high.
    pub fn error(&self) -> u64 {
        (EPSILON * self.total as f64).ceil() as u64
    }
}

impl Default for Top {
    fn default() -> Self {
        let counts = CountMinSketch::new(ROWS, COUNTERS).expect(VALID);
        Top { counts, candidates: HashSet::new(), unranked: 0 }
    }
}

impl Top {
    /// Whether a value is told apart from others.
    pub fn is_ranked(value: &Value) -> bool {
        match value {
            Value::Null | Value::List(_) | Value::Object(_) => false,
            Value::Text(text) => text.len() <= VALUE_BYTES,
            Value::Number(number) => number.to_string().len() <= VALUE_BYTES,
            Value::Bool(_) => true,
        }
    }

    /// Counts a value; none, or one that is not told apart, is counted as such.
    pub fn insert(&mut self, value: Option<&Value>) {
        let Some(value) = value.filter(|it| Self::is_ranked(it)) else {
            self.unranked += 1;
            return;
        };
        let key = key(value);
        self.counts.update(key);
        if self.may_rank(self.counts.estimate(key)) && !self.candidates.contains(value) {
            self.candidates.insert(value.clone());
            self.forget();
        }
    }

    /// What there is most of in some of these together.
    pub fn ranked<'a>(all: impl IntoIterator<Item = &'a Top>) -> Ranked {
        let mut together = Top::default();
        all.into_iter().for_each(|it| together.absorb(it));
        let count = |value: Value| {
            let count = together.estimate(&value);
            (value, count)
        };
        let mut values: Vec<_> = together.candidates.iter().cloned().map(count).collect();
        values.retain(|(_, count)| together.may_rank(*count));
        values.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
        Ranked { values, total: together.counts.total_weight(), unranked: together.unranked }
    }

    /// How often a value has come, at most.
    pub fn estimate(&self, value: &Value) -> u64 {
        self.counts.estimate(key(value))
    }

    fn may_rank(&self, count: u64) -> bool {
        count as f64 >= LEAST_SHARE * self.counts.total_weight() as f64
    }

    /// Forgets what cannot have the least share, where much is kept.
    fn forget(&mut self) {
        if self.candidates.len() <= KEPT {
            return;
        }
        let mut all: Vec<_> = self
            .candidates
            .drain()
            .map(|value| (self.counts.estimate(key(&value)), value))
            .collect();
        all.retain(|(count, _)| self.may_rank(*count));
        all.sort_by(|left, right| right.cmp(left));
        all.truncate(KEPT);
        self.candidates.extend(all.into_iter().map(|(_, value)| value));
    }
}

impl Sketch for Top {
    const FORM: u64 = ((COUNTERS as u64) << 8) | ROWS as u64;

    fn close(&mut self) {}

    fn absorb(&mut self, other: &Self) {
        self.counts.merge(&other.counts).expect("all sketches are of one form");
        self.candidates.extend(other.candidates.iter().cloned());
        self.unranked += other.unranked;
        self.forget();
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut candidates: Vec<_> = self.candidates.iter().collect();
        candidates.sort_unstable();
        write(&(self.unranked, candidates), &mut bytes);
        bytes.extend(self.counts.serialize());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, Unreadable> {
        let mut entries = Entries::new(bytes);
        let read: (u64, Vec<Value>) =
            entries.read().map_err(|(_, cause)| Unreadable(cause.to_string()))?;
        let (unranked, candidates) = read;
        let counts = CountMinSketch::deserialize(&bytes[entries.read_bytes()..]);
        let counts = counts.map_err(|error| Unreadable(error.to_string()))?;
        Ok(Top { counts, candidates: candidates.into_iter().collect(), unranked })
    }
}

/// Hashed once, however many rows there are.
fn key(value: &Value) -> u64 {
    let mut hasher = Xxh3::new();
    value.hash(&mut hasher);
    hasher.finish()
}

//! Sets of users as theta sketches: what two of them have in common, or not, can be asked.

use datasketches::common::NumStdDev;
use datasketches::theta::{
    CompactThetaSketch, ThetaANotB, ThetaIntersection, ThetaSketch, ThetaSketchBuilder, ThetaUnion,
    ThetaUnionBuilder,
};

use super::panes::{Sketch, Unreadable};
use crate::model::UserKey;

/// The nominal size, as a power of two: 4,096 users are counted exactly, more with a standard
/// error of 1/√4096 = 1.56 %. At most 64 KiB while it is added to, 32 KiB once it is closed.
pub const LG_K: u8 = 12;
/// How many standard deviations the bounds of an answer are away from it.
pub const DEVIATIONS: NumStdDev = NumStdDev::Two;
/// How often the truth lies within such bounds, at least.
pub const CONFIDENCE: f64 = 0.95;

const VALID: &str = "the size is within what the sketch allows";
const ONE_SEED: &str = "all sketches have one seed";

/// How many there are, about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Count {
    /// The estimate.
    pub estimate: f64,
    /// There are no fewer, with a confidence of [`CONFIDENCE`].
    pub low: f64,
    /// There are no more.
    pub high: f64,
    /// Whether it is no estimate: there are exactly so many.
    pub is_exact: bool,
}

/// A set of users.
#[derive(Debug, Default)]
pub struct Set {
    /// Takes what comes.
    open: Option<ThetaSketch>,
    /// What came before it was closed.
    closed: Option<CompactThetaSketch>,
}

impl Clone for Set {
    /// The same users; what is still open is closed in the copy.
    fn clone(&self) -> Self {
        if self.open.is_none() && self.closed.is_none() {
            return Set::default();
        }
        Set::of(self.whole())
    }
}

impl Set {
    /// Adds a user.
    pub fn insert(&mut self, user: UserKey) {
        let new = || ThetaSketchBuilder::default().lg_k(LG_K).build().expect(VALID);
        self.open.get_or_insert_with(new).update(user.bucket());
    }

    /// The users of some sets together.
    pub fn union<'a>(sets: impl IntoIterator<Item = &'a Set>) -> Set {
        let mut union = new_union();
        sets.into_iter().for_each(|set| set.add_to(&mut union));
        Set::of(union.to_sketch(true))
    }

    /// Those who are in both.
    pub fn and(&self, other: &Set) -> Set {
        let mut both = ThetaIntersection::default();
        both.update(&self.whole()).expect(ONE_SEED);
        both.update(&other.whole()).expect(ONE_SEED);
        Set { open: None, closed: both.to_sketch(true) }
    }

    /// Those who are in this one, and not in the other.
    pub fn not(&self, other: &Set) -> Set {
        let difference = ThetaANotB::default();
        Set::of(difference.compute(&self.whole(), &other.whole(), true).expect(ONE_SEED))
    }

    /// How many they are.
    pub fn count(&self) -> Count {
        let whole = self.whole();
        Count {
            estimate: whole.estimate(),
            low: whole.lower_bound(DEVIATIONS),
            high: whole.upper_bound(DEVIATIONS),
            is_exact: !whole.is_estimation_mode(),
        }
    }

    fn of(sketch: CompactThetaSketch) -> Self {
        Set { open: None, closed: Some(sketch) }
    }

    fn whole(&self) -> CompactThetaSketch {
        let mut union = new_union();
        match (&self.open, &self.closed) {
            (None, Some(closed)) => return closed.clone(),
            _ => self.add_to(&mut union),
        }
        union.to_sketch(true)
    }

    fn add_to(&self, union: &mut ThetaUnion) {
        self.open.iter().for_each(|it| union.update(it).expect(ONE_SEED));
        self.closed.iter().for_each(|it| union.update(it).expect(ONE_SEED));
    }
}

impl Sketch for Set {
    const FORM: u64 = LG_K as u64;

    fn close(&mut self) {
        if self.open.is_some() {
            self.closed = Some(self.whole());
            self.open = None;
        }
    }

    fn absorb(&mut self, other: &Self) {
        *self = Set::union([&*self, other]);
    }

    fn to_bytes(&self) -> Vec<u8> {
        self.whole().serialize()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, Unreadable> {
        let sketch = CompactThetaSketch::deserialize(bytes);
        Ok(Set::of(sketch.map_err(|error| Unreadable(error.to_string()))?))
    }
}

fn new_union() -> ThetaUnion {
    ThetaUnionBuilder::default().lg_k(LG_K).build().expect(VALID)
}

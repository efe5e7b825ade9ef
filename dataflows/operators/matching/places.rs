//! Lists of the rules in which comparisons stand, laid out to be gone through.
//!
//! Of every place the first guard and the rule lie side by side, 32 bytes, one after another; the
//! other guards lie apart and are read only where the first lets pass, which is seldom.

use super::code::{Codes, Guard, Leaf};
use crate::operators::plan::NodeId;

/// How many guards a place has.
pub(super) const GUARDS: usize = 4;

/// A rule in which a comparison stands, and what else must be so there for it to matter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// The rule.
    pub node: NodeId,
    /// The guards; all must let pass. Those that most seldom do come first.
    pub guards: [Leaf; GUARDS],
}

impl Place {
    /// A place where the comparison always matters.
    pub fn bare(node: NodeId) -> Self {
        Place { node, guards: [Leaf::ALWAYS; GUARDS] }
    }
}

/// Places (see the module).
#[derive(Debug, Default)]
pub struct Places {
    firsts: Vec<First>,
    others: Vec<[Guard; GUARDS - 1]>,
}

#[derive(Debug, Clone, Copy)]
struct First {
    guard: Guard,
    node: NodeId,
}

/// A stretch of a list.
#[derive(Debug, Clone, Copy)]
pub struct Stretch<'a> {
    firsts: &'a [First],
    others: &'a [[Guard; GUARDS - 1]],
}

impl Places {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.firsts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.firsts.is_empty()
    }

    /// Adds a place at the end.
    pub fn push(&mut self, place: Place) {
        self.insert(self.len(), place);
    }

    /// Adds a place before the one of this number.
    pub fn insert(&mut self, at: usize, place: Place) {
        let [first, others @ ..] = place.guards.map(Guard::from);
        self.firsts.insert(at, First { guard: first, node: place.node });
        self.others.insert(at, others);
    }

    /// Takes a place away.
    pub fn remove(&mut self, at: usize) {
        self.firsts.remove(at);
        self.others.remove(at);
    }

    /// The rule of a place.
    pub fn node(&self, at: usize) -> NodeId {
        self.firsts[at].node
    }

    /// Takes the places of a node away.
    pub fn forget(&mut self, node: NodeId) {
        let mut kept = self.firsts.iter().map(|first| first.node != node);
        self.others.retain(|_| kept.next().unwrap_or(true));
        self.firsts.retain(|first| first.node != node);
    }

    /// Cuts off what stands at or after this number.
    pub fn split_off(&mut self, at: usize) -> Self {
        Places { firsts: self.firsts.split_off(at), others: self.others.split_off(at) }
    }

    /// All of them.
    pub fn all(&self) -> Stretch<'_> {
        self.stretch(0..self.len())
    }

    /// Some of them.
    pub fn stretch(&self, range: std::ops::Range<usize>) -> Stretch<'_> {
        Stretch { firsts: &self.firsts[range.clone()], others: &self.others[range] }
    }
}

/// How many places are looked at before one is acted on.
const LOT: usize = u64::BITS as usize;

impl Stretch<'_> {
    /// The rules that no guard rules out; all rules where guards are not to be trusted.
    ///
    /// Which of a lot the first guard lets pass is a mask, made without a branch: which way it goes
    /// is for a processor to guess wrong every third time, and that costs more than the guard.
    #[inline]
    pub fn for_each(self, codes: &Codes, mut each: impl FnMut(NodeId)) {
        if codes.are_wide() {
            return self.firsts.iter().for_each(|first| each(first.node));
        }
        for (firsts, others) in self.firsts.chunks(LOT).zip(self.others.chunks(LOT)) {
            let mut passing = 0_u64;
            for (at, first) in firsts.iter().enumerate() {
                passing |= u64::from(first.guard.passes(codes)) << at;
            }
            while passing != 0 {
                let at = passing.trailing_zeros() as usize;
                passing &= passing - 1;
                if others[at].iter().all(|guard| guard.passes(codes)) {
                    each(firsts[at].node);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_keep_guards_beside_their_rules() {
        assert_eq!(size_of::<First>(), 32);
        let mut places = Places::default();
        let never = [Leaf::ALWAYS, Leaf::ALWAYS, Leaf::ALWAYS.inverted(), Leaf::ALWAYS];
        for node in 0..6 {
            places.push(Place::bare(NodeId(node)));
        }
        places.insert(2, Place { node: NodeId(9), guards: never });
        let mut codes = Codes::default();
        codes.clear(1);
        let passing = |places: &Places| {
            let mut nodes = Vec::new();
            places.all().for_each(&codes, |node| nodes.push(node.0));
            nodes
        };
        assert_eq!(passing(&places), [0, 1, 2, 3, 4, 5]);
        places.forget(NodeId(1));
        places.remove(0);
        assert_eq!((places.node(0), places.len()), (NodeId(9), 5));
        assert_eq!(passing(&places), [2, 3, 4, 5]);
        assert_eq!(passing(&places.split_off(3)), [4, 5]);
    }
}

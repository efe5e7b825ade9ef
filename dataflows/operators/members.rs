//! The nodes one user is in: a short list while they are few, a bit for every node where that is
//! smaller.

use thin_vec::ThinVec;

use super::memory::thin_bytes;
use super::plan::NodeId;

/// The nodes (see the module). Of most users there are none: then it takes a word.
///
/// Either the numbers of the nodes, in order; or [`BITS`], how many there are, and a bit for every
/// node.
#[derive(Debug, Clone, Default)]
pub struct Members(ThinVec<u32>);

/// Stands in front of bits: no node has this number.
const BITS: u32 = u32::MAX;
/// How many words stand in front of bits.
const HEAD: usize = 2;

/// In which form they are held.
enum Form<'a> {
    Few(&'a [u32]),
    Many { count: usize, words: &'a [u32] },
}

/// The word and the bit of a node.
fn place(node: u32) -> (usize, u32) {
    ((node / u32::BITS) as usize, 1 << (node % u32::BITS))
}

impl Members {
    /// These nodes, given in order.
    pub fn of(nodes: &[NodeId]) -> Self {
        let mut list = ThinVec::with_capacity(nodes.len());
        list.extend(nodes.iter().map(|node| node.0));
        let mut members = Members(list);
        members.settle();
        members
    }

    fn form(&self) -> Form<'_> {
        match &*self.0 {
            [BITS, count, words @ ..] => Form::Many { count: *count as usize, words },
            nodes => Form::Few(nodes),
        }
    }

    /// Whether it is one of them.
    pub fn contains(&self, node: NodeId) -> bool {
        match self.form() {
            Form::Few(nodes) => nodes.binary_search(&node.0).is_ok(),
            Form::Many { words, .. } => {
                let (word, bit) = place(node.0);
                words.get(word).is_some_and(|word| word & bit != 0)
            }
        }
    }

    /// Puts a node in or takes it out; says whether that changed anything.
    pub fn set(&mut self, NodeId(node): NodeId, member: bool) -> bool {
        let Form::Few(nodes) = self.form() else { return self.set_bit(node, member) };
        match (nodes.binary_search(&node), member) {
            (Err(place), true) => {
                self.insert(place, node);
                self.settle();
            }
            (Ok(place), false) => drop(self.0.remove(place)),
            _ => return false,
        }
        true
    }

    fn set_bit(&mut self, node: u32, member: bool) -> bool {
        let (at, bit) = place(node);
        let at = HEAD + at;
        if self.0.len() <= at {
            if !member {
                return false;
            }
            self.0.reserve_exact(at + 1 - self.0.len());
            self.0.resize(at + 1, 0);
        }
        if (self.0[at] & bit != 0) == member {
            return false;
        }
        self.0[at] ^= bit;
        self.0[1] = if member { self.0[1] + 1 } else { self.0[1] - 1 };
        if (self.0[1] as usize) < (self.0.len() - HEAD) / 2 {
            let nodes: ThinVec<u32> = self.iter().map(|node| node.0).collect();
            self.0 = nodes;
        }
        true
    }

    /// Turns these over, given in order, each once: who is in is out, and the other way round.
    pub fn flip(&mut self, nodes: &[NodeId]) {
        if nodes.is_empty() {
            return;
        }
        let (mut old, mut new) = (self.iter().peekable(), nodes.iter().copied().peekable());
        let mut flipped = Vec::with_capacity(self.len() + nodes.len());
        loop {
            match (old.peek(), new.peek()) {
                (Some(left), Some(right)) if left == right => {
                    old.next();
                    new.next();
                }
                (Some(left), Some(right)) if left < right => flipped.extend(old.next()),
                (_, Some(_)) => flipped.extend(new.next()),
                (Some(_), None) => flipped.extend(old.next()),
                (None, None) => break,
            }
        }
        drop(old);
        *self = Members::of(&flipped);
    }

    /// Turns a list into bits where these take less.
    fn settle(&mut self) {
        let Form::Few(nodes) = self.form() else { return };
        let Some(last) = nodes.last() else { return };
        let (last, _) = place(*last);
        if nodes.len() > HEAD + last + 1 {
            let count = u32::try_from(nodes.len()).expect("there are fewer than 2^32 nodes");
            let mut bits = ThinVec::with_capacity(HEAD + last + 1);
            bits.extend([BITS, count]);
            bits.resize(HEAD + last + 1, 0);
            for node in nodes {
                let (word, bit) = place(*node);
                bits[HEAD + word] |= bit;
            }
            self.0 = bits;
        }
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = NodeId> {
        let (nodes, words): (&[u32], &[u32]) = match self.form() {
            Form::Few(nodes) => (nodes, &[]),
            Form::Many { words, .. } => (&[], words),
        };
        let bits = words.iter().enumerate().flat_map(|(at, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(NodeId(at as u32 * u32::BITS + bit))
            })
        });
        nodes.iter().copied().map(NodeId).chain(bits)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self.form() {
            Form::Few(nodes) => nodes.len(),
            Form::Many { count, .. } => count,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What they take in memory beside themselves, in bytes.
    pub fn heap_bytes(&self) -> usize {
        thin_bytes(&self.0)
    }

    /// Most users are in few nodes, and stay in few: room grows with need, not by doubling.
    fn insert(&mut self, place: usize, node: u32) {
        if self.0.len() == self.0.capacity() {
            self.0.reserve_exact(2 + self.0.len() / 4);
        }
        self.0.insert(place, node);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn lists_and_bits_hold_the_same() {
        let mut expected = BTreeSet::new();
        let mut members = Members::default();
        let (mut seed, mut turns) = (5_u64, 0);
        for round in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let node = NodeId((seed >> 33) as u32 % 700);
            // Fills up, then empties again.
            let member = (seed >> 20) % 10 < if round % 8_000 < 4_000 { 8 } else { 0 };
            let changed = if member { expected.insert(node) } else { expected.remove(&node) };
            let before = matches!(members.form(), Form::Few(_));
            assert_eq!(members.set(node, member), changed);
            turns += usize::from(before != matches!(members.form(), Form::Few(_)));
            assert_eq!((members.contains(node), members.len()), (member, expected.len()));
            if round % 100 == 0 {
                assert!(members.iter().eq(expected.iter().copied()));
            }
        }
        assert!((4..100).contains(&turns), "it turned {turns} times");
        let turned: Vec<NodeId> = (0..700).step_by(3).map(NodeId).collect();
        members.flip(&turned);
        for node in &turned {
            if !expected.remove(node) {
                expected.insert(*node);
            }
        }
        assert!(members.iter().eq(expected.iter().copied()));
        let nodes: Vec<NodeId> = expected.into_iter().collect();
        assert!(Members::of(&nodes).iter().eq(nodes));
    }
}

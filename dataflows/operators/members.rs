//! The nodes one user is in: a short list while they are few, a bit for every node where that is
//! smaller.

use super::plan::NodeId;

/// The nodes (see the module).
#[derive(Debug, Clone)]
pub enum Members {
    /// In order.
    Few(Vec<NodeId>),
    /// A bit for every node.
    Many(Box<Bits>),
}

/// A bit for every node, and how many are set.
#[derive(Debug, Clone)]
pub struct Bits {
    words: Vec<u64>,
    count: usize,
}

impl Default for Members {
    fn default() -> Self {
        Members::Few(Vec::new())
    }
}

const BITS: usize = u64::BITS as usize;

/// The word and the bit of a node.
fn place(node: NodeId) -> (usize, u64) {
    (node.0 as usize / BITS, 1 << (node.0 % u64::BITS))
}

impl Members {
    /// These nodes, given in order.
    pub fn of(nodes: &[NodeId]) -> Self {
        let mut members = Members::Few(nodes.to_vec());
        members.settle();
        members
    }

    /// Whether it is one of them.
    pub fn contains(&self, node: NodeId) -> bool {
        match self {
            Members::Few(nodes) => nodes.binary_search(&node).is_ok(),
            Members::Many(bits) => {
                let (word, bit) = place(node);
                bits.words.get(word).is_some_and(|word| word & bit != 0)
            }
        }
    }

    /// Puts a node in or takes it out; says whether that changed anything.
    pub fn set(&mut self, node: NodeId, member: bool) -> bool {
        match self {
            Members::Few(nodes) => {
                match (nodes.binary_search(&node), member) {
                    (Err(place), true) => insert(nodes, place, node),
                    (Ok(place), false) => drop(nodes.remove(place)),
                    _ => return false,
                }
                if member {
                    self.settle();
                }
            }
            Members::Many(bits) => {
                let Bits { words, count } = &mut **bits;
                let (at, bit) = place(node);
                if words.len() <= at {
                    if !member {
                        return false;
                    }
                    words.resize(at + 1, 0);
                }
                if (words[at] & bit != 0) == member {
                    return false;
                }
                words[at] ^= bit;
                *count = if member { *count + 1 } else { *count - 1 };
                if *count < words.len() {
                    *self = Members::Few(self.iter().collect());
                }
            }
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
        let Members::Few(nodes) = self else { return };
        let Some(last) = nodes.last() else { return };
        let (last, _) = place(*last);
        if nodes.len() > 2 * (last + 1) {
            let mut words = vec![0; last + 1];
            for node in nodes.iter() {
                let (word, bit) = place(*node);
                words[word] |= bit;
            }
            *self = Members::Many(Box::new(Bits { words, count: nodes.len() }));
        }
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = NodeId> {
        let (nodes, words): (&[NodeId], &[u64]) = match self {
            Members::Few(nodes) => (nodes, &[]),
            Members::Many(bits) => (&[], &bits.words),
        };
        let bits = words.iter().enumerate().flat_map(|(at, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(NodeId((at * BITS) as u32 + bit))
            })
        });
        nodes.iter().copied().chain(bits)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Members::Few(nodes) => nodes.len(),
            Members::Many(bits) => bits.count,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What they take in memory beside themselves, in bytes.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Members::Few(nodes) => nodes.capacity() * size_of::<NodeId>(),
            Members::Many(bits) => size_of::<Bits>() + bits.words.capacity() * size_of::<u64>(),
        }
    }
}

/// Most users are in few nodes, and stay in few: room grows with need, not by doubling.
fn insert(nodes: &mut Vec<NodeId>, place: usize, node: NodeId) {
    if nodes.len() == nodes.capacity() {
        nodes.reserve_exact(2 + nodes.len() / 4);
    }
    nodes.insert(place, node);
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
            let before = matches!(members, Members::Few(_));
            assert_eq!(members.set(node, member), changed);
            turns += usize::from(before != matches!(members, Members::Few(_)));
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

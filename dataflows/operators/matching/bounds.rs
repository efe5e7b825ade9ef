//! Bounds in order, with what stands at each: made to be read in stretches, and to be changed in
//! one place at the cost of that place.
//!
//! Blocks of up to 256 entries, a B-tree of two levels. Cost: two binary searches to find, a block
//! to insert or remove.

use super::places::{Place, Places, Stretch};
use crate::operators::plan::NodeId;

/// How many entries a block holds before it is split.
const BLOCK: usize = 256;

/// Bounds and the places of the comparisons that have them.
#[derive(Debug, Default)]
pub struct Bounds {
    /// None of them empty.
    blocks: Vec<Block>,
}

/// Entries in order: the bounds by themselves, to be searched, and what stands at each.
#[derive(Debug, Default)]
struct Block {
    bounds: Vec<f64>,
    places: Places,
}

impl Bounds {
    /// Adds a place at a bound.
    pub fn insert(&mut self, bound: f64, place: Place) {
        if self.blocks.is_empty() {
            self.blocks.push(Block::default());
        }
        let after = self.blocks.partition_point(|block| block.bounds[..].first() <= Some(&bound));
        let number = after.saturating_sub(1);
        let block = &mut self.blocks[number];
        let at = block.bounds.partition_point(|other| *other <= bound);
        block.bounds.insert(at, bound);
        block.places.insert(at, place);
        if block.bounds.len() > BLOCK {
            let (bounds, places) =
                (block.bounds.split_off(BLOCK / 2), block.places.split_off(BLOCK / 2));
            self.blocks.insert(number + 1, Block { bounds, places });
        }
    }

    /// Takes away the places of a node at a bound.
    pub fn remove(&mut self, bound: f64, node: NodeId) {
        let first = self.blocks.partition_point(|block| block.bounds.last() < Some(&bound));
        let is_near = |block: &Block| block.bounds.first() <= Some(&bound);
        for block in self.blocks.iter_mut().skip(first).take_while(|block| is_near(block)) {
            for at in (0..block.bounds.len()).rev() {
                if block.bounds[at].total_cmp(&bound).is_eq() && block.places.node(at) == node {
                    block.bounds.remove(at);
                    block.places.remove(at);
                }
            }
        }
        self.blocks.retain(|block| !block.bounds.is_empty());
    }

    /// The places between two bounds, both included; `None`: from the beginning, to the end.
    pub fn between(&self, from: Option<f64>, to: Option<f64>, mut each: impl FnMut(Stretch<'_>)) {
        let first = from.map_or(0, |from| {
            self.blocks.partition_point(|block| block.bounds.last() < Some(&from))
        });
        for block in self.blocks.iter().skip(first) {
            let begin = from.map_or(0, |from| block.bounds.partition_point(|bound| *bound < from));
            let end = to.map_or(block.bounds.len(), |to| {
                block.bounds.partition_point(|bound| *bound <= to)
            });
            if begin < end {
                each(block.places.stretch(begin..end));
            }
            if end < block.bounds.len() {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::code::Codes;
    use super::*;

    fn found(bounds: &Bounds, from: Option<f64>, to: Option<f64>) -> Vec<u32> {
        let mut nodes = Vec::new();
        let mut codes = Codes::default();
        codes.clear(1);
        bounds.between(from, to, |places| places.for_each(&codes, |node| nodes.push(node.0)));
        nodes.sort_unstable();
        nodes
    }

    #[test]
    fn stretches_are_found_whatever_comes_and_goes() {
        let mut bounds = Bounds::default();
        let mut present: Vec<(f64, u32)> = Vec::new();
        let mut seed = 7_u64;
        for round in 0..5_000_u32 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let bound = ((seed >> 33) % 97) as f64 / 4.0;
            if round % 3 == 2 {
                let (bound, node) = present.swap_remove((seed >> 40) as usize % present.len());
                bounds.remove(bound, NodeId(node));
            } else {
                bounds.insert(bound, Place::bare(NodeId(round)));
                present.push((bound, round));
            }
            if round % 50 == 0 {
                for (from, to) in [(None, Some(bound)), (Some(bound), None), (Some(3.0), Some(9.5))]
                {
                    let inside = |it: &&(f64, u32)| {
                        from.is_none_or(|from| it.0 >= from) && to.is_none_or(|to| it.0 <= to)
                    };
                    let mut nodes: Vec<_> = present.iter().filter(inside).map(|it| it.1).collect();
                    nodes.sort_unstable();
                    assert_eq!(found(&bounds, from, to), nodes);
                }
            }
        }
        for (bound, node) in present {
            bounds.remove(bound, NodeId(node));
        }
        assert!(bounds.blocks.is_empty());
    }
}

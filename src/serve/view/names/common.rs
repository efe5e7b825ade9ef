//! The most frequent of many names, with what is known of each.
//!
//! Space-Saving (A. Metwally, D. Agrawal and A. El Abbadi, "Efficient computation of frequent and
//! top-k elements in data streams", 2005): a new one takes the place of the least frequent, and its
//! count, which is then too high by at most that. Whatever is more frequent than one in as many as
//! are kept is among them.

use std::hash::Hash;

use hashbrown::{Equivalent, HashMap};

/// At most so many names of type `K`, each with a `V`.
pub(super) struct Common<V, K = std::sync::Arc<str>> {
    most: usize,
    held: HashMap<K, Counter<V>>,
}

struct Counter<V> {
    count: u64,
    /// By how much the count may be too high.
    over: u64,
    of: V,
}

impl<V, K: Clone + Eq + Hash + Ord> Common<V, K> {
    /// Of at most so many.
    pub(super) fn new(most: usize) -> Self {
        Common { most, held: HashMap::new() }
    }

    /// One more of this name; what is known of it, `new` if that is nothing. Where the name takes
    /// the place of another, a step for each that is kept.
    pub(super) fn see(&mut self, name: &K, new: impl FnOnce() -> V) -> &mut V {
        let mut over = 0;
        if self.held.len() >= self.most && !self.held.contains_key(name) {
            let least = self.held.iter().min_by_key(|(_, counter)| counter.count);
            if let Some((least, count)) = least.map(|(name, it)| (name.clone(), it.count)) {
                self.held.remove(&least);
                over = count;
            }
        }
        let counter = self.held.entry(name.clone()).or_insert_with(|| Counter {
            count: over,
            over,
            of: new(),
        });
        counter.count += 1;
        &mut counter.of
    }

    /// What is known of a name.
    pub(super) fn get<Q: ?Sized + Hash + Equivalent<K>>(&self, name: &Q) -> Option<&V> {
        self.held.get(name).map(|it| &it.of)
    }

    /// All names with how often they have come at least, the most frequent first, then by name.
    pub(super) fn most_first(&self) -> Vec<(&K, u64, &V)> {
        let one = |(name, it)| {
            let it: &Counter<V> = it;
            (name, it.count - it.over, &it.of)
        };
        let mut all: Vec<_> = self.held.iter().map(one).collect();
        all.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(right.0)));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frequent_stay_and_no_count_is_too_high() {
        let mut common = Common::<(), u32>::new(4);
        for nth in 0..1_000 {
            common.see(&(nth % 2), || ());
            common.see(&(10 + nth), || ());
        }
        let all = common.most_first();
        assert_eq!(all.len(), 4);
        assert_eq!((all[0].0, all[1].0), (&0, &1));
        assert!(all[0].1 <= 500 && all[2].1 <= 1, "{:?}", all[0].1);
        assert!(common.get(&0).is_some() && common.get(&10).is_none());
    }
}

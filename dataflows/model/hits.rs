//! An event as the rules see it: one [`Hit`] for each stream it belongs to.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

use super::record::{Payload, StreamId};

/// An event as one stream sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// The stream.
    pub stream: StreamId,
    /// What the stream takes from it.
    pub payload: Payload,
}

/// The hits of an event, in the order of their streams. Most events have one at most, which stands
/// in its place: an update is moved several times on its way, and costs what it is long.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub enum Hits {
    /// No rule asks for it.
    #[default]
    None,
    /// One does.
    One(Hit),
    /// Several do.
    Many(Box<[Hit]>),
}

impl Hits {
    /// Only those of which this holds.
    pub fn retain(&mut self, holds: impl Fn(&Hit) -> bool) {
        if !self.iter().all(&holds) {
            *self = std::mem::take(self).into_iter().filter(holds).collect();
        }
    }
}

impl Deref for Hits {
    type Target = [Hit];

    fn deref(&self) -> &[Hit] {
        match self {
            Hits::None => &[],
            Hits::One(hit) => std::slice::from_ref(hit),
            Hits::Many(hits) => hits,
        }
    }
}

impl FromIterator<Hit> for Hits {
    fn from_iter<I: IntoIterator<Item = Hit>>(hits: I) -> Self {
        let mut hits = hits.into_iter();
        let Some(first) = hits.next() else { return Hits::None };
        match hits.next() {
            None => Hits::One(first),
            Some(second) => Hits::Many([first, second].into_iter().chain(hits).collect()),
        }
    }
}

impl IntoIterator for Hits {
    type Item = Hit;
    type IntoIter = std::iter::Chain<std::option::IntoIter<Hit>, std::vec::IntoIter<Hit>>;

    fn into_iter(self) -> Self::IntoIter {
        let (one, many) = match self {
            Hits::None => (None, Vec::new()),
            Hits::One(hit) => (Some(hit), Vec::new()),
            Hits::Many(hits) => (None, hits.into_vec()),
        };
        one.into_iter().chain(many)
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::{Change, Incoming, Update};
    use super::*;

    #[test]
    fn what_is_moved_with_every_event_is_small() {
        assert_eq!(size_of::<Hits>(), 24);
        assert_eq!(size_of::<Change>(), 24);
        assert_eq!(size_of::<Update>(), 72);
        assert_eq!(size_of::<Incoming>(), 72);
    }

    #[test]
    fn they_are_a_list() {
        for count in 0..4 {
            let hit = |stream| Hit { stream: StreamId(stream), payload: Payload::Happened };
            let listed: Vec<Hit> = (0..count).map(hit).collect();
            let mut hits: Hits = listed.iter().cloned().collect();
            assert_eq!((&*hits, hits.clone().into_iter().collect()), (&*listed, listed.clone()));
            hits.retain(|hit| hit.stream.0 != 1);
            let kept: Vec<Hit> = listed.into_iter().filter(|hit| hit.stream.0 != 1).collect();
            assert_eq!(&*hits, &*kept);
        }
    }
}

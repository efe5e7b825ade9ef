//! Attributes of one user: upserts, last writer by event time wins.
//!
//! When differences are released on the watermark, updates come here in the order that decides, so
//! the last one set simply stands. With `on_event` they may come later than newer ones; then every
//! cell carries the stamp of its writer. [`Held`] knows since when a value has been what it is.
//!
//! Cost: a binary search among the user's own attributes.

use crate::model::{AttributeKey, EventTime, Path, Position, Value};

/// Who wrote: of two writers the one with the greater stamp wins.
pub type Writer = (EventTime, Position);

/// The attributes of one user.
#[derive(Debug, Default)]
pub struct Attributes {
    /// By key; null where one was taken away.
    cells: Vec<(AttributeKey, Value)>,
    /// By key, the writer of each cell; empty while updates come in order.
    writers: Vec<(AttributeKey, Writer)>,
}

impl Attributes {
    /// Sets an attribute. Gives back the value it replaced, or `None` if a later writer's value
    /// stands. `writer` is given iff updates may come out of order.
    pub fn set(
        &mut self,
        key: AttributeKey,
        value: Value,
        writer: Option<Writer>,
    ) -> Option<Value> {
        if let Some(writer) = writer {
            match self.writers.binary_search_by_key(&key, |(key, _)| *key) {
                Ok(place) => match self.writers.get_mut(place) {
                    Some((_, standing)) if *standing > writer => return None,
                    Some((_, standing)) => *standing = writer,
                    None => {}
                },
                Err(place) => self.writers.insert(place, (key, writer)),
            }
        }
        match self.cells.binary_search_by_key(&key, |(key, _)| *key) {
            Ok(place) => self.cells.get_mut(place).map(|(_, cell)| std::mem::replace(cell, value)),
            Err(place) => {
                self.cells.insert(place, (key, value));
                Some(Value::Null)
            }
        }
    }

    /// What an attribute was last set to, if it ever was: null where it was taken away.
    pub fn cell(&self, key: AttributeKey) -> Option<&Value> {
        let place = self.cells.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        self.cells.get(place).map(|(_, value)| value)
    }

    /// The value of an attribute; `None` where it is missing or null.
    pub fn get(&self, key: AttributeKey) -> Option<&Value> {
        self.cell(key).filter(|value| **value != Value::Null)
    }

    /// The value at a path.
    pub fn at(&self, path: &AttributePath) -> Option<&Value> {
        path.find(|key| self.get(key))
    }
}

/// A path, ready to be looked up among attributes: the attribute of the whole name, or else what
/// the rest of the path finds in the attribute of its first name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AttributePath {
    /// The attribute named so as a whole.
    pub whole: AttributeKey,
    /// The attribute of the first name, and the rest, if the path has a dot.
    pub inner: Option<(AttributeKey, Path)>,
}

impl AttributePath {
    /// Prepares a path.
    pub fn new(path: &Path) -> Self {
        let inner = path.split().map(|(first, rest)| (AttributeKey::of(first), Path::new(rest)));
        AttributePath { whole: AttributeKey::of(path.as_str()), inner }
    }

    /// The attributes it reads.
    pub fn keys(&self) -> impl Iterator<Item = AttributeKey> {
        std::iter::once(self.whole).chain(self.inner.as_ref().map(|(first, _)| *first))
    }

    fn find<'a>(&self, get: impl Fn(AttributeKey) -> Option<&'a Value>) -> Option<&'a Value> {
        get(self.whole).or_else(|| {
            let (first, rest) = self.inner.as_ref()?;
            get(*first)?.at(rest.as_str())
        })
    }
}

/// Since when the value at one path has been what it is, comparing ends of milliseconds.
///
/// Keeps the updates the watermark has not passed, so that one that comes out of order finds its
/// place among them. State: the present value of at most two attributes, and those updates.
#[derive(Debug, Default)]
pub struct Held {
    /// As of the last settled update.
    base: Moment,
    /// Updates not settled yet, in order of their writers.
    recent: Vec<(Writer, AttributeKey, Value)>,
    /// With all of them applied.
    now: Moment,
}

#[derive(Debug, Default, Clone)]
struct Moment {
    cells: Vec<(AttributeKey, Value)>,
    value: Option<Value>,
    /// `None`: since the user exists.
    since: Option<EventTime>,
}

impl Moment {
    /// Applies updates of one time.
    fn apply(&mut self, path: &AttributePath, group: &[(Writer, AttributeKey, Value)]) {
        for (_, key, value) in group {
            match self.cells.iter_mut().find(|(have, _)| have == key) {
                Some((_, cell)) => *cell = value.clone(),
                None => self.cells.push((*key, value.clone())),
            }
        }
        let present = |value: &&Value| **value != Value::Null;
        let get = |key| {
            let cell = self.cells.iter().find(|(have, _)| *have == key);
            cell.map(|(_, value)| value).filter(present)
        };
        let value = path.find(get);
        if value != self.value.as_ref() {
            self.value = value.cloned();
            self.since = group.first().map(|((time, _), _, _)| *time);
        }
    }

    fn replay(&mut self, path: &AttributePath, updates: &[(Writer, AttributeKey, Value)]) {
        for group in updates.chunk_by(|left, right| left.0.0 == right.0.0) {
            self.apply(path, group);
        }
    }
}

impl Held {
    /// Since when, if the value ever changed; otherwise since the user exists.
    pub fn since(&self) -> Option<EventTime> {
        self.now.since
    }

    /// Whatever it was before, since when is known only from `now` on.
    pub fn begin(&mut self, now: EventTime) {
        for moment in [&mut self.base, &mut self.now] {
            moment.since = Some(now);
        }
    }

    /// Takes in an update of an attribute the path reads. Updates up to `settled` can have no
    /// earlier ones come after them.
    pub fn update(
        &mut self,
        path: &AttributePath,
        (writer, key, value): (Writer, AttributeKey, Value),
        settled: EventTime,
    ) {
        let place = self.recent.partition_point(|(other, _, _)| *other <= writer);
        self.recent.insert(place, (writer, key, value));
        let past = self.recent.partition_point(|((time, _), _, _)| *time < settled);
        let kept = self.recent.split_off(past);
        let done = std::mem::replace(&mut self.recent, kept);
        self.base.replay(path, &done);
        self.now = self.base.clone();
        self.now.replay(path, &self.recent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(time: EventTime) -> Writer {
        (time, Position { partition: 0, offset: 0 })
    }

    #[test]
    fn the_later_writer_wins_whatever_the_order() {
        let key = AttributeKey::of("plan");
        let mut attributes = Attributes::default();
        assert_eq!(attributes.set(key, Value::text("b"), Some(writer(20))), Some(Value::Null));
        assert_eq!(attributes.set(key, Value::text("a"), Some(writer(10))), None);
        assert_eq!(attributes.get(key), Some(&Value::text("b")));
        attributes.set(key, Value::Null, Some(writer(30)));
        assert_eq!(attributes.get(key), None);
    }

    #[test]
    fn held_counts_from_the_last_change_of_the_value() {
        let path = AttributePath::new(&Path::new("plan"));
        let mut held = Held::default();
        let mut set = |time, value: Value, settled| {
            held.update(&path, (writer(time), path.whole, value), settled);
            held.since()
        };
        assert_eq!(set(10, Value::text("a"), 0), Some(10));
        assert_eq!(set(20, Value::text("a"), 0), Some(10));
        assert_eq!(set(30, Value::text("b"), 0), Some(30));
        // Comes late: b was there already at 25.
        assert_eq!(set(25, Value::text("b"), 0), Some(25));
        // Away and back within one millisecond is no change.
        assert_eq!(set(40, Value::text("c"), 30), Some(40));
        assert_eq!(set(40, Value::text("b"), 30), Some(25));
        assert_eq!(set(50, Value::Null, 60), Some(50));
    }
}

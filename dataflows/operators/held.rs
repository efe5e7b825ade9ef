//! Since when an attribute has been what it is.

use serde::{Deserialize, Serialize};

use super::attributes::{AttributePath, Writer};
use super::store::AttributeNumber;
use crate::model::{AttributeKey, EventTime, Value};

/// Since when the value at one path has been what it is, comparing ends of milliseconds.
///
/// Keeps the updates the watermark has not passed, so that one that comes out of order finds its
/// place among them. State: the present value of at most two attributes, and those updates.
#[derive(Debug, Default)]
pub struct Held {
    /// As of the last settled update.
    base: Moment,
    /// Updates not settled yet, in order of their writers.
    recent: Vec<(Writer, AttributeNumber, Value)>,
    /// With all of them applied.
    now: Moment,
}

#[derive(Debug, Default, Clone)]
struct Moment {
    cells: Vec<(AttributeNumber, Value)>,
    value: Option<Value>,
    /// `None`: since the user exists.
    since: Option<EventTime>,
}

impl Moment {
    /// Applies updates of one time.
    fn apply(&mut self, path: &AttributePath, group: &[(Writer, AttributeNumber, Value)]) {
        for (_, key, value) in group {
            match self.cells.iter_mut().find(|(have, _)| have == key) {
                Some((_, cell)) => *cell = value.clone(),
                None => self.cells.push((*key, value.clone())),
            }
        }
        let present = |value: &&Value| **value != Value::Null;
        let get = |key| {
            let cell = self.cells.iter().find(|(have, _)| *have == key);
            cell.map(|(_, value)| value).filter(present).cloned()
        };
        let value = path.find(get);
        if value != self.value {
            self.value = value;
            self.since = group.first().map(|((time, _), _, _)| *time);
        }
    }

    fn replay(&mut self, path: &AttributePath, updates: &[(Writer, AttributeNumber, Value)]) {
        for group in updates.chunk_by(|left, right| left.0.0 == right.0.0) {
            self.apply(path, group);
        }
    }
}

/// The same by the names of attributes.
#[derive(Debug, Serialize, Deserialize)]
pub struct HeldImage {
    base: MomentImage,
    recent: Vec<(Writer, AttributeKey, Value)>,
    now: MomentImage,
}

#[derive(Debug, Serialize, Deserialize)]
struct MomentImage {
    cells: Vec<(AttributeKey, Value)>,
    value: Option<Value>,
    since: Option<EventTime>,
}

impl Held {
    /// The same by the names of attributes.
    pub fn image(&self, key: impl Fn(AttributeNumber) -> AttributeKey) -> HeldImage {
        let moment = |it: &Moment| MomentImage {
            cells: it.cells.iter().map(|(number, value)| (key(*number), value.clone())).collect(),
            value: it.value.clone(),
            since: it.since,
        };
        let recent = self.recent.iter();
        let recent = recent.map(|(writer, number, value)| (*writer, key(*number), value.clone()));
        HeldImage { base: moment(&self.base), recent: recent.collect(), now: moment(&self.now) }
    }

    /// What an image shows.
    pub fn of_image(
        image: HeldImage,
        mut number: impl FnMut(AttributeKey) -> AttributeNumber,
    ) -> Self {
        let mut moment = |it: MomentImage| Moment {
            cells: it.cells.into_iter().map(|(key, value)| (number(key), value)).collect(),
            value: it.value,
            since: it.since,
        };
        let (base, now) = (moment(image.base), moment(image.now));
        let recent = image.recent.into_iter();
        let recent = recent.map(|(writer, key, value)| (writer, number(key), value)).collect();
        Held { base, recent, now }
    }

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

    /// The bytes it takes.
    pub fn bytes(&self) -> usize {
        let cells = self.base.cells.capacity() + self.now.cells.capacity();
        size_of::<Held>()
            + cells * size_of::<(AttributeNumber, Value)>()
            + self.recent.capacity() * size_of::<(Writer, AttributeNumber, Value)>()
    }

    /// Takes in an update of an attribute the path reads. Updates up to `settled` can have no
    /// earlier ones come after them.
    pub fn update(
        &mut self,
        path: &AttributePath,
        (writer, key, value): (Writer, AttributeNumber, Value),
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
    use crate::model::{Path, Position};
    use crate::operators::store::Store;

    fn writer(time: EventTime) -> Writer {
        (time, Position { partition: 0, offset: 0 })
    }

    #[test]
    fn held_counts_from_the_last_change_of_the_value() {
        let path = AttributePath::new(&Path::new("plan"), &mut Store::default());
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

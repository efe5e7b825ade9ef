//! Attributes of one user: upserts, last writer by event time wins.
//!
//! When differences are released on the watermark, updates come here in the order that decides, so
//! the last one set simply stands. With `on_event` they may come later than newer ones; then the
//! [`Writers`] decide. Since when a value has been what it is, [`Held`] knows.
//!
//! Cost: a binary search among the user's own attributes. State: 12 bytes an attribute, and what
//! its value costs in the [`Pool`].
//!
//! [`Held`]: super::held::Held

use thin_vec::ThinVec;

use super::cell::Cell;
use super::exact::Exact;
use super::memory::thin_bytes;
use super::pool::Pool;
use super::store::{AttributeNumber, Store};
use crate::model::{AttributeKey, EventTime, Path, Position, Value};

/// Who wrote: of two writers the one with the greater stamp wins.
pub type Writer = (EventTime, Position);

/// The attributes of one user.
#[derive(Debug, Default)]
pub struct Attributes {
    /// By number; missing where one was taken away.
    cells: ThinVec<(AttributeNumber, Cell)>,
}

/// By number, who wrote each attribute, where updates may come out of order.
#[derive(Debug, Default)]
pub struct Writers(Exact<(AttributeNumber, Writer)>);

impl Writers {
    /// Notes who writes an attribute, unless what a later writer wrote stands; says which.
    pub fn admit(&mut self, number: AttributeNumber, writer: Writer) -> bool {
        match self.0.binary_search_by_key(&number, |(number, _)| *number) {
            Ok(place) => {
                let standing = &mut self.0[place].1;
                let wins = *standing <= writer;
                *standing = writer.max(*standing);
                wins
            }
            Err(place) => {
                self.0.insert(place, (number, writer));
                true
            }
        }
    }

    /// Who set an attribute.
    pub fn of(&self, number: AttributeNumber) -> Option<Writer> {
        let place = self.0.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        self.0.get(place).map(|(_, writer)| *writer)
    }

    /// Whether nobody is noted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes they have asked for.
    pub fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

impl Attributes {
    /// Sets an attribute. Gives back the cell it replaced, whose use of the pool is the caller's.
    pub fn set(&mut self, number: AttributeNumber, value: &Value, pool: &mut Pool) -> Cell {
        let cell = Cell::new(value, pool);
        match self.cells.binary_search_by_key(&number, |(number, _)| *number) {
            Ok(place) => std::mem::replace(&mut self.cells[place].1, cell),
            Err(place) => {
                if self.cells.len() == self.cells.capacity() {
                    self.cells.reserve_exact(1);
                }
                self.cells.insert(place, (number, cell));
                Cell::Missing
            }
        }
    }

    /// What an attribute was last set to, if it ever was: missing where it was taken away.
    pub fn cell(&self, number: AttributeNumber) -> Option<Cell> {
        let place = self.cells.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        self.cells.get(place).map(|(_, cell)| *cell)
    }

    /// All attributes ever set.
    pub fn cells(&self) -> &[(AttributeNumber, Cell)] {
        &self.cells
    }

    /// The value at a path.
    pub fn at(&self, path: &AttributePath, pool: &Pool) -> Option<Value> {
        path.find(|number| self.cell(number)?.value(pool))
    }

    /// The bytes they have asked for.
    pub fn bytes(&self) -> usize {
        thin_bytes(&self.cells)
    }

    /// Gives back every use of the pool.
    pub fn retire(&mut self, pool: &mut Pool) {
        self.cells.drain(..).for_each(|(_, cell)| cell.retire(pool));
    }
}

/// A path, ready to be looked up among attributes: the attribute of the whole name, or else what
/// the rest of the path finds in the attribute of its first name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AttributePath {
    /// The attribute named so as a whole.
    pub whole: AttributeNumber,
    /// The attribute of the first name, and the rest, if the path has a dot.
    pub inner: Option<(AttributeNumber, Path)>,
}

impl AttributePath {
    /// Prepares a path.
    pub fn new(path: &Path, store: &mut Store) -> Self {
        AttributePath::by(path, |key| store.number(key))
    }

    /// The same among attributes that are known: others are missing, whatever they are called.
    pub fn find_in(path: &Path, store: &Store) -> Self {
        AttributePath::by(path, |key| store.find(key))
    }

    fn by(path: &Path, mut number: impl FnMut(AttributeKey) -> AttributeNumber) -> Self {
        let mut number = |name: &str| number(AttributeKey::of(name));
        let whole = number(path.as_str());
        let inner = path.split().map(|(first, rest)| (number(first), Path::new(rest)));
        AttributePath { whole, inner }
    }

    /// The attributes it reads.
    pub fn numbers(&self) -> impl Iterator<Item = AttributeNumber> {
        std::iter::once(self.whole).chain(self.inner.as_ref().map(|(first, _)| *first))
    }

    pub(super) fn find(&self, get: impl Fn(AttributeNumber) -> Option<Value>) -> Option<Value> {
        get(self.whole).or_else(|| {
            let (first, rest) = self.inner.as_ref()?;
            get(*first)?.at(rest.as_str()).cloned()
        })
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
        let mut store = Store::default();
        let path = AttributePath::new(&Path::new("plan"), &mut store);
        let mut attributes = Attributes::default();
        let mut writers = Writers::default();
        let mut set = |value: &Value, time| {
            let wins = writers.admit(path.whole, writer(time));
            let old = wins.then(|| attributes.set(path.whole, value, &mut store.pool));
            (old.map(|old| old.value(&store.pool)), attributes.at(&path, &store.pool))
        };
        let (a, b) = (Value::text("a"), Value::text("b"));
        assert_eq!(set(&b, 20), (Some(None), Some(b.clone())));
        assert_eq!(set(&a, 10), (None, Some(b.clone())));
        assert_eq!(set(&Value::Null, 30), (Some(Some(b)), None));
    }
}

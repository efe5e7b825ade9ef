//! Where the known fields of a record stand.

use dataflows::model::Path;

use super::Mapping;
use super::raw::Raw;
use super::scan::{Fault, Place, Scan};
use super::shape::Shapes;

/// A field with a meaning.
#[derive(Debug, Clone, Copy)]
pub(super) enum Slot {
    Type,
    User,
    Anonymous,
    Time,
    Id,
    Event,
    Name,
    Properties,
    Traits,
    Attribute,
    Value,
}

const SLOTS: usize = Slot::Value as usize + 1;

const SEGMENT: [(Slot, &str); 9] = [
    (Slot::Type, "type"),
    (Slot::User, "userId"),
    (Slot::Anonymous, "anonymousId"),
    (Slot::Time, "timestamp"),
    (Slot::Id, "messageId"),
    (Slot::Event, "event"),
    (Slot::Name, "name"),
    (Slot::Properties, "properties"),
    (Slot::Traits, "traits"),
];

/// A set of slots, as bits.
pub(super) type Slots = u32;

/// The places of the fields of a set, in order.
pub(super) fn places(slots: Slots) -> impl Iterator<Item = usize> {
    (0..SLOTS).filter(move |place| slots & 1 << place != 0)
}

/// How many places there are: more than fields, so that any index of four bits is one.
const PLACES: usize = 16;
/// The place of what is no field.
pub(super) const NOWHERE: usize = SLOTS;

/// Where the fields stand in a record.
#[derive(Default)]
pub(super) struct Places([Place; PLACES]);

impl Places {
    /// A field stands there; of several places the last one counts.
    #[inline]
    pub(super) fn put(&mut self, place: usize, value: Place) {
        self.0[place % PLACES] = value;
    }

    /// A field that has begun ends before this.
    #[inline]
    pub(super) fn end(&mut self, place: usize, at: u32) {
        let value = &mut self.0[place % PLACES];
        *value = value.until(at);
    }

    /// Where the first field stands.
    #[cfg(test)]
    pub(super) fn first(&self) -> Place {
        self.0[0]
    }
}

/// Under which names the fields stand in the records of one source.
pub(super) struct Layout {
    /// Fields that are members of the record.
    plain: Vec<(Slot, Box<str>)>,
    /// Fields whose name has a dot: they may stand deeper.
    dotted: Vec<(Slot, Box<str>)>,
    labels: [Box<str>; SLOTS],
    shapes: Shapes,
}

/// The fields of one record.
pub(super) struct Found<'a> {
    text: &'a str,
    places: Places,
    /// Whether the record has a number that may be beyond the range of numbers.
    pub(super) large_numbers: bool,
}

impl<'a> Found<'a> {
    /// Of this text, none yet.
    pub(super) fn new(text: &'a str) -> Self {
        Found { text, places: Places::default(), large_numbers: false }
    }

    /// What stands in this field, unless it is null.
    #[inline]
    pub(super) fn get(&self, slot: Slot) -> Option<Raw<'a>> {
        let place = self.places.0[slot as usize];
        let raw = (place.end() != 0).then(|| place.of(self.text))?;
        Some(raw).filter(|raw| raw.first() != b'n')
    }

    /// Whether what stands in this field, if anything, begins with this byte.
    #[inline]
    pub(super) fn is_none_or(&self, slot: Slot, first: u8) -> bool {
        let place = self.places.0[slot as usize];
        place.end() == 0 || place.first(self.text) == Some(first)
    }

    /// What stands in this field, or nothing.
    #[inline]
    pub(super) fn written(&self, slot: Slot) -> &'a [u8] {
        let place = self.places.0[slot as usize];
        self.text.as_bytes().get(place.start()..place.end()).unwrap_or_default()
    }

    /// The text in this field, if it is one that stands for itself.
    #[inline]
    pub(super) fn plain(&self, slot: Slot) -> Option<&'a str> {
        self.places.0[slot as usize].plain(self.text)
    }
}

impl Layout {
    /// The layout of records in the shape of this mapping.
    pub(super) fn of(mapping: &Mapping) -> Self {
        let mut layout = Layout {
            plain: Vec::new(),
            dotted: Vec::new(),
            labels: std::array::from_fn(|_| Box::default()),
            shapes: Shapes::default(),
        };
        if mapping.is_segment() {
            SEGMENT.iter().for_each(|(slot, name)| layout.add(*slot, name));
            return layout;
        }
        for (slot, path, otherwise) in [
            (Slot::User, &mapping.user, "user"),
            (Slot::Time, &mapping.time, "time"),
            (Slot::Id, &mapping.id, "id"),
            (Slot::Event, &mapping.event, "event"),
            (Slot::Properties, &mapping.properties, "properties"),
            (Slot::Traits, &mapping.traits, "traits"),
            (Slot::Attribute, &mapping.attribute, "attribute"),
            (Slot::Value, &mapping.value, "value"),
        ] {
            layout.labels[slot as usize] = otherwise.into();
            if let Some(path) = path.as_ref().map(Path::as_str) {
                layout.add(slot, path);
            }
        }
        layout
    }

    fn add(&mut self, slot: Slot, name: &str) {
        let fields = if name.contains('.') { &mut self.dotted } else { &mut self.plain };
        fields.push((slot, name.into()));
        self.labels[slot as usize] = name.into();
    }

    /// What a field is called in messages.
    pub(super) fn label(&self, slot: Slot) -> &str {
        &self.labels[slot as usize]
    }

    /// Checks the whole text and finds the fields in it; of equal names the last one counts.
    #[inline]
    pub(super) fn find(&mut self, found: &mut Found<'_>) -> Result<(), Fault> {
        match self.shapes.find(found.text, false, &mut found.places) {
            Some(ended) => found.large_numbers = ended.large_numbers,
            None => self.read(found)?,
        }
        Ok(())
    }

    /// Finds the fields of the line a text begins with, if its record has a known shape; where the
    /// line ends.
    #[inline]
    pub(super) fn find_line(&mut self, found: &mut Found<'_>) -> Option<usize> {
        let ended = self.shapes.find(found.text, true, &mut found.places)?;
        found.large_numbers = ended.large_numbers;
        Some(ended.at)
    }

    /// Finds the fields that may stand deeper.
    #[inline]
    pub(super) fn follow(&self, found: &mut Found<'_>) -> Result<(), Fault> {
        for (slot, path) in &self.dotted {
            let place = follow(Scan::new(found.text), path)?.unwrap_or_default();
            found.places.put(*slot as usize, place);
        }
        Ok(())
    }

    /// The same, member by member: for a record of no known shape.
    #[cold]
    pub(super) fn read(&mut self, found: &mut Found<'_>) -> Result<(), Fault> {
        let (text, mut scan) = (found.text, Scan::new(found.text));
        found.places = Places::default();
        let slots = |key: &str| slots(&self.plain, key);
        scan.members_by(Scan::key, |key, value| {
            let fields = places(slots(&key.of(text).decode()?));
            fields.for_each(|field| found.places.put(field, value));
            Ok(())
        })?;
        if !scan.at_end() {
            return Err(Fault::Structure);
        }
        found.large_numbers = scan.large_numbers;
        self.shapes.learn(text, slots);
        Ok(())
    }
}

/// The fields of this name.
fn slots(plain: &[(Slot, Box<str>)], key: &str) -> Slots {
    let named = plain.iter().filter(|(_, name)| **name == *key);
    named.fold(0, |slots, (slot, _)| slots | 1 << (*slot as usize))
}

/// What a dotted path leads to, unless it is null: see [`Path`].
fn follow(mut object: Scan<'_>, path: &str) -> Result<Option<Place>, Fault> {
    let text = object.text();
    let split = path.split_once('.');
    let (mut whole, mut first) = (None, None);
    object.members_by(Scan::key, |key, value| {
        let key = key.of(text).decode()?;
        if *key == *path {
            whole = Some(value);
        } else if split.is_some_and(|(name, _)| *key == *name) {
            first = Some(value);
        }
        Ok(())
    })?;
    let begins = |place: &Place| place.of(text).first();
    match (whole.filter(|it| begins(it) != b'n'), first, split) {
        (None, Some(first), Some((_, rest))) if begins(&first) == b'{' => {
            follow(Scan::inside(text, first), rest)
        }
        (whole, ..) => Ok(whole),
    }
}

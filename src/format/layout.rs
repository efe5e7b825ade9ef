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

/// Where the fields stand in a record: more than there are fields, so that any index of four bits
/// is one.
#[derive(Default)]
pub(super) struct Places([Place; 16]);

impl Places {
    /// These fields stand there; of several places the last one counts.
    #[inline]
    pub(super) fn put(&mut self, mut slots: Slots, place: Place) {
        while slots != 0 {
            self.0[slots.trailing_zeros() as usize % 16] = place;
            slots &= slots - 1;
        }
    }

    /// Where the first field stands.
    #[cfg(test)]
    pub(super) fn first(&self) -> Place {
        self.0[0]
    }

    /// These fields begin there.
    pub(super) fn begin(&mut self, slots: Slots, at: usize) {
        self.put(slots, Place::begin(at));
    }

    /// These fields, which have begun, end before this.
    pub(super) fn end(&mut self, mut slots: Slots, at: usize) {
        while slots != 0 {
            self.0[slots.trailing_zeros() as usize % 16].end_at(at);
            slots &= slots - 1;
        }
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
    /// What stands in this field, unless it is null.
    #[inline]
    pub(super) fn get(&self, slot: Slot) -> Option<Raw<'a>> {
        let place = self.places.0[slot as usize];
        let raw = (place.end() != 0).then(|| place.of(self.text))?;
        Some(raw).filter(|raw| raw.first() != b'n')
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
    pub(super) fn find<'a>(&mut self, text: &'a str) -> Result<Found<'a>, Fault> {
        let (mut scan, mut places) = (Scan::new(text), Places::default());
        if !self.shapes.find(&mut scan, &mut places) {
            (scan, places) = (Scan::new(text), Places::default());
            let slots = |key: &str| slots(&self.plain, key);
            read(&mut scan, &mut places, slots)?;
            self.shapes.learn(text, slots);
        }
        for (slot, path) in &self.dotted {
            places.put(1 << (*slot as usize), follow(Scan::new(text), path)?.unwrap_or_default());
        }
        Ok(Found { text, places, large_numbers: scan.large_numbers })
    }
}

/// Reads a record member by member.
fn read(
    scan: &mut Scan<'_>,
    places: &mut Places,
    slots: impl Fn(&str) -> Slots,
) -> Result<(), Fault> {
    let text = scan.text();
    scan.members_by(Scan::key, |key, value| {
        places.put(slots(&key.of(text).decode()?), value);
        Ok(())
    })?;
    if scan.at_end() { Ok(()) } else { Err(Fault::Structure) }
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

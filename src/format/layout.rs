//! Where the known fields of a record stand.

use dataflows::model::Path;

use super::Mapping;
use super::raw::Raw;
use super::scan::{Fault, Scan};

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

/// How many members of a record are remembered.
const REMEMBERED_MEMBERS: usize = 64;

/// A set of slots, as bits.
type Slots = u16;

/// A key as the last record had it, up to its colon, and the fields of this name. Records of one
/// source are much alike: to compare is faster than to read and look up.
#[derive(Default)]
struct Remembered {
    written: String,
    slots: Slots,
}

/// Under which names the fields stand in the records of one source.
pub(super) struct Layout {
    /// Fields that are members of the record.
    plain: Vec<(Slot, Box<str>)>,
    /// Fields whose name has a dot: they may stand deeper.
    dotted: Vec<(Slot, Box<str>)>,
    labels: [Box<str>; SLOTS],
    /// By its place in the record, what the last one had there.
    remembered: Vec<Remembered>,
}

/// The fields of one record.
pub(super) struct Found<'a> {
    slots: [Option<Raw<'a>>; SLOTS],
    /// Whether the record has a number that may be beyond the range of numbers.
    pub(super) large_numbers: bool,
}

impl<'a> Found<'a> {
    /// What stands in this field, unless it is null.
    #[inline]
    pub(super) fn get(&self, slot: Slot) -> Option<Raw<'a>> {
        self.slots[slot as usize].filter(|raw| raw.first() != b'n')
    }
}

impl Layout {
    /// The layout of records in the shape of this mapping.
    pub(super) fn of(mapping: &Mapping) -> Self {
        let mut layout = Layout {
            plain: Vec::new(),
            dotted: Vec::new(),
            labels: std::array::from_fn(|_| Box::default()),
            remembered: Vec::new(),
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
        let mut slots = [None; SLOTS];
        let mut scan = Scan::new(text);
        let mut place = 0;
        let key = |scan: &mut Scan<'a>| {
            place += 1;
            self.key(place - 1, scan)
        };
        scan.members_by(key, |mut named, value| {
            while named != 0 {
                slots[named.trailing_zeros() as usize] = Some(value);
                named &= named - 1;
            }
            Ok(())
        })?;
        if !scan.at_end() {
            return Err(Fault::Structure);
        }
        for (slot, path) in &self.dotted {
            slots[*slot as usize] = follow(text, path)?;
        }
        Ok(Found { slots, large_numbers: scan.large_numbers })
    }
}

impl Layout {
    /// Reads the key of the member at this place; gives back the fields of this name.
    fn key(&mut self, place: usize, scan: &mut Scan<'_>) -> Result<Slots, Fault> {
        if let Some(last) = self.remembered.get(place)
            && scan.skip(&last.written)
        {
            return Ok(last.slots);
        }
        let start = scan.place();
        let key = scan.key()?.decode()?;
        let named = self.plain.iter().filter(|(_, name)| **name == *key);
        let slots = named.fold(0, |slots, (slot, _)| slots | 1 << (*slot as usize));
        if place < REMEMBERED_MEMBERS {
            self.remembered.resize_with(self.remembered.len().max(place + 1), Default::default);
            let last = &mut self.remembered[place];
            last.slots = slots;
            last.written.clear();
            last.written.push_str(scan.since(start));
        }
        Ok(slots)
    }
}

/// What a dotted path leads to, unless it is null: see [`Path`].
fn follow<'a>(object: &'a str, path: &str) -> Result<Option<Raw<'a>>, Fault> {
    let split = path.split_once('.');
    let (mut whole, mut first) = (None, None);
    Scan::new(object).members(|key, value| {
        let key = key.decode()?;
        if *key == *path {
            whole = Some(value);
        } else if split.is_some_and(|(name, _)| *key == *name) {
            first = Some(value);
        }
        Ok(())
    })?;
    let whole = whole.filter(|raw: &Raw<'_>| raw.first() != b'n');
    match (whole, first, split) {
        (None, Some(first), Some((_, rest))) if first.first() == b'{' => follow(first.text, rest),
        _ => Ok(whole),
    }
}

//! The shapes that records of a source have.
//!
//! Records of one source are written by few programs: the same keys in the same order, with other
//! values between them. So what stands between two values of a record is compared with what stood
//! there in earlier ones, as a piece, and only the values are read. A record of none of these shapes
//! is read member by member, and the next are compared with it, too. Shapes are kept as a tree, so
//! those that begin alike are compared once as far as they do.
//!
//! What is accepted is what reading member by member accepts, since that has accepted the pieces.
//! Cost: for each value, a comparison of sixteen bytes for each piece there is to begin with, and a
//! search for its end; where records are of many shapes, learning soon pauses. The idea is that of
//! speculative parsing (Li et al., *Mison*, 2017), without its index.

use super::layout::{NOWHERE, Places, Slots, places};
use super::scan::{Fault, Place, Scan};
use super::sixteen::{Written, next_other_than_digit, next_special};

/// How many steps all shapes have at most.
const STEPS_MAX: usize = 128;
/// Records with longer pieces have no shape.
const PIECE_MAX: usize = 1_024;
/// Shapes that fewer records had were of no use.
const OF_USE: u32 = 256;
/// Numbers of more digits are read by the scanner.
const FEW_DIGITS: u32 = 32;
/// How many records at most are read in a row of which no shape is learnt.
const PAUSE_MAX: u32 = 4_096;

/// The number of no step.
const NONE: usize = usize::MAX;

/// The shapes of the records of a source.
#[derive(Default)]
pub(super) struct Shapes {
    /// The steps of all shapes; the first one is where they begin.
    steps: Vec<Step>,
    /// How many records had one of them.
    had: u32,
    /// Whether a record had line feeds, so that the pieces may have them, too.
    have_line_feeds: bool,
    /// Whether objects within a record are values like others: the keys in them differ.
    is_flat: bool,
    /// How many records are still to be read before a shape is learnt, and how many were last time.
    pause: (u32, u32),
}

/// What a piece of a record is, and a value behind it.
struct Step {
    /// Brackets, keys, colons and commas between two values.
    piece: Written,
    value: Kind,
    /// The place of the field that the value is.
    place: usize,
    /// What else is to be noted: seldom anything.
    marks: Box<[Mark]>,
    /// How many objects it stands in.
    depth: usize,
    /// The number of the step that follows.
    then: usize,
    /// The number of the step that may be in its place.
    otherwise: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// A text; its first quote is the last byte of the piece.
    Text,
    Other,
    /// There is none: the record ends.
    Nothing,
}

/// What is to be noted of a step.
#[derive(Clone, Copy)]
enum Mark {
    /// An object that is a field begins so far into the piece.
    Begin { place: usize, at: u32 },
    /// It ends before there.
    End { place: usize, at: u32 },
    /// The value is this field, too.
    Also { place: usize },
}

/// Where a record ends, and whether it has a number that may be beyond the range of numbers.
pub(super) struct Ended {
    pub(super) at: usize,
    pub(super) large_numbers: bool,
}

impl Shapes {
    /// Finds the fields of the record a text begins with, if it is of a known shape; nothing may
    /// follow it or, where these are lines, the end of its line.
    #[inline]
    pub(super) fn find(
        &mut self,
        text: &str,
        is_lines: bool,
        places: &mut Places,
    ) -> Option<Ended> {
        if is_lines && self.have_line_feeds {
            return None;
        }
        let bytes = text.as_bytes();
        let (mut number, mut at, mut large_numbers) = (0, 0, false);
        loop {
            let step = self.steps.get(number)?;
            if !step.piece.stands(bytes, at) {
                number = step.otherwise;
                continue;
            }
            let start = at + step.piece.len();
            let value = match step.value {
                Kind::Text => text_at(bytes, start),
                Kind::Other => number_at(bytes, start),
                Kind::Nothing => match end(text, start as usize, is_lines) {
                    Some(end) => {
                        step.note(at, Place::default(), places);
                        self.had = self.had.saturating_add(1);
                        return Some(Ended { at: end, large_numbers });
                    }
                    None => None,
                },
            };
            let value = match value {
                Some(value) => value,
                None => match step.read(text, start, is_lines) {
                    Some((value, has_large)) => {
                        large_numbers |= has_large;
                        value
                    }
                    None => {
                        number = step.otherwise;
                        continue;
                    }
                },
            };
            step.note(at, value, places);
            places.put(step.place, value);
            at = value.end() as u32;
            number = step.then;
        }
    }

    /// A record, well-formed, has none of the shapes. `slots` tells the fields of a key.
    #[cold]
    pub(super) fn learn(&mut self, text: &str, slots: impl Fn(&str) -> Slots) {
        if self.pause.0 > 0 {
            self.pause.0 -= 1;
            return;
        }
        self.have_line_feeds |= memchr::memchr(b'\n', text.as_bytes()).is_some();
        let Ok(steps) = Learner::new(text, slots, self.is_flat).steps() else { return };
        if self.steps.len() + steps.len() > STEPS_MAX {
            self.forget();
        } else {
            self.add(steps);
        }
    }

    /// Makes room. The next are learnt with fewer keys; where that has been done and was of no use,
    /// after a while.
    fn forget(&mut self) {
        self.steps.clear();
        if std::mem::take(&mut self.had) >= OF_USE {
            self.pause.1 = 0;
        } else if self.is_flat {
            let pause = (2 * self.pause.1).clamp(1, PAUSE_MAX);
            self.pause = (pause, pause);
        }
        self.is_flat = true;
    }

    /// Adds a shape, of which the steps it begins with may be known.
    fn add(&mut self, steps: Vec<Step>) {
        let mut number = 0;
        let mut known = !self.steps.is_empty();
        // The step it is the follower of, or else instead of which it is.
        let mut last: Option<(usize, bool)> = None;
        for step in steps {
            while known && !self.steps[number].is_like(&step) {
                last = Some((number, false));
                number = self.steps[number].otherwise;
                known = number != NONE;
            }
            if !known {
                number = self.steps.len();
                match last {
                    Some((last, true)) => self.steps[last].then = number,
                    Some((last, false)) => self.steps[last].otherwise = number,
                    None => {}
                }
                self.steps.push(step);
            }
            last = Some((number, true));
            let next = self.steps[number].then;
            known &= next != NONE;
            number = next;
        }
    }
}

/// Where the text ends, or the line of it, if nothing but blanks is before that.
#[inline]
fn end(text: &str, at: usize, is_lines: bool) -> Option<usize> {
    match text.as_bytes().get(at) {
        None => Some(at),
        Some(b'\n') if is_lines => Some(at),
        Some(_) => end_behind_blanks(text, at, is_lines),
    }
}

#[cold]
#[inline(never)]
fn end_behind_blanks(text: &str, at: usize, is_lines: bool) -> Option<usize> {
    let rest = text.get(at..)?;
    let line = rest.split('\n').next().unwrap_or_default();
    let rest = if is_lines { line.strip_suffix('\r').unwrap_or(line) } else { rest };
    Scan::new(rest).at_end().then_some(at + rest.len())
}

/// The text that stands here behind its opening quote, if it is written without a backslash.
#[inline]
fn text_at(bytes: &[u8], at: u32) -> Option<Place> {
    let end = next_special(bytes, at);
    let is_quote = bytes.get(end as usize) == Some(&b'"');
    is_quote.then(|| Place::of_plain(at - 1, end + 1))
}

/// The number that stands here, if it is written as a few digits without a zero in front.
#[inline]
fn number_at(bytes: &[u8], at: u32) -> Option<Place> {
    if !matches!(bytes.get(at as usize), Some(b'1'..=b'9')) {
        return None;
    }
    let end = next_other_than_digit(bytes, at);
    let goes_on = matches!(bytes.get(end as usize), Some(b'.' | b'e' | b'E'));
    (!goes_on && end - at <= FEW_DIGITS).then(|| Place::of_other(at, end))
}

impl Step {
    /// Reads the value that stands there behind the piece, however it is written.
    #[cold]
    #[inline(never)]
    fn read(&self, text: &str, at: u32, is_lines: bool) -> Option<(Place, bool)> {
        let at = match self.value {
            Kind::Text => at - 1,
            Kind::Other => at,
            Kind::Nothing => return None,
        };
        let (value, large_numbers) = Scan::value_at(text, at, self.depth)?;
        let raw = value.of(text);
        let is_text = raw.first() == b'"';
        let is_within = !is_lines || memchr::memchr(b'\n', raw.text.as_bytes()).is_none();
        let is_like = is_text == (self.value == Kind::Text);
        (is_like && is_within).then_some((value, large_numbers))
    }

    /// Notes what is marked, where the piece stands from `start` on and the value behind it.
    #[inline]
    fn note(&self, start: u32, value: Place, places: &mut Places) {
        for mark in &self.marks {
            match *mark {
                Mark::Begin { place, at } => places.put(place, Place::begin(start + at)),
                Mark::End { place, at } => places.end(place, start + at),
                Mark::Also { place } => places.put(place, value),
            }
        }
    }

    fn is_like(&self, other: &Step) -> bool {
        self.value == other.value && self.piece == other.piece
    }
}

/// Takes a record apart.
struct Learner<'a, S> {
    text: &'a str,
    slots: S,
    is_flat: bool,
    /// Where the piece begins that comes next, and what is marked in it.
    start: usize,
    marks: Vec<Mark>,
    steps: Vec<Step>,
}

impl<'a, S: Fn(&str) -> Slots> Learner<'a, S> {
    fn new(text: &'a str, slots: S, is_flat: bool) -> Self {
        let (start, marks, steps) = Default::default();
        Learner { text, slots, is_flat, start, marks, steps }
    }

    /// The steps of its shape.
    ///
    /// # Errors
    /// It is to have none.
    fn steps(mut self) -> Result<Vec<Step>, Fault> {
        let mut scan = Scan::new(self.text);
        self.members(&mut scan, 1)?;
        self.step(scan.length(), Kind::Nothing, 0, 0)?;
        Ok(self.steps)
    }

    fn members(&mut self, scan: &mut Scan<'a>, depth: usize) -> Result<(), Fault> {
        scan.members_by(Scan::key, |key, value| self.member(key, value, depth))
    }

    fn member(&mut self, key: Place, value: Place, depth: usize) -> Result<(), Fault> {
        let is_field = depth == 1;
        let slots = if is_field { (self.slots)(&key.of(self.text).decode()?) } else { 0 };
        let first = value.of(self.text).first();
        if first == b'{' && !self.is_flat {
            let at = (value.start() - self.start) as u32;
            self.marks.extend(places(slots).map(|place| Mark::Begin { place, at }));
            self.members(&mut Scan::inside(self.text, value), depth + 1)?;
            let at = (value.end() - self.start) as u32;
            self.marks.extend(places(slots).map(|place| Mark::End { place, at }));
            return Ok(());
        }
        if first == b'"' {
            self.step(value.start() + 1, Kind::Text, slots, depth)?;
        } else {
            self.step(value.start(), Kind::Other, slots, depth)?;
        }
        self.start = value.end();
        Ok(())
    }

    /// A step whose piece ends there.
    fn step(&mut self, end: usize, value: Kind, slots: Slots, depth: usize) -> Result<(), Fault> {
        let text = self.text.get(self.start..end).filter(|text| text.len() <= PIECE_MAX);
        let piece = Written::of(text.ok_or(Fault::Structure)?);
        let mut fields = places(slots);
        let place = fields.next().unwrap_or(NOWHERE);
        self.marks.extend(fields.map(|place| Mark::Also { place }));
        let marks = std::mem::take(&mut self.marks).into();
        let (then, otherwise) = (NONE, NONE);
        self.steps.push(Step { piece, value, place, marks, depth, then, otherwise });
        if self.steps.len() > STEPS_MAX { Err(Fault::Structure) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a record, as the layout does; whether it had a known shape, and where field 0 stands.
    fn read(shapes: &mut Shapes, text: &str) -> (bool, String) {
        let slots = |key: &str| Slots::from(key == "field");
        let mut places = Places::default();
        let has_shape = shapes.find(text, false, &mut places).is_some();
        if !has_shape {
            shapes.learn(text, slots);
            places = Places::default();
            if shapes.pause.0 == 0 {
                let is_found = shapes.find(text, false, &mut places).is_some();
                assert!(is_found || shapes.steps.is_empty());
                shapes.had -= u32::from(!shapes.steps.is_empty());
            }
        }
        (has_shape, places.first().of(text).text.to_owned())
    }

    #[test]
    fn records_of_a_shape_are_read_by_it() {
        let mut shapes = Shapes::default();
        let yes = |field: &str| (true, field.to_owned());
        let no = |field: &str| (false, field.to_owned());
        assert_eq!(read(&mut shapes, r#"{"a":"x","field":"y","b":{"c":1}}"#), no("\"y\""));
        assert_eq!(
            read(&mut shapes, r#"{"a":"","field":"\u00e9","b":{"c":-1.5}}"#),
            yes(r#""\u00e9""#)
        );
        // Of the same beginning, another key; another kind of value; an object; blanks.
        assert_eq!(read(&mut shapes, r#"{"a":"x","field":"y","b":{"d":1}}"#), no("\"y\""));
        assert_eq!(read(&mut shapes, r#"{"a":"x","field":"y","b":{"d":[{}]}}"#), yes("\"y\""));
        assert_eq!(read(&mut shapes, r#"{"a":"x","field":"y","b":{"d":"z"}}"#), no("\"y\""));
        assert_eq!(
            read(&mut shapes, r#"{"field":{"d":{"e":"f"}},"a":1}"#),
            no(r#"{"d":{"e":"f"}}"#)
        );
        assert_eq!(
            read(&mut shapes, r#"{"field":{"d":{"e":""}},"a":2}"#),
            yes(r#"{"d":{"e":""}}"#)
        );
        assert_eq!(read(&mut shapes, r#"{"field":{},"a":2}"#), no("{}"));
        assert_eq!(read(&mut shapes, r#"{"field":{},"a":null}  "#), yes("{}"));
        assert_eq!(read(&mut shapes, r#" {"field":{},"a":null}"#), no("{}"));
        assert_eq!(read(&mut shapes, r#"{"field":1,"field":"2"}"#), no("\"2\""));
        assert_eq!(read(&mut shapes, r#"{"field":2,"field":"3"}"#), yes("\"3\""));
        assert_eq!(shapes.had, 5);
        // Of equal keys the last one counts, also where the first one ends in the same piece.
        let mut shapes = Shapes::default();
        assert_eq!(read(&mut shapes, r#"{"field":{"a":1},"field":"2"}"#), no("\"2\""));
        assert_eq!(read(&mut shapes, r#"{"field":{"a":1},"field":"3"}"#), yes("\"3\""));
    }

    #[test]
    fn where_all_is_of_other_shapes_learning_pauses() {
        let mut shapes = Shapes::default();
        let mut learnt = 0;
        for number in 0..10_000 {
            let text = format!(r#"{{"a":{{"inner{number}":1}}}}"#);
            learnt += u32::from(!read(&mut shapes, &text).0);
        }
        assert!(shapes.is_flat && learnt < 200, "objects are values: {learnt}");
        let mut found = 0;
        for number in 0..10_000 {
            found += u32::from(read(&mut shapes, &format!(r#"{{"outer{number}":1}}"#)).0);
        }
        assert_eq!((found, shapes.pause.1), (0, PAUSE_MAX));
    }
}

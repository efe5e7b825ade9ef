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

use super::layout::{Places, Slots};
use super::scan::{Broken, Fault, Place, Scan};
use super::sixteen::Written;

/// How many steps all shapes have at most.
const STEPS_MAX: usize = 128;
/// Records with longer pieces have no shape.
const PIECE_MAX: usize = 1_024;
/// Shapes that fewer records had were of no use.
const OF_USE: u32 = 256;
/// How many records at most are read in a row of which no shape is learnt.
const PAUSE_MAX: u32 = 4_096;

/// The shapes of the records of a source.
#[derive(Default)]
pub(super) struct Shapes {
    /// The steps of all shapes. A step is before all that follow it, so no step is followed by the
    /// first: its number stands for none.
    steps: Vec<Step>,
    /// How many records had one of them.
    had: u32,
    /// Whether objects within a record are values like others: the keys in them differ.
    is_flat: bool,
    /// How many records are still to be read before a shape is learnt, and how many were last time.
    pause: (u32, u32),
}

/// What a piece of a record is, and a value behind it.
struct Step {
    piece: Piece,
    value: Kind,
    /// The fields the value is.
    slots: Slots,
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

/// Brackets, keys, colons and commas between two values.
struct Piece {
    written: Written,
    /// Which objects that are fields begin and end in it, in order.
    brackets: Vec<Bracket>,
}

/// Where an object begins or ends.
struct Bracket {
    at: usize,
    begins: bool,
    slots: Slots,
}

impl Shapes {
    /// Finds the fields of a record of a known shape; whether it has one.
    #[inline]
    pub(super) fn find(&mut self, scan: &mut Scan<'_>, places: &mut Places) -> bool {
        let mut number = 0;
        while let Some(step) = self.steps.get(number) {
            let start = scan.length();
            if let Ok(value) = step.read(scan) {
                step.piece.note(start, places);
                places.put(step.slots, value);
                number = step.then;
                if step.value == Kind::Nothing {
                    self.had = self.had.saturating_add(1);
                    return true;
                }
            } else {
                scan.back_to(start);
                number = step.otherwise;
            }
            if number == 0 {
                return false;
            }
        }
        false
    }

    /// A record, well-formed, has none of the shapes. `slots` tells the fields of a key.
    #[cold]
    pub(super) fn learn(&mut self, text: &str, slots: impl Fn(&str) -> Slots) {
        if self.pause.0 > 0 {
            self.pause.0 -= 1;
            return;
        }
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
                known = number != 0;
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
            known &= next != 0;
            number = next;
        }
    }
}

impl Step {
    /// Reads the piece and the value, if that is what comes.
    #[inline]
    fn read(&self, scan: &mut Scan<'_>) -> Result<Place, Broken> {
        if !scan.skip(&self.piece.written) {
            return Err(Broken);
        }
        match self.value {
            Kind::Text => scan.rest_of_string(),
            Kind::Other => scan.value_within(self.depth),
            Kind::Nothing if scan.at_end() => Ok(Place::default()),
            Kind::Nothing => Err(Broken),
        }
    }

    fn is_like(&self, other: &Step) -> bool {
        self.value == other.value && self.piece.written == other.piece.written
    }
}

impl Piece {
    /// Notes the fields that begin and end in it, where it stands from `start` on.
    #[inline]
    fn note(&self, start: usize, places: &mut Places) {
        for bracket in &self.brackets {
            let at = start + bracket.at;
            if bracket.begins {
                places.begin(bracket.slots, at);
            } else {
                places.end(bracket.slots, at + 1);
            }
        }
    }
}

/// Takes a record apart.
struct Learner<'a, S> {
    text: &'a str,
    slots: S,
    is_flat: bool,
    /// Where the piece begins that comes next, and the brackets in it.
    start: usize,
    brackets: Vec<Bracket>,
    steps: Vec<Step>,
}

impl<'a, S: Fn(&str) -> Slots> Learner<'a, S> {
    fn new(text: &'a str, slots: S, is_flat: bool) -> Self {
        let (start, brackets, steps) = Default::default();
        Learner { text, slots, is_flat, start, brackets, steps }
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
            self.bracket(value.start(), true, slots);
            self.members(&mut Scan::inside(self.text, value), depth + 1)?;
            self.bracket(value.end() - 1, false, slots);
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

    fn bracket(&mut self, at: usize, begins: bool, slots: Slots) {
        let at = at - self.start;
        self.brackets.extend((slots != 0).then_some(Bracket { at, begins, slots }));
    }

    /// A step whose piece ends there.
    fn step(&mut self, end: usize, value: Kind, slots: Slots, depth: usize) -> Result<(), Fault> {
        let text = self.text.get(self.start..end).filter(|text| text.len() <= PIECE_MAX);
        let written = Written::of(text.ok_or(Fault::Structure)?);
        let piece = Piece { written, brackets: std::mem::take(&mut self.brackets) };
        let then = 0;
        self.steps.push(Step { piece, value, slots, depth, then, otherwise: 0 });
        if self.steps.len() > STEPS_MAX { Err(Fault::Structure) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a record, as the layout does; whether it had a known shape, and where field 0 stands.
    fn read(shapes: &mut Shapes, text: &str) -> (bool, String) {
        let slots = |key: &str| Slots::from(key == "field");
        let (mut scan, mut places) = (Scan::new(text), Places::default());
        let has_shape = shapes.find(&mut scan, &mut places);
        if !has_shape {
            shapes.learn(text, slots);
            (scan, places) = (Scan::new(text), Places::default());
            if shapes.pause.0 == 0 {
                assert!(shapes.find(&mut scan, &mut places) || shapes.steps.is_empty());
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

//! A JSON scanner that checks all of a text and builds nothing.
//!
//! It accepts exactly what `serde_json` accepts, also in the parts nobody reads, and hands out the
//! members of an object as slices of the text. There is no table of positions and no tree, so a
//! record costs one pass; numbers are never turned into floats.

use dataflows::model::value::MAX_DEPTH;

use super::raw::Raw;
use super::sixteen::{next_other_than_digit, next_special};

/// Why a text is not taken.
#[derive(Debug, PartialEq)]
pub(super) enum Fault {
    /// It is not JSON, nests deeper than [`MAX_DEPTH`], or is not the object it must be. Which of
    /// them it is, and where, is found out apart: a record that is refused may take longer.
    Structure,
    /// It is well formed, but this is wrong with it.
    Reason(String),
}

/// The text breaks the grammar or nests too deep. Of no size, so that the scanner's results stay in
/// registers: moving them through memory costs a third of the time.
#[derive(Debug, PartialEq)]
pub(super) struct Broken;

impl From<Broken> for Fault {
    fn from(_: Broken) -> Self {
        Fault::Structure
    }
}

/// Where a value stands in a text of less than 1 GiB.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Place {
    start: u32,
    /// Where what follows begins, times four, and the form it has.
    end: u32,
}

/// Not written as a string.
const OTHER: u32 = 0;
/// Written as a string that says what it stands for.
const PLAIN: u32 = 1;
/// Written as a string with a backslash in it.
const ESCAPED: u32 = 2;

impl Place {
    #[inline]
    fn new(start: u32, end: u32, form: u32) -> Self {
        Place { start, end: end << 2 | form }
    }

    /// A string without a backslash, from its opening quote to what follows the closing one.
    #[inline]
    pub(super) fn of_plain(start: u32, end: u32) -> Self {
        Place::new(start, end, PLAIN)
    }

    /// Something else, from where it begins to what follows it.
    #[inline]
    pub(super) fn of_other(start: u32, end: u32) -> Self {
        Place::new(start, end, OTHER)
    }

    /// It begins here; where it ends is not known yet.
    pub(super) fn begin(start: u32) -> Self {
        Place { start, end: 0 }
    }

    /// The same, ending before this.
    pub(super) fn until(self, end: u32) -> Self {
        Place::of_other(self.start, end)
    }

    /// What stands here in a text.
    #[inline]
    pub(super) fn of<'a>(&self, text: &'a str) -> Raw<'a> {
        let piece = text.get(self.start()..self.end());
        Raw { text: piece.unwrap_or_default(), escaped: self.end & ESCAPED != 0 }
    }

    /// The text that stands for itself here, if one does.
    #[inline]
    pub(super) fn plain<'a>(&self, text: &'a str) -> Option<&'a str> {
        let is_plain = self.end & PLAIN != 0;
        if is_plain { text.get(self.start() + 1..self.end() - 1) } else { None }
    }

    /// The first byte of what stands here.
    #[inline]
    pub(super) fn first(&self, text: &str) -> Option<u8> {
        text.as_bytes().get(self.start()).copied()
    }

    /// Where it begins.
    #[inline]
    pub(super) fn start(&self) -> usize {
        self.start as usize
    }

    /// Where what follows begins; zero if it is nowhere, for a value has a byte at least.
    #[inline]
    pub(super) fn end(&self) -> usize {
        (self.end >> 2) as usize
    }
}

/// A number of more characters than this may be beyond the range of numbers without an exponent.
const LONG_NUMBER: usize = 6_000;

/// A place in a text.
pub(super) struct Scan<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// Whether a number was seen that may be beyond the range of numbers.
    pub(super) large_numbers: bool,
}

impl<'a> Scan<'a> {
    /// The start of a text.
    pub(super) fn new(text: &'a str) -> Self {
        Scan { text, at: 0, depth: 0, large_numbers: false }
    }

    /// The start of a value in it.
    pub(super) fn inside(text: &'a str, value: Place) -> Self {
        Scan { at: value.start(), ..Scan::new(text) }
    }

    /// Reads the value that begins here within so many objects: where it stands, and whether it has
    /// a number that may be beyond the range of numbers.
    pub(super) fn value_at(text: &'a str, at: u32, depth: usize) -> Option<(Place, bool)> {
        let mut scan = Scan { at: at as usize, depth, ..Scan::new(text) };
        let value = scan.value().ok()?;
        Some((value, scan.large_numbers))
    }

    /// Whether nothing but blanks follows.
    pub(super) fn at_end(&mut self) -> bool {
        self.next_token().is_none()
    }

    /// Reads an object and calls `each` with every key and value in the order of the text.
    #[inline]
    pub(super) fn members(
        &mut self,
        mut each: impl FnMut(Raw<'a>, Raw<'a>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let text = self.text;
        self.members_by(Self::key, |key, value| each(key.of(text), value.of(text)))
    }

    /// Does that where `key` reads the keys, each with its colon.
    #[inline]
    pub(super) fn members_by<K>(
        &mut self,
        mut key: impl FnMut(&mut Self) -> Result<K, Broken>,
        mut each: impl FnMut(K, Place) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.enter(b'{')?;
        if self.next_token() == Some(b'}') {
            self.leave();
            return Ok(());
        }
        loop {
            self.next_token();
            let key = key(self)?;
            self.next_token();
            each(key, self.value()?)?;
            match self.next_token() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.leave();
                    return Ok(());
                }
                _ => return Err(Fault::Structure),
            }
        }
    }

    /// Reads the key that begins here, and its colon.
    #[inline]
    pub(super) fn key(&mut self) -> Result<Place, Broken> {
        if self.byte() != Some(b'"') {
            return Err(Broken);
        }
        let key = self.string()?;
        if self.next_token() != Some(b':') {
            return Err(Broken);
        }
        self.at += 1;
        Ok(key)
    }

    /// The text.
    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// How much has been read.
    pub(super) fn length(&self) -> usize {
        self.at
    }

    /// Reads a list and calls `each` with every item.
    pub(super) fn items(
        &mut self,
        mut each: impl FnMut(Raw<'a>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.enter(b'[')?;
        if self.next_token() == Some(b']') {
            self.leave();
            return Ok(());
        }
        loop {
            self.next_token();
            each(self.value()?.of(self.text))?;
            match self.next_token() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.leave();
                    return Ok(());
                }
                _ => return Err(Fault::Structure),
            }
        }
    }

    /// Reads the value that begins here. The recursion ends at [`MAX_DEPTH`].
    #[inline]
    fn value(&mut self) -> Result<Place, Broken> {
        if self.byte() == Some(b'"') { self.string() } else { self.other_value() }
    }

    fn other_value(&mut self) -> Result<Place, Broken> {
        let start = self.at;
        match self.byte() {
            Some(b'{') => self.members_by(Self::key, |_, _| Ok(())).map_err(|_| Broken)?,
            Some(b'[') => self.items(|_| Ok(())).map_err(|_| Broken)?,
            Some(b't') => self.word("true")?,
            Some(b'f') => self.word("false")?,
            Some(b'n') => self.word("null")?,
            _ => self.number()?,
        }
        Ok(self.place_since(start, OTHER))
    }

    /// What has been read since `start`.
    #[inline]
    fn place_since(&self, start: usize, form: u32) -> Place {
        Place::new(start as u32, self.at as u32, form)
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Goes to the next byte that is not blank.
    #[inline]
    fn next_token(&mut self) -> Option<u8> {
        loop {
            match self.byte() {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                other => return other,
            }
        }
    }

    fn enter(&mut self, bracket: u8) -> Result<(), Broken> {
        if self.next_token() != Some(bracket) || self.depth == MAX_DEPTH {
            return Err(Broken);
        }
        self.at += 1;
        self.depth += 1;
        Ok(())
    }

    fn leave(&mut self) {
        self.at += 1;
        self.depth -= 1;
    }

    fn word(&mut self, word: &str) -> Result<(), Broken> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return Err(Broken);
        }
        self.at += word.len();
        Ok(())
    }

    /// Reads a number: `-`, `0` or digits without a leading zero, a fraction, an exponent.
    fn number(&mut self) -> Result<(), Broken> {
        let start = self.at;
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        let zero = self.byte() == Some(b'0');
        if self.digits()? > 1 && zero {
            return Err(Broken);
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            self.digits()?;
            self.large_numbers = true;
        }
        self.large_numbers |= self.at - start > LONG_NUMBER;
        Ok(())
    }

    /// Reads at least one digit.
    fn digits(&mut self) -> Result<usize, Broken> {
        let start = self.at;
        self.at = next_other_than_digit(self.text.as_bytes(), start as u32) as usize;
        if self.at == start { Err(Broken) } else { Ok(self.at - start) }
    }

    /// Reads a string, from its opening quote on.
    #[inline]
    fn string(&mut self) -> Result<Place, Broken> {
        let start = self.at;
        self.at = next_special(self.text.as_bytes(), start as u32 + 1) as usize;
        if self.byte() != Some(b'"') {
            return self.string_with_escapes(start);
        }
        self.at += 1;
        Ok(self.place_since(start, PLAIN))
    }

    /// The rest of a string that began at `start`, from its first escape on.
    #[cold]
    fn string_with_escapes(&mut self, start: usize) -> Result<Place, Broken> {
        while self.byte() == Some(b'\\') {
            self.escape()?;
            self.at = next_special(self.text.as_bytes(), self.at as u32) as usize;
        }
        if self.byte() != Some(b'"') {
            return Err(Broken); // a control character, or the end
        }
        self.at += 1;
        Ok(self.place_since(start, ESCAPED))
    }

    /// Reads an escape, from its backslash on; a surrogate only together with its other half.
    fn escape(&mut self) -> Result<(), Broken> {
        self.at += 2;
        match self.text.as_bytes().get(self.at - 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(()),
            Some(b'u') => match self.hex()? {
                0xD800..0xDC00 => {
                    self.word("\\u")?;
                    let low = self.hex()?;
                    if (0xDC00..0xE000).contains(&low) { Ok(()) } else { Err(Broken) }
                }
                0xDC00..0xE000 => Err(Broken),
                _ => Ok(()),
            },
            _ => Err(Broken),
        }
    }

    fn hex(&mut self) -> Result<u32, Broken> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).ok_or(Broken)?;
        self.at += 4;
        digits.iter().try_fold(0, |number, digit| {
            let digit = char::from(*digit).to_digit(16).ok_or(Broken)?;
            Ok(number * 16 + digit)
        })
    }
}

#[cfg(test)]
mod tests;

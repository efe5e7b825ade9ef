//! Sixteen bytes of a text looked at together.
//!
//! A string of JSON goes on to the next of very few bytes, a number to the first that is no digit:
//! most of the time of reading a record is spent on finding these. Each search compares sixteen
//! bytes at once and asks for the first that fits, as `simdjson` does (Langdale and Lemire, Parsing
//! Gigabytes of JSON per Second, 2019), but goes from one to the next without an index of them all:
//! records are short.

use wide::u8x16;

/// Where the next quote, backslash or control character stands, or the text ends.
#[inline]
pub(super) fn next_special(bytes: &[u8], at: usize) -> usize {
    let of_sixteen = |sixteen: u8x16| {
        let control = sixteen.min(u8x16::splat(0x1f)).simd_eq(sixteen);
        sixteen.simd_eq(u8x16::splat(b'"')) | sixteen.simd_eq(u8x16::splat(b'\\')) | control
    };
    next(bytes, at, of_sixteen, |byte| matches!(byte, b'"' | b'\\' | 0..0x20))
}

/// Where the next byte stands that is no digit, or the text ends.
#[inline]
pub(super) fn next_other_than_digit(bytes: &[u8], at: usize) -> usize {
    let of_sixteen = |sixteen: u8x16| {
        let number = sixteen - u8x16::splat(b'0');
        !number.min(u8x16::splat(9)).simd_eq(number)
    };
    next(bytes, at, of_sixteen, |byte| !byte.is_ascii_digit())
}

/// Where the next byte of a kind stands, or the text ends.
#[inline]
fn next(
    bytes: &[u8],
    at: usize,
    of_sixteen: impl Fn(u8x16) -> u8x16,
    is: impl Fn(u8) -> bool,
) -> usize {
    let mut rest = bytes.get(at..).unwrap_or_default();
    while let Some((sixteen, further)) = rest.split_first_chunk::<16>() {
        let found = of_sixteen(u8x16::new(*sixteen)).to_bitmask();
        if found != 0 {
            return bytes.len() - rest.len() + found.trailing_zeros() as usize;
        }
        rest = further;
    }
    let found = rest.iter().position(|byte| is(*byte)).unwrap_or(rest.len());
    bytes.len() - rest.len() + found
}

/// A few bytes to be compared with what stands at a place, again and again.
#[derive(PartialEq)]
pub(super) struct Written {
    text: String,
    /// The first sixteen of them, and a mask of those that count.
    head: u128,
    mask: u128,
}

impl Written {
    pub(super) fn of(text: &str) -> Self {
        let mut head = [0; 16];
        let length = text.len().min(16);
        head[..length].copy_from_slice(&text.as_bytes()[..length]);
        let mask = if length == 16 { u128::MAX } else { (1 << (8 * length)) - 1 };
        Written { text: text.to_owned(), head: u128::from_le_bytes(head), mask }
    }

    /// How many these are.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether `bytes` begin with these.
    #[inline]
    pub(super) fn begins(&self, bytes: &[u8]) -> bool {
        match bytes.first_chunk::<16>() {
            Some(sixteen) => {
                (u128::from_le_bytes(*sixteen) ^ self.head) & self.mask == 0
                    && (self.text.len() <= 16 || bytes.starts_with(self.text.as_bytes()))
            }
            None => bytes.starts_with(self.text.as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_bytes_are_found_at_every_distance() {
        for special in [b'"', b'\\', 0, 0x1f] {
            for distance in 0..40 {
                let mut bytes = vec![b'!'; 40];
                bytes[distance] = special;
                assert_eq!(next_special(&bytes, 0), distance);
                bytes.fill(0xff);
                bytes[distance] = special;
                assert_eq!(next_special(&bytes, 0), distance);
            }
        }
        assert_eq!(next_special(&[b' '; 19], 3), 19);
    }

    #[test]
    fn what_is_no_digit_is_found_at_every_distance() {
        for other in (0..=u8::MAX).filter(|byte| !byte.is_ascii_digit()) {
            for distance in 0..20 {
                for digit in [b'0', b'9'] {
                    let mut bytes = [digit; 20];
                    bytes[distance] = other;
                    assert_eq!(next_other_than_digit(&bytes, 0), distance);
                }
            }
        }
        assert_eq!(next_other_than_digit(b"0123456789", 0), 10);
        assert_eq!(next_other_than_digit(b"", 0), 0);
    }

    #[test]
    fn bytes_begin_with_what_was_written() {
        let text = "\"a name of many letters\":1";
        for length in 0..text.len() {
            let written = Written::of(&text[..length]);
            for end in 0..text.len() {
                assert_eq!(
                    written.begins(&text.as_bytes()[..end]),
                    length <= end,
                    "{length} {end}"
                );
            }
            for place in 0..length {
                let mut other = text.as_bytes().to_vec();
                other[place] = b'#';
                assert!(!written.begins(&other), "{length} {place}");
            }
        }
    }
}

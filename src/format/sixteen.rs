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
pub(super) fn next_special(bytes: &[u8], at: u32) -> u32 {
    // A quote but for one bit is a space, and what was below a space still is.
    let of_sixteen = |sixteen: u8x16| {
        let turned = sixteen ^ u8x16::splat(b'"' ^ b' ');
        let control_or_quote = turned.min(u8x16::splat(b' ')).simd_eq(turned);
        control_or_quote | sixteen.simd_eq(u8x16::splat(b'\\'))
    };
    next(bytes, at, of_sixteen, |byte| matches!(byte, b'"' | b'\\' | 0..0x20))
}

/// Where the next byte stands that is no digit, or the text ends.
#[inline]
pub(super) fn next_other_than_digit(bytes: &[u8], at: u32) -> u32 {
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
    mut at: u32,
    of_sixteen: impl Fn(u8x16) -> u8x16,
    is: impl Fn(u8) -> bool,
) -> u32 {
    while let Some(sixteen) = sixteen(bytes, at) {
        let found = of_sixteen(u8x16::new(*sixteen)).to_bitmask();
        if found != 0 {
            return at + found.trailing_zeros();
        }
        at += 16;
    }
    let rest = bytes.get(at as usize..).unwrap_or_default();
    let found = match bytes.last_chunk::<16>() {
        // The last sixteen, without those that were before.
        Some(last) => of_sixteen(u8x16::new(*last)).to_bitmask() >> (16 - rest.len()),
        None => (0..).zip(rest).fold(0, |all, (place, byte)| all | u32::from(is(*byte)) << place),
    };
    if found == 0 { bytes.len() as u32 } else { at + found.trailing_zeros() }
}

/// The sixteen bytes from here on, if there are so many. Places are of 32 bits: so it takes one
/// comparison to know that all of them are within.
#[inline]
fn sixteen(bytes: &[u8], at: u32) -> Option<&[u8; 16]> {
    let at = at as usize;
    bytes.get(at..at + 16)?.first_chunk()
}

/// A few bytes to be compared with what stands at a place, again and again.
#[derive(PartialEq)]
pub(super) struct Written {
    text: Box<[u8]>,
    /// The last sixteen of them, or all if they are fewer, and a mask of those that count. Keys that
    /// follow one another in different records differ there, and begin alike.
    tail: u128,
    mask: u128,
    /// How many are before them.
    before: u32,
    /// How many they are.
    length: u32,
    /// The first sixteen, where there are more.
    head: u128,
}

impl Written {
    /// These bytes, of which there may be 4 GiB.
    pub(super) fn of(text: &str) -> Self {
        let number = |bytes: &[u8]| {
            bytes.iter().rev().fold(0, |number, byte| number << 8 | u128::from(*byte))
        };
        let text = text.as_bytes();
        let (head, tail) = (text.first_chunk::<16>(), text.last_chunk::<16>());
        let mask = if tail.is_some() { u128::MAX } else { (1 << (8 * text.len())) - 1 };
        let tail = number(tail.map_or(text, |tail| tail));
        let head = head.map_or(0, |head| number(head));
        let length = text.len() as u32;
        Written { text: text.into(), tail, mask, before: length.saturating_sub(16), length, head }
    }

    /// How many these are.
    #[inline]
    pub(super) fn len(&self) -> u32 {
        self.length
    }

    /// Whether these stand there in `bytes`.
    #[inline]
    pub(super) fn stands(&self, bytes: &[u8], at: u32) -> bool {
        let Some(sixteen) = sixteen(bytes, at + self.before) else {
            return self.stands_anywhere(bytes, at);
        };
        (u128::from_le_bytes(*sixteen) ^ self.tail) & self.mask == 0
            && (self.before == 0 || self.stands_before(bytes, at))
    }

    /// Whether those before the last sixteen do, if those do.
    #[inline]
    fn stands_before(&self, bytes: &[u8], at: u32) -> bool {
        let is_head = |head: &[u8; 16]| u128::from_le_bytes(*head) == self.head;
        sixteen(bytes, at).is_some_and(is_head)
            && (self.before <= 16 || self.stands_anywhere(bytes, at))
    }

    /// Whether all of them do, also near the end of the text.
    #[cold]
    #[inline(never)]
    fn stands_anywhere(&self, bytes: &[u8], at: u32) -> bool {
        bytes.get(at as usize..).is_some_and(|rest| rest.starts_with(&self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks for a byte at every distance, from every place, in texts of every length.
    fn check(next: impl Fn(&[u8], u32) -> u32, found: u8, other: u8) {
        for length in 0..40 {
            for place in 0..=length {
                let mut bytes = vec![other; length];
                bytes.get_mut(place).into_iter().for_each(|byte| *byte = found);
                for at in 0..=place {
                    let next = next(&bytes, at as u32) as usize;
                    assert_eq!(next, place, "{found} among {length} times {other}, from {at}");
                }
            }
        }
    }

    #[test]
    fn special_bytes_are_found_at_every_distance() {
        for byte in 0..=u8::MAX {
            if matches!(byte, b'"' | b'\\' | 0..0x20) {
                check(next_special, byte, b'!');
                check(next_special, byte, 0xff);
            } else {
                assert_eq!(next_special(&[byte; 40], 0), 40, "{byte}");
            }
        }
    }

    #[test]
    fn what_is_no_digit_is_found_at_every_distance() {
        for other in (0..=u8::MAX).filter(|byte| !byte.is_ascii_digit()) {
            check(next_other_than_digit, other, b'0');
            check(next_other_than_digit, other, b'9');
        }
        assert_eq!(next_other_than_digit(b"01234567890123456789", 1), 20);
    }

    #[test]
    fn bytes_stand_where_they_are_written() {
        let text = "\"a name of very many letters\":[\"and something\",1";
        for length in 0..text.len() {
            let written = Written::of(&text[..length]);
            for end in 0..text.len() {
                let stands = written.stands(&text.as_bytes()[..end], 0);
                assert_eq!(stands, length <= end, "{length} {end}");
            }
            let before = format!("...{text}");
            assert!(written.stands(before.as_bytes(), 3), "{length}");
            for place in 0..length {
                let mut other = text.as_bytes().to_vec();
                other[place] = b'#';
                assert!(!written.stands(&other, 0), "{length} {place}");
            }
        }
    }
}

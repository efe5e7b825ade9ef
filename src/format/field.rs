//! What single fields must be, and the words for what is wrong with them.

use dataflows::model::time::in_range;
use dataflows::model::{Decimal, EventTime};

use super::MAX_USER_BYTES;

/// What `type` says a record of the Segment shape is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// An event with a name of its own.
    Track,
    /// An event that is named after its type.
    View(&'static str),
    /// Attributes.
    Identify,
    /// Erasure.
    Delete,
}

const KINDS: [&str; 5] = ["track", "page", "screen", "identify", "delete"];

/// Reads the text of `type`.
pub(super) fn kind(text: &str) -> Result<Kind, String> {
    match text {
        "track" => Ok(Kind::Track),
        "page" => Ok(Kind::View("page")),
        "screen" => Ok(Kind::View("screen")),
        "identify" => Ok(Kind::Identify),
        "delete" => Ok(Kind::Delete),
        "group" => Err("group: account membership comes in a later version".into()),
        "alias" => Err("alias: identity merging comes in a later version".into()),
        other => Err(unknown_kind(other)),
    }
}

fn unknown_kind(text: &str) -> String {
    let shown: String = text.chars().take(40).collect();
    let lower = shown.to_lowercase();
    let near = |word: &&&str| strsim::damerau_levenshtein(&lower, word) <= 2;
    let nearest =
        KINDS.iter().filter(near).min_by_key(|word| strsim::damerau_levenshtein(&lower, word));
    let hint = nearest.map(|word| format!("; did you mean {word:?}?")).unwrap_or_default();
    format!("type: {shown:?} is none of {}{hint}", KINDS.join(", "))
}

/// A field has the wrong type.
pub(super) fn wrong_kind(label: &str, kind: &str, needed: &str) -> String {
    format!("{label}: {kind} where {needed} is needed")
}

/// A field that must be there is not.
pub(super) fn missing(label: &str) -> String {
    format!("{label}: missing")
}

/// A field that must say something does not.
pub(super) fn empty(label: &str) -> String {
    format!("{label}: empty")
}

/// Whether a user may have this name.
#[inline]
pub(super) fn is_user_name(name: &str) -> bool {
    (1..=MAX_USER_BYTES).contains(&name.len())
}

/// Checks the length of a user's name.
pub(super) fn user_name(label: &str, name: &str) -> Result<(), String> {
    match name.len() {
        0 => Err(empty(label)),
        1..=MAX_USER_BYTES => Ok(()),
        bytes => Err(format!("{label}: {bytes} bytes is beyond {MAX_USER_BYTES}")),
    }
}

/// Whether the text of a number is that of an integer.
pub(super) fn is_integer(number: &str) -> bool {
    !number.contains(['.', 'e', 'E'])
}

/// Reads epoch milliseconds; a fraction is cut off, towards the past.
pub(super) fn epoch_ms(label: &str, number: &str) -> Result<EventTime, String> {
    if let Ok(ms) = number.parse() {
        return in_range(ms).map_err(|reason| format!("{label}: {reason}"));
    }
    let decimal = Decimal::parse(number).map_err(|reason| format!("{label}: {reason}"))?;
    let ms = match decimal.floor() {
        Some(ms) => ms,
        None if decimal > Decimal::from(0) => return Err(far(label, number, "beyond 9999")),
        None => return Err(far(label, number, "before year 1")),
    };
    in_range(ms).map_err(|reason| format!("{label}: {reason}"))
}

/// Reads epoch milliseconds of the usual length, thirteen digits: the years 2001 to 2286.
#[inline]
pub(super) fn usual_epoch(number: &[u8]) -> Option<EventTime> {
    let thirteen = number.first_chunk::<13>().filter(|_| number.len() == 13)?;
    let (first, last) = (thirteen.first_chunk()?, thirteen.last_chunk()?);
    let (first, last) = (i64::from(eight_digits(*first)?), i64::from(eight_digits(*last)?));
    // Three digits are in both.
    Some(first / 1_000 * 100_000_000 + last)
}

const ONES: u64 = 0x0101_0101_0101_0101;
/// The number that eight digits are written for, if they are digits.
///
/// All eight are looked at together: neighbours are joined to two digits, to four, to eight.
#[inline]
fn eight_digits(eight: [u8; 8]) -> Option<u32> {
    let word = u64::from_le_bytes(eight);
    let halves = ONES * 0xf0;
    let above_nine = word.wrapping_add(ONES * 0x06);
    if (word & halves) | ((above_nine & halves) >> 4) != ONES * 0x33 {
        return None;
    }
    let digits = word & (ONES * 0x0f);
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    let all = (fours * 10_000 + (fours >> 32)) & 0xffff_ffff;
    u32::try_from(all).ok()
}

fn far(label: &str, number: &str, bound: &str) -> String {
    let shown: String = number.chars().take(40).collect();
    format!("{label}: {shown} ms since 1970 is {bound}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_type_is_answered_with_the_nearest() {
        assert_eq!(
            kind("trak").unwrap_err(),
            "type: \"trak\" is none of track, page, screen, identify, delete; \
             did you mean \"track\"?"
        );
        assert!(kind("Page").unwrap_err().ends_with("did you mean \"page\"?"));
        assert!(kind("purchase").unwrap_err().ends_with("identify, delete"));
        assert!(!kind("a\nb").unwrap_err().contains('\n'));
    }

    #[test]
    fn epoch_times_are_floored_and_bounded() {
        let read = |number: &str| {
            let usual = usual_epoch(number.as_bytes());
            assert!(usual.is_none_or(|ms| epoch_ms("timestamp", number) == Ok(ms)), "{number}");
            epoch_ms("timestamp", number)
        };
        assert_eq!(read("1767225600000"), Ok(1_767_225_600_000));
        for other in ["0767225600000", "176722560000", "17672256000001", "1767225600009"] {
            assert_eq!(read(other), Ok(other.parse().unwrap()));
        }
        assert!(read("17672256000x0").is_err());
        assert_eq!(read("-0.5"), Ok(-1));
        assert_eq!(read("1.7672256e12"), Ok(1_767_225_600_000));
        let year = "253433923200000";
        assert_eq!(read(year).unwrap_err(), "timestamp: year 10001 is beyond 9999");
        assert_eq!(read("1e30").unwrap_err(), "timestamp: 1e30 ms since 1970 is beyond 9999");
        assert_eq!(read("-1e30").unwrap_err(), "timestamp: -1e30 ms since 1970 is before year 1");
        assert!(read("1e9999").unwrap_err().contains("beyond 10^6144"));
    }

    #[test]
    fn eight_digits_are_digits() {
        for number in (0..100_000_000).step_by(9_973) {
            let digits = format!("{number:08}");
            assert_eq!(eight_digits(digits.as_bytes().try_into().unwrap()), Some(number));
        }
        for byte in (0..=u8::MAX).filter(|byte| !byte.is_ascii_digit()) {
            for place in 0..8 {
                for digit in [b'0', b'9'] {
                    let mut bytes = [digit; 8];
                    bytes[place] = byte;
                    assert_eq!(eight_digits(bytes), None, "{bytes:?}");
                }
            }
        }
    }
}

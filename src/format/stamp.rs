//! The usual spelling of a time, read fast: `2026-01-01T00:00:00.123Z`.

use dataflows::model::EventTime;
use dataflows::model::time::parse_time;

const DAYS_BEFORE_MONTH: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
const DAYS_IN_MONTH: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const DAYS_TO_1970: i64 = 719_162;

/// The instant that RFC 3339 text names.
///
/// # Errors
/// What is wrong with it.
pub fn instant(text: &str) -> Result<EventTime, String> {
    usual_time(text).map_or_else(|| parse_time(text), Ok)
}

/// The instant, if it is spelled `YYYY-MM-DDTHH:MM:SS`, perhaps three digits of a fraction, and
/// `Z`; `None` leaves the answer to [`parse_time`](dataflows::model::time::parse_time), which
/// agrees wherever this has one.
pub(super) fn usual_time(text: &str) -> Option<EventTime> {
    let bytes = text.as_bytes();
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if !matches!(bytes.len(), 20 | 24) || marks.iter().any(|(at, mark)| bytes[*at] != *mark) {
        return None;
    }
    let ms = match (bytes[19], bytes.last()) {
        (b'Z', _) if bytes.len() == 20 => 0,
        (b'.', Some(b'Z')) if bytes.len() == 24 => digits(&bytes[20..23])?,
        _ => return None,
    };
    let day = day(digits(&bytes[..4])?, digits(&bytes[5..7])?, digits(&bytes[8..10])?)?;
    let (hour, minute) = (digits(&bytes[11..13])?, digits(&bytes[14..16])?);
    let second = digits(&bytes[17..19])?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some((((day * 24 + hour) * 60 + minute) * 60 + second) * 1_000 + ms)
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0'))
    })
}

/// Days since 1970-01-01, in the Gregorian calendar.
fn day(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let index = usize::try_from(month - 1).ok()?;
    let longest = DAYS_IN_MONTH.get(index)? + i64::from(leap && month == 2);
    if year == 0 || !(1..=longest).contains(&day) {
        return None;
    }
    let past = year - 1;
    let days_before_year = past * 365 + past / 4 - past / 100 + past / 400;
    let days_before_month = DAYS_BEFORE_MONTH[index] + i64::from(leap && month > 2);
    Some(days_before_year + days_before_month + day - 1 - DAYS_TO_1970)
}

#[cfg(test)]
mod tests {
    use dataflows::model::time::{MAX_TIME, MIN_TIME, format_time, parse_time};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn agrees_on_every_day_of_the_calendar() {
        for time in (MIN_TIME..=MAX_TIME).step_by(86_399_993) {
            let text = format_time(time);
            assert_eq!(usual_time(&text), Some(time), "{text}");
        }
    }

    #[test]
    fn leaves_the_unusual_alone() {
        for text in ["2026-02-29T00:00:00Z", "2026-01-01T00:00:60Z", "2026-01-01t00:00:00z", "é"] {
            assert_eq!(usual_time(text), None);
        }
    }

    proptest! {
        #[test]
        fn never_disagrees(text in "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{3})?[Zz]") {
            if let Some(time) = usual_time(&text) {
                prop_assert_eq!(parse_time(&text), Ok(time));
            }
        }
    }
}

//! Event time and durations, in whole milliseconds.
//!
//! Event time is the dataflow's logical timestamp; there is no other clock in this crate.

use std::fmt;

use chrono::{DateTime, NaiveDate, SecondsFormat};
use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z, also the timestamp of the dataflow.
pub type EventTime = i64;

/// The first instant an event may carry: 0001-01-01T00:00:00Z. Records without a time that come
/// before any clock stands are applied here.
pub const MIN_TIME: EventTime = -62_135_596_800_000;

/// The last instant an event may carry: 9999-12-31T23:59:59.999Z.
pub const MAX_TIME: EventTime = 253_402_300_799_999;

const MS_PER_DAY: i64 = 86_400_000;

/// Reads RFC 3339: a date-time with its offset, or a full date, which means its midnight in UTC.
/// Digits beyond the millisecond are cut off, towards the past.
///
/// ```
/// use dataflows::model::time::parse_time;
/// assert_eq!(parse_time("2026-01-01T00:00:00.123Z"), Ok(1_767_225_600_123));
/// assert_eq!(parse_time("2026-01-01T01:00:00+01:00"), Ok(1_767_225_600_000));
/// assert_eq!(parse_time("2026-01-01"), Ok(1_767_225_600_000));
/// assert!(parse_time("yesterday").is_err());
/// ```
///
/// # Errors
/// One line that names the text and what would have been understood.
pub fn parse_time(text: &str) -> Result<EventTime, String> {
    let ms = if text.len() == "2026-01-01".len() {
        let date: NaiveDate = text.parse().map_err(|_| not_a_time(text))?;
        date.signed_duration_since(NaiveDate::default()).num_milliseconds()
    } else {
        DateTime::parse_from_rfc3339(text).map_err(|_| not_a_time(text))?.timestamp_millis()
    };
    in_range(ms)
}

fn not_a_time(text: &str) -> String {
    let shown: String = text.chars().take(40).collect();
    format!("{shown:?} is not an RFC 3339 time such as \"2026-01-01T00:00:00Z\"")
}

/// Accepts the time of an event iff it lies in the years 1 to 9999.
///
/// # Errors
/// One line that names the year and the bound it misses.
pub fn in_range(ms: EventTime) -> Result<EventTime, String> {
    if ms > MAX_TIME {
        Err(format!("{} is beyond 9999", year_or_ms(ms)))
    } else if ms < MIN_TIME {
        Err(format!("{} is before year 1", year_or_ms(ms)))
    } else {
        Ok(ms)
    }
}

fn year_or_ms(ms: EventTime) -> String {
    use chrono::Datelike;
    match DateTime::from_timestamp_millis(ms) {
        Some(time) => format!("year {}", time.year()),
        None => format!("{ms} ms since 1970"),
    }
}

/// Writes a time as `2026-01-01T00:02:00.000Z`; instants past the calendar are written as `<n>ms`.
pub fn format_time(time: EventTime) -> String {
    match DateTime::from_timestamp_millis(time) {
        Some(stamp) => stamp.to_rfc3339_opts(SecondsFormat::Millis, true),
        None => format!("{time}ms"),
    }
}

/// A length of event time, in milliseconds; never negative.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Duration(i64);

impl Duration {
    /// The longest a rule or setting may name: a hundred years of 365 days.
    pub const MAX: Duration = Duration(100 * 365 * MS_PER_DAY);
    /// Windows up to this length leave exactly to the millisecond; longer ones are rounded up to
    /// the granularity.
    pub const EXACT_WINDOW: Duration = Duration(MS_PER_DAY);

    /// A duration of so many milliseconds; negative counts are taken as zero.
    pub const fn from_ms(ms: i64) -> Self {
        Duration(if ms < 0 { 0 } else { ms })
    }

    /// Its length in milliseconds.
    pub const fn ms(self) -> i64 {
        self.0
    }

    /// Reads `250ms`, `10s`, `10m`, `24h`, `30d` (also `2w`).
    ///
    /// ```
    /// use dataflows::model::Duration;
    /// assert_eq!(Duration::parse("10m"), Ok(Duration::from_ms(600_000)));
    /// assert!(Duration::parse("10 minutes").is_err());
    /// ```
    ///
    /// # Errors
    /// One line that names the text and the forms that are understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        let error = || format!("{text:?} is not a duration such as 250ms, 10s, 10m, 24h or 30d");
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => MS_PER_DAY,
            "w" => 7 * MS_PER_DAY,
            _ => return Err(error()),
        };
        let count: i64 = number.parse().map_err(|_| error())?;
        match count.checked_mul(unit_ms) {
            Some(ms) if ms <= Self::MAX.0 => Ok(Duration(ms)),
            _ => Err(format!("{text:?} is beyond the longest duration, {}", Self::MAX)),
        }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(MS_PER_DAY, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
        let fitting = units.into_iter().find(|(unit, _)| self.0 != 0 && self.0 % unit == 0);
        match fitting {
            Some((unit, name)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}ms", self.0),
        }
    }
}

/// The instant at which an event at `time` leaves a trailing window: exactly `time + window` for
/// windows up to a day, rounded up to a multiple of `granularity` beyond.
///
/// An event counts at `now` iff `time <= now < leave_time(time, ..)`.
pub fn leave_time(time: EventTime, window: Duration, granularity: Duration) -> EventTime {
    let exact = time + window.ms();
    if window <= Duration::EXACT_WINDOW || granularity.ms() <= 1 {
        return exact;
    }
    let past = exact.rem_euclid(granularity.ms());
    if past == 0 { exact } else { exact + (granularity.ms() - past) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written_to_the_millisecond() {
        assert_eq!(parse_time("0001-01-01T00:00:00Z"), Ok(MIN_TIME));
        assert_eq!(parse_time("9999-12-31T23:59:59.999Z"), Ok(MAX_TIME));
        assert_eq!(format_time(MAX_TIME), "9999-12-31T23:59:59.999Z");
        assert_eq!(parse_time("1969-12-31T23:59:59.9999Z"), Ok(-1));
        assert_eq!(
            in_range(253_402_300_800_000 + 366 * MS_PER_DAY).unwrap_err(),
            "year 10001 is beyond 9999"
        );
        assert!(parse_time("2026-13-01T00:00:00Z").is_err());
        assert!(
            parse_time("2026-01-01T00:00:00").is_err(),
            "without an offset it names no instant"
        );
    }

    #[test]
    fn durations_round_trip() {
        for text in ["250ms", "10s", "10m", "24h", "30d", "0ms"] {
            let read = Duration::parse(text).unwrap();
            assert_eq!(Duration::parse(&read.to_string()), Ok(read));
        }
        assert!(Duration::parse("99999999999999d").is_err());
        assert!(Duration::parse("-1s").is_err());
        assert!(Duration::parse("").is_err());
    }

    #[test]
    fn only_windows_longer_than_a_day_are_rounded() {
        let minute = Duration::from_ms(60_000);
        assert_eq!(leave_time(1, Duration::EXACT_WINDOW, minute), 1 + MS_PER_DAY);
        let month = Duration::from_ms(30 * MS_PER_DAY);
        assert_eq!(leave_time(1, month, minute), 30 * MS_PER_DAY + 60_000);
        assert_eq!(leave_time(60_000, month, minute), 30 * MS_PER_DAY + 60_000);
        assert_eq!(leave_time(-1, month, minute), 30 * MS_PER_DAY);
    }
}

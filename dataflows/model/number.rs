//! Exact numbers: [`Decimal`] for values as they were written, [`Amount`] for sums that give back
//! exactly what was put in.
//!
//! No binary fraction appears anywhere: `0.1 + 0.2` is `0.3`, and a window that empties sums to
//! zero. The range and rounding of [`Decimal`] are IEEE 754 decimal128's: 34 significant digits.

mod amount;

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use amount::Amount;

/// Significant digits kept; further ones are rounded half to even.
pub const DIGITS: u32 = 34;
/// The largest power of ten a number may reach; beyond it the record is rejected.
pub const MAX_MAGNITUDE: i32 = 6_144;

/// A decimal number, exact to 34 significant digits. `1`, `1.0` and `10e-1` are the same number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Decimal(Repr);

/// Canonical: no trailing zero in the mantissa, zero is `Small { 0, 0 }`, `Small` wherever it fits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Repr {
    Small { mantissa: i64, exponent: i16 },
    Wide(Arc<(i128, i16)>),
}

impl Decimal {
    /// Reads a number as JSON writes it.
    ///
    /// ```
    /// use dataflows::model::Decimal;
    /// assert_eq!(Decimal::parse("1.0"), Decimal::parse("1"));
    /// assert!(Decimal::parse("42.17").unwrap() > Decimal::parse("-1e30").unwrap());
    /// assert!(Decimal::parse("1e9999").is_err());
    /// ```
    ///
    /// # Errors
    /// One line: not a number, or beyond 10^6144.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bytes = text.as_bytes();
        let not_a_number =
            || format!("{:?} is not a number", text.chars().take(40).collect::<String>());
        let negative = bytes.first() == Some(&b'-');
        let mut mantissa: i128 = 0;
        let mut digits: u32 = 0; // significant ones taken into the mantissa
        let mut exponent: i64 = 0;
        let mut rest = Rest::None;
        let mut seen_digit = false;
        let mut after_point = false;
        let mut at = usize::from(negative);
        while let Some(&byte) = bytes.get(at) {
            match byte {
                b'0'..=b'9' => {
                    seen_digit = true;
                    let digit = i128::from(byte - b'0');
                    if digits < DIGITS {
                        mantissa = mantissa * 10 + digit;
                        digits += u32::from(mantissa != 0);
                        exponent -= i64::from(after_point);
                    } else {
                        rest = rest.then(byte - b'0');
                        exponent += i64::from(!after_point);
                    }
                }
                b'.' if !after_point && seen_digit => after_point = true,
                b'e' | b'E' if seen_digit => {
                    let written = text.get(at + 1..).unwrap_or_default();
                    let written = match written.strip_prefix('+') {
                        Some(unsigned) if !unsigned.starts_with('-') => unsigned,
                        _ => written,
                    };
                    if !is_integer(written) {
                        return Err(not_a_number());
                    }
                    let unbounded = if written.starts_with('-') { i64::MIN } else { i64::MAX };
                    exponent = exponent.saturating_add(written.parse().unwrap_or(unbounded));
                    at = bytes.len();
                    continue;
                }
                _ => return Err(not_a_number()),
            }
            at += 1;
        }
        if !seen_digit {
            return Err(not_a_number());
        }
        mantissa += i128::from(rest.rounds_up(mantissa));
        let signed = if negative { -mantissa } else { mantissa };
        Self::build(signed, exponent).ok_or_else(|| {
            format!(
                "number {} is beyond 10^{MAX_MAGNITUDE}",
                text.chars().take(40).collect::<String>()
            )
        })
    }

    fn build(mut mantissa: i128, mut exponent: i64) -> Option<Self> {
        if mantissa == 0 {
            return Some(Decimal(Repr::Small { mantissa: 0, exponent: 0 }));
        }
        while mantissa % 10 == 0 {
            mantissa /= 10;
            exponent = exponent.saturating_add(1);
        }
        let magnitude = exponent.saturating_add(i64::from(mantissa.unsigned_abs().ilog10()));
        if magnitude > i64::from(MAX_MAGNITUDE) {
            return None;
        }
        if magnitude < -i64::from(MAX_MAGNITUDE) {
            return Self::build(0, 0); // closer to zero than anything we tell apart
        }
        let exponent = i16::try_from(exponent).ok()?;
        Some(Decimal(match i64::try_from(mantissa) {
            Ok(mantissa) => Repr::Small { mantissa, exponent },
            Err(_) => Repr::Wide(Arc::new((mantissa, exponent))),
        }))
    }

    /// Mantissa and power of ten, if the mantissa is an `i64`.
    pub(crate) fn small_parts(&self) -> Option<(i64, i16)> {
        match self.0 {
            Repr::Small { mantissa, exponent } => Some((mantissa, exponent)),
            Repr::Wide(_) => None,
        }
    }

    /// The number `mantissa * 10^exponent`, from parts as they were given out.
    pub(crate) fn from_parts(mantissa: i64, exponent: i16) -> Self {
        Decimal(Repr::Small { mantissa, exponent })
    }

    fn parts(&self) -> (i128, i32) {
        match &self.0 {
            Repr::Small { mantissa, exponent } => (i128::from(*mantissa), i32::from(*exponent)),
            Repr::Wide(wide) => (wide.0, i32::from(wide.1)),
        }
    }

    /// The whole number it is, rounded towards the past (down), if it fits.
    pub fn floor(&self) -> Option<i64> {
        let (mantissa, exponent) = self.parts();
        let scale = 10_i128.checked_pow(exponent.unsigned_abs());
        let whole = match (scale, exponent >= 0) {
            (Some(scale), true) => mantissa.checked_mul(scale)?,
            (Some(scale), false) => mantissa.div_euclid(scale),
            (None, true) => return None,
            (None, false) => -i128::from(mantissa < 0),
        };
        i64::try_from(whole).ok()
    }
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// What the digits beyond the kept ones amount to, for rounding half to even.
#[derive(Clone, Copy, PartialEq)]
enum Rest {
    None,
    BelowHalf,
    Half,
    AboveHalf,
}

impl Rest {
    fn then(self, digit: u8) -> Rest {
        match (self, digit) {
            (Rest::None, 5) => Rest::Half,
            (Rest::None, 0..=4) => Rest::BelowHalf,
            (Rest::None, _) => Rest::AboveHalf,
            (Rest::Half, 1..) => Rest::AboveHalf,
            (kept, _) => kept,
        }
    }

    fn rounds_up(self, mantissa: i128) -> bool {
        match self {
            Rest::None | Rest::BelowHalf => false,
            Rest::Half => mantissa % 2 != 0,
            Rest::AboveHalf => true,
        }
    }
}

impl From<i64> for Decimal {
    fn from(value: i64) -> Self {
        Decimal::build(i128::from(value), 0)
            .unwrap_or(Decimal(Repr::Small { mantissa: 0, exponent: 0 }))
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let ((left, left_exponent), (right, right_exponent)) = (self.parts(), other.parts());
        if left_exponent == right_exponent {
            return left.cmp(&right);
        }
        let by_sign = left.signum().cmp(&right.signum());
        if by_sign.is_ne() || left == 0 {
            return by_sign;
        }
        let magnitude =
            |mantissa: i128, exponent: i32| mantissa.unsigned_abs().ilog10() as i32 + exponent;
        let by_magnitude = magnitude(left, left_exponent).cmp(&magnitude(right, right_exponent));
        let absolute = by_magnitude.then_with(|| {
            // Same magnitude, so the exponents differ by less than the digits: aligning fits.
            let least = left_exponent.min(right_exponent);
            let align = |mantissa: i128, exponent: i32| {
                mantissa.abs() * 10_i128.pow((exponent - least).unsigned_abs())
            };
            align(left, left_exponent).cmp(&align(right, right_exponent))
        });
        if left < 0 { absolute.reverse() } else { absolute }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mantissa, exponent) = self.parts();
        let digits = mantissa.unsigned_abs().to_string();
        let sign = if mantissa < 0 { "-" } else { "" };
        let point = digits.len() as i32 + exponent;
        match exponent {
            0..=20 => write!(f, "{sign}{digits}{}", "0".repeat(exponent.unsigned_abs() as usize)),
            -40..=-1 if point > 0 => {
                let (whole, fraction) = digits.split_at(point.unsigned_abs() as usize);
                write!(f, "{sign}{whole}.{fraction}")
            }
            -40..=-1 => write!(f, "{sign}0.{}{digits}", "0".repeat(point.unsigned_abs() as usize)),
            _ => write!(f, "{sign}{digits}e{exponent}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn number(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn one_number_has_one_form() {
        for same in
            [["1", "1.0"], ["10", "1e1"], ["0", "-0.000"], ["0.5", "5E-1"], ["100", "1.00e+2"]]
        {
            assert_eq!(number(same[0]), number(same[1]), "{same:?}");
        }
        assert_ne!(number("9007199254740993"), number("9007199254740992"));
        assert_ne!(number("18446744073709551615"), number("18446744073709551614"));
    }

    #[test]
    fn order_is_by_value() {
        let sorted = [
            "-1e6144",
            "-18446744073709551616",
            "-1.5",
            "-1.49",
            "0",
            "1e-6143",
            "0.1",
            "0.11",
            "2",
            "10",
            "9007199254740993",
            "1e30",
        ];
        for pair in sorted.windows(2) {
            assert!(number(pair[0]) < number(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn what_is_not_a_number_is_refused() {
        for text in
            ["", "-", ".5", "1..2", "1e", "0x1", "1e9999", "1e99999999999999999999", "NaN", "1e+-5"]
        {
            assert!(Decimal::parse(text).is_err(), "{text}");
        }
        assert_eq!(number("1e-99999999999999999999"), number("0"));
    }

    #[test]
    fn digits_beyond_34_round_half_to_even() {
        let kept = "1".repeat(34);
        assert_eq!(number(&format!("{kept}5")), number(&format!("{}20", &kept[..33])));
        assert_eq!(number(&format!("{kept}4")), number(&format!("{kept}0")));
        assert_eq!(number(&format!("{kept}05")), number(&format!("{kept}00")));
    }

    #[test]
    fn numbers_print_as_people_write_them() {
        for text in ["0", "1", "-1.5", "42.17", "0.000001", "1000", "18446744073709551616"] {
            assert_eq!(number(text).to_string(), text);
        }
        assert_eq!(Amount::whole(12).to_string(), "12");
    }

    #[test]
    fn floor_goes_down() {
        assert_eq!(number("1.9").floor(), Some(1));
        assert_eq!(number("-1.1").floor(), Some(-2));
        assert_eq!(number("-1e-3000").floor(), Some(-1));
        assert_eq!(number("1e30").floor(), None);
    }
}

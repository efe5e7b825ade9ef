//! Numbers in sums: whole counts of millionths.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Decimal, Repr};

/// A number inside an aggregate: a whole count of millionths. Adding and taking away again gives
/// exactly what was there before.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[repr(C, packed(8))]
pub struct Amount(i128);

impl Amount {
    /// Decimal places kept.
    pub const PLACES: i32 = 6;
    /// No amount.
    pub const ZERO: Amount = Amount(0);
    /// A single amount stays below 10^21, so that 10^11 of them can be summed.
    pub const LIMIT_MICROS: i128 = 1_000_000_000_000_000_000_000_000_000;

    /// An amount of so many millionths.
    pub const fn from_micros(micros: i128) -> Self {
        Amount(micros)
    }

    /// How many millionths it is.
    pub const fn micros(self) -> i128 {
        self.0
    }

    /// A whole number.
    pub const fn whole(count: i64) -> Self {
        Amount(count as i128 * 1_000_000)
    }

    /// This and `other` together.
    #[must_use]
    pub const fn plus(self, other: Amount) -> Self {
        Amount(self.0 + other.0)
    }

    /// This without `other`.
    #[must_use]
    pub const fn minus(self, other: Amount) -> Self {
        Amount(self.0 - other.0)
    }

    /// The same number as a [`Decimal`].
    pub fn to_decimal(self) -> Decimal {
        let zero = Decimal(Repr::Small { mantissa: 0, exponent: 0 });
        Decimal::build(self.0, -i64::from(Self::PLACES)).unwrap_or(zero)
    }
}

impl PartialOrd for Amount {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Amount {
    fn cmp(&self, other: &Self) -> Ordering {
        self.micros().cmp(&other.micros())
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.to_decimal(), f)
    }
}

impl Decimal {
    /// The number to six places, half to even; `None` from 10^21 on, where sums could overflow.
    pub fn to_amount(&self) -> Option<Amount> {
        let (mantissa, exponent) = self.parts();
        let shift = exponent + Amount::PLACES;
        let micros = if shift >= 0 {
            let scale = 10_i128.checked_pow(shift.unsigned_abs())?;
            mantissa.checked_mul(scale)?
        } else {
            match 10_i128.checked_pow(shift.unsigned_abs()) {
                Some(scale) => divide_half_even(mantissa, scale),
                None => 0,
            }
        };
        (micros.abs() < Amount::LIMIT_MICROS).then_some(Amount(micros))
    }

    /// The number as an [`Amount`] if nothing is lost by it.
    pub fn to_amount_exactly(&self) -> Option<Amount> {
        let (_, exponent) = self.parts();
        (exponent >= -Amount::PLACES).then(|| self.to_amount()).flatten()
    }
}

fn divide_half_even(value: i128, scale: i128) -> i128 {
    let (quotient, remainder) = (value.div_euclid(scale), value.rem_euclid(scale));
    let up = match remainder.cmp(&(scale - remainder)) {
        Ordering::Less => false,
        Ordering::Greater => true,
        Ordering::Equal => quotient % 2 != 0,
    };
    quotient + i128::from(up)
}

#[cfg(test)]
mod tests {
    use super::super::tests::number;
    use super::*;

    #[test]
    fn amounts_round_half_to_even_at_six_places() {
        for (text, micros) in [
            ("0.0000005", 0),
            ("0.0000015", 2),
            ("-0.0000025", -2),
            ("-0.0000035", -4),
            ("42.17", 42_170_000),
            ("1e-300", 0),
        ] {
            assert_eq!(number(text).to_amount(), Some(Amount::from_micros(micros)), "{text}");
        }
        assert_eq!(number("1e21").to_amount(), None);
        assert!(number("999999999999999999999").to_amount().is_some());
        assert_eq!(number("0.0000001").to_amount_exactly(), None);
    }
}

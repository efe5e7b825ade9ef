//! One attribute of one user in eight bytes.
//!
//! A number of up to 14 digits stands in the cell itself; text, longer numbers, lists and objects
//! stand in the [`Pool`].

use super::pool::{Pool, ValueId};
use crate::model::{Decimal, Value};

/// A value (see the module).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cell {
    /// Never set, or set to null.
    #[default]
    Missing,
    /// `true` or `false`.
    Flag(bool),
    /// A short number.
    Number(Short),
    /// A number that is not short.
    Wide(ValueId),
    /// Text.
    Text(ValueId),
    /// A list or an object.
    Compound(ValueId),
}

/// A decimal of at most 14 digits and moderate size. As `f64`s, two of them compare as they do:
/// both have fewer than the 15 digits that always survive the way through an `f64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Short {
    mantissa: [u8; 6],
    exponent: i8,
}

/// The mantissa of a short number is below this.
const SHORT_LIMIT: i64 = 100_000_000_000_000;

const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

impl Short {
    /// A number, if it is short.
    pub fn new(number: &Decimal) -> Option<Self> {
        let (mantissa, exponent) = number.small_parts()?;
        let is_short =
            mantissa.abs() < SHORT_LIMIT && POWERS.len() > exponent.unsigned_abs().into();
        let [a, b, c, d, e, f, ..] = mantissa.to_le_bytes();
        let exponent = i8::try_from(exponent).ok().filter(|_| is_short)?;
        Some(Short { mantissa: [a, b, c, d, e, f], exponent })
    }

    fn mantissa(self) -> i64 {
        let [a, b, c, d, e, f] = self.mantissa;
        // The sign is in the highest bit: shifted up and down again, it fills the rest.
        i64::from_le_bytes([0, 0, a, b, c, d, e, f]) >> 16
    }

    /// As an `f64`, correctly rounded: mantissa and power of ten are exact, one operation rounds.
    pub fn to_f64(self) -> f64 {
        let mantissa = self.mantissa() as f64;
        let power = POWERS[usize::from(self.exponent.unsigned_abs())];
        if self.exponent < 0 { mantissa / power } else { mantissa * power }
    }

    fn to_decimal(self) -> Decimal {
        Decimal::from_parts(self.mantissa(), self.exponent.into())
    }
}

impl Cell {
    /// The cell of a value, with a use of the pool if it stands there.
    pub fn new(value: &Value, pool: &mut Pool) -> Self {
        match value {
            Value::Null => Cell::Missing,
            Value::Bool(flag) => Cell::Flag(*flag),
            Value::Number(number) => {
                Short::new(number).map_or_else(|| Cell::Wide(pool.take(value)), Cell::Number)
            }
            Value::Text(_) => Cell::Text(pool.take(value)),
            Value::List(_) | Value::Object(_) => Cell::Compound(pool.take(value)),
        }
    }

    /// Its place in the pool, if it has one.
    pub fn pooled(self) -> Option<ValueId> {
        match self {
            Cell::Wide(id) | Cell::Text(id) | Cell::Compound(id) => Some(id),
            Cell::Missing | Cell::Flag(_) | Cell::Number(_) => None,
        }
    }

    /// Gives back the use of the pool, once the visit is over.
    pub fn retire(self, pool: &mut Pool) {
        self.pooled().into_iter().for_each(|id| pool.retire(id));
    }

    /// The value; `None` where it is missing.
    pub fn value(self, pool: &Pool) -> Option<Value> {
        match self {
            Cell::Missing => None,
            Cell::Flag(flag) => Some(Value::Bool(flag)),
            Cell::Number(short) => Some(Value::Number(short.to_decimal())),
            Cell::Wide(id) | Cell::Text(id) | Cell::Compound(id) => Some(pool.get(id).clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Value {
        Value::Number(Decimal::parse(text).unwrap())
    }

    #[test]
    fn a_cell_is_eight_bytes_and_gives_back_what_was_put_in() {
        assert_eq!(size_of::<Cell>(), 8);
        let mut pool = Pool::default();
        let numbers = ["0", "-1", "42.17", "99999999999999", "-99999999999999e22", "1e-22"];
        let long = ["100000000000001", "1e23", "-1.5e-30", "12345678901234567890"];
        for text in numbers.into_iter().chain(long) {
            let cell = Cell::new(&number(text), &mut pool);
            assert_eq!(matches!(cell, Cell::Number(_)), numbers.contains(&text), "{text}");
            assert_eq!(cell.value(&pool), Some(number(text)));
        }
        for value in [Value::Bool(true), Value::text(""), Value::List([Value::Null].into())] {
            assert_eq!(Cell::new(&value, &mut pool).value(&pool), Some(value));
        }
        assert_eq!(Cell::new(&Value::Null, &mut pool).value(&pool), None);
    }

    #[test]
    fn short_numbers_compare_as_their_floats() {
        let mut digits = 1_u64;
        let mut next = || {
            digits = digits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            digits >> 20
        };
        let mut numbers = vec!["0.1".to_owned(), "0.3".into(), "0.30000000000001".into()];
        for _ in 0..300 {
            let (mantissa, exponent) = (next() % 100_000_000_000_000, next() % 45);
            numbers.push(format!(
                "{}{mantissa}e{}",
                ["", "-"][next() as usize % 2],
                exponent as i64 - 22
            ));
            numbers.push(format!("{}e-2", mantissa % 1_000));
        }
        let parsed: Vec<Decimal> = numbers.iter().map(|it| Decimal::parse(it).unwrap()).collect();
        let short: Vec<_> =
            parsed.iter().filter_map(|it| Some((it, Short::new(it)?.to_f64()))).collect();
        assert!(short.len() > 300);
        for (left, as_float) in &short {
            for (right, other) in &short {
                assert_eq!(Some(left.cmp(right)), as_float.partial_cmp(other), "{left} {right}");
            }
        }
    }
}

//! From scanned text to values.

use std::sync::Arc;

use dataflows::model::{Decimal, Value};

use super::raw::Raw;
use super::scan::{Fault, Scan};

/// The value of a text that has been scanned before, so that its nesting is bounded.
pub(super) fn tree(raw: Raw<'_>) -> Result<Value, Fault> {
    Ok(match raw.first() {
        b'"' => Value::Text(raw.decode()?.into()),
        b'{' => {
            let mut members: Vec<(Arc<str>, Value)> = Vec::new();
            Scan::new(raw.text).members(|key, value| {
                members.push((key.decode()?.into(), tree(value)?));
                Ok(())
            })?;
            Value::object(members)
        }
        b'[' => {
            let mut items = Vec::new();
            Scan::new(raw.text).items(|item| {
                items.push(tree(item)?);
                Ok(())
            })?;
            Value::List(items.into())
        }
        b't' | b'f' => Value::Bool(raw.first() == b't'),
        b'n' => Value::Null,
        _ => Value::Number(Decimal::parse(raw.text).map_err(Fault::Reason)?),
    })
}

/// Refuses a number beyond the range of numbers, wherever it stands in the value.
pub(super) fn check_numbers(raw: Raw<'_>) -> Result<(), Fault> {
    match raw.first() {
        b'{' => Scan::new(raw.text).members(|_, value| check_numbers(value)),
        b'[' => Scan::new(raw.text).items(check_numbers),
        b'"' | b't' | b'f' | b'n' => Ok(()),
        _ => Decimal::parse(raw.text).map(|_| ()).map_err(Fault::Reason),
    }
}

//! JSON objects with a checksum of their own.
//!
//! The last member is `checksum`: the XXH3-64 of the text as it would be without that member. Such
//! a file is read byte for byte as it was written: one that was changed by hand is not used.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use xxhash_rust::xxh3::xxh3_64;

use super::{Place, StateError};

/// What comes between the rest of the text and the digits of its checksum, and after these.
const SUM_START: &str = ",\n  \"checksum\": \"";
const SUM_END: &str = "\"\n}\n";

/// The file of an object that has a member `format`, its version.
///
/// # Panics
/// If it cannot be written as JSON: maps must have text for keys.
pub(super) fn seal(object: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_string_pretty(object).expect("an object of JSON");
    let sum = xxh3_64(text.as_bytes());
    text.truncate(text.len() - "\n}".len());
    text.push_str(&format!("{SUM_START}{sum:016x}{SUM_END}"));
    text.into_bytes()
}

/// Understands the file of an object; `name` is for messages.
///
/// # Errors
/// It is damaged, or of another version.
pub(super) fn open<T: DeserializeOwned>(
    name: &str,
    bytes: &[u8],
    version: u32,
) -> Result<T, StateError> {
    let damaged = |what: String| {
        let place = Place::Whole;
        StateError::Damaged { name: name.to_owned(), place, what }
    };
    let Some((rest, stated)) = parted(bytes) else {
        let what = "it does not end with a checksum: it was cut short or changed";
        return Err(damaged(what.to_owned()));
    };
    let sum = format!("{:016x}", xxh3_64(&rest));
    if stated != sum.as_bytes() {
        return Err(damaged("its checksum is not that of its text".to_owned()));
    }
    let wrong = |error: serde_json::Error| damaged(format!("it is not what it should be: {error}"));
    let tree: Json = serde_json::from_slice(&rest).map_err(wrong)?;
    match tree.get("format").and_then(Json::as_u64) {
        Some(found) if found != u64::from(version) => {
            let (name, known) = (name.to_owned(), version.into());
            Err(StateError::Version { name, found, known })
        }
        _ => serde_json::from_value(tree).map_err(wrong),
    }
}

/// The text without the member `checksum`, and the digits of that.
fn parted(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let before = bytes.strip_suffix(SUM_END.as_bytes())?;
    let (before, digits) = before.split_at_checked(before.len().checked_sub(16)?)?;
    let rest = before.strip_suffix(SUM_START.as_bytes())?;
    Some(([rest, b"\n}"].concat(), digits))
}

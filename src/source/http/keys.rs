//! Write keys: who may send. They are kept as hashes, compared in constant time, and never shown.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

/// What a hash is written after, where a key is not written out.
pub const HASH: &str = "sha256:";

/// The hash of a write key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct WriteKey([u8; SHA256_OUTPUT_LEN]);

impl fmt::Debug for WriteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(write key)")
    }
}

impl WriteKey {
    /// Understands a write key, or `sha256:` and the 64 hexadecimal digits of its hash. `None` if
    /// it is neither.
    ///
    /// ```
    /// use rivulet::source::http::WriteKey;
    /// let hash = "sha256:2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683";
    /// assert_eq!(WriteKey::parse(hash), WriteKey::parse("key"));
    /// assert_eq!(WriteKey::parse("sha256:2c70"), None);
    /// assert_eq!(WriteKey::parse(""), None);
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        let Some(digits) = text.strip_prefix(HASH) else {
            return (!text.is_empty()).then(|| WriteKey::of(text));
        };
        let mut hash = [0; SHA256_OUTPUT_LEN];
        if digits.len() != 2 * hash.len() {
            return None;
        }
        for (at, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(WriteKey(hash))
    }

    fn of(key: &str) -> Self {
        let mut hash = [0; SHA256_OUTPUT_LEN];
        hash.copy_from_slice(digest(&SHA256, key.as_bytes()).as_ref());
        WriteKey(hash)
    }
}

/// The keys that may send; without any, everyone may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteKeys(pub Vec<WriteKey>);

impl WriteKeys {
    /// Whether someone who shows this may send.
    pub(super) fn admit(&self, shown: Option<&str>) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let Some(shown) = shown.map(WriteKey::of) else { return false };
        // All are looked at, whichever it is.
        let is_same = |key: &WriteKey| verify_slices_are_equal(&key.0, &shown.0).is_ok();
        self.0.iter().filter(|key| is_same(key)).count() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_who_know_a_key_may_send() {
        let keys = WriteKeys(["one", "two"].iter().filter_map(|it| WriteKey::parse(it)).collect());
        assert!(keys.admit(Some("one")) && keys.admit(Some("two")));
        assert!(!keys.admit(Some("on")) && !keys.admit(Some("")) && !keys.admit(None));
        assert!(WriteKeys::default().admit(None) && WriteKeys::default().admit(Some("any")));
        assert!(!format!("{keys:?}").contains('1'));
    }
}

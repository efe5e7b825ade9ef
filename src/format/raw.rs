//! A piece of a record as it is written.

use std::borrow::Cow;

use super::scan::Fault;
use super::structure;

/// One value as it is written, without the blanks around it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Raw<'a> {
    /// The text, of a string with its quotes.
    pub(super) text: &'a str,
    /// Whether it is a string with a backslash in it.
    pub(super) escaped: bool,
}

impl<'a> Raw<'a> {
    /// The first byte, which tells the kind of value.
    pub(super) fn first(&self) -> u8 {
        self.text.as_bytes().first().copied().unwrap_or(b' ')
    }

    /// What kind of value it is, in one word, for messages.
    pub(super) fn kind(&self) -> &'static str {
        structure::kind(self.text.as_bytes().first())
    }

    /// The text a string stands for.
    #[inline]
    pub(super) fn decode(&self) -> Result<Cow<'a, str>, Fault> {
        if self.escaped {
            return self.unescape().map(Cow::Owned);
        }
        let inner = self.text.get(1..self.text.len().saturating_sub(1));
        inner.map(Cow::Borrowed).ok_or(Fault::Structure)
    }

    #[cold]
    fn unescape(&self) -> Result<String, Fault> {
        serde_json::from_str(self.text).map_err(|_| Fault::Structure)
    }
}

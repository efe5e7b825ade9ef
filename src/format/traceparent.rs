//! `traceparent` of W3C Trace Context: of which trace a record is a part, where whoever sent it says
//! so.
//!
//! ```text
//! 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
//! version  trace                        span that sent it  flags: 1 is sampled
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the header of a request or a record is called.
pub const TRACEPARENT: &str = "traceparent";
/// How long one of version 00 is; those to come may be longer.
const LENGTH: usize = 55;
const SAMPLED: u8 = 1;

/// The trace a record is a part of, and the span that sent it. Whoever began it has it sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceParent {
    /// The trace.
    pub trace: u128,
    /// The span.
    pub span: u64,
}

impl TraceParent {
    /// Reads it, by the rules of W3C: what is malformed is as if it were not there. Nor is what is
    /// not sampled: it is not to be followed.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (own, rest) = text.split_at_checked(LENGTH)?;
        let ([b'-', ..] | []) = rest else { return None };
        let mut parts = own.split(|byte| *byte == b'-');
        let mut next = |digits| hex(parts.next()?, digits);
        let (version, trace, span, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        let is_known = version != 0xff && (version > 0 || rest.is_empty());
        let flags = u8::try_from(flags).ok()?;
        let it = TraceParent { trace, span: u64::try_from(span).ok()? };
        let is_valid = is_known && it.trace > 0 && it.span > 0;
        (is_valid && flags & SAMPLED > 0).then_some(it)
    }

    /// That of a record that begins with [a member](fmt::Display) that says it.
    pub fn of_record(record: &[u8]) -> Option<Self> {
        let rest = record.strip_prefix(br#"{"traceparent":""#)?;
        let (text, rest) = rest.split_at_checked(LENGTH)?;
        rest.starts_with(b"\"").then(|| Self::parse(text))?
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-01", self.trace, self.span)
    }
}

/// So many digits, of which letters are small.
fn hex(text: &[u8], digits: usize) -> Option<u128> {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let text = Some(text).filter(|it| it.len() == digits && it.iter().all(is_digit))?;
    u128::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn parse(text: &str) -> Option<TraceParent> {
        TraceParent::parse(text.as_bytes())
    }

    #[test]
    fn it_is_read_as_it_is_written() {
        let parent = parse(GOOD).unwrap();
        let expected = TraceParent {
            trace: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c,
            span: 0xb7ad_6b71_6920_3331,
        };
        assert_eq!((parent, parent.to_string().as_str()), (expected, GOOD));
        let record = format!(r#"{{"traceparent":"{GOOD}","type":"track"}}"#);
        assert_eq!(TraceParent::of_record(record.as_bytes()), Some(parent));
        for end in 0..16 + GOOD.len() + 1 {
            assert_eq!(TraceParent::of_record(&record.as_bytes()[..end]), None);
        }
        // Flags nobody knows yet, and a version that is to come and has more to say.
        assert_eq!(parse(&GOOD.replace("-01", "-ff")), Some(parent));
        assert_eq!(parse(&GOOD.replace("00-0af", "cc-0af")), Some(parent));
        assert_eq!(
            parse(&format!("{}-what-the-future", GOOD.replace("00-0af", "cc-0af"))),
            Some(parent)
        );
    }

    #[test]
    fn what_is_malformed_or_not_sampled_is_nothing() {
        let good = |from, to| GOOD.replacen(from, to, 1);
        for text in [
            String::new(),
            good("-01", "-00"),
            good("-01", "-02"),
            good("-01", ""),
            good("-01", "-1"),
            good("-01", "-01-more"),
            good("-01", "-01."),
            good("00-", "ff-"),
            good("00-", "0-"),
            good("00-", "0g-"),
            good("0af7651916cd43dd8448eb211c80319c", "00000000000000000000000000000000"),
            good("0af7651916cd43dd8448eb211c80319c", "0AF7651916CD43DD8448EB211C80319C"),
            good("b7ad6b7169203331", "0000000000000000"),
            good("b7ad6b7169203331", "+7ad6b7169203331"),
            good("-b7ad", "_b7ad"),
            good("00-0af", "cc.0af"),
            format!(" {GOOD}"),
            format!("{GOOD} "),
            format!("{}.what", good("00-0af", "cc-0af")),
        ] {
            assert_eq!(parse(&text), None, "{text:?}");
        }
    }
}

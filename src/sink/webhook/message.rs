//! A batch as it is posted, its identifier and its signature, by the Standard Webhooks
//! specification.
//!
//! `webhook-id` is the same whenever the batch is posted. `webhook-signature` is `v1,` and, in
//! base64, the HMAC-SHA256 of `{webhook-id}.{webhook-timestamp}.{body}`; the key is what follows
//! `whsec_` in the secret, out of base64.

use std::fmt::Write as _;

use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;

use crate::sink::delivery::Item;
use crate::sink::line;

const SECRET_PREFIX: &str = "whsec_";
/// What the specification allows a key to be; it asks for 24 bytes at least, others take 16.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 16..=64;

/// A batch as it is posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) body: String,
}

#[derive(Serialize)]
struct Head<'a> {
    r#type: &'static str,
    job: &'a str,
    sink: &'a str,
}

impl Message {
    /// The batch of these differences. Its identifier is a hash of all that it holds.
    pub(super) fn of(job: &str, sink: &str, batch: &[Item]) -> Self {
        // Text in known fields: there is nothing that cannot be written.
        let head = Head { r#type: "differences", job, sink };
        let mut body = serde_json::to_vec(&head).unwrap_or_default();
        body.pop();
        body.extend_from_slice(b",\"data\":[");
        for item in batch {
            if let Item::Difference(difference) = item {
                line::json_difference(difference, &mut body);
                body.pop();
                body.push(b',');
            }
        }
        if body.last() == Some(&b',') {
            body.pop();
        }
        body.extend_from_slice(b"]}");
        let hash = digest::digest(&digest::SHA256, &body);
        let mut id = "msg_".to_owned();
        for byte in &hash.as_ref()[..16] {
            let _ = write!(id, "{byte:02x}");
        }
        Message { id, body: String::from_utf8_lossy(&body).into_owned() }
    }
}

/// What batches are signed with.
pub(super) struct Key(hmac::Key);

impl Key {
    /// Understands a secret.
    pub(super) fn read(secret: &str) -> Option<Self> {
        let bytes = BASE64_STANDARD.decode(secret.strip_prefix(SECRET_PREFIX)?).ok()?;
        let is_fit = KEY_BYTES.contains(&bytes.len());
        is_fit.then(|| Key(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// The signature of a message that is posted now, in seconds since 1970.
    pub(super) fn sign(&self, message: &Message, now: u64) -> String {
        let mut signed = hmac::Context::with_key(&self.0);
        signed.update(format!("{}.{now}.", message.id).as_bytes());
        signed.update(message.body.as_bytes());
        format!("v1,{}", BASE64_STANDARD.encode(signed.sign()))
    }
}

#[cfg(test)]
mod tests {
    use dataflows::model::{Difference, Sign};

    use super::*;

    fn message(times: std::ops::Range<i64>) -> Message {
        let difference = |time| Difference {
            time,
            segment: "s".into(),
            user: "u".into(),
            sign: if time % 2 == 0 { Sign::Entered } else { Sign::Left },
        };
        let items: Vec<_> = times.map(difference).map(Item::Difference).collect();
        Message::of("shop", "crm", &items)
    }

    #[test]
    fn the_identifier_is_that_of_the_content() {
        let body = r#"{"type":"differences","job":"shop","sink":"crm","data":[{"time":2,"segment":"s","user":"u","diff":1}]}"#;
        assert_eq!(message(2..3).body, body);
        assert_eq!(message(2..4).id, message(2..4).id);
        assert!(message(2..4).id != message(2..5).id);
    }

    /// The example of the specification's own libraries.
    #[test]
    fn the_signature_is_that_of_the_specification() {
        let key = Key::read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let message = Message {
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek".into(),
            body: r#"{"test": 2432232314}"#.into(),
        };
        let signed = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(key.sign(&message, 1_614_265_330), signed);
        assert!(Key::read("hunter2").is_none() && Key::read("whsec_c2hvcnQ=").is_none());
    }
}

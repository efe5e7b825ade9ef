//! What sources and sinks of Kafka tell people of librdkafka: never a secret.

use std::collections::BTreeMap;

use rdkafka::error::KafkaError;

/// Text in which no secret of these settings stands.
pub fn redact(options: &BTreeMap<String, String>, text: &str) -> String {
    let mut text = text.to_owned();
    let secrets = options.iter().filter(|(key, value)| is_secret(key) && value.len() > 2);
    secrets.for_each(|(_, value)| text = text.replace(value, "…"));
    text
}

/// Why settings were not accepted.
pub fn refusal(options: &BTreeMap<String, String>, error: &KafkaError) -> String {
    let reason = match error {
        KafkaError::ClientConfig(_, reason, _, _) => reason.clone(),
        other => other.to_string(),
    };
    redact(options, &reason)
}

/// The reason in a line of librdkafka's log: `[thrd:…]: host:port/1: Connect to … failed: …`.
pub fn reason(said: &str) -> &str {
    said.split_once("]: ").map_or(said, |(_, reason)| reason)
}

fn is_secret(key: &str) -> bool {
    ["password", "secret", "pem", "token", "sasl.oauthbearer.config"]
        .iter()
        .any(|word| key.contains(word))
}

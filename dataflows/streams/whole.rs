//! Events kept whole: name and all properties, in few bytes, for those who ask of them later.

use thin_vec::ThinVec;

use super::{Streams, Take};
use crate::codec::{Entries, write};
use crate::model::{Payload, StreamId, Value};

/// An event as it is kept whole.
pub(super) fn whole(name: &str, properties: &Value) -> ThinVec<u8> {
    let mut bytes = Vec::new();
    write(name, &mut bytes);
    write(properties, &mut bytes);
    let mut exact = ThinVec::with_capacity(bytes.len());
    exact.extend_from_slice(&bytes);
    exact
}

impl Streams {
    /// What these streams take from an event that was kept whole, as if they had been asked when it
    /// was read. Costs reading its name; its properties only where a stream may take it.
    pub fn payloads(&self, whole: &[u8], streams: &[StreamId]) -> Vec<(StreamId, Payload)> {
        const READABLE: &str = "an event that was kept whole can be read";
        let mut entries = Entries::new(whole);
        let name: String = entries.read().map_err(|(_, cause)| cause).expect(READABLE);
        let fitting = streams.iter().filter_map(|id| Some((*id, self.get(*id)?)));
        let mut fitting = fitting
            .filter(|(_, stream)| stream.take != Take::Whole && stream.events.name.matches(&name))
            .peekable();
        if fitting.peek().is_none() {
            return Vec::new();
        }
        let properties: Value = entries.read().map_err(|(_, cause)| cause).expect(READABLE);
        fitting.filter_map(|(id, stream)| Some((id, stream.payload(&name, &properties)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Amount, Path};
    use crate::rule::{NamePattern, Selector};
    use crate::streams::Stream;

    #[test]
    fn what_was_kept_whole_gives_what_would_have_been_taken() {
        let mut streams = Streams::default();
        let stream = |name: &str, take| Stream {
            events: Selector { name: NamePattern::Exact(name.into()), filter: None },
            take,
        };
        let all = streams.add(Stream::of_all());
        let text =
            r#"{"amount":5.25,"big":123456789012345678901234567890,"order":{"to":[null,"é"]}}"#;
        let properties = Value::from_json(&serde_json::from_str(text).unwrap()).unwrap();
        let hits = streams.hits(&streams.wanted("buy"), &properties);
        let [hit] = &*hits else { panic!("{hits:?}") };
        let Payload::Whole(bytes) = &hit.payload else { panic!("{hit:?}") };
        assert_eq!(hit.stream, all);
        let amount = streams.add(stream("buy", Take::Amount(Path::new("amount"))));
        let big = streams.add(stream("buy", Take::Value(Path::new("big"))));
        let order = streams.add(stream("buy", Take::Value(Path::new("order"))));
        let other = streams.add(stream("view", Take::Nothing));
        let value = |name| Payload::Value(Box::new(properties.at(name).unwrap().clone()));
        let expected = vec![
            (amount, Payload::from(Amount::from_micros(5_250_000))),
            (big, value("big")),
            (order, value("order")),
        ];
        assert_eq!(streams.payloads(bytes, &[all, amount, big, order, other]), expected);
        assert!(streams.payloads(bytes, &[other]).is_empty());
    }
}

//! The two readers of records judge each other: they take and refuse the same lines for the same
//! reasons, mean the same by them, and never panic.

#![expect(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]

use std::sync::Arc;

use dataflows::model::{Action, AttributeKey, Change, MessageKey, Path, Position, Value};
use dataflows::rule::{Comparison, Filter, NamePattern, Selector, Test};
use dataflows::streams::{Stream, Streams, Take};
use proptest::prelude::*;
use rivulet::format::{MAX_RECORD_BYTES, Mapping, Parsed, Reader, arrival};

const START: Position = Position { partition: 0, offset: 0 };

/// Streams that take nothing, numbers, values and nested values, by name and by prefix.
fn streams() -> Arc<Streams> {
    let exact = |name: &str| NamePattern::Exact(name.into());
    let euro = Filter::Property(
        Path::new("order.currency"),
        Test::new(Comparison::Eq(Value::text("EUR"))),
    );
    let mut streams = Streams::default();
    for (name, filter, take) in [
        (exact("page_view"), None, Take::Nothing),
        (exact("purchase"), None, Take::Amount(Path::new("amount"))),
        (exact("purchase"), Some(euro), Take::Value(Path::new("order"))),
        (exact("page"), None, Take::Value(Path::new("name"))),
        (NamePattern::Prefix("p".into()), None, Take::Value(Path::new("a.b"))),
        (NamePattern::Prefix("s".into()), None, Take::Nothing),
    ] {
        streams.add(Stream { events: Selector { name, filter }, take });
    }
    Arc::new(streams)
}

fn mapping(json: &str) -> Mapping {
    serde_json::from_str(json).unwrap()
}

/// The Segment shape, a flat one, and one that reaches into objects.
fn mappings() -> [Mapping; 3] {
    let flat = r#"{"user":"userId","time":"timestamp","event":"event","id":"messageId",
        "properties":"properties","attribute":"name","value":"amount"}"#;
    let deep = r#"{"user":"properties.userId","time":"properties.a.timestamp","event":"a.event",
        "id":"a.b.messageId","properties":"a.properties","traits":"properties.traits",
        "attribute":"a.b","value":"a.amount"}"#;
    [Mapping::default(), mapping(flat), mapping(deep)]
}

/// What the full record says, in the form of the lean one.
fn expected(streams: &Streams, mapping: &Mapping, line: &[u8]) -> Result<Parsed<'static>, String> {
    let record = arrival(mapping, START, line)?;
    let change = match record.action {
        Action::Event { name, properties } => {
            Change::Event(streams.hits(&streams.wanted(&name), &properties))
        }
        Action::Attributes(all) => {
            let key = |(name, value): (Arc<str>, Value)| (AttributeKey::of(&name), value);
            let mut all: Vec<_> = all.into_iter().map(key).collect();
            all.sort_by_key(|(key, _)| *key);
            Change::Attributes(all.into())
        }
        Action::Delete => Change::Delete,
    };
    let id = record.id.map(|id| MessageKey::of(&id));
    Ok(Parsed { user: record.user.to_string().into(), time: record.time, id, change })
}

/// Reads a line both ways and requires one answer, also where events are taken whole.
fn agreed(mapping: &Mapping, line: &[u8]) -> Result<Parsed<'static>, String> {
    let streams = streams();
    let mut retaining = (*streams).clone();
    retaining.add(Stream::of_all());
    let full = expected(&retaining, mapping, line);
    let mut reader = Reader::new(retaining.into(), mapping.clone());
    assert_eq!(reader.update(line), full, "whole: {}", String::from_utf8_lossy(line));
    let full = expected(&streams, mapping, line);
    let mut reader = Reader::new(streams, mapping.clone());
    let lean = reader.update(line);
    assert_eq!(lean, full, "{}", String::from_utf8_lossy(line));
    full
}

fn segment(line: &str) -> Result<Parsed<'static>, String> {
    agreed(&Mapping::default(), line.as_bytes())
}

#[track_caller]
fn refused(line: &str, reason: &str) {
    assert_eq!(segment(line).unwrap_err(), reason, "{line}");
}

#[test]
fn the_segment_shape() {
    let record = segment(
        r#"{"type":"track","messageId":"e-17","userId":"u1","event":"purchase",
        "timestamp":"2026-01-01T00:00:00.123Z","properties":{"amount":42.17},"context":{"ip":1}}"#,
    )
    .unwrap();
    assert_eq!((&*record.user, record.time), ("u1", Some(1_767_225_600_123)));
    assert_eq!(record.id, Some(MessageKey::of("e-17")));
    let line = r#"{"type":"identify","userId":7,"traits":{"b":1,"a":null,"b":"x\u00e9"}}"#;
    let Change::Attributes(attributes) = segment(line).unwrap().change else { panic!("{line}") };
    assert_eq!(attributes.len(), 2);
    assert!(attributes.contains(&(AttributeKey::of("b"), Value::text("xé"))));
    assert!(attributes.contains(&(AttributeKey::of("a"), Value::Null)));
    for line in
        [r#"{"type":"identify","userId":"u"}"#, r#"{"type":"identify","userId":"u","traits":null}"#]
    {
        assert_eq!(segment(line).unwrap().change, Change::Attributes(Box::new([])));
    }
    let line = r#"{"type":"delete","userId":null,"anonymousId":12345678901234567890123}"#;
    assert_eq!(segment(line).unwrap().user, "12345678901234567890123");
}

#[test]
fn a_page_is_an_event_that_knows_its_name() {
    let name = |line: &str| match segment(line).unwrap().change {
        Change::Event(hits) => format!("{:?}", hits.first().unwrap().payload),
        other => panic!("{other:?}"),
    };
    for (properties, said) in [
        ("", r#"Value(Text("Home"))"#),
        (r#","properties":{"name":"Own"}"#, r#"Value(Text("Own"))"#),
        (r#","properties":{"name":"Own","name":null}"#, r#"Value(Text("Home"))"#),
    ] {
        let line = format!(r#"{{"type":"page","userId":"u","name":"Home"{properties}}}"#);
        assert_eq!(name(&line), said, "{line}");
    }
    let other = r#"{"type":"page","userId":"u","name":"Home","name":[1.50]}"#;
    assert!(name(other).starts_with("Value(List"), "of equal names the last counts");
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let track = |rest: &str| format!(r#"{{"type":"track","userId":"u","event":"e"{rest}}}"#);
    refused("[]", "record: list where an object is needed");
    refused("{}", "type: missing");
    refused(r#"{"type":1}"#, "type: number where text is needed");
    refused(r#"{"type":"group"}"#, "group: account membership comes in a later version");
    refused(r#"{"type":"alias"}"#, "alias: identity merging comes in a later version");
    refused(r#"{"type":"delete"}"#, "userId: missing");
    refused(r#"{"type":"delete","userId":""}"#, "userId: empty");
    let needed = "where text or an integer is needed";
    refused(r#"{"type":"delete","userId":true}"#, &format!("userId: boolean {needed}"));
    refused(
        r#"{"type":"delete","anonymousId":1.0}"#,
        &format!("anonymousId: fractional number {needed}"),
    );
    refused(
        &format!(r#"{{"type":"delete","userId":"{}"}}"#, "é".repeat(513)),
        "userId: 1026 bytes is beyond 1024",
    );
    refused(r#"{"type":"track","userId":"u"}"#, "event: missing");
    refused(r#"{"type":"track","userId":"u","event":""}"#, "event: empty");
    refused(&track(r#","properties":[]"#), "properties: list where an object is needed");
    refused(&track(r#","messageId":"""#), "messageId: empty");
    refused(&track(r#","messageId":false"#), "messageId: boolean where text or a number is needed");
    refused(&track(r#","timestamp":253433923200000"#), "timestamp: year 10001 is beyond 9999");
    refused(
        &track(r#","timestamp":[]"#),
        "timestamp: list where RFC 3339 text or a number is needed",
    );
    refused(
        &track(r#","timestamp":"yesterday""#),
        "timestamp: \"yesterday\" is not an RFC 3339 time such as \"2026-01-01T00:00:00Z\"",
    );
    let beyond = "properties: number 1e6145 is beyond 10^6144";
    refused(&track(r#","properties":{"unasked":[{"deep":1e6145}],"b":1e9999}"#), beyond);
    assert!(segment(&track(r#","context":1e6145,"properties":{"a":1e6144}"#)).is_ok());
    assert!(segment(&track(r#","properties":{"a":1e6145},"properties":{}"#)).is_ok());
    let title = r#"{"type":"page","userId":"u","name":[1e7000],"properties":{"name":1}}"#;
    refused(title, "name: number 1e7000 is beyond 10^6144");
    let digits = "9".repeat(6_146);
    assert!(segment(&track(&format!(r#","properties":{{"a":{digits}}}"#))).is_err());
}

#[test]
fn hostile_records_are_refused_without_harm() {
    for brackets in ["[".repeat(1_000_000), "{\"a\":".repeat(200_000)] {
        assert!(segment(&brackets).unwrap_err().starts_with("record: not JSON: EOF while parsing"));
        assert!(segment(&format!("{{\"a\":{brackets}")).is_err());
    }
    let nested = |depth| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    refused(&nested(500_000), "record: nested deeper than 64");
    refused(&nested(64), "record: nested deeper than 64");
    refused(&nested(63), "type: missing");
    let deep = format!("{}1{}", "[1,".repeat(62), "]".repeat(62));
    assert!(
        segment(&format!(r#"{{"type":"identify","userId":"u","traits":{{"a":{deep}}}}}"#)).is_ok()
    );
    let long =
        format!(r#"{{"type":"delete","userId":"u","x":"{}"}}"#, "x".repeat(MAX_RECORD_BYTES));
    refused(&long, &format!("record of {} bytes is beyond 1048576", long.len()));
    let mut filled = r#"{"type":"delete","userId":"u"}"#.to_owned();
    filled.push_str(&" ".repeat(MAX_RECORD_BYTES - filled.len()));
    assert!(segment(&filled).is_ok(), "exactly as long as is allowed");
}

#[test]
fn many_names_of_events_are_read_alike() {
    let mut reader = Reader::new(streams(), Mapping::default());
    for n in 0..10_000 {
        let line = format!(r#"{{"type":"track","userId":"u","event":"s{n}"}}"#);
        let Ok(Parsed { change: Change::Event(hits), .. }) = reader.update(line.as_bytes()) else {
            panic!("{line}")
        };
        assert_eq!(hits.len(), 1, "{line}");
    }
}

#[test]
fn mapped_records() {
    let one = mapping(r#"{"user":"user_id","attribute":"attribute","value":"value","time":"ts"}"#);
    let line = br#"{"user_id":"u1","attribute":"plan","value":"pro","ts":1767225600002}"#;
    let record = agreed(&one, line).unwrap();
    let plan = (AttributeKey::of("plan"), Value::text("pro"));
    assert_eq!(record.change, Change::Attributes(Box::new([plan])));
    assert_eq!(record.time, Some(1_767_225_600_002));
    let reason = |line: &str| agreed(&one, line.as_bytes()).unwrap_err();
    assert_eq!(reason(r#"{"user_id":"u1"}"#), "record: has no attribute");
    assert_eq!(reason(r#"{"attribute":"plan"}"#), "user_id: missing");
    let number = "value: number 1e7000 is beyond 10^6144";
    assert_eq!(reason(r#"{"user_id":1,"attribute":"plan","value":[1e7000]}"#), number);
    assert!(agreed(&one, br#"{"user_id":1,"attribute":"plan"}"#).is_ok(), "no value is null");
    let all = mapping(r#"{"user":"u.id","event":"what","traits":"t","attribute":"a","value":"v"}"#);
    let event = agreed(&all, br#"{"u":{"id":"x"},"what":"page_view","t":{},"a":"a"}"#).unwrap();
    assert!(matches!(event.change, Change::Event(hits) if hits.len() == 2));
    let literal = agreed(&all, br#"{"u":{"id":"x"},"u.id":"y","what":null,"t":{"p":1}}"#).unwrap();
    assert_eq!(literal.user, "y", "a member named with the dot comes first");
    assert!(matches!(literal.change, Change::Attributes(_)));
    let inner = agreed(&all, br#"{"u.id":null,"u":{"id":"x"},"t":{}}"#).unwrap();
    assert_eq!(inner.user, "x", "unless it is null");
}

/// Numbers as JSON allows them, near the edges, and some that it does not allow.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (-100_i64..2_000_000_000_000).prop_map(|n| n.to_string()),
        2 => "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?([eE][+-]?[0-9]{1,5})?",
        1 => "-?[0-9]{0,3}\\.?[0-9]{0,2}[eE]?[+-]?[0-9]{0,4}",
    ]
}

/// Strings with escapes, some of them wrong.
fn string() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => proptest::sample::select(vec![
            "", "a", "b", "a.b", "name", "order", "currency", "EUR", "amount", "page_view", "u1",
            "purchase", "page", "screen", "track", "identify", "delete", "group", "event", "type",
            "us\\u0065rId", "userId", "timestamp", "messageId", "properties", "traits",
            "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.5+02:00", "2026-01-01",
        ]).prop_map(str::to_owned),
        2 => "([a-zé😀 ]|\\\\[\"\\\\/bfnrt]|\\\\u00[0-7][0-9a-f]|\\\\ud83d\\\\ude0[0-9]){0,12}",
        1 => "([a-z\u{0}-\u{20}]|\\\\[a-z]|\\\\u[0-9a-gD-d]{3,4}){0,6}",
    ]
    .prop_map(|text| format!("\"{text}\""))
}

fn blank() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec!["", "", "", "", " ", "\t", " \r\n "])
}

fn object(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    prop::collection::vec((string(), blank(), value), 0..6).prop_map(|members| {
        let member = |(key, blank, value): (String, &str, String)| {
            format!("{key}{blank}:{blank}{value}{blank}")
        };
        format!("{{{}}}", members.into_iter().map(member).collect::<Vec<_>>().join(","))
    })
}

fn json() -> impl Strategy<Value = String> {
    let words = proptest::sample::select(vec!["null", "true", "false"]);
    let leaf = prop_oneof![3 => number(), 4 => string(), 2 => words.prop_map(str::to_owned)];
    leaf.prop_recursive(5, 24, 6, |inner| {
        prop_oneof![
            object(inner.clone()),
            prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
        ]
    })
}

/// Records that are nearly right: known fields with mostly fitting values, in any order.
fn record() -> impl Strategy<Value = String> {
    let kinds = ["track", "page", "screen", "identify", "delete", "group", "trak"];
    let field = prop_oneof![
        4 => proptest::sample::select(kinds.to_vec()).prop_map(|kind| format!("\"type\":\"{kind}\"")),
        4 => prop_oneof![string(), number()].prop_map(|user| format!("\"userId\":{user}")),
        1 => json().prop_map(|user| format!("\"anonymousId\":{user}")),
        3 => string().prop_map(|name| format!("\"event\":{name}")),
        2 => prop_oneof![string(), number()].prop_map(|time| format!("\"timestamp\":{time}")),
        2 => prop_oneof![string(), number()].prop_map(|id| format!("\"messageId\":{id}")),
        3 => object(json()).prop_map(|all| format!("\"properties\":{all}")),
        2 => object(json()).prop_map(|all| format!("\"traits\":{all}")),
        2 => (string(), json()).prop_map(|(key, value)| format!("{key}:{value}")),
        1 => object(json()).prop_map(|all| format!("\"a\":{all}")),
    ];
    let start = prop_oneof![
        Just(vec![]),
        proptest::sample::select(kinds.to_vec()).prop_map(|kind| vec![
            format!("\"type\":\"{kind}\""),
            "\"userId\":\"u\"".to_owned(),
            "\"event\":\"purchase\"".to_owned(),
        ]),
    ];
    (start, prop::collection::vec(field, 0..7)).prop_map(|(mut start, fields)| {
        start.extend(fields);
        format!("{{{}}}", start.join(","))
    })
}

/// An edit of a single byte: set, put in, or taken out.
type Edit = (u8, prop::sample::Index, u8);

fn edits(most: usize) -> impl Strategy<Value = Vec<Edit>> {
    let byte =
        prop_oneof![any::<u8>(), proptest::sample::select(b"\"\\{}[],:0-.eu \n\x1f".to_vec())];
    prop::collection::vec((0..3_u8, any::<prop::sample::Index>(), byte), 0..most)
}

fn edited(record: &str, edits: Vec<Edit>) -> Vec<u8> {
    let mut bytes = record.as_bytes().to_vec();
    for (edit, place, byte) in edits {
        let at = place.index(bytes.len());
        match edit {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ if bytes.len() > 1 => drop(bytes.remove(at)),
            _ => {}
        }
    }
    bytes
}

/// A few edits of single bytes, and perhaps an end that is missing.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    (record(), edits(4), any::<Option<prop::sample::Index>>()).prop_map(|(record, edits, cut)| {
        let mut bytes = edited(&record, edits);
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        bytes
    })
}

/// Many records, few of them much unlike the others.
fn alike() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let few = prop_oneof![3 => 1..4_usize, 1 => 4..40_usize];
    let few = few.prop_flat_map(|few| prop::collection::vec(record(), few));
    let each = prop::collection::vec((any::<prop::sample::Index>(), edits(3)), 1..60);
    (few, each).prop_map(|(few, each)| {
        each.into_iter().map(|(which, edits)| edited(which.get::<String>(&few), edits)).collect()
    })
}

fn agreed_by_all(line: &[u8]) {
    for mapping in mappings() {
        let _ = agreed(&mapping, line);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn readers_agree_on_records(line in record()) {
        agreed_by_all(line.as_bytes());
    }

    #[test]
    fn readers_agree_on_damaged_records(line in damaged()) {
        agreed_by_all(&line);
    }

    #[test]
    fn readers_agree_on_any_json(line in json()) {
        agreed_by_all(line.as_bytes());
    }

    #[test]
    fn readers_agree_on_any_bytes(line in prop::collection::vec(any::<u8>(), 0..64)) {
        agreed_by_all(&line);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn what_was_read_before_makes_no_difference(lines in alike()) {
        let streams = streams();
        for mapping in mappings() {
            let mut reader = Reader::new(streams.clone(), mapping.clone());
            for line in &lines {
                let full = expected(&streams, &mapping, line);
                assert_eq!(reader.update(line), full, "{}", String::from_utf8_lossy(line));
            }
        }
    }

    #[test]
    fn what_follows_makes_no_difference(lines in alike(), end in prop_oneof![Just("\n"), Just("\r\n")]) {
        let lines = lines.into_iter().filter_map(|line| String::from_utf8(line).ok());
        let text = lines.collect::<Vec<_>>().join(end);
        for mapping in mappings() {
            read_in_one_text(&mapping, &text);
        }
    }
}

/// Reads lines where they stand, one after the other; of how many the end need not be known.
fn read_in_one_text(mapping: &Mapping, text: &str) -> usize {
    let streams = streams();
    let mut reader = Reader::new(streams.clone(), mapping.clone());
    let (mut at, mut count) = (0, 0);
    for line in text.split('\n') {
        let record = line.strip_suffix('\r').unwrap_or(line);
        let full = expected(&streams, mapping, record.as_bytes());
        if let Some((length, lean)) = reader.line(&text[at..]) {
            assert_eq!((length, lean), (record.len(), full), "{record} in {text}");
            count += 1;
        } else {
            assert_eq!(reader.unlike(record.as_bytes()), full, "{record} in {text}");
        }
        at += line.len() + 1;
    }
    count
}

#[test]
fn records_of_known_shapes_need_no_end() {
    let track = |end: &str| {
        let click = |user: usize| {
            format!(
                r#"{{"type":"track","userId":"u{user}","event":"purchase","properties":{{"a":[{user}]}}}}"#
            )
        };
        (0..9).map(click).collect::<Vec<_>>().join(end)
    };
    let mapping = Mapping::default();
    for end in ["\n", "\r\n"] {
        assert_eq!(read_in_one_text(&mapping, &track(end)), 8, "all but the first");
        assert_eq!(read_in_one_text(&mapping, &format!("{}{end}", track(end))), 8);
        assert_eq!(read_in_one_text(&mapping, &track(&format!(" \t\r{end}"))), 8, "blanks");
        assert_eq!(read_in_one_text(&mapping, &format!("{}\r", track(end))), 8, "no line feed");
    }
    // A blank that ends a line is none within a record, though JSON would have it.
    for broken in ["[\n1]", "[1,\r\n2]", "{\n}", "1\n", "\"\n\"", "tr\nue", "1 ", " 1"] {
        let line = |a: &str| format!(r#"{{"type":"delete","userId":"u","a":{a}}}"#);
        let text = [line("[1]"), line("1"), line("true"), line("\"\""), line(broken)].join("\n");
        read_in_one_text(&mapping, &text);
    }
    // Where line feeds stand within records that were read, the end must be known.
    let mut reader = Reader::new(streams(), mapping.clone());
    let broken = "{\"type\":\"delete\",\n\"userId\":\"u\"}";
    assert!(reader.update(broken.as_bytes()).is_ok());
    assert!(reader.line(broken).is_none());
    // Nor is what is too long read, whatever it has in common with others.
    let long = |x: &str| format!(r#"{{"type":"delete","userId":"u","x":"{x}"}}"#);
    let text = format!("{}\n{}\n", long(""), long(&"x".repeat(MAX_RECORD_BYTES)));
    assert_eq!(read_in_one_text(&mapping, &text), 0);
}

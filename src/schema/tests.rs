//! The schemas and the parsers say the same.

use std::path::Path;

use dataflows::rule::language::{
    AGGREGATES, DEFINITION_KEYS, FILTER_KINDS, JUNCTIONS, Kind, OPERATORS, RULE_KINDS, STEP_KEYS,
    Subject,
};
use dataflows::rule::parse;
use dataflows::rule::reader::Named;
use jsonschema::Validator;
use serde_json::{Value as Json, json};

use super::*;
use crate::job::Job;

fn tree(name: &str) -> Json {
    serde_json::from_str(schema(name).unwrap()).unwrap()
}

fn validator(name: &str) -> Validator {
    let tree = tree(name);
    jsonschema::draft202012::meta::validate(&tree).unwrap();
    jsonschema::draft202012::new(&tree).unwrap()
}

#[track_caller]
fn agree(validator: &Validator, json: &Json, expected: bool) {
    let said: Vec<_> = validator.iter_errors(json).map(|error| error.to_string()).collect();
    assert_eq!(said.is_empty(), expected, "schema: {json}: {said:?}");
}

/// Checks that a definition is right, or wrong, for both schema and parser.
#[track_caller]
fn both(validator: &Validator, json: &Json, expected: bool) {
    agree(validator, json, expected);
    let read = parse::definition(json);
    assert_eq!(read.is_ok(), expected, "parser: {json}: {read:?}");
}

const GOOD: &[&str] = &[
    r#"{"id":"high_value","name":"High value","rules":{"event":"purchase","aggregate":"sum","property":"amount","window":"10m","op":"gt","value":100}}"#,
    r#"{"id":"window_shopper","rules":{"operator":"AND","conditions":[
        {"event":"page_view","aggregate":"count","window":"10m","op":"gte","value":5},
        {"event":"purchase","aggregate":"count","window":"10m","op":"eq","value":0}]}}"#,
    r#"{"id":"us_premium","rules":{"operator":"AND","conditions":[
        {"attribute":"country","op":"eq","value":"US"},{"attribute":"lifetime_value","op":"gt","value":100},
        {"operator":"OR","conditions":[{"attribute":"account_tier","op":"in","value":["premium","enterprise"]},{"attribute":"referral_source","op":"eq","value":"partner"}]}]}}"#,
    r#"{"id":"target","rules":{"operator":"AND","conditions":[{"segment":"us_premium"},{"segment":"high_value"},{"operator":"NOT","conditions":[{"segment":"window_shopper"}]}]}}"#,
    r#"{"id":"recent","rules":{"attribute":"signed_up_at","op":"within_last","value":"30d"}}"#,
    r#"{"id":"bounced","rules":{"sequence":[{"event":"add_to_cart"},{"event":"page_view","where":{"attribute":"path","op":"eq","value":"/checkout"}}],"within":"1h","window":"1d"}}"#,
    r#"{"id":"big_cart","rules":{"event":"purchase","where":{"attribute":"currency","op":"eq","value":"EUR"},"aggregate":"max","property":"amount","window":"7d","op":"gte","value":500}}"#,
    r#"{"id":"holdout","rules":{"sample":"spring","percent":10}}"#,
    r#"{"id":"stale_trial","rules":{"attribute":"stage","op":"eq","value":"trial","held":"7d"}}"#,
    r#"{"id":"shop_active","rules":{"event":"shop.*","aggregate":"count","window":"1d","op":"gte","value":3}}"#,
    r#"{"id":"last_plan_seen","rules":{"event":"session","aggregate":"last","property":"plan","op":"eq","value":"pro"}}"#,
    r#"{"id":7,"rules":{"everyone":true}}"#,
    r#"{"id":"a","rules":{"members":["u",1]}}"#,
    r#"{"id":"a","rules":{"operator":"OR","conditions":[]}}"#,
];

/// Rules of which each is wrong in one way.
const BAD: &[&str] = &[
    r#"{"session":"current","measure":"duration","op":"gt","value":"20m"}"#,
    r#"{"model":"fraud","op":"gte","value":0.9}"#,
    r#"{"rank":"top","percent":5,"by":{"event":"purchase","aggregate":"sum","property":"amount","window":"30d"}}"#,
    "5",
    "{}",
    r#"{"operator":"and","conditions":[]}"#,
    r#"{"operator":"NOT","conditions":[]}"#,
    r#"{"operator":"AND"}"#,
    r#"{"everyone":false}"#,
    r#"{"segment":""}"#,
    r#"{"members":[""]}"#,
    r#"{"sample":"a","percent":101}"#,
    r#"{"attribute":"a","op":"eq"}"#,
    r#"{"attribute":"a","op":"eq","value":1,"window":"1d"}"#,
    r#"{"attribute":"a","op":"eq","value":1,"held":"0s"}"#,
    r#"{"event":"a*b","aggregate":"count","op":"gt","value":1}"#,
    r#"{"event":"a","aggregate":"count","property":"p","op":"gt","value":1}"#,
    r#"{"event":"a","aggregate":"sum","op":"gt","value":1}"#,
    r#"{"event":"a","aggregate":"count","op":"gt","value":1,"where":{"segment":"s"}}"#,
    r#"{"event":"a","aggregate":"count","op":"gt","value":1,"where":{"attribute":"a","op":"eq","value":1,"held":"1d"}}"#,
    r#"{"sequence":[{"event":"a"}],"within":"1h"}"#,
    r#"{"sequence":[{"event":"a"},{"event":"b"}]}"#,
];

#[test]
fn definitions_are_right_or_wrong_for_both() {
    let validator = validator("segment");
    for text in GOOD {
        both(&validator, &serde_json::from_str(text).unwrap(), true);
    }
    for text in BAD {
        let rules: Json = serde_json::from_str(text).unwrap();
        both(&validator, &json!({"id": "x", "rules": rules}), false);
    }
    let all: Json = GOOD.iter().map(|text| serde_json::from_str::<Json>(text).unwrap()).collect();
    agree(&validator, &all, true);
    both(&validator, &json!({"id": "", "rules": {"everyone": true}}), false);
    both(&validator, &json!({"id": "x", "rule": {"everyone": true}}), false);
}

/// Every operator beside every subject, with every type of value, with and without case.
#[test]
fn comparisons_are_right_or_wrong_for_both() {
    let validator = validator("segment");
    let values = [
        json!(1),
        json!("x"),
        json!("2026-01-01"),
        json!("1d"),
        json!(true),
        json!(null),
        json!([1]),
        json!([1, 2]),
        json!(["a", "b"]),
        json!(["a", 1]),
        json!([null]),
        json!([]),
        json!({"a": 1}),
    ];
    let mut bases = vec![json!({"attribute": "a"})];
    for row in AGGREGATES {
        let mut base = json!({"event": "e", "aggregate": row.word});
        if row.word != "count" {
            base["property"] = json!("p");
        }
        bases.push(base);
    }
    for base in bases {
        for operator in OPERATORS {
            for value in values.iter().map(Some).chain([None]) {
                for ignore_case in [None, Some(true)] {
                    let mut rules = base.clone();
                    rules["op"] = json!(operator.word);
                    if let Some(value) = value {
                        rules["value"] = value.clone();
                    }
                    if let Some(ignore_case) = ignore_case {
                        rules["ignore_case"] = json!(ignore_case);
                    }
                    let expected = parse::rule(&rules).is_ok();
                    agree(&validator, &json!({"id": "x", "rules": rules}), expected);
                }
            }
        }
    }
}

#[test]
fn the_schema_lists_what_the_tables_list() {
    let tree = tree("segment");
    let words = |name: &str| -> Vec<&str> {
        let words = tree["$defs"][name]["enum"].as_array().unwrap();
        words.iter().map(|word| word.as_str().unwrap()).collect()
    };
    let operators = |subject| -> Vec<&str> {
        let rows = OPERATORS.iter().filter(|row| row.is_for(subject));
        rows.map(Named::word).collect()
    };
    assert_eq!(words("attributeOp"), operators(Subject::Attribute));
    assert_eq!(words("propertyOp"), operators(Subject::Property));
    assert_eq!(words("countOp"), operators(Subject::Count));
    assert_eq!(words("numberOp"), operators(Subject::Number));
    assert_eq!(words("aggregate"), AGGREGATES.iter().map(Named::word).collect::<Vec<_>>());
    assert_eq!(words("junction"), JUNCTIONS.iter().map(Named::word).collect::<Vec<_>>());
}

#[test]
fn the_schema_has_the_keys_of_the_tables() {
    let tree = tree("segment");
    let defs = &tree["$defs"];
    let same = |node: &Json, keys: &[&str]| {
        let mut found: Vec<_> = node["properties"].as_object().unwrap().keys().collect();
        let mut keys = keys.to_vec();
        found.sort();
        keys.sort_unstable();
        assert_eq!(found, keys);
    };
    let kinds: Vec<_> = defs["rule"]["oneOf"].as_array().unwrap().iter().collect();
    assert_eq!(kinds.len(), RULE_KINDS.len());
    for kind in RULE_KINDS {
        let name = if kind.key() == "operator" { "group" } else { kind.key() };
        same(&defs[name], kind.keys);
    }
    let filters = defs["filter"]["oneOf"].as_array().unwrap().iter();
    filters.zip(FILTER_KINDS).for_each(|(node, kind): (_, &Kind)| same(node, kind.keys));
    same(&defs["definition"], DEFINITION_KEYS);
    same(&defs["sequence"]["properties"]["sequence"]["items"], STEP_KEYS);
}

#[test]
fn events_of_the_documentation_are_right() {
    let validator = validator("event");
    for text in [
        r#"{"type":"track","messageId":"e-17","userId":"u1","event":"purchase","timestamp":"2026-01-01T00:00:00.123Z","properties":{"amount":42.17}}"#,
        r#"{"type":"identify","messageId":"e-18","userId":"u1","timestamp":1767225600456,"traits":{"country":"US","account_tier":null}}"#,
        r#"{"type":"page","anonymousId":"a1","name":"Home","context":{},"properties":{"path":"/"}}"#,
        r#"{"type":"group","userId":"u1","groupId":"acme","traits":{"plan":"pro"}}"#,
        r#"{"type":"alias","previousId":"anon-1","userId":"u1"}"#,
        r#"{"type":"delete","userId":"u1"}"#,
    ] {
        agree(&validator, &serde_json::from_str(text).unwrap(), true);
    }
    for text in [
        r#"{"type":"track","userId":"u1"}"#,
        r#"{"type":"track","event":"e"}"#,
        r#"{"type":"buy","userId":"u1"}"#,
        r#"{"type":"delete","userId":"u1","timestamp":"yesterday"}"#,
        r#"{"userId":"u1"}"#,
    ] {
        agree(&validator, &serde_json::from_str(text).unwrap(), false);
    }
}

#[test]
fn jobs_are_right_or_wrong_for_both() {
    let validator = validator("job");
    let base = "segments = \"s\"\n[[source]]\nkind = \"file\"\npath = [\"e\", \"-\"]\n";
    let check = |more: &str, expected: bool| {
        let text = format!("{base}{more}");
        let tree: toml::Value = toml::from_str(&text).unwrap();
        agree(&validator, &serde_json::to_value(tree).unwrap(), expected);
        let read = Job::from_text(&text, Path::new("job.toml"), &|_| Some("file".into()));
        assert_eq!(read.is_ok(), expected, "{text}: {read:?}");
    };
    for (state, expected) in
        [("state = \"state\"", true), ("state = \"\"", false), ("state = 5", false)]
    {
        let text = format!("{state}\n{base}");
        let tree: toml::Value = toml::from_str(&text).unwrap();
        agree(&validator, &serde_json::to_value(tree).unwrap(), expected);
        let read = Job::from_text(&text, Path::new("job.toml"), &|_| None);
        assert_eq!(read.is_ok(), expected, "{text}: {read:?}");
    }
    check("", true);
    check("[source.mapping]\nuser = \"u\"\nattribute = \"a\"\nvalue = \"v\"", true);
    check("[clock]\nemit = \"on_event\"\nidle_timeout = \"10s\"\ndedup_horizon = \"1d\"", true);
    check("[[sink]]\nkind = \"${KIND}\"\npath = \"out\"", true);
    check("[[sink]]\nkind = \"stdout\"\nformat = \"text\"", true);
    check("[state]\npath = \"state\"\ninterval = \"1s\"\nkeep = 5", true);
    check("[state]\npath = \"${KIND}\"\nkeep = 1", true);
    check(
        "[state]\npath = \"s3://b/x\"\nregion = \"r\"\naccess_key = \"a\"\nsecret_key = \"b\"",
        true,
    );
    check("[state]\npath = \"s3://b\"\nendpoint = \"http://h\"\nallow_http = true", true);
    check("[state]\npath = \"s3://b\"\nendpoint = \"https://h\"", true);
    check("[state]\npath = \"s3://b\"\nendpoint = \"http://h\"", false);
    check("[state]\npath = \"s3://b\"\nendpoint = \"h:9000\"", false);
    check("[state]\npath = \"s3://b\"\nsecret_key = \"b\"", false);
    check("[state]\npath = \"state\"\nregion = \"r\"", false);
    check("[state]\npath = \"s3:///x\"", false);
    check("[state]\npath = \"gs://b/x\"", false);
    check("[state]\npath = \"state\"\nkeep = 0", false);
    check("[state]\nkeep = 5", false);
    check("[state]\npath = \"state\"\nevery = \"1s\"", false);
    check("[cluster]\nsecret = \"sixteen letters!\"\nlost_after = \"5s\"", true);
    check("[cluster]\nsecret = \"too short\"", false);
    check("[cluster]\nlost_after = 5", false);
    check("[cluster]\nhosts = \"h\"", false);
    let kafka = "[[source]]\nkind = \"kafka\"\nbrokers = \"b:1\"\n";
    check(&format!("{kafka}topic = \"t\"\nstart = \"latest\"\n[source.kafka]\n\"a.b\" = 1"), true);
    check(&format!("{kafka}topics = [\"t\"]\nstart = \"2026-01-01T00:00:00Z\""), true);
    check(&format!("{kafka}topic = \"t\"\ngroup = \"g\"\nstart = 1767225600000"), true);
    check(kafka, false);
    check("[[source]]\nkind = \"kafka\"\ntopic = \"t\"", false);
    check(&format!("{kafka}topic = \"t\"\npath = \"p\""), false);
    let http = "[serve]\nlisten = \"127.0.0.1:1\"\n[[source]]\nkind = \"http\"\n";
    check(&format!("{http}log = \"l\""), true);
    check(&format!("{http}[state]\npath = \"s\""), true);
    check(&format!("{http}log = \"l\"\nmax_backlog = 9\nwrite_keys = [\"a\", \"${{B}}\"]"), true);
    check(&format!("{http}log = \"l\"\nwrite_keys = [\"sha256:{}\"]", "0f".repeat(32)), true);
    check(&format!("{http}log = \"l\"\nwrite_keys = [\"sha256:0f\"]"), false);
    check(&format!("{http}log = \"l\"\nwrite_keys = []"), false);
    check(&format!("{http}log = \"l\"\nmax_backlog = 0"), false);
    check(&format!("{http}log = \"l\"\ntopic = \"t\""), false);
    check(&format!("{http}log = \"l\"\n[[source]]\nkind = \"http\"\nlog = \"m\""), false);
    check(http, false);
    check("[[source]]\nkind = \"http\"\nlog = \"l\"", false);
    check("[[source]]\nkind = \"file\"\npath = \"p\"\nlog = \"l\"", false);
    check("[clock]\nmax_ahead = \"1d\"", true);
    check("[source.mapping]\nuser = \"u\"\nattribute = \"a\"", false);
    check("[clock]\nemit = \"never\"", false);
    check("[clock]\nlateness = \"5s\"", false);
    let sink = "[[sink]]\nkind = \"kafka\"\nbrokers = \"b:1\"\n";
    check(&format!("{sink}topic = \"d\"\nof = \"late\"\npartitions = 3"), true);
    check(&format!("{sink}topic = \"d\"\nusers_topic = \"u\"\n[sink.kafka]\n\"a.b\" = 1"), true);
    check(&format!("{sink}topic = \"d\"\nusers_topic = \"u\"\nof = \"late\""), false);
    check(&format!("{sink}topic = \"d\"\npartitions = 0"), false);
    check(&format!("{sink}topic = \"d\"\npath = \"p\""), false);
    check(&format!("{sink}topic = \"d\"\nformat = \"text\""), false);
    check(sink, false);
    check("[[sink]]\nkind = \"kafka\"\ntopic = \"d\"", false);
    check("[[sink]]\nkind = \"stdout\"\ntopic = \"d\"", false);
    check("[[sink]]\nkind = \"file\"\npath = \"p\"\nbrokers = \"b:1\"", false);
    check("[[sink]]\nkind = \"file\"", false);
    check("[[sink]]\nkind = \"stdout\"\nof = \"late\"\nformat = \"text\"", false);
    let redis = "[[sink]]\nkind = \"redis\"\n";
    check(
        &format!("{redis}url = \"redis://h:1\"\nprefix = \"p:\"\nsegments = [\"a\", \"b*\"]"),
        true,
    );
    check(&format!("{redis}url = \"redis://h:1\"\nname = \"cache\""), true);
    check(&format!("{redis}url = \"redis://h:1\"\nname = \"a/b\""), false);
    check(&format!("{redis}url = \"redis://h:1\"\nsegments = []"), false);
    check(&format!("{redis}url = \"redis://h:1\"\nof = \"late\""), false);
    check(&format!("{redis}url = \"rediss://h:1\"\nca = \"ca.pem\""), true);
    check(redis, false);
    let buffered = format!("{redis}url = \"redis://h:1\"\nbuffer_path = \"b\"\n");
    check(&format!("{buffered}buffer = \"64MiB\""), true);
    check(&format!("{buffered}buffer = \"64MB\""), false);
    check(&format!("{redis}url = \"redis://h:1\"\nbuffer = 0"), true);
    let postgres = "[[sink]]\nkind = \"postgres\"\n";
    check(&format!("{postgres}url = \"postgres://h/d\"\nschema = \"shop\""), true);
    check(&format!("{postgres}url = \"postgres://h/d\"\nprefix = \"p\""), false);
    check(&format!("{postgres}url = \"u\"\nattributes = [\"plan\", \"address.city\"]"), true);
    check(&format!("{postgres}url = \"u\"\nattributes = []"), false);
    check(&format!("{redis}url = \"u\"\nattributes = [\"plan\"]"), false);
    check(postgres, false);
    let webhook = "[[sink]]\nkind = \"webhook\"\nurl = \"https://h/x\"\npath = \"hooks\"\n";
    let signed = format!("{webhook}secret = \"whsec_x\"\n");
    check(&signed, true);
    check(
        &format!("{signed}batch = 5\nlinger = \"2s\"\nattempts = 0\nheaders = {{ a = \"b\" }}"),
        true,
    );
    check(&format!("{signed}batch = 0"), false);
    check(&format!("{signed}headers = {{ a = 1 }}"), false);
    check(webhook, false);
    check(&format!("{sink}topic = \"d\"\nsegments = [\"a\"]"), true);
    check(&format!("{sink}topic = \"d\"\nsegments = [\"a\"]\nof = \"late\""), false);
}

#[test]
fn exports_are_right_or_wrong_for_both() {
    let validator = validator("job");
    let check = |more: &str, expected: bool| {
        let text = format!("segments = \"s\"\n[[source]]\nkind = \"file\"\npath = \"e\"\n{more}");
        let tree: toml::Value = toml::from_str(&text).unwrap();
        agree(&validator, &serde_json::to_value(tree).unwrap(), expected);
        let read = Job::from_text(&text, Path::new("job.toml"), &|_| Some("users".into()));
        assert_eq!(read.is_ok(), expected, "{text}: {read:?}");
    };
    let users = "[[export]]\nof = \"users\"\nto = \"out\"\n";
    check(users, true);
    check(&format!("{users}every = \"1h\"\nformat = \"csv\"\nsegments = [\"a\", \"b*\"]"), true);
    check(&format!("{users}when_changed = \"0.5%\"\nname = \"some\""), true);
    check(&format!("{users}when_changed = \"5\""), false);
    check(&format!("{users}when_changed = 5"), false);
    check(&format!("{users}format = \"xlsx\""), false);
    check(&format!("{users}interval = \"1h\""), false);
    check(&format!("{users}region = \"r\""), false);
    check("[[export]]\nof = \"${OF}\"\nto = \"out\"", true);
    check("[[export]]\nto = \"out\"", false);
    check("[[export]]\nof = \"users\"", false);
    check("[[export]]\nof = \"late\"\nto = \"out\"", false);
    let differences = "[[export]]\nof = \"differences\"\nto = \"s3://b/p\"\n";
    check(differences, true);
    check(&format!("{differences}endpoint = \"http://h\"\nallow_http = true"), true);
    check(&format!("{differences}endpoint = \"http://h\""), false);
    check(&format!("{differences}access_key = \"a\""), false);
    check(&format!("{differences}when_changed = \"5%\""), false);
    check(&format!("{differences}buffer = \"1MiB\"\nbuffer_path = \"b\""), true);
}

#[test]
fn traces_are_right_or_wrong_for_both() {
    let validator = validator("job");
    let check = |more: &str, expected: bool| {
        let text = format!("segments = \"s\"\n[[source]]\nkind = \"file\"\npath = \"e\"\n{more}");
        let tree: toml::Value = toml::from_str(&text).unwrap();
        agree(&validator, &serde_json::to_value(tree).unwrap(), expected);
        let read = Job::from_text(&text, Path::new("job.toml"), &|_| Some("http://h".into()));
        assert_eq!(read.is_ok(), expected, "{text}: {read:?}");
    };
    let trace = "[trace]\nendpoint = \"http://127.0.0.1:4318\"\n";
    check(trace, true);
    check("[trace]\nendpoint = \"${COLLECTOR}\"", true);
    check(
        &format!("{trace}sample = 0.25\nservice_name = \"a\"\nheaders = {{ x = \"${{K}}\" }}"),
        true,
    );
    check(&format!("{trace}sample = 1"), true);
    check(&format!("{trace}sample = 1.5"), false);
    check(&format!("{trace}sample = \"1%\""), false);
    check(&format!("{trace}headers = {{ x = \"\" }}"), false);
    check(&format!("{trace}share = 1"), false);
    check("[trace]", false);
    check("[trace]\nendpoint = \"127.0.0.1:4318\"", false);
    check("[trace]\nendpoint = \"https:///v1\"", false);
}

#[test]
fn what_is_served_is_right_or_wrong_for_both() {
    let validator = validator("job");
    let check = |more: &str, expected: bool| {
        let text = format!("segments = \"s\"\n[[source]]\nkind = \"file\"\npath = \"e\"\n{more}");
        let tree: toml::Value = toml::from_str(&text).unwrap();
        agree(&validator, &serde_json::to_value(tree).unwrap(), expected);
        let read = Job::from_text(&text, Path::new("job.toml"), &|_| Some("[::1]:1".into()));
        assert_eq!(read.is_ok(), expected, "{text}: {read:?}");
    };
    let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    let token = |hash: &str, scope: &str| {
        format!("[[serve.token]]\nname = \"a\"\nsha256 = \"{hash}\"\nscopes = [\"{scope}\"]")
    };
    let files = "cert = \"c.pem\"\nkey = \"k.pem\"";
    check("[serve]\nlisten = \"127.0.0.1:8080\"", true);
    check("[serve]\nlisten = \"localhost:0\"\nconnections = 10\nconnections_per_address = 4", true);
    check("[serve]\nlisten = \"[::1]:8080\"", true);
    check("[serve]\nlisten = \"${ADDRESS}\"", true);
    check(&format!("[serve]\nlisten = \"0.0.0.0:1\"\n{files}\n{}", token(hash, "read")), true);
    check(&format!("[serve]\nlisten = \"127.0.0.1:1\"\n{}", token(hash, "ingest")), true);
    let sketches =
        |what: &str| format!("[serve]\nlisten = \"127.0.0.1:1\"\n[serve.sketches]\n{what}");
    check(&sketches("events = [\"buy\", \"shop.*\"]\nwindow = \"1h\"\npane = \"1s\""), true);
    check(&sketches("segments = [\"pro\"]"), true);
    check(&sketches("top = [{ event = \"*\", by = \"page.path\" }]"), true);
    check(&sketches("window = \"1h\""), false);
    check(&sketches("events = []"), false);
    check(&sketches("events = [\"a*b\"]"), false);
    check(&sketches("events = [\"a\", \"a\"]"), false);
    check(&sketches("top = [{ event = \"a\" }]"), false);
    check("[serve]", false);
    check("[serve]\nlisten = \":8080\"", false);
    check("[serve]\nlisten = \"0.0.0.0:8080\"", false);
    check("[serve]\nlisten = \"127.0.0.1:8080\"\ncert = \"c.pem\"", false);
    check("[serve]\nlisten = \"127.0.0.1:8080\"\nconnections = 0", false);
    check("[serve]\nlisten = \"127.0.0.1:8080\"\ntokens = []", false);
    check(&format!("[serve]\nlisten = \"127.0.0.1:1\"\n{}", token("TOKEN", "read")), false);
    check(&format!("[serve]\nlisten = \"127.0.0.1:1\"\n{}", token(hash, "write")), false);
}

#[test]
fn every_name_has_its_schema() {
    assert!(NAMES.iter().all(|name| schema(name).is_some()));
}

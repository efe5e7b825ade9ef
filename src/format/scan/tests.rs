//! What the scanner takes, and what it does not.

use super::*;

fn accepts(text: &str) -> bool {
    let mut scan = Scan::new(text);
    scan.next_token();
    scan.value().is_ok() && scan.at_end()
}

#[test]
fn takes_what_serde_json_takes() {
    for text in [
        "0",
        "-0",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "1e+",
        "1E-7",
        "+1",
        "1.5e300",
        "00",
        "NaN",
        "true",
        "tru",
        "truex",
        "null",
        " null ",
        "nul",
        "\"\"",
        "\"",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\u00e9\"",
        "\"\\ud83d\\ude00\"",
        "\"\\u+123\"",
        "[]",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1",
        "]",
        "{}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1}}",
        "{\"a\":1} x",
        "\"a\nb\"",
        "\"a\u{7f}b\"",
        "\"a\\\"",
        "",
        " ",
        "\u{feff}1",
        "\u{a0}1",
        "[\u{c}]",
        "\"12345678\u{1f}\"",
        "'a'",
    ] {
        let expected = serde_json::from_str::<serde_json::Value>(text).is_ok();
        assert_eq!(accepts(text), expected, "{text:?}");
    }
}

#[test]
fn half_surrogates_are_refused_wherever_they_stand() {
    for half in ["\\ud800", "\\udc00", "\\ud800\\u0041", "\\ud800x", "\\udbff\\udbff"] {
        for place in ["\"#\"", "[[\"#\"]]", "{\"#\":1}", "{\"a\":{\"b\":\"#\"}}"] {
            assert!(!accepts(&place.replace('#', half)), "{half} in {place}");
        }
    }
}

#[test]
fn nesting_ends_at_the_limit() {
    let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(accepts(&nested(MAX_DEPTH)));
    assert!(!accepts(&nested(MAX_DEPTH + 1)));
    assert!(!accepts(&"[".repeat(1_000_000)));
}

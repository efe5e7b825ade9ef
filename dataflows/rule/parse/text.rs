//! Text to JSON, with the line and column where it is not.

use std::fmt;

use serde::Deserialize;
use serde_json::Value as Json;
use serde_json::value::RawValue;

use crate::rule::MAX_DEPTH;
use crate::rule::reader::Fault;

/// How deep lists and objects may nest: rules at their greatest depth (an object and a list each),
/// and what a definition may stand in. Bounded here, since `serde_json`'s own bound is too low.
const NESTING_MAX: usize = 2 * MAX_DEPTH + 8;

/// A place where text is not JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Syntax {
    /// From 1.
    pub line: usize,
    /// From 1, in bytes.
    pub column: usize,
    /// What was expected there.
    pub reason: String,
}

impl fmt::Display for Syntax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} column {}: not JSON: {}", self.line, self.column, self.reason)
    }
}

impl From<Syntax> for Fault {
    fn from(syntax: Syntax) -> Self {
        Fault {
            node: format!("line {} column {}", syntax.line, syntax.column),
            found: "text that is not JSON".to_owned(),
            allowed: "JSON".to_owned(),
            hint: Some(syntax.reason),
        }
    }
}

/// Reads one JSON value. A byte order mark before it is passed over.
///
/// # Errors
/// The first place where it is not JSON.
pub fn json(text: &str) -> Result<Json, Syntax> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    check_nesting(text)?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer.disable_recursion_limit(); // `check_nesting` has bounded it
    Json::deserialize(&mut deserializer)
        .and_then(|json| deserializer.end().map(|()| json))
        .map_err(|error| syntax(&error))
}

fn syntax(error: &serde_json::Error) -> Syntax {
    Syntax { line: error.line(), column: error.column(), reason: reason(error) }
}

/// Reads one JSON value; or, where it is a list, each of its items by itself, so that no more than
/// one is held as a tree. Each comes with its place.
///
/// # Errors
/// The first place where it is not JSON; items before it have been given out.
pub fn each_json(text: &str, mut each: impl FnMut(&str, &Json)) -> Result<(), Syntax> {
    let bare = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !bare.trim_ascii_start().starts_with('[') {
        each("", &json(text)?);
        return Ok(());
    }
    check_nesting(bare)?;
    let items: Vec<&RawValue> = serde_json::from_str(bare).map_err(|error| syntax(&error))?;
    for (index, item) in items.into_iter().enumerate() {
        match json(item.get()) {
            Ok(json) => each(&format!("[{index}]"), &json),
            // Seen from the item the place would be another.
            Err(inner) => return json(text).and(Err(inner)),
        }
    }
    Ok(())
}

/// What an error says, without the place, which is told apart.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

fn check_nesting(text: &str) -> Result<(), Syntax> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > NESTING_MAX {
            let before = text.get(..at).unwrap_or_default();
            let line_start = before.rfind('\n').map_or(0, |end| end + 1);
            return Err(Syntax {
                line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
                column: at - line_start + 1,
                reason: format!("nested deeper than {NESTING_MAX}"),
            });
        }
    }
    Ok(())
}

//! JSON to [`Definition`], with all errors at once.
//!
//! What may be written is in the tables of [`language`](super::language); here they are
//! interpreted. Each function reads one kind of node, answers `None` if it could not, and has
//! then told the [`Reader`] why.

mod comparison;
mod condition;
mod text;

use std::sync::Arc;

use serde_json::Value as Json;

use super::language::{DEFINITION_KEYS, ID_BYTES_MAX};
pub use super::reader::Fault;
use super::reader::{Node, Reader};
use super::{Definition, Rule};
pub use text::{Syntax, each_json, json};

/// Reads a definition.
///
/// ```
/// use dataflows::rule::parse::definition;
/// let rules = serde_json::json!({"attribute": "age", "op": "ge", "value": 18});
/// let faults = definition(&serde_json::json!({"id": "adults", "rules": rules})).unwrap_err();
/// assert!(faults[0].to_string().starts_with("rules.op: found \"ge\"; allowed: eq, neq, in,"));
/// assert!(faults[0].to_string().ends_with("; did you mean \"gte\"?"));
/// ```
///
/// # Errors
/// Everything that is wrong with it.
pub fn definition(json: &Json) -> Result<Definition, Vec<Fault>> {
    let mut reader = Reader::default();
    let read = read_definition(&mut reader, &Node::root(json, ""));
    reader.finish(read)
}

/// Reads a definition from its text.
///
/// # Errors
/// Everything that is wrong with it; of text that is not JSON, the first place where it is not.
pub fn definition_from_text(text: &str) -> Result<Definition, Vec<Fault>> {
    definition(&json(text).map_err(|syntax| vec![syntax.into()])?)
}

/// Reads what stands under `rules`, alone.
///
/// # Errors
/// Everything that is wrong with it.
pub fn rule(json: &Json) -> Result<Rule, Vec<Fault>> {
    let mut reader = Reader::default();
    let read = condition::rule(&mut reader, &Node::root(json, "rules"), 1);
    reader.finish(read)
}

/// Reads a definition that is a part of something larger.
pub fn read_definition(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Definition> {
    reader.object(node, DEFINITION_KEYS)?;
    let id = read_id(reader, &node.get("id"));
    let free = |reader: &mut Reader<'_>, key| {
        reader
            .optional(&node.get(key), |reader, node| Some(reader.text(node, "text")?.into_owned()))
    };
    let (name, description) = (free(reader, "name"), free(reader, "description"));
    let rule = condition::rule(reader, &node.get("rules"), 1);
    Some(Definition { id: id?, name: name?, description: description?, rule: rule? })
}

/// Reads the id of a segment: text, or an integer, which is kept as text.
pub fn read_id(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Arc<str>> {
    let read = name_or_number(node).filter(|id| !id.is_empty() && id.len() <= ID_BYTES_MAX);
    if read.is_none() {
        let allowed = format!("text of 1 to {ID_BYTES_MAX} bytes, or an integer");
        reader.fault(node, allowed, None);
    }
    read
}

/// The name of a segment or a user.
fn name_or_number(node: &Node<'_>) -> Option<Arc<str>> {
    match node.json()? {
        Json::String(text) => Some(text.as_str().into()),
        Json::Number(number) => {
            let digits = number.to_string();
            let is_integer = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
            is_integer.then(|| digits.into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;

//! TOML as the tree that [`Reader`](dataflows::rule::reader::Reader) reads, and the variables in
//! its text.

use std::path::Path;

use serde_json::Value as Json;
use toml::Value as Toml;

use super::JobError;

/// Reads TOML. Dates become text.
pub(super) fn parse(text: &str, path: &Path) -> Result<Json, JobError> {
    match text.parse::<toml::Table>() {
        Ok(table) => Ok(json(Toml::Table(table))),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            let before = text.get(..at).unwrap_or(text);
            let line_start = before.rfind('\n').map_or(0, |end| end + 1);
            Err(JobError::Syntax {
                path: path.into(),
                line: before.matches('\n').count() + 1,
                column: before.chars().count() - text[..line_start].chars().count() + 1,
                reason: error.message().replace('\n', ", "),
            })
        }
    }
}

fn json(toml: Toml) -> Json {
    match toml {
        Toml::String(text) => Json::String(text),
        Toml::Integer(number) => Json::from(number),
        Toml::Float(number) => Json::from(number),
        Toml::Boolean(flag) => Json::Bool(flag),
        Toml::Datetime(time) => Json::String(time.to_string()),
        Toml::Array(items) => items.into_iter().map(json).collect(),
        Toml::Table(table) => table.into_iter().map(|(key, value)| (key, json(value))).collect(),
    }
}

/// Text with the variables it names, `${NAME}`, filled in.
///
/// # Errors
/// What to do about a variable that is not set, or a `${` that names none. No value is told.
pub(super) fn expand(
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let name = after.split_once('}').filter(|(name, _)| is_name(name));
        let Some((name, behind)) = name else {
            return Err("write variables as ${NAME}: letters, digits and _".to_owned());
        };
        let Some(value) = environment(name) else {
            return Err(format!("set the environment variable {name}, which is not set"));
        };
        expanded.push_str(before);
        expanded.push_str(&value);
        rest = behind;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

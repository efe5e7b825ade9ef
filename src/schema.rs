//! The published JSON Schemas, by which editors complete and check what is written for Rivulet.
//!
//! They say less than the program checks: what needs more than one place, such as references to
//! other segments, or arithmetic, is left to it.

/// The names of the schemas.
pub const NAMES: &[&str] = &["segment", "event", "job"];

/// The text of the schema of this name.
///
/// ```
/// assert!(rivulet::schema::schema("segment").is_some_and(|text| text.contains("2020-12")));
/// assert_eq!(rivulet::schema::schema("segments"), None);
/// ```
pub fn schema(name: &str) -> Option<&'static str> {
    match name {
        "segment" => Some(include_str!("schema/segment.json")),
        "event" => Some(include_str!("schema/event.json")),
        "job" => Some(include_str!("schema/job.json")),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

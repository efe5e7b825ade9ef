//! What can be asked, as programs read it: the OpenAPI document. Anyone may read it.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use serde_json::Value as Json;

/// The document, without what others of the job answer.
pub const TEXT: &str = include_str!("openapi.json");

/// `/openapi.json`: the document, and what these parts of documents say of paths and components.
pub fn routes(parts: &[&str]) -> Router {
    let text = whole(parts);
    let document = || async { ([(CONTENT_TYPE, "application/json")], text) };
    Router::new().route("/openapi.json", get(document))
}

fn whole(parts: &[&str]) -> String {
    let read = |text| serde_json::from_str::<Json>(text).unwrap_or_default();
    let mut document = read(TEXT);
    parts.iter().for_each(|part| add(&mut document, read(part)));
    document.to_string()
}

/// Adds members of objects to those that are there.
fn add(to: &mut Json, more: Json) {
    match (to, more) {
        (Json::Object(to), Json::Object(more)) => {
            for (name, value) in more {
                add(to.entry(name).or_insert(Json::Null), value);
            }
        }
        (to, more) => *to = more,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_added_to_what_there_is() {
        let part = r#"{"paths":{"/v1/more":{"get":{}}},"components":{"schemas":{"More":{}}}}"#;
        let read = |parts: &[&str]| serde_json::from_str::<Json>(&whole(parts)).unwrap();
        let (alone, both) = (read(&[]), read(&[part]));
        assert_eq!(alone, serde_json::from_str::<Json>(TEXT).unwrap());
        assert!(both["paths"]["/v1/more"]["get"].is_object());
        assert_eq!(both["paths"]["/v1/segments"], alone["paths"]["/v1/segments"]);
        assert!(both["components"]["schemas"]["More"].is_object());
        assert_eq!(both["components"]["securitySchemes"], alone["components"]["securitySchemes"]);
    }
}

//! What records have named, for whoever writes a rule: learnt from a sample of them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Asked;
use super::extract::Asks;
use crate::serve::Refusal;
use crate::serve::view::names::{Names, Told, Values};

/// Of what the values are wanted; of nothing, the names are.
#[derive(Deserialize)]
pub(super) struct Of {
    attribute: Option<String>,
    event: Option<String>,
    property: Option<String>,
}

/// `GET /v1/names`: events with their properties, and attributes; or the common values of one.
pub(super) async fn names(
    State(asked): State<Asked>,
    Asks(of): Asks<Of>,
) -> Result<Json<Value>, Refusal> {
    let names = asked.view.names();
    match of {
        Of { attribute: None, event: None, property: None } => Ok(Json(all(names))),
        Of { attribute: Some(attribute), event: None, property: None } => {
            let values = names.of_attribute(&attribute);
            let values = values.ok_or_else(|| not_seen(&format!("attribute {attribute:?}")))?;
            Ok(Json(common(json!({ "attribute": attribute }), &values)))
        }
        Of { attribute: None, event: Some(event), property: Some(property) } => {
            let what = || format!("property {property:?} of event {event:?}");
            let values = names.of_property(&event, &property).ok_or_else(|| not_seen(&what()))?;
            Ok(Json(common(json!({ "event": event, "property": property }), &values)))
        }
        _ => Err(Refusal::bad_request("values are of one thing")
            .with_hint("ask with attribute=…, or with event=… and property=…, or for all names")),
    }
}

fn all(names: &Names) -> Value {
    let known = names.known();
    let told = |key: &str, all: &[Told]| -> Vec<Value> {
        let one = |it: &Told| json!({ key: &*it.name, "records": it.records, "kinds": it.kinds });
        all.iter().map(one).collect()
    };
    let events = known.events.iter().map(|it| {
        let properties = told("property", &it.properties);
        json!({ "event": &*it.name, "records": it.records, "properties": properties })
    });
    json!({
        "sampled": known.records,
        "events": events.collect::<Vec<_>>(),
        "attributes": told("attribute", &known.attributes),
    })
}

fn common(mut answer: Value, values: &Values) -> Value {
    let one = |(value, count): &(dataflows::model::Value, u64)| {
        let value: Value = serde_json::from_str(&value.to_string()).unwrap_or_default();
        json!({ "value": value, "count": count })
    };
    answer["sampled"] = json!(values.count);
    answer["kinds"] = json!(values.kinds);
    answer["values"] = values.values.iter().map(one).collect();
    answer["scattered"] = json!(values.are_scattered);
    answer
}

fn not_seen(what: &str) -> Refusal {
    let message = format!("{what} has not been seen in the sample of records");
    Refusal::new(StatusCode::NOT_FOUND, "not_seen", message)
        .with_hint("GET /v1/names lists what has been")
}

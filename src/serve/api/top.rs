//! The most frequent values of a property, as sketches have counted them.

use axum::Json;
use axum::extract::State;
use dataflows::sketch::Top;
use dataflows::sketch::top::{DELTA, EPSILON, LEAST_SHARE};
use serde::Deserialize;
use serde_json::{Value, json};

use super::extract::{Asks, limit};
use super::sketches::{not_counted, sketches, tell, window};
use super::{Asked, aside};
use crate::serve::Refusal;
use crate::serve::view::past::NoPast;

/// Of what there is most, and how many are listed.
#[derive(Deserialize)]
pub(super) struct Most {
    event: String,
    by: String,
    window: Option<String>,
    limit: Option<usize>,
}

/// `GET /v1/top`: the most frequent values of a property of an event within a window.
pub(super) async fn top(
    State(asked): State<Asked>,
    Asks(most): Asks<Most>,
) -> Result<Json<Value>, Refusal> {
    let sketches = sketches(&asked.view)?;
    let (window, limit) = (window(sketches, most.window.as_deref())?, limit(most.limit)?);
    let Most { event, by, .. } = most;
    let tops = &sketches.settings().top;
    let place = tops.iter().position(|it| *it.0 == *event && it.1.as_str() == by);
    let what = || format!("property {by:?} of event {event:?}");
    let place = place.ok_or_else(|| not_counted(&what(), "top", "event"))?;
    aside(move || {
        let held = asked.view.sketches().and_then(|sketches| sketches.top(place, window));
        let (panes, stretch) = held.ok_or(NoPast::NotYet(None))?;
        let ranked = Top::ranked(panes.iter().map(|it| &**it));
        let error = ranked.error();
        let one = |(value, count): &(dataflows::model::Value, u64)| {
            let value: Value = serde_json::from_str(&value.to_string()).unwrap_or_default();
            json!({ "value": value, "count": count, "at_least": count.saturating_sub(error) })
        };
        let values: Vec<_> = ranked.values.iter().take(limit).map(one).collect();
        let mut answer = json!({
            "event": event,
            "by": by,
            "values": values,
            "total": ranked.total,
            "unranked": ranked.unranked,
            "overestimates_only": true,
            "error": error,
            "epsilon": EPSILON,
            "delta": DELTA,
            "least_share": LEAST_SHARE,
        });
        tell(&mut answer, stretch);
        Ok(Json(answer))
    })
    .await
}

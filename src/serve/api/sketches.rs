//! What answers that are counted by sketches have in common.

use axum::http::StatusCode;
use dataflows::model::{Duration, EventTime};
use serde_json::{Value, json};

use crate::serve::Refusal;
use crate::serve::view::View;
use crate::serve::view::sketches::{Sketches, Window};

/// What this job counts, if it does.
pub(super) fn sketches(view: &View) -> Result<&Sketches, Refusal> {
    view.sketches().ok_or_else(|| {
        let message = "this job counts nothing by sketches";
        let refusal = Refusal::new(StatusCode::NOT_FOUND, "not_counted", message);
        refusal.with_hint("say in [serve.sketches] of the job file what is to be counted")
    })
}

/// That this is not among what it counts.
pub(super) fn not_counted(what: &str, list: &str, key: &str) -> Refusal {
    let message = format!("{what} is not counted by this job");
    Refusal::new(StatusCode::NOT_FOUND, "not_counted", message)
        .with_path(key)
        .with_hint(format!("add it to serve.sketches.{list} in the job file, and start it again"))
}

/// A window that can be asked for; the longest, unless it is said.
pub(super) fn window(sketches: &Sketches, text: Option<&str>) -> Result<Duration, Refusal> {
    let longest = sketches.settings().span.window;
    let Some(text) = text else { return Ok(longest) };
    let read = Duration::parse(text).ok();
    read.filter(|it| it.ms() > 0 && *it <= longest).ok_or_else(|| {
        let message = format!("{text:?} is no window: a duration such as 1h, at most {longest}");
        Refusal::bad_request(message).with_path("window")
    })
}

/// Over which time it was counted, and from when on all of it.
pub(super) fn tell(answer: &mut Value, window: Window) {
    answer["from"] = window.from.into();
    answer["to"] = window.to.into();
    answer["complete_from"] = match window.complete_from {
        Some(EventTime::MAX) => "never".into(),
        other => json!(other),
    };
    answer["final"] = window.is_final.into();
}

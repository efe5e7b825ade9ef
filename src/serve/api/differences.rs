//! Differences as they come, as server-sent events.
//!
//! Each has its place as its id, `TIME.NUMBER`, by which a client goes on where it was: browsers
//! send it back as `Last-Event-ID`. A client reads from the ring at its own pace. One that falls
//! behind what is retained is told so and dropped; neither the job nor anyone else waits for it. What
//! is retained is in checkpoints, too, so a client also goes on where the job was started again, even
//! while that has yet to come as far again.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use dataflows::model::EventTime;
use futures_util::stream::unfold;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::timeout;

use super::Asked;
use super::extract::{Asks, instant};
use crate::serve::Refusal;
use crate::serve::view::past::NoPast;
use crate::serve::view::{Entry, Gone, Place, View};

/// How long nothing may come before a sign of life is sent.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// Which of them, and after when.
#[derive(Deserialize)]
pub(super) struct Which {
    segment: Option<String>,
    user: Option<String>,
    since: Option<String>,
}

/// `GET /v1/diffs`: differences from now on, after a time, or after the last one a client has seen.
pub(super) async fn stream(
    State(Asked { view, .. }): State<Asked>,
    Asks(which): Asks<Which>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let seen = last_seen(&headers)?;
    let since = instant(which.since.as_deref(), "since")?;
    let place = seen.or(since.map(Place::after));
    // What a client has seen comes again, where the job has been started again since.
    let comes_again = seen.is_some() && !view.is_ready();
    if let Some(place) = place {
        let has_come = view.as_of().is_some_and(|as_of| place.time <= as_of);
        if !comes_again && !has_come && place > view.newest() {
            return Err(NoPast::NotYet(view.as_of()).into());
        }
        if view.has_begun() {
            view.differences_after(place).map_err(NoPast::from)?;
        }
    }
    let reader = Reader { changes: view.changes(), view, which, place, is_over: false };
    let events = unfold(reader, |mut reader| async move {
        let text = reader.next().await?;
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(text)), reader))
    });
    let mut response = Body::from_stream(events).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// What a client has seen last.
fn last_seen(headers: &HeaderMap) -> Result<Option<Place>, Refusal> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let text = value.to_str().ok();
    let place = text.and_then(|it| it.split_once('.')).and_then(|(time, number)| {
        let time = instant(Some(time), "").ok().flatten()?;
        Some(Place { time, number: number.parse().ok()? })
    });
    let wrong = || {
        Refusal::bad_request("Last-Event-ID is not the id of a difference")
            .with_hint("leave it out, and say ?since=TIME")
    };
    place.map(Some).ok_or_else(wrong)
}

/// A client, and how far it has read.
struct Reader {
    view: Arc<View>,
    changes: watch::Receiver<()>,
    which: Which,
    /// Where it begins is open until it is known what has been.
    place: Option<Place>,
    is_over: bool,
}

impl Reader {
    /// The next that is to be sent; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        while !self.is_over {
            self.changes.borrow_and_update();
            let was_over = self.view.is_over();
            let place =
                self.view.has_begun().then(|| self.place.unwrap_or_else(|| self.view.newest()));
            match place.map(|place| self.view.differences_after(place)) {
                None => {}
                Some(Err(Gone(floor))) => {
                    self.is_over = true;
                    return Some(dropped(floor.time));
                }
                Some(Ok((entries, place))) => {
                    let is_all = self.place.replace(place).is_none_or(|it| it == place);
                    let text = self.events(&entries);
                    if !text.is_empty() {
                        return Some(text);
                    }
                    if !is_all {
                        continue;
                    }
                }
            }
            if was_over {
                return None;
            }
            match timeout(SIGN_OF_LIFE, self.changes.changed()).await {
                Ok(changed) => changed.ok()?,
                Err(_) => return Some(": so far nothing\n\n".to_owned()),
            }
        }
        None
    }

    /// Those that are asked for.
    fn events(&self, entries: &[Entry]) -> String {
        let mut text = String::new();
        for Entry { place: Place { time, number }, segment, user, sign } in entries {
            let segment = self.view.segment_id(*segment);
            let is_asked = self.which.segment.as_deref().is_none_or(|it| *it == *segment)
                && self.which.user.as_deref().is_none_or(|it| *it == **user);
            if is_asked {
                let (segment, user) = (json!(&*segment), json!(&**user));
                let diff = sign.diff();
                // Writing into text does not fail.
                let _ = write!(
                    text,
                    "id: {time}.{number}\ndata: {{\"time\":{time},\"segment\":{segment},\
                     \"user\":{user},\"diff\":{diff}}}\n\n"
                );
            }
        }
        text
    }
}

/// What a client is told that has read too slowly.
fn dropped(earliest: EventTime) -> String {
    let error = json!({ "error": {
        "code": "too_slow",
        "message": "what comes next is retained no longer: it was not read in time",
        "hint": format!("ask who is in what, and go on with ?since= a time from {earliest} on"),
    }});
    format!("event: dropped\ndata: {error}\n\n")
}

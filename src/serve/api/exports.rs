//! Exports that are asked for: begun at once, written beside all else, and asked after by their id.
//!
//! Where they go is the job's to say, never a client's, and so is how they are written
//! ([`Exporter`]). Here is which there are: few at a time, and of those that are over the last ones.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse as _, Response};
use dataflows::model::EventTime;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use super::extract::{Id, Text};
use super::{Asked, time, unknown_segment};
use crate::serve::Refusal;
use crate::serve::view::Segment;

/// How many are written at a time.
const WRITTEN_MAX: usize = 2;
/// How many that are over are remembered.
const REMEMBERED: usize = 100;

/// What files are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// Comma-separated values.
    Csv,
    /// One JSON object a line.
    Jsonl,
    /// Parquet.
    #[default]
    Parquet,
}

/// An export that was asked for.
#[derive(Debug)]
pub struct Asking {
    /// By what it is asked after; safe as the name of a folder.
    pub id: String,
    /// What its files are like.
    pub format: ExportFormat,
    /// Whose users it holds, in bytewise order of their ids.
    pub segments: Vec<Arc<Segment>>,
    /// As of which time.
    pub as_of: EventTime,
}

/// Writes exports.
pub trait Exporter: Send + Sync {
    /// Writes one, which may take long; gives back its files, as they are answered.
    ///
    /// # Errors
    /// Why it cannot be written, and what to do.
    fn write(&self, asking: &Asking) -> Result<Vec<Value>, String>;
}

/// The exports there are.
#[derive(Clone)]
pub struct Exports {
    exporter: Arc<dyn Exporter>,
    /// What begins the ids of this run.
    run: u64,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    begun: u64,
    /// The oldest first.
    exports: VecDeque<(Arc<Asking>, Standing)>,
}

/// What has become of one.
#[derive(Debug, Clone)]
enum Standing {
    Running,
    Done(Vec<Value>),
    Failed(String),
}

impl Exports {
    /// None as yet. Their ids begin with `run`, which no earlier run had.
    pub fn new(exporter: Arc<dyn Exporter>, run: u64) -> Self {
        Exports { exporter, run, known: Arc::default() }
    }

    fn begin(
        &self,
        format: ExportFormat,
        segments: Vec<Arc<Segment>>,
        as_of: EventTime,
    ) -> Result<Arc<Asking>, Refusal> {
        let mut known = lock(&self.known);
        let is_over = |standing: &Standing| !matches!(standing, Standing::Running);
        let over = known.exports.iter().filter(|(_, standing)| is_over(standing)).count();
        if known.exports.len() - over >= WRITTEN_MAX {
            let message = format!("{WRITTEN_MAX} exports are being written already");
            let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too_many", message);
            return Err(refusal.with_hint("ask again once one of them is done"));
        }
        if over >= REMEMBERED
            && let Some(oldest) = known.exports.iter().position(|(_, standing)| is_over(standing))
        {
            known.exports.remove(oldest);
        }
        known.begun += 1;
        let id = format!("{}-{}", self.run, known.begun);
        let asking = Arc::new(Asking { id, format, segments, as_of });
        known.exports.push_back((Arc::clone(&asking), Standing::Running));
        drop(known);
        let mut written = Written { known: Arc::clone(&self.known), asking, standing: None };
        let (exporter, begun) = (Arc::clone(&self.exporter), Arc::clone(&written.asking));
        let write = move || {
            let files = exporter.write(&written.asking);
            written.standing = Some(files.map_or_else(Standing::Failed, Standing::Done));
        };
        // What cannot be begun has failed: that is what `Written` then says.
        let _ = std::thread::Builder::new().name("export".to_owned()).spawn(write);
        Ok(begun)
    }

    fn get(&self, id: &str) -> Option<Value> {
        let known = lock(&self.known);
        let (asking, standing) = known.exports.iter().find(|(asking, _)| asking.id == id)?;
        let (state, files, error) = match standing {
            Standing::Running => ("running", Value::Null, None),
            Standing::Done(files) => ("done", files.clone().into(), None),
            Standing::Failed(why) => ("failed", Value::Null, Some(why)),
        };
        let segments: Vec<&str> = asking.segments.iter().map(|it| &*it.id).collect();
        Some(json!({
            "id": asking.id, "state": state, "format": asking.format, "segments": segments,
            "as_of": time(Some(asking.as_of)), "files": files, "error": error,
        }))
    }
}

/// What becomes of an export, noted whatever happens to its thread.
struct Written {
    known: Arc<Mutex<Known>>,
    asking: Arc<Asking>,
    standing: Option<Standing>,
}

impl Drop for Written {
    fn drop(&mut self) {
        let fault = || Standing::Failed("this export has met a fault of the program".to_owned());
        let standing = self.standing.take().unwrap_or_else(fault);
        let mut known = lock(&self.known);
        let own = known.exports.iter_mut().find(|(asking, _)| asking.id == self.asking.id);
        own.into_iter().for_each(|(_, of)| *of = standing.clone());
    }
}

/// What is to be exported.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// All, where none is said.
    #[serde(default, deserialize_with = "some")]
    segments: Option<Vec<String>>,
    #[serde(default)]
    format: ExportFormat,
}

fn some<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<String>>, D::Error> {
    Vec::deserialize(from).map(Some)
}

/// `POST /v1/exports`: begins to write who is in which segments now.
pub(super) async fn begin(
    State(asked): State<Asked>,
    Text(text): Text,
) -> Result<Response, Refusal> {
    let wrong = |error: serde_json::Error| {
        Refusal::bad_request(format!("this says not what to export: {error}"))
            .with_hint(r#"send {"segments":["vip"],"format":"parquet"}, or {} for all"#)
    };
    let object: Map<String, Value> = serde_json::from_str(&text).map_err(wrong)?;
    let wanted = Wanted::deserialize(Value::Object(object)).map_err(wrong)?;
    let exports = asked.exports.as_ref().ok_or_else(nowhere)?;
    let segments = match wanted.segments {
        None => asked.view.segments_after(None, usize::MAX),
        Some(ids) => segments(&asked, ids)?,
    };
    let Some(as_of) = asked.view.as_of() else {
        let refusal = Refusal::new(StatusCode::CONFLICT, "not_yet", "the job has read nothing yet");
        return Err(refusal.with_hint("ask again once /readyz says ready"));
    };
    let begun = exports.begin(wanted.format, segments, as_of)?;
    let place = [(LOCATION, format!("/v1/exports/{}", begun.id))];
    let answer = exports.get(&begun.id);
    Ok((StatusCode::ACCEPTED, place, Json(answer)).into_response())
}

/// The segments of these ids, in order and each once.
fn segments(asked: &Asked, mut ids: Vec<String>) -> Result<Vec<Arc<Segment>>, Refusal> {
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        let refusal = Refusal::bad_request("there is no segment to export").with_path("segments");
        return Err(refusal.with_hint("name one at least, or leave segments out for all"));
    }
    let segment = |id: &String| asked.view.segment(id).ok_or_else(|| unknown_segment(id));
    ids.iter().map(segment).collect()
}

/// `GET /v1/exports/{id}`: what has become of an export.
pub(super) async fn one(State(asked): State<Asked>, Id(id): Id) -> Result<Json<Value>, Refusal> {
    let found = asked.exports.as_ref().and_then(|exports| exports.get(&id));
    found.map(Json).ok_or_else(|| {
        let message = format!("there is no export {id:?}, or it is long over");
        Refusal::new(StatusCode::NOT_FOUND, "unknown_export", message)
            .with_hint("the files of those that are over stand where they were written")
    })
}

fn nowhere() -> Refusal {
    let message = "the job does not say where exports go that are asked for";
    Refusal::new(StatusCode::CONFLICT, "nowhere", message)
        .with_hint("say exports = \"FOLDER\" in [serve] of the job file")
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// Writes when it is told what comes of it; where nobody tells it, it panics.
    struct Told(Mutex<Receiver<Result<Vec<Value>, String>>>);

    impl Exporter for Told {
        fn write(&self, _: &Asking) -> Result<Vec<Value>, String> {
            lock(&self.0).recv().unwrap()
        }
    }

    fn exports() -> (Exports, SyncSender<Result<Vec<Value>, String>>) {
        let (tell, told) = sync_channel(WRITTEN_MAX);
        (Exports::new(Arc::new(Told(Mutex::new(told))), 7), tell)
    }

    fn state(exports: &Exports, id: &str) -> Value {
        loop {
            let found = exports.get(id).unwrap();
            if found["state"] != "running" {
                return found;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn few_are_written_at_a_time_and_those_that_are_over_are_remembered_for_a_while() {
        let (exports, tell) = exports();
        let begin = || exports.begin(ExportFormat::Csv, Vec::new(), 5).map(|it| it.id.clone());
        let ids = [begin().unwrap(), begin().unwrap()];
        assert_eq!(ids, ["7-1", "7-2"]);
        assert!(begin().is_err(), "two are being written");
        tell.send(Err("it is full".to_owned())).unwrap();
        tell.send(Ok(vec![json!({"path": "0.csv"})])).unwrap();
        let mut found = ids.each_ref().map(|id| state(&exports, id));
        found.sort_by_key(|it| it["state"].to_string());
        let [done, failed] = found;
        assert_eq!((&done["state"], &done["files"][0]["path"]), (&"done".into(), &"0.csv".into()));
        assert_eq!((&failed["state"], &failed["error"]), (&"failed".into(), &"it is full".into()));
        for _ in 0..REMEMBERED {
            let id = begin().unwrap();
            tell.send(Ok(Vec::new())).unwrap();
            state(&exports, &id);
        }
        assert_eq!(exports.get("7-1"), None);
        assert_eq!(lock(&exports.known).exports.len(), REMEMBERED);
    }

    #[test]
    fn one_whose_thread_fails_is_over() {
        let (exports, tell) = exports();
        drop(tell);
        let id = exports.begin(ExportFormat::Csv, Vec::new(), 5).unwrap().id.clone();
        let found = state(&exports, &id);
        assert_eq!((&found["state"], &found["files"]), (&"failed".into(), &Value::Null));
    }
}

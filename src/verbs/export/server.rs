//! Who is in which segment now, as a running job answers it: page by page, all as of one time.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dataflows::model::EventTime;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, Url};
use serde_json::Value as Json;
use thiserror::Error;
use tokio::runtime::Runtime;

use super::super::VerbError;
use super::super::outputs::export_of;
use super::{format_of, name_of, tell};
use crate::args::{Export, ExportOf};
use crate::run::places::place;
use crate::say::Chain;
use crate::sink::SinkError;
use crate::sink::export::Snapshot;
use crate::state::Location;

/// How many segments and users are asked for at a time.
const PAGE: &str = "10000";
/// How long a page may take.
const ANSWER: Duration = Duration::from_secs(60);

#[derive(Debug, Error)]
enum AskError {
    #[error("--server {url:?} is not an address such as http://127.0.0.1:8080")]
    Address { url: String },
    #[error("cannot read {}: it is to hold the token, and nothing else", file.display())]
    Token { file: PathBuf },
    #[error("cannot ask {url}: {reason}; check that the job runs with [serve], and its address")]
    Silent { url: Url, reason: String },
    #[error("{url}: {reason}")]
    Refused { url: Url, reason: String },
    #[error("{url} does not answer as Rivulet does: check the address")]
    Strange { url: Url },
    #[error("the job at {url} has read nothing yet: export again once /readyz says ready")]
    Nothing { url: Url },
    #[error(
        "a running job tells who is in which segment: for differences, add [[export]] to the \
             job, or name its file instead of --server"
    )]
    Differences,
}

/// A running job that is asked.
struct Server {
    url: Url,
    client: Client,
    runtime: Runtime,
}

/// Exports what it answers.
pub(super) fn export(arguments: &Export, url: &str, to: &Location) -> Result<(), VerbError> {
    if arguments.of == ExportOf::Differences {
        return Err(AskError::Differences.into());
    }
    let server = Server::new(arguments, url)?;
    let segments = server.segments(&arguments.segments)?;
    let as_of = arguments.at.map_or_else(|| server.as_of(), Ok)?;
    let (job, name) = (server.url.origin().ascii_serialization(), name_of(arguments));
    let settings = export_of(&job, &name, format_of(arguments));
    let place = place(&name, to)?;
    let Some(mut snapshot) = Snapshot::begin(&*place, &settings, as_of).map_err(SinkError::from)?
    else {
        tell(as_of, None);
        return Ok(());
    };
    for id in segments {
        let version = server.get(&["v1", "segments", &id], &[])?["version"].as_u64();
        snapshot.segment(&id, version);
        let at = as_of.to_string();
        let path = ["v1", "segments", &id, "users"];
        let user = |user: &Json| user.as_str().map(Arc::from);
        server.pages(&path, &[("at", &at)], "users", user, |users: Vec<Arc<str>>| {
            Ok(snapshot.users(&users).map_err(SinkError::from)?)
        })?;
    }
    tell(as_of, Some(snapshot.finish().map_err(SinkError::from)?));
    Ok(())
}

impl Server {
    fn new(arguments: &Export, url: &str) -> Result<Self, VerbError> {
        let wrong = || AskError::Address { url: url.to_owned() };
        let base = Url::parse(url).map_err(|_| wrong())?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(wrong().into());
        }
        let mut headers = HeaderMap::new();
        if let Some(file) = &arguments.token_file {
            let wrong = || AskError::Token { file: file.clone() };
            let token = fs::read_to_string(file).map_err(|_| wrong())?;
            let value = format!("Bearer {}", token.trim());
            let mut value: HeaderValue = value.parse().map_err(|_| wrong())?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let client = Client::builder()
            .user_agent(concat!("rivulet/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .timeout(ANSWER)
            .build()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Server { url: base, client, runtime })
    }

    /// As of which time it answers.
    fn as_of(&self) -> Result<EventTime, AskError> {
        let answer = self.get(&["v1", "segments"], &[("limit", "1")])?;
        answer["as_of"].as_i64().ok_or_else(|| AskError::Nothing { url: self.url.clone() })
    }

    /// The ids of those that are wanted; of all, if none is said.
    fn segments(&self, wanted: &[String]) -> Result<Vec<String>, VerbError> {
        let mut ids = wanted.to_vec();
        if wanted.is_empty() {
            let id = |segment: &Json| segment["id"].as_str().map(str::to_owned);
            self.pages(&["v1", "segments"], &[], "segments", id, |some| {
                ids.extend(some);
                Ok(())
            })?;
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    /// Asks for a list page by page, and hands on what each holds.
    fn pages<T>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        key: &str,
        item: impl Fn(&Json) -> Option<T>,
        mut take: impl FnMut(Vec<T>) -> Result<(), VerbError>,
    ) -> Result<(), VerbError> {
        let mut after: Option<String> = None;
        loop {
            let mut query = [query, &[("limit", PAGE)]].concat();
            query.extend(after.as_deref().map(|after| ("after", after)));
            let answer = self.get(path, &query)?;
            let strange = || AskError::Strange { url: self.url.clone() };
            let items = answer[key].as_array().ok_or_else(strange)?;
            take(items.iter().filter_map(&item).collect())?;
            match answer["next"].as_str() {
                Some(next) => after = Some(next.to_owned()),
                None => return Ok(()),
            }
        }
    }

    fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Json, AskError> {
        let mut url = self.url.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let asked = self.runtime.block_on(async {
            let response = self.client.get(url.clone()).send().await?;
            let is_fine = response.status().is_success();
            response.bytes().await.map(|bytes| (is_fine, bytes))
        });
        let (is_fine, bytes) = asked.map_err(|error| {
            let reason = Chain(&error.without_url()).to_string();
            AskError::Silent { url: self.url.clone(), reason }
        })?;
        let json = serde_json::from_slice(&bytes).unwrap_or(Json::Null);
        match (&json["error"]["message"], is_fine) {
            (_, true) if json.is_object() => Ok(json),
            (Json::String(message), false) => {
                let hint = json["error"]["hint"].as_str();
                let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
                Err(AskError::Refused { url, reason: format!("{message}{hint}") })
            }
            _ => Err(AskError::Strange { url: self.url.clone() }),
        }
    }
}

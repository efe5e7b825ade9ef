//! One try to post a batch, and what came of it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use tokio::runtime::Runtime;

use super::message::{Key, Message};
use super::{Settings, WebhookFault};
use crate::say::Chain;

/// How long a receiver may take: as long as others allow it.
const ANSWER: Duration = Duration::from_secs(20);
const CONNECT: Duration = Duration::from_secs(5);

/// What came of a try.
#[derive(Debug)]
pub(super) enum Answer {
    /// It was taken.
    Taken,
    /// It may be taken another time, if need be after so long.
    Later { reason: String, status: Option<u16>, after: Option<Duration> },
    /// It will not be taken as it is.
    Never { reason: String, status: u16 },
}

/// Posts batches to one address.
pub(super) struct Poster {
    client: Client,
    runtime: Runtime,
    url: Url,
    key: Key,
}

impl Poster {
    pub(super) fn new(settings: &Settings) -> Result<Self, WebhookFault> {
        let (url, key) = (settings.address()?, settings.key()?);
        let sink = settings.name.clone();
        let broken = |reason: String| WebhookFault::Client { sink: sink.clone(), reason };
        let client = Client::builder()
            .user_agent(concat!("rivulet/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers(settings)?)
            .redirect(Policy::none()) // whoever answers must be who was meant
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .build()
            .map_err(|error| broken(Chain(&error).to_string()))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| broken(error.to_string()))?;
        Ok(Poster { client, runtime, url, key })
    }

    /// Posts a batch once.
    pub(super) fn post(&self, message: &Message) -> Answer {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = since.as_secs();
        let request = self
            .client
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", now)
            .header("webhook-signature", self.key.sign(message, now))
            .body(message.body.clone());
        match self.runtime.block_on(async { request.send().await }) {
            Ok(response) => judge(&response),
            Err(error) => {
                // The address may hold a secret.
                let error = error.without_url();
                let reason = Chain(&error).to_string();
                Answer::Later { reason, status: None, after: None }
            }
        }
    }
}

fn headers(settings: &Settings) -> Result<HeaderMap, WebhookFault> {
    let mut headers = HeaderMap::new();
    for (name, value) in &settings.headers {
        let wrong = || WebhookFault::Header { sink: settings.name.clone(), header: name.clone() };
        let key: HeaderName = name.parse().map_err(|_| wrong())?;
        if key.as_str().starts_with("webhook-") {
            return Err(wrong());
        }
        let mut value: HeaderValue = value.parse().map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}

fn judge(response: &Response) -> Answer {
    let status = response.status();
    if status.is_success() {
        return Answer::Taken;
    }
    let reason = format!("it answers {status}");
    let may_pass = status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    if !may_pass {
        return Answer::Never { reason, status: status.as_u16() };
    }
    let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let after = after.and_then(|text| retry_after(text, SystemTime::now()));
    Answer::Later { reason, status: Some(status.as_u16()), after }
}

/// How long to wait by `Retry-After`: seconds, or a date.
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    httpdate::parse_http_date(text).ok().map(|at| at.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_asked_for_in_seconds_or_by_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_770);
        assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(retry_after(date, now), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("soon", now), None);
    }
}

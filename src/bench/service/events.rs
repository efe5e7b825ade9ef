//! What clients send: batches as Segment's library for Python makes them, a hundred events each.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use dataflows::model::EventTime;
use dataflows::model::time::format_time;

use super::super::error::BenchError;
use crate::generate::clicks::{Clicks, Settings};

/// How many events a batch has.
pub(super) const BATCH: u64 = 100;
/// How many different batches there are; then they come again, under new names.
const BATCHES: usize = 200;
/// How long the name of an event is.
const NAME: usize = 32;
/// How long a time is, as text.
const TIME: usize = 24;

/// Batches of clicks, each with names and times of its own once it is sent.
pub(super) struct Batches {
    templates: Vec<Template>,
    next: AtomicU64,
}

/// A batch without names and times, and where they are to stand.
struct Template {
    text: Vec<u8>,
    names: Vec<usize>,
    times: Vec<usize>,
}

impl Batches {
    /// Of so many users.
    pub(super) fn of(users: u32) -> Self {
        let settings = Settings { users, ..Settings::mark(50_000.0) };
        let mut clicks = Clicks::new(settings);
        let templates = (0..BATCHES).map(|_| Template::of(&mut clicks)).collect();
        Batches { templates, next: AtomicU64::new(0) }
    }

    /// The next batch, as it is sent now.
    pub(super) fn next(&self) -> Bytes {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let at = usize::try_from(number).unwrap_or(0) % self.templates.len();
        self.templates[at].filled(number)
    }
}

impl Template {
    fn of(clicks: &mut Clicks) -> Self {
        let (mut text, mut line) = (b"{\"batch\":[".to_vec(), Vec::new());
        let (mut names, mut times) = (Vec::new(), Vec::new());
        let put = |text: &mut Vec<u8>, places: &mut Vec<usize>, length: usize| {
            places.push(text.len());
            text.resize(text.len() + length, b'0');
        };
        for number in 0..BATCH {
            line.clear();
            let click = clicks.next(&mut line);
            text.extend_from_slice(if number == 0 { b"" } else { b"," });
            text.extend_from_slice(b"{\"integrations\":{},\"anonymousId\":null,\"timestamp\":\"");
            put(&mut text, &mut times, TIME);
            text.extend_from_slice(b"\",\"context\":{\"library\":{\"name\":\"analytics-python\",\"version\":\"2.3.4\"}},\"messageId\":\"");
            put(&mut text, &mut names, NAME);
            let properties = match click.cents {
                Some(cents) => {
                    format!(r#"{{"amount":{}.{:02},"currency":"USD"}}"#, cents / 100, cents % 100)
                }
                None => r#"{"page":"/category/217","referrer":"search"}"#.to_owned(),
            };
            let rest = format!(
                r#"","type":"track","userId":"u{}","event":"{}","properties":{properties}}}"#,
                click.user, click.kind
            );
            text.extend_from_slice(rest.as_bytes());
        }
        text.extend_from_slice(b"],\"sentAt\":\"");
        put(&mut text, &mut times, TIME);
        text.extend_from_slice(b"\"}");
        Template { text, names, times }
    }

    fn filled(&self, number: u64) -> Bytes {
        let (mut text, now) = (self.text.clone(), format_time(now()));
        for at in &self.times {
            text[*at..at + TIME].copy_from_slice(now.as_bytes());
        }
        for (at, event) in self.names.iter().zip(number * BATCH..) {
            let name = format!("{event:0NAME$x}");
            text[*at..at + NAME].copy_from_slice(name.as_bytes());
        }
        text.into()
    }
}

fn now() -> EventTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    EventTime::try_from(since.as_millis()).unwrap_or(EventTime::MAX)
}

/// A hundred users tell who they are: those from the first of this batch on.
pub(super) fn identified(batch: u64) -> Bytes {
    let time = format_time(now());
    let events: Vec<String> = (batch * BATCH..(batch + 1) * BATCH)
        .map(|user| {
            let plan = ["free", "team", "pro"][usize::try_from(user % 3).unwrap_or(0)];
            let age = 18 + user.wrapping_mul(7_919) % 60;
            format!(
                r#"{{"integrations":{{}},"anonymousId":null,"timestamp":"{time}","context":{{"library":{{"name":"analytics-python","version":"2.3.4"}}}},"messageId":"identify-{user:023}","type":"identify","userId":"u{user}","traits":{{"plan":"{plan}","age":{age}}}}}"#
            )
        })
        .collect();
    format!(r#"{{"batch":[{}],"sentAt":"{time}"}}"#, events.join(",")).into()
}

/// Someone new spends enough at once to be in `high_value`.
pub(super) fn purchase(user: &str) -> Bytes {
    format!(
        r#"{{"userId":"{user}","event":"purchase","properties":{{"amount":500.00,"currency":"USD"}}}}"#
    )
    .into()
}

/// Which users are asked about: strewn over all of them.
pub(super) fn someone(number: u64, users: u32) -> Result<u64, BenchError> {
    let strewn = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    strewn
        .checked_rem(u64::from(users))
        .ok_or_else(|| BenchError::Measure("there are no users to ask about".to_owned()))
}

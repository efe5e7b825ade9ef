//! What is said to people: on standard error, which may be closed.
//!
//! Whatever is said has a level, which tells its reader what to do:
//!
//! | level | for its reader |
//! |---|---|
//! | `error` | to act: something has ended, is lost or stands still, and will not mend itself |
//! | `warn` | to look: it may pass by itself, or it was not meant |
//! | `info` | nothing: the normal course |
//!
//! People read lines; programs read objects of JSON, one a line, if they [ask](speak_in) for it.

use std::fmt::{self, Arguments};
use std::io::{self, Write};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use dataflows::model::EventTime;
use dataflows::model::time::format_time;
use serde::Serialize;

/// How long nothing more is said of a trouble that lasts.
const PAUSE: Duration = Duration::from_secs(10);
/// A trouble that lasts so long does not pass by itself.
const LASTING: Duration = Duration::from_secs(60);
/// A trouble that was not heard of for so long is another one when it comes back.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// In what form it is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Lines for people
    Text,
    /// One JSON object a line: time, level, message
    Json,
}

/// What a reader has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Info,
    Warn,
    Error,
}

/// How programs are told.
#[derive(Serialize)]
struct Line<'a> {
    time: &'a str,
    level: Level,
    message: &'a str,
}

static FORM: OnceLock<Form> = OnceLock::new();

/// From now on all is said in this form, panics too. Only the first call counts.
pub fn speak_in(form: Form) {
    if FORM.set(form).is_ok() && form == Form::Json {
        std::panic::set_hook(Box::new(|panic| error(format_args!("{panic}"))));
    }
}

/// Says something of the normal course.
pub fn say(text: Arguments<'_>) {
    tell(Level::Info, text);
}

/// Says something that someone should look at.
pub fn warn(text: Arguments<'_>) {
    tell(Level::Warn, text);
}

/// Says something that someone must do something about.
pub fn error(text: Arguments<'_>) {
    tell(Level::Error, text);
}

fn tell(level: Level, text: Arguments<'_>) {
    let line = match FORM.get() {
        Some(Form::Json) => json(level, now(), text),
        Some(Form::Text) | None => format!("{text}\n"),
    };
    let _ = io::stderr().write_all(line.as_bytes());
}

fn json(level: Level, time: EventTime, text: Arguments<'_>) -> String {
    let (time, message) = (format_time(time), text.to_string());
    let line = Line { time: &time, level, message: &message };
    // Text and three words are always JSON.
    serde_json::to_string(&line).unwrap_or_default() + "\n"
}

fn now() -> EventTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    EventTime::try_from(since.as_millis()).unwrap_or(EventTime::MAX)
}

/// An error with its causes, in one line.
pub struct Chain<'a>(pub &'a dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(deeper) = cause {
            write!(f, ": {deeper}")?;
            cause = deeper.source();
        }
        Ok(())
    }
}

/// A trouble that may come back a thousand times a second: the first time it is told at once, then
/// once in a while, and its end is told too. It is a warning until it has lasted for a minute.
#[derive(Debug, Default)]
pub struct Trouble {
    known: Mutex<Option<Known>>,
}

/// What is known of a trouble.
#[derive(Debug, Clone, Copy)]
struct Known {
    since: Instant,
    heard: Instant,
    told: Instant,
}

impl Trouble {
    /// It is there.
    pub fn is(&self, text: Arguments<'_>) {
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(level) = heard(&mut known, now) {
            tell(level, text);
        }
    }

    /// It is over.
    pub fn is_over(&self, text: Arguments<'_>) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).take();
        if known.is_some() {
            say(text);
        }
    }
}

/// Takes note that a trouble is there: at which level it is to be told now, if at all.
fn heard(known: &mut Option<Known>, now: Instant) -> Option<Level> {
    let Some(it) = known.as_mut().filter(|it| now - it.heard < FORGOTTEN) else {
        *known = Some(Known { since: now, heard: now, told: now });
        return Some(Level::Warn);
    };
    it.heard = now;
    if now - it.told < PAUSE {
        return None;
    }
    it.told = now;
    Some(if now - it.since < LASTING { Level::Warn } else { Level::Error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_in_one_line() {
        let line = json(Level::Warn, 1_767_225_600_000, format_args!("two\nlines, \"quoted\""));
        let expected = r#"{"time":"2026-01-01T00:00:00.000Z","level":"warn","message":"two\nlines, \"quoted\""}"#;
        assert_eq!(line, format!("{expected}\n"));
    }

    #[test]
    fn a_trouble_is_told_once_in_a_while_and_as_an_error_when_it_lasts() {
        let (mut known, began) = (None, Instant::now());
        let mut heard = |after_s| heard(&mut known, began + Duration::from_secs(after_s));
        assert_eq!(heard(0), Some(Level::Warn));
        assert_eq!(heard(9), None);
        assert_eq!(heard(10), Some(Level::Warn));
        assert_eq!(heard(59), Some(Level::Warn));
        assert_eq!(heard(69), Some(Level::Error));
        assert_eq!(heard(669), Some(Level::Warn), "another one");
    }
}

//! What is said to people: on standard error, which may be closed.

use std::fmt::{self, Arguments};
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long nothing more is said of a trouble that lasts.
const PAUSE: Duration = Duration::from_secs(10);

/// Says a line.
pub fn say(text: Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{text}");
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
/// once in a while, and its end is told too.
#[derive(Debug, Default)]
pub struct Trouble {
    told: Mutex<Option<Instant>>,
}

impl Trouble {
    /// It is there.
    pub fn is(&self, text: Arguments<'_>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|at| at.elapsed() >= PAUSE) {
            *told = Some(Instant::now());
            say(text);
        }
    }

    /// It is over.
    pub fn is_over(&self, text: Arguments<'_>) {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner).take();
        if told.is_some() {
            say(text);
        }
    }
}

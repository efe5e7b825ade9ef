//! Webhooks: batches of differences, posted to an address as signed JSON.
//!
//! A receiver has no transaction to store a position in, so each batch has an identifier, the same
//! whenever it is posted: what was taken before is known by it ([`message`]). That this is so is
//! seen to by a file ([`progress`]): before a batch is posted for the first time, it is noted how
//! far it goes; after a crash the same differences, which are computed again, make up the same
//! batch again. What the receiver does not take goes to a file of dead letters ([`dead`]), from
//! which it can be delivered again ([`redeliver`](redeliver())).

mod dead;
mod fault;
mod message;
mod post;
mod progress;
mod redeliver;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dataflows::model::EventTime;
use reqwest::Url;

use super::SinkError;
use super::courier::{Begin, Courier, Destination, Failure, Mark, Terms, Watch, first_connection};
use super::delivery::Item;
use super::queue::{Due, Pace};
use crate::say::error;
use dead::{DeadLetters, Letter};
pub use fault::WebhookFault;
use message::{Key, Message};
use post::{Answer, Poster};
use progress::{Pending, Progress};
pub use redeliver::{Redelivered, redeliver, taken_away_name};

/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How often the progress is stored while there is nothing to post.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// An address, how batches are signed, and what the sink is called.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// The name of the job.
    pub job: String,
    /// The name of the sink in it.
    pub name: String,
    /// `https://…`
    pub url: String,
    /// `whsec_` and at least 16 bytes in base64, by which the receiver knows the sender.
    pub secret: String,
    /// Further headers; their values may be secret.
    pub headers: BTreeMap<String, String>,
    /// How many differences a batch holds at most.
    pub batch: usize,
    /// How long differences wait for others to fill a batch.
    pub linger: Duration,
    /// How often a batch is tried; 0, if it is for ever.
    pub attempts: u32,
    /// The folder of the progress and the dead letters.
    pub folder: PathBuf,
}

impl fmt::Debug for Settings {
    /// All but what may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("job", &self.job)
            .field("name", &self.name)
            .field("batch", &self.batch)
            .field("linger", &self.linger)
            .field("attempts", &self.attempts)
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// Whether address, secret and headers can be such. Nothing is posted.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&self) -> Result<(), WebhookFault> {
        Poster::new(self).map(drop)
    }

    /// Where what is not taken is kept.
    pub fn dead_letters(&self) -> PathBuf {
        self.folder.join(format!("{}.dead.jsonl", self.name))
    }

    fn address(&self) -> Result<Url, WebhookFault> {
        let wrong = |reason: &str| WebhookFault::Address {
            sink: self.name.clone(),
            reason: reason.to_owned(),
        };
        let url = Url::parse(&self.url).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong("it begins neither with https:// nor with http://"));
        }
        Ok(url)
    }

    fn key(&self) -> Result<Key, WebhookFault> {
        Key::read(&self.secret).ok_or_else(|| WebhookFault::Secret { sink: self.name.clone() })
    }

    /// What people call it: no path, which may be secret.
    fn called(&self, url: &Url) -> String {
        format!("sink {} (webhook at {})", self.name, url.origin().ascii_serialization())
    }
}

/// Finds the progress, or begins anew. `None` if the run was told to stop before.
///
/// # Errors
/// The settings are wrong, the files cannot be read or written, or another process has them.
pub fn open(settings: Settings, terms: Terms) -> Result<Option<Courier>, SinkError> {
    let poster = Poster::new(&settings)?;
    let name = settings.called(&settings.address()?);
    let progress = Progress::open(&settings)?;
    let dead = DeadLetters::open(&settings.dead_letters())?;
    let pace = Pace {
        items: settings.batch,
        every: settings.linger,
        position_every: PROGRESS_EVERY,
        only_what_is_stored: true,
    };
    let begin = Begin {
        position: progress.kept.upto,
        after: progress.kept.after.clone(),
        hold: progress.kept.pending.as_ref().map(|pending| pending.through.time),
        keeps_members: false,
    };
    let inherited = progress.kept.pending.clone();
    let watch = Watch::new(name.clone());
    let mut writer = Writer { settings, poster, watch, progress, dead, inherited, tries: 0 };
    if first_connection(&mut writer, &terms.stop)?.is_none() {
        return Ok(None);
    }
    Ok(Some(Courier::start(name, writer, begin, pace, terms)))
}

/// An address that is being posted to.
struct Writer {
    settings: Settings,
    poster: Poster,
    watch: Watch,
    progress: Progress,
    dead: DeadLetters,
    /// The batch an earlier life has left behind: it may be among the dead letters already.
    inherited: Option<Pending>,
    /// How often the present batch has been tried.
    tries: u32,
}

impl Destination for Writer {
    /// There is none to be made: the receiver is spoken to batch by batch.
    fn connect(&mut self) -> Result<Option<EventTime>, Failure> {
        Ok(self.progress.kept.upto)
    }

    fn disconnect(&mut self) {}

    fn pause_max(&self) -> Duration {
        PAUSE_MAX
    }

    fn write(&mut self, due: &Due, _: Option<EventTime>) -> Result<(), Failure> {
        let mut left = due.items.as_slice();
        if let Some(after) = self.progress.kept.after.clone() {
            left = &left[left.partition_point(|item| mark(item).is_some_and(|it| it <= after))..];
        }
        while !left.is_empty() {
            let (batch, others) = left.split_at(self.length(left));
            self.deliver(batch)?;
            left = others;
        }
        self.progress.kept.upto = Some(due.upto);
        self.progress.kept.after = None;
        self.progress.kept.pending = None;
        Ok(self.progress.save()?)
    }

    /// The lock on the progress sees to it that nobody else has moved it on.
    fn displaced(&self, _: Option<EventTime>, _: Option<EventTime>) -> SinkError {
        WebhookFault::InUse { file: self.progress.path().to_owned() }.into()
    }

    fn watch(&self) -> &Watch {
        &self.watch
    }
}

impl Writer {
    /// How many of these items make up the next batch: those that did when it was posted first.
    fn length(&self, left: &[Item]) -> usize {
        let pending = self.progress.kept.pending.as_ref();
        let begun = pending.map_or(0, |pending| {
            left.partition_point(|item| mark(item).is_some_and(|it| it <= pending.through))
        });
        if begun > 0 { begun } else { left.len().min(self.settings.batch) }
    }

    /// Posts a batch until it is taken or is a dead letter.
    fn deliver(&mut self, batch: &[Item]) -> Result<(), Failure> {
        let Some(through) = batch.last().and_then(mark) else { return Ok(()) };
        let message = Message::of(&self.settings.job, &self.settings.name, batch);
        let pending = Pending { through: through.clone(), id: message.id.clone() };
        if self.progress.kept.pending.as_ref() != Some(&pending) {
            self.progress.kept.pending = Some(pending.clone());
            self.progress.save()?;
        }
        let inherited = self.inherited.take();
        let is_dead =
            inherited.is_some_and(|it| it.id == pending.id) && self.dead.has(&pending.id)?;
        if !is_dead {
            self.post(&message)?;
        }
        self.tries = 0;
        self.progress.kept.after = Some(through);
        self.progress.kept.pending = None; // stored with what comes next
        Ok(())
    }

    fn post(&mut self, message: &Message) -> Result<(), Failure> {
        self.tries += 1;
        let (reason, status) = match self.poster.post(message) {
            Answer::Taken => {
                self.watch.is_well();
                return Ok(());
            }
            Answer::Later { reason, status, after } => {
                let attempts = self.settings.attempts;
                if attempts == 0 || self.tries < attempts {
                    return Err(Failure::Trouble(reason, after));
                }
                (reason, status)
            }
            Answer::Never { reason, status } => (reason, Some(status)),
        };
        let tries = self.tries;
        self.dead.add(&Letter::new(message, reason.clone(), status, tries))?;
        error(format_args!(
            "{}: batch {} was not taken ({reason}, {tries} tries) and is kept in {}; deliver it with \
             `rivulet redeliver`",
            self.watch.name(),
            message.id,
            self.settings.dead_letters().display()
        ));
        Ok(())
    }
}

fn mark(item: &Item) -> Option<Mark> {
    match item {
        Item::Difference(difference) => Some(Mark::of(difference)),
        Item::Profile { .. } | Item::Line { .. } => None,
    }
}

/// An error of a file, with what it was.
fn file_fault(path: &Path) -> impl Fn(std::io::Error) -> WebhookFault {
    move |cause| WebhookFault::File { file: path.to_owned(), cause }
}

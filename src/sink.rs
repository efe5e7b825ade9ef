//! Where outputs go: lines into a file or to standard output, or records that are delivered once
//! whatever happens ([`delivery`]).

pub mod buffer;
mod courier;
pub mod delivery;
pub mod export;
pub mod kafka;
pub mod line;
pub mod postgres;
pub mod proof;
mod queue;
pub mod redis;
pub mod selection;
pub mod webhook;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use dataflows::model::EventTime;
use thiserror::Error;

use self::export::ExportFault;
use self::postgres::PostgresFault;
use self::proof::ProofFault;
use self::redis::RedisFault;
use self::webhook::WebhookFault;
pub use courier::{Courier, Terms};
use kafka::KafkaFault;
pub use queue::Stop;

const BUFFER_BYTES: usize = 1 << 20;

/// What keeps an output from being written.
#[derive(Debug, Error)]
pub enum SinkError {
    /// The file cannot be made.
    #[error("cannot create {}: check that its folder exists and may be written", path.display())]
    Create {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// It cannot be written on.
    #[error("cannot write {name}: make room or choose another place, and run again")]
    Write {
        /// What is written to.
        name: String,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// It is shorter than an earlier run has left it.
    #[error(
        "{name} has {found} bytes, but {expected} of them had been written: put it back as it was, \
         or start anew with another place for state"
    )]
    Shorter {
        /// What is written to.
        name: String,
        /// How long it is.
        found: u64,
        /// How long it was.
        expected: u64,
    },
    /// A topic of Kafka cannot be written.
    #[error(transparent)]
    Kafka(#[from] KafkaFault),
    /// A Redis server cannot be written.
    #[error(transparent)]
    Redis(#[from] RedisFault),
    /// A PostgreSQL database cannot be written.
    #[error(transparent)]
    Postgres(#[from] PostgresFault),
    /// A server does not prove who it is.
    #[error(transparent)]
    Proof(#[from] ProofFault),
    /// A webhook cannot be posted.
    #[error(transparent)]
    Webhook(#[from] WebhookFault),
    /// An export cannot be written.
    #[error(transparent)]
    Export(#[from] ExportFault),
    /// The run was told to stop, and nothing was taken for too long.
    #[error(
        "{name}: {waiting} records could not be delivered within {bound_s} s after the run was \
         told to stop; start it again, and it gives them then"
    )]
    Undelivered {
        /// What is written.
        name: String,
        /// How many items wait.
        waiting: usize,
        /// How long it was waited, in seconds.
        bound_s: u64,
    },
    /// Another process writes in its place.
    #[error(
        "{name}: another process writes it for the same job and sink, so this one ends. Nothing is \
         lost or doubled"
    )]
    Displaced {
        /// What is written.
        name: String,
    },
    /// A server is behind what it had acknowledged.
    #[error(
        "{name} has lost what it had acknowledged, or is another copy: start again with --rebuild \
         {sink}, and it is filled anew"
    )]
    Lost {
        /// What is written.
        name: String,
        /// The name of the sink.
        sink: String,
    },
    /// A server is behind the checkpoint the run goes on from.
    #[error(
        "{name} is behind the checkpoint this run goes on from: it has lost something, or is an old \
         copy; start with --rebuild {sink}, and it is filled anew"
    )]
    Behind {
        /// What is written.
        name: String,
        /// The name of the sink.
        sink: String,
    },
    /// What waits cannot be kept on disk.
    #[error(
        "{name}: cannot write or read its buffer in {}: make room there, or say another buffer_path or \
         a smaller buffer; nothing is lost",
        folder.display()
    )]
    Buffer {
        /// What is written.
        name: String,
        /// Where the buffer is.
        folder: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// Our own bug.
    #[error("{name}: the thread that writes it has failed")]
    Panicked {
        /// What is written.
        name: String,
    },
    /// Whoever read standard output has gone. Not an error to tell anyone.
    #[error("standard output was closed")]
    Closed,
}

/// Something lines are written to.
pub struct Sink {
    name: String,
    writer: BufWriter<Box<dyn Write + Send>>,
    /// Whether every batch is passed on at once, because someone may be looking.
    prompt: bool,
    colour: bool,
    is_terminal: bool,
    /// The file, if it is one.
    file: Option<File>,
    /// How long it was when it was opened, and what has been written since.
    written: u64,
    /// Before which times its length is asked for, and what it was, once that is known.
    cuts: VecDeque<(EventTime, Option<u64>)>,
}

impl Sink {
    /// A new file in place of any old one.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn file(path: &Path) -> Result<Self, SinkError> {
        let create = |cause| SinkError::Create { path: path.into(), cause };
        let file = File::create(path).map_err(create)?;
        Self::over(path, file, 0)
    }

    /// A file that an earlier run has written, cut back to so many bytes.
    ///
    /// # Errors
    /// It cannot be opened, or is shorter.
    pub fn resume(path: &Path, length: u64) -> Result<Self, SinkError> {
        let name = || path.display().to_string();
        let write = |cause| SinkError::Write { name: name(), cause };
        let mut file = File::options().write(true).create(true).truncate(false).open(path);
        let file = file.as_mut().map_err(|cause| SinkError::Create {
            path: path.into(),
            cause: io::Error::new(cause.kind(), cause.to_string()),
        })?;
        let found = file.metadata().map_err(write)?.len();
        if found < length {
            return Err(SinkError::Shorter { name: name(), found, expected: length });
        }
        file.set_len(length).map_err(write)?;
        file.seek(SeekFrom::End(0)).map_err(write)?;
        let file = file.try_clone().map_err(write)?;
        Self::over(path, file, length)
    }

    fn over(path: &Path, file: File, written: u64) -> Result<Self, SinkError> {
        let name = path.display().to_string();
        let own = file.try_clone();
        let own = own.map_err(|cause| SinkError::Write { name: name.clone(), cause })?;
        Ok(Sink {
            writer: BufWriter::with_capacity(BUFFER_BYTES, Box::new(file)),
            file: Some(own),
            written,
            ..Self::prompt(&name, Box::new(io::sink()))
        }
        .unhurried())
    }

    fn unhurried(self) -> Self {
        Sink { prompt: false, ..self }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Asks how long it is before anything of this time or later is written.
    pub fn cut_at(&mut self, time: EventTime) {
        self.cuts.push_back((time, None));
    }

    /// What is written next is of this time.
    pub fn comes_to(&mut self, time: EventTime) {
        for (cut, length) in &mut self.cuts {
            if *cut <= time {
                length.get_or_insert(self.written);
            }
        }
    }

    /// How long it was before anything of `before` or later was written, all of it on the disk;
    /// `None` if it is no file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn position_at(&mut self, before: EventTime) -> Result<Option<u64>, SinkError> {
        let mut length = self.written;
        while let Some((_, noted)) = self.cuts.front().filter(|(cut, _)| *cut <= before) {
            length = noted.unwrap_or(self.written);
            self.cuts.pop_front();
        }
        if self.file.is_none() {
            return Ok(None);
        }
        self.finish()?;
        match self.file.as_ref().map(File::sync_data) {
            // A pipe or a device has nothing to be kept.
            Some(Err(cause)) if cause.kind() != io::ErrorKind::InvalidInput => {
                Err(self.error(cause))
            }
            _ => Ok(Some(length)),
        }
    }

    /// Anything else that is written to. Every batch is passed on at once.
    pub fn prompt(name: &str, writer: Box<dyn Write + Send>) -> Self {
        Sink {
            name: name.to_owned(),
            writer: BufWriter::with_capacity(BUFFER_BYTES, writer),
            prompt: true,
            colour: false,
            is_terminal: false,
            file: None,
            written: 0,
            cuts: VecDeque::new(),
        }
    }

    /// Standard output; in colour on a terminal, unless `NO_COLOR` is set.
    ///
    /// # Errors
    /// It is closed.
    pub fn stdout() -> Result<Self, SinkError> {
        let is_terminal = io::stdout().is_terminal();
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        // A handle of its own, so that it stays data's when others' words are diverted.
        let own = io::stdout().as_fd().try_clone_to_owned().map_err(|_| SinkError::Closed)?;
        let stdout: Box<dyn Write + Send> = Box::new(File::from(own));
        let colour = is_terminal && !no_colour;
        Ok(Sink { colour, is_terminal, ..Self::prompt("standard output", stdout) })
    }

    /// From now on, what anyone prints goes to standard error: sinks made before keep standard
    /// output to themselves. Timely prints there while it looks for the other processes.
    pub fn divert_prints() {
        // Without it the run is as good, and only mixes words into data.
        let _ = nix::unistd::dup2_stdout(io::stderr());
    }

    /// Whether it is a terminal people look at.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Whether lines are to be coloured.
    pub fn colour(&self) -> bool {
        self.colour
    }

    /// Writes lines, each with its end.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn write(&mut self, lines: &[u8]) -> Result<(), SinkError> {
        self.written += lines.len() as u64;
        let written = self.writer.write_all(lines);
        let flushed =
            if self.prompt { written.and_then(|()| self.writer.flush()) } else { written };
        flushed.map_err(|cause| self.error(cause))
    }

    /// Writes what is still held back.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(&mut self) -> Result<(), SinkError> {
        self.writer.flush().map_err(|cause| self.error(cause))
    }

    fn error(&self, cause: io::Error) -> SinkError {
        if self.prompt && cause.kind() == io::ErrorKind::BrokenPipe {
            return SinkError::Closed;
        }
        SinkError::Write { name: self.name.clone(), cause }
    }
}

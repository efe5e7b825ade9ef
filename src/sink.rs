//! Where outputs go: lines into a file or to standard output, or records that are delivered once
//! whatever happens ([`delivery`]).

pub mod delivery;
pub mod kafka;
pub mod line;

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use thiserror::Error;

use kafka::KafkaFault;

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
    /// A topic of Kafka cannot be written.
    #[error(transparent)]
    Kafka(#[from] KafkaFault),
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
}

impl Sink {
    /// A new file in place of any old one.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn file(path: &Path) -> Result<Self, SinkError> {
        let create = |cause| SinkError::Create { path: path.into(), cause };
        let file: Box<dyn Write + Send> = Box::new(File::create(path).map_err(create)?);
        Ok(Sink {
            name: path.display().to_string(),
            writer: BufWriter::with_capacity(BUFFER_BYTES, file),
            prompt: false,
            colour: false,
            is_terminal: false,
        })
    }

    /// Anything else that is written to. Every batch is passed on at once.
    pub fn prompt(name: &str, writer: Box<dyn Write + Send>) -> Self {
        Sink {
            name: name.to_owned(),
            writer: BufWriter::with_capacity(BUFFER_BYTES, writer),
            prompt: true,
            colour: false,
            is_terminal: false,
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
        Ok(Sink {
            name: "standard output".to_owned(),
            writer: BufWriter::with_capacity(BUFFER_BYTES, stdout),
            prompt: true,
            colour: is_terminal && !no_colour,
            is_terminal,
        })
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

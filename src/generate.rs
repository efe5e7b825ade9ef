//! A clickstream from a seed, for trying things out and for measuring: the same bytes on every
//! machine.
//!
//! Record i has the base time `start + i / rate` and carries a time up to `jitter` before it, so
//! with that much disorder allowed none is late. Copies come within the same bound: they are
//! duplicates, not late.

pub mod catalogue;
pub mod changes;
pub mod clicks;
mod line;
pub(crate) mod random;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use dataflows::model::time::{MAX_TIME, MIN_TIME, parse_time};
use dataflows::model::{Duration, EventTime};
use thiserror::Error;

pub use line::Mix;

use line::{SIGN_UP_DAYS, Writer};
use random::{Random, Weighted};

const WRITE_BYTES: usize = 1 << 20;

/// What the stream is to be like.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// How many records, not counting copies
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub events: u64,
    /// How many users there are to draw from
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub users: u32,
    /// How many records a second of event time has
    #[arg(long, value_name = "EVENTS_PER_SECOND", default_value_t = 5_000.0)]
    pub rate: f64,
    /// How uneven users are: the n-th is drawn as often as 1 / n^S; 0 is even
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    pub zipf: f64,
    /// How far records may be out of order
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = Duration::parse)]
    pub jitter: Duration,
    /// The share of records that are sent twice
    #[arg(long, value_name = "SHARE", default_value_t = 0.005, value_parser = share)]
    pub duplicates: f64,
    /// Which events, and how often
    #[arg(
        long,
        value_name = "EVENT=WEIGHT,…",
        default_value = "page_view=70,click=20,add_to_cart=7,purchase=3"
    )]
    pub mix: Mix,
    /// The share of records that set attributes
    #[arg(long, value_name = "SHARE", default_value_t = 0.01, value_parser = share)]
    pub identify: f64,
    /// When the first record happens
    #[arg(long, value_name = "TIME", default_value = "2026-01-01T00:00:00Z", value_parser = parse_time)]
    pub start: EventTime,
    /// Equal seeds give equal bytes
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub seed: u64,
    /// Over how many files records are dealt out in turn: out.p0.jsonl, out.p1.jsonl, …
    #[arg(long, value_name = "P", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub partitions: u32,
    /// Where to write; - is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub out: PathBuf,
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Records, not counting copies.
    pub records: u64,
    /// Copies.
    pub copies: u64,
    /// Bytes of all.
    pub bytes: u64,
}

/// What keeps a stream from being made.
#[derive(Debug, Error)]
pub enum GenerateError {
    /// The settings do not fit together.
    #[error("{0}")]
    Settings(String),
    /// It cannot be written.
    #[error("cannot write {}: check its folder, make room or choose another place", path.display())]
    Write {
        /// Where to.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// Whoever read standard output has gone. Not an error to tell anyone.
    #[error("standard output was closed")]
    Closed,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err(format!("{text:?} is not a share between 0 and 1, such as 0.01")),
    }
}

/// Makes the stream and writes it where the settings say.
///
/// # Errors
/// The settings do not fit together, or a file cannot be written.
pub fn run(args: &Args) -> Result<Summary, GenerateError> {
    check(args)?;
    let (path, outputs) = open(args)?;
    let mut outputs = outputs;
    let is_stdout = args.out == Path::new("-");
    write(args, &mut outputs).map_err(|cause| match cause.kind() {
        io::ErrorKind::BrokenPipe if is_stdout => GenerateError::Closed,
        _ => GenerateError::Write { path, cause },
    })
}

/// Refuses settings that do not fit together.
///
/// # Errors
/// One line that names the flag.
pub fn check(args: &Args) -> Result<(), GenerateError> {
    let refuse = |reason: &str| Err(GenerateError::Settings(reason.into()));
    if !(args.rate > 0.0 && args.rate <= 1e9) {
        return refuse("--rate must be above 0 and at most 1000000000");
    }
    if !(0.0..=10.0).contains(&args.zipf) {
        return refuse("--zipf must be between 0 and 10");
    }
    if args.users == 0 || args.partitions == 0 {
        return refuse("--users and --partitions must be at least 1");
    }
    if args.partitions > 1 && args.out == Path::new("-") {
        return refuse("--partitions needs --out FILE: standard output is one partition");
    }
    let length_ms = args.events as f64 * 1_000.0 / args.rate;
    if length_ms > (MAX_TIME - args.start) as f64 {
        return refuse("--events at this --rate go on beyond the year 9999");
    }
    let before_start = args.jitter.ms().max(SIGN_UP_DAYS * 86_400_000);
    if args.start.saturating_sub(before_start) < MIN_TIME {
        return refuse("--start is too close to the year 1");
    }
    Ok(())
}

type Output = Box<dyn Write>;

/// Opens the outputs; also the path to name when writing fails.
fn open(args: &Args) -> Result<(PathBuf, Vec<Output>), GenerateError> {
    if args.out == Path::new("-") {
        let path = PathBuf::from("standard output");
        return Ok((path, vec![Box::new(BufWriter::with_capacity(WRITE_BYTES, io::stdout()))]));
    }
    let create = |path: PathBuf| match File::create(&path) {
        Ok(file) => Ok(Box::new(BufWriter::with_capacity(WRITE_BYTES, file)) as Output),
        Err(cause) => Err(GenerateError::Write { path, cause }),
    };
    let outputs = if args.partitions == 1 {
        vec![create(args.out.clone())?]
    } else {
        let paths = (0..args.partitions).map(|index| partition_path(&args.out, index));
        paths.map(create).collect::<Result<_, _>>()?
    };
    Ok((args.out.clone(), outputs))
}

/// `shop.jsonl` becomes `shop.p0.jsonl`.
fn partition_path(path: &Path, index: u32) -> PathBuf {
    match path.extension() {
        Some(ending) => {
            let mut new = std::ffi::OsString::from(format!("p{index}."));
            new.push(ending);
            path.with_extension(new)
        }
        None => path.with_extension(format!("p{index}")),
    }
}

/// A copy that waits to be sent: when, in which order, and its bytes.
type Waiting = Reverse<(EventTime, u64, Vec<u8>)>;

/// Makes the stream and deals its lines out to the outputs in turn. Settings that
/// [`check`] refuses give a stream of no use.
///
/// # Errors
/// An output cannot be written.
pub fn write(args: &Args, outputs: &mut [Box<dyn Write>]) -> io::Result<Summary> {
    let mut dealer = Dealer { outputs, next: 0, summary: Summary::default() };
    let mut random = Random::new(args.seed);
    let users = Weighted::zipf(args.users.max(1), args.zipf);
    let mut writer = Writer::new(args.seed, args.start, &args.mix);
    let mut waiting: BinaryHeap<Waiting> = BinaryHeap::new();
    let jitter = args.jitter.ms().unsigned_abs();
    let mut line = Vec::new();
    for number in 0..args.events {
        let base = args.start + (number as f64 * 1_000.0 / args.rate) as i64;
        while waiting.peek().is_some_and(|Reverse((due, ..))| *due < base) {
            dealer.copy(waiting.pop())?;
        }
        let back = random.below(jitter);
        let user = users.draw(&mut random) as u64;
        let head = (number, user, base - back.cast_signed());
        line.clear();
        if random.chance(args.identify) {
            writer.identify(&mut line, head, &mut random);
        } else {
            writer.track(&mut line, head, &mut random);
        }
        if random.chance(args.duplicates) {
            // At `due` no record is later than `due`, so a clock that allows for the jitter
            // stands before this record's time still.
            let due = base + random.below(jitter - back).cast_signed();
            waiting.push(Reverse((due, number, line.clone())));
        }
        dealer.summary.records += 1;
        dealer.deal(&line)?;
    }
    while let Some(copy) = waiting.pop() {
        dealer.copy(Some(copy))?;
    }
    dealer.outputs.iter_mut().try_for_each(|output| output.flush())?;
    Ok(dealer.summary)
}

/// Deals lines out to the outputs in turn.
struct Dealer<'a> {
    outputs: &'a mut [Output],
    next: usize,
    summary: Summary,
}

impl Dealer<'_> {
    fn deal(&mut self, line: &[u8]) -> io::Result<()> {
        self.summary.bytes += line.len() as u64;
        if let Some(output) = self.outputs.get_mut(self.next) {
            output.write_all(line)?;
        }
        self.next = if self.next + 1 >= self.outputs.len() { 0 } else { self.next + 1 };
        Ok(())
    }

    fn copy(&mut self, waiting: Option<Waiting>) -> io::Result<()> {
        let Some(Reverse((_, _, line))) = waiting else { return Ok(()) };
        self.summary.copies += 1;
        self.deal(&line)
    }
}

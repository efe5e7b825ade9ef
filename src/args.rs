//! Arguments as they are typed. What they mean is worked out in [`crate::verbs`].

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use dataflows::model::time::parse_time;
use dataflows::model::{Duration, EventTime};

use crate::run::Until;
use crate::say::Form;
use crate::{bench, generate};

/// Who is in which segment, the moment it changes
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Arguments {
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
    /// In what form things are said on standard error
    #[arg(long, global = true, value_name = "FORM", default_value = "text", env = "RIVULET_LOG")]
    #[arg(hide_env_values = true, hide_possible_values = true)]
    pub log: Form,
}

const EXAMPLES: &str = "\
Examples:
  rivulet replay --segments segments --events events.jsonl
  rivulet run job.toml
  rivulet check --segments segments
  rivulet explain --segments segments --events events.jsonl --user u1 --segment high_value
  rivulet export job.toml --to out --format csv
  rivulet generate --events 1000000 --out events.jsonl

Standard output carries data only; everything said goes to standard error.
Exit codes: 0 fine, 1 verify or state --check found something, 2 usage, configuration, input or output,
3 another process of the cluster is gone.";

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Read files, write who entered and left which segment, then stop
    #[command(after_help = "\
Examples:
  rivulet replay --segments segments --events events.jsonl
  rivulet replay --segments segments --events a.jsonl b.jsonl.gz --workers 2 --out diffs.jsonl
  tail -n +1 events.jsonl | rivulet replay --segments segments --events - --format text
  rivulet replay --job job.toml --until last --stats stats.json
  rivulet replay --job job.toml --process 0 --hosts hosts.txt   (and --process 1 elsewhere)

Processes on several machines know one another by a secret: --secret-file, or [cluster] secret in
the job file.")]
    Replay(Box<Replay>),
    /// Run a job until told to stop: Kafka and files in, differences out as they come
    #[command(after_help = "\
Examples:
  rivulet run job.toml
  rivulet run job.toml --workers 2 --stats stats.json
  rivulet run job.toml --until caught-up                        (stops at what there is now)
  rivulet run job.toml --supervise                              (starts it again when it dies)
  rivulet run job.toml --process 0 --hosts hosts.txt --supervise   (and --process 1 elsewhere)

The definitions are watched: an edit takes effect while the job runs, what is wrong is said and
changes nothing. SIGHUP reads them at once.
Files and pipes are read to their end, topics for ever. SIGTERM or Ctrl-C ends it: what was read is
applied as far as the watermark, outputs are written, and windows are left as they are. A second
signal ends it at once.")]
    Run(Box<Run>),
    /// Say everything that is wrong with definitions or a job, without running it
    #[command(after_help = "\
Examples:
  rivulet check --segments segments
  rivulet check --segments segments --changes changes.jsonl
  rivulet check --job job.toml")]
    Check(Check),
    /// Replay, and compare every difference with a recomputation from the whole log
    #[command(after_help = "\
Examples:
  rivulet verify --segments segments --events events.jsonl
  rivulet verify --job job.toml --workers 4")]
    Verify(Verify),
    /// Show why a user is in a segment, or is not: the rule with every value
    #[command(after_help = "\
Examples:
  rivulet explain --segments segments --events events.jsonl --user u1 --segment high_value
  rivulet explain --job job.toml --user u1 --segment high_value --at 2026-01-01T00:05:00Z")]
    Explain(Explain),
    /// Estimate how many users a definition would have, from a sample of them
    #[command(after_help = "\
Examples:
  rivulet estimate --segments segments --events events.jsonl --rules new.json
  rivulet estimate --job job.toml --rules new.json --sample 100000 --format json")]
    Estimate(Estimate),
    /// Write a made-up clickstream, the same for every seed
    #[command(after_help = "\
Examples:
  rivulet generate --events 2000000 --users 200000 --out events.jsonl
  rivulet generate --events 1000 --mix page_view=1,purchase=1 --jitter 1s | head -3")]
    Generate(generate::Args),
    /// Measure how fast it all is, in one table
    #[command(after_help = "\
Examples:
  rivulet bench --list
  rivulet bench --runs 3 w1 w2-selective-1000
  rivulet bench --peers=../shared/peers --json bench.json")]
    Bench(Box<bench::Args>),
    /// List the checkpoints of a job's state, newest first, and check that they are whole
    #[command(after_help = "\
Examples:
  rivulet state --job job.toml
  rivulet state --job job.toml --check
  rivulet state state --json
  rivulet state s3://bucket/prefix --check   (keys and region from the environment, as AWS's tools)")]
    State(State),
    /// Post the dead letters of a job's webhook again
    #[command(after_help = "\
Examples:
  rivulet redeliver job.toml
  rivulet redeliver job.toml --sink crm --letters old.dead.jsonl

Each batch is posted once, with the identifier it had, so that a receiver that has taken it after all
knows it. What is not taken stays a dead letter. The job may run meanwhile.")]
    Redeliver(Redeliver),
    /// Write a segment's users, or the differences, as files: CSV, JSON lines or Parquet
    #[command(after_help = "\
Examples:
  rivulet export --server http://127.0.0.1:8080 --segment high_value --to out
  rivulet export --server http://127.0.0.1:8080 --format csv --to s3://bucket/prefix
  rivulet export job.toml --of differences --to out
  rivulet export job.toml --at 2026-01-02T00:00:00Z --format jsonl --to out

A running job is asked who is in which segment, all as of one time. The files of a job are replayed
up to that of the last record. Nothing counts that no manifest names; it is put last. Keys and region
of an object store are those of the environment, as AWS's tools have them. [[export]] in a job file
does the same on a schedule.")]
    Export(Box<Export>),
    /// Print the JSON Schema of segments, events or jobs, for editors
    #[command(after_help = "\
Examples:
  rivulet schema segment > segment.schema.json")]
    Schema(Schema),
}

/// What to read and by which rules.
#[derive(Debug, Args)]
pub struct What {
    /// A job file (TOML); says what to read and write
    #[arg(long, value_name = "FILE", conflicts_with_all = ["segments", "events"])]
    pub job: Option<PathBuf>,
    /// Definitions: a JSON file, or a folder of them
    #[arg(long, value_name = "PATH", required_unless_present = "job")]
    pub segments: Option<PathBuf>,
    /// Records, one JSON object a line; each file is a partition; - is standard input
    #[arg(long, value_name = "PATH", num_args = 1.., required_unless_present = "job")]
    pub events: Vec<PathBuf>,
    /// Changes of the definitions in mid-stream: JSON lines with time and put or delete
    #[arg(long, value_name = "FILE")]
    pub changes: Option<PathBuf>,
    /// How far back a definition put in mid-stream sees events; without it, to the beginning
    #[arg(long, value_name = "DURATION", value_parser = Duration::parse)]
    pub retain: Option<Duration>,
    /// The settings of time
    #[command(flatten)]
    pub clock: Clock,
}

/// The settings of time.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Time")]
pub struct Clock {
    /// When differences are released: on_watermark (final) or on_event (at once)
    #[arg(long, value_name = "WHEN")]
    pub emit: Option<EmitWhen>,
    /// How far behind the latest time of its partition a record may be [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = Duration::parse)]
    pub max_out_of_orderness: Option<Duration>,
    /// After how long without records a partition holds nothing back (running jobs) [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = Duration::parse)]
    pub idle_timeout: Option<Duration>,
    /// How far ahead of wall time a record may be (running jobs) [default: 1h]
    #[arg(long, value_name = "DURATION", value_parser = Duration::parse)]
    pub max_ahead: Option<Duration>,
    /// How far apart two records of one messageId are one [default: max-out-of-orderness]
    #[arg(long, value_name = "DURATION", value_parser = Duration::parse)]
    pub dedup_horizon: Option<Duration>,
    /// Windows longer than a day empty at the next multiple of this [default: 1m]
    #[arg(long, value_name = "DURATION", value_parser = Duration::parse)]
    pub granularity: Option<Duration>,
}

/// When differences are released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum EmitWhen {
    /// When the watermark passes: final
    OnWatermark,
    /// At once
    OnEvent,
}

/// Who works.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Workers")]
pub struct Workers {
    /// Worker threads of this process; more than there are cores only slows it down
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: u16,
    /// Which of the processes in --hosts this is, from 0
    #[arg(long, value_name = "I", requires = "hosts")]
    pub process: Option<usize>,
    /// A file with host:port of every process, one a line
    #[arg(long, value_name = "FILE", requires = "process")]
    pub hosts: Option<PathBuf>,
    /// A file with the secret by which the processes know one another, if the job file has none
    #[arg(long, value_name = "FILE", requires = "hosts")]
    pub secret_file: Option<PathBuf>,
}

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// What to read and by which rules
    #[command(flatten)]
    pub what: What,
    /// Where differences go; without it, standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// How differences are written [default: text on a terminal, else json]
    #[arg(long, value_name = "FORM")]
    pub format: Option<Format>,
    /// Where to end: end (all windows empty), last (the last event's time), or a time
    #[arg(long, value_name = "END", default_value = "end", value_parser = until)]
    pub until: Until,
    /// Where records go that came too late
    #[arg(long, value_name = "FILE")]
    pub late: Option<PathBuf>,
    /// Where records go that could not be understood
    #[arg(long, value_name = "FILE")]
    pub rejected: Option<PathBuf>,
    /// Where one JSON object with the counts and costs of the run goes
    #[arg(long, value_name = "FILE")]
    pub stats: Option<PathBuf>,
    /// Who works
    #[command(flatten)]
    pub workers: Workers,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// A job file (TOML); says what to read and write
    #[arg(value_name = "JOB")]
    pub job: PathBuf,
    /// When to end by itself: caught-up (all read that the topics and files hold at the start)
    #[arg(long, value_name = "WHEN")]
    pub until: Option<RunUntil>,
    /// How differences are written, whatever the job says
    #[arg(long, value_name = "FORM")]
    pub format: Option<Format>,
    /// Where one JSON object with the counts and costs of the run goes
    #[arg(long, value_name = "FILE")]
    pub stats: Option<PathBuf>,
    /// Clear away what this sink of the job has written, and fill it anew (redis, postgres)
    #[arg(long, value_name = "SINK")]
    pub rebuild: Vec<String>,
    /// Start it again whenever it dies or loses another process, until it is told to stop
    #[arg(long)]
    pub supervise: bool,
    /// The process that has started it, and without which it ends
    #[arg(long, value_name = "PROCESS", hide = true)]
    pub supervised_by: Option<u32>,
    /// The settings of time
    #[command(flatten)]
    pub clock: Clock,
    /// Who works
    #[command(flatten)]
    pub workers: Workers,
}

/// When a job ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RunUntil {
    /// When all has been read that there was when it began
    CaughtUp,
}

/// How differences are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// JSON lines
    Json,
    /// Lines for people
    Text,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// A job file (TOML), with the definitions it names
    #[arg(long, value_name = "FILE", conflicts_with = "segments")]
    pub job: Option<PathBuf>,
    /// Definitions: a JSON file, or a folder of them
    #[arg(long, value_name = "PATH", required_unless_present = "job")]
    pub segments: Option<PathBuf>,
    /// Changes of the definitions in mid-stream
    #[arg(long, value_name = "FILE")]
    pub changes: Option<PathBuf>,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// What to read and by which rules
    #[command(flatten)]
    pub what: What,
    /// Worker threads
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: u16,
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// What to read and by which rules
    #[command(flatten)]
    pub what: What,
    /// Whom
    #[arg(long, value_name = "ID")]
    pub user: String,
    /// Which segment
    #[arg(long, value_name = "ID")]
    pub segment: String,
    /// At which time [default: that of the last record]
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub at: Option<EventTime>,
    /// How it is shown [default: text]
    #[arg(long, value_name = "FORM")]
    pub format: Option<Format>,
}

/// Arguments of `estimate`.
#[derive(Debug, Args)]
pub struct Estimate {
    /// What to read, and the segments it may refer to
    #[command(flatten)]
    pub what: What,
    /// A file with the definition; its id may be left out
    #[arg(long, value_name = "FILE")]
    pub rules: PathBuf,
    /// About how many users to look at
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub sample: u64,
    /// At which time [default: that of the last record]
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub at: Option<EventTime>,
    /// How it is shown [default: text]
    #[arg(long, value_name = "FORM")]
    pub format: Option<Format>,
}

/// Arguments of `state`.
#[derive(Debug, Args)]
pub struct State {
    /// Where the state is: a folder, or s3://bucket/prefix
    #[arg(value_name = "PATH", required_unless_present = "job")]
    pub path: Option<String>,
    /// A job file (TOML) that says where its state is
    #[arg(long, value_name = "FILE", conflicts_with = "path")]
    pub job: Option<PathBuf>,
    /// Read every byte and say what is wrong; exit code 1 if anything is
    #[arg(long)]
    pub check: bool,
    /// One JSON object a checkpoint, and one of the chronicle, if there is any
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `redeliver`.
#[derive(Debug, Args)]
pub struct Redeliver {
    /// A job file (TOML) with a sink of kind webhook
    #[arg(value_name = "JOB")]
    pub job: PathBuf,
    /// The name of the sink, if the job has several
    #[arg(long, value_name = "SINK")]
    pub sink: Option<String>,
    /// The file of the dead letters [default: that of the sink]
    #[arg(long, value_name = "FILE")]
    pub letters: Option<PathBuf>,
}

/// Arguments of `export`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("from").required(true).args(["job", "server"]))]
pub struct Export {
    /// A job file (TOML) whose records are replayed
    #[arg(value_name = "JOB")]
    pub job: Option<PathBuf>,
    /// The address of a running job that answers, to be asked instead
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// A file with the token that it wants, of scope read
    #[arg(long, value_name = "FILE", requires = "server")]
    pub token_file: Option<PathBuf>,
    /// What to write
    #[arg(long, value_name = "WHAT", default_value = "users")]
    pub of: ExportOf,
    /// Of this segment only; may be said several times
    #[arg(long = "segment", value_name = "ID")]
    pub segments: Vec<String>,
    /// What the files are like
    #[arg(long, value_name = "FORM", default_value = "parquet")]
    pub format: FileForm,
    /// Where they go: a folder, or s3://bucket/prefix
    #[arg(long, value_name = "PLACE")]
    pub to: String,
    /// As of which time [default: now, or that of the last record]
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub at: Option<EventTime>,
}

/// What is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportOf {
    /// Who is in which segment
    Users,
    /// Who entered and left
    Differences,
}

/// What a file is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FileForm {
    /// Comma-separated values
    Csv,
    /// JSON lines
    Jsonl,
    /// Parquet
    Parquet,
}

/// Arguments of `schema`.
#[derive(Debug, Args)]
pub struct Schema {
    /// Of what: segment, event or job
    #[arg(value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(crate::schema::NAMES))]
    pub name: String,
}

fn until(text: &str) -> Result<Until, String> {
    match text {
        "end" => Ok(Until::End),
        "last" => Ok(Until::Last),
        time => instant(time).map(Until::Time).map_err(|_| {
            format!("{time:?} is not end, last, or a time such as 2026-01-01T00:00:00Z")
        }),
    }
}

fn instant(text: &str) -> Result<EventTime, String> {
    text.parse().or_else(|_| parse_time(text))
}

//! The shell of Rivulet: everything that reads, writes or is configured. What is computed lives
//! in the crate `dataflows`.
//!
//! # One record's journey
//! ```text
//!  args ── verbs ── job, definitions          what was typed, made into what is meant
//!                        │
//!  source ──► ingest ──► run ──► dataflow ──► run ──► sink
//!  lines      records    feeds   computes     takes    lines out
//!             format
//! ```
//! 1. [`args`] holds what was typed. [`verbs`] makes of it a [`job`], with no holes, and the valid
//!    [`definitions`]; nothing below sees an option that may be missing.
//! 2. [`source`] reads bytes into chunks of whole lines, each line with its offset in its
//!    partition. It does not understand them.
//! 3. [`ingest`] has [`format`](mod@format) read each line: into what the rules want of it, or into
//!    the reason why it is rejected. The clock of its partition then says whether it is late, in
//!    the order of offsets, whichever worker read it.
//! 4. [`run`](mod@run) hands it to `dataflows::segmentation` at its event time, on the worker that read it,
//!    and says how far time has come; there it goes to the worker of its user, and what it flips
//!    comes out as differences once the frontier has passed.
//! 5. `run` takes these and has [`sink`] write them: lines of JSON or text, or records of Kafka that
//!    are delivered once, in the order of (time, segment, user). Late and rejected records take the
//!    same way.
//!
//! Beside it: [`serve`] answers over HTTP who is in what, from a view that `run` tells the same
//! differences; [`state`] is where checkpoints are kept, which `run` takes while all this goes on and
//! goes on from; [`trace`] tells a collector of OpenTelemetry what becomes of a few records; [`mesh`]
//! connects the processes of a cluster; [`generate`] makes a clickstream from a seed, [`schema`] holds
//! the published JSON Schemas, and [`mod@bench`] measures how fast all of it is. `verify` and `explain` read the log the
//! other way, whole, for `dataflows::oracle`.
//!
//! # Who sees whom
//! `source` and `sink` know bytes, `format` knows records, `job` and `definitions` know files of
//! settings; none of them knows how the others work. `run` alone sees all, `verbs` above it, and
//! `main` turns the end into an exit code. Every queue between threads is bounded, so a slow sink
//! slows the source. Bad data becomes an output, outside trouble an error that names its object.
//! `tests/layering.rs` holds the files to it.

pub mod args;
pub mod bench;
pub mod definitions;
pub mod format;
pub mod generate;
pub mod ingest;
pub mod job;
pub mod librdkafka;
pub mod mesh;
pub mod run;
pub mod say;
pub mod schema;
pub mod serve;
pub mod sink;
pub mod source;
pub mod state;
pub mod threads;
pub mod trace;
pub mod verbs;

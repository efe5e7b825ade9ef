//! The computation of Rivulet: changes in, differences out.
//!
//! What comes in: records about users (events, attributes, deletions), each with an event time; the
//! definitions of segments, and edits of them; and how far event time has come. What comes out: who
//! entered and who left which segment, and when. In between stands one dataflow whose shape never
//! changes, however many segments there are, because *rules are data, not operators*.
//!
//! ```text
//!  records ── streams ──► Update, Stamp ─┐                 ┌─► differences (time, segment, user, ±1)
//!             (what the rules ask of it) │                 │
//!  clock ── late? watermark = frontier ──┤                 │
//!                                        ▼                 │
//!                     dedup ─► membership ─► compose ─► release
//!                    copies    per user:     segments    one time together,
//!                      out     facts, cuts,  that refer  in order, when the
//!                              rules         to segments frontier has passed
//!                                ▲
//!  definitions ── rule ── catalog ── plan (compiled: which change may flip what)
//! ```
//!
//! # Where each idea lives
//! | idea | module |
//! |---|---|
//! | times, exact numbers, values, records, differences | [`model`] |
//! | the rule language: its tables, its parser, what a comparison means | [`rule`] |
//! | the segments in force, what may stand beside what, edits in mid-stream | [`catalog`] |
//! | which events the rules ask about, and what they take from each | [`streams`] |
//! | lateness and the watermark, decided by the records alone | [`clock`] |
//! | the dataflow as a whole: its inputs, its outputs, how they are joined | [`segmentation`] |
//! | rules compiled: from a change to what it may flip | [`operators::plan`] |
//! | the intervals between thresholds in which a fact may move unseen | [`operators::matching`] |
//! | who is in what, the moment it changes; all users | [`operators::membership`] |
//! | what is known of one user | `operators::`{[`attributes`], [`window`], [`sequence`]} |
//! | what is due later, kept outside of every arrangement | [`operators::wheel`] |
//! | second copies | [`operators::dedup`] |
//! | references: differential joins and counts in one `iterate` | [`operators::compose`] |
//! | what survives a crash, and how it comes back | [`operators::checkpoint`] |
//! | which counted events are second copies | [`operators::counted`] |
//! | what outputs are told of attributes, and in step with what | [`operators::profiles`], [`operators::together`] |
//! | distinct users, the most frequent values, memberships to hand out: sketches with their errors | [`sketch`] |
//! | the way in and the ordered way out | [`operators::feed`], [`operators::release`] |
//! | the judge: everything recomputed from the whole log | [`oracle`] |
//! | why a user is in a segment, or is not | [`explain`], as it is told [`explained`] |
//! | random worlds for tests; the dataflow over a log in memory | [`generate`], [`in_memory`] |
//!
//! # Invariants
//! - No clock, file, socket, environment or random source has a name here (`.clippy.toml`). Time is
//!   an argument, so a replay equals what was live.
//! - The frontier is the watermark, and what has been released is final.
//! - The number of operators does not depend on the number of segments (`tests/shape.rs`).
//! - Work follows change: a record costs what it flips and what its own user holds, not the number
//!   of users, of segments, or of events in windows. A fact that crosses no threshold ends there.
//! - Everything about one user happens on one worker, so outputs do not depend on their number.
//! - Membership is 0 or 1, and its signs alternate.
//! - Nothing is dropped unseen: a record is applied, late, rejected or a second copy, and these are
//!   counted.
//! - The oracle sees the model, the rules and the catalogue, never the operators; both agree on
//!   every random world (`tests/oracle.rs`).
//! - Bad data is an output. What cannot happen is a panic that says so.
//!
//! [`attributes`]: operators::attributes
//! [`window`]: operators::window
//! [`sequence`]: operators::sequence

pub mod catalog;
pub mod clock;
mod codec;
pub mod explain;
pub mod explained;
pub mod generate;
pub mod in_memory;
pub mod mentions;
pub mod model;
pub mod operators;
pub mod oracle;
pub mod rule;
pub mod segmentation;
pub mod sketch;
pub mod streams;

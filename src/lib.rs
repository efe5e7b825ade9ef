//! The shell of Rivulet: everything that reads, writes or is configured. What is computed lives
//! in the crate `dataflows`.

pub mod args;
pub mod definitions;
pub mod format;
pub mod generate;
pub mod ingest;
pub mod job;
pub mod run;
pub mod schema;
pub mod sink;
pub mod source;
pub mod verbs;

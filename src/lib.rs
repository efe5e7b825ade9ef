//! The shell of Rivulet: everything that reads, writes or is configured. What is computed lives
//! in the crate `dataflows`.

pub mod definitions;
pub mod format;
pub mod generate;
pub mod job;
pub mod schema;
pub mod source;

//! The operators: one idea a file, a pure state machine inside a thin timely shell.

pub mod attributes;
pub mod compose;
pub mod dedup;
pub mod feed;
pub mod matching;
pub mod membership;
pub mod plan;
pub mod release;
pub mod sequence;
pub mod settled;
pub mod users;
pub mod wheel;
pub mod window;

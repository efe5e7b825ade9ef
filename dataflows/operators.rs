//! The operators: one idea a file, a pure state machine inside a thin timely shell.

pub mod attributes;
pub mod cell;
pub mod checkpoint;
pub mod compose;
pub mod counted;
pub mod dedup;
pub mod feed;
pub mod held;
pub mod matching;
pub mod members;
pub mod membership;
pub mod memory;
pub mod plan;
pub mod pool;
pub mod profiles;
pub mod release;
pub mod sequence;
pub mod settled;
pub mod slots;
pub mod spread;
pub mod store;
pub mod together;
pub mod users;
pub mod wheel;
pub mod window;

//! The program as people meet it: the real binary, in a fresh folder.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

mod common;

#[path = "cli/at_once.rs"]
mod at_once;
#[path = "cli/files.rs"]
mod files;
#[path = "cli/logs.rs"]
mod logs;
#[path = "cli/pipes.rs"]
mod pipes;
#[path = "cli/replay.rs"]
mod replay;
#[path = "cli/seeking.rs"]
mod seeking;
#[path = "cli/state.rs"]
mod state;
#[path = "cli/verbs.rs"]
mod verbs;

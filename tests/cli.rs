//! The program as people meet it: the real binary, in a fresh folder.

mod common;

#[path = "cli/files.rs"]
mod files;
#[path = "cli/pipes.rs"]
mod pipes;
#[path = "cli/replay.rs"]
mod replay;
#[path = "cli/verbs.rs"]
mod verbs;

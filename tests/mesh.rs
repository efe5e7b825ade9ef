//! How processes of a cluster find one another, whom they refuse, and what becomes of them when the
//! network between them does not work.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

mod common;

#[path = "mesh/meeting.rs"]
mod meeting;

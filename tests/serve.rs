//! A running job asked over real HTTP on loopback.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

#[path = "serve/across.rs"]
mod across;
#[path = "serve/attributes.rs"]
mod attributes;
#[path = "serve/client.rs"]
mod client;
mod common;
#[path = "serve/definitions.rs"]
mod definitions;
#[path = "serve/differences.rs"]
mod differences;
#[path = "serve/events.rs"]
mod events;
#[path = "serve/exports.rs"]
mod exports;
#[path = "common/kafka.rs"]
mod harness;
#[path = "serve/lookups.rs"]
mod lookups;
#[path = "serve/names.rs"]
mod names;
#[path = "serve/openapi.rs"]
mod openapi;
#[path = "serve/past.rs"]
mod past;
#[path = "serve/restart.rs"]
mod restart;
#[path = "serve/retained.rs"]
mod retained;
#[path = "serve/safety.rs"]
mod safety;
#[path = "serve/sketches.rs"]
mod sketches;

//! What is promised of whole runs, held against every step a crash may come after.

mod simulation;
mod stalled;

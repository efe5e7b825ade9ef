//! Sketches: answers about very many users from little memory, each with its error.
//!
//! | asked | sketch | stated error |
//! |---|---|---|
//! | how many different users did something | HyperLogLog, in [`Distinct`] | 1.63 % at two standard deviations |
//! | how many are in two such sets, in either, in one only | theta, [`Set`] | bounds from the sketch itself |
//! | which values are the most frequent | Count-Min, [`Top`] | never too low; above by at most [`top::EPSILON`] of all, save in [`top::DELTA`] of the cases |
//! | is this user in the segment, at a place far away | Bloom filter, [`membership`] | never wrong for a member; for others as often as is asked for |
//!
//! The sketches are those of Apache DataSketches (the crate `datasketches`); here is what makes
//! windows of them. A sketch cannot forget, so time is cut into [`Panes`] with a sketch each, and a
//! window is the union of its panes. Users go in by their [`UserKey`](crate::model::UserKey), so a
//! name is hashed once however many sketches it enters.
//!
//! All of it is a function of what was put in, whatever the order: which users and values, at which
//! times.

pub mod bloom;
pub mod distinct;
pub mod panes;
pub mod set;
pub mod top;

pub use bloom::membership;
pub use distinct::Distinct;
pub use panes::{Changed, Pane, Panes, Sketch, Span, Unreadable};
pub use set::{Count, Set};
pub use top::Top;

#[cfg(test)]
mod tests;

//! The computation of Rivulet: changes in, differences out.
pub mod catalog;
pub mod clock;
pub mod explain;
pub mod generate;
pub mod model;
pub mod oracle;
pub mod rule;

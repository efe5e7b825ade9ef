//! The computation of Rivulet: changes in, differences out.
pub mod catalog;
pub mod clock;
pub mod explain;
pub mod generate;
pub mod in_memory;
pub mod mentions;
pub mod model;
pub mod operators;
pub mod oracle;
pub mod rule;
pub mod segmentation;
pub mod streams;

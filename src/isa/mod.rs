//! (being built)

pub mod float;

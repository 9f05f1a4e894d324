//! The whole machine: a hart, RAM and devices behind one deterministic door.

pub mod io;

pub use io::{Channel, Exit, Input, Output, Request, Stop};

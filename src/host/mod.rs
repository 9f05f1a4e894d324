//! The real world: files, sockets, clocks.

pub mod logdir;

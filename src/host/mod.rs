//! The real world: clock, threads, sockets, files.
//!
//! Reading order: [`logdir`] (a recording on disk), [`switch`] (the switch process), [`port`] (a
//! node's plug into it), [`stop`] (ends poll loops).

pub mod logdir;
pub mod port;
pub mod stop;
pub mod switch;

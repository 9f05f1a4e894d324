//! The real world: clock, threads, sockets, files.
//!
//! Reading order: [`durable`] (files that a crash leaves whole), [`arbiter`] (a directory or an etcd), [`logdir`]
//! (a recording on disk), [`disk`] (the guests' disks), [`link`] (connections between nodes; [`mortal`]: they end
//! when the other host is gone), [`switch`] (the network's process), [`port`] (a node's plug into it), [`stop`]
//! (ends poll loops), [`terminal`] and [`keys`] (the one we were started from), [`console`], [`attach`]
//! (another node's console, over connections that die), [`driver`] (events in, commands out, one node), [`cluster`] (a
//! whole pair as processes), [`onlooker`] (at its console), [`linux`] (Debian's images), [`kvclient`] (a load that checks every answer),
//! [`counterload`] (the same over TCP), [`guests`], [`scratch`] (a directory for one run), [`say`] (what people are told).

pub mod arbiter;
pub mod attach;
pub mod cluster;
pub mod console;
pub mod counterload;
pub mod disk;
pub mod driver;
pub mod durable;
pub mod guests;
pub mod keys;
pub mod kvclient;
pub mod link;
pub mod linux;
pub mod logdir;
pub mod mortal;
pub mod onlooker;
pub mod port;
pub mod say;
pub mod scratch;
pub mod stop;
pub mod switch;
pub mod terminal;

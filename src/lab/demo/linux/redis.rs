//! How Redis is queried, loaded and ended: commands for the guest's shell.
//!
//! Absent: what clients on this host ask over TCP, which is `demo::linux::tcp`.

/// The shell's prompt.
pub const PROMPT: &str = "lockstep:~# ";
/// Prints the process id of the server.
pub const PID: &str = "cat /run/redis/redis-server.pid";
/// Prints the server's version.
pub const VERSION: &str = "redis-cli info server | sed -n s/redis_version://p";
/// Writes a key.
pub const SET_COLOUR: &str = "redis-cli set colour green";
/// Reads that key back.
pub const GET_COLOUR: &str = "redis-cli get colour";
/// Writes keys, reads them back, and prints counts, for ever.
pub const LOAD: &str = "lockstep-load forever &\n";
/// Shuts the guest down.
pub const POWEROFF: &str = "poweroff\n";

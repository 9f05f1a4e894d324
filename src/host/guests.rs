//! Guests that come with the binary, so that `demo`, `bench` and `sim` need nothing else.

/// The UDP key-value server.
pub const KV: &[u8] = include_bytes!("../../guest-programs/kv/kv.elf");
/// Pure compute.
pub const CRUNCH: &[u8] = include_bytes!("../../guest-programs/crunch/crunch.elf");

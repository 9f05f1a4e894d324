//! What the fuzz targets do with their bytes: one module a target, named like it.
//!
//! A target is handed bytes that libFuzzer makes up. It reads them in two ways. *As they are*: most end at a
//! checksum. *Mended*: lengths, numbers and checksums are put right first ([`mend`]), so that the code behind them is
//! reached; an attacker who can write a file or connect to a port can do the same. Besides not to panic, each module asserts
//! what its module in `src` promises: decoding, encoding and decoding comes to the same, and nothing grows beyond its bound.

pub mod input;
pub mod mend;
pub mod seeds;

pub mod disk_identity;
pub mod elf;
pub mod engines;
pub mod gateway;
pub mod guest;
pub mod kernel;
pub mod log;
pub mod peer;
pub mod port;
pub mod snapshot;

//! A verifying client for the `kv` guest: it knows what every answer must be.
//!
//! [`KvLoad`] drives many logical clients from one thread, each with its own socket, its own keys
//! and one request under way; requests are repeated under the same id until answered. `model` is
//! what the server must hold, `driver` the loop, `histogram` the latencies, `load` the handle
//! and the report. [`request()`] asks one question.

mod driver;
mod histogram;
mod load;
mod model;
mod request;

pub use load::{KvConfig, KvLoad, Report};
pub use request::{RequestError, request};

#[cfg(test)]
mod tests;

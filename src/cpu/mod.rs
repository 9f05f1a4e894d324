//! The hart.
//!
//! Reading order: `ask` and `bus` (what the hart needs of the host and of the machine),
//! `model` (which hart it is), `hart` (state, positions, the loop), `trap` and `csr` with `zicsr` (the privileged
//! architecture), `execute` (one instruction at a time, the long way) with `access` (memory) and `float`. Most
//! instructions never come there: an [`engine`](crate::engine) executes them.

mod access;
pub(crate) mod ask;
pub(crate) mod bus;
pub(crate) mod csr;
mod execute;
mod float;
pub(crate) mod hart;
pub(crate) mod model;
mod tables;
pub(crate) mod trap;
mod zicsr;

pub(crate) use crate::engine::BLOCK_BYTES;
pub use ask::{Answer, Question};
pub(crate) use bus::{Bus, BusFault, BusRead, Returned};
pub use csr::{BadHartState, Privilege};
pub(crate) use hart::{Hart, HartStop};
pub use hart::{HartState, LongWay, NotAsking, Stuck};
pub use model::{BadCpu, Cpu};

//! The hart and its engine.
//!
//! Reading order: `ask` and `bus` (what the hart needs of the host and of the machine),
//! `model` (which hart it is), `hart` (state, positions, the loop), `trap` and `csr` with `zicsr` (the privileged
//! architecture), [`execute`](self) and its parts: `straight` (the fast loop), `execute` (the rest,
//! one instruction at a time), `access` (memory), `float`; and the caches that never show: `code`
//! (decoded pages) and `tlb`.

mod access;
mod alu;
pub(crate) mod ask;
pub(crate) mod bus;
mod code;
pub(crate) mod csr;
mod execute;
mod float;
pub(crate) mod hart;
pub(crate) mod model;
mod regs;
mod straight;
mod tlb;
pub(crate) mod trap;
mod zicsr;

pub(crate) use access::BLOCK_BYTES;
pub use ask::{Answer, Question};
pub(crate) use bus::{Bus, BusFault, BusRead, Returned};
pub use csr::{BadHartState, Privilege};
pub(crate) use hart::{Hart, HartStop};
pub use hart::{HartState, NotAsking, Stuck};
pub use model::{BadCpu, Cpu};

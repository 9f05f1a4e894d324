//! The hart and its engine.
//!
//! Reading order: [`ask`] and [`bus`] (what the hart needs of the host and of the machine),
//! [`model`] (which hart it is), [`hart`] (state, positions, the loop), [`trap`] and [`csr`] with `zicsr` (the privileged
//! architecture), [`execute`](self) and its parts: `straight` (the fast loop), `execute` (the rest,
//! one instruction at a time), `access` (memory), `float`; and the caches that never show: `code`
//! (decoded pages) and `tlb`.

mod access;
mod alu;
pub mod ask;
pub mod bus;
mod code;
pub mod csr;
mod execute;
mod float;
pub mod hart;
pub mod model;
mod regs;
mod straight;
mod tlb;
pub mod trap;
mod zicsr;

pub use access::BLOCK_BYTES;
pub use ask::{Answer, Question};
pub use bus::{Bus, BusFault, BusRead, Returned};
pub use csr::{BadHartState, Privilege};
pub use hart::{Hart, HartState, HartStop, NotAsking, Stuck};
pub use model::{BadCpu, Cpu};

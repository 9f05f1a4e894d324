//! The hart and its engines.

pub mod ask;
pub mod bus;

pub use ask::{Answer, Question};
pub use bus::{Bus, BusFault, BusRead};

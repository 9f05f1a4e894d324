//! Replication, as pure state machines: `step(state, event, now) -> commands`.
//!
//! Reading order: the vocabulary (`link`, `settings`, [`message`], `arbiter`, `event`, `command`, `world`, `status`,
//! `handover`); what is kept and judged (`gate` and `kept`: outputs held back on either side; `scrollback` and
//! `terminals`: who attached watches and types; `clock`: guest time; [`disk`]; `detector`; `lag`; `divergences`); then the roles
//! `primary` and `backup`, `seek` (a node without a role looks for one), and [`node`], which is a machine in a role.
//!
//! ```text
//!            boot                                 join
//!             |                                    |
//!             v        backup joins                v
//!        +---------+ <--------------- +------------------------+
//!        | Primary |                  | Backup: Receiving      |
//!        |  alone  |                  |   -> Following         |
//!        +---------+   counts         |   -> Counting          |
//!             |  ^  ---------------->  +------------------------+
//!   counts    v  | claim won                 | primary silent
//!        +---------+                         v
//!        | Primary |  claim lost        +----------+  claim lost
//!        | guarded | --------> Seeking  | Claiming | ----------> Seeking
//!        +---------+                    +----------+
//!                                            | claim won, log drained
//!                                            v
//!                                      Primary, alone
//! ```
//!
//! Absent on purpose: clocks, threads, sockets, files. The same node runs in the real world
//! ([`crate::host`]) and in the seeded one ([`crate::sim`]).

pub(crate) mod arbiter;
pub(crate) mod backup;
pub(crate) mod beat;
mod checkpoint;
mod claim;
pub(crate) mod clock;
mod command;
mod commit;
mod common;
pub(crate) mod detector;
pub mod disk;
mod divergences;
mod drawing;
mod event;
mod fetch;
pub(crate) mod gate;
mod handover;
#[cfg(test)]
pub(crate) mod healing_tests;
pub(crate) mod kept;
pub(crate) mod lag;
mod link;
pub mod message;
mod mirror;
pub mod node;
pub(crate) mod own_store;
#[cfg(test)]
pub(crate) mod pair_tests;
pub(crate) mod primary;
pub(crate) mod rehearsal;
#[cfg(test)]
pub(crate) mod restart_tests;
mod sandbox;
pub(crate) mod scrollback;
mod seek;
#[cfg(test)]
mod seek_tests;
pub(crate) mod settings;
mod standing;
mod status;
mod switch_state;
mod terminals;
#[cfg(test)]
pub(crate) mod testing;
mod world;

pub use arbiter::{Arbiter, ArbiterError, Bid, Claim, Holder};
pub use clock::GuestClock;
pub use command::{Command, Evidence, Halt, Plug};
pub use event::{Event, Recording};
pub use handover::{Boot, Restart};
pub use link::LinkId;
pub use message::Message;
pub use node::Node;
pub use own_store::{Ack, StoreHolds, StoreState};
pub use rehearsal::{Rehearsed, SECONDS_MAX as REHEARSAL_SECONDS_MAX};
pub use sandbox::{Sandbox, Tried};
pub(crate) use seek::GIVEN_MAX;
pub use settings::Settings;
pub use standing::Standing;
pub use status::{DiskStanding, FollowerStatus, NodeStatus};
pub use switch_state::SwitchState;
pub use world::{Pace, World};

//! The network piece that outlives the VM, as pure state: no socket, no clock, no thread.
//!
//! A node crashes and another goes on with its VM; the VM's clients and peers must not notice. So the
//! wire ends in a switch that remembers, per VM, what has been accepted from it (`fence`) and
//! what it has not yet safely received ([`inbound`]). Together with the numbers in the VM's
//! replicated log that makes frames exactly-once in both directions while the switch lives.
//!
//! Reading order: [`ether`] (addresses, frames), `fence`, [`inbound`], [`fabric`] (which port a
//! frame goes to), `forward` and `nat` (which client uses which guest port), `tcp` (its clients'
//! connections), `dhcp`, [`outbound`] (what the guest may reach), [`gateway`] (the host at 10.0.2.2),
//! `elsewhere` (a guest's address, used by others), `announce` (what is announced to a real segment at
//! go-live), [`port`] (messages between VMs and the switch), `endpoint` (a VM's end of that
//! connection), [`switch`] (all of it together). [`wire`] is for
//! stacks that play a guest.
//! Absent on purpose: time (`now` is an argument, in nanoseconds of any monotonic clock), sockets
//! (`host::switch` and the simulator have them), and every queue without a maximum.

pub(crate) mod announce;
pub(crate) mod dhcp;
pub(crate) mod elsewhere;
pub(crate) mod endpoint;
pub mod ether;
pub mod fabric;
pub(crate) mod fence;
pub(crate) mod forward;
pub mod fragments;
pub mod gateway;
pub mod inbound;
pub(crate) mod nat;
pub mod outbound;
pub mod port;
pub mod switch;
pub(crate) mod tcp;
pub mod wire;

pub(crate) use endpoint::Endpoint;
pub use ether::Mac;
pub(crate) use forward::{Forward, Proto};
pub use gateway::{FromGateway, Gateway, GatewayConfig, HostAction};
pub use outbound::FlowId;
pub(crate) use outbound::{Outbound, resolvers};
pub use port::{Attach, FromSwitch, PortError, ToSwitch, Unframer};
pub use switch::{CloseWhy, Command, PeerId, Switch, SwitchConfig};
pub use tcp::ConnId;

/// One second in the nanoseconds that `now` counts.
pub const SECOND_NS: u64 = 1_000_000_000;

/// One millisecond in the nanoseconds that `now` counts.
pub const MILLISECOND_NS: u64 = 1_000_000;

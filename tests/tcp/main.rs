//! TCP through the switch as a process would run it: real sockets of clients, and a guest with a TCP
//! stack of its own behind the VM's side of the protocol.

mod guest;
mod misuse;
mod semantics;
mod takeover;

//! TCP through the switch as a process would run it: real sockets of clients, and a guest with a TCP
//! stack of its own behind the VM's side of the protocol; in `pairs` a real one, with real processes to run it.

mod guest;
mod misuse;
mod pairs;
mod semantics;
mod takeover;

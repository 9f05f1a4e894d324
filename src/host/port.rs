//! A VM's connection to its switch, as the node sees it.
//!
//! The node's thread sends and reads ([`Port::send`] writes to the socket itself, [`Port::receive`] reads what has
//! come: no other thread is woken for an output or an input). One thread here connects, and connects again, writes
//! what the socket did not take at once, and notices a switch that has fallen silent; it reports through a function
//! that the node gives.
//!
//! What is kept for the switch, sent again, and bounded is for `net::endpoint` to know:
//! [`SendRefused::Full`] says that the node must hold its outputs, and [`PortEvent::Room`] when it may go on.

mod link;
mod state;

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use super::os::look;
use crate::base::Generation;
use crate::net::{Attach, port::is_vm_name};
use link::{Link, Shared};
use rustix::event::{PollFd, PollFlags};
use state::State;

pub use crate::net::endpoint::{EndpointCounts, SendRefused};

/// A connection that comes while the port is drained is noticed this soon.
const DRAIN_LOOK: Duration = Duration::from_millis(10);

/// What a port reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortEvent {
    /// The `n`-th connection is there, and what comes on it is to be read: see [`Port::socket`].
    Connected {
        /// Counts the connections, from 1.
        n: u64,
    },
    /// The switch knows us: after each connection, and after [`Port::activate`]. Frames up to
    /// `tx_seq_last` have been accepted, this node's or another's.
    Attached {
        /// The generation that the switch takes frames of.
        generation: Generation,
        /// The last frame accepted.
        tx_seq_last: u64,
    },
    /// There is no connection; it is tried again and again. Reported once until there is one.
    Down {
        /// The reason, for people.
        why: String,
    },
    /// A frame for the guest.
    Frame {
        /// The switch's number for it.
        rx_seq: u64,
        /// The frame, without FCS.
        frame: Vec<u8>,
    },
    /// After a refused [`Port::send`]: there is room again.
    Room,
    /// The switch does not want us. It is asked again, slowly; reported when the reason changes.
    Refused {
        /// The switch's reason, for people.
        why: String,
    },
    /// Another generation is current: nothing is sent or received any more, unless this node activates that
    /// generation or a newer one.
    Fenced {
        /// That generation.
        current: Generation,
    },
}

/// The node's end. Dropping it ends the connection; see [`Port::drain`] for ending well.
pub struct Port {
    shared: Arc<Shared>,
}

impl Port {
    /// Attaches to `switch` as `attach` says, now or as soon as it is there. `deliver` is called by the port's
    /// thread when a connection comes or is lost; it may block, and answers false when no event is wanted any more.
    pub fn connect(
        switch: SocketAddr,
        attach: Attach,
        deliver: impl FnMut(PortEvent) -> bool + Send + 'static,
    ) -> io::Result<Port> {
        if !is_vm_name(&attach.vm) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a VM's name has 1 to 64 of A-Z a-z 0-9 . _ -",
            ));
        }
        let shared = Arc::new(Shared::new(State::new(attach))?);
        let link = Link::new(switch, Arc::clone(&shared), deliver);
        std::thread::Builder::new().name("port".into()).spawn(move || link.run())?;
        Ok(Port { shared })
    }

    /// The `n`-th connection, to wait for what comes on it; none if it is lost, and another one announced.
    pub fn socket(&self, n: u64) -> Option<Arc<TcpStream>> {
        self.lock().socket(n)
    }

    /// Reads once what has come, without waiting, and puts it behind `events` in order. False when the connection
    /// is lost or refused: the port's thread goes on from there.
    pub fn receive(&self, events: &mut Vec<PortEvent>) -> bool {
        self.shared.receive(events)
    }

    /// Sends the `seq`-th frame of the guest's life. It is kept until the switch has it; when too
    /// much is kept the frame is refused and [`PortEvent::Room`] follows.
    pub fn send(&self, seq: u64, frame: &[u8]) -> Result<(), SendRefused> {
        let mut state = self.lock();
        state.endpoint.send(seq, frame)?;
        self.flush(&mut state);
        Ok(())
    }

    /// Everything up to `rx_seq` is safe in the replicated log. Told to the switch with one of the
    /// next messages: this call costs nothing.
    pub fn received(&self, rx_seq: u64) {
        let mut state = self.lock();
        if state.endpoint.received(rx_seq) {
            self.flush(&mut state);
        }
    }

    /// This node is primary from now on, and its log ends with the frame `rx_seq_last`: what comes after
    /// is delivered. Frames may be sent at once, without waiting for the answer.
    pub fn activate(&self, generation: Generation, rx_seq_last: u64) {
        let mut state = self.lock();
        state.endpoint.activate(generation, rx_seq_last);
        self.flush(&mut state);
        // A fenced one rests until now.
        self.shared.wake();
    }

    /// Ends the connection for good.
    pub fn close(&self) {
        self.lock().stop();
        self.shared.wake();
    }

    /// Whether the switch has answered and is connected.
    pub fn is_up(&self) -> bool {
        self.lock().endpoint.is_up()
    }

    /// The last frame that the switch is known to have accepted.
    pub fn accepted(&self) -> u64 {
        self.lock().endpoint.accepted()
    }

    /// What has happened so far.
    pub fn counts(&self) -> EndpointCounts {
        self.lock().endpoint.counts()
    }

    /// Waits until the switch has accepted every frame sent, at most for `patience`; whether it has. Frames that
    /// come meanwhile are not taken: the switch keeps them.
    pub fn drain(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        {
            let mut state = self.lock();
            state.endpoint.ping();
            self.flush(&mut state);
        }
        while !self.is_drained() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let socket = self.lock().any_socket();
            match &socket {
                Some(socket) => {
                    look(&mut [PollFd::new(socket, PollFlags::IN)], left.min(DRAIN_LOOK));
                    self.receive(&mut Vec::new());
                }
                None => std::thread::sleep(left.min(DRAIN_LOOK)),
            }
        }
        true
    }

    /// Whether the switch has accepted every frame sent.
    pub fn is_drained(&self) -> bool {
        self.lock().endpoint.is_drained()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }

    /// Writes what the socket takes; the thread is woken only when something is left over.
    fn flush(&self, state: &mut State) {
        if state.flush() {
            self.shared.wake();
        }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
#[path = "port/tests.rs"]
mod tests;

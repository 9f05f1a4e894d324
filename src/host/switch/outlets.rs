//! Sockets for the guest's datagrams to the world: one for each flow, connected to where it goes.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::net::FlowId;

/// Datagrams taken from one flow before the others get their turn.
const DATAGRAMS_AT_ONCE: usize = 64;
const EVENTS_AT_ONCE: usize = 64;

pub struct Outlets {
    epoll: OwnedFd,
    sockets: BTreeMap<FlowId, UdpSocket>,
}

impl Outlets {
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, sockets: BTreeMap::new() })
    }

    /// Sends on the flow's socket, which is opened if it is the first time.
    pub fn send(&mut self, flow: FlowId, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        if !self.sockets.contains_key(&flow) {
            let any: SocketAddr = match to {
                SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            let socket = UdpSocket::bind(any)?;
            socket.connect(to)?;
            socket.set_nonblocking(true)?;
            epoll::add(&self.epoll, &socket, epoll::EventData::new_u64(flow.0), epoll::EventFlags::IN)?;
            self.sockets.insert(flow, socket);
        }
        self.sockets.get(&flow).map_or(Ok(()), |socket| socket.send(bytes).map(|_| ()))
    }

    pub fn end(&mut self, flow: FlowId) {
        self.sockets.remove(&flow);
    }

    /// Hands over the answers that have come.
    pub fn hear(&mut self, scratch: &mut [u8], mut each: impl FnMut(FlowId, &[u8])) {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut events = Vec::with_capacity(EVENTS_AT_ONCE);
        // An interrupted call is made again when the loop comes round.
        if epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&at_once)).is_err() {
            return;
        }
        for event in events {
            let flow = FlowId(event.data.u64());
            let Some(socket) = self.sockets.get(&flow) else { continue };
            for _ in 0..DATAGRAMS_AT_ONCE {
                // An error is what the network says of an earlier datagram, and is taken by this.
                let Ok(n) = socket.recv(scratch) else { break };
                each(flow, &scratch[..n]);
            }
        }
    }
}

impl AsFd for Outlets {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

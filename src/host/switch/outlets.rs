//! Sockets for the guest's datagrams and pings to the outside: one for each flow, connected to where it goes.
//!
//! A ping leaves by a socket of the kind that needs no privilege where the host allows it to the group of this
//! process (`net.ipv4.ping_group_range`): the kernel gives the echo request an identifier of its own, and hands
//! over the replies to that.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};

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
            self.open(flow, UdpSocket::bind(any)?, to)?;
        }
        self.sockets.get(&flow).map_or(Ok(()), |socket| socket.send(bytes).map(|_| ()))
    }

    /// Sends an ICMP echo request on the flow's socket. What the flow then receives are ICMP messages, too.
    pub fn ping(&mut self, flow: FlowId, to: IpAddr, bytes: &[u8]) -> io::Result<()> {
        if !self.sockets.contains_key(&flow) {
            let flags = SocketFlags::CLOEXEC;
            let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, flags, Some(ipproto::ICMP))?;
            self.open(flow, UdpSocket::from(socket), (to, 0).into())?;
        }
        self.sockets.get(&flow).map_or(Ok(()), |socket| socket.send(bytes).map(|_| ()))
    }

    fn open(&mut self, flow: FlowId, socket: UdpSocket, to: SocketAddr) -> io::Result<()> {
        socket.connect(to)?;
        socket.set_nonblocking(true)?;
        epoll::add(&self.epoll, &socket, epoll::EventData::new_u64(flow.0), epoll::EventFlags::IN)?;
        self.sockets.insert(flow, socket);
        Ok(())
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
                // An error is the network's answer to an earlier datagram, and is cleared by this.
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_ping_is_answered_or_refused_by_the_host() {
        let mut outlets = Outlets::new().unwrap();
        // Type 8, code 0, checksum and identifier to be filled in by the kernel, sequence number 5.
        let sent = outlets.ping(FlowId(1), Ipv4Addr::LOCALHOST.into(), &[8, 0, 0, 0, 0, 0, 0, 5, b'h', b'i']);
        if let Err(error) = sent {
            let range = std::fs::read_to_string("/proc/sys/net/ipv4/ping_group_range").unwrap();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "with {range}: {error}");
            return;
        }
        let (deadline, mut answers) = (Instant::now() + Duration::from_secs(10), Vec::new());
        while answers.is_empty() {
            assert!(Instant::now() < deadline, "no answer");
            outlets.hear(&mut [0; 2048], |flow, bytes| answers.push((flow, bytes.to_vec())));
            std::thread::yield_now();
        }
        assert_eq!((answers[0].0, answers[0].1[0], &answers[0].1[6..]), (FlowId(1), 0, &b"\x00\x05hi"[..]));
    }
}

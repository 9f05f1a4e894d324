//! Packets of smoltcp as frames of ours: a device that holds at most one packet in, and puts out as many
//! frames as there is room for.

use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{ETHERNET_HEADER_LEN, EthernetProtocol};

use crate::net::ether::{self, Mac};

/// The longest packet: an Ethernet frame's payload.
const PACKET_BYTES_MAX: usize = 1500;

/// Where packets for the guest go, and how many may.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    pub from: Mac,
    pub to: Mac,
    /// Frames that the way to the guest still takes; counted down.
    pub room: usize,
}

/// The device of one call.
pub(super) struct Link<'a> {
    pub packet: Option<&'a [u8]>,
    pub route: &'a mut Route,
    pub frames: &'a mut Vec<Vec<u8>>,
}

pub(super) struct Received<'a>(&'a [u8]);

pub(super) struct Sender<'a> {
    route: &'a mut Route,
    frames: &'a mut Vec<Vec<u8>>,
}

pub(super) fn capabilities() -> DeviceCapabilities {
    let mut capabilities = DeviceCapabilities::default();
    capabilities.medium = Medium::Ip;
    capabilities.max_transmission_unit = PACKET_BYTES_MAX;
    capabilities
}

impl Device for Link<'_> {
    type RxToken<'b>
        = Received<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Sender<'b>
    where
        Self: 'b;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Sender<'_>)> {
        // The answer to a packet may be one more than there is room for: the queue behind has its own
        // bound, and an answer that is not given is a packet lost.
        let packet = self.packet.take()?;
        Some((Received(packet), Sender { route: self.route, frames: self.frames }))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sender<'_>> {
        (self.route.room > 0).then_some(Sender { route: self.route, frames: self.frames })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities()
    }
}

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

impl TxToken for Sender<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut result = None;
        let frame = ether::frame(self.route.to, self.route.from, EthernetProtocol::Ipv4, len, |payload| {
            result = Some(f(payload));
        });
        debug_assert_eq!(frame.len(), ETHERNET_HEADER_LEN + len);
        self.frames.push(frame);
        self.route.room = self.route.room.saturating_sub(1);
        result.expect("the frame's payload was filled")
    }
}

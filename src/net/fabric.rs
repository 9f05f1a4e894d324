//! A learning Ethernet switch: which port does a frame go to?
//!
//! It learns where source addresses live and floods what it has not learned. A VM keeps its port
//! over a takeover, so nothing has to be learned anew. The address a VM attached with is pinned to
//! its port and the gateway's to the gateway: another port that uses one as a source is refused.
//! Other addresses age, and each port may teach a bounded number of them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::SECOND_NS;
use super::ether::{FRAME_BYTES_MAX, Mac, addresses};

/// A port of the switch: 0 leads out (the gateway, or an uplink in its place), VMs count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PortId(pub u32);

/// The port that leads out: the gateway listens there, or an uplink is plugged in.
pub(crate) const GATEWAY_PORT: PortId = PortId(0);

/// A learned address is forgotten after this long without a frame from it (as in bridges, 300 s).
pub const AGE_NS: u64 = 300 * SECOND_NS;

/// One port teaches at most this many addresses: enough for a bridge inside a guest, too few for a
/// guest that makes them up to matter.
pub const LEARNED_PER_PORT_MAX: usize = 64;

/// The port that leads out teaches at most this many: a large segment's. Frames to a station that is
/// not learned go out all the same, and to the other VMs besides.
pub const LEARNED_OUTSIDE_MAX: usize = 4096;

/// Where a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    To(PortId),
    /// To every port but the one it came from.
    Flood,
    Drop(DropWhy),
}

/// Why a frame goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DropWhy {
    /// Shorter than an Ethernet header.
    Runt,
    /// Longer than [`FRAME_BYTES_MAX`].
    Oversize,
    /// The source is a group address or all zero.
    BadSource,
    /// The source belongs to another port or to the gateway.
    Spoofed,
    /// The sender's IP address is the gateway's, or that of another VM which is attached.
    SpoofedIp,
    /// The destination lives on the port it came from.
    SamePort,
    /// From the uplink, to a station that is not a VM's: a bridge that does not know better.
    NotOurs,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    port: PortId,
    seen: u64,
    pinned: bool,
}

/// The table of addresses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fabric {
    places: BTreeMap<Mac, Place>,
    learned: BTreeMap<PortId, usize>,
    swept: u64,
}

impl Fabric {
    /// The port that `mac` is pinned to.
    pub fn pinned_to(&self, mac: Mac) -> Option<PortId> {
        self.places.get(&mac).filter(|place| place.pinned).map(|place| place.port)
    }

    /// Makes `mac` the one pinned address of `port`, whichever port had it before.
    pub fn move_pin(&mut self, mac: Mac, port: PortId) {
        if self.pinned_to(mac) == Some(port) {
            return;
        }
        self.unpin(port);
        self.forget(mac);
        self.places.insert(mac, Place { port, seen: 0, pinned: true });
    }

    /// Lets go of the address pinned to `port`: from now on it is learned like any other.
    pub fn unpin(&mut self, port: PortId) {
        self.places.retain(|_, place| !(place.pinned && place.port == port));
    }

    /// Forgets everything that `port` has taught, and what is pinned to it: another VM gets the port.
    pub fn clear(&mut self, port: PortId) {
        self.places.retain(|_, place| place.port != port);
        self.learned.remove(&port);
    }

    /// Addresses known, pinned ones included.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Learns from `frame`, which came from port `from`, and returns where it goes.
    pub fn place(&mut self, now: u64, from: PortId, frame: &[u8]) -> Fate {
        let Some((to, source)) = addresses(frame) else { return Fate::Drop(DropWhy::Runt) };
        if frame.len() > FRAME_BYTES_MAX {
            return Fate::Drop(DropWhy::Oversize);
        }
        if !source.is_station() {
            return Fate::Drop(DropWhy::BadSource);
        }
        if !self.learn(now, source, from) {
            return Fate::Drop(DropWhy::Spoofed);
        }
        match self.places.get(&to) {
            Some(place) if place.port == from => Fate::Drop(DropWhy::SamePort),
            Some(place) if place.pinned || now.saturating_sub(place.seen) < AGE_NS => Fate::To(place.port),
            Some(_) | None => Fate::Flood,
        }
    }

    /// False when `mac` is pinned to another port.
    fn learn(&mut self, now: u64, mac: Mac, port: PortId) -> bool {
        match self.places.get_mut(&mac) {
            Some(place) if place.pinned => return place.port == port,
            Some(place) if place.port == port => {
                place.seen = now;
                return true;
            }
            Some(_) => self.forget(mac),
            None => {}
        }
        let max = if port == GATEWAY_PORT { LEARNED_OUTSIDE_MAX } else { LEARNED_PER_PORT_MAX };
        if self.learned.get(&port).is_some_and(|count| *count >= max) {
            self.sweep(now);
        }
        let count = self.learned.entry(port).or_default();
        if *count < max {
            *count += 1;
            self.places.insert(mac, Place { port, seen: now, pinned: false });
        }
        true
    }

    fn forget(&mut self, mac: Mac) {
        if let Some(place) = self.places.remove(&mac)
            && !place.pinned
            && let Some(count) = self.learned.get_mut(&place.port)
        {
            *count -= 1;
        }
    }

    /// Forgets what has aged; at most once a second, so that a flood of addresses costs little.
    fn sweep(&mut self, now: u64) {
        if now.saturating_sub(self.swept) < SECOND_NS {
            return;
        }
        self.swept = now;
        let aged = |place: &Place| !place.pinned && now.saturating_sub(place.seen) >= AGE_NS;
        let old: Vec<Mac> = self.places.iter().filter(|(_, p)| aged(p)).map(|(mac, _)| *mac).collect();
        for mac in old {
            self.forget(mac);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: PortId = PortId(1);
    const TWO: PortId = PortId(2);
    const GATEWAY: Mac = Mac([2, 0, 0, 0, 0, 0xff]);

    fn mac(n: u8) -> Mac {
        Mac([2, 0, 0, 0, 1, n])
    }

    fn frame(to: Mac, from: Mac) -> Vec<u8> {
        [&to.0[..], &from.0, &[8, 0], b"payload"].concat()
    }

    fn fabric() -> Fabric {
        let mut fabric = Fabric::default();
        fabric.move_pin(GATEWAY, GATEWAY_PORT);
        fabric
    }

    #[test]
    fn an_unknown_address_floods_until_it_speaks() {
        let mut fabric = fabric();
        assert_eq!(fabric.place(0, ONE, &frame(mac(2), mac(1))), Fate::Flood);
        assert_eq!(fabric.place(0, TWO, &frame(mac(1), mac(2))), Fate::To(ONE));
        assert_eq!(fabric.place(0, ONE, &frame(mac(2), mac(1))), Fate::To(TWO));
        assert_eq!(fabric.place(0, ONE, &frame(Mac::BROADCAST, mac(1))), Fate::Flood);
        assert_eq!(fabric.place(0, ONE, &frame(GATEWAY, mac(1))), Fate::To(GATEWAY_PORT));
        assert_eq!(fabric.place(0, ONE, &frame(mac(1), mac(3))), Fate::Drop(DropWhy::SamePort));
    }

    #[test]
    fn what_is_learned_moves_and_ages() {
        let mut fabric = fabric();
        fabric.place(0, ONE, &frame(mac(9), mac(1)));
        fabric.place(5, TWO, &frame(mac(9), mac(1)));
        assert_eq!(fabric.place(5, ONE, &frame(mac(1), mac(3))), Fate::To(TWO));
        assert_eq!(fabric.place(5 + AGE_NS, ONE, &frame(mac(1), mac(3))), Fate::Flood);
    }

    #[test]
    fn pinned_addresses_cannot_be_stolen() {
        let mut fabric = fabric();
        fabric.move_pin(mac(1), ONE);
        assert_eq!(fabric.place(0, TWO, &frame(mac(9), GATEWAY)), Fate::Drop(DropWhy::Spoofed));
        assert_eq!(fabric.place(0, TWO, &frame(mac(9), mac(1))), Fate::Drop(DropWhy::Spoofed));
        assert_eq!(fabric.pinned_to(mac(1)), Some(ONE));
        fabric.move_pin(mac(1), TWO);
        assert_eq!(fabric.place(0, ONE, &frame(mac(1), mac(5))), Fate::To(TWO));
    }

    #[test]
    fn a_port_has_one_pinned_address() {
        let mut fabric = fabric();
        for n in 0..100 {
            fabric.move_pin(mac(n), ONE);
        }
        assert_eq!((fabric.len(), fabric.pinned_to(mac(99))), (2, Some(ONE)));
    }

    #[test]
    fn a_port_that_gets_another_vm_has_taught_nothing() {
        let mut fabric = fabric();
        fabric.move_pin(mac(1), ONE);
        fabric.place(0, ONE, &frame(GATEWAY, mac(3)));
        fabric.place(0, TWO, &frame(GATEWAY, mac(2)));
        fabric.clear(ONE);
        assert_eq!((fabric.len(), fabric.pinned_to(mac(1))), (2, None));
        assert_eq!(fabric.place(0, TWO, &frame(mac(3), mac(2))), Fate::Flood);
        for n in 0..LEARNED_PER_PORT_MAX as u8 {
            fabric.place(0, ONE, &frame(GATEWAY, mac(100 + n)));
        }
        assert_eq!(fabric.len(), 2 + LEARNED_PER_PORT_MAX);
    }

    #[test]
    fn runts_giants_and_group_sources_are_dropped() {
        let mut fabric = fabric();
        assert_eq!(fabric.place(0, ONE, &[0; 13]), Fate::Drop(DropWhy::Runt));
        let mut giant = frame(GATEWAY, mac(1));
        giant.resize(FRAME_BYTES_MAX + 1, 0);
        assert_eq!(fabric.place(0, ONE, &giant), Fate::Drop(DropWhy::Oversize));
        assert_eq!(fabric.place(0, ONE, &frame(GATEWAY, Mac::BROADCAST)), Fate::Drop(DropWhy::BadSource));
        assert!(fabric.len() == 1);
    }

    #[test]
    fn a_port_that_makes_up_addresses_stays_bounded_and_recovers() {
        let mut fabric = fabric();
        for n in 0..10_000u32 {
            let [a, b, c, d] = n.to_be_bytes();
            fabric.place(n.into(), ONE, &frame(GATEWAY, Mac([2, 7, a, b, c, d])));
        }
        assert_eq!(fabric.len(), LEARNED_PER_PORT_MAX + 1);
        assert_eq!(fabric.place(0, TWO, &frame(GATEWAY, mac(2))), Fate::To(GATEWAY_PORT));
        let later = 2 * AGE_NS;
        fabric.place(later, ONE, &frame(GATEWAY, mac(1)));
        assert_eq!(fabric.place(later, TWO, &frame(mac(1), mac(2))), Fate::To(ONE));
    }
}

//! The location of a VM's Ethernet address, announced on a real segment: at go-live, so that bridges learn
//! the port behind which the guest now is, and neighbours need not ask.
//!
//! What is announced was learned from the guest's own frames ([`Addresses::hear`]): its IPv4 addresses
//! from ARP, its IPv6 addresses from neighbour discovery. A reverse-ARP frame needs neither and is always
//! among the announcements; bridges look at nothing but its source. An address that has not been used
//! for long, or that another station has claimed since, is not announced: it may have changed hands.
//!
//! Absent on purpose: duplicate address detection (the guest's own business), and sending.

use core::net::{IpAddr, Ipv6Addr};

use smoltcp::wire::{
    ArpHardware, ArpOperation, ArpPacket, ArpRepr, EthernetFrame, EthernetProtocol, Ipv4Address, Ipv4Packet,
};

use super::ether::{self, Mac, Station};
use super::{MILLISECOND_NS, SECOND_NS};

/// At most this many addresses of either kind are remembered for one VM; the longest unused makes room.
pub const ADDRESSES_MAX: usize = 8;
/// An address that the guest has not used for this long is not announced.
pub const UNUSED_NS: u64 = 600 * SECOND_NS;
/// When announcements are made, after the first at once: a frame may be lost on a busy segment, and a
/// bridge port may still be closed (as QEMU does after a migration).
pub const ROUNDS_NS: [u64; 4] =
    [50 * MILLISECOND_NS, 150 * MILLISECOND_NS, 400 * MILLISECOND_NS, 1000 * MILLISECOND_NS];

/// Reverse ARP (RFC 903): "who am I?", from a station that names only its Ethernet address.
const RARP: EthernetProtocol = EthernetProtocol::Unknown(0x8035);
const RARP_REQUEST: ArpOperation = ArpOperation::Unknown(3);
/// All nodes of the segment (RFC 4291), and their Ethernet group.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: Mac = Mac([0x33, 0x33, 0, 0, 0, 1]);

const IPV6_NEXT_HEADER: usize = 6;
const IPV6_HOP_LIMIT: usize = 7;
const IPV6_SOURCE: usize = 8;
const IPV6_HEADER_BYTES: usize = 40;
const ICMPV6: u8 = 58;
const NEIGHBOR_SOLICIT: u8 = 135;
const NEIGHBOR_ADVERT: u8 = 136;
/// Of the target in both messages.
const ICMP_TARGET: usize = 8;

/// One kind of address, each with the time of its last use.
#[derive(Clone, Debug)]
struct Used<A>(Vec<(A, u64)>);

impl<A: Copy + PartialEq> Used<A> {
    fn learn(&mut self, now: u64, address: A) {
        if self.touch(now, address) {
            return;
        }
        if self.0.len() >= ADDRESSES_MAX
            && let Some(oldest) = (0..self.0.len()).min_by_key(|at| self.0[*at].1)
        {
            self.0.swap_remove(oldest);
        }
        self.0.push((address, now));
    }

    /// Notes a use of a known address; false when it is not known.
    fn touch(&mut self, now: u64, address: A) -> bool {
        let known = self.0.iter_mut().find(|(known, _)| *known == address);
        known.map(|(_, used)| *used = now).is_some()
    }

    fn forget(&mut self, address: A) {
        self.0.retain(|(known, _)| *known != address);
    }

    fn current(&self, now: u64) -> impl Iterator<Item = A> + '_ {
        self.0.iter().filter(move |(_, used)| now.saturating_sub(*used) < UNUSED_NS).map(|(a, _)| *a)
    }
}

/// The addresses that a VM uses.
#[derive(Clone, Debug)]
pub struct Addresses {
    v4: Used<Ipv4Address>,
    v6: Used<Ipv6Addr>,
}

impl Default for Addresses {
    fn default() -> Self {
        Self { v4: Used(Vec::new()), v6: Used(Vec::new()) }
    }
}

/// The sender that a frame names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    /// This address is mine.
    OwnV4(Ipv4Address),
    OwnV6(Ipv6Addr),
    /// I send from this address; it may be another's, for whom I route.
    FromV4(Ipv4Address),
    FromV6(Ipv6Addr),
}

impl Sender {
    pub(super) fn address(self) -> IpAddr {
        match self {
            Sender::OwnV4(ip) | Sender::FromV4(ip) => ip.into(),
            Sender::OwnV6(ip) | Sender::FromV6(ip) => ip.into(),
        }
    }
}

/// The sender of `frame`, if the frame names an address.
pub(super) fn sender(frame: &[u8]) -> Option<Sender> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    match frame.ethertype() {
        EthernetProtocol::Arp => {
            let ArpRepr::EthernetIpv4 { source_hardware_addr, source_protocol_addr, .. } =
                ArpRepr::parse(&ArpPacket::new_checked(frame.payload()).ok()?).ok()?
            else {
                return None;
            };
            let own = source_hardware_addr == frame.src_addr() && !source_protocol_addr.is_unspecified();
            own.then_some(Sender::OwnV4(source_protocol_addr))
        }
        EthernetProtocol::Ipv4 => {
            Some(Sender::FromV4(Ipv4Packet::new_checked(frame.payload()).ok()?.src_addr()))
        }
        EthernetProtocol::Ipv6 => sender_in_ipv6(frame.payload()),
        EthernetProtocol::Unknown(_) => None,
    }
}

fn address_at(bytes: &[u8], at: usize) -> Option<Ipv6Addr> {
    bytes.get(at..)?.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets))
}

fn sender_in_ipv6(packet: &[u8]) -> Option<Sender> {
    let from = address_at(packet, IPV6_SOURCE)?;
    let icmp = packet.get(IPV6_HEADER_BYTES..)?;
    // Neighbour discovery that crossed a router is none (RFC 4861, 7.1).
    if packet[IPV6_NEXT_HEADER] != ICMPV6 || packet[IPV6_HOP_LIMIT] != 255 {
        return Some(Sender::FromV6(from));
    }
    if checksum(packet) != 0 {
        return None;
    }
    match *icmp.first()? {
        NEIGHBOR_ADVERT => address_at(icmp, ICMP_TARGET).map(Sender::OwnV6),
        // An unspecified source is a question whether an address is free: not yet its own.
        NEIGHBOR_SOLICIT if !from.is_unspecified() => Some(Sender::OwnV6(from)),
        _ => Some(Sender::FromV6(from)),
    }
}

/// The checksum of an IPv6 packet's ICMPv6 message (RFC 4443, 2.3): 0 when the one in it is right.
fn checksum(packet: &[u8]) -> u16 {
    let (header, icmp) = packet.split_at(IPV6_HEADER_BYTES);
    let words = header[IPV6_SOURCE..].chunks(2).chain(icmp.chunks(2));
    let word = |chunk: &[u8]| u64::from(chunk[0]) << 8 | u64::from(chunk.get(1).copied().unwrap_or(0));
    let mut sum = words.map(word).sum::<u64>() + icmp.len() as u64 + u64::from(ICMPV6);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

impl Addresses {
    /// The VM has sent `frame`.
    pub fn hear(&mut self, now: u64, frame: &[u8]) {
        match sender(frame) {
            Some(Sender::OwnV4(ip)) if !ip.is_multicast() => self.v4.learn(now, ip),
            Some(Sender::OwnV6(ip)) if !ip.is_multicast() => self.v6.learn(now, ip),
            Some(Sender::FromV4(ip)) => {
                self.v4.touch(now, ip);
            }
            Some(Sender::FromV6(ip)) => {
                self.v6.touch(now, ip);
            }
            Some(Sender::OwnV4(_) | Sender::OwnV6(_)) | None => {}
        }
    }

    /// Another station of the segment has sent `frame`: what it claims is no longer the VM's.
    pub fn hear_other(&mut self, frame: &[u8]) {
        match sender(frame) {
            Some(Sender::OwnV4(ip)) => self.v4.forget(ip),
            Some(Sender::OwnV6(ip)) => self.v6.forget(ip),
            Some(Sender::FromV4(_) | Sender::FromV6(_)) | None => {}
        }
    }

    /// Whether the address that a frame names as its sender's is one that this VM uses.
    pub(super) fn has(&self, now: u64, sender: Sender) -> bool {
        match sender {
            Sender::OwnV4(ip) | Sender::FromV4(ip) => self.v4.current(now).any(|known| known == ip),
            Sender::OwnV6(ip) | Sender::FromV6(ip) => self.v6.current(now).any(|known| known == ip),
        }
    }

    /// The frames that announce to the segment where `mac` and its addresses are.
    pub fn announcements(&self, now: u64, mac: Mac) -> Vec<Vec<u8>> {
        let mut frames = vec![rarp(mac)];
        // An announcement in the form of a request (RFC 5227, 3): no station answers it.
        frames.extend(
            self.v4
                .current(now)
                .map(|ip| ether::arp(ArpOperation::Request, Station { mac, ip }, Mac::BROADCAST, ip)),
        );
        frames.extend(self.v6.current(now).map(|ip| advert(mac, ip)));
        frames
    }
}

fn rarp(mac: Mac) -> Vec<u8> {
    const BYTES: usize = 28;
    ether::frame(Mac::BROADCAST, mac, RARP, BYTES, |payload| {
        let mut packet = ArpPacket::new_unchecked(payload);
        packet.set_hardware_type(ArpHardware::Ethernet);
        packet.set_protocol_type(EthernetProtocol::Ipv4);
        packet.set_hardware_len(6);
        packet.set_protocol_len(4);
        packet.set_operation(RARP_REQUEST);
        packet.set_source_hardware_addr(&mac.0);
        packet.set_source_protocol_addr(&[0; 4]);
        packet.set_target_hardware_addr(&mac.0);
        packet.set_target_protocol_addr(&[0; 4]);
    })
}

/// An unsolicited neighbour advertisement (RFC 4861, 7.2.6).
///
/// ```text
/// offset size field                       offset size field
///      0    1 version 6                       40    1 type 136
///      4    2 payload length 32               42    2 checksum
///      6    1 next header: ICMPv6             44    1 flags: override
///      7    1 hop limit 255                   48   16 the address
///      8   16 source: the address             64    2 option 2, one unit of 8 bytes
///     24   16 destination: all nodes          66    6 the Ethernet address
/// ```
fn advert(mac: Mac, ip: Ipv6Addr) -> Vec<u8> {
    const MESSAGE_BYTES: usize = 32;
    let length = IPV6_HEADER_BYTES + MESSAGE_BYTES;
    ether::frame(ALL_NODES_MAC, mac, EthernetProtocol::Ipv6, length, |packet| {
        packet[0] = 6 << 4;
        packet[5] = MESSAGE_BYTES as u8;
        packet[IPV6_NEXT_HEADER] = ICMPV6;
        packet[IPV6_HOP_LIMIT] = 255;
        packet[IPV6_SOURCE..24].copy_from_slice(&ip.octets());
        packet[24..40].copy_from_slice(&ALL_NODES.octets());
        packet[40] = NEIGHBOR_ADVERT;
        packet[44] = 0x20;
        packet[48..64].copy_from_slice(&ip.octets());
        packet[64..66].copy_from_slice(&[2, 1]);
        packet[66..72].copy_from_slice(&mac.0);
        let sum = checksum(packet);
        packet[42..44].copy_from_slice(&sum.to_be_bytes());
    })
}

/// The rounds of announcing one VM.
///
/// ```text
///   Quiet --go-live--> round 1 .. round 5 --> Quiet
/// ```
#[derive(Clone, Debug, Default)]
pub struct Rounds {
    /// When the next round is due, and how many follow it.
    next: Option<(u64, usize)>,
    since: u64,
}

impl Rounds {
    /// Begins anew: the first round is due at once.
    pub fn begin(&mut self, now: u64) {
        self.since = now;
        self.next = Some((now, 0));
    }

    pub fn due_at(&self) -> Option<u64> {
        self.next.map(|(at, _)| at)
    }

    /// True when a round is due; it counts as made.
    pub fn take(&mut self, now: u64) -> bool {
        let Some((at, made)) = self.next.filter(|(at, _)| now >= *at) else { return false };
        debug_assert!(at >= self.since);
        self.next = ROUNDS_NS.get(made).map(|after| (self.since.saturating_add(*after).max(now), made + 1));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Prng;

    const MAC: Mac = Mac([0x52, 0x54, 0, 0x4c, 0x53, 1]);
    const OTHER: Mac = Mac([0x52, 0x54, 0, 0x4c, 0x53, 2]);
    const IP: Ipv4Address = Ipv4Address::new(192, 168, 1, 5);
    const IP6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 5);

    fn arp_of(mac: Mac, ip: Ipv4Address) -> Vec<u8> {
        ether::arp(ArpOperation::Reply, Station { mac, ip }, OTHER, Ipv4Address::new(192, 168, 1, 1))
    }

    #[test]
    fn the_address_alone_is_announced_when_nothing_else_is_known() {
        let frames = Addresses::default().announcements(0, MAC);
        assert_eq!(frames.len(), 1);
        assert_eq!(ether::addresses(&frames[0]), Some((Mac::BROADCAST, MAC)));
        // Type, hardware, protocol, lengths, operation 3: as RFC 903 has it.
        assert_eq!(frames[0][12..22], [0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3]);
        assert_eq!(frames[0][22..28], MAC.0);
    }

    #[test]
    fn what_the_guest_says_of_itself_is_announced() {
        let mut known = Addresses::default();
        known.hear(0, &arp_of(MAC, IP));
        known.hear(0, &advert(MAC, IP6));
        let frames = known.announcements(0, MAC);
        assert_eq!(frames.len(), 3);
        let mut again = Addresses::default();
        for frame in &frames {
            assert_eq!(ether::addresses(frame).unwrap().1, MAC);
            again.hear(0, frame);
        }
        assert_eq!((again.v4.0, again.v6.0), (vec![(IP, 0)], vec![(IP6, 0)]));
    }

    #[test]
    fn an_address_that_another_station_claims_is_not_announced() {
        let mut known = Addresses::default();
        known.hear(0, &arp_of(MAC, IP));
        known.hear(0, &advert(MAC, IP6));
        known.hear_other(&arp_of(OTHER, IP));
        known.hear_other(&advert(OTHER, IP6));
        assert_eq!(known.announcements(0, MAC).len(), 1);
    }

    #[test]
    fn an_address_that_is_not_used_is_not_announced() {
        let mut known = Addresses::default();
        known.hear(0, &arp_of(MAC, IP));
        assert_eq!(known.announcements(UNUSED_NS, MAC).len(), 1);
        let datagram =
            ether::udp(Station { mac: MAC, ip: IP }, 1, Station { mac: OTHER, ip: IP }, 2, b"used");
        known.hear(UNUSED_NS, &datagram);
        assert_eq!(known.announcements(UNUSED_NS, MAC).len(), 2);
    }

    #[test]
    fn a_guest_that_routes_does_not_own_what_it_forwards() {
        let mut known = Addresses::default();
        let from = Station { mac: MAC, ip: Ipv4Address::new(8, 8, 8, 8) };
        known.hear(0, &ether::udp(from, 1, Station { mac: OTHER, ip: IP }, 2, b""));
        // Proxy ARP names another Ethernet address than it comes from.
        let mut proxied = arp_of(MAC, IP);
        proxied[22..28].copy_from_slice(&OTHER.0);
        known.hear(0, &proxied);
        assert_eq!(known.announcements(0, MAC).len(), 1);
    }

    #[test]
    fn addresses_made_up_are_bounded_and_wild_bytes_do_no_harm() {
        let mut known = Addresses::default();
        let mut prng = Prng::new(7);
        for now in 0..2000u64 {
            known.hear(now, &arp_of(MAC, Ipv4Address::from(prng.next_u64() as u32)));
            let mut wild = [advert(MAC, IP6), arp_of(MAC, IP)][prng.below(2) as usize].clone();
            for _ in 0..prng.between(1, 4) {
                let at = prng.below(wild.len() as u64) as usize;
                wild[at] = prng.next_u64() as u8;
            }
            wild.truncate(prng.below(wild.len() as u64 + 1) as usize);
            known.hear(now, &wild);
            known.hear_other(&wild);
        }
        assert!(known.announcements(2000, MAC).len() <= 1 + 2 * ADDRESSES_MAX);
    }

    #[test]
    fn announcements_come_at_once_and_a_few_times_more() {
        let mut rounds = Rounds::default();
        assert!(!rounds.take(0));
        rounds.begin(1000);
        let mut made = Vec::new();
        for now in (1000..3 * SECOND_NS).step_by(MILLISECOND_NS as usize) {
            if rounds.take(now) {
                made.push((now - 1000) / MILLISECOND_NS);
            }
        }
        assert_eq!(made, [0, 50, 150, 400, 1000]);
        assert!(rounds.due_at().is_none() && !rounds.take(u64::MAX));
    }
}

//! Whose a VM's Ethernet address is, told to a real segment: at go-live, so that bridges learn the
//! port behind which the guest now is, and neighbours need not ask.
//!
//! What is announced was learned from the guest's own frames ([`Addresses::hear`]): its IPv4 addresses
//! from ARP, its IPv6 addresses from neighbour discovery. A reverse-ARP frame needs neither and is always
//! among the announcements; bridges look at nothing but its source. An address that has not been used
//! for long, or that somebody else has claimed since, is not announced: it may have changed hands.
//!
//! Absent on purpose: duplicate address detection (the guest's own business), and sending.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetFrame, EthernetProtocol, Icmpv6Packet, Icmpv6Repr, IpProtocol,
    Ipv4Address, Ipv4Packet, Ipv6Address, Ipv6Packet, Ipv6Repr, NdiscNeighborFlags, NdiscRepr,
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
const ALL_NODES: Ipv6Address = Ipv6Address::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: Mac = Mac([0x33, 0x33, 0, 0, 0, 1]);

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
    v6: Used<Ipv6Address>,
}

impl Default for Addresses {
    fn default() -> Self {
        Self { v4: Used(Vec::new()), v6: Used(Vec::new()) }
    }
}

/// What a frame says about its sender.
enum Says {
    /// This address is mine.
    OwnV4(Ipv4Address),
    OwnV6(Ipv6Address),
    /// I send from this address; it may be another's, for whom I route.
    FromV4(Ipv4Address),
    FromV6(Ipv6Address),
}

fn said(frame: &[u8]) -> Option<Says> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    match frame.ethertype() {
        EthernetProtocol::Arp => {
            let ArpRepr::EthernetIpv4 { source_hardware_addr, source_protocol_addr, .. } =
                ArpRepr::parse(&ArpPacket::new_checked(frame.payload()).ok()?).ok()?
            else {
                return None;
            };
            let own = source_hardware_addr == frame.src_addr() && !source_protocol_addr.is_unspecified();
            own.then_some(Says::OwnV4(source_protocol_addr))
        }
        EthernetProtocol::Ipv4 => {
            Some(Says::FromV4(Ipv4Packet::new_checked(frame.payload()).ok()?.src_addr()))
        }
        EthernetProtocol::Ipv6 => {
            let packet = Ipv6Packet::new_checked(frame.payload()).ok()?;
            let (from, to) = (packet.src_addr(), packet.dst_addr());
            if packet.next_header() != IpProtocol::Icmpv6 || packet.hop_limit() != 255 {
                return Some(Says::FromV6(from));
            }
            let icmp = Icmpv6Packet::new_checked(packet.payload()).ok()?;
            match Icmpv6Repr::parse(&from, &to, &icmp, &ChecksumCapabilities::default()).ok()? {
                Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert { target_addr, .. }) => {
                    Some(Says::OwnV6(target_addr))
                }
                // An unspecified source is a question whether an address is free: not yet its own.
                Icmpv6Repr::Ndisc(NdiscRepr::NeighborSolicit { .. }) if !from.is_unspecified() => {
                    Some(Says::OwnV6(from))
                }
                _ => Some(Says::FromV6(from)),
            }
        }
        EthernetProtocol::Unknown(_) => None,
    }
}

impl Addresses {
    /// The VM has sent `frame`.
    pub fn hear(&mut self, now: u64, frame: &[u8]) {
        match said(frame) {
            Some(Says::OwnV4(ip)) if !ip.is_multicast() => self.v4.learn(now, ip),
            Some(Says::OwnV6(ip)) if !ip.is_multicast() => self.v6.learn(now, ip),
            Some(Says::FromV4(ip)) => {
                self.v4.touch(now, ip);
            }
            Some(Says::FromV6(ip)) => {
                self.v6.touch(now, ip);
            }
            Some(Says::OwnV4(_) | Says::OwnV6(_)) | None => {}
        }
    }

    /// Somebody else on the segment has sent `frame`: what it claims is no longer the VM's.
    pub fn hear_other(&mut self, frame: &[u8]) {
        match said(frame) {
            Some(Says::OwnV4(ip)) => self.v4.forget(ip),
            Some(Says::OwnV6(ip)) => self.v6.forget(ip),
            Some(Says::FromV4(_) | Says::FromV6(_)) | None => {}
        }
    }

    /// The frames that tell the segment where `mac` and its addresses are.
    pub fn announcements(&self, now: u64, mac: Mac) -> Vec<Vec<u8>> {
        let mut frames = vec![rarp(mac)];
        // An announcement in the form of a request (RFC 5227, 3): nobody answers it.
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
        packet.set_hardware_type(smoltcp::wire::ArpHardware::Ethernet);
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
fn advert(mac: Mac, ip: Ipv6Address) -> Vec<u8> {
    let icmp = Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert {
        flags: NdiscNeighborFlags::OVERRIDE,
        target_addr: ip,
        lladdr: Some(smoltcp::wire::EthernetAddress(mac.0).into()),
    });
    let header = Ipv6Repr {
        src_addr: ip,
        dst_addr: ALL_NODES,
        next_header: IpProtocol::Icmpv6,
        payload_len: icmp.buffer_len(),
        hop_limit: 255,
    };
    let length = header.buffer_len() + icmp.buffer_len();
    ether::frame(ALL_NODES_MAC, mac, EthernetProtocol::Ipv6, length, |bytes| {
        let mut packet = Ipv6Packet::new_unchecked(bytes);
        header.emit(&mut packet);
        icmp.emit(
            &ip,
            &ALL_NODES,
            &mut Icmpv6Packet::new_unchecked(packet.payload_mut()),
            &ChecksumCapabilities::default(),
        );
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

    pub fn stop(&mut self) {
        self.next = None;
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
    const IP6: Ipv6Address = Ipv6Address::new(0xfe80, 0, 0, 0, 0, 0, 0, 5);

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
    fn an_address_that_somebody_else_claims_is_not_announced() {
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
        // ARP on somebody's behalf names another Ethernet address than it comes from.
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
        rounds.begin(0);
        rounds.stop();
        assert!(rounds.due_at().is_none() && !rounds.take(u64::MAX));
    }
}

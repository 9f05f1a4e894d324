//! Ethernet addresses and frames: the few shapes that we build, and what we ask of those that come.
//!
//! Parsing and building is `smoltcp::wire`'s; every checksum is written and verified.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use smoltcp::phy::ChecksumCapabilities;
pub use smoltcp::wire::Ipv4Address;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, ETHERNET_HEADER_LEN, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr, IPV4_HEADER_LEN, IpAddress, IpProtocol, Ipv4Packet, Ipv4Repr, UDP_HEADER_LEN, UdpPacket,
    UdpRepr,
};

/// The largest frame that passes: 1500 bytes of payload, the header, and room for a VLAN tag.
pub const FRAME_BYTES_MAX: usize = 1518;

/// The smallest frame that passes: a header. Virtual wires do not pad to 60 bytes.
pub const FRAME_BYTES_MIN: usize = ETHERNET_HEADER_LEN;

/// The largest UDP payload that fits one frame without fragments.
pub const UDP_PAYLOAD_BYTES_MAX: usize = 1500 - IPV4_HEADER_LEN - UDP_HEADER_LEN;

/// The largest UDP payload of an IPv4 packet; beyond [`UDP_PAYLOAD_BYTES_MAX`] it takes fragments.
pub const DATAGRAM_BYTES_MAX: usize = 65535 - IPV4_HEADER_LEN - UDP_HEADER_LEN;

/// An Ethernet address; printed as `52:54:00:4c:53:01`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Every station of the segment.
    pub const BROADCAST: Mac = Mac([0xff; 6]);

    /// Names one interface: neither a group (broadcast, multicast) nor all zero.
    pub fn is_station(self) -> bool {
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Mac {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("\"{text}\" is not an Ethernet address like 52:54:00:4c:53:01");
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|p| p.len() == 2).ok_or_else(bad)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| bad())?;
        }
        if parts.next().is_some() { Err(bad()) } else { Ok(Mac(bytes)) }
    }
}

impl Serialize for Mac {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Destination and source of a frame; `None` for a runt.
pub fn addresses(frame: &[u8]) -> Option<(Mac, Mac)> {
    let header = frame.first_chunk::<FRAME_BYTES_MIN>()?;
    let (mut to, mut from) = ([0; 6], [0; 6]);
    to.copy_from_slice(&header[..6]);
    from.copy_from_slice(&header[6..12]);
    Some((Mac(to), Mac(from)))
}

/// One end of a conversation inside the virtual segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Station {
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its IPv4 address.
    pub ip: Ipv4Address,
}

/// A frame of ours: header and `payload_len` bytes that `fill` writes.
pub fn frame(
    to: Mac,
    from: Mac,
    ethertype: EthernetProtocol,
    payload_len: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let mut bytes = vec![0; ETHERNET_HEADER_LEN + payload_len];
    let repr = EthernetRepr { src_addr: EthernetAddress(from.0), dst_addr: EthernetAddress(to.0), ethertype };
    let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
    repr.emit(&mut frame);
    fill(frame.payload_mut());
    bytes
}

/// An ARP request (`target_mac` is then unknown: broadcast) or reply.
pub fn arp(operation: ArpOperation, from: Station, target_mac: Mac, target_ip: Ipv4Address) -> Vec<u8> {
    let asked = if operation == ArpOperation::Request { Mac([0; 6]) } else { target_mac };
    let repr = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: EthernetAddress(from.mac.0),
        source_protocol_addr: from.ip,
        target_hardware_addr: EthernetAddress(asked.0),
        target_protocol_addr: target_ip,
    };
    frame(target_mac, from.mac, EthernetProtocol::Arp, repr.buffer_len(), |payload| {
        repr.emit(&mut ArpPacket::new_unchecked(payload));
    })
}

/// An IPv4 packet in a frame; `fill` writes the `payload_len` bytes behind the IPv4 header.
pub fn ipv4(
    from: Station,
    to: Station,
    protocol: IpProtocol,
    payload_len: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let repr =
        Ipv4Repr { src_addr: from.ip, dst_addr: to.ip, next_header: protocol, payload_len, hop_limit: 64 };
    frame(to.mac, from.mac, EthernetProtocol::Ipv4, IPV4_HEADER_LEN + payload_len, |bytes| {
        let mut packet = Ipv4Packet::new_unchecked(bytes);
        repr.emit(&mut packet, &ChecksumCapabilities::default());
        fill(packet.payload_mut());
    })
}

/// A UDP datagram in a frame. `payload` must be at most [`UDP_PAYLOAD_BYTES_MAX`] long to pass.
pub fn udp(from: Station, from_port: u16, to: Station, to_port: u16, payload: &[u8]) -> Vec<u8> {
    let repr = UdpRepr { src_port: from_port, dst_port: to_port };
    ipv4(from, to, IpProtocol::Udp, UDP_HEADER_LEN + payload.len(), |bytes| {
        repr.emit(
            &mut UdpPacket::new_unchecked(bytes),
            &IpAddress::Ipv4(from.ip),
            &IpAddress::Ipv4(to.ip),
            payload.len(),
            |buffer| buffer.copy_from_slice(payload),
            &ChecksumCapabilities::default(),
        );
    })
}

/// Whether `frame` names the IPv4 address `ip` as its sender's, in ARP or in IPv4.
pub fn claims_ip(frame: &[u8], ip: Ipv4Address) -> bool {
    let Ok(frame) = EthernetFrame::new_checked(frame) else { return false };
    let source = match frame.ethertype() {
        EthernetProtocol::Arp => ArpPacket::new_checked(frame.payload())
            .ok()
            .and_then(|p| ArpRepr::parse(&p).ok())
            .and_then(|repr| match repr {
                ArpRepr::EthernetIpv4 { source_protocol_addr, .. } => Some(source_protocol_addr),
                _ => None,
            }),
        EthernetProtocol::Ipv4 => Ipv4Packet::new_checked(frame.payload()).ok().map(|p| p.src_addr()),
        _ => None,
    };
    source == Some(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Station = Station { mac: Mac([2, 0, 0, 0, 0, 1]), ip: Ipv4Address::new(10, 0, 2, 15) };
    const B: Station = Station { mac: Mac([2, 0, 0, 0, 0, 2]), ip: Ipv4Address::new(10, 0, 2, 2) };

    #[test]
    fn addresses_print_and_parse() {
        let mac = Mac([0x52, 0x54, 0, 0x4c, 0x53, 0xff]);
        assert_eq!(mac.to_string(), "52:54:00:4c:53:ff");
        assert_eq!("52:54:00:4c:53:ff".parse(), Ok(mac));
        for bad in ["", "52:54:00:4c:53", "52:54:00:4c:53:ff:00", "52:54:00:4c:53:fg", "5:54:00:4c:53:ff"] {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
        assert!(mac.is_station() && !Mac::BROADCAST.is_station() && !Mac([0; 6]).is_station());
    }

    #[test]
    fn a_built_datagram_is_what_it_says_and_its_checksums_hold() {
        let bytes = udp(A, 9000, B, 20000, b"hello");
        assert_eq!(addresses(&bytes), Some((B.mac, A.mac)));
        let frame = EthernetFrame::new_checked(&bytes[..]).unwrap();
        let ip = Ipv4Packet::new_checked(frame.payload()).unwrap();
        assert!(ip.verify_checksum());
        let datagram = UdpPacket::new_checked(ip.payload()).unwrap();
        assert!(datagram.verify_checksum(&A.ip.into(), &B.ip.into()));
        assert_eq!((datagram.src_port(), datagram.payload()), (9000, &b"hello"[..]));
        assert_eq!(udp(A, 1, B, 2, &[0; UDP_PAYLOAD_BYTES_MAX]).len(), 1514);
    }

    #[test]
    fn a_stolen_source_address_is_seen_in_arp_and_ipv4() {
        assert!(claims_ip(&udp(A, 1, B, 2, b""), A.ip));
        assert!(!claims_ip(&udp(A, 1, B, 2, b""), B.ip));
        assert!(claims_ip(&arp(ArpOperation::Reply, B, A.mac, A.ip), B.ip));
        assert!(!claims_ip(&[0; 13], B.ip));
        assert!(!claims_ip(&[8; 40], B.ip));
    }
}

//! The client's packets: UDP over IPv4 over Ethernet, as the gateway would make them.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpAddress, IpProtocol, Ipv4Address,
    Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};

pub const GUEST_IP: Ipv4Address = Ipv4Address::new(10, 0, 2, 15);
pub const CLIENT_IP: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);
const CLIENT_MAC: EthernetAddress = EthernetAddress([0x52, 0x54, 0x00, 0x4c, 0x53, 0xff]);
/// Where the `kv` guest listens.
pub const KV_PORT: u16 = 9000;

/// A datagram from the client's `port` to the `kv` guest.
pub fn to_guest(mac: [u8; 6], port: u16, payload: &[u8]) -> Vec<u8> {
    let caps = ChecksumCapabilities::default();
    let udp = UdpRepr { src_port: port, dst_port: KV_PORT };
    let ip = Ipv4Repr {
        src_addr: CLIENT_IP,
        dst_addr: GUEST_IP,
        next_header: IpProtocol::Udp,
        payload_len: udp.header_len() + payload.len(),
        hop_limit: 64,
    };
    let ethernet = EthernetRepr {
        src_addr: CLIENT_MAC,
        dst_addr: EthernetAddress(mac),
        ethertype: EthernetProtocol::Ipv4,
    };
    let head = ethernet.buffer_len() + ip.buffer_len();
    let mut frame = vec![0; head + udp.header_len() + payload.len()];
    ethernet.emit(&mut EthernetFrame::new_unchecked(&mut frame[..]));
    ip.emit(&mut Ipv4Packet::new_unchecked(&mut frame[ethernet.buffer_len()..]), &caps);
    udp.emit(
        &mut UdpPacket::new_unchecked(&mut frame[head..]),
        &IpAddress::Ipv4(CLIENT_IP),
        &IpAddress::Ipv4(GUEST_IP),
        payload.len(),
        |buffer| buffer.copy_from_slice(payload),
        &caps,
    );
    frame
}

/// The client's port and the payload, when `frame` is a sound datagram from the guest to a client.
pub fn from_guest(frame: &[u8]) -> Option<(u16, Vec<u8>)> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    if ethernet.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let packet = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
    let ip = Ipv4Repr::parse(&packet, &ChecksumCapabilities::default()).ok()?;
    if ip.dst_addr != CLIENT_IP || ip.next_header != IpProtocol::Udp {
        return None;
    }
    let datagram = UdpPacket::new_checked(packet.payload()).ok()?;
    let (from, to) = (IpAddress::Ipv4(ip.src_addr), IpAddress::Ipv4(ip.dst_addr));
    UdpRepr::parse(&datagram, &from, &to, &ChecksumCapabilities::default()).ok()?;
    Some((datagram.dst_port(), datagram.payload().to_vec()))
}

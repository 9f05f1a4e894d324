//! A network frame in one line of words.
//!
//! Any bytes are accepted: malformed ones are shown as such, and nothing of a frame reaches a terminal
//! unescaped.

use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv4Message,
    Icmpv4Packet, IpProtocol, Ipv4Packet, TcpPacket, UdpPacket,
};

/// How many bytes of a payload are shown.
const EXCERPT_BYTES_MAX: usize = 64;

/// What the frame is, from whom to whom, and the start of what it carries.
pub fn summary(frame: &[u8]) -> String {
    let Ok(ethernet) = EthernetFrame::new_checked(frame) else {
        return format!("malformed Ethernet, {} bytes", frame.len());
    };
    match ethernet.ethertype() {
        EthernetProtocol::Arp => arp(ethernet.payload()),
        EthernetProtocol::Ipv4 => ipv4(ethernet.payload()),
        other => {
            let (from, to, len) = (mac(ethernet.src_addr()), mac(ethernet.dst_addr()), frame.len());
            format!("Ethernet {from} > {to}, type {:#06x}, {len} bytes", u16::from(other))
        }
    }
}

fn arp(bytes: &[u8]) -> String {
    let repr = ArpPacket::new_checked(bytes).and_then(|packet| ArpRepr::parse(&packet));
    let Ok(ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr,
        source_protocol_addr,
        target_protocol_addr,
        ..
    }) = repr
    else {
        return format!("malformed ARP, {} bytes", bytes.len());
    };
    match operation {
        ArpOperation::Request if source_protocol_addr == target_protocol_addr => {
            format!("ARP announcement: {source_protocol_addr} is at {}", mac(source_hardware_addr))
        }
        ArpOperation::Request => format!("ARP who has {target_protocol_addr}? tell {source_protocol_addr}"),
        ArpOperation::Reply => format!("ARP {source_protocol_addr} is at {}", mac(source_hardware_addr)),
        ArpOperation::Unknown(code) => format!("ARP operation {code}"),
    }
}

fn ipv4(bytes: &[u8]) -> String {
    let Ok(packet) = Ipv4Packet::new_checked(bytes) else {
        return format!("malformed IPv4, {} bytes", bytes.len());
    };
    let (from, to) = (packet.src_addr(), packet.dst_addr());
    if packet.frag_offset() != 0 {
        let (at, len) = (packet.frag_offset(), packet.payload().len());
        return format!("IPv4 {from} > {to}, fragment at {at}, {len} bytes");
    }
    let payload = packet.payload();
    match packet.next_header() {
        IpProtocol::Udp => match UdpPacket::new_checked(payload) {
            Ok(udp) => {
                let (src, dst, data) = (udp.src_port(), udp.dst_port(), udp.payload());
                format!("UDP {from}:{src} > {to}:{dst}, {}", excerpt(data))
            }
            Err(_) => format!("malformed UDP {from} > {to}, {} bytes", payload.len()),
        },
        IpProtocol::Tcp => match TcpPacket::new_checked(payload) {
            Ok(tcp) => {
                let (src, dst) = (tcp.src_port(), tcp.dst_port());
                format!("TCP {from}:{src} > {to}:{dst} [{}], {}", tcp_flags(&tcp), excerpt(tcp.payload()))
            }
            Err(_) => format!("malformed TCP {from} > {to}, {} bytes", payload.len()),
        },
        IpProtocol::Icmp => match Icmpv4Packet::new_checked(payload) {
            Ok(icmp) => format!("ICMP {} {from} > {to}, {} bytes", icmp_message(&icmp), icmp.data().len()),
            Err(_) => format!("malformed ICMP {from} > {to}, {} bytes", payload.len()),
        },
        other => format!("IPv4 {from} > {to}, protocol {}, {} bytes", u8::from(other), payload.len()),
    }
}

fn icmp_message(icmp: &Icmpv4Packet<&[u8]>) -> String {
    let numbered = |what: &str| format!("{what} (id {}, number {})", icmp.echo_ident(), icmp.echo_seq_no());
    match icmp.msg_type() {
        Icmpv4Message::EchoRequest => numbered("echo request"),
        Icmpv4Message::EchoReply => numbered("echo reply"),
        other => format!("type {} code {}", u8::from(other), icmp.msg_code()),
    }
}

fn tcp_flags(tcp: &TcpPacket<&[u8]>) -> String {
    let flags =
        [("SYN", tcp.syn()), ("ACK", tcp.ack()), ("PSH", tcp.psh()), ("FIN", tcp.fin()), ("RST", tcp.rst())];
    let set: Vec<_> = flags.into_iter().filter_map(|(name, is_set)| is_set.then_some(name)).collect();
    set.join(" ")
}

fn mac(address: EthernetAddress) -> String {
    let EthernetAddress([a, b, c, d, e, f]) = address;
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

/// How many bytes, and the first of them as text.
pub fn excerpt(bytes: &[u8]) -> String {
    let count = match bytes.len() {
        0 => return "empty".into(),
        1 => "1 byte".into(),
        n => format!("{n} bytes"),
    };
    let shown = &bytes[..bytes.len().min(EXCERPT_BYTES_MAX)];
    let more = if shown.len() < bytes.len() { "…" } else { "" };
    format!("{count}: \"{}\"{more}", shown.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Prng;
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::{EthernetRepr, Icmpv4Repr, IpAddress, Ipv4Address, Ipv4Repr, UdpRepr};

    const GATEWAY: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);
    const GUEST: Ipv4Address = Ipv4Address::new(10, 0, 2, 15);
    const MAC: EthernetAddress = EthernetAddress([0x52, 0x54, 0, 0x4c, 0x53, 1]);

    fn ethernet(ethertype: EthernetProtocol, len: usize, emit: impl FnOnce(&mut [u8])) -> Vec<u8> {
        let mut bytes = vec![0; 14 + len];
        let mut frame = EthernetFrame::new_unchecked(&mut bytes);
        EthernetRepr { src_addr: MAC, dst_addr: EthernetAddress::BROADCAST, ethertype }.emit(&mut frame);
        emit(frame.payload_mut());
        bytes
    }

    fn ip(next_header: IpProtocol, len: usize, emit: impl FnOnce(&mut [u8])) -> Vec<u8> {
        let repr =
            Ipv4Repr { src_addr: GATEWAY, dst_addr: GUEST, next_header, payload_len: len, hop_limit: 64 };
        ethernet(EthernetProtocol::Ipv4, 20 + len, |bytes| {
            let mut packet = Ipv4Packet::new_unchecked(bytes);
            repr.emit(&mut packet, &ChecksumCapabilities::default());
            emit(packet.payload_mut());
        })
    }

    fn udp(payload: &[u8]) -> Vec<u8> {
        let repr = UdpRepr { src_port: 40000, dst_port: 9000 };
        ip(IpProtocol::Udp, 8 + payload.len(), |bytes| {
            repr.emit(
                &mut UdpPacket::new_unchecked(bytes),
                &IpAddress::Ipv4(GATEWAY),
                &IpAddress::Ipv4(GUEST),
                payload.len(),
                |into| into.copy_from_slice(payload),
                &ChecksumCapabilities::default(),
            );
        })
    }

    #[test]
    fn arp_is_told_as_question_and_answer() {
        let arp = |operation, source| {
            let repr = ArpRepr::EthernetIpv4 {
                operation,
                source_hardware_addr: MAC,
                source_protocol_addr: source,
                target_hardware_addr: EthernetAddress::BROADCAST,
                target_protocol_addr: GUEST,
            };
            summary(&ethernet(EthernetProtocol::Arp, repr.buffer_len(), |bytes| {
                repr.emit(&mut ArpPacket::new_unchecked(bytes));
            }))
        };
        assert_eq!(arp(ArpOperation::Request, GATEWAY), "ARP who has 10.0.2.15? tell 10.0.2.2");
        assert_eq!(arp(ArpOperation::Reply, GATEWAY), "ARP 10.0.2.2 is at 52:54:00:4c:53:01");
        assert_eq!(arp(ArpOperation::Request, GUEST), "ARP announcement: 10.0.2.15 is at 52:54:00:4c:53:01");
    }

    #[test]
    fn udp_shows_its_payload_without_control_characters() {
        assert_eq!(
            summary(&udp(b"7 SET k \x1b[2J\xff")),
            "UDP 10.0.2.2:40000 > 10.0.2.15:9000, 13 bytes: \"7 SET k \\x1b[2J\\xff\""
        );
        let long = summary(&udp(&[b'x'; 200]));
        assert!(long.ends_with(&format!("200 bytes: \"{}\"…", "x".repeat(64))), "{long}");
        assert!(summary(&udp(b"")).ends_with(", empty"));
    }

    #[test]
    fn ping_is_told_with_its_numbers() {
        let repr = Icmpv4Repr::EchoRequest { ident: 3, seq_no: 9, data: b"abcd" };
        let frame = ip(IpProtocol::Icmp, repr.buffer_len(), |bytes| {
            repr.emit(&mut Icmpv4Packet::new_unchecked(bytes), &ChecksumCapabilities::default());
        });
        assert_eq!(summary(&frame), "ICMP echo request (id 3, number 9) 10.0.2.2 > 10.0.2.15, 4 bytes");
    }

    #[test]
    fn any_bytes_have_a_summary() {
        assert_eq!(summary(&[1; 5]), "malformed Ethernet, 5 bytes");
        let whole = udp(b"hello");
        for seed in 0..20_000 {
            let mut prng = Prng::new(seed);
            let mut frame = whole[..prng.between(0, whole.len() as u64) as usize].to_vec();
            for _ in 0..prng.below(4) {
                if let Some(byte) = frame.get_mut(prng.below(60) as usize) {
                    *byte = prng.next_u64() as u8;
                }
            }
            let text = summary(&frame);
            assert!(!text.is_empty() && !text.chars().any(char::is_control), "seed {seed}: {text}");
        }
    }
}

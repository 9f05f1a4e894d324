//! The gateway against a guest that is honest, and against one that is not.

use smoltcp::wire::{IPV4_HEADER_LEN, TcpControl, TcpRepr, TcpSeqNumber};

use super::*;
use crate::base::Prng;

const GUEST: Station = Station { mac: Mac([0x52, 0x54, 0, 0x4c, 0x53, 1]), ip: GUEST_IP };
const GATEWAY: Station = Station { mac: GATEWAY_MAC, ip: GATEWAY_IP };

fn gateway() -> Gateway {
    Gateway::new(GatewayConfig::with_forwards(vec!["udp:127.0.0.1:9000=7".parse().unwrap()]))
}

fn client(n: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], n))
}

fn from_guest(gateway: &mut Gateway, now: u64, frame: &[u8]) -> Vec<FromGateway> {
    let mut out = Vec::new();
    gateway.frame(now, frame, &mut out);
    out
}

fn from_host(gateway: &mut Gateway, now: u64, n: u16, bytes: &[u8]) -> Vec<FromGateway> {
    let mut out = Vec::new();
    gateway.datagram(now, 0, client(n), bytes, &mut out);
    out
}

fn tick(gateway: &mut Gateway, now: u64) -> Vec<FromGateway> {
    let mut out = Vec::new();
    gateway.tick(now, &mut out);
    out
}

/// Source port and payload of a datagram for the guest.
fn datagram(command: &FromGateway) -> (u16, Vec<u8>) {
    let FromGateway::Frame(bytes) = command else { panic!("{command:?}") };
    let frame = EthernetFrame::new_checked(&bytes[..]).unwrap();
    let packet = Ipv4Packet::new_checked(frame.payload()).unwrap();
    assert!(packet.verify_checksum());
    assert_eq!((packet.src_addr(), packet.dst_addr()), (GATEWAY_IP, GUEST_IP));
    let udp = UdpPacket::new_checked(packet.payload()).unwrap();
    assert!(udp.verify_checksum(&GATEWAY_IP.into(), &GUEST_IP.into()));
    assert_eq!(udp.dst_port(), 7);
    (udp.src_port(), udp.payload().to_vec())
}

/// ICMP to the guest: destination unreachable, administratively prohibited.
fn assert_prohibited(command: &FromGateway) {
    let FromGateway::Frame(frame) = command else { panic!("{command:?}") };
    assert_eq!(ether::addresses(frame), Some((GUEST.mac, GATEWAY_MAC)));
    assert_eq!((frame[23], &frame[34..36]), (1, &[3u8, 13][..]));
}

fn announce() -> Vec<u8> {
    ether::arp(ArpOperation::Request, GUEST, Mac::BROADCAST, GUEST_IP)
}

#[test]
fn arp_and_ping_are_answered() {
    let mut gateway = gateway();
    let asked = ether::arp(ArpOperation::Request, GUEST, Mac::BROADCAST, GATEWAY_IP);
    let reply = ether::arp(ArpOperation::Reply, GATEWAY, GUEST.mac, GUEST_IP);
    assert_eq!(from_guest(&mut gateway, 0, &asked), [FromGateway::Frame(reply)]);

    let ping = |repr: Icmpv4Repr, from, to| {
        ether::ipv4(from, to, IpProtocol::Icmp, repr.buffer_len(), |bytes| {
            repr.emit(&mut Icmpv4Packet::new_unchecked(bytes), &ChecksumCapabilities::default());
        })
    };
    let request = ping(Icmpv4Repr::EchoRequest { ident: 3, seq_no: 4, data: b"abc" }, GUEST, GATEWAY);
    let reply = ping(Icmpv4Repr::EchoReply { ident: 3, seq_no: 4, data: b"abc" }, GATEWAY, GUEST);
    assert_eq!(from_guest(&mut gateway, 0, &request), [FromGateway::Frame(reply)]);
}

#[test]
fn a_datagram_waits_for_the_address_and_the_answer_finds_its_client() {
    let mut gateway = gateway();
    let out = from_host(&mut gateway, 0, 5555, b"1 PING");
    let asked = ether::arp(ArpOperation::Request, GATEWAY, Mac::BROADCAST, GUEST_IP);
    assert_eq!(out, [FromGateway::Frame(asked.clone())]);
    assert_eq!(from_host(&mut gateway, 1, 6666, b"2 PING"), []);
    assert_eq!(gateway.next_deadline(), Some(ARP_RETRY_NS));
    assert_eq!(tick(&mut gateway, ARP_RETRY_NS), [FromGateway::Frame(asked)]);

    let reply = ether::arp(ArpOperation::Reply, GUEST, GATEWAY_MAC, GATEWAY_IP);
    let out = from_guest(&mut gateway, ARP_RETRY_NS + 1, &reply);
    assert_eq!(gateway.next_deadline(), None);
    let ports: Vec<(u16, Vec<u8>)> = out.iter().map(datagram).collect();
    assert_eq!((&ports[0].1[..], &ports[1].1[..]), (&b"1 PING"[..], &b"2 PING"[..]));
    assert_ne!(ports[0].0, ports[1].0);

    let answer = ether::udp(GUEST, 7, GATEWAY, ports[1].0, b"2 PONG");
    let expected = FromGateway::Host(HostAction::ToClient {
        forward: 0,
        client: client(6666),
        bytes: b"2 PONG".to_vec(),
    });
    assert_eq!(from_guest(&mut gateway, ARP_RETRY_NS + 2, &answer), [expected]);
}

#[test]
fn a_guest_that_never_tells_its_address_costs_a_bounded_queue() {
    let mut gateway = gateway();
    let mut now = 0;
    for n in 0..200 {
        from_host(&mut gateway, now, n, b"x");
    }
    assert_eq!(gateway.counts().dropped_waiting_full, 200 - WAITING_MAX as u64);
    while let Some(deadline) = gateway.next_deadline() {
        now = deadline;
        tick(&mut gateway, now);
    }
    assert_eq!(gateway.counts().dropped_unresolved, WAITING_MAX as u64);
    assert_eq!(gateway.counts().arp_requests, u64::from(ARP_TRIES_MAX));
    // And it starts anew with the next datagram.
    assert_eq!(from_host(&mut gateway, now, 1, b"x").len(), 1);
}

#[test]
fn an_absent_guest_that_is_wanted_all_the_time_is_asked_for_twice_a_second() {
    let mut gateway = gateway();
    for now in (0..60 * SECOND_NS).step_by(MILLISECOND_NS as usize) {
        from_host(&mut gateway, now, 1, b"x");
        tick(&mut gateway, now);
    }
    let asked = gateway.counts().arp_requests;
    assert!((60..=140).contains(&asked), "{asked}");
}

#[test]
fn an_announcement_moves_the_guest_and_a_silent_guest_is_asked_for_again() {
    let mut gateway = gateway();
    from_guest(&mut gateway, 0, &announce());
    assert_eq!(from_host(&mut gateway, 1, 1, b"x").len(), 1);
    let moved = Station { mac: Mac([2, 0, 0, 0, 0, 9]), ip: GUEST_IP };
    from_guest(&mut gateway, 2, &ether::arp(ArpOperation::Request, moved, Mac::BROADCAST, GUEST_IP));
    let FromGateway::Frame(frame) = &from_host(&mut gateway, 3, 1, b"x")[0] else { panic!() };
    assert_eq!(ether::addresses(frame).unwrap().0, moved.mac);

    let stale = NEIGHBOR_STALE_NS + 3;
    let out = from_host(&mut gateway, stale, 1, b"x");
    assert_eq!(out.len(), 2, "asked again, and still used");
    assert_eq!(from_host(&mut gateway, stale + 1, 1, b"x").len(), 1, "but not with every datagram");
    let out = from_host(&mut gateway, NEIGHBOR_DEAD_NS + 3, 1, b"x");
    assert_eq!(
        out,
        [FromGateway::Frame(ether::arp(ArpOperation::Request, GATEWAY, Mac::BROADCAST, GUEST_IP))]
    );
}

#[test]
fn a_talking_guest_is_never_asked_for() {
    let mut gateway = gateway();
    from_guest(&mut gateway, 0, &announce());
    let (port, _) = datagram(&from_host(&mut gateway, 0, 1, b"x")[0]);
    for second in 1..100 {
        let now = second * SECOND_NS;
        assert_eq!(from_host(&mut gateway, now, 1, b"x").len(), 1);
        assert_eq!(from_guest(&mut gateway, now, &ether::udp(GUEST, 7, GATEWAY, port, b"y")).len(), 1);
    }
    assert_eq!(gateway.counts().arp_requests, 0);
}

/// The packet that these frames for the guest carry, put together as its own stack would.
fn whole(out: &[FromGateway]) -> Vec<u8> {
    let mut reassembly = Reassembly::default();
    let mut found = Vec::new();
    for command in out {
        let FromGateway::Frame(frame) = command else { panic!("{command:?}") };
        assert!(frame.len() <= 1514);
        let packet = Ipv4Packet::new_checked(&frame[14..]).unwrap();
        assert!(packet.verify_checksum() && !packet.dont_frag());
        if let Heard::Whole(packet) = reassembly.hear(0, &packet) {
            found.push(packet);
        }
    }
    assert_eq!(found.len(), 1);
    found.remove(0)
}

#[test]
fn datagrams_that_do_not_fit_a_frame_pass_in_fragments_both_ways() {
    let mut gateway = gateway();
    from_guest(&mut gateway, 0, &announce());
    assert_eq!(from_host(&mut gateway, 0, 1, &[0; UDP_PAYLOAD_BYTES_MAX]).len(), 1);
    for len in [UDP_PAYLOAD_BYTES_MAX + 1, 4000, DATAGRAM_BYTES_MAX] {
        let sent: Vec<u8> = (0..len).map(|n| n as u8).collect();
        let out = from_host(&mut gateway, 0, 1, &sent);
        assert_eq!(out.len(), (len + 8).div_ceil(1480));
        let packet = whole(&out);
        let packet = Ipv4Packet::new_checked(&packet[..]).unwrap();
        let udp = UdpPacket::new_checked(packet.payload()).unwrap();
        assert!(udp.verify_checksum(&GATEWAY_IP.into(), &GUEST_IP.into()));
        assert_eq!((udp.dst_port(), udp.payload()), (7, &sent[..]));

        let answer = fragments::udp((GUEST, 7), (GATEWAY, udp.src_port()), 77, &sent);
        let out: Vec<FromGateway> =
            answer.iter().rev().flat_map(|frame| from_guest(&mut gateway, 0, frame)).collect();
        assert_eq!(
            out,
            [FromGateway::Host(HostAction::ToClient { forward: 0, client: client(1), bytes: sent })]
        );
    }
    assert_eq!(from_host(&mut gateway, 0, 1, &[0; DATAGRAM_BYTES_MAX + 1]), []);
    let counts = gateway.counts();
    assert_eq!((counts.dropped_oversize, counts.reassembled, counts.dropped_fragments), (1, 3, 0));
}

#[test]
fn a_long_ping_and_a_long_datagram_to_the_outside_pass_in_fragments_too() {
    let outbound = vec!["192.0.2.0/24".parse().unwrap()];
    let mut gateway = Gateway::new(GatewayConfig { outbound, ..GatewayConfig::with_forwards(vec![]) });
    let outside = Station { ip: Ipv4Address::new(192, 0, 2, 7), ..GATEWAY };
    let sent = vec![9; 3000];
    let frames = fragments::udp((GUEST, 5000), (outside, 99), 77, &sent);
    let out: Vec<FromGateway> = frames.iter().flat_map(|frame| from_guest(&mut gateway, 0, frame)).collect();
    let [FromGateway::Host(HostAction::Out { flow, bytes, .. })] = &out[..] else { panic!("{out:?}") };
    assert_eq!(*bytes, sent);
    let mut out = Vec::new();
    gateway.flow_datagram(0, *flow, &sent, &mut out);
    assert_eq!(whole(&out).len(), 20 + 8 + 3000);

    let ping = Icmpv4Repr::EchoRequest { ident: 3, seq_no: 4, data: &sent };
    let mut bytes = vec![0; ping.buffer_len()];
    ping.emit(&mut Icmpv4Packet::new_unchecked(&mut bytes[..]), &ChecksumCapabilities::default());
    let frames = fragments::frames(GUEST, GATEWAY, IpProtocol::Icmp, 5, &bytes);
    let out: Vec<FromGateway> = frames.iter().flat_map(|frame| from_guest(&mut gateway, 0, frame)).collect();
    assert_eq!(whole(&out)[28..], sent);
}

#[test]
fn a_ping_to_the_outside_is_carried_or_answered_with_unreachable() {
    let outbound = vec!["192.0.2.0/24".parse().unwrap(), "198.51.100.0/24:80".parse().unwrap()];
    let mut gateway = Gateway::new(GatewayConfig { outbound, ..GatewayConfig::with_forwards(vec![]) });
    let ping = |ip: [u8; 4]| {
        let to = Station { ip: Ipv4Address::from(ip), ..GATEWAY };
        let request = Icmpv4Repr::EchoRequest { ident: 3, seq_no: 4, data: b"abc" };
        ether::ipv4(GUEST, to, IpProtocol::Icmp, request.buffer_len(), |bytes| {
            request.emit(&mut Icmpv4Packet::new_unchecked(bytes), &ChecksumCapabilities::default());
        })
    };
    let out = from_guest(&mut gateway, 0, &ping([192, 0, 2, 7]));
    let [FromGateway::Host(HostAction::Ping { flow, to, bytes })] = &out[..] else { panic!("{out:?}") };
    assert_eq!(
        (to.to_string().as_str(), &bytes[..2], &bytes[4..]),
        ("192.0.2.7", &[8, 0][..], &b"\0\x03\0\x04abc"[..])
    );
    // The host's kernel answers under an identifier of its own.
    let mut reply = Vec::new();
    gateway.flow_datagram(1, *flow, b"\0\0\0\0\x77\x77\0\x04abc", &mut reply);
    let [FromGateway::Frame(frame)] = &reply[..] else { panic!("{reply:?}") };
    assert_eq!(frame[26..34], [192, 0, 2, 7, 10, 0, 2, 15]);
    assert_eq!((&frame[34..36], &frame[38..]), (&[0u8, 0][..], &b"\0\x03\0\x04abc"[..]));
    // What is no answer to it is not passed on.
    reply.clear();
    gateway.flow_datagram(1, *flow, b"\x08\0\0\0\x77\x77\0\x04abc", &mut reply);
    gateway.flow_datagram(1, *flow, b"\0", &mut reply);
    assert_eq!(reply, []);

    gateway.ping_failed(2, *flow, bytes, &mut reply);
    let [FromGateway::Frame(frame)] = &reply[..] else { panic!("{reply:?}") };
    // Destination unreachable, host; the quoted packet is the guest's.
    assert_eq!(frame[34..36], [3, 1]);
    assert_eq!((&frame[54..62], &frame[66..70]), (&[10u8, 0, 2, 15, 192, 0, 2, 7][..], &[0u8, 3, 0, 4][..]));

    for forbidden in [[192, 0, 3, 7], [198, 51, 100, 7]] {
        let out = from_guest(&mut gateway, 0, &ping(forbidden));
        assert_eq!(out.len(), 1);
        assert_prohibited(&out[0]);
    }
    assert_eq!(from_guest(&mut gateway, 0, &ping([10, 0, 2, 77])), [], "the segment's own");
}

#[test]
fn names_are_asked_by_tcp_too_at_one_resolver_after_the_other() {
    let resolvers = vec!["127.0.0.53:53".parse().unwrap(), "[::1]:53".parse().unwrap()];
    let mut gateway = Gateway::new(GatewayConfig { resolvers, ..GatewayConfig::with_forwards(vec![]) });
    from_guest(&mut gateway, 0, &announce());
    let dns = Station { ip: DNS_IP, ..GATEWAY };
    let mut asked = Vec::new();
    for from_port in [5000, 5001, 5002] {
        let out = from_guest(&mut gateway, 0, &opening_from(from_port, dns, 53));
        let [FromGateway::Host(HostAction::Dial { to, .. })] = &out[..] else { panic!("{out:?}") };
        asked.push(to.to_string());
    }
    assert_eq!(asked, ["127.0.0.53:53", "[::1]:53", "127.0.0.53:53"]);
    assert_reset(&from_guest(&mut gateway, 0, &opening(dns, 80)));
}

#[test]
fn the_hosts_own_services_are_at_the_gateways_address_where_that_is_allowed() {
    let outbound = vec!["127.0.0.0/8:8080".parse().unwrap()];
    let mut gateway = Gateway::new(GatewayConfig { outbound, ..GatewayConfig::with_forwards(vec![]) });
    from_guest(&mut gateway, 0, &announce());
    let out = from_guest(&mut gateway, 0, &opening(GATEWAY, 8080));
    let [FromGateway::Host(HostAction::Dial { to, .. })] = &out[..] else { panic!("{out:?}") };
    assert_eq!(to.to_string(), "127.0.0.1:8080");
    assert_reset(&from_guest(&mut gateway, 0, &opening(GATEWAY, 8081)));

    let out = from_guest(&mut gateway, 0, &ether::udp(GUEST, 5000, GATEWAY, 8080, b"hello"));
    let [FromGateway::Host(HostAction::Out { flow, to, bytes })] = &out[..] else { panic!("{out:?}") };
    assert_eq!((to.to_string().as_str(), &bytes[..]), ("127.0.0.1:8080", &b"hello"[..]));
    let mut answer = Vec::new();
    gateway.flow_datagram(0, *flow, b"hi", &mut answer);
    assert_eq!(answer, [FromGateway::Frame(ether::udp(GATEWAY, 8080, GUEST, 5000, b"hi"))]);
    assert_eq!(from_guest(&mut gateway, 0, &ether::udp(GUEST, 5000, GATEWAY, 8081, b"hello")), []);
    let outside = Station { ip: Ipv4Address::new(8, 8, 8, 8), ..GUEST };
    assert_eq!(from_guest(&mut gateway, 0, &ether::udp(outside, 5000, GATEWAY, 8080, b"hello")), []);
}

/// The guest gets a refusal: no server listens there.
fn assert_reset(out: &[FromGateway]) {
    let [FromGateway::Frame(frame)] = out else { panic!("{out:?}") };
    assert_eq!((frame[23], frame[14 + IPV4_HEADER_LEN + 13] & 4), (6, 4), "RST");
}

#[test]
fn a_guest_cannot_speak_to_clients_that_did_not_ask_or_from_another_port_or_address() {
    let mut gateway = gateway();
    from_guest(&mut gateway, 0, &announce());
    let (port, _) = datagram(&from_host(&mut gateway, 0, 1, b"x")[0]);
    let other = Station { ip: Ipv4Address::new(10, 0, 2, 99), ..GUEST };
    let outside = Station { ip: Ipv4Address::new(8, 8, 8, 8), ..GATEWAY };
    for frame in [
        ether::udp(GUEST, 7, GATEWAY, port + 1, b"y"),
        ether::udp(GUEST, 8, GATEWAY, port, b"y"),
        ether::udp(other, 7, GATEWAY, port, b"y"),
    ] {
        assert_eq!(from_guest(&mut gateway, 0, &frame), []);
    }
    // Beyond the segment, which is not allowed unless it is asked for: that is said.
    let out = from_guest(&mut gateway, 0, &ether::udp(GUEST, 7, outside, port, b"y"));
    assert_eq!(out.len(), 1);
    assert_prohibited(&out[0]);
    let counts = gateway.counts();
    assert_eq!((counts.dropped_no_route, counts.outbound.refused), (3, 1));
}

#[test]
fn bad_checksums_and_fragments_are_dropped() {
    let mut gateway = gateway();
    from_guest(&mut gateway, 0, &announce());
    let (port, _) = datagram(&from_host(&mut gateway, 0, 1, b"x")[0]);
    let good = ether::udp(GUEST, 7, GATEWAY, port, b"answer");
    for at in [14 + 10, 14 + IPV4_HEADER_LEN + 6, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 0x40;
        assert_eq!(from_guest(&mut gateway, 0, &bad), [], "byte {at}");
    }
    assert_eq!(gateway.counts().dropped_malformed, 3);

    let mut fragment = good.clone();
    let mut packet = Ipv4Packet::new_unchecked(&mut fragment[14..]);
    packet.set_more_frags(true);
    packet.fill_checksum();
    assert_eq!(from_guest(&mut gateway, 0, &fragment), []);
    assert_eq!(gateway.counts().dropped_fragments, 1);
    assert_eq!(from_guest(&mut gateway, 0, &good).len(), 1);
}

#[test]
fn mutilated_frames_never_panic() {
    let ping = Icmpv4Repr::EchoRequest { ident: 3, seq_no: 4, data: b"abc" };
    let good = [
        announce(),
        ether::udp(GUEST, 7, GATEWAY, super::super::nat::PORT_FIRST, b"answer"),
        ether::ipv4(GUEST, GATEWAY, IpProtocol::Icmp, ping.buffer_len(), |bytes| {
            ping.emit(&mut Icmpv4Packet::new_unchecked(bytes), &ChecksumCapabilities::default());
        }),
    ];
    for seed in 0..20_000 {
        let mut prng = Prng::new(seed);
        let mut gateway = gateway();
        let mut frame = good[prng.below(3) as usize].clone();
        for _ in 0..prng.below(4) {
            let at = prng.below(frame.len() as u64) as usize;
            frame[at] = prng.next_u64() as u8;
        }
        frame.truncate(prng.between(0, frame.len() as u64) as usize);
        if frame.len() >= 14 + IPV4_HEADER_LEN && prng.chance(1, 2) {
            // Get past the header checksum, so that the lengths behind it are reached.
            let header = usize::from(frame[14] & 0xf) * 4;
            if header >= IPV4_HEADER_LEN && 14 + header <= frame.len() {
                Ipv4Packet::new_unchecked(&mut frame[14..]).fill_checksum();
            }
        }
        from_host(&mut gateway, 0, 1, b"x");
        println!("seed {seed}");
        from_guest(&mut gateway, 0, &frame);
        ether::claims_ip(&frame, GATEWAY_IP);
    }
}

#[test]
fn a_client_of_a_guest_without_an_address_waits_without_spinning_and_is_told() {
    let forwards = vec!["tcp:127.0.0.1:9000=7".parse().unwrap()];
    let mut gateway = Gateway::new(GatewayConfig::with_forwards(forwards));
    let mut out = Vec::new();
    gateway.flush_tcp(0, true, 100, &mut out);
    let conn = gateway.connect(0, 0).unwrap();
    let (mut now, mut wakes) = (0, 0);
    let over = |gateway: &mut Gateway| {
        gateway.tcp().view(conn).is_none_or(|view| matches!(view.phase, tcp::Phase::Closed(_)))
    };
    gateway.flush_tcp(now, true, 100, &mut out);
    while !over(&mut gateway) {
        now = gateway.next_deadline().expect("something is due").max(now);
        gateway.tick(now, &mut out);
        gateway.flush_tcp(now, true, 100, &mut out);
        wakes += 1;
        assert!(wakes < 100, "it spins at {now}");
    }
    assert!(now <= 3 * SECOND_NS, "{now}");
    gateway.tcp().release(conn);
    // No node runs the guest: the client is held, then refused.
    let conn = gateway.connect(now, 0).unwrap();
    gateway.flush_tcp(now, false, 100, &mut out);
    wakes = 0;
    while !gateway.tcp().view(conn).is_none_or(|view| matches!(view.phase, tcp::Phase::Closed(_))) {
        now = gateway.next_deadline().expect("something is due").max(now);
        gateway.tick(now, &mut out);
        gateway.flush_tcp(now, false, 100, &mut out);
        wakes += 1;
        assert!(wakes < 300, "it spins at {now}");
    }
    gateway.tcp().release(conn);
    for _ in 0..1000 {
        let Some(next) = gateway.next_deadline().filter(|next| *next < now + 200 * SECOND_NS) else { return };
        now = next.max(now);
        gateway.tick(now, &mut out);
        gateway.flush_tcp(now, false, 100, &mut out);
    }
    // An address that is asked for again and again is no spinning: ten times a second.
    assert!(now > 90 * SECOND_NS, "{now}");
}

#[test]
fn the_guest_is_told_where_it_may_not_go_and_names_go_to_the_resolvers_in_turn() {
    let config = GatewayConfig {
        outbound: vec!["192.0.2.0/24:123".parse().unwrap()],
        resolvers: vec!["127.0.0.53:53".parse().unwrap(), "127.0.0.54:53".parse().unwrap()],
        ..GatewayConfig::with_forwards(vec![])
    };
    let mut gateway = Gateway::new(config);
    let to = |ip: [u8; 4]| Station { mac: GATEWAY_MAC, ip: Ipv4Address::from(ip) };
    let send = |gateway: &mut Gateway, now, ip, port| {
        from_guest(gateway, now, &ether::udp(GUEST, 5000, to(ip), port, b"hello"))
    };
    // Names.
    let [FromGateway::Host(HostAction::Out { flow, to: first, bytes })] =
        &send(&mut gateway, 0, [10, 0, 2, 3], 53)[..]
    else {
        panic!("asked")
    };
    assert_eq!(bytes, b"hello");
    let mut out = Vec::new();
    gateway.flow_datagram(1, *flow, b"answer", &mut out);
    let [FromGateway::Frame(frame)] = &out[..] else { panic!("{out:?}") };
    assert_eq!(*frame, ether::udp(to([10, 0, 2, 3]), 53, GUEST, 5000, b"answer"));
    // The first is silent from now on: after a second the other is asked.
    send(&mut gateway, SECOND_NS, [10, 0, 2, 3], 53);
    let out = send(&mut gateway, 3 * SECOND_NS, [10, 0, 2, 3], 53);
    let [
        FromGateway::Host(HostAction::EndFlow { .. }),
        FromGateway::Host(HostAction::Out { to: second, .. }),
    ] = &out[..]
    else {
        panic!("{out:?}")
    };
    assert_ne!(first, second);
    // Datagrams.
    let out = send(&mut gateway, 0, [192, 0, 2, 7], 123);
    assert!(
        matches!(&out[..], [FromGateway::Host(HostAction::Out { to, .. })] if to.to_string() == "192.0.2.7:123"),
        "{out:?}"
    );
    for (ip, port) in [([192, 0, 2, 7], 124), ([192, 0, 3, 7], 123)] {
        let out = send(&mut gateway, 0, ip, port);
        assert_eq!(out.len(), 1);
        assert_prohibited(&out[0]);
    }
    // The resolvers' address is the gateway's, too.
    let asked = ether::arp(ArpOperation::Request, GUEST, Mac::BROADCAST, DNS_IP);
    let reply = ether::arp(ArpOperation::Reply, to([10, 0, 2, 3]), GUEST.mac, GUEST_IP);
    assert_eq!(from_guest(&mut gateway, 0, &asked), [FromGateway::Frame(reply)]);
    let counts = gateway.counts();
    assert_eq!((counts.outbound.refused, counts.outbound.datagrams_out), (2, 4), "{counts:?}");
}

/// The segment by which the guest opens a connection.
fn opening(to: Station, port: u16) -> Vec<u8> {
    opening_from(5000, to, port)
}

fn opening_from(from_port: u16, to: Station, port: u16) -> Vec<u8> {
    let checksums = ChecksumCapabilities::default();
    let repr = TcpRepr {
        src_port: from_port,
        dst_port: port,
        control: TcpControl::Syn,
        seq_number: TcpSeqNumber(1),
        ack_number: None,
        window_len: 1000,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    ether::ipv4(GUEST, to, IpProtocol::Tcp, repr.buffer_len(), |bytes| {
        repr.emit(&mut TcpPacket::new_unchecked(bytes), &GUEST.ip.into(), &to.ip.into(), &checksums);
    })
}

#[test]
fn a_guest_that_connects_before_it_has_told_its_address_is_asked_and_connects_at_the_second_try() {
    let outbound = vec!["192.0.2.0/24".parse().unwrap()];
    let mut gateway = Gateway::new(GatewayConfig { outbound, ..GatewayConfig::with_forwards(vec![]) });
    let syn = opening(Station { mac: GATEWAY_MAC, ip: Ipv4Address::new(192, 0, 2, 7) }, 80);
    // It knows the gateway from before, as after a takeover.
    let ask = ether::arp(ArpOperation::Request, GATEWAY, Mac::BROADCAST, GUEST_IP);
    assert_eq!(from_guest(&mut gateway, 0, &syn), [FromGateway::Frame(ask)]);
    from_guest(&mut gateway, 1, &announce());
    let out = from_guest(&mut gateway, SECOND_NS, &syn);
    let [FromGateway::Host(HostAction::Dial { conn, .. })] = &out[..] else { panic!("{out:?}") };
    let mut told = Vec::new();
    gateway.dialed(SECOND_NS, *conn, true, &mut told);
    gateway.flush_tcp(SECOND_NS, true, 8, &mut told);
    assert!(matches!(&told[..], [FromGateway::Frame(_)]), "{told:?}");
}

#[test]
fn a_guest_is_asked_for_its_address_as_the_gateway_asks() {
    let (request, answer) = super::arp_of_guest(GUEST.mac);
    assert_eq!(request, ether::arp(ArpOperation::Request, GATEWAY, Mac::BROADCAST, GUEST_IP));
    assert_eq!(answer, ether::arp(ArpOperation::Reply, GUEST, GATEWAY_MAC, GATEWAY_IP));
}

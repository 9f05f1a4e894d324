//! The `kv` guest over its wire: frames in, frames out.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr,
    Icmpv4Packet, Icmpv4Repr, IpProtocol, Ipv4Address, Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};

use super::*;
use crate::base::Prng;
use crate::machine::config::MAC_DEFAULT;
use crate::machine::testing::{Recording, boot, record, replay};

const KV: &[u8] = include_bytes!("../../guest-programs/kv/kv.elf");
const LIMIT: u64 = 50_000_000;

const GUEST_MAC: EthernetAddress = EthernetAddress(MAC_DEFAULT);
const GUEST: Ipv4Address = Ipv4Address::new(10, 0, 2, 15);
const HOST_MAC: EthernetAddress = EthernetAddress([0x52, 0x54, 0x00, 0x4c, 0x53, 0xff]);
const HOST: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);
const PORT: u16 = 40_000;

fn frame(to: EthernetAddress, protocol: EthernetProtocol, len: usize) -> Vec<u8> {
    let mut frame = vec![0; 14 + len];
    EthernetRepr { src_addr: HOST_MAC, dst_addr: to, ethertype: protocol }
        .emit(&mut EthernetFrame::new_unchecked(&mut frame));
    frame
}

fn arp() -> Vec<u8> {
    let repr = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: HOST_MAC,
        source_protocol_addr: HOST,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: GUEST,
    };
    let mut frame = frame(EthernetAddress::BROADCAST, EthernetProtocol::Arp, repr.buffer_len());
    repr.emit(&mut ArpPacket::new_unchecked(&mut frame[14..]));
    frame
}

fn ipv4(protocol: IpProtocol, len: usize) -> Vec<u8> {
    let repr =
        Ipv4Repr { src_addr: HOST, dst_addr: GUEST, next_header: protocol, payload_len: len, hop_limit: 64 };
    let mut frame = frame(GUEST_MAC, EthernetProtocol::Ipv4, 20 + len);
    repr.emit(&mut Ipv4Packet::new_unchecked(&mut frame[14..]), &ChecksumCapabilities::default());
    frame
}

fn ping(data: &[u8]) -> Vec<u8> {
    let repr = Icmpv4Repr::EchoRequest { ident: 7, seq_no: 3, data };
    let mut frame = ipv4(IpProtocol::Icmp, repr.buffer_len());
    repr.emit(&mut Icmpv4Packet::new_unchecked(&mut frame[34..]), &ChecksumCapabilities::default());
    frame
}

fn udp(text: &str) -> Vec<u8> {
    let repr = UdpRepr { src_port: PORT, dst_port: 9000 };
    let mut frame = ipv4(IpProtocol::Udp, 8 + text.len());
    repr.emit(
        &mut UdpPacket::new_unchecked(&mut frame[34..]),
        &HOST.into(),
        &GUEST.into(),
        text.len(),
        |payload| payload.copy_from_slice(text.as_bytes()),
        &ChecksumCapabilities::default(),
    );
    frame
}

/// The text of a UDP frame from the guest to us, with every checksum looked at.
fn udp_text(frame: &[u8]) -> String {
    let ethernet = EthernetFrame::new_checked(frame).expect("Ethernet");
    assert_eq!((ethernet.src_addr(), ethernet.dst_addr()), (GUEST_MAC, HOST_MAC));
    let ip = Ipv4Packet::new_checked(ethernet.payload()).expect("IPv4");
    let repr = Ipv4Repr::parse(&ip, &ChecksumCapabilities::default()).expect("a good IPv4 header");
    assert_eq!((repr.src_addr, repr.dst_addr, repr.next_header), (GUEST, HOST, IpProtocol::Udp));
    let udp = UdpPacket::new_checked(ip.payload()).expect("UDP");
    let repr = UdpRepr::parse(&udp, &GUEST.into(), &HOST.into(), &ChecksumCapabilities::default())
        .expect("a good UDP checksum");
    assert_eq!((repr.src_port, repr.dst_port), (9000, PORT));
    String::from_utf8(udp.payload().to_vec()).expect("ASCII")
}

fn on_wire(frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<Input> {
    frames.into_iter().map(|frame| Input::NetFrame { rx_seq: 0, frame }).collect()
}

fn run(frames: impl IntoIterator<Item = Vec<u8>>) -> Recording {
    let run = record(&mut boot(KV), 11, on_wire(frames), LIMIT);
    // The first frame announces the guest's address.
    let announcement = EthernetFrame::new_checked(&run.frames[0]).expect("Ethernet");
    assert_eq!(announcement.ethertype(), EthernetProtocol::Arp);
    assert_eq!(announcement.dst_addr(), EthernetAddress::BROADCAST);
    run
}

#[test]
fn kv_answers_arp() {
    let run = run([arp()]);
    let ethernet = EthernetFrame::new_checked(&run.frames[1]).unwrap();
    let reply = ArpRepr::parse(&ArpPacket::new_checked(ethernet.payload()).unwrap()).unwrap();
    assert_eq!(
        reply,
        ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Reply,
            source_hardware_addr: GUEST_MAC,
            source_protocol_addr: GUEST,
            target_hardware_addr: HOST_MAC,
            target_protocol_addr: HOST,
        }
    );
}

#[test]
fn kv_answers_ping() {
    let run = run([ping(b"are you there?")]);
    let ethernet = EthernetFrame::new_checked(&run.frames[1]).unwrap();
    let ip = Ipv4Packet::new_checked(ethernet.payload()).unwrap();
    let icmp = Icmpv4Packet::new_checked(ip.payload()).unwrap();
    let reply = Icmpv4Repr::parse(&icmp, &ChecksumCapabilities::default()).unwrap();
    assert_eq!(reply, Icmpv4Repr::EchoReply { ident: 7, seq_no: 3, data: b"are you there?" });
}

#[test]
fn kv_remembers_counts_and_answers_once() {
    let dialogue = [
        ("1 PING", "1 PONG"),
        ("2 SET colour blue", "2 OK"),
        ("3 GET colour", "3 VALUE blue"),
        ("4 INCR n", "4 VALUE 1"),
        ("5 INCR n", "5 VALUE 2"),
        ("5 INCR n", "5 VALUE 2"),
        ("6 INCR n", "6 VALUE 3"),
        ("7 DEL colour", "7 OK"),
        ("8 GET colour", "8 NONE"),
        ("9 CPU", "9 43981"),
        ("10 HALT", "10 OK"),
    ];
    let run = run(dialogue.map(|(request, _)| udp(request)));
    let heard: Vec<String> = run.frames[1..].iter().map(|frame| udp_text(frame)).collect();
    let expected: Vec<&str> = dialogue.iter().map(|(_, reply)| *reply).collect();
    assert_eq!(heard, expected, "{}", run.text());
    assert_eq!(run.exit, Some(Exit::Pass));
    assert_eq!(run.text(), "kv: listening on 10.0.2.15:9000\nkv: halted\n");
}

#[test]
fn kv_lives_through_frames_that_make_no_sense() {
    let mut prng = Prng::new(0x6b76);
    let mut frames = Vec::new();
    for _ in 0..300 {
        let good = [arp(), ping(b"0123456789"), udp("77 SET key value")];
        let mut frame = good[prng.below(3) as usize].clone();
        match prng.below(3) {
            0 => frame.truncate(prng.between(14, frame.len() as u64) as usize),
            1 => frame.extend(vec![0xee; prng.below(1000) as usize]),
            _ => {}
        }
        for _ in 0..prng.below(4) {
            let at = prng.below(frame.len() as u64) as usize;
            frame[at] = prng.next_u64() as u8;
        }
        frames.push(frame);
    }
    frames.push(udp("78 PING"));
    let run = run(frames);
    assert_eq!(udp_text(run.frames.last().unwrap()), "78 PONG");
    assert_eq!(run.exit, None);
}

#[test]
fn a_frame_that_finds_no_buffer_is_lost_alike_everywhere() {
    let mut machine = boot(KV);
    let flood = |machine: &mut Machine| {
        let mut given = 0;
        for rx_seq in 1..=1000 {
            given += u64::from(machine.net_ready());
            machine.deliver(Input::NetFrame { rx_seq, frame: udp("1 PING") }).unwrap();
        }
        assert_eq!(machine.rx_seq(), 1000);
        given
    };
    assert_eq!(flood(&mut machine), 0, "before the driver is up");
    let start = record(&mut machine, 1, Vec::new(), LIMIT);
    assert!(machine.net_ready());
    let given = flood(&mut machine);
    let net = &machine.board().net.device;
    assert_eq!((net.rx_frames, net.rx_dropped), (given, 2000 - given));
    assert!(given > 0 && given <= 256 && !machine.net_ready());

    let mut twin = boot(KV);
    flood(&mut twin);
    assert_eq!(record(&mut twin, 1, Vec::new(), LIMIT), start);
    flood(&mut twin);
    assert_eq!(twin.digest(), machine.digest());
}

#[test]
fn whole_equals_pieces_equals_save_and_restore() {
    let requests = (1..40).map(|n| match n % 4 {
        0 => udp(&format!("{n} RAND")),
        1 => udp(&format!("{n} TIME")),
        2 => udp(&format!("{n} SET k{n} v{n}")),
        _ => udp(&format!("{n} STAT")),
    });
    let first = run(requests.chain([udp("99 HALT")]));
    for seed in 0..4 {
        println!("seed {seed}");
        let mut prng = Prng::new(seed);
        let pieces = replay(boot(KV), &first, &mut prng, 1 << (2 * seed + 4), |_, machine| machine);
        assert_eq!(pieces, first);
        let restored = replay(boot(KV), &first, &mut prng, 20_000, |prng, mut machine| {
            if prng.chance(2, 3) {
                return machine;
            }
            let saved = machine.save();
            let mut restored = Machine::restore(saved.clone()).expect("what was saved comes back");
            assert_eq!(restored.save(), saved);
            // The old machine is as good as the new one.
            if prng.chance(1, 2) { restored } else { machine }
        });
        assert_eq!(restored, first);
    }
}

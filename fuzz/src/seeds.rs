//! The first inputs of each target, made by the project's own encoders: mutation starts from what is right.

use std::net::Ipv4Addr;
use std::path::Path;

use lockstep::base::{Generation, Icount, NodeId, Seq};
use lockstep::ft::Message;
use lockstep::host::disk::identity::{Identity, Role, Stamp, State};
use lockstep::log::{Lineage, SegmentHeader};
use lockstep::machine::Machine;
use lockstep::net::ether::{self, Station};
use lockstep::net::gateway::{DNS_IP, GATEWAY_IP, GATEWAY_MAC, GUEST_IP};
use lockstep::net::{Attach, Mac, ToSwitch, fragments};
use lockstep::snapshot::Encoder;
use smoltcp::wire::{
    ArpOperation, DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, Icmpv4Packet, Icmpv4Repr,
    IpProtocol, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};

use crate::input::put_part;
use crate::{engines, gateway, guest, kernel, mend, peer, port, snapshot};

/// A seed: the target, the seed's name, its bytes.
pub type Seed = (&'static str, &'static str, Vec<u8>);

/// The project's own small files.
fn file(path: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All of them.
pub fn all() -> Vec<Seed> {
    [logs(), snapshots(), peers(), ports(), gateways(), elves(), kernels(), identities(), code()].concat()
}

fn logs() -> Vec<Seed> {
    let recorded = |guest: &str, bits: u8| {
        let base = guest::boot(guest).save();
        let mut lineage = Lineage::of("vm", &base, Seq::ZERO);
        lineage.guest = guest.into();
        let header = SegmentHeader { lineage, first_seq: Seq(1), generation: Generation(1) };
        let mut party = peer::Party::new(peer::PRIMARY | bits << 2);
        (0..12).for_each(|_| {
            party.wait(2000);
            party.answered();
        });
        [vec![header.encode()], party.frames].concat().concat()
    };
    vec![
        ("log", "golden-2", file("tests/golden/segment-v2.log")),
        ("log", "golden-3", file("tests/golden/segment-v3.log")),
        ("log", "clock", recorded("clock", 0)),
        ("log", "kv", recorded("kv", 1)),
        ("log", "diskkv", recorded("diskkv", 2)),
    ]
}

fn snapshots() -> Vec<Seed> {
    let saved = |guest: &str| {
        let mut machine: Machine = guest::boot(guest);
        machine.run_until(Icount(3000));
        machine.take_outputs();
        machine.take_disk_requests();
        machine.save()
    };
    let chunks = |guest: &str| Encoder::new(saved(guest)).collect::<Vec<_>>().concat();
    vec![
        ("snapshot", "golden-2", file("tests/golden/base-v2.snap")),
        ("snapshot", "golden-3", file("tests/golden/base-v3.snap")),
        ("snapshot", "golden-4", file("tests/golden/base-v4.snap")),
        ("snapshot", "clock", chunks("clock")),
        ("snapshot", "parts-clock", snapshot::to_parts(&saved("clock"))),
        ("snapshot", "parts-kv", snapshot::to_parts(&saved("kv"))),
        ("snapshot", "parts-diskkv", snapshot::to_parts(&saved("diskkv"))),
    ]
}

/// Stories of a pair that does what it should, as either node lives them.
fn peers() -> Vec<Seed> {
    let pair = |bits: u8, end: fn(&mut peer::Party, &mut peer::Party)| {
        let mut primary = peer::Party::new(peer::PRIMARY | bits << 2);
        let mut backup = peer::Party::new(peer::BACKUP | bits << 2);
        for _ in 0..40 {
            talk(&mut primary, &mut backup);
        }
        end(&mut primary, &mut backup);
        for _ in 0..4 {
            talk(&mut primary, &mut backup);
        }
        (primary.story, backup.story)
    };
    let (primary, backup) = pair(0, |_, _| {});
    let (disk_primary, disk_backup) = pair(2, |primary, backup| {
        backup.hear(peer::LINK, &Message::Bye { why: "done".into() });
        primary.wait(100);
    });
    let (over_primary, over_backup) = pair(0, |primary, _| {
        primary.hear(lockstep::ft::LinkId(5), &Message::SwitchOver);
    });
    let mut terminal = peer::Party::new(peer::PRIMARY | 1 << 2);
    let link = lockstep::ft::LinkId(6);
    terminal.hear(link, &Message::Attach { life: 7, from: Some(0), session: 3 });
    terminal.wait(100);
    terminal.hear(link, &Message::ConsoleInput { seq: 0, bytes: b"get a\n".to_vec() });
    terminal.hear(link, &Message::ConsoleSize { cols: 80, rows: 25 });
    terminal.wait(1000);
    terminal.hear(lockstep::ft::LinkId(5), &Message::Status);
    terminal.wait(1000);
    let mut seeker = peer::Party::new(peer::SEEKING);
    seeker.wait(1);
    seeker.answered();
    let later = Message::Later { why: "not now".into(), known: vec!["192.0.2.7:1".into()] };
    seeker.hear(lockstep::ft::LinkId(2), &later);
    seeker.wait(1000);
    seeker.answered();
    seeker.wait(10_000);
    vec![
        ("peer", "primary", primary),
        ("peer", "backup", backup),
        ("peer", "primary-disk", disk_primary),
        ("peer", "backup-disk", disk_backup),
        ("peer", "primary-over", over_primary),
        ("peer", "backup-over", over_backup),
        ("peer", "terminal", terminal.story),
        ("peer", "seeker", seeker.story),
    ]
}

/// A millisecond of a pair.
fn talk(primary: &mut peer::Party, backup: &mut peer::Party) {
    for _ in 0..2 {
        for (link, message) in std::mem::take(&mut backup.sent) {
            if link == peer::LINK {
                primary.hear(link, &message);
            }
        }
        for (link, message) in std::mem::take(&mut primary.sent) {
            if link == peer::LINK {
                backup.hear(link, &message);
            }
        }
        for node in [&mut *primary, &mut *backup] {
            node.answered();
            node.wait(10);
        }
    }
}

fn ports() -> Vec<Seed> {
    let attach = |vm: &str, generation, standby| {
        let (life, mac) = (7, Mac([2, 0, 0, 0, 0, vm.len() as u8]));
        let generation = Generation(generation);
        ToSwitch::Attach(Attach {
            vm: vm.into(),
            life,
            mac,
            generation,
            standby,
            rx_seq_last: 0,
            tx_seq_last: 0,
        })
    };
    let frame = |generation, seq, bytes| ToSwitch::Frame { generation: Generation(generation), seq, bytes };
    let hello = ether::arp(ArpOperation::Request, station(2), Mac::BROADCAST, GATEWAY_IP);
    let pair = |flags: u8| {
        let mut out = vec![flags];
        port::put_message(&mut out, 0, &attach("db", 1, false));
        port::put_message(&mut out, 1, &attach("db", 1, true));
        port::put_message(&mut out, 2, &attach("web", 1, false));
        port::put_message(&mut out, 0, &frame(1, 1, hello.clone()));
        port::put_message(&mut out, 0, &ToSwitch::Ping);
        port::put_message(
            &mut out,
            2,
            &frame(1, 1, ether::arp(ArpOperation::Request, station(3), Mac::BROADCAST, GUEST_IP)),
        );
        out.extend([port::OUTSIDE | 5 << 3, 4, 0, b'p', b'i', b'n', b'g', port::FETCH | 3 << 3]);
        port::put_message(&mut out, 0, &ToSwitch::Received { rx_seq: 1 });
        out.extend([port::TIME, 200, 0, port::CLAIM]);
        out.extend(2u64.to_le_bytes());
        port::put_message(&mut out, 1, &ToSwitch::Activate { generation: Generation(2), rx_seq_last: 1 });
        port::put_message(&mut out, 1, &frame(2, 2, hello.clone()));
        out.extend([port::TIME, 0, 2, port::CLOSE | 2 << 3, port::OPEN | 3 << 3]);
        port::put_message(&mut out, 3, &ToSwitch::Status);
        out.extend([port::TIME, 0, 255, port::FETCH | 7 << 3]);
        out
    };
    let mut stream = vec![0, port::BYTES];
    let mut bytes = Vec::new();
    attach("db", 1, false).encode(&mut bytes);
    frame(1, 1, hello.clone()).encode(&mut bytes);
    ToSwitch::Ping.encode(&mut bytes);
    put_part(&mut stream, &bytes);
    vec![("port", "gateway", pair(0)), ("port", "uplink", pair(3)), ("port", "stream", stream)]
}

fn station(last: u8) -> Station {
    Station { mac: Mac([2, 0, 0, 0, 0, last]), ip: GUEST_IP }
}

fn gateways() -> Vec<Seed> {
    let guest = Station { mac: Mac(mend::GUEST_MAC), ip: GUEST_IP };
    let host = |ip| Station { mac: GATEWAY_MAC, ip };
    let outside = Ipv4Addr::new(192, 0, 2, 9);
    let say = |out: &mut Vec<u8>, frame: &[u8]| {
        out.push(gateway::MENDED);
        put_part(out, frame);
    };
    let arp = ether::arp(ArpOperation::Reply, guest, GATEWAY_MAC, GATEWAY_IP);
    let segment = |to, port, control, payload: &[u8]| {
        let repr = TcpRepr {
            src_port: 4000,
            dst_port: port,
            control,
            seq_number: TcpSeqNumber(100),
            ack_number: (control != TcpControl::Syn).then_some(TcpSeqNumber(0)),
            window_len: 8192,
            window_scale: None,
            max_seg_size: (control == TcpControl::Syn).then_some(1460),
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload,
        };
        ether::ipv4(guest, host(to), IpProtocol::Tcp, repr.buffer_len(), |bytes| {
            let (from, to) = (guest.ip.into(), to.into());
            repr.emit(&mut TcpPacket::new_unchecked(bytes), &from, &to, &Default::default());
        })
    };
    let start = || {
        let mut out = Vec::new();
        say(&mut out, &arp);
        out
    };

    let mut names = start();
    let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example\x03org\0\0\x01\0\x01";
    say(&mut names, &ether::udp(guest, 5353, host(DNS_IP), 53, query));
    names.extend([gateway::ANSWER, 0]);
    put_part(&mut names, query);
    say(&mut names, &segment(DNS_IP, 53, TcpControl::Syn, b""));
    names.extend([gateway::DIALED, 0]);
    say(&mut names, &segment(DNS_IP, 53, TcpControl::Psh, query));

    let mut dhcp = start();
    for message_type in [DhcpMessageType::Discover, DhcpMessageType::Request] {
        let repr = DhcpRepr {
            message_type,
            transaction_id: 9,
            secs: 0,
            client_hardware_address: EthernetAddress(mend::GUEST_MAC),
            client_ip: Ipv4Addr::UNSPECIFIED,
            your_ip: Ipv4Addr::UNSPECIFIED,
            server_ip: Ipv4Addr::UNSPECIFIED,
            router: None,
            subnet_mask: None,
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            broadcast: true,
            requested_ip: Some(GUEST_IP),
            client_identifier: None,
            server_identifier: None,
            parameter_request_list: Some(&[1, 3, 6]),
            dns_servers: None,
            max_size: Some(1500),
            lease_duration: None,
            renew_duration: None,
            rebind_duration: None,
            additional_options: &[],
        };
        let mut bytes = vec![0; repr.buffer_len()];
        repr.emit(&mut DhcpPacket::new_unchecked(&mut bytes[..])).expect("there is room");
        say(&mut dhcp, &ether::udp(guest, 68, host(GATEWAY_IP), 67, &bytes));
    }

    let mut ping = start();
    for to in [GATEWAY_IP, outside] {
        let repr = Icmpv4Repr::EchoRequest { ident: 5, seq_no: 1, data: b"abcdefgh" };
        let frame = ether::ipv4(guest, host(to), IpProtocol::Icmp, repr.buffer_len(), |bytes| {
            repr.emit(&mut Icmpv4Packet::new_unchecked(bytes), &Default::default());
        });
        say(&mut ping, &frame);
    }
    ping.extend([gateway::ANSWER, 0]);
    put_part(&mut ping, b"\0\0\0\0\0\x05\0\x01abcdefgh");
    ping.push(gateway::UNSENT);

    let mut pieces = start();
    for frame in fragments::frames(guest, host(GATEWAY_IP), IpProtocol::Udp, 77, &[7; 3000]) {
        say(&mut pieces, &frame);
    }
    pieces.extend([gateway::DATAGRAM, 1]);
    put_part(&mut pieces, &[9; 2000]);
    say(&mut pieces, &ether::udp(guest, 7, host(GATEWAY_IP), 16384, b"answer"));

    let mut clients = start();
    clients.push(gateway::CONNECT);
    say(&mut clients, &segment(GATEWAY_IP, 1, TcpControl::Syn, b""));
    let last = clients.len();
    // The guest's answer to the first segment has SYN and ACK.
    let mut answer = segment(GATEWAY_IP, 1, TcpControl::Syn, b"");
    answer[14 + 20 + 13] |= 0x10;
    say(&mut clients, &answer);
    debug_assert!(clients.len() > last);
    clients.extend([gateway::CLIENT, 0]);
    put_part(&mut clients, b"hello");
    say(&mut clients, &segment(GATEWAY_IP, 1, TcpControl::Psh, b"world"));
    clients.extend([gateway::CLIENT, 2, 0, 0, gateway::TIME, 0, 1, gateway::CLIENT, 4, 0, 0]);
    say(&mut clients, &segment(GATEWAY_IP, 1, TcpControl::Fin, b""));
    clients.extend([gateway::TIME, 0, 16, gateway::FORGET]);

    let mut outward = start();
    say(&mut outward, &segment(outside, 80, TcpControl::Syn, b""));
    outward.extend([gateway::DIALED, 0]);
    say(&mut outward, &segment(outside, 80, TcpControl::Psh, b"GET /\r\n"));
    outward.extend([gateway::CLIENT, 2, 0, 0]);
    say(&mut outward, &segment(outside, 80, TcpControl::Fin, b""));
    vec![
        ("gateway", "dns", names),
        ("gateway", "dhcp", dhcp),
        ("gateway", "ping", ping),
        ("gateway", "fragments", pieces),
        ("gateway", "clients", clients),
        ("gateway", "outward", outward),
    ]
}

fn elves() -> Vec<Seed> {
    let guest = |path| file(&format!("guest-programs/{path}.elf"));
    vec![
        ("elf", "exit_code", guest("exit_code/exit_code")),
        ("elf", "tohost", guest("tohost_pass/tohost_pass")),
        ("elf", "fence_i", guest("isa/rv64ui-fence_i")),
        ("elf", "delegation", guest("isa/rv64mi-delegation")),
    ]
}

/// A flat kernel with the header of an `Image`: 2 MiB into RAM, and nothing but a jump to itself.
fn image() -> Vec<u8> {
    const JUMP_TO_ITSELF: u32 = 0x0000_006f;
    let mut image = vec![0; 128];
    image[..4].copy_from_slice(&JUMP_TO_ITSELF.to_le_bytes());
    image[0x08..0x10].copy_from_slice(&(2u64 << 20).to_le_bytes());
    image[0x10..0x18].copy_from_slice(&128u64.to_le_bytes());
    image[0x30..0x38].copy_from_slice(b"RISCV\0\0\0");
    image[0x38..0x3c].copy_from_slice(b"RSC\x05");
    image
}

fn kernels() -> Vec<Seed> {
    let boot = |flags: u8, parts: [&[u8]; 4]| {
        let mut out = vec![flags];
        parts.into_iter().for_each(|part| put_part(&mut out, part));
        out
    };
    let (image, flat) = (image(), [0x6f, 0, 0, 0].repeat(4));
    let elf = file("guest-programs/isa/rv64ui-fence_i.elf");
    let (initrd, more) = (kernel::INITRD, kernel::MORE_RAM);
    vec![
        (
            "kernel",
            "image",
            boot(initrd | more | 1 << 2, [&image, b"", b"initrd", b"console=ttyS0 root=/dev/vda"]),
        ),
        ("kernel", "firmware", boot(kernel::FIRMWARE | more | 3 << 2, [&flat, &flat, b"", b"quiet"])),
        ("kernel", "elf", boot(initrd, [&elf, b"", b"0707", b""])),
    ]
}

fn identities() -> Vec<Seed> {
    let of = |role, state| {
        let stamp = Stamp { bytes: 4096, inode: 5, modified_ns: 6 };
        let mut identity = Identity::new("db", NodeId(1), role, stamp);
        (identity.generation, identity.state) = (Generation(3), state);
        identity.to_text()
    };
    vec![
        ("disk_identity", "primary", of(Role::Primary, State::Open)),
        ("disk_identity", "replica", of(Role::Replica, State::Closed)),
        ("disk_identity", "behind", of(Role::Behind, State::Ended)),
    ]
}

/// Loops that load, store, compute and multiply by each kind of register; one that writes over its own code.
fn code() -> Vec<Seed> {
    let loads = [
        0x0000_0393, // li    t2, 0
        0x0004_3503, // ld    a0, 0(s0)
        0x0084_3583, // ld    a1, 8(s0)
        0x00b5_0533, // add   a0, a0, a1
        0x00a4_b023, // sd    a0, 0(s1)
        0x0074_0023, // sb    t2, 0(s0)
        0x0013_8393, // addi  t2, t2, 1
        0xfff4_8493, // addi  s1, s1, -1
        0xfe03_90e3, // bnez  t2, -32
    ];
    let floats = [
        0xd220_8053, // fcvt.d.l ft0, ra
        0x0200_70d3, // fadd.d ft1, ft0, ft0
        0x1a10_7153, // fdiv.d ft2, ft0, ft1
        0x0220_f1c3, // fmadd.d ft3, ft1, ft2, ft0
        0x4010_7253, // fcvt.s.d ft4, ft0
        0x0042_72d3, // fadd.s ft5, ft4, ft4
        0xa210_2553, // feq.d a0, ft0, ft1
        0xfe5f_f06f, // j     -28
    ];
    let writes_over = [
        0x0000_0297, // auipc t0, 0
        0x0100_0313, // li    t1, 16
        0x0102_a383, // lw    t2, 16(t0)
        0x0072_a823, // sw    t2, 16(t0)
        0x0015_0513, // addi  a0, a0, 1
        0xfff3_0313, // addi  t1, t1, -1
        0xfe03_18e3, // bnez  t1, -16
        0x0000_8067, // ret
    ];
    [("loads", &loads[..]), ("floats", &floats), ("writes-over", &writes_over)]
        .map(|(name, code)| ("engines", name, engines::input([3, 0, 50, 255], code)))
        .to_vec()
}

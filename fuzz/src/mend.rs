//! Puts lengths, numbers and checksums of made-up bytes right.

use lockstep::log::frame::{FRAME_BYTES_MAX, FRAME_PREFIX_BYTES};
use lockstep::log::segment;
use lockstep::net::ether::FRAME_BYTES_MAX as ETHERNET_BYTES_MAX;
use lockstep::net::gateway::{GATEWAY_MAC, GUEST_IP};
use lockstep::snapshot::CHUNK_BYTES_MAX;
use lockstep::snapshot::chunk::{self, CHUNK_PREFIX_BYTES};
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv4Packet, IpProtocol, Ipv4Address, Ipv4Packet,
    TcpPacket, TcpSeqNumber, UdpPacket,
};

/// The guest's Ethernet address in a mended frame.
pub const GUEST_MAC: [u8; 6] = lockstep::machine::MAC_DEFAULT;

/// Bytes of a segment header before the names, and of its checksum.
const HEADER_FIXED_BYTES: usize = 90;
const CRC_BYTES: usize = 4;
/// A frame's count, first number and one entry.
const FRAME_BODY_BYTES_MIN: usize = 5;

/// A segment with a header that can be read, and frames one after another.
pub fn segment(data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    if bytes.len() < HEADER_FIXED_BYTES + CRC_BYTES {
        return bytes;
    }
    bytes[..8].copy_from_slice(&segment::MAGIC);
    if !(segment::VERSION_OLDEST..=segment::VERSION).contains(&u32_at(&bytes, 8)) {
        put_u32(&mut bytes, 8, segment::VERSION);
    }
    let room = bytes.len() - HEADER_FIXED_BYTES - CRC_BYTES;
    bytes[88] = usize::from(bytes[88]).min(room) as u8;
    bytes[89] = usize::from(bytes[89]).min(room - usize::from(bytes[88])) as u8;
    let len = HEADER_FIXED_BYTES + usize::from(bytes[88]) + usize::from(bytes[89]) + CRC_BYTES;
    put_u32(&mut bytes, 12, len as u32);
    let crc = crc32fast::hash(&bytes[..len - CRC_BYTES]);
    put_u32(&mut bytes, len - CRC_BYTES, crc);
    let mut at = len;
    while bytes.len() - at >= FRAME_PREFIX_BYTES + FRAME_BODY_BYTES_MIN {
        at += frame(&mut bytes[at..]);
    }
    bytes
}

/// Makes the front of `bytes` a frame, which is as long as it says or to their end; its length.
fn frame(bytes: &mut [u8]) -> usize {
    bytes[0] = 0xa7;
    let most = bytes.len().min(FRAME_BYTES_MAX) - FRAME_PREFIX_BYTES;
    let body = (u32_at(bytes, 1) & 0xff_ffff) as usize;
    let body = if (FRAME_BODY_BYTES_MIN..=most).contains(&body) { body } else { most };
    bytes[1..4].copy_from_slice(&(body as u32).to_le_bytes()[..3]);
    seal(&mut bytes[..FRAME_PREFIX_BYTES + body]);
    FRAME_PREFIX_BYTES + body
}

/// Cuts bytes into snapshot chunks as a file is: by their lengths, as far as that goes.
pub fn chunks_of(data: &[u8]) -> Vec<Vec<u8>> {
    let (mut rest, mut chunks) = (data, Vec::new());
    while let Some(prefix) = rest.first_chunk::<CHUNK_PREFIX_BYTES>() {
        let Ok(len) = chunk::chunk_len(*prefix) else { break };
        let (chunk, after) = rest.split_at(len.min(rest.len()));
        chunks.push(chunk.to_vec());
        rest = after;
    }
    if !rest.is_empty() {
        chunks.push(rest.to_vec());
    }
    chunks
}

/// The chunks of a snapshot: numbered, counted in the head, with their checksums.
pub fn snapshot(data: &[u8]) -> Vec<Vec<u8>> {
    let mut chunks: Vec<Vec<u8>> = Vec::new();
    let mut rest = data;
    const BODY_MIN: usize = 5;
    while rest.len() >= CHUNK_PREFIX_BYTES + BODY_MIN {
        let most = rest.len().min(CHUNK_BYTES_MAX) - CHUNK_PREFIX_BYTES;
        let said = u32_at(rest, 0) as usize;
        let body = if (BODY_MIN..=most).contains(&said) { said } else { most };
        let (chunk, after) = rest.split_at(CHUNK_PREFIX_BYTES + body);
        chunks.push(chunk.to_vec());
        rest = after;
    }
    let count = chunks.len() as u32;
    for (number, chunk) in chunks.iter_mut().enumerate() {
        if number == 0 && chunk.len() >= 29 {
            chunk[8] = chunk::Kind::Head as u8;
            chunk[13..21].copy_from_slice(&chunk::MAGIC);
            if !(chunk::VERSION_OLDEST..=chunk::VERSION).contains(&u32_at(chunk, 21)) {
                put_u32(chunk, 21, chunk::VERSION);
            }
            put_u32(chunk, 25, count);
        }
        number_chunk(chunk, number as u32);
    }
    chunks
}

/// Gives a chunk its number, length and checksum.
pub fn number_chunk(chunk: &mut [u8], number: u32) {
    if chunk.len() < CHUNK_PREFIX_BYTES + 5 {
        return;
    }
    put_u32(chunk, 9, number);
    put_u32(chunk, 0, (chunk.len() - CHUNK_PREFIX_BYTES) as u32);
    seal(chunk);
}

/// Fills in the checksum of a log frame or a snapshot chunk: bytes 4 to 8, over the others.
fn seal(bytes: &mut [u8]) {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..4]);
    hasher.update(&bytes[8..]);
    put_u32(bytes, 4, hasher.finalize());
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// A TCP segment that the gateway sent to the guest, as far as an answer must fit it.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    ports: (u16, u16),
    from: Ipv4Address,
    /// What the answer acknowledges, and the number that it continues from.
    end: TcpSeqNumber,
    acked: TcpSeqNumber,
}

impl Segment {
    /// The segment in a frame, if one is.
    pub fn of(frame: &[u8]) -> Option<Self> {
        let frame = EthernetFrame::new_checked(frame).ok()?;
        let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
        if frame.ethertype() != EthernetProtocol::Ipv4 || packet.next_header() != IpProtocol::Tcp {
            return None;
        }
        let segment = TcpPacket::new_checked(packet.payload()).ok()?;
        Some(Self {
            ports: (segment.src_port(), segment.dst_port()),
            from: packet.src_addr(),
            end: segment.seq_number() + segment.segment_len(),
            acked: segment.ack_number(),
        })
    }
}

/// The frame as the guest at [`GUEST_IP`] would send it to the gateway: addresses, lengths and checksums hold, and a
/// TCP segment without SYN, or with SYN and ACK, answers `last`.
pub fn frame_for_gateway(data: &[u8], last: Option<&Segment>) -> Vec<u8> {
    const IP: usize = 14;
    let mut bytes = data[..data.len().min(ETHERNET_BYTES_MAX)].to_vec();
    if bytes.len() < IP + 20 {
        return bytes;
    }
    let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
    frame.set_dst_addr(EthernetAddress(GATEWAY_MAC.0));
    frame.set_src_addr(EthernetAddress(GUEST_MAC));
    if frame.ethertype() != EthernetProtocol::Ipv4 {
        return bytes;
    }
    let len = bytes.len() - IP;
    let mut packet = Ipv4Packet::new_unchecked(&mut bytes[IP..]);
    packet.set_version(4);
    if packet.header_len() < 20 || usize::from(packet.header_len()) > len {
        packet.set_header_len(20);
    }
    packet.set_total_len(len as u16);
    packet.set_src_addr(GUEST_IP);
    if let Some(last) = last
        && packet.next_header() == IpProtocol::Tcp
    {
        packet.set_dst_addr(last.from);
    }
    packet.fill_checksum();
    let (from, to, protocol) = (packet.src_addr(), packet.dst_addr(), packet.next_header());
    if packet.more_frags() || packet.frag_offset() != 0 {
        return bytes;
    }
    let payload = packet.payload_mut();
    match protocol {
        IpProtocol::Tcp if payload.len() >= 20 => {
            let room = payload.len();
            let mut segment = TcpPacket::new_unchecked(payload);
            if segment.header_len() < 20 || usize::from(segment.header_len()) > room {
                segment.set_header_len(20);
            }
            if let Some(last) = last.filter(|_| !segment.syn() || segment.ack()) {
                segment.set_dst_port(last.ports.0);
                segment.set_src_port(last.ports.1);
                segment.set_ack_number(last.end);
                if !segment.syn() {
                    segment.set_seq_number(last.acked);
                }
            }
            segment.fill_checksum(&from.into(), &to.into());
        }
        IpProtocol::Udp if payload.len() >= 8 => {
            let room = payload.len() as u16;
            let mut datagram = UdpPacket::new_unchecked(payload);
            datagram.set_len(room);
            datagram.fill_checksum(&from.into(), &to.into());
        }
        IpProtocol::Icmp if payload.len() >= 8 => Icmpv4Packet::new_unchecked(payload).fill_checksum(),
        _ => {}
    }
    bytes
}

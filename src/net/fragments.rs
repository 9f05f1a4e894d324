//! IPv4 fragments, both ways: datagrams of the guest that did not fit one frame are put together, and what is
//! too long for a frame of the guest's is cut.
//!
//! The guest sends whatever it likes. So little is held: [`DATAGRAMS_MAX`] unfinished datagrams, [`BYTES_MAX`]
//! bytes in all and [`PIECES_MAX`] pieces of each, for [`PATIENCE_NS`]; the oldest makes room. Pieces that
//! overlap end their datagram (as RFC 5722 demands of IPv6: no honest stack sends them); one that comes
//! a second time is ignored.
//!
//! Absent on purpose: what is in a datagram, and fragments between guests, which pass as frames.

use std::collections::BTreeMap;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetProtocol, IPV4_HEADER_LEN, IpProtocol, Ipv4Address, Ipv4Packet, Ipv4Repr, UDP_HEADER_LEN,
    UdpPacket, UdpRepr,
};

use super::SECOND_NS;
use super::ether::{self, Station};

/// Unfinished datagrams at once.
pub const DATAGRAMS_MAX: usize = 32;
/// Bytes of unfinished datagrams: four of the longest.
pub const BYTES_MAX: usize = 256 << 10;
/// Pieces of one datagram: the longest in pieces of 1480 bytes has 45.
pub const PIECES_MAX: usize = 128;
/// A datagram that is not whole after this long is forgotten (as in Linux; RFC 1122, 3.3.2 asks for 60 s or more,
/// but of hosts on the Internet).
pub const PATIENCE_NS: u64 = 30 * SECOND_NS;

/// The payload of an IPv4 packet in a frame without a tag.
const PACKET_BYTES_MAX: usize = 1500;
/// The most that follows the IPv4 header in a fragment that is not the last: a multiple of 8.
const PIECE_BYTES_MAX: usize = (PACKET_BYTES_MAX - IPV4_HEADER_LEN) / 8 * 8;
/// The most that follows the IPv4 header of a whole datagram.
const PAYLOAD_BYTES_MAX: usize = 65535 - IPV4_HEADER_LEN;

/// What names a datagram among those of all senders (RFC 791, 3.2).
type Key = (Ipv4Address, Ipv4Address, u8, u16);

#[derive(Clone, Debug)]
struct Unfinished {
    since: u64,
    pieces: BTreeMap<usize, Vec<u8>>,
    bytes: usize,
    /// How long it is, once its last piece has come.
    len: Option<usize>,
}

/// What became of a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It was the last that was missing: the whole packet, with a header of its own.
    Whole(Vec<u8>),
    /// Others are missing.
    Waits,
    /// It cannot be part of any datagram, or contradicts what has come; what had come of it is forgotten.
    Bad,
}

/// Datagrams whose pieces have not all come.
#[derive(Clone, Debug, Default)]
pub struct Reassembly {
    unfinished: BTreeMap<Key, Unfinished>,
    bytes: usize,
    /// Datagrams that made room, or were not whole in time.
    pub given_up: u64,
}

impl Reassembly {
    /// Takes in a fragment. Its header has been checked.
    pub fn hear(&mut self, now: u64, packet: &Ipv4Packet<&[u8]>) -> Heard {
        self.expire(now);
        let key = (packet.src_addr(), packet.dst_addr(), u8::from(packet.next_header()), packet.ident());
        let (at, piece, last) = (usize::from(packet.frag_offset()), packet.payload(), !packet.more_frags());
        if piece.is_empty() || !last && piece.len() % 8 != 0 || at + piece.len() > PAYLOAD_BYTES_MAX {
            self.forget(key);
            return Heard::Bad;
        }
        let datagram = self.unfinished.entry(key).or_insert_with(|| Unfinished {
            since: now,
            pieces: BTreeMap::new(),
            bytes: 0,
            len: None,
        });
        if datagram.pieces.get(&at).is_some_and(|known| known == piece) {
            return Heard::Waits;
        }
        let end = at + piece.len();
        let before = datagram.pieces.range(..end).next_back().map(|(at, piece)| at + piece.len());
        let overlaps = before.is_some_and(|end_before| end_before > at);
        let ends_elsewhere = if last {
            datagram.len.is_some() || datagram.pieces.last_key_value().is_some_and(|(known, _)| *known > at)
        } else {
            datagram.len.is_some_and(|len| end >= len)
        };
        if overlaps || ends_elsewhere || datagram.pieces.len() >= PIECES_MAX {
            self.forget(key);
            return Heard::Bad;
        }
        datagram.len = datagram.len.or(last.then_some(end));
        datagram.pieces.insert(at, piece.to_vec());
        datagram.bytes += piece.len();
        self.bytes += piece.len();
        // No two pieces overlap: as many bytes as it is long are all of it.
        if datagram.len == Some(datagram.bytes) {
            return self.finish(key);
        }
        self.make_room(key);
        Heard::Waits
    }

    fn finish(&mut self, key: Key) -> Heard {
        let Some(datagram) = self.unfinished.remove(&key) else { return Heard::Bad };
        self.bytes -= datagram.bytes;
        let payload: Vec<u8> = datagram.pieces.into_values().flatten().collect();
        let (src_addr, dst_addr, protocol, _) = key;
        let repr = Ipv4Repr {
            src_addr,
            dst_addr,
            next_header: IpProtocol::from(protocol),
            payload_len: payload.len(),
            hop_limit: 64,
        };
        let mut whole = vec![0; IPV4_HEADER_LEN];
        whole.extend_from_slice(&payload);
        repr.emit(&mut Ipv4Packet::new_unchecked(&mut whole[..]), &ChecksumCapabilities::default());
        Heard::Whole(whole)
    }

    fn forget(&mut self, key: Key) {
        if let Some(datagram) = self.unfinished.remove(&key) {
            self.bytes -= datagram.bytes;
        }
    }

    fn expire(&mut self, now: u64) {
        let old = |datagram: &Unfinished| now.saturating_sub(datagram.since) >= PATIENCE_NS;
        let keys: Vec<Key> = self.unfinished.iter().filter(|(_, d)| old(d)).map(|(key, _)| *key).collect();
        for key in keys {
            self.given_up += 1;
            self.forget(key);
        }
    }

    /// Forgets those that began first, but not `newest`, until the rest is within bounds.
    fn make_room(&mut self, newest: Key) {
        while self.unfinished.len() > DATAGRAMS_MAX || self.bytes > BYTES_MAX {
            let others = self.unfinished.iter().filter(|(key, _)| **key != newest);
            let Some(oldest) = others.min_by_key(|(_, d)| d.since).map(|(key, _)| *key) else { return };
            self.given_up += 1;
            self.forget(oldest);
        }
    }
}

/// The frames that carry `payload`, which follows the IPv4 header: one, or as many fragments as are needed, under
/// the number `ident`. A payload must be at most 65,515 bytes long.
pub fn frames(from: Station, to: Station, protocol: IpProtocol, ident: u16, payload: &[u8]) -> Vec<Vec<u8>> {
    if payload.len() <= PACKET_BYTES_MAX - IPV4_HEADER_LEN {
        return vec![ether::ipv4(from, to, protocol, payload.len(), |bytes| bytes.copy_from_slice(payload))];
    }
    let pieces = payload.chunks(PIECE_BYTES_MAX).enumerate();
    let piece = |(n, piece): (usize, &[u8])| {
        let at = n * PIECE_BYTES_MAX;
        let repr = Ipv4Repr {
            src_addr: from.ip,
            dst_addr: to.ip,
            next_header: protocol,
            payload_len: piece.len(),
            hop_limit: 64,
        };
        ether::frame(to.mac, from.mac, EthernetProtocol::Ipv4, IPV4_HEADER_LEN + piece.len(), |bytes| {
            let mut packet = Ipv4Packet::new_unchecked(bytes);
            repr.emit(&mut packet, &ChecksumCapabilities::ignored());
            packet.set_ident(ident);
            packet.set_dont_frag(false);
            packet.set_more_frags(at + piece.len() < payload.len());
            packet.set_frag_offset(at as u16);
            packet.payload_mut().copy_from_slice(piece);
            packet.fill_checksum();
        })
    };
    pieces.map(piece).collect()
}

/// The frames that carry a UDP datagram, as [`frames`] does; `bytes` must be at most 65,507 long.
pub fn udp(
    (from, from_port): (Station, u16),
    (to, to_port): (Station, u16),
    ident: u16,
    bytes: &[u8],
) -> Vec<Vec<u8>> {
    let mut datagram = vec![0; UDP_HEADER_LEN + bytes.len()];
    UdpRepr { src_port: from_port, dst_port: to_port }.emit(
        &mut UdpPacket::new_unchecked(&mut datagram[..]),
        &from.ip.into(),
        &to.ip.into(),
        bytes.len(),
        |buffer| buffer.copy_from_slice(bytes),
        &ChecksumCapabilities::default(),
    );
    frames(from, to, IpProtocol::Udp, ident, &datagram)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Prng;
    use crate::net::Mac;

    const A: Station = Station { mac: Mac([2, 0, 0, 0, 0, 1]), ip: Ipv4Address::new(10, 0, 2, 15) };
    const B: Station = Station { mac: Mac([2, 0, 0, 0, 0, 2]), ip: Ipv4Address::new(10, 0, 2, 2) };

    fn payload(len: usize) -> Vec<u8> {
        (0..len).map(|n| (n / 7) as u8).collect()
    }

    fn hear(reassembly: &mut Reassembly, now: u64, frame: &[u8]) -> Heard {
        let packet = Ipv4Packet::new_checked(&frame[14..]).unwrap();
        assert!(packet.verify_checksum() && frame.len() <= 1514);
        reassembly.hear(now, &packet)
    }

    /// A fragment with these bytes at this offset.
    fn piece(ident: u16, at: u16, bytes: &[u8], more: bool) -> Vec<u8> {
        let mut frame = ether::ipv4(A, B, IpProtocol::Udp, bytes.len(), |to| to.copy_from_slice(bytes));
        let mut packet = Ipv4Packet::new_unchecked(&mut frame[14..]);
        packet.set_ident(ident);
        packet.set_more_frags(more);
        packet.set_frag_offset(at);
        packet.fill_checksum();
        frame
    }

    #[test]
    fn what_is_cut_is_put_together_in_any_order() {
        for (seed, len) in [1480, 1481, 1488, 2960, 2961, 9000, 65515].into_iter().enumerate() {
            let (sent, mut prng) = (payload(len), Prng::new(seed as u64));
            let mut cut = frames(A, B, IpProtocol::Udp, 7, &sent);
            assert_eq!(cut.len(), len.div_ceil(1480));
            if cut.len() == 1 {
                assert_eq!(cut[0][34..], sent);
                continue;
            }
            for n in (1..cut.len()).rev() {
                cut.swap(n, prng.below(n as u64 + 1) as usize);
            }
            let mut reassembly = Reassembly::default();
            let last = cut.pop().unwrap();
            for frame in &cut {
                assert_eq!(hear(&mut reassembly, 0, frame), Heard::Waits);
                assert_eq!(hear(&mut reassembly, 0, frame), Heard::Waits, "a second time");
            }
            let Heard::Whole(whole) = hear(&mut reassembly, 0, &last) else { panic!("{len}") };
            let packet = Ipv4Packet::new_checked(&whole[..]).unwrap();
            assert!(packet.verify_checksum() && !packet.more_frags() && packet.frag_offset() == 0);
            assert_eq!((packet.src_addr(), packet.dst_addr(), packet.payload()), (A.ip, B.ip, &sent[..]));
            assert_eq!((reassembly.unfinished.len(), reassembly.bytes), (0, 0));
        }
    }

    #[test]
    fn pieces_that_contradict_each_other_end_their_datagram() {
        let contradictions: [&[Vec<u8>]; 6] = [
            &[piece(1, 0, &[0; 16], true), piece(1, 8, &[0; 16], true)],
            &[piece(1, 8, &[0; 16], true), piece(1, 0, &[0; 16], true)],
            &[piece(1, 0, &[0; 16], true), piece(1, 0, &[1; 16], true)],
            &[piece(1, 16, &[0; 4], false), piece(1, 24, &[0; 4], false)],
            &[piece(1, 16, &[0; 4], false), piece(1, 24, &[0; 8], true)],
            &[piece(1, 24, &[0; 8], true), piece(1, 16, &[0; 8], false)],
        ];
        for frames in contradictions {
            let mut reassembly = Reassembly::default();
            assert_eq!(hear(&mut reassembly, 0, &frames[0]), Heard::Waits);
            assert_eq!(hear(&mut reassembly, 0, &frames[1]), Heard::Bad);
            assert_eq!((reassembly.unfinished.len(), reassembly.bytes), (0, 0));
        }
        let mut reassembly = Reassembly::default();
        for bad in [piece(1, 0, &[0; 12], true), piece(1, 0, &[], true), piece(1, 65512, &[0; 8], false)] {
            assert_eq!(hear(&mut reassembly, 0, &bad), Heard::Bad);
        }
    }

    #[test]
    fn unfinished_datagrams_are_bounded_in_number_bytes_pieces_and_time() {
        let mut reassembly = Reassembly::default();
        for ident in 0..1000 {
            hear(&mut reassembly, ident.into(), &piece(ident, 0, &[0; 1480], true));
        }
        assert_eq!((reassembly.unfinished.len(), reassembly.given_up), (DATAGRAMS_MAX, 1000 - 32));
        assert!(matches!(hear(&mut reassembly, 1000, &piece(999, 1480, b"end", false)), Heard::Whole(_)));
        for ident in 0..8u16 {
            for n in 0..44 {
                hear(&mut reassembly, 2000, &piece(ident, n * 1480, &[0; 1480], true));
                assert!(reassembly.bytes <= BYTES_MAX);
            }
        }
        assert!(reassembly.unfinished.len() >= 3);
        let later = 2000 + PATIENCE_NS;
        for n in 0..PIECES_MAX as u16 {
            assert_eq!(hear(&mut reassembly, later, &piece(5000, n * 16, &[0; 8], true)), Heard::Waits);
        }
        assert_eq!((reassembly.unfinished.len(), reassembly.bytes), (1, 8 * PIECES_MAX));
        assert_eq!(hear(&mut reassembly, later, &piece(5000, 60000, &[0; 8], true)), Heard::Bad);
    }

    #[test]
    fn whatever_comes_what_is_held_is_counted_and_bounded() {
        for seed in 0..100 {
            let (mut prng, mut reassembly) = (Prng::new(seed), Reassembly::default());
            for now in 0..300u64 {
                let bytes = vec![0; prng.below(40) as usize];
                let (ident, at) = (prng.below(3) as u16, prng.below(8) as u16 * 8);
                hear(&mut reassembly, now * SECOND_NS, &piece(ident, at, &bytes, prng.chance(2, 3)));
                let held: usize = reassembly.unfinished.values().map(|datagram| datagram.bytes).sum();
                assert_eq!(held, reassembly.bytes, "seed {seed}");
                let pieces = reassembly.unfinished.values().flat_map(|d| d.pieces.values());
                assert_eq!(pieces.map(Vec::len).sum::<usize>(), held, "seed {seed}");
            }
        }
    }
}

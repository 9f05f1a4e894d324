//! A beat: what the heartbeat threads of two nodes send each other, on a connection of their own.
//!
//! ```text
//! beat   0  8  how long the sender's node had not moved, in nanoseconds, little-endian
//!        8  8  the longest late pause of the sender's beats, in nanoseconds
//!       16  4  CRC-32 (IEEE) of the 16 bytes before
//! ```
//!
//! A beat has no number: only its coming counts, and the newest account.

pub const BEAT_BYTES: usize = 20;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beat {
    /// How long the sender's node had not moved.
    pub stalled_ns: u64,
    /// [`Pauses::longest_ns`](super::detector::Pauses::longest_ns) of the sender.
    pub pause_ns: u64,
}

impl Beat {
    pub fn encode(&self) -> [u8; BEAT_BYTES] {
        let mut bytes = [0; BEAT_BYTES];
        bytes[..8].copy_from_slice(&self.stalled_ns.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.pause_ns.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..16]);
        bytes[16..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// None for anything but a beat.
    pub fn decode(bytes: &[u8; BEAT_BYTES]) -> Option<Self> {
        let (words, crc) = bytes.split_at(16);
        let (stalled, pause) = words.split_at(8);
        (crc32fast::hash(words).to_le_bytes() == *crc).then_some(Self {
            stalled_ns: u64::from_le_bytes(stalled.try_into().ok()?),
            pause_ns: u64::from_le_bytes(pause.try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_comes_back_and_a_flipped_bit_is_none() {
        let beat = Beat { stalled_ns: 0x0102_0304_0506_0708, pause_ns: u64::MAX };
        let bytes = beat.encode();
        assert_eq!(bytes[..9], [8, 7, 6, 5, 4, 3, 2, 1, 0xff]);
        assert_eq!(Beat::decode(&bytes), Some(beat));
        for bit in 0..BEAT_BYTES * 8 {
            let mut wrong = bytes;
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Beat::decode(&wrong), None, "bit {bit}");
        }
    }
}

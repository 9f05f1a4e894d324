//! The end of a log, kept in memory: what a follower that missed some of it may ask for.
//!
//! A *generation* has one writer, and everybody else has its entries from that writer, in order. So two logs which
//! have an entry of the same number and generation are the same up to there.

use std::collections::VecDeque;

use crate::base::{Generation, Seq};

/// So many beginnings of generations are remembered; the oldest go first.
const GENERATIONS_MAX: usize = 1024;

#[derive(Debug)]
struct Kept {
    first: Seq,
    last: Seq,
    bytes: Vec<u8>,
}

/// What comes behind an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind<'a> {
    /// Nothing yet: it is the last.
    Nothing,
    /// This frame, which ends with entry `last`.
    Frame {
        /// The number of its last entry.
        last: Seq,
        /// The frame.
        bytes: &'a [u8],
    },
    /// It is not known: the log behind the entry is not kept any more or never was, or no frame begins there.
    Gone,
}

/// The last frames of a log, bounded by their bytes; the oldest go first.
#[derive(Debug)]
pub struct Tail {
    frames: VecDeque<Kept>,
    bytes: usize,
    bytes_max: usize,
    /// The number of the next entry.
    next: Seq,
    /// Where generations begin, the newest last. The first one has begun there or before.
    generations: VecDeque<(Seq, Generation)>,
}

impl Tail {
    /// A log whose next entry is `next`, of `generation`; at most `bytes_max` of its frames are kept.
    pub fn starting(next: Seq, generation: Generation, bytes_max: usize) -> Self {
        Self {
            frames: VecDeque::new(),
            bytes: 0,
            bytes_max,
            next,
            generations: VecDeque::from([(next, generation)]),
        }
    }

    /// The entries from `first` on are of `generation`.
    pub fn begin(&mut self, first: Seq, generation: Generation) {
        if self.generations.len() == GENERATIONS_MAX {
            self.generations.pop_front();
        }
        self.generations.push_back((first, generation));
    }

    /// Takes the frame of entries `first` to `last`. If it does not go on where the last one ended, that one and all
    /// before it are forgotten.
    pub fn push(&mut self, first: Seq, last: Seq, bytes: &[u8]) {
        let fits = bytes.len() <= self.bytes_max;
        if first != self.next || !fits {
            self.frames.clear();
            self.bytes = 0;
        }
        self.next = last.next();
        if !fits {
            return;
        }
        self.bytes += bytes.len();
        self.frames.push_back(Kept { first, last, bytes: bytes.to_vec() });
        while self.bytes > self.bytes_max {
            let Some(oldest) = self.frames.pop_front() else { break };
            self.bytes -= oldest.bytes.len();
        }
    }

    /// The last entry.
    pub fn last(&self) -> Seq {
        Seq(self.next.get().saturating_sub(1))
    }

    /// The generation of entry `seq`, if that is known.
    pub fn generation_of(&self, seq: Seq) -> Option<Generation> {
        let (first, _) = self.generations.front()?;
        // The state that a log starts from is of the generation of its first entry.
        if seq > self.last() || seq.next() < *first {
            return None;
        }
        let begun = self.generations.iter().rev().find(|(first, _)| *first <= seq);
        begun.or(self.generations.front()).map(|(_, generation)| *generation)
    }

    /// What comes behind entry `seq`.
    pub fn behind(&self, seq: Seq) -> Behind<'_> {
        if seq == self.last() {
            return Behind::Nothing;
        }
        match self.frames.binary_search_by_key(&seq.next(), |kept| kept.first) {
            Ok(at) => Behind::Frame { last: self.frames[at].last, bytes: &self.frames[at].bytes },
            Err(_) => Behind::Gone,
        }
    }

    /// The frame with entry `seq` and those before it, as they follow each other: as far as they are kept, and at most
    /// `bytes_max` bytes, of which the oldest frames go first.
    pub fn upto(&self, seq: Seq, bytes_max: usize) -> Vec<u8> {
        let end = self.frames.partition_point(|kept| kept.first <= seq);
        let mut bytes = 0;
        let fits = |kept: &&Kept| {
            bytes += kept.bytes.len();
            bytes <= bytes_max
        };
        let count = self.frames.range(..end).rev().take_while(fits).count();
        self.frames.range(end - count..end).flat_map(|kept| &kept.bytes).copied().collect()
    }

    /// Bytes that are kept.
    pub fn bytes_len(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a frame of so many entries, which is `bytes` long.
    fn push(tail: &mut Tail, first: u64, last: u64, bytes: usize) {
        tail.push(Seq(first), Seq(last), &vec![first as u8; bytes]);
    }

    /// How many frames are behind the entry; none if that is not known.
    fn behind(tail: &Tail, seq: u64) -> Option<usize> {
        let (mut at, mut count) = (Seq(seq), 0);
        loop {
            match tail.behind(at) {
                Behind::Nothing => return Some(count),
                Behind::Frame { last, .. } => (at, count) = (last, count + 1),
                Behind::Gone => return None,
            }
        }
    }

    #[test]
    fn what_is_kept_is_found_by_the_entry_before_it() {
        let mut tail = Tail::starting(Seq(5), Generation(1), 1 << 20);
        assert_eq!(
            (tail.last(), behind(&tail, 4), behind(&tail, 3), behind(&tail, 5)),
            (Seq(4), Some(0), None, None)
        );
        for (first, last) in [(5, 6), (7, 7), (8, 12)] {
            push(&mut tail, first, last, 3);
        }
        let counts: Vec<_> = (3..=13).map(|seq| behind(&tail, seq)).collect();
        let none = None;
        assert_eq!(
            counts,
            [none, Some(3), none, Some(2), Some(1), none, none, none, none, Some(0), none],
            "only where a frame begins"
        );
        assert_eq!(tail.behind(Seq(7)), Behind::Frame { last: Seq(12), bytes: &[8; 3] });
    }

    #[test]
    fn the_frames_up_to_an_entry_are_bounded_and_the_oldest_go_first() {
        let mut tail = Tail::starting(Seq(5), Generation(1), 1 << 20);
        for (first, last) in [(5, 6), (7, 7), (8, 12)] {
            push(&mut tail, first, last, 3);
        }
        for (seq, bytes_max, firsts) in [
            (4, 99, &[][..]),
            (5, 99, &[5, 5, 5]),
            (6, 99, &[5, 5, 5]),
            (7, 99, &[5, 5, 5, 7, 7, 7]),
            (9, 8, &[7, 7, 7, 8, 8, 8]),
            (12, 2, &[]),
            (99, 99, &[5, 5, 5, 7, 7, 7, 8, 8, 8]),
        ] {
            assert_eq!(tail.upto(Seq(seq), bytes_max), firsts, "{seq}, {bytes_max} bytes");
        }
    }

    #[test]
    fn the_oldest_frames_go_and_a_gap_ends_what_is_kept() {
        let mut tail = Tail::starting(Seq(1), Generation(1), 30);
        (1..=9).for_each(|seq| push(&mut tail, seq, seq, 10));
        assert_eq!((behind(&tail, 5), behind(&tail, 6), tail.bytes_len()), (None, Some(3), 30));
        push(&mut tail, 11, 11, 10);
        assert_eq!((behind(&tail, 9), behind(&tail, 10), tail.last()), (None, Some(1), Seq(11)));
        push(&mut tail, 12, 12, 31);
        assert_eq!((behind(&tail, 11), behind(&tail, 12), tail.bytes_len()), (None, Some(0), 0));
    }

    #[test]
    fn an_entry_is_of_the_generation_that_began_last_before_it() {
        let mut tail = Tail::starting(Seq(5), Generation(2), 1 << 20);
        push(&mut tail, 5, 9, 1);
        tail.begin(Seq(8), Generation(4));
        let known: Vec<_> = (3..=10).map(|seq| tail.generation_of(Seq(seq)).map(Generation::get)).collect();
        assert_eq!(known, [None, Some(2), Some(2), Some(2), Some(2), Some(4), Some(4), None]);
        (0..2 * GENERATIONS_MAX as u64).for_each(|n| tail.begin(Seq(9), Generation(5 + n)));
        assert_eq!(tail.generations.len(), GENERATIONS_MAX);
        assert_eq!(tail.generation_of(Seq(7)), None, "forgotten");
    }
}

//! The last console bytes, by offset: what a terminal that comes late, or comes back, is shown.
//!
//! Invariant: what is kept is one range without holes, and ends at the last byte received.

use std::collections::VecDeque;

/// A bounded tail of the guest's console.
#[derive(Debug)]
pub struct Scrollback {
    /// Offset of the first byte kept.
    start: u64,
    bytes: VecDeque<u8>,
    bytes_max: usize,
}

impl Scrollback {
    pub fn new(bytes_max: usize) -> Self {
        Self { start: 0, bytes: VecDeque::new(), bytes_max }
    }

    pub fn start(&self) -> u64 {
        self.start
    }

    /// One past the last byte received.
    pub fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Takes bytes in, the first of which is the `offset`-th. Those received before are left out; after a
    /// hole nothing older is kept.
    pub fn append(&mut self, offset: u64, bytes: &[u8]) {
        if offset > self.end() {
            self.restart_at(offset);
        }
        let known = self.end().saturating_sub(offset);
        let new = usize::try_from(known).ok().and_then(|known| bytes.get(known..)).unwrap_or_default();
        let kept = &new[new.len().saturating_sub(self.bytes_max)..];
        let room = self.bytes_max - kept.len();
        let dropped = self.bytes.len().saturating_sub(room);
        self.bytes.drain(..dropped);
        self.start += (dropped + new.len() - kept.len()) as u64;
        self.bytes.extend(kept);
    }

    /// Forgets everything; the next byte is the `offset`-th.
    pub fn restart_at(&mut self, offset: u64) {
        self.bytes.clear();
        self.start = offset.min(u64::MAX / 2);
    }

    /// At most `len_max` bytes from `offset` on, which is at or after [`Scrollback::start`].
    pub fn read(&self, offset: u64, len_max: usize) -> Vec<u8> {
        let skip = usize::try_from(offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        self.bytes.iter().skip(skip).take(len_max).copied().collect()
    }

    /// The last `count` lines, without their ends; an empty last line does not count.
    pub fn last_lines(&self, count: usize) -> Vec<String> {
        let bytes: Vec<u8> = self.bytes.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.trim_end().lines().collect();
        lines[lines.len().saturating_sub(count)..].iter().map(|line| (*line).to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Prng;

    #[test]
    fn the_last_bytes_are_kept_by_their_offsets() {
        let mut back = Scrollback::new(8);
        back.append(0, b"hello ");
        back.append(6, b"world");
        assert_eq!((back.start(), back.end()), (3, 11));
        assert_eq!(back.read(3, 100), b"lo world");
        assert_eq!(back.read(9, 1), b"l");
        assert_eq!(back.read(11, 9), b"");
        assert_eq!(back.read(u64::MAX, 9), b"");
        back.append(11, b"more than it holds");
        assert_eq!((back.start(), back.end(), back.read(21, 9)), (21, 29, b"it holds".to_vec()));
    }

    #[test]
    fn bytes_said_again_are_heard_once() {
        let mut back = Scrollback::new(64);
        back.append(0, b"abcdef");
        back.append(2, b"cdefgh");
        back.append(0, b"ab");
        assert_eq!(back.read(0, 64), b"abcdefgh");
    }

    #[test]
    fn nothing_older_than_a_hole_is_kept() {
        let mut back = Scrollback::new(64);
        back.append(0, b"abc");
        back.append(10, b"xyz");
        assert_eq!((back.start(), back.read(10, 64)), (10, b"xyz".to_vec()));
        back.append(u64::MAX, b"far away");
        assert!(back.end() <= u64::MAX / 2 + 64);
    }

    #[test]
    fn it_is_the_tail_of_what_was_said_however_it_was_cut() {
        let mut prng = Prng::new(5);
        let mut said = vec![0; 5000];
        prng.fill(&mut said);
        let mut back = Scrollback::new(777);
        let mut at = 0;
        while at < said.len() {
            let from = at - (prng.below(50) as usize).min(at);
            let to = (from + prng.below(1200) as usize).min(said.len());
            back.append(from as u64, &said[from..to]);
            at = at.max(to);
            assert_eq!(back.end(), at as u64);
            let start = back.start() as usize;
            assert_eq!(at - start, at.min(777));
            assert_eq!(back.read(start as u64, usize::MAX), said[start..at]);
        }
    }

    #[test]
    fn last_lines_are_lines() {
        let mut back = Scrollback::new(64);
        assert!(back.last_lines(3).is_empty());
        back.append(0, b"one\r\ntwo\nthree\n\n");
        assert_eq!(back.last_lines(2), ["two", "three"]);
        assert_eq!(back.last_lines(9).len(), 3);
    }
}

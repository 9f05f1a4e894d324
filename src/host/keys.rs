//! The escape key: what a raw terminal's user types for lockstep rather than for the guest.
//!
//! `Ctrl-A` and then: `x` ends, `h` or `?` helps, `s` shows the status, `Ctrl-A` or `a` sends one `Ctrl-A`.
//! Anything else after it is the guest's, and so is everything without it (the field's convention).

/// The key itself.
pub const ESCAPE: u8 = 0x01;

pub const HELP: &str = "Ctrl-A x  end;  Ctrl-A s  status;  Ctrl-A a  send Ctrl-A;  Ctrl-A h  this help";

/// What typing means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// Bytes for the guest.
    Typed(Vec<u8>),
    End,
    Help,
    Status,
}

/// Reads keys. The escape key may come in one read and what follows it in the next.
#[derive(Debug, Default)]
pub struct Keys {
    escaped: bool,
}

impl Keys {
    pub fn read(&mut self, bytes: &[u8]) -> Vec<Key> {
        let mut keys = Vec::new();
        let mut typed = Vec::new();
        for byte in bytes {
            let key = match (std::mem::take(&mut self.escaped), *byte) {
                (false, ESCAPE) => {
                    self.escaped = true;
                    continue;
                }
                (true, b'x' | b'X') => Key::End,
                (true, b'h' | b'H' | b'?') => Key::Help,
                (true, b's' | b'S') => Key::Status,
                (true, ESCAPE | b'a' | b'A') => {
                    typed.push(ESCAPE);
                    continue;
                }
                (_, byte) => {
                    typed.push(byte);
                    continue;
                }
            };
            if !typed.is_empty() {
                keys.push(Key::Typed(std::mem::take(&mut typed)));
            }
            keys.push(key);
        }
        if !typed.is_empty() {
            keys.push(Key::Typed(typed));
        }
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(bytes: &[u8]) -> Key {
        Key::Typed(bytes.to_vec())
    }

    #[test]
    fn everything_but_the_escape_key_is_the_guests() {
        let all: Vec<u8> = (0..=255).filter(|byte| *byte != ESCAPE).collect();
        assert_eq!(Keys::default().read(&all), [typed(&all)]);
    }

    #[test]
    fn the_escape_key_speaks_to_us_also_across_reads() {
        let mut keys = Keys::default();
        assert_eq!(keys.read(b"ab\x01"), [typed(b"ab")]);
        assert_eq!(keys.read(b"hc\x01s"), [Key::Help, typed(b"c"), Key::Status]);
        assert_eq!(keys.read(b"\x01x"), [Key::End]);
        assert_eq!(keys.read(b"\x01\x01\x01a\x01z"), [typed(b"\x01\x01z")]);
        assert_eq!(keys.read(b""), []);
    }
}

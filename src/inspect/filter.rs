//! Which entries are wanted.

use super::kind::Kind;
use super::view::text;
use crate::base::Icount;
use crate::log::Entry;

/// Conditions on an entry, all of which must hold; by default there are none.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// One of these kinds; empty means any.
    pub kinds: Vec<Kind>,
    /// At or after this position.
    pub from: Option<Icount>,
    /// At or before this position.
    pub to: Option<Icount>,
    /// Found in the words or in the payload.
    pub needle: Option<Needle>,
}

impl Filter {
    /// Whether all conditions hold for `entry`. For a needle the entry must have its payload.
    pub fn takes(&self, entry: &Entry) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&Kind::of(&entry.event)))
            && self.from.is_none_or(|from| entry.at >= from)
            && self.to.is_none_or(|to| entry.at <= to)
            && self.needle.as_ref().is_none_or(|needle| needle.is_in(entry))
    }

    /// True when no entry from this position on can be wanted.
    pub fn is_past(&self, at: Icount) -> bool {
        self.to.is_some_and(|to| at > to)
    }
}

/// What is searched for: `0x` and an even number of hex digits are bytes of the payload, anything
/// else is text, looked for in the words of an entry and in its payload. Letters must match in case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needle {
    bytes: Vec<u8>,
    text: Option<String>,
}

impl Needle {
    /// The needle that `pattern` stands for. No pattern is an error: `0x` without an even number of hex digits behind it
    /// is text.
    pub fn new(pattern: &str) -> Self {
        match pattern.strip_prefix("0x").and_then(from_hex) {
            Some(bytes) => Self { bytes, text: None },
            None => Self { bytes: pattern.as_bytes().to_vec(), text: Some(pattern.into()) },
        }
    }

    /// Whether it occurs in an entry's payload or words.
    pub fn is_in(&self, entry: &Entry) -> bool {
        let in_text = |needle: &String| text(&entry.event).contains(needle.as_str());
        self.is_in_bytes(entry.event.payload()) || self.text.as_ref().is_some_and(in_text)
    }

    /// Whether it occurs in these bytes. An empty needle occurs everywhere.
    pub fn is_in_bytes(&self, bytes: &[u8]) -> bool {
        self.bytes.is_empty() || bytes.windows(self.bytes.len()).any(|window| window == self.bytes)
    }
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let value = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    let pairs = digits.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> = pairs
        .map(|pair| match *pair {
            [high, low] => Some(value(high)? << 4 | value(low)?),
            _ => None,
        })
        .collect();
    bytes.filter(|bytes| !bytes.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Seq;
    use crate::log::Event;
    use crate::machine::Input;

    fn typed(at: u64, bytes: &[u8]) -> Entry {
        Entry { seq: Seq(1), at: Icount(at), event: Event::Input(Input::Console(bytes.to_vec())) }
    }

    #[test]
    fn all_conditions_must_hold() {
        let filter = Filter {
            kinds: vec![Kind::ConsoleIn, Kind::End],
            from: Some(Icount(10)),
            to: Some(Icount(20)),
            needle: Some(Needle::new("GET")),
        };
        assert!(filter.takes(&typed(10, b"1 GET k")) && filter.takes(&typed(20, b"GET")));
        assert!(!filter.takes(&typed(9, b"GET")) && !filter.takes(&typed(21, b"GET")));
        assert!(!filter.takes(&typed(10, b"SET")));
        assert!(!filter.takes(&Entry { seq: Seq(1), at: Icount(10), event: Event::Horizon }));
        assert!(filter.is_past(Icount(21)) && !filter.is_past(Icount(20)));
        assert!(Filter::default().takes(&typed(0, b"")));
    }

    #[test]
    fn a_needle_is_text_or_bytes() {
        let entry = typed(0, b"say \xde\xad now");
        for (pattern, found) in [
            ("say", true),
            ("typed 10 bytes", true),
            ("0xdead", true),
            ("0xDEAD", true),
            ("0xdeaf", false),
            ("0xdea", false),
            ("0x", false),
            ("", true),
            ("Say", false),
        ] {
            assert_eq!(Needle::new(pattern).is_in(&entry), found, "{pattern}");
        }
    }
}

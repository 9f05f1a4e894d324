//! A guest's Ethernet or IP address in use by another station: noted, and reported to the operator.
//!
//! Two stations with one address take each other's frames, and neither sees more than a network that loses
//! some. The switch sees it. It reports the conflict the first time, and again after [`TELL_EVERY_NS`] if it
//! goes on; the counts are in its status.
//!
//! Absent on purpose: what becomes of the frame (`fabric`, `switch`), and which of the two is right.

use core::net::IpAddr;
use std::fmt;

use serde::Serialize;

use super::SECOND_NS;
use super::ether::Mac;

/// One conflict is reported this often at most.
pub const TELL_EVERY_NS: u64 = 60 * SECOND_NS;
/// After a VM's generation has begun here, its guest's last frames at another switch may still be under way.
pub const MOVING_NS: u64 = 2 * SECOND_NS;

/// The other user of the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whence {
    /// The VM of this name, at this switch.
    Vm(String),
    /// Some station behind the uplink.
    Uplink,
}

impl fmt::Display for Whence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Whence::Vm(name) => write!(f, "VM {name:?} at this switch"),
            Whence::Uplink => write!(f, "a station behind the uplink"),
        }
    }
}

/// Which address it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    Mac(Mac),
    Ip(IpAddr),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Mac(mac) => write!(f, "Ethernet address {mac}"),
            Address::Ip(IpAddr::V4(ip)) => write!(f, "IPv4 address {ip}"),
            Address::Ip(IpAddr::V6(ip)) => write!(f, "IPv6 address {ip}"),
        }
    }
}

/// In a VM's status, once it has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ElsewhereStatus {
    /// Frames and attachments of others under an address of the VM's guest.
    pub seen: u64,
    /// The address that was seen last, and where.
    pub address: String,
    pub at: String,
}

/// One VM's conflicts.
#[derive(Clone, Debug, Default)]
pub struct Elsewhere {
    seen: u64,
    last: Option<(Address, Whence)>,
    told_at: Option<u64>,
    untold: bool,
}

impl Elsewhere {
    /// Another station uses `address`.
    pub fn see(&mut self, address: Address, whence: Whence) {
        self.seen += 1;
        self.untold = true;
        self.last = Some((address, whence));
    }

    /// The message about the VM `name` for the operator now, if any.
    pub fn take_message(&mut self, now: u64, name: &str) -> Option<String> {
        let (address, whence) = self.last.as_ref().filter(|_| self.untold)?;
        if self.told_at.is_some_and(|told| now.saturating_sub(told) < TELL_EVERY_NS) {
            return None;
        }
        self.untold = false;
        self.told_at = Some(now);
        let fix = match address {
            Address::Mac(_) => "give one of them another (`--mac`, or another vm name)",
            Address::Ip(_) => "give one of the guests another, or each a switch of its own",
        };
        let times = if self.seen == 1 { String::new() } else { format!(", {} times so far", self.seen) };
        Some(format!(
            "the {address} of VM {name:?} is also used by {whence}{times}: they take each other's frames; {fix}"
        ))
    }

    pub fn status(&self) -> Option<ElsewhereStatus> {
        let (address, whence) = self.last.as_ref()?;
        Some(ElsewhereStatus { seen: self.seen, address: address.to_string(), at: whence.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_is_told_at_once_and_then_once_a_minute() {
        let mut elsewhere = Elsewhere::default();
        assert_eq!((elsewhere.take_message(0, "a"), elsewhere.status()), (None, None));
        let mac = Address::Mac(Mac([2, 0, 0, 0, 0, 1]));
        elsewhere.see(mac, Whence::Vm("b".into()));
        let word = elsewhere.take_message(5, "a").unwrap();
        for part in ["02:00:00:00:00:01", "VM \"a\"", "VM \"b\" at this switch", "--mac"] {
            assert!(word.contains(part), "{word}");
        }
        elsewhere.see(mac, Whence::Uplink);
        assert_eq!(elsewhere.take_message(4 + TELL_EVERY_NS, "a"), None);
        let word = elsewhere.take_message(5 + TELL_EVERY_NS, "a").unwrap();
        assert!(word.contains("behind the uplink, 2 times so far"), "{word}");
        assert_eq!(elsewhere.take_message(u64::MAX, "a"), None, "nothing new");
        assert_eq!(elsewhere.status().unwrap().seen, 2);
    }
}

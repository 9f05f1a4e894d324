//! Looking for the vm's primary: which addresses a node knows, when it tries which, and when it gives up.
//!
//! ```text
//!            the disks of the last role are released
//!  Leaving ------------------------------------------> Resting --its time--> Dialing
//!     ^                                                   ^                     |
//!     |                                                   +----no connection----+
//!     |  refused, or lost before it counted                                     | connected
//!     +------------------------------------------ Backup (asks to join) <-------+
//! ```
//!
//! A node whose replay has diverged from the log leaves its role in the same way, and gets the state anew: it keeps
//! nothing of what it has derived (`Node::may_heal_after`).
//!
//! A node that was started to join gives up after its time to wait. One that was a member of the pair (a
//! primary, or a backup that counted) never does: it is a spare until it counts again or is ended.
//!
//! Addresses that other nodes report are untrusted: an address is a number, never a name, and few are kept.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::command::Halt;
use crate::base::Generation;

/// Addresses that are kept besides those which the operator named; a new one displaces the oldest.
pub const TOLD_MAX: usize = 8;
/// Addresses that an operator may name.
pub const GIVEN_MAX: usize = 16;
/// After the first round of all addresses a seeker rests this long, after each further one twice as long.
const REST_NS: u64 = 50_000_000;
const REST_MAX_NS: u64 = 500_000_000;

/// Where nodes of this vm may listen.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses {
    given: Vec<String>,
    told: VecDeque<SocketAddr>,
}

impl Addresses {
    fn len(&self) -> usize {
        self.given.len() + self.told.len()
    }

    fn get(&self, at: usize) -> Option<String> {
        let told = || self.told.get(at - self.given.len()).map(SocketAddr::to_string);
        self.given.get(at).cloned().or_else(told)
    }

    /// Takes an address from another node; anything but a number that can be dialled is dropped.
    fn learn(&mut self, text: &str) {
        let Ok(address) = text.parse::<SocketAddr>() else { return };
        let ip = address.ip();
        let dialled = address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast();
        if !dialled || self.told.contains(&address) || self.given.iter().any(|given| given == text) {
            return;
        }
        if self.told.len() == TOLD_MAX {
            self.told.pop_front();
        }
        self.told.push_back(address);
    }

    /// Those that mean the same at another node.
    fn numbers(&self) -> Vec<String> {
        let given = self.given.iter().filter_map(|given| given.parse().ok());
        let mut numbers: Vec<SocketAddr> = self.told.iter().copied().chain(given).collect();
        numbers.retain(|address| !address.ip().is_unspecified());
        numbers.truncate(TOLD_MAX);
        numbers.iter().map(SocketAddr::to_string).collect()
    }
}

/// What a node knows of its looking, over all its roles.
#[derive(Clone, Debug, Default)]
pub(super) struct Seek {
    addresses: Addresses,
    /// A node that loses its place looks for another.
    pub rejoins: bool,
    /// It was the primary, or a backup that counted.
    member: bool,
    /// How long a node that was never a member looks.
    wait_ns: u64,
    until_ns: u64,
    /// The address that is tried next, and attempts since this looking began.
    next: usize,
    tried: usize,
    /// The outcome of the last attempt, as reported.
    pub last: Option<String>,
    /// The guest's life that this node knows, and the newest generation of it.
    floor: Option<(u64, Generation)>,
}

impl Seek {
    /// Of a node that is started to join the primary at one of `addresses`, within `wait_ns`.
    pub fn starting(addresses: Vec<String>, wait_ns: u64, now_ns: u64) -> Self {
        let addresses = Addresses { given: addresses, told: VecDeque::new() };
        Self { addresses, wait_ns, until_ns: now_ns.saturating_add(wait_ns), ..Self::default() }
    }

    pub fn learn(&mut self, address: &str, own: Option<&str>) {
        if own != Some(address) {
            self.addresses.learn(address);
        }
    }

    pub fn known(&self) -> Vec<String> {
        self.addresses.numbers()
    }

    /// It is the primary, or a backup that counts.
    pub fn is_member_now(&mut self) {
        self.member = true;
        (self.tried, self.last) = (0, None);
    }

    pub fn was_member(&self) -> bool {
        self.member
    }

    /// The guest's life `life` has come to `generation`.
    pub fn has_seen(&mut self, life: u64, generation: Generation) {
        match &mut self.floor {
            Some((known, newest)) if *known == life => *newest = generation.max(*newest),
            _ => self.floor = Some((life, generation)),
        }
    }

    /// True if `generation` has been replaced: no node joins it.
    pub fn is_replaced(&self, life: u64, generation: Generation) -> bool {
        self.floor.is_some_and(|(known, newest)| known == life && generation < newest)
    }

    /// A primary took this node on and was lost: the time to wait begins anew.
    pub fn was_taken_on(&mut self, now_ns: u64) {
        self.until_ns = now_ns.saturating_add(self.wait_ns);
    }

    /// Whether a node that ends with `halt` looks for another primary.
    pub fn goes_on_after(&self, halt: &Halt, now_ns: u64) -> bool {
        match halt {
            Halt::LostClaim { .. } | Halt::Diverged(_) => self.rejoins && self.addresses.len() > 0,
            Halt::NotJoined { for_good: false, .. } | Halt::NoPrimary { .. } => self.goes_on(now_ns),
            Halt::NotJoined { for_good: true, .. }
            | Halt::GuestEnded(_)
            | Halt::LimitReached
            | Halt::DiskFailed { .. }
            | Halt::StoreFailed { .. }
            | Halt::Quit => false,
        }
    }

    fn goes_on(&self, now_ns: u64) -> bool {
        if self.member {
            return self.rejoins && self.addresses.len() > 0;
        }
        now_ns < self.until_ns || self.tried < self.addresses.len()
    }

    /// The address to try now.
    pub fn next(&mut self) -> Option<String> {
        let address = self.addresses.get(self.next % self.addresses.len().max(1))?;
        self.next = (self.next + 1) % self.addresses.len();
        self.tried = self.tried.saturating_add(1);
        Some(address)
    }

    /// The newest generation of the guest's life that this node knows of.
    pub fn generation(&self) -> Generation {
        self.floor.map_or(Generation::ZERO, |(_, newest)| newest)
    }

    /// For the status.
    pub fn describe(&self, seeking: &Seeking) -> String {
        let now = match seeking {
            Seeking::Leaving => "leaves its last role".to_owned(),
            Seeking::Looking(Looking::Resting { .. }) => {
                format!("tries {} addresses in turn", self.addresses.len())
            }
            Seeking::Looking(Looking::Dialing { address }) => format!("tries {address}"),
        };
        match &self.last {
            Some(last) => format!("{now}; last: {last}"),
            None => now,
        }
    }

    /// How long to rest before the next attempt: not at all within a round.
    pub fn rest_ns(&self) -> u64 {
        let len = self.addresses.len().max(1);
        let rounds = self.tried / len;
        match (self.tried % len, rounds) {
            (0, 1..) => (REST_NS << (rounds - 1).min(8)).min(REST_MAX_NS),
            _ => 0,
        }
    }
}

/// Where a node is in its looking, with a machine or without.
#[derive(Debug)]
pub(super) enum Looking {
    Resting { until_ns: u64 },
    Dialing { address: String },
}

/// What a node without a role is about.
pub(super) enum Seeking {
    /// The last role's disks and recording are still being left.
    Leaving,
    Looking(Looking),
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOT_NOW: Halt = Halt::NotJoined { why: String::new(), for_good: false };

    #[test]
    fn what_a_peer_tells_is_bounded_and_no_name_is_taken() {
        let mut seek = Seek::starting(vec!["host:1".into(), "10.0.0.1:7".into()], 0, 0);
        for bad in
            ["", "localhost:80", "10.0.0.1", "0.0.0.0:7", "[::]:7", "10.0.0.9:0", "224.0.0.1:7", "10.0.0.1:7"]
        {
            seek.learn(bad, None);
        }
        seek.learn("10.0.0.5:7", Some("10.0.0.5:7"));
        assert_eq!(seek.known(), ["10.0.0.1:7"]);
        for port in 1..=20 {
            seek.learn(&format!("10.0.0.2:{port}"), None);
            seek.learn(&format!("10.0.0.2:{port}"), None);
        }
        assert_eq!(seek.addresses.len(), 2 + TOLD_MAX);
        assert_eq!(seek.known().len(), TOLD_MAX);
        assert_eq!(seek.known()[0], "10.0.0.2:13");
        // What the operator named stays.
        assert_eq!((seek.next().as_deref(), seek.next().as_deref()), (Some("host:1"), Some("10.0.0.1:7")));
        assert_eq!(seek.next().as_deref(), Some("10.0.0.2:13"));
    }

    #[test]
    fn a_joiner_tries_every_address_and_then_gives_up_a_member_never_does() {
        let mut seek = Seek::starting(vec!["a:1".into(), "b:2".into()], 100, 1000);
        assert!(seek.goes_on_after(&NOT_NOW, 1099));
        seek.next();
        assert!(seek.goes_on_after(&NOT_NOW, 5000), "one address is untried");
        assert_eq!(seek.rest_ns(), 0);
        seek.next();
        assert_eq!(seek.rest_ns(), REST_NS);
        assert!(!seek.goes_on_after(&NOT_NOW, 1100));
        seek.was_taken_on(5000);
        assert!(seek.goes_on_after(&NOT_NOW, 5099));
        assert!(!seek.goes_on_after(&Halt::NotJoined { why: String::new(), for_good: true }, 0));
        seek.is_member_now();
        assert!(!seek.goes_on_after(&NOT_NOW, 5001), "it was told to take part once");
        seek.rejoins = true;
        let lost = Halt::LostClaim { generation: Generation(2), to: crate::base::NodeId(1) };
        assert!(seek.goes_on_after(&NOT_NOW, u64::MAX) && seek.goes_on_after(&lost, u64::MAX));
        assert!(!seek.goes_on_after(&Halt::Quit, 0));
        (0..100).for_each(|_| {
            seek.next();
        });
        assert_eq!(seek.rest_ns(), REST_MAX_NS);
    }

    #[test]
    fn no_node_rejoins_without_an_address() {
        let mut seek = Seek { rejoins: true, ..Seek::default() };
        seek.is_member_now();
        assert!(!seek.goes_on_after(&NOT_NOW, 0));
        assert_eq!(seek.next(), None);
    }

    #[test]
    fn a_generation_that_was_replaced_is_not_joined() {
        let mut seek = Seek::default();
        assert!(!seek.is_replaced(7, Generation(1)));
        seek.has_seen(7, Generation(3));
        assert!(seek.is_replaced(7, Generation(2)) && !seek.is_replaced(7, Generation(3)));
        assert!(!seek.is_replaced(8, Generation(1)), "another life begins where it likes");
        seek.has_seen(7, Generation(2));
        assert!(seek.is_replaced(7, Generation(2)));
    }

    #[test]
    fn the_time_to_wait_ends_to_the_nanosecond() {
        let mut seek = Seek::starting(vec!["a:1".into()], 100, 1000);
        seek.next();
        assert!(seek.goes_on_after(&NOT_NOW, 1099) && !seek.goes_on_after(&NOT_NOW, 1100));
        assert!(!seek.was_member());
        seek.is_member_now();
        assert!(seek.was_member());
        let lost = Halt::LostClaim { generation: Generation(2), to: crate::base::NodeId(1) };
        assert!(!Seek { rejoins: true, ..Seek::default() }.goes_on_after(&lost, 0), "it knows no address");
    }

    #[test]
    fn another_life_begins_with_its_own_generation() {
        let mut seek = Seek::default();
        assert_eq!(seek.generation(), Generation::ZERO);
        seek.has_seen(7, Generation(3));
        seek.has_seen(7, Generation(2));
        assert_eq!(seek.generation(), Generation(3));
        seek.has_seen(8, Generation(1));
        assert_eq!(seek.generation(), Generation(1));
        assert!(!seek.is_replaced(7, Generation(2)), "only the newest life is known");
    }

    #[test]
    fn the_status_says_what_is_tried_and_what_came_of_it() {
        let mut seek = Seek::starting(vec!["a:1".into(), "b:2".into()], 100, 0);
        assert_eq!(seek.describe(&Seeking::Leaving), "leaves its last role");
        assert_eq!(
            seek.describe(&Seeking::Looking(Looking::Resting { until_ns: 5 })),
            "tries 2 addresses in turn"
        );
        seek.last = Some("refused".into());
        assert_eq!(
            seek.describe(&Seeking::Looking(Looking::Dialing { address: "a:1".into() })),
            "tries a:1; last: refused"
        );
    }
}

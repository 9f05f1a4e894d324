//! Which connections a node's port admits at one time.
//!
//! ```text
//!  connected: unknown --its first message is whole--> settled --closed--> gone
//!                |
//!                +-- too late, or a newer one needs the place --> gone
//! ```
//!
//! An unknown connection, one that has not identified itself, costs a place only until a newer one needs it:
//! the oldest of the address that has the most of them is closed. So slow connections block no other, however
//! many there are, and a peer that identifies itself at once is served. Settled connections have places of
//! their own: terminals, which stay, cannot take those of nodes and tools, and one address cannot take all of
//! them.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use crate::ft::{LinkId, Message};

/// Connections that have not yet sent a whole message.
pub const UNKNOWN_MAX: usize = 32;
/// Connections that have identified themselves.
pub const SETTLED_MAX: usize = 64;
/// Of them, from one address.
pub const SETTLED_ADDRESS_MAX: usize = 48;
/// Of them, terminals: the rest is kept for nodes and tools.
pub const SETTLED_TERMINALS_MAX: usize = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It stays.
    Terminal,
    /// A node, or a tool that asks one thing.
    Other,
}

impl Kind {
    pub fn of(first: &Message) -> Self {
        match first {
            Message::Attach { .. } => Self::Terminal,
            _ => Self::Other,
        }
    }
}

struct Unknown<H> {
    link: LinkId,
    ip: IpAddr,
    /// What ends the connection.
    handle: H,
}

/// All places of one port.
pub struct Places<H> {
    /// The oldest first.
    unknown: VecDeque<Unknown<H>>,
    settled: BTreeMap<LinkId, (IpAddr, Kind)>,
}

impl<H> Default for Places<H> {
    fn default() -> Self {
        Self { unknown: VecDeque::new(), settled: BTreeMap::new() }
    }
}

impl<H> Places<H> {
    /// A connection has come. The handle of the one that has to go for it, if there was no place.
    pub fn arrive(&mut self, link: LinkId, ip: IpAddr, handle: H) -> Option<H> {
        let evicted = if self.unknown.len() >= UNKNOWN_MAX { self.evict() } else { None };
        self.unknown.push_back(Unknown { link, ip, handle });
        evicted
    }

    fn evict(&mut self) -> Option<H> {
        let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for connection in &self.unknown {
            *counts.entry(connection.ip).or_default() += 1;
        }
        let (crowded, _) = counts.into_iter().max_by_key(|(_, count)| *count)?;
        let oldest = self.unknown.iter().position(|connection| connection.ip == crowded)?;
        self.unknown.remove(oldest).map(|connection| connection.handle)
    }

    /// A connection has identified itself; false when there is no place for its kind, or it was already closed.
    pub fn settle(&mut self, link: LinkId, kind: Kind) -> bool {
        let Some(at) = self.unknown.iter().position(|connection| connection.link == link) else {
            return false;
        };
        let Some(Unknown { ip, .. }) = self.unknown.remove(at) else { return false };
        let same_address = self.settled.values().filter(|(other, _)| *other == ip).count();
        let terminals = self.settled.values().filter(|(_, kind)| *kind == Kind::Terminal).count();
        let has_place = self.settled.len() < SETTLED_MAX
            && same_address < SETTLED_ADDRESS_MAX
            && (kind != Kind::Terminal || terminals < SETTLED_TERMINALS_MAX);
        if has_place {
            self.settled.insert(link, (ip, kind));
        }
        has_place
    }

    /// A connection is gone.
    pub fn leave(&mut self, link: LinkId) {
        self.unknown.retain(|connection| connection.link != link);
        self.settled.remove(&link);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn slow_unknown_connections_give_way_to_newer_ones_and_many_of_one_address_to_a_single_one() {
        let mut places = Places::default();
        assert_eq!(places.arrive(LinkId(1000), ip(9), 1000), None);
        for n in 0..UNKNOWN_MAX as u64 - 1 {
            assert_eq!(places.arrive(LinkId(n), ip(1), n), None);
        }
        for n in 100..200 {
            let gone = places.arrive(LinkId(n), ip(1), n).expect("one has to go");
            assert_eq!(gone, if n < 131 { n - 100 } else { n - 31 }, "the oldest of the crowd");
        }
        assert!(
            places.settle(LinkId(1000), Kind::Other),
            "the first, the only one of its address, is still there"
        );
        assert!(!places.settle(LinkId(100), Kind::Other), "it had to go");
        assert!(places.settle(LinkId(199), Kind::Other));
    }

    #[test]
    fn terminals_leave_places_for_nodes_and_one_address_for_others() {
        let mut places = Places::default();
        let mut come = |n: u64, from: u8, kind| {
            assert_eq!(places.arrive(LinkId(n), ip(from), ()), None);
            places.settle(LinkId(n), kind)
        };
        for n in 0..SETTLED_TERMINALS_MAX as u64 {
            assert!(come(n, 1, Kind::Terminal));
        }
        assert!(!come(100, 2, Kind::Terminal));
        for n in 0..(SETTLED_ADDRESS_MAX - SETTLED_TERMINALS_MAX) as u64 {
            assert!(come(200 + n, 1, Kind::Other));
        }
        assert!(!come(300, 1, Kind::Other));
        for n in 0..(SETTLED_MAX - SETTLED_ADDRESS_MAX) as u64 {
            assert!(come(400 + n, 2, Kind::Other));
        }
        assert!(!come(500, 3, Kind::Other));
        places.leave(LinkId(400));
        assert_eq!(places.arrive(LinkId(501), ip(3), ()), None);
        assert!(places.settle(LinkId(501), Kind::Other));
    }
}

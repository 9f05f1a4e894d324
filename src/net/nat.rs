//! Which host client stands behind which port of the gateway.
//!
//! The guest sees every client as one port of 10.0.2.2. A client keeps its port for as long as it
//! talks; when too many come, the longest silent loses its port. There are twice as many ports as
//! clients and they are handed out in turn, so that a late answer to an earlier owner does not soon
//! reach a new one.

use core::net::SocketAddr;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::SECOND_NS;

/// The first port handed out: above the services.
pub const PORT_FIRST: u16 = 16384;

/// How many ports are handed out.
pub const PORTS: u16 = 32768;

/// At most this many clients at once.
pub const CLIENTS_MAX: usize = 16384;

/// A silent client's port may be taken back after this long, even when others are free (RFC 4787
/// asks for at least two minutes).
pub const EXPIRY_NS: u64 = 300 * SECOND_NS;

/// A client's age is updated no more often than this: order need not be finer.
const TOUCH_NS: u64 = SECOND_NS;

/// A host client of one forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Client {
    /// Index of the forward it came through.
    pub forward: usize,
    pub address: SocketAddr,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    client: Client,
    used: u64,
}

/// The table of leases.
#[derive(Clone, Debug)]
pub struct Nat {
    by_client: BTreeMap<Client, u16>,
    by_port: BTreeMap<u16, Lease>,
    /// (last used, port), the longest silent first.
    by_age: BTreeSet<(u64, u16)>,
    /// Never empty: there are more ports than clients. The longest free first.
    free: VecDeque<u16>,
    clients_max: usize,
    evicted: u64,
}

impl Default for Nat {
    fn default() -> Self {
        Self::new(CLIENTS_MAX)
    }
}

impl Nat {
    /// `clients_max` is cut to [`CLIENTS_MAX`].
    pub fn new(clients_max: usize) -> Self {
        Self {
            by_client: BTreeMap::new(),
            by_port: BTreeMap::new(),
            by_age: BTreeSet::new(),
            free: (PORT_FIRST..PORT_FIRST + PORTS).collect(),
            clients_max: clients_max.clamp(1, CLIENTS_MAX),
            evicted: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.by_port.len()
    }

    /// Leases that were taken from a client because too many others came.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// The port that represents `client`: its own, a free one, or the longest silent one.
    pub fn port_of(&mut self, now: u64, client: Client) -> u16 {
        if let Some(&port) = self.by_client.get(&client) {
            self.touch(now, port);
            return port;
        }
        self.expire(now);
        if self.by_port.len() >= self.clients_max
            && let Some(&(_, oldest)) = self.by_age.first()
        {
            self.evicted += 1;
            self.remove(oldest);
        }
        let port = self.free.pop_front().expect("more ports than clients, and one client just made room");
        self.by_client.insert(client, port);
        self.by_port.insert(port, Lease { client, used: now });
        self.by_age.insert((now, port));
        port
    }

    /// The client behind `port`.
    pub fn client_of(&mut self, now: u64, port: u16) -> Option<Client> {
        let client = self.by_port.get(&port)?.client;
        self.touch(now, port);
        Some(client)
    }

    fn touch(&mut self, now: u64, port: u16) {
        if let Some(lease) = self.by_port.get_mut(&port)
            && now.saturating_sub(lease.used) >= TOUCH_NS
        {
            self.by_age.remove(&(lease.used, port));
            lease.used = now;
            self.by_age.insert((now, port));
        }
    }

    fn expire(&mut self, now: u64) {
        while let Some(&(used, port)) = self.by_age.first()
            && now.saturating_sub(used) >= EXPIRY_NS
        {
            self.remove(port);
        }
    }

    fn remove(&mut self, port: u16) {
        if let Some(lease) = self.by_port.remove(&port) {
            self.by_age.remove(&(lease.used, port));
            self.by_client.remove(&lease.client);
            self.free.push_back(port);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(n: u16) -> Client {
        Client { forward: 0, address: SocketAddr::from(([127, 0, 0, 1], n)) }
    }

    #[test]
    fn a_client_keeps_its_port_and_forwards_are_kept_apart() {
        let mut nat = Nat::default();
        let port = nat.port_of(0, client(1));
        assert_eq!(nat.port_of(EXPIRY_NS * 2, client(1)), port);
        let other = Client { forward: 1, ..client(1) };
        let second = nat.port_of(EXPIRY_NS * 2, other);
        assert_ne!(second, port);
        assert_eq!(nat.client_of(EXPIRY_NS * 2, port), Some(client(1)));
        assert_eq!(nat.client_of(EXPIRY_NS * 2, second), Some(other));
        assert_eq!(nat.client_of(0, 80), None);
    }

    #[test]
    fn the_longest_silent_client_makes_room() {
        let mut nat = Nat::new(3);
        let ports: Vec<u16> = (0..3).map(|n| nat.port_of(n.into(), client(n))).collect();
        nat.client_of(10 * SECOND_NS, ports[0]);
        nat.port_of(11 * SECOND_NS, client(9));
        assert_eq!(nat.client_of(11 * SECOND_NS, ports[1]), None);
        assert_eq!(nat.client_of(11 * SECOND_NS, ports[0]), Some(client(0)));
        assert_eq!((nat.len(), nat.evicted()), (3, 1));
    }

    #[test]
    fn the_silent_expire_and_a_flood_stays_bounded() {
        let mut nat = Nat::default();
        nat.port_of(0, client(1));
        nat.port_of(EXPIRY_NS, client(2));
        assert_eq!(nat.len(), 1);
        for n in 0..40_000 {
            nat.port_of(EXPIRY_NS + u64::from(n), client(n));
        }
        assert_eq!(nat.len(), CLIENTS_MAX);
        assert!(nat.by_age.len() == CLIENTS_MAX && nat.by_client.len() == CLIENTS_MAX);
    }

    #[test]
    fn a_freed_port_is_not_handed_out_again_at_once() {
        let mut nat = Nat::new(1);
        let first = nat.port_of(0, client(1));
        assert_ne!(nat.port_of(1, client(2)), first);
    }
}

//! What the guest may reach beyond the segment, and its datagrams on their way there and back.
//!
//! Nothing, unless allowed by an [`Outbound`] rule; names are asked at the resolvers of the host through
//! 10.0.2.3. Each pair of a guest's port and a destination is a [flow](Flows) with a socket of its own in
//! the host, connected to that destination: an answer can come from nowhere else, and finds its way back
//! by the socket it came to. Flows are bounded; the longest silent makes room.

use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use smoltcp::wire::{Ipv4Address, Ipv4Cidr};
use thiserror::Error;

use super::SECOND_NS;
use super::ether::Mac;

/// Flows at once.
pub const FLOWS_MAX: usize = 256;
/// A silent flow is forgotten after this long.
pub const FLOW_SILENT_NS: u64 = 60 * SECOND_NS;
/// A resolver that has not answered for this long is passed over for the next.
const RESOLVER_SLOW_NS: u64 = SECOND_NS;
const DNS_PORT: u16 = 53;
/// Of the remote end of a flow of pings. No datagram goes to port 0.
pub const PING_PORT: u16 = 0;

/// Addresses, and perhaps one port, that the guest may reach: `CIDR[:PORT]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outbound {
    addresses: Ipv4Cidr,
    port: Option<u16>,
}

/// A text that is no [`Outbound`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "\"{text}\" is not an address range with an optional port, like 192.0.2.0/24:443, 192.0.2.7 or 0.0.0.0/0 (IPv4 only: so is the guest's network)"
)]
pub struct OutboundError {
    text: String,
}

impl Outbound {
    /// Whether the guest may send to `port` at `to`.
    pub fn allows(&self, to: Ipv4Address, port: u16) -> bool {
        self.addresses.contains_addr(&to) && self.port.is_none_or(|only| only == port)
    }

    /// Whether the guest may ping `to`: a rule for one port does not allow that.
    pub fn allows_ping(&self, to: Ipv4Address) -> bool {
        self.addresses.contains_addr(&to) && self.port.is_none()
    }
}

impl FromStr for Outbound {
    type Err = OutboundError;

    fn from_str(text: &str) -> Result<Self, OutboundError> {
        let bad = || OutboundError { text: text.to_string() };
        let (range, port) = match text.split_once(':') {
            Some((range, port)) => {
                let port = port.parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(bad)?;
                (range, Some(port))
            }
            None => (text, None),
        };
        let (address, bits) = range.split_once('/').unwrap_or((range, "32"));
        let address = address.parse::<Ipv4Address>().map_err(|_| bad())?;
        let bits = bits.parse::<u8>().ok().filter(|bits| *bits <= 32).ok_or_else(bad)?;
        Ok(Outbound { addresses: Ipv4Cidr::new(address, bits), port })
    }
}

impl fmt::Display for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.addresses)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// The resolvers that a text in the form of `resolv.conf` names, the first three as everywhere.
pub fn resolvers(resolv_conf: &str) -> Vec<SocketAddr> {
    let named = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()?.parse::<IpAddr>().ok()).flatten()
    };
    resolv_conf.lines().filter_map(named).take(3).map(|ip| SocketAddr::new(ip, DNS_PORT)).collect()
}

/// Names a flow; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowId(pub u64);

/// What the guest sees of a flow: its own end, and whom it talks to. In a flow of pings the guest's port is the
/// identifier of its echo requests, and the other is [`PING_PORT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ends {
    /// The guest's Ethernet address.
    pub mac: Mac,
    /// The guest's IPv4 address and port.
    pub guest: (Ipv4Address, u16),
    /// The address and port that it talks to.
    pub remote: (Ipv4Address, u16),
}

#[derive(Clone, Copy, Debug)]
struct Flow {
    ends: Ends,
    used: u64,
    /// Since when it has asked without an answer.
    asked: Option<u64>,
}

/// What has gone through the flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OutboundCounts {
    /// Datagrams and pings of the guest that were sent.
    pub datagrams_out: u64,
    /// Answers that were given to the guest.
    pub datagrams_in: u64,
    /// Flows that there are now.
    pub flows: u64,
    /// Flows that made room for newer ones.
    pub evicted: u64,
    /// Packets to where the guest may not go; it got an error.
    pub refused: u64,
    /// Answers longer than a datagram can be.
    pub dropped_oversize: u64,
    /// Pings that the host could not send; the guest got an error.
    pub pings_unsent: u64,
}

/// The table of flows.
#[derive(Clone, Debug, Default)]
pub struct Flows {
    by_id: BTreeMap<FlowId, Flow>,
    by_ends: BTreeMap<Ends, FlowId>,
    by_age: BTreeSet<(u64, FlowId)>,
    id_next: u64,
    /// What has happened; its `flows` is filled in by [`Flows::counts`].
    pub counts: OutboundCounts,
}

impl Flows {
    /// What has happened, with the flows of now.
    pub fn counts(&self) -> OutboundCounts {
        OutboundCounts { flows: self.by_id.len() as u64, ..self.counts }
    }

    /// The flow of a datagram that the guest sends. Flows that end for it are added to `ended`.
    pub fn of(&mut self, now: u64, ends: Ends, asks: bool, ended: &mut Vec<FlowId>) -> FlowId {
        while let Some((used, id)) = self.by_age.first().copied()
            && (now.saturating_sub(used) >= FLOW_SILENT_NS)
        {
            self.forget(id, ended);
        }
        if let Some(id) = self.by_ends.get(&ends).copied() {
            let slow = self.by_id.get(&id).and_then(|flow| flow.asked);
            if asks && slow.is_some_and(|since| now.saturating_sub(since) >= RESOLVER_SLOW_NS) {
                // A new flow gets the next resolver.
                self.forget(id, ended);
            } else {
                self.touch(now, id, Some(now).filter(|_| asks));
                return id;
            }
        }
        if self.by_id.len() >= FLOWS_MAX
            && let Some((_, oldest)) = self.by_age.first().copied()
        {
            self.counts.evicted += 1;
            self.forget(oldest, ended);
        }
        let id = FlowId(self.id_next);
        self.id_next += 1;
        self.by_id.insert(id, Flow { ends, used: now, asked: asks.then_some(now) });
        self.by_ends.insert(ends, id);
        self.by_age.insert((now, id));
        id
    }

    /// Whose answer comes on this flow.
    pub fn answered(&mut self, now: u64, id: FlowId) -> Option<Ends> {
        let flow = self.by_id.get_mut(&id)?;
        flow.asked = None;
        let ends = flow.ends;
        self.touch(now, id, None);
        Some(ends)
    }

    fn touch(&mut self, now: u64, id: FlowId, asked: Option<u64>) {
        if let Some(flow) = self.by_id.get_mut(&id) {
            self.by_age.remove(&(flow.used, id));
            flow.used = now;
            flow.asked = flow.asked.or(asked);
            self.by_age.insert((now, id));
        }
    }

    fn forget(&mut self, id: FlowId, ended: &mut Vec<FlowId>) {
        if let Some(flow) = self.by_id.remove(&id) {
            self.by_ends.remove(&flow.ends);
            self.by_age.remove(&(flow.used, id));
            ended.push(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(n: u16) -> Ends {
        let (guest, remote) = (Ipv4Address::new(10, 0, 2, 15), Ipv4Address::new(192, 0, 2, 1));
        Ends { mac: Mac([2; 6]), guest: (guest, n), remote: (remote, 53) }
    }

    #[test]
    fn rules_parse_print_and_allow() {
        for text in ["192.0.2.0/24:443", "0.0.0.0/0", "192.0.2.7/32:1"] {
            assert_eq!(text.parse::<Outbound>().unwrap().to_string(), text);
        }
        let rule: Outbound = "192.0.2.0/24:443".parse().unwrap();
        assert!(rule.allows(Ipv4Address::new(192, 0, 2, 9), 443));
        assert!(!rule.allows(Ipv4Address::new(192, 0, 2, 9), 80));
        assert!(!rule.allows(Ipv4Address::new(192, 0, 3, 9), 443));
        assert!("192.0.2.7".parse::<Outbound>().unwrap().allows(Ipv4Address::new(192, 0, 2, 7), 1));
        for text in ["", "x", "192.0.2.0/33", "192.0.2.0/24:0", "192.0.2.0/24:70000", "::/0", "1.2.3/8"] {
            assert!(text.parse::<Outbound>().is_err(), "{text}");
        }
    }

    #[test]
    fn resolvers_are_read_as_everywhere() {
        let text = "# x\nsearch a\nnameserver 127.0.0.53\n nameserver ::1 # y\nnameserver bad\nnameserver 9.9.9.9\nnameserver 8.8.8.8";
        let found: Vec<_> = resolvers(text).iter().map(SocketAddr::to_string).collect();
        assert_eq!(found, ["127.0.0.53:53", "[::1]:53", "9.9.9.9:53"]);
    }

    #[test]
    fn flows_are_kept_while_used_and_bounded() {
        let (mut flows, mut ended) = (Flows::default(), vec![]);
        let id = flows.of(0, ends(1), false, &mut ended);
        assert_eq!(flows.of(FLOW_SILENT_NS - 1, ends(1), false, &mut ended), id);
        assert_eq!(flows.answered(FLOW_SILENT_NS, id), Some(ends(1)));
        flows.of(2 * FLOW_SILENT_NS, ends(2), false, &mut ended);
        assert_eq!(ended, [id]);
        assert_eq!(flows.answered(0, id), None);
        for n in 0..5000 {
            flows.of(2 * FLOW_SILENT_NS, ends(n), false, &mut ended);
        }
        assert_eq!((flows.by_id.len(), flows.by_ends.len(), flows.by_age.len()), (256, 256, 256));
        assert!(flows.counts().evicted > 4000);
    }

    #[test]
    fn a_resolver_that_does_not_answer_is_passed_over() {
        let (mut flows, mut ended) = (Flows::default(), vec![]);
        let id = flows.of(0, ends(1), true, &mut ended);
        assert_eq!(flows.of(RESOLVER_SLOW_NS / 2, ends(1), true, &mut ended), id);
        let next = flows.of(RESOLVER_SLOW_NS, ends(1), true, &mut ended);
        assert_ne!(next, id);
        flows.answered(RESOLVER_SLOW_NS, next);
        assert_eq!(flows.of(5 * RESOLVER_SLOW_NS, ends(1), true, &mut ended), next);
    }
}

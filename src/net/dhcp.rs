//! Addresses for guests that ask: a DHCP server for the virtual segment (RFC 2131, what clients use of it).
//!
//! The first that asks is *the* guest, 10.0.2.15, to which ports are forwarded; others get what follows.
//! An address belongs to an Ethernet address for as long as the switch lives, so a guest that a new node
//! runs keeps its own. A switch that is started anew knows no leases, so a guest that asks for the address it
//! holds gets it if no other has it. When all are leased no further guest gets one.

use std::collections::BTreeMap;

use smoltcp::wire::{
    DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr, EthernetAddress,
    Ipv4Address,
};

use super::ether::{self, Mac, Station};

/// Addresses given away, at most.
pub const LEASES_MAX: u8 = 32;
/// A day: a guest need not ask often, and addresses are not scarce.
const LEASE_S: u32 = 86_400;
const NETMASK: Ipv4Address = Ipv4Address::new(255, 255, 255, 0);
/// Options that smoltcp does not know by name.
const OPTION_DNS: u8 = 6;
const OPTION_MTU: u8 = 26;

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Frame(Vec<u8>),
    /// It asks for nothing, or something that is not a server's to answer.
    Nothing,
    /// All addresses are given away.
    Exhausted,
    Malformed,
}

#[derive(Clone, Debug, Default)]
pub struct Dhcp {
    leases: BTreeMap<Mac, Ipv4Address>,
}

impl Dhcp {
    /// Answers `payload`, a datagram from `source` to the server's port.
    pub fn answer(
        &mut self,
        server: Station,
        first: Ipv4Address,
        dns: Option<Ipv4Address>,
        source: Mac,
        payload: &[u8],
    ) -> Answer {
        let Ok(packet) = DhcpPacket::new_checked(payload) else { return Answer::Malformed };
        let Ok(asked) = DhcpRepr::parse(&packet) else { return Answer::Malformed };
        let client = Mac(asked.client_hardware_address.0);
        // A station asks for its own address only.
        if client != source {
            return Answer::Malformed;
        }
        if asked.server_identifier.is_some_and(|other| other != server.ip) {
            return Answer::Nothing;
        }
        let kind = match asked.message_type {
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            DhcpMessageType::Request => DhcpMessageType::Ack,
            _ => return Answer::Nothing,
        };
        let wanted = asked.requested_ip.or((!asked.client_ip.is_unspecified()).then_some(asked.client_ip));
        // A client that answers an offer names the server; one that does not has a lease, and renews it.
        let held = wanted.filter(|_| kind == DhcpMessageType::Ack && asked.server_identifier.is_none());
        let Some(address) = self.address_of(client, first, held) else { return Answer::Exhausted };
        let kind = if kind == DhcpMessageType::Ack && wanted.is_some_and(|wanted| wanted != address) {
            DhcpMessageType::Nak
        } else {
            kind
        };
        let given = kind != DhcpMessageType::Nak;
        let dns = dns.map(|dns| dns.octets());
        let mtu = 1500u16.to_be_bytes();
        let mut options = vec![DhcpOption { kind: OPTION_MTU, data: &mtu }];
        options.extend(dns.as_ref().map(|dns| DhcpOption { kind: OPTION_DNS, data: dns }));
        let reply = DhcpRepr {
            message_type: kind,
            transaction_id: asked.transaction_id,
            secs: 0,
            client_hardware_address: EthernetAddress(client.0),
            client_ip: if given { asked.client_ip } else { Ipv4Address::UNSPECIFIED },
            your_ip: if given { address } else { Ipv4Address::UNSPECIFIED },
            server_ip: server.ip,
            router: given.then_some(server.ip),
            subnet_mask: given.then_some(NETMASK),
            relay_agent_ip: Ipv4Address::UNSPECIFIED,
            broadcast: asked.broadcast,
            requested_ip: None,
            client_identifier: None,
            server_identifier: Some(server.ip),
            parameter_request_list: None,
            dns_servers: None,
            max_size: None,
            lease_duration: given.then_some(LEASE_S),
            renew_duration: None,
            rebind_duration: None,
            additional_options: if given { &options } else { &[] },
        };
        let mut bytes = vec![0; reply.buffer_len()];
        if reply.emit(&mut DhcpPacket::new_unchecked(&mut bytes[..])).is_err() {
            return Answer::Nothing;
        }
        let broadcast = asked.broadcast || !given;
        let to = Station {
            mac: if broadcast { Mac::BROADCAST } else { client },
            ip: if asked.client_ip.is_unspecified() { Ipv4Address::BROADCAST } else { asked.client_ip },
        };
        Answer::Frame(ether::udp(server, DHCP_SERVER_PORT, to, DHCP_CLIENT_PORT, &bytes))
    }

    /// `holder` uses `address` without having asked: it is leased to no other, unless it is leased already.
    pub fn note_holder(&mut self, holder: Mac, address: Ipv4Address) {
        if !self.leases.contains_key(&holder) && self.leases.values().all(|given| *given != address) {
            self.leases.insert(holder, address);
        }
    }

    /// Ends the leases of those for whom `stays` is false.
    pub fn keep_leases(&mut self, stays: impl Fn(Mac) -> bool) {
        self.leases.retain(|client, _| stays(*client));
    }

    /// The client's address; a new client's is the one that it held before, or else the first that is free.
    fn address_of(
        &mut self,
        client: Mac,
        first: Ipv4Address,
        held: Option<Ipv4Address>,
    ) -> Option<Ipv4Address> {
        if let Some(address) = self.leases.get(&client) {
            return Some(*address);
        }
        if !client.is_station() {
            return None;
        }
        let mut free = (0..u32::from(LEASES_MAX))
            .map(|n| Ipv4Address::from_bits(first.to_bits() + n))
            .filter(|address| self.leases.values().all(|given| given != address));
        let address = match held {
            Some(held) => free.clone().find(|address| *address == held).or_else(|| free.next()),
            None => free.next(),
        }?;
        self.leases.insert(client, address);
        Some(address)
    }
}

#[cfg(test)]
mod tests {
    use smoltcp::wire::{EthernetFrame, Ipv4Packet, UdpPacket};

    use super::*;

    const SERVER: Station = Station { mac: Mac([2, 0, 0, 0, 0, 2]), ip: Ipv4Address::new(10, 0, 2, 2) };
    const FIRST: Ipv4Address = Ipv4Address::new(10, 0, 2, 15);
    const DNS: Ipv4Address = Ipv4Address::new(10, 0, 2, 3);

    fn message(kind: DhcpMessageType, mac: Mac, requested_ip: Option<Ipv4Address>) -> Vec<u8> {
        let repr = DhcpRepr {
            message_type: kind,
            transaction_id: 77,
            secs: 1,
            client_hardware_address: EthernetAddress(mac.0),
            client_ip: Ipv4Address::UNSPECIFIED,
            your_ip: Ipv4Address::UNSPECIFIED,
            server_ip: Ipv4Address::UNSPECIFIED,
            router: None,
            subnet_mask: None,
            relay_agent_ip: Ipv4Address::UNSPECIFIED,
            broadcast: false,
            requested_ip,
            client_identifier: None,
            server_identifier: None,
            parameter_request_list: Some(&[1, 3, 6]),
            dns_servers: None,
            max_size: None,
            lease_duration: None,
            renew_duration: None,
            rebind_duration: None,
            additional_options: &[],
        };
        let mut bytes = vec![0; repr.buffer_len()];
        repr.emit(&mut DhcpPacket::new_unchecked(&mut bytes[..])).unwrap();
        bytes
    }

    fn ask(dhcp: &mut Dhcp, mac: Mac, bytes: &[u8]) -> (DhcpMessageType, Ipv4Address) {
        let Answer::Frame(frame) = dhcp.answer(SERVER, FIRST, Some(DNS), mac, bytes) else {
            panic!("no answer")
        };
        let (to, _) = ether::addresses(&frame).unwrap();
        let frame = EthernetFrame::new_checked(&frame[..]).unwrap();
        let packet = Ipv4Packet::new_checked(frame.payload()).unwrap();
        assert_eq!(packet.dst_addr(), Ipv4Address::BROADCAST);
        let udp = UdpPacket::new_checked(packet.payload()).unwrap();
        assert_eq!((udp.src_port(), udp.dst_port()), (67, 68));
        let packet = DhcpPacket::new_checked(udp.payload()).unwrap();
        let repr = DhcpRepr::parse(&packet).unwrap();
        assert_eq!((repr.transaction_id, repr.server_identifier), (77, Some(SERVER.ip)));
        // RFC 2131: a client that is refused an address may have none to be reached at.
        let refused = repr.message_type == DhcpMessageType::Nak;
        assert_eq!(to, if refused { Mac::BROADCAST } else { mac });
        if !refused {
            assert_eq!((repr.router, repr.subnet_mask), (Some(SERVER.ip), Some(NETMASK)));
            assert_eq!(repr.dns_servers.unwrap()[..], [DNS]);
        }
        (repr.message_type, repr.your_ip)
    }

    #[test]
    fn a_guest_gets_the_address_that_ports_are_forwarded_to_and_keeps_it() {
        let (mut dhcp, one, other) = (Dhcp::default(), Mac([2, 0, 0, 0, 1, 1]), Mac([2, 0, 0, 0, 1, 2]));
        let offer = ask(&mut dhcp, one, &message(DhcpMessageType::Discover, one, None));
        assert_eq!(offer, (DhcpMessageType::Offer, FIRST));
        let ack = ask(&mut dhcp, one, &message(DhcpMessageType::Request, one, Some(FIRST)));
        assert_eq!(ack, (DhcpMessageType::Ack, FIRST));
        let second = ask(&mut dhcp, other, &message(DhcpMessageType::Discover, other, Some(FIRST)));
        assert_eq!(second, (DhcpMessageType::Offer, Ipv4Address::new(10, 0, 2, 16)));
        let theft = ask(&mut dhcp, other, &message(DhcpMessageType::Request, other, Some(FIRST)));
        assert_eq!(theft, (DhcpMessageType::Nak, Ipv4Address::UNSPECIFIED));
        assert_eq!(ask(&mut dhcp, one, &message(DhcpMessageType::Request, one, Some(FIRST))), ack);
    }

    #[test]
    fn who_holds_a_lease_of_an_earlier_switch_keeps_it() {
        let (mut dhcp, guest, other) = (Dhcp::default(), Mac([2, 0, 0, 0, 1, 1]), Mac([2, 0, 0, 0, 1, 2]));
        let second = Ipv4Address::new(10, 0, 2, 16);
        let renew = |mac, address| message(DhcpMessageType::Request, mac, Some(address));
        // The second guest is the first to ask the new switch.
        assert_eq!(ask(&mut dhcp, other, &renew(other, second)), (DhcpMessageType::Ack, second));
        assert_eq!(ask(&mut dhcp, guest, &renew(guest, FIRST)), (DhcpMessageType::Ack, FIRST));
        // What is another's, or not ours to give, is refused.
        for (n, wanted) in [FIRST, second, Ipv4Address::new(10, 0, 2, 2), Ipv4Address::new(10, 0, 2, 47)]
            .into_iter()
            .enumerate()
        {
            let thief = Mac([2, 0, 0, 0, 2, n as u8]);
            let answer = ask(&mut dhcp, thief, &renew(thief, wanted));
            assert_eq!(answer, (DhcpMessageType::Nak, Ipv4Address::UNSPECIFIED), "{wanted}");
        }
    }

    #[test]
    fn those_who_ask_under_many_names_get_a_bounded_number_of_addresses() {
        let mut dhcp = Dhcp::default();
        for n in 0..1000u16 {
            let [high, low] = n.to_be_bytes();
            let mac = Mac([2, 0, 0, 0, high, low]);
            let message = message(DhcpMessageType::Discover, mac, None);
            let answer = dhcp.answer(SERVER, FIRST, None, mac, &message);
            assert_eq!(answer == Answer::Exhausted, n >= u16::from(LEASES_MAX), "{n}");
            assert_eq!(dhcp.answer(SERVER, FIRST, None, Mac([4; 6]), &message), Answer::Malformed);
            for cut in [0, 20, 239, 241, message.len() - 1] {
                drop(dhcp.answer(SERVER, FIRST, None, mac, &message[..cut]));
            }
        }
        assert_eq!(dhcp.leases.len(), usize::from(LEASES_MAX));
    }

    #[test]
    fn an_address_in_use_is_not_given_away_until_its_holder_is_gone() {
        let (old, new) = (Mac([2; 6]), Mac([4; 6]));
        let mut dhcp = Dhcp::default();
        dhcp.note_holder(old, FIRST);
        assert_eq!(dhcp.address_of(new, FIRST, None), Some(Ipv4Address::new(10, 0, 2, 16)));
        dhcp.note_holder(new, FIRST);
        assert_eq!(dhcp.address_of(new, FIRST, None), Some(Ipv4Address::new(10, 0, 2, 16)));
        dhcp.keep_leases(|client| client == Mac([6; 6]));
        assert_eq!(dhcp.address_of(new, FIRST, None), Some(FIRST));
    }
}

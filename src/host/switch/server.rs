//! The poll loop of the switch process.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use thiserror::Error;

use super::clients::{ClientCounts, Clients, raise_descriptor_limit};
use super::conn::{Conn, Heard, OUT_BYTES_MAX};
use super::outlets::Outlets;
use super::uplink::{Uplink, UplinkError, UplinkReport, UplinkSpec};
use super::watch::Watch;
use crate::ft::Arbiter;
use crate::host::say::say;
use crate::host::stop::Stop;
use crate::net::gateway::GatewayConfig;
use crate::net::switch::{PEERS_MAX, SwitchStatus};
use crate::net::{
    CloseWhy, Command, Forward, HostAction, Outbound, PeerId, Proto, SECOND_NS, Switch, SwitchConfig,
};

/// Datagrams taken from one forwarded port before the others get their turn.
const DATAGRAMS_AT_ONCE: usize = 64;
/// How much the kernel may hold of what clients send while we are busy.
const UDP_RECEIVE_BYTES: usize = 1 << 20;
/// After the kernel refused a connection (no descriptors), others are accepted this much later.
const ACCEPT_PAUSE_NS: u64 = SECOND_NS / 10;
/// How often clients and guest are served before frames are sent.
const CLIENT_ROUNDS: usize = 4;
/// Connections that only wait for their last message to be taken.
const LINGERING_MAX: usize = 128;
/// Connections accepted before those that are established get their turn again.
const ACCEPTS_AT_ONCE: usize = 32;
/// Connections of one address that have not identified themselves; the oldest gives way to the newest. More
/// than are accepted at once, so that each is read before it could have to give way.
const NEWCOMERS_PER_ADDRESS_MAX: usize = 2 * ACCEPTS_AT_ONCE;
/// Connections of all addresses that have not identified themselves; the same.
const NEWCOMERS_MAX: usize = 2 * NEWCOMERS_PER_ADDRESS_MAX;
/// VMs' connections from one address: those that the others may always have are kept free.
const PEERS_PER_ADDRESS_MAX: usize = PEERS_MAX / 4 * 3;
/// Connections that the kernel holds until we accept them: a flood must not make it turn away a successor.
const BACKLOG: i32 = 1024;

/// Why a switch could not be started.
#[derive(Debug, Error)]
pub enum BindError {
    /// The address for VMs is in use, or not this host's.
    #[error("cannot listen for VMs at {at}: {error}")]
    Listen {
        /// The address.
        at: SocketAddr,
        /// The kernel's error.
        error: io::Error,
    },
    /// The host's end of a port forward could not be opened.
    #[error("cannot open {forward}: {error}")]
    Forward {
        /// The forward.
        forward: Forward,
        /// The kernel's error.
        error: io::Error,
    },
    /// The network interface that frames are to leave by could not be used.
    #[error(transparent)]
    Uplink(#[from] UplinkError),
    /// The kernel refused a descriptor that every switch needs.
    #[error("the kernel does not give what a switch needs: {error}")]
    Kernel {
        /// Its error.
        error: io::Error,
    },
}

/// What a switch is asked for.
#[derive(Clone, Debug, Default)]
pub struct SwitchOptions {
    /// The host's ports that lead to the guest.
    pub forwards: Vec<Forward>,
    /// What the guest may reach beyond its segment.
    pub outbound: Vec<Outbound>,
    /// The resolvers for the guest's DNS queries; none when empty.
    pub resolvers: Vec<SocketAddr>,
    /// Where the VMs' frames go instead of the gateway.
    pub uplink: Option<UplinkSpec>,
}

/// What the switch did.
#[derive(Clone, Debug, Serialize)]
pub struct SwitchReport {
    /// What the switch itself counts.
    #[serde(flatten)]
    pub switch: SwitchStatus,
    /// Datagrams for clients that the kernel did not take.
    pub datagrams_unsent: u64,
    /// Connections that the kernel could not give us.
    pub accept_failures: u64,
    /// Connections closed without a message because too many came, from one address or from all.
    pub turned_away: u64,
    /// How the uplink fared, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uplink_wire: Option<UplinkReport>,
    /// TCP clients of forwarded ports.
    pub clients: ClientCounts,
}

/// The switch with all its sockets open.
pub struct SwitchServer {
    listener: TcpListener,
    /// By the number of the forward.
    datagrams: BTreeMap<usize, UdpSocket>,
    clients: Clients,
    outlets: Outlets,
    uplink: Option<Uplink>,
    claims: Option<Watch>,
    /// The version of the VMs' names that the arbiter is asked for.
    watched: u64,
    switch: Switch,
    conns: BTreeMap<PeerId, Conn>,
    peer_next: u64,
    started: Instant,
    commands: Vec<Command>,
    scratch: Vec<u8>,
    accept_after: u64,
    datagrams_unsent: u64,
    accept_failures: u64,
    turned_away: u64,
}

/// What `poll` found, in the order of the descriptors.
struct Ready {
    stop: bool,
    accept: bool,
    clients: bool,
    outlets: bool,
    datagrams: Vec<usize>,
    uplink: bool,
    claims: bool,
    conns: Vec<(PeerId, PollFlags)>,
}

impl SwitchServer {
    /// Opens every socket. Port 0 takes any free port: see [`local_addr`](Self::local_addr).
    pub fn bind(listen: SocketAddr, forwards: Vec<Forward>) -> Result<Self, BindError> {
        Self::open(listen, SwitchOptions { forwards, ..SwitchOptions::default() })
    }

    /// The same with everything that can be asked for.
    pub fn open(listen: SocketAddr, options: SwitchOptions) -> Result<Self, BindError> {
        let SwitchOptions { forwards, outbound, resolvers, uplink } = options;
        let listener = TcpListener::bind(listen)
            .and_then(|listener| {
                listener.set_nonblocking(true)?;
                rustix::net::listen(&listener, BACKLOG)?;
                Ok(listener)
            })
            .map_err(|error| BindError::Listen { at: listen, error })?;
        raise_descriptor_limit();
        let kernel = |error| BindError::Kernel { error };
        let (mut datagrams, mut clients) = (BTreeMap::new(), Clients::new().map_err(kernel)?);
        for (index, forward) in forwards.iter().enumerate() {
            let opened = match forward.proto {
                Proto::Tcp => clients.listen(index, forward.listen),
                Proto::Udp => open_udp(forward.listen).map(|socket| drop(datagrams.insert(index, socket))),
            };
            opened.map_err(|error| BindError::Forward { forward: *forward, error })?;
        }
        let mut seed = [0; 8];
        rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())
            .map_err(|error| kernel(error.into()))?;
        let seed = u64::from_le_bytes(seed);
        let gateway = GatewayConfig { seed, outbound, resolvers, ..GatewayConfig::with_forwards(forwards) };
        let outlets = Outlets::new().map_err(kernel)?;
        Ok(Self {
            listener,
            datagrams,
            clients,
            outlets,
            switch: Switch::new(SwitchConfig { gateway, uplink: uplink.is_some() }),
            uplink: uplink.map(Uplink::open).transpose()?,
            claims: None,
            watched: 0,
            conns: BTreeMap::new(),
            peer_next: 1,
            started: Instant::now(),
            commands: Vec::new(),
            scratch: vec![0; 64 << 10],
            accept_after: 0,
            datagrams_unsent: 0,
            accept_failures: 0,
            turned_away: 0,
        })
    }

    /// Lets the switch learn from `arbiter` of claims that are announced at another switch.
    pub fn watch_claims(&mut self, arbiter: Box<dyn Arbiter>) -> io::Result<()> {
        self.claims = Some(Watch::start(arbiter)?);
        self.switch.expect_arbiter();
        Ok(())
    }

    /// Where VMs attach.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where the clients of the `index`-th forward send to.
    pub fn forward_addr(&self, index: usize) -> io::Result<SocketAddr> {
        match self.datagrams.get(&index) {
            Some(socket) => socket.local_addr(),
            None => self.clients.local_addr(index).ok_or(ErrorKind::NotFound)?,
        }
    }

    /// What it did so far.
    pub fn report(&self) -> SwitchReport {
        SwitchReport {
            switch: self.switch.status(),
            datagrams_unsent: self.datagrams_unsent,
            accept_failures: self.accept_failures,
            turned_away: self.turned_away,
            uplink_wire: self.uplink.as_ref().map(Uplink::report),
            clients: self.clients.counts(),
        }
    }

    /// Serves until `stop`. An error is one of `poll` itself: nothing that a peer can cause.
    pub fn run(&mut self, stop: &Stop) -> io::Result<SwitchReport> {
        loop {
            let ready = self.wait(stop)?;
            if ready.stop {
                return Ok(self.report());
            }
            let now = self.now();
            for (peer, flags) in ready.conns {
                if flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                    self.hear(now, peer);
                }
            }
            if ready.uplink {
                self.hear_uplink(now);
            }
            self.hear_claims(now, ready.claims);
            for forward in ready.datagrams {
                self.take_datagrams(now, forward);
            }
            if ready.clients {
                self.clients.wake();
            }
            if ready.outlets {
                let (switch, commands) = (&mut self.switch, &mut self.commands);
                let each = |flow, bytes: &[u8]| switch.flow_datagram(now, flow, bytes, commands);
                self.outlets.hear(&mut self.scratch, each);
            }
            if ready.accept {
                self.accept(now);
            }
            if self.uplink.as_mut().is_some_and(|uplink| uplink.tick(now)) {
                self.switch.uplink_opened(now, &mut self.commands);
            }
            self.serve_clients(now);
            self.part_from_the_stuck(now);
            self.obey(now);
            self.fetch_and_flush(now);
        }
    }

    /// Moves bytes between clients and the guest's connections, and sends what comes of it. First the
    /// clients: what they took widens the windows that are announced.
    fn serve_clients(&mut self, now: u64) {
        for _ in 0..CLIENT_ROUNDS {
            let moved = self.clients.serve(now, &mut self.switch, &mut self.commands);
            self.switch.tick(now, &mut self.commands);
            if !moved {
                break;
            }
        }
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    /// Sleeps until something happens or is due.
    fn wait(&self, stop: &Stop) -> io::Result<Ready> {
        let now = self.now();
        let accepting = now >= self.accept_after;
        let mut fds = vec![PollFd::new(stop, PollFlags::IN)];
        let listening = if accepting { PollFlags::IN } else { PollFlags::empty() };
        fds.push(PollFd::new(&self.listener, listening));
        fds.push(PollFd::new(&self.clients, PollFlags::IN));
        fds.push(PollFd::new(&self.outlets, PollFlags::IN));
        fds.extend(self.datagrams.values().map(|socket| PollFd::new(socket, PollFlags::IN)));
        let wire = self.uplink.as_ref().and_then(Uplink::interest);
        fds.extend(wire.map(|(fd, writing)| {
            PollFd::from_borrowed_fd(
                fd,
                PollFlags::IN | if writing { PollFlags::OUT } else { PollFlags::empty() },
            )
        }));
        let has_wire = wire.is_some();
        fds.extend(
            self.claims.as_ref().map(|claims| PollFd::from_borrowed_fd(claims.as_fd(), PollFlags::IN)),
        );
        for conn in self.conns.values() {
            let writing = if conn.waiting() > 0 { PollFlags::OUT } else { PollFlags::empty() };
            fds.push(PollFd::from_borrowed_fd(conn.as_fd(), PollFlags::IN | writing));
        }
        let at_once = self.switch.clients_wait().then_some(now);
        let deadlines = self.conns.values().filter_map(Conn::deadline).chain(self.switch.next_deadline());
        let deadlines = deadlines.chain(self.clients.deadline()).chain(at_once);
        let deadlines = deadlines.chain(self.uplink.as_ref().and_then(Uplink::deadline));
        let deadline =
            deadlines.chain((!accepting).then_some(self.accept_after.max(now + ACCEPT_PAUSE_NS))).min();
        let timeout = deadline.map(|deadline| {
            let ns = deadline.saturating_sub(now);
            Timespec { tv_sec: (ns / SECOND_NS) as i64, tv_nsec: (ns % SECOND_NS) as i64 }
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut flags = fds.iter().map(PollFd::revents);
        let mut ready = |()| !flags.next().unwrap_or(PollFlags::empty()).is_empty();
        let (stop, accept, clients, outlets) = (ready(()), ready(()), ready(()), ready(()));
        let datagrams = self.datagrams.keys().copied().filter(|_| ready(())).collect();
        let uplink = has_wire && ready(());
        let claims = self.claims.is_some() && ready(());
        let conns = self.conns.keys().copied().zip(flags).filter(|(_, flags)| !flags.is_empty()).collect();
        Ok(Ready { stop, accept, clients, outlets, datagrams, uplink, claims, conns })
    }

    /// Accepts a bounded number of new connections, and reads at once what they have sent: a peer that
    /// identifies itself, as nodes do with their first segment, is no newcomer any more when the next ones
    /// come.
    fn accept(&mut self, now: u64) {
        for _ in 0..ACCEPTS_AT_ONCE {
            let accepted = match self.listener.accept() {
                Ok((stream, from)) => Conn::new(stream, from.ip().to_canonical(), now),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let Ok(conn) = accepted else {
                self.accept_failures += 1;
                self.accept_after = now + ACCEPT_PAUSE_NS;
                break;
            };
            let address = conn.address;
            if self.attached().filter(|(_, conn)| conn.address == address).count() >= PEERS_PER_ADDRESS_MAX {
                // Dropped without a message: messages, and waiting until they are read, are what a flood would cost.
                self.turned_away += 1;
                continue;
            }
            self.make_room(address);
            let peer = PeerId(self.peer_next);
            self.peer_next += 1;
            self.conns.insert(peer, conn);
            self.switch.opened(peer, &mut self.commands);
            self.hear(now, peer);
        }
    }

    fn attached(&self) -> impl Iterator<Item = (&PeerId, &Conn)> {
        self.conns.iter().filter(|(peer, conn)| !conn.is_finished() && !self.switch.is_fresh(**peer))
    }

    /// Closes the oldest newcomer where there are too many, of `address` or of all, and the oldest connection
    /// that only waits for its last message to be taken.
    fn make_room(&mut self, address: IpAddr) {
        let newcomers = self.conns.iter().filter(|(peer, _)| self.switch.is_fresh(**peer));
        let (of_all, of_it): (Vec<_>, Vec<_>) =
            newcomers.map(|(peer, conn)| (*peer, conn.address)).partition(|(_, other)| *other != address);
        let oldest = match (of_it.first(), of_all.first()) {
            (Some((peer, _)), _) if of_it.len() >= NEWCOMERS_PER_ADDRESS_MAX => Some(*peer),
            (mine, others) if of_it.len() + of_all.len() >= NEWCOMERS_MAX => {
                mine.into_iter().chain(others).map(|(peer, _)| *peer).min()
            }
            _ => None,
        };
        if let Some(peer) = oldest {
            self.turned_away += 1;
            self.switch.closed(peer);
            self.conns.remove(&peer);
        }
        let lingering = self.conns.iter().filter(|(_, conn)| conn.is_finished());
        let lingering: Vec<PeerId> = lingering.map(|(peer, _)| *peer).collect();
        if lingering.len() >= LINGERING_MAX {
            self.conns.remove(&lingering[0]);
        }
    }

    fn hear(&mut self, now: u64, peer: PeerId) {
        let Some(conn) = self.conns.get_mut(&peer) else { return };
        let (switch, commands) = (&mut self.switch, &mut self.commands);
        match conn.hear(now, &mut self.scratch, |message| switch.message(now, peer, message, commands)) {
            Heard::Enough => {}
            Heard::Gone => {
                switch.closed(peer);
                self.conns.remove(&peer);
            }
            Heard::Garbage(error) => switch.garbage(peer, &error, commands),
        }
        self.obey(now);
    }

    fn hear_uplink(&mut self, now: u64) {
        let Some(uplink) = &mut self.uplink else { return };
        let switch = &mut self.switch;
        uplink.hear(now, &mut self.scratch, |frame| switch.uplink_frame(now, frame));
    }

    fn hear_claims(&mut self, now: u64, news: bool) {
        let Some(claims) = &self.claims else { return };
        if news {
            for (name, generation) in claims.take() {
                self.switch.claimed(now, &name, generation);
            }
        }
        if self.switch.names_version() != self.watched {
            self.watched = self.switch.names_version();
            claims.ask_for(self.switch.vm_names());
        }
    }

    fn take_datagrams(&mut self, now: u64, forward: usize) {
        for _ in 0..DATAGRAMS_AT_ONCE {
            match self.datagrams[&forward].recv_from(&mut self.scratch) {
                Ok((n, client)) => {
                    let bytes = &self.scratch[..n];
                    self.switch.datagram(now, forward, client, bytes, &mut self.commands);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.obey(now);
    }

    /// Carries out what the switch wants.
    fn obey(&mut self, now: u64) {
        let mut commands = std::mem::take(&mut self.commands);
        for command in commands.drain(..) {
            match command {
                Command::Send(peer, message) => {
                    if let Some(conn) = self.conns.get_mut(&peer).filter(|conn| !conn.is_finished()) {
                        conn.push(&message);
                    }
                }
                Command::Close(peer, _) => {
                    if let Some(conn) = self.conns.get_mut(&peer) {
                        conn.finish(now);
                        if conn.flush().is_err() {
                            self.conns.remove(&peer);
                        }
                    }
                }
                Command::Host(action) => self.act(now, action),
                Command::ToUplink(frame) => {
                    if let Some(uplink) = &mut self.uplink {
                        uplink.send(now, &frame);
                    }
                }
                Command::Tell(text) => say!("switch: {text}"),
            }
        }
        // A connection that could not even be begun has an answer at once; it waits for the next turn.
        commands.append(&mut self.commands);
        self.commands = commands;
    }

    fn act(&mut self, now: u64, action: HostAction) {
        match action {
            HostAction::ToClient { forward, client, bytes } => {
                let sent = self.datagrams.get(&forward).map(|socket| socket.send_to(&bytes, client));
                if !matches!(sent, Some(Ok(_))) {
                    self.datagrams_unsent += 1;
                }
            }
            HostAction::Dial { conn, to } => {
                self.clients.dial(now, conn, to, &mut self.switch, &mut self.commands);
            }
            HostAction::Out { flow, to, bytes } => {
                self.datagrams_unsent += u64::from(self.outlets.send(flow, to, &bytes).is_err());
            }
            HostAction::Ping { flow, to, bytes } => {
                if self.outlets.ping(flow, to, &bytes).is_err() {
                    self.switch.ping_failed(now, flow, &bytes, &mut self.commands);
                }
            }
            HostAction::EndFlow { flow } => self.outlets.end(flow),
        }
    }

    fn part_from_the_stuck(&mut self, now: u64) {
        let stuck = |conn: &Conn| conn.is_stuck(now) || conn.waiting() > OUT_BYTES_MAX;
        let peers: Vec<PeerId> = self.conns.iter().filter(|(_, c)| stuck(c)).map(|(peer, _)| *peer).collect();
        for peer in peers {
            let conn = &self.conns[&peer];
            if conn.is_finished() {
                self.conns.remove(&peer);
            } else {
                let why = if conn.is_stuck(now) { CloseWhy::Stalled } else { CloseWhy::SlowReader };
                self.switch.fail(peer, why, &mut self.commands);
            }
        }
    }

    /// Gives every VM the frames that its socket has room for, and writes what waits.
    fn fetch_and_flush(&mut self, now: u64) {
        let with_frames: Vec<PeerId> = self.switch.peers_with_frames().collect();
        for peer in with_frames {
            let Some(conn) = self.conns.get_mut(&peer) else { continue };
            // Once bytes wait, `poll` reports when to go on; until then it is up to us.
            let mut more = true;
            while more && conn.wants_frames() {
                while more && conn.wants_frames() {
                    match self.switch.next_frame(peer) {
                        Some((rx_seq, frame)) => conn.push_frame(rx_seq, frame),
                        None => more = false,
                    }
                }
                if conn.flush().is_err() {
                    self.switch.closed(peer);
                    self.conns.remove(&peer);
                    break;
                }
                more &= conn.waiting() == 0;
            }
        }
        let writers = self.conns.iter_mut().filter(|(_, conn)| conn.waiting() > 0);
        let gone: Vec<PeerId> =
            writers.filter_map(|(peer, conn)| conn.flush().is_err().then_some(*peer)).collect();
        for peer in gone {
            self.switch.closed(peer);
            self.conns.remove(&peer);
        }
        self.obey(now);
    }
}

fn open_udp(at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(at)?;
    socket.set_nonblocking(true)?;
    rustix::net::sockopt::set_socket_recv_buffer_size(&socket, UDP_RECEIVE_BYTES)?;
    Ok(socket)
}

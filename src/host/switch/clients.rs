//! TCP clients of forwarded ports: the host's half of each connection.
//!
//! One epoll descriptor holds them all, edge-triggered: [`Clients`] remembers what each may do, and
//! [`Clients::serve`] moves bytes between its stream and the connection's rings until one of the two
//! has no more or takes no more. It sleeps in the server's one `poll`, as one descriptor.
//!
//! What a client sees is what the guest did: a refused or reset connection is reset, a finished
//! direction is finished. The kernel's own buffers are held small, so that what was acknowledged to a
//! client is bounded and a client that does not read is felt by the guest.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde::Serialize;

use crate::net::tcp::{End, Phase};
use crate::net::{Command, ConnId, SECOND_NS, Switch};

/// How much the kernel holds for a client in each direction; it takes twice that in memory.
const KERNEL_BYTES: usize = 256 << 10;
/// Connections that the kernel holds until we accept them.
const BACKLOG: i32 = 1024;
/// Connections accepted from one port before the others get their turn.
const ACCEPTS_AT_ONCE: usize = 64;
/// Events taken from the kernel at once.
const EVENTS_AT_ONCE: usize = 256;
/// After the kernel refused a connection (no descriptors), others are accepted this much later.
const ACCEPT_PAUSE_NS: u64 = SECOND_NS / 10;
/// Marks the number of a listening port among the numbers of connections.
const LISTENER: u64 = 1 << 63;
const STREAM_EVENTS: epoll::EventFlags = epoll::EventFlags::IN
    .union(epoll::EventFlags::OUT)
    .union(epoll::EventFlags::RDHUP)
    .union(epoll::EventFlags::ET);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClientCounts {
    pub accepted: u64,
    /// Connections that the kernel could not give us.
    pub accept_failures: u64,
    /// Reset at once: too many connections.
    pub refused: u64,
}

struct Client {
    stream: TcpStream,
    /// We connect it for the guest, and it is not connected yet.
    dialing: bool,
    /// There may be something to read; false once the kernel said that there is not.
    readable: bool,
    writable: bool,
    /// Its last byte is on the way, or has been read.
    hung_up: bool,
    /// All that it sent has been read.
    finished: bool,
    /// It has been informed that the guest sends no more.
    told_end: bool,
    failed: bool,
}

pub struct Clients {
    epoll: OwnedFd,
    /// By the number of the forward.
    listeners: BTreeMap<usize, TcpListener>,
    streams: BTreeMap<ConnId, Client>,
    /// Connections to be looked at.
    wanted: Vec<ConnId>,
    /// The kernel has something for us.
    woken: bool,
    /// Listeners that rest since an accept failed, and until when.
    resting: Option<u64>,
    counts: ClientCounts,
}

impl Clients {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            listeners: BTreeMap::new(),
            streams: BTreeMap::new(),
            wanted: Vec::new(),
            woken: false,
            resting: None,
            counts: ClientCounts::default(),
        })
    }

    /// Listens for clients of the `forward`-th forward.
    pub fn listen(&mut self, forward: usize, at: SocketAddr) -> io::Result<()> {
        let listener = TcpListener::bind(at)?;
        listener.set_nonblocking(true)?;
        // Inherited by the connections; to be set before the first.
        sockopt::set_socket_recv_buffer_size(&listener, KERNEL_BYTES)?;
        sockopt::set_socket_send_buffer_size(&listener, KERNEL_BYTES)?;
        rustix::net::listen(&listener, BACKLOG)?;
        let data = epoll::EventData::new_u64(LISTENER | forward as u64);
        epoll::add(&self.epoll, &listener, data, epoll::EventFlags::IN)?;
        self.listeners.insert(forward, listener);
        Ok(())
    }

    pub fn local_addr(&self, forward: usize) -> Option<io::Result<SocketAddr>> {
        self.listeners.get(&forward).map(TcpListener::local_addr)
    }

    pub fn counts(&self) -> ClientCounts {
        self.counts
    }

    /// When [`serve`](Self::serve) has something to do although no descriptor is ready.
    pub fn deadline(&self) -> Option<u64> {
        self.resting
    }

    /// The descriptor was ready: the next [`serve`](Self::serve) asks the kernel what for.
    pub fn wake(&mut self) {
        self.woken = true;
    }

    /// Takes what the kernel has, and does for every connection what it and its client allow. True when
    /// something was done that the switch should see.
    pub fn serve(&mut self, now: u64, switch: &mut Switch, out: &mut Vec<Command>) -> bool {
        if self.resting.is_some_and(|until| now >= until) {
            self.resting = None;
            self.woken = true;
            self.listen_to_listeners(epoll::EventFlags::IN);
        }
        if std::mem::take(&mut self.woken) {
            self.take_events(now, switch);
        }
        switch.tcp().take_changed(&mut self.wanted);
        let wanted = std::mem::take(&mut self.wanted);
        let any = !wanted.is_empty();
        for id in &wanted {
            self.conclude_dial(now, *id, switch, out);
            self.attend(*id, switch);
        }
        self.wanted = wanted;
        self.wanted.clear();
        any
    }

    fn take_events(&mut self, now: u64, switch: &mut Switch) {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut events = Vec::with_capacity(EVENTS_AT_ONCE);
        // An interrupted call is made again when the loop comes round.
        if epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&at_once)).is_err() {
            return;
        }
        for event in events {
            let (number, flags) = (event.data.u64(), event.flags);
            if number & LISTENER != 0 {
                self.accept(now, (number & !LISTENER) as usize, switch);
                continue;
            }
            let id = ConnId(number);
            let Some(client) = self.streams.get_mut(&id) else { continue };
            let ended = epoll::EventFlags::RDHUP | epoll::EventFlags::HUP;
            client.readable |= flags.intersects(epoll::EventFlags::IN | ended);
            client.writable |= flags.intersects(epoll::EventFlags::OUT);
            client.hung_up |= flags.intersects(ended);
            client.failed |= flags.intersects(epoll::EventFlags::ERR);
            self.wanted.push(id);
        }
    }

    fn accept(&mut self, now: u64, forward: usize, switch: &mut Switch) {
        for _ in 0..ACCEPTS_AT_ONCE {
            let Some(listener) = self.listeners.get(&forward) else { return };
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error)
                    if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) =>
                {
                    continue;
                }
                Err(_) => {
                    // Level-triggered, it would be tried again at once and for ever.
                    self.counts.accept_failures += 1;
                    self.resting = Some(now + ACCEPT_PAUSE_NS);
                    self.listen_to_listeners(epoll::EventFlags::empty());
                    return;
                }
            };
            self.counts.accepted += 1;
            if let Err(stream) = self.admit(now, forward, stream, switch) {
                self.counts.refused += 1;
                reset(stream);
            }
        }
    }

    /// Opens the guest's side for a client; gives the stream back when it cannot be had.
    fn admit(
        &mut self,
        now: u64,
        forward: usize,
        stream: TcpStream,
        switch: &mut Switch,
    ) -> Result<(), TcpStream> {
        let prepared = stream
            .set_nonblocking(true)
            .and_then(|()| stream.set_nodelay(true))
            .and_then(|()| Ok(sockopt::set_socket_keepalive(&stream, true)?));
        if prepared.is_err() {
            return Err(stream);
        }
        let Ok(id) = switch.connect(now, forward) else { return Err(stream) };
        use epoll::EventFlags as Flags;
        let data = epoll::EventData::new_u64(id.0);
        if epoll::add(&self.epoll, &stream, data, Flags::IN | Flags::OUT | Flags::RDHUP | Flags::ET).is_err()
        {
            switch.tcp().release(id);
            return Err(stream);
        }
        self.streams.insert(id, Client::new(stream));
        Ok(())
    }

    fn listen_to_listeners(&mut self, flags: epoll::EventFlags) {
        for (forward, listener) in &self.listeners {
            let data = epoll::EventData::new_u64(LISTENER | *forward as u64);
            if epoll::modify(&self.epoll, listener, data, flags).is_err() {
                self.counts.accept_failures += 1;
            }
        }
    }

    /// Connects to `to` for the guest.
    pub fn dial(
        &mut self,
        now: u64,
        id: ConnId,
        to: SocketAddr,
        switch: &mut Switch,
        out: &mut Vec<Command>,
    ) {
        let open = || -> io::Result<TcpStream> {
            let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
            sockopt::set_socket_recv_buffer_size(&socket, KERNEL_BYTES)?;
            sockopt::set_socket_send_buffer_size(&socket, KERNEL_BYTES)?;
            match rustix::net::connect(&socket, &to) {
                Ok(()) | Err(Errno::INPROGRESS) => {}
                Err(error) => return Err(error.into()),
            }
            let stream = TcpStream::from(socket);
            stream.set_nodelay(true)?;
            epoll::add(&self.epoll, &stream, epoll::EventData::new_u64(id.0), STREAM_EVENTS)?;
            Ok(stream)
        };
        match open() {
            Ok(stream) => {
                self.streams.insert(id, Client { dialing: true, ..Client::new(stream) });
            }
            Err(_) => switch.dialed(now, id, false, out),
        }
    }

    /// Tells the guest's side how a connection that we opened for it went, once that is known.
    fn conclude_dial(&mut self, now: u64, id: ConnId, switch: &mut Switch, out: &mut Vec<Command>) {
        let Some(client) = self.streams.get_mut(&id) else { return };
        if !client.dialing || !(client.writable || client.failed) {
            return;
        }
        client.dialing = false;
        let connected = !client.failed && client.stream.peer_addr().is_ok();
        switch.dialed(now, id, connected, out);
        if !connected {
            self.streams.remove(&id);
        }
    }

    /// Moves what can be moved for one connection, and ends it when it is over.
    fn attend(&mut self, id: ConnId, switch: &mut Switch) {
        let Some(client) = self.streams.get_mut(&id) else { return };
        let tcp = switch.tcp();
        let Some(view) = tcp.view(id) else { return self.part(id, switch, true) };
        if client.failed {
            tcp.abort(id);
            return self.part(id, switch, true);
        }
        if view.waiting > 0 && client.writable {
            tcp.drain(id, |bytes| client.write(bytes));
        }
        while !client.finished && client.readable && tcp.view(id).is_some_and(|view| view.room > 0) {
            tcp.fill(id, |room| client.read(room));
            if client.finished {
                tcp.finish(id);
            }
        }
        if client.failed {
            tcp.abort(id);
            return self.part(id, switch, true);
        }
        let Some(view) = tcp.view(id) else { return self.part(id, switch, true) };
        match view.phase {
            Phase::Connecting => {}
            Phase::Closed(End::Refused | End::Reset | End::Silent | End::Aborted) => {
                self.part(id, switch, true)
            }
            Phase::Open | Phase::Closed(End::Finished) if view.waiting > 0 => {}
            Phase::Closed(End::Finished) => self.part(id, switch, false),
            Phase::Open => {
                if view.guest_finished && !client.told_end {
                    client.told_end = true;
                    // It fails only when the client is gone, which `epoll` will report.
                    client.failed |= client.stream.shutdown(Shutdown::Write).is_err();
                }
            }
        }
    }

    /// The client's stream is closed, and its connection left to itself.
    fn part(&mut self, id: ConnId, switch: &mut Switch, with_reset: bool) {
        if let Some(client) = self.streams.remove(&id)
            && with_reset
        {
            reset(client.stream);
        }
        switch.tcp().release(id);
    }
}

impl Client {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            dialing: false,
            readable: false,
            writable: false,
            hung_up: false,
            finished: false,
            told_end: false,
            failed: false,
        }
    }

    fn read(&mut self, room: &mut [u8]) -> usize {
        loop {
            match self.stream.read(room) {
                Ok(0) => {
                    self.finished = true;
                    self.readable = false;
                    return 0;
                }
                Ok(n) => {
                    // Less than there was room for: all there is, unless the end hides behind it.
                    self.readable = n == room.len() || self.hung_up;
                    return n;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.readable = false;
                    self.failed |= error.kind() != ErrorKind::WouldBlock;
                    return 0;
                }
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        loop {
            match self.stream.write(bytes) {
                Ok(n) => {
                    self.writable = n == bytes.len();
                    return n;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.writable = false;
                    self.failed |= error.kind() != ErrorKind::WouldBlock;
                    return 0;
                }
            }
        }
    }
}

/// Lets this process have as many descriptors as it may: the usual default is fewer than the connections
/// that we allow.
pub fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With fewer descriptors, connections beyond them wait and are counted.
    setrlimit(Resource::Nofile, limit).ok();
}

/// Closes a stream so that its other end sees a reset.
fn reset(stream: TcpStream) {
    // Without it the other end sees an ordinary end, which is the best that is left.
    sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).ok();
    drop(stream);
}

impl AsFd for Clients {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

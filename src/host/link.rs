//! Connections that carry [`Message`]s, read and written without the node's ever waiting.
//!
//! Reading: the node's thread reads from its peers itself, a bounded part at a time. Terminals and tools have a
//! thread each, which hands whole messages to the node's bounded queue; when the queue is full it waits, and TCP
//! makes the peer wait. All bytes are parsed as if an enemy wrote them (`incoming`). Writing: what the socket
//! does not take at once stays in an outbox; past [`OUTBOX_BYTES_MAX`] the peer is too slow and the
//! connection ends. So a stopped or hostile peer can hold neither the node's time nor its memory.

mod incoming;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, SendFlags, recv, send};
use thiserror::Error;

use crate::ft::message::{MessageError, preamble};
use crate::ft::{LinkId, Message};
use crate::host::mortal::make_mortal;
use crate::host::places::{Kind, Places};
use crate::host::pulse::Adopter;
use incoming::{Incoming, READ_BYTES};

/// More unsent bytes than this, and the peer is too slow to be one.
pub const OUTBOX_BYTES_MAX: usize = 64 << 20;
/// A connection that has not sent all of its first message by then is closed.
const FIRST_MESSAGE_WITHIN: Duration = Duration::from_secs(5);
/// The opener's first message is short.
const FIRST_MESSAGE_BYTES_MAX: usize = 4096;
/// A connection that is being closed gets this long to take what was sent on it.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// Reads from one connection before the guest gets its next slice.
const READS_A_TURN: usize = 16;
/// A peer that takes nothing for this long, not even as a paused terminal, is gone.
const UNSENT_MAX: Duration = Duration::from_secs(30);

/// Why a connection between nodes ended, or a question was not answered.
#[derive(Debug, Error)]
pub enum LinkError {
    /// The kernel reported an error.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The peer sent something that is no message.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The peer ended the connection, or its process ended.
    #[error("the peer closed the connection")]
    Closed,
    /// An accepted connection did not identify itself in time.
    #[error("nothing was sent within {} s", FIRST_MESSAGE_WITHIN.as_secs())]
    Stalled,
    /// The first message, before which nothing is known of the peer, is longer than any that identifies a
    /// node.
    #[error("a first message of {len} bytes was announced; 1 to {FIRST_MESSAGE_BYTES_MAX} are allowed")]
    LongFirst {
        /// The length field.
        len: usize,
    },
    /// The node was reached and has not answered.
    #[error("nothing was answered within {} s", within.as_secs())]
    Unanswered {
        /// How long the answer was waited for.
        within: Duration,
    },
}

/// What a connection reports to its node's thread.
pub enum LinkEvent {
    /// A peer has connected, and its first message follows.
    Up {
        /// The connection's number.
        link: LinkId,
        /// To write to.
        stream: TcpStream,
        /// When bytes arrived on it last.
        arrivals: Arrivals,
        /// The node reads from it; a thread does when this is none.
        reading: Option<Box<Reading>>,
    },
    /// A message has arrived.
    Message {
        /// The connection's number.
        link: LinkId,
        /// The message.
        message: Message,
    },
    /// The connection is gone.
    Closed {
        /// The connection's number.
        link: LinkId,
        /// The reason, for people.
        why: String,
    },
}

/// What the node needs to read from a connection itself.
pub struct Reading {
    incoming: Incoming,
    /// Held as long as it is connected; none for one that was dialled.
    _place: Option<Place>,
}

/// Where a reading thread puts what it reads; it may block, and answers false once the node is gone.
pub type Sink = Arc<dyn Fn(LinkEvent) -> bool + Send + Sync>;

/// When bytes last arrived on a connection: noted by the thread that reads them, as they arrive.
#[derive(Clone, Debug)]
pub struct Arrivals {
    started: Instant,
    last_ns: Arc<AtomicU64>,
}

impl Arrivals {
    fn new(started: Instant) -> Self {
        let arrivals = Self { started, last_ns: Arc::default() };
        arrivals.note();
        arrivals
    }

    fn note(&self) {
        self.last_ns.store(self.started.elapsed().as_nanos() as u64, Ordering::Relaxed);
    }
}

struct Link {
    stream: TcpStream,
    /// Where it was dialled to; none for one that was accepted.
    to: Option<String>,
    arrivals: Arrivals,
    outbox: Vec<u8>,
    sent: usize,
    closing: Option<Instant>,
    reading: Option<Box<Reading>>,
    /// It takes nothing more; what came before is still to be read.
    ended: bool,
}

impl Link {
    fn new(stream: TcpStream, arrivals: Arrivals) -> Self {
        let outbox = Vec::new();
        Self { stream, to: None, arrivals, outbox, sent: 0, closing: None, reading: None, ended: false }
    }

    /// Ends it; false when nothing is left to be read from it.
    fn end(&mut self) -> bool {
        shut(&self.stream);
        self.outbox.clear();
        (self.sent, self.closing, self.ended) = (0, None, true);
        self.reading.is_some()
    }
}

/// All connections of one node, owned by its thread.
pub struct Links {
    /// When the time began that arrivals are noted in.
    started: Instant,
    links: BTreeMap<LinkId, Link>,
}

/// Hands out connection numbers; shared with the accepting thread.
pub type LinkNumbers = Arc<AtomicU64>;

impl Links {
    /// No connections. Times are counted from `started`.
    pub fn new(started: Instant) -> Self {
        Self { started, links: BTreeMap::new() }
    }

    /// One that was accepted. The node is to [`Links::receive`] at once from one that it reads itself.
    pub fn add(
        &mut self,
        link: LinkId,
        stream: TcpStream,
        arrivals: Arrivals,
        reading: Option<Box<Reading>>,
    ) {
        self.links.insert(link, Link { reading, ..Link::new(stream, arrivals) });
    }

    /// Takes over a connection that [`dial`] has opened to the address `to`; the node reads from it.
    pub fn dialed(&mut self, link: LinkId, stream: TcpStream, to: &str) {
        let reading = Some(Box::new(Reading { incoming: Incoming::dialed(), _place: None }));
        let opened = Link::new(stream, Arrivals::new(self.started));
        self.links.insert(link, Link { to: Some(to.to_owned()), reading, ..opened });
    }

    /// As [`Links::dialed`], but a thread reads, and puts what comes into `sink`.
    pub fn dialed_with_thread(
        &mut self,
        link: LinkId,
        stream: TcpStream,
        to: &str,
        sink: Sink,
    ) -> io::Result<()> {
        let reader = stream.try_clone()?;
        let opened = Link { to: Some(to.to_owned()), ..Link::new(stream, Arrivals::new(self.started)) };
        let arrivals = opened.arrivals.clone();
        self.links.insert(link, opened);
        std::thread::Builder::new().name("link-read".into()).spawn(move || {
            let mut incoming = Incoming::dialed();
            let why = read_messages(&reader, link, &mut incoming, (&sink, &arrivals)).to_string();
            sink(LinkEvent::Closed { link, why });
        })?;
        Ok(())
    }

    /// The connections that the node reads itself.
    pub fn sockets(&self) -> impl Iterator<Item = (LinkId, &TcpStream)> {
        self.links.iter().filter(|(_, l)| l.reading.is_some()).map(|(link, l)| (*link, &l.stream))
    }

    /// Reads what has come on a connection, within bounds: what is left is there at the next look. Its end is the
    /// last event, and then it is forgotten.
    pub fn receive(&mut self, link: LinkId, events: &mut Vec<LinkEvent>) {
        let Some(l) = self.links.get_mut(&link) else { return };
        let Some(Reading { incoming, .. }) = l.reading.as_deref_mut() else { return };
        let mut read = || -> Result<(), LinkError> {
            let mut reads = 0;
            loop {
                while let Some(message) = incoming.next()? {
                    events.push(LinkEvent::Message { link, message });
                }
                if reads == READS_A_TURN {
                    return Ok(());
                }
                reads += 1;
                match incoming.receive(|into| Ok(recv(&l.stream, into, RecvFlags::DONTWAIT)?.0)) {
                    Ok(count) => {
                        l.arrivals.note();
                        // What does not fill the buffer was all there was.
                        if count < READ_BYTES {
                            reads = READS_A_TURN;
                        }
                    }
                    Err(LinkError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    Err(LinkError::Io(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        };
        if let Err(error) = read() {
            self.forget(link);
            events.push(LinkEvent::Closed { link, why: error.to_string() });
        }
    }

    /// Sends, as far as the socket takes it now. Err is the reason why the peer is given up. A
    /// connection that the peer has closed is no error here: what the peer said before may still
    /// be on its way to the node, and its end is reported after it.
    pub fn send(&mut self, link: LinkId, message: &Message) -> Result<(), String> {
        let Some(l) = self.links.get_mut(&link).filter(|l| l.closing.is_none() && !l.ended) else {
            return Ok(());
        };
        message.encode(&mut l.outbox);
        if l.outbox.len() - l.sent > OUTBOX_BYTES_MAX {
            return Err(format!("the peer takes nothing: {} bytes are unsent", l.outbox.len() - l.sent));
        }
        if flush(l).is_err() && !l.end() {
            self.links.remove(&link);
        }
        Ok(())
    }

    /// The host at the other end.
    pub fn peer_ip(&self, link: LinkId) -> Option<IpAddr> {
        self.links.get(&link).and_then(|l| l.stream.peer_addr().ok()).map(|address| address.ip())
    }

    /// When bytes last came.
    pub fn arrived_ns(&self, link: LinkId) -> Option<u64> {
        self.links.get(&link).map(|l| l.arrivals.last_ns.load(Ordering::Relaxed))
    }

    /// Where the connection was dialled to; none for one that was accepted.
    pub fn dialed_to(&self, link: LinkId) -> Option<&str> {
        self.links.get(&link).and_then(|l| l.to.as_deref())
    }

    /// Bytes that wait to be taken by the kernel; 0 for a connection that is gone.
    pub fn outbox_bytes(&self, link: LinkId) -> usize {
        self.links.get(&link).map_or(0, |l| l.outbox.len() - l.sent)
    }

    /// Ends a connection once it has taken what was sent on it.
    pub fn close(&mut self, link: LinkId) {
        if let Some(l) = self.links.get_mut(&link) {
            l.closing.get_or_insert(Instant::now() + CLOSE_WITHIN);
        }
        self.pump();
    }

    /// Gives a connection up; its reader ends, if it has not.
    pub fn forget(&mut self, link: LinkId) {
        if let Some(l) = self.links.remove(&link) {
            shut(&l.stream);
        }
    }

    /// Tries again to send what is left.
    pub fn pump(&mut self) {
        self.links.retain(|_, l| {
            let result = flush(l);
            let done = l.outbox.is_empty();
            match (result, l.closing) {
                (Ok(()), Some(until)) if done || Instant::now() >= until => l.end(),
                (Ok(()), _) => true,
                (Err(_), _) => l.end(),
            }
        });
    }

    /// True when something waits to be sent.
    pub fn is_pending(&self) -> bool {
        self.links.values().any(|l| !l.outbox.is_empty())
    }
}

/// Closes both directions. A peer that has already closed makes this fail, which is as good.
fn shut(stream: &TcpStream) {
    match stream.shutdown(Shutdown::Both) {
        Ok(()) | Err(_) => {}
    }
}

fn flush(l: &mut Link) -> io::Result<()> {
    while l.sent < l.outbox.len() {
        match send(&l.stream, &l.outbox[l.sent..], SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(n) => l.sent += n,
            Err(rustix::io::Errno::AGAIN) => break,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if l.sent == l.outbox.len() {
        l.outbox.clear();
        l.sent = 0;
    } else if l.sent > 1 << 20 {
        l.outbox.drain(..l.sent);
        l.sent = 0;
    }
    Ok(())
}

/// Connects and sends the preamble.
pub fn dial(to: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, format!("{to:?} names no address"));
    for address in to.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, Duration::from_secs(3)) {
            Ok(mut stream) => {
                stream.set_nodelay(true)?;
                make_mortal(&stream, UNSENT_MAX)?;
                io::Write::write_all(&mut stream, &preamble())?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Reads the first message of a connection that was accepted: in time, however slowly its bytes come.
fn read_first(
    stream: &TcpStream,
    incoming: &mut Incoming,
    arrivals: &Arrivals,
) -> Result<Message, LinkError> {
    let until = Instant::now() + FIRST_MESSAGE_WITHIN;
    loop {
        if let Some(message) = incoming.next()? {
            stream.set_read_timeout(None)?;
            return Ok(message);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(LinkError::Stalled);
        }
        stream.set_read_timeout(Some(left))?;
        read_some(stream, incoming, arrivals)?;
    }
}

/// Reads messages from `stream` into `sink` until something ends it.
fn read_messages(
    stream: &TcpStream,
    link: LinkId,
    incoming: &mut Incoming,
    (sink, arrivals): (&Sink, &Arrivals),
) -> LinkError {
    loop {
        match incoming.next() {
            Ok(Some(message)) => {
                if !sink(LinkEvent::Message { link, message }) {
                    return LinkError::Closed;
                }
            }
            Ok(None) => {
                if let Err(error) = read_some(stream, incoming, arrivals) {
                    return error;
                }
            }
            Err(error) => return error,
        }
    }
}

/// Waits for bytes.
fn read_some(mut stream: &TcpStream, incoming: &mut Incoming, arrivals: &Arrivals) -> Result<(), LinkError> {
    match incoming.receive(|into| stream.read(into)) {
        Ok(_) => {
            arrivals.note();
            Ok(())
        }
        Err(LinkError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Err(LinkError::Stalled),
        Err(LinkError::Io(error)) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
        Err(error) => Err(error),
    }
}

/// The places of a port, shared by the threads that read from its connections.
type SharedPlaces = Arc<Mutex<Places<TcpStream>>>;

/// A connection's place, as long as it has one.
struct Place {
    places: SharedPlaces,
    link: LinkId,
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.places).leave(self.link);
    }
}

fn lock(places: &SharedPlaces) -> MutexGuard<'_, Places<TcpStream>> {
    // Nothing that runs under the lock can panic half-way.
    places.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an accepting thread needs to make links of connections.
#[derive(Clone)]
pub struct Reception {
    /// Numbers the connections.
    pub numbers: LinkNumbers,
    /// Takes what is read from them.
    pub sink: Sink,
    /// When the time began that arrivals are noted in.
    pub started: Instant,
    /// Takes the connections that carry beats.
    pub beats: Adopter,
}

/// Accepts connections for as long as the process lives.
pub fn accept(listener: TcpListener, reception: Reception) -> io::Result<()> {
    let places = SharedPlaces::default();
    std::thread::Builder::new().name("link-accept".into()).spawn(move || {
        for stream in listener.incoming() {
            let arrived =
                stream.and_then(|stream| Ok((stream.peer_addr()?.ip(), stream.try_clone()?, stream)));
            let Ok((ip, handle, stream)) = arrived else {
                // Out of file descriptors, most likely: give those that are open time to end.
                std::thread::sleep(Duration::from_millis(50));
                continue;
            };
            let link = LinkId(reception.numbers.fetch_add(1, Ordering::Relaxed));
            if let Some(evicted) = lock(&places).arrive(link, ip, handle) {
                shut(&evicted);
            }
            let place = Place { places: places.clone(), link };
            let reception = reception.clone();
            // Without a thread for it, it is dropped, and so is its place.
            let spawned = std::thread::Builder::new()
                .name("link-read".into())
                .spawn(move || serve(stream, place, &reception));
            drop(spawned);
        }
    })?;
    Ok(())
}

/// Reads a connection's first message, then the rest, or hands the connection on to its reader.
fn serve(stream: TcpStream, place: Place, reception: &Reception) {
    let Reception { sink, beats, .. } = reception;
    let (link, arrivals) = (place.link, Arrivals::new(reception.started));
    let mortal = stream.set_nodelay(true).and_then(|()| make_mortal(&stream, UNSENT_MAX));
    let Ok(writer) = mortal.and_then(|()| stream.try_clone()) else { return };
    let mut incoming = Incoming::accepted();
    let first = read_first(&stream, &mut incoming, &arrivals);
    let Some(first) = first.ok().filter(|first| lock(&place.places).settle(link, Kind::of(first))) else {
        return shut(&stream);
    };
    match first {
        Message::Pulse { token } => beats.adopt(token, writer),
        // A node: what it says is read by this node's own thread, which no other has to wake for it.
        Message::Join { .. } | Message::Resume { .. } => {
            incoming.put_back(first);
            let reading = Some(Box::new(Reading { incoming, _place: Some(place) }));
            sink(LinkEvent::Up { link, stream: writer, arrivals, reading });
        }
        _ => {
            incoming.put_back(first);
            let up = LinkEvent::Up { link, stream: writer, arrivals: arrivals.clone(), reading: None };
            if sink(up) {
                let why = read_messages(&stream, link, &mut incoming, (sink, &arrivals)).to_string();
                sink(LinkEvent::Closed { link, why });
            }
            shut(&stream);
        }
    }
}

/// Says one thing to a node and waits for what it answers: for tools.
pub fn ask(to: SocketAddr, message: &Message, within: Duration) -> Result<Message, LinkError> {
    let mut stream = dial(&to.to_string())?;
    stream.set_read_timeout(Some(within))?;
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    io::Write::write_all(&mut stream, &bytes)?;
    let mut incoming = Incoming::dialed();
    loop {
        if let Some(message) = incoming.next()? {
            return Ok(message);
        }
        match incoming.receive(|into| stream.read(into)) {
            Ok(_) => {}
            Err(LinkError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(LinkError::Unanswered { within });
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const LINK: LinkId = LinkId(4);

    /// A connection that the node reads itself, and its other end.
    fn pair() -> (Links, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut links = Links::new(Instant::now());
        links.dialed(LINK, listener.accept().unwrap().0, "there");
        (links, far)
    }

    /// Receives until `wanted` events have come.
    fn received(links: &mut Links, wanted: usize) -> Vec<String> {
        let (mut events, until) = (Vec::new(), Instant::now() + Duration::from_secs(20));
        while events.len() < wanted {
            assert!(Instant::now() < until, "{events:?}");
            let mut new = Vec::new();
            links.receive(LINK, &mut new);
            events.extend(new.into_iter().map(|event| match event {
                LinkEvent::Message { message, .. } => format!("{message:?}"),
                LinkEvent::Closed { why, .. } => why,
                LinkEvent::Up { .. } => "up".into(),
            }));
        }
        events
    }

    #[test]
    fn what_a_peer_said_is_received_also_when_it_takes_nothing_more() {
        let (mut links, mut far) = pair();
        let mut bytes = Vec::new();
        Message::Status.encode(&mut bytes);
        far.write_all(&bytes).unwrap();
        // As a send that fails does.
        assert!(links.links.get_mut(&LINK).unwrap().end(), "there may be something to read");
        links.send(LINK, &Message::SwitchOver).unwrap();
        assert!(!links.is_pending(), "nothing more is sent");
        assert_eq!(received(&mut links, 2), ["Status".to_owned(), LinkError::Closed.to_string()]);
        assert_eq!(links.sockets().count(), 0, "it is forgotten");
    }

    #[test]
    fn an_end_in_the_middle_of_a_message_is_the_last_event() {
        let (mut links, mut far) = pair();
        let mut bytes = Vec::new();
        Message::Status.encode(&mut bytes);
        Message::SwitchOver.encode(&mut bytes);
        far.write_all(&bytes[..bytes.len() - 1]).unwrap();
        drop(far);
        assert_eq!(received(&mut links, 2), ["Status".to_owned(), LinkError::Closed.to_string()]);
        assert_eq!(links.sockets().count(), 0, "it is forgotten");
        let mut more = Vec::new();
        links.receive(LINK, &mut more);
        assert!(more.is_empty(), "it has ended");
    }

    #[test]
    fn a_flood_is_taken_in_parts() {
        let (mut links, mut far) = pair();
        let mut bytes = Vec::new();
        let flood = std::thread::spawn(move || {
            for _ in 0..40 {
                bytes.clear();
                Message::Log(vec![1; 128 << 10]).encode(&mut bytes);
                far.write_all(&bytes).unwrap();
            }
        });
        let mut total = 0;
        while total < 40 {
            let mut events = Vec::new();
            links.receive(LINK, &mut events);
            let count = events.len();
            assert!(count <= READS_A_TURN * READ_BYTES / (128 << 10) + 1, "{count} messages in one turn");
            total += count;
        }
        flood.join().unwrap();
    }
}

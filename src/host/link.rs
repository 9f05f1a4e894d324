//! Connections that carry [`Message`]s: a reading thread each, writing without ever waiting.
//!
//! Reading: the thread parses as if an enemy wrote, and hands whole messages to the node's bounded
//! queue; when the queue is full it waits, and TCP makes the peer wait. Writing: what the socket
//! does not take at once stays in an outbox; past [`OUTBOX_BYTES_MAX`] the peer is too slow and the
//! connection ends. So a stopped or hostile peer can hold neither the node's time nor its memory.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::net::{SendFlags, send};
use thiserror::Error;

use crate::ft::message::{
    HEADER_BYTES, Header, MessageError, PREAMBLE_BYTES, check_preamble, decode_body, decode_header, preamble,
};
use crate::ft::{LinkId, Message};
use crate::host::mortal::make_mortal;
use crate::host::places::{Kind, Places};
use crate::host::pulse::Adopter;

/// More unsent bytes than this, and the peer is too slow to be one.
pub const OUTBOX_BYTES_MAX: usize = 64 << 20;
/// A connection that has not sent all of its first message by then is closed.
const FIRST_MESSAGE_WITHIN: Duration = Duration::from_secs(5);
/// The opener's first message is short.
const FIRST_MESSAGE_BYTES_MAX: usize = 4096;
/// A connection that is being closed gets this long to take what was sent on it.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// A peer that takes nothing for this long, not even as a paused terminal, is gone.
const UNSENT_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, Error)]
pub enum LinkError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error("the peer closed the connection")]
    Closed,
    #[error("nothing was sent within {} s", FIRST_MESSAGE_WITHIN.as_secs())]
    Stalled,
    #[error("a first message of {len} bytes was announced; 1 to {FIRST_MESSAGE_BYTES_MAX} are allowed")]
    LongFirst { len: usize },
    #[error("there is no place for one more connection of its kind")]
    NoPlace,
    #[error("nothing was answered within {} s", within.as_secs())]
    Unanswered { within: Duration },
}

/// What a connection reports to its node's thread.
pub enum LinkEvent {
    /// Somebody has connected to us, and its first message follows.
    Up {
        link: LinkId,
        stream: TcpStream,
        arrivals: Arrivals,
    },
    Message {
        link: LinkId,
        message: Message,
    },
    Closed {
        link: LinkId,
        why: String,
    },
}

/// Where a reading thread puts what it reads; it may wait, and returns false once the receiver is gone.
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
    pub fn new(started: Instant) -> Self {
        Self { started, links: BTreeMap::new() }
    }

    /// One that was accepted.
    pub fn add(&mut self, link: LinkId, stream: TcpStream, arrivals: Arrivals) {
        self.insert(link, stream, arrivals, None);
    }

    fn insert(&mut self, link: LinkId, stream: TcpStream, arrivals: Arrivals, to: Option<String>) {
        self.links.insert(link, Link { stream, to, arrivals, outbox: Vec::new(), sent: 0, closing: None });
    }

    /// Takes over a connection that [`dial`] has opened to the address `to`, and starts reading from it.
    pub fn dialed(&mut self, link: LinkId, stream: TcpStream, to: &str, sink: Sink) -> io::Result<()> {
        let reader = stream.try_clone()?;
        let arrivals = Arrivals::new(self.started);
        self.insert(link, stream, arrivals.clone(), Some(to.to_owned()));
        std::thread::Builder::new().name("link-read".into()).spawn(move || {
            let why = read_messages(&reader, link, (&sink, &arrivals), None).to_string();
            sink(LinkEvent::Closed { link, why });
        })?;
        Ok(())
    }

    /// Sends, as far as the socket takes it now. Err is the reason why the peer is given up. A connection
    /// that the peer has closed is no error here: what the peer sent before may still be on its way to the
    /// node, and the reading thread reports the end after it.
    pub fn send(&mut self, link: LinkId, message: &Message) -> Result<(), String> {
        let Some(l) = self.links.get_mut(&link).filter(|l| l.closing.is_none()) else { return Ok(()) };
        message.encode(&mut l.outbox);
        if l.outbox.len() - l.sent > OUTBOX_BYTES_MAX {
            return Err(format!("the peer takes nothing: {} bytes are unsent", l.outbox.len() - l.sent));
        }
        if flush(l).is_err() {
            self.forget(link);
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
                (Ok(()), Some(until)) if done || Instant::now() >= until => {
                    shut(&l.stream);
                    false
                }
                (Ok(()), _) => true,
                (Err(_), _) => {
                    shut(&l.stream);
                    false
                }
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

/// Judges the first message of a connection that was accepted: false ends it.
type Greeting<'a> = &'a mut dyn FnMut(&Message) -> bool;

/// Reads messages from `stream` into `sink` until something ends it. An accepted connection starts with the
/// opener's preamble, must send its first message soon, and is judged by that.
fn read_messages(
    stream: &TcpStream,
    link: LinkId,
    (sink, arrivals): (&Sink, &Arrivals),
    mut greeting: Option<Greeting<'_>>,
) -> LinkError {
    let accepted = greeting.is_some();
    let until = accepted.then(|| Instant::now() + FIRST_MESSAGE_WITHIN);
    let mut reader = io::BufReader::with_capacity(64 * 1024, Patient { stream, arrivals, until });
    let mut first = accepted;
    let read = |reader: &mut io::BufReader<Patient<'_>>, into: &mut [u8]| match reader.read_exact(into) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(LinkError::Closed),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(LinkError::Stalled),
        Err(error) => Err(LinkError::Io(error)),
    };
    let mut next = || -> Result<Message, LinkError> {
        if first {
            let mut bytes = [0; PREAMBLE_BYTES];
            read(&mut reader, &mut bytes)?;
            check_preamble(&bytes)?;
        }
        let header = read_header(&mut |into: &mut [u8]| read(&mut reader, into))?;
        if first && header.len > FIRST_MESSAGE_BYTES_MAX {
            return Err(LinkError::LongFirst { len: header.len });
        }
        let message = read_body(header, &mut |into: &mut [u8]| read(&mut reader, into))?;
        if first {
            first = false;
            reader.get_mut().until = None;
            stream.set_read_timeout(None)?;
            if !greeting.take().is_none_or(|welcome| welcome(&message)) {
                return Err(LinkError::NoPlace);
            }
        }
        Ok(message)
    };
    loop {
        match next() {
            Ok(message) => {
                if !sink(LinkEvent::Message { link, message }) {
                    return LinkError::Closed;
                }
            }
            Err(error) => return error,
        }
    }
}

/// Reads from a connection, until a time at which patience ends if there is one: however slowly
/// the bytes come.
struct Patient<'a> {
    stream: &'a TcpStream,
    arrivals: &'a Arrivals,
    until: Option<Instant>,
}

impl Read for Patient<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if let Some(until) = self.until {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.stream.set_read_timeout(Some(left))?;
        }
        let bytes = self.stream.read(into)?;
        self.arrivals.note();
        Ok(bytes)
    }
}

/// Fills a slice or fails.
type Reading<'a> = dyn FnMut(&mut [u8]) -> Result<(), LinkError> + 'a;

/// Reads one message.
pub fn read_message(read: &mut Reading<'_>) -> Result<Message, LinkError> {
    let header = read_header(read)?;
    read_body(header, read)
}

fn read_header(read: &mut Reading<'_>) -> Result<Header, LinkError> {
    let mut bytes = [0; HEADER_BYTES];
    read(&mut bytes)?;
    Ok(decode_header(&bytes)?)
}

fn read_body(header: Header, read: &mut Reading<'_>) -> Result<Message, LinkError> {
    let mut body = vec![0; header.len];
    read(&mut body)?;
    Ok(decode_body(header, &body)?)
}

/// The places of a port, shared by the threads that read from its connections.
type SharedPlaces = Arc<Mutex<Places<TcpStream>>>;

fn lock(places: &SharedPlaces) -> MutexGuard<'_, Places<TcpStream>> {
    // Nothing that runs under the lock can panic half-way.
    places.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an accepting thread needs to make links of connections.
#[derive(Clone)]
pub struct Reception {
    pub numbers: LinkNumbers,
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
            let (reception, theirs) = (reception.clone(), places.clone());
            let spawned = std::thread::Builder::new().name("link-read".into()).spawn(move || {
                if let Some(why) = serve(&stream, link, &reception, &theirs) {
                    (reception.sink)(LinkEvent::Closed { link, why });
                }
                lock(&theirs).leave(link);
            });
            if spawned.is_err() {
                lock(&places).leave(link);
            }
        }
    })?;
    Ok(())
}

/// Reads what a connection sends, from its preamble on; returns why it ended, if the node ever learned of it.
fn serve(stream: &TcpStream, link: LinkId, reception: &Reception, places: &SharedPlaces) -> Option<String> {
    let Reception { sink, beats, .. } = reception;
    let arrivals = Arrivals::new(reception.started);
    let mortal = stream.set_nodelay(true).and_then(|()| make_mortal(stream, UNSENT_MAX));
    let mut writer = Some(mortal.and_then(|()| stream.try_clone()).ok()?);
    let mut is_pulse = false;
    let mut welcome = |first: &Message| match writer.take() {
        Some(stream) if lock(places).settle(link, Kind::of(first)) => {
            if let Message::Pulse { token } = first {
                is_pulse = true;
                beats.adopt(*token, stream);
                return false;
            }
            sink(LinkEvent::Up { link, stream, arrivals: arrivals.clone() })
        }
        _ => false,
    };
    let why = read_messages(stream, link, (sink, &arrivals), Some(&mut welcome)).to_string();
    if is_pulse {
        // Whoever took it reads on.
        return None;
    }
    shut(stream);
    writer.is_none().then_some(why)
}

/// Says one thing to a node and waits for what it answers: for tools.
pub fn ask(to: SocketAddr, message: &Message, within: Duration) -> Result<Message, LinkError> {
    let mut stream = dial(&to.to_string())?;
    stream.set_read_timeout(Some(within))?;
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    io::Write::write_all(&mut stream, &bytes)?;
    read_message(&mut |into| match stream.read_exact(into) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(LinkError::Closed),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(LinkError::Unanswered { within }),
        Err(error) => Err(LinkError::Io(error)),
    })
}

//! A port that a thread of its own reads from, for tests that play a node.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};

use crate::host::mailbox::mailbox;
use crate::host::port::{Port, PortEvent};
use crate::net::Attach;

/// That it is dropped is noticed within this time.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Dropping it ends the connection.
pub struct Listening {
    port: Arc<Port>,
    dropped: Arc<AtomicBool>,
}

impl Listening {
    /// As [`Port::connect`], but a thread reads the connection and delivers what comes; `deliver` gets no [`PortEvent::Connected`].
    pub fn connect(
        switch: SocketAddr,
        attach: Attach,
        mut deliver: impl FnMut(PortEvent) -> bool + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, inbox) = mailbox(16)?;
        let port = Arc::new(Port::connect(switch, attach, move |event| sender.send(event).is_ok())?);
        let dropped = Arc::new(AtomicBool::new(false));
        let (theirs, stop) = (port.clone(), dropped.clone());
        std::thread::Builder::new().name("port-read".into()).spawn(move || {
            let mut socket: Option<Arc<TcpStream>> = None;
            while !stop.load(Ordering::Relaxed) {
                let watched = socket.clone();
                let mut sockets = watched.iter().map(|stream| PollFd::new(stream, PollFlags::IN)).collect();
                let goes_on = match inbox.wait(&mut sockets, LOOK_EVERY) {
                    Some(PortEvent::Connected { n }) => {
                        socket = theirs.socket(n);
                        true
                    }
                    Some(event) => deliver(event),
                    None if sockets.iter().any(|socket| !socket.revents().is_empty()) => {
                        let mut events = Vec::new();
                        if !theirs.receive(&mut events) {
                            socket = None;
                        }
                        events.into_iter().all(&mut deliver)
                    }
                    None => true,
                };
                if !goes_on {
                    return;
                }
            }
        })?;
        Ok(Self { port, dropped })
    }
}

impl Deref for Listening {
    type Target = Port;

    fn deref(&self) -> &Port {
        &self.port
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::Relaxed);
        self.port.close();
    }
}

//! A TCP relay that can be cut, in one direction or both, and healed: a cable of our own.
//!
//! A cut holds bytes back and closes nothing, as a network does that has lost its way: what was on the
//! way arrives when it heals. New connections are taken and say nothing until then.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The direction of bytes that are held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// From who connects.
    Forth,
    /// To who connects.
    Back,
    Both,
}

#[derive(Default)]
struct Held {
    forth: AtomicBool,
    back: AtomicBool,
}

pub struct Relay {
    pub address: SocketAddr,
    held: Arc<Held>,
}

impl Relay {
    /// A way to `to`, which need not listen yet.
    pub fn to(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let held = Arc::new(Held::default());
        let ours = held.clone();
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let Ok(near) = near else { return };
                let held = ours.clone();
                std::thread::spawn(move || carry(near, to, &held));
            }
        });
        Self { address, held }
    }

    pub fn cut(&self, cut: Cut) {
        self.held.forth.store(matches!(cut, Cut::Forth | Cut::Both), Ordering::SeqCst);
        self.held.back.store(matches!(cut, Cut::Back | Cut::Both), Ordering::SeqCst);
    }

    pub fn heal(&self) {
        self.held.forth.store(false, Ordering::SeqCst);
        self.held.back.store(false, Ordering::SeqCst);
    }
}

fn carry(near: TcpStream, to: SocketAddr, held: &Held) {
    while held.forth.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(1));
    }
    // No server there: the client's connection is closed.
    let Ok(far) = TcpStream::connect(to) else { return };
    std::thread::scope(|scope| {
        scope.spawn(|| pump(&near, &far, &held.forth));
        pump(&far, &near, &held.back);
    });
}

/// Carries bytes and the end of them.
fn pump(mut from: &TcpStream, mut to: &TcpStream, held: &AtomicBool) {
    // Both directions share the socket: a read that waits must not wait past a cut.
    from.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    to.set_nodelay(true).unwrap();
    let mut bytes = vec![0; 64 << 10];
    loop {
        let read = match from.read(&mut bytes) {
            Ok(read) => read,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(_) => 0,
        };
        while held.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        if read == 0 || to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    for (stream, how) in [(to, Shutdown::Write), (from, Shutdown::Read)] {
        // It may be closed already, which is what is wanted.
        if let Err(error) = stream.shutdown(how) {
            assert_eq!(error.kind(), ErrorKind::NotConnected, "{error}");
        }
    }
}

//! Ways out of the switch in the gateway's place: a TAP device, or a `passt` process.
//!
//! An uplink is opened before the switch serves, so that a wrong name is reported at once. Lost later (the
//! device is removed, `passt` ends), it is opened again and again, and frames for it are counted as unsent
//! meanwhile: the network is down, and the protocols above it retry.
//!
//! Absent on purpose: what a frame means, and to whom it goes (`net::switch`); addresses, routes and
//! bridges of the host, which are the operator's.

mod passt;
mod tap;

use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Serialize;
use thiserror::Error;

use crate::host::say::say;
use crate::net::MILLISECOND_NS;
use passt::Passt;
use tap::Tap;

/// Frames taken from the uplink before the VMs get their turn.
const FRAMES_AT_ONCE: usize = 128;
/// A lost uplink is tried again after this long, then after twice as long, …
const RETRY_MIN_NS: u64 = 5 * MILLISECOND_NS;
/// … but at least this often.
const RETRY_MAX_NS: u64 = 500 * MILLISECOND_NS;

/// An interface's name is no longer than this (`IFNAMSIZ` and its closing zero).
pub const TAP_NAME_MAX: usize = 15;

/// A TAP device's name: what Linux takes for an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapName(String);

impl FromStr for TapName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let letter = |c: char| c.is_ascii_graphic() && !"/:%".contains(c);
        if name.is_empty() || name.len() > TAP_NAME_MAX {
            return Err(format!(
                "an interface's name has 1 to {TAP_NAME_MAX} letters; {name:?} has {}",
                name.len()
            ));
        }
        if !name.chars().all(letter) || name == "." || name == ".." {
            return Err(format!(
                "{name:?} cannot be an interface's name: use letters, digits, '-' and '_', as in tap0"
            ));
        }
        Ok(Self(name.to_owned()))
    }
}

/// Which uplink, as the operator names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UplinkSpec {
    Tap(TapName),
    /// A `passt` that listens at this socket.
    Passt(PathBuf),
}

impl FromStr for UplinkSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("passt", socket)) if !socket.is_empty() => Ok(UplinkSpec::Passt(socket.into())),
            Some(("passt", _)) => {
                Err("the path of passt's socket is missing: passt:/tmp/passt.socket".into())
            }
            Some(("tap", name)) => name.parse().map(UplinkSpec::Tap),
            _ => Err(format!("{text:?} is no uplink: write passt:SOCKET (a TAP device is --tap NAME)")),
        }
    }
}

impl std::fmt::Display for UplinkSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            UplinkSpec::Tap(name) => write!(f, "TAP device {}", name.0),
            UplinkSpec::Passt(socket) => write!(f, "passt at {}", socket.display()),
        }
    }
}

/// Why an uplink cannot be had.
#[derive(Debug, Error)]
pub enum UplinkError {
    #[error("this kernel has no TAP devices: /dev/net/tun: {0}")]
    NoTun(io::Error),
    #[error("this process may not use /dev/net/tun: {0}")]
    MayNotUseTun(io::Error),
    #[error("there is no TAP device {0}, and this process may not make one")]
    MayNotCreate(String),
    #[error("the TAP device {0} is not ours to use")]
    NotOurs(String),
    #[error("{0} is an interface of this host, and no TAP device")]
    NotATap(String),
    #[error("another process uses the TAP device {0}")]
    Busy(String),
    #[error("the TAP device {0} is down, and this process may not bring it up")]
    Down(String),
    #[error("the TAP device {name}: {error}")]
    Tap { name: String, error: io::Error },
    #[error("no passt listens at {}: {error}", socket.display())]
    Passt { socket: PathBuf, error: io::Error },
    #[error("the path of passt's socket is too long: {}", .0.display())]
    LongPath(PathBuf),
}

impl UplinkError {
    /// What to do about it.
    pub fn fix(&self) -> String {
        match self {
            UplinkError::NoTun(_) => "load the kernel's module: sudo modprobe tun".into(),
            UplinkError::MayNotUseTun(_) => {
                "let every user open it, as udev does: sudo chmod 666 /dev/net/tun (whose a \
                                             TAP device is decides what may be done with it)"
                    .into()
            }
            UplinkError::MayNotCreate(name) | UplinkError::NotOurs(name) => format!(
                "make one that is yours: sudo ip tuntap add dev {name} mode tap user $USER && sudo ip link set {name} up \
                 (as another user's it must be deleted first: sudo ip link del {name})"
            ),
            UplinkError::NotATap(name) => format!(
                "name a TAP device; to connect the guest to {name}, put a TAP and {name} into one bridge"
            ),
            UplinkError::Busy(_) => {
                "end that process (`ip -d tuntap` names it), or give each switch a TAP of its own".into()
            }
            UplinkError::Down(name) => format!("sudo ip link set {name} up"),
            UplinkError::Tap { name, .. } => format!("look at it: ip -d link show {name}"),
            UplinkError::Passt { socket, .. } => format!(
                "start it first, as the user who runs the switch: passt --socket {}",
                socket.display()
            ),
            UplinkError::LongPath(_) => {
                "Linux allows 107 bytes: use a shorter path, as in /run/passt.socket".into()
            }
        }
    }
}

/// What became of an attempt to send.
#[derive(Debug)]
enum Sent {
    Yes,
    /// Its queue is full: the frame is dropped.
    Full,
    /// The uplink is gone.
    Lost(io::Error),
}

enum Wire {
    Tap(Tap),
    Passt(Passt),
}

impl Wire {
    fn open(spec: &UplinkSpec) -> Result<Self, UplinkError> {
        match spec {
            UplinkSpec::Tap(name) => Tap::open(&name.0).map(Wire::Tap),
            UplinkSpec::Passt(socket) => Passt::connect(socket).map(Wire::Passt),
        }
    }
}

/// How the uplink has fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UplinkReport {
    /// How often it was lost.
    pub lost: u64,
    /// Frames for it that were dropped while it was lost, or did not take more.
    pub unsent: u64,
}

/// An uplink, at times without its other end.
pub struct Uplink {
    spec: UplinkSpec,
    wire: Option<Wire>,
    retry_at: u64,
    retry_after: u64,
    report: UplinkReport,
}

impl Uplink {
    pub fn open(spec: UplinkSpec) -> Result<Self, UplinkError> {
        let wire = Some(Wire::open(&spec)?);
        Ok(Self { spec, wire, retry_at: 0, retry_after: RETRY_MIN_NS, report: UplinkReport::default() })
    }

    pub fn report(&self) -> UplinkReport {
        self.report
    }

    /// What to wait for, and whether also for room to write.
    pub fn interest(&self) -> Option<(BorrowedFd<'_>, bool)> {
        match &self.wire {
            Some(Wire::Tap(tap)) => Some((tap.as_fd(), false)),
            Some(Wire::Passt(passt)) => Some((passt.as_fd(), passt.is_waiting())),
            None => None,
        }
    }

    /// When [`tick`](Self::tick) has something to do.
    pub fn deadline(&self) -> Option<u64> {
        self.wire.is_none().then_some(self.retry_at)
    }

    /// Opens it again if it is lost and the time has come; true when it is back.
    pub fn tick(&mut self, now: u64) -> bool {
        if self.wire.is_some() || now < self.retry_at {
            return false;
        }
        match Wire::open(&self.spec) {
            Ok(wire) => {
                say!("switch: {} is back", self.spec);
                self.wire = Some(wire);
                self.retry_after = RETRY_MIN_NS;
                true
            }
            Err(_) => {
                self.retry_at = now.saturating_add(self.retry_after);
                self.retry_after = (self.retry_after * 2).min(RETRY_MAX_NS);
                false
            }
        }
    }

    /// Takes what has come, and writes what waited.
    pub fn hear(&mut self, now: u64, scratch: &mut [u8], mut each: impl FnMut(&[u8])) {
        let heard = match &mut self.wire {
            Some(Wire::Tap(tap)) => tap.hear(scratch, FRAMES_AT_ONCE, &mut each),
            Some(Wire::Passt(passt)) => passt.flush().and_then(|()| passt.hear(scratch, &mut each)),
            None => Ok(()),
        };
        if let Err(error) = heard {
            self.lose(now, &error);
        }
    }

    pub fn send(&mut self, now: u64, frame: &[u8]) {
        let sent = match &mut self.wire {
            Some(Wire::Tap(tap)) => tap.send(frame),
            Some(Wire::Passt(passt)) => passt.send(frame),
            None => Sent::Full,
        };
        match sent {
            Sent::Yes => {}
            Sent::Full => self.report.unsent += 1,
            Sent::Lost(error) => {
                self.report.unsent += 1;
                self.lose(now, &error);
            }
        }
    }

    fn lose(&mut self, now: u64, error: &io::Error) {
        say!("switch: {} is lost: {error}", self.spec);
        self.wire = None;
        self.report.lost += 1;
        self.retry_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uplinks_parse_and_bad_ones_are_told_in_words() {
        assert_eq!("passt:/tmp/p".parse(), Ok(UplinkSpec::Passt("/tmp/p".into())));
        assert_eq!("tap:tap0".parse(), Ok(UplinkSpec::Tap(TapName("tap0".into()))));
        for (bad, word) in [("passt:", "socket"), ("slirp:x", "passt:SOCKET"), ("", "passt:SOCKET")] {
            let told = bad.parse::<UplinkSpec>().unwrap_err();
            assert!(told.contains(word), "{told}");
        }
    }

    #[test]
    fn a_name_that_linux_would_cut_or_refuse_is_refused_here() {
        for good in ["tap0", "a", "lockstep-tap-15"] {
            assert!(good.parse::<TapName>().is_ok(), "{good}");
        }
        for bad in ["", "lockstep-tap-016", "tap 0", "a/b", "..", "tap%d", "täp"] {
            assert!(bad.parse::<TapName>().is_err(), "{bad}");
        }
        assert!("lockstep-tap-016".parse::<TapName>().unwrap_err().contains("16"));
    }

    #[test]
    fn every_error_names_a_way_on() {
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let errors = [
            (UplinkError::NoTun(gone()), "modprobe"),
            (UplinkError::MayNotUseTun(gone()), "chmod 666 /dev/net/tun"),
            (UplinkError::MayNotCreate("tap9".into()), "ip tuntap add dev tap9"),
            (UplinkError::NotATap("eth0".into()), "bridge"),
            (UplinkError::Busy("tap9".into()), "each switch"),
            (UplinkError::Down("tap9".into()), "ip link set tap9 up"),
            (UplinkError::Passt { socket: "/tmp/p".into(), error: gone() }, "passt --socket /tmp/p"),
        ];
        for (error, word) in errors {
            assert!(error.fix().contains(word), "{error}: {}", error.fix());
        }
    }
}

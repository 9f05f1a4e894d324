//! A TAP device: frames by `read` and `write`, one each.
//!
//! Opened if it exists, made if we may (it then goes with this process), brought up if it is down and we
//! may. Offloads are off: each frame is whole and has its checksums.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use super::{Sent, UplinkError};

const EBUSY: i32 = rustix::io::Errno::BUSY.raw_os_error();
const EINVAL: i32 = rustix::io::Errno::INVAL.raw_os_error();
const EPERM: i32 = rustix::io::Errno::PERM.raw_os_error();
const EIO: i32 = rustix::io::Errno::IO.raw_os_error();
const ENOBUFS: i32 = rustix::io::Errno::NOBUFS.raw_os_error();
/// IFF_UP of `/sys/class/net/NAME/flags`.
const FLAG_UP: u32 = 1;

pub struct Tap {
    device: SyncDevice,
}

fn describe(name: &str, existed: bool, error: io::Error) -> UplinkError {
    let named = name.to_owned();
    match error.raw_os_error() {
        Some(EPERM) if existed => UplinkError::NotOurs(named),
        Some(EPERM) => UplinkError::MayNotCreate(named),
        Some(EBUSY) => UplinkError::Busy(named),
        Some(EINVAL) if existed => UplinkError::NotATap(named),
        _ => UplinkError::Tap { name: named, error },
    }
}

fn is_up(name: &str) -> bool {
    let flags = fs::read_to_string(format!("/sys/class/net/{name}/flags")).unwrap_or_default();
    u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).is_ok_and(|flags| flags & FLAG_UP != 0)
}

impl Tap {
    pub fn open(name: &str) -> Result<Self, UplinkError> {
        match fs::File::options().read(true).write(true).open("/dev/net/tun") {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return Err(UplinkError::MayNotUseTun(error));
            }
            Err(error) => return Err(UplinkError::NoTun(error)),
        }
        let existed = Path::new("/sys/class/net").join(name).exists();
        let opened = DeviceBuilder::new().name(name).layer(Layer::L2).inherit_enable_state().build_sync();
        let device = opened.map_err(|error| describe(name, existed, error))?;
        device.set_nonblocking(true).map_err(|error| UplinkError::Tap { name: name.into(), error })?;
        // Where `/sys` shows another namespace's interfaces, asking for what is so already does no harm.
        if !is_up(name)
            && let Err(error) = device.enabled(true)
        {
            return Err(match error.raw_os_error() {
                Some(EPERM) => UplinkError::Down(name.to_owned()),
                _ => UplinkError::Tap { name: name.into(), error },
            });
        }
        Ok(Self { device })
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }

    pub fn hear(
        &mut self,
        scratch: &mut [u8],
        frames_max: usize,
        each: &mut impl FnMut(&[u8]),
    ) -> io::Result<()> {
        for _ in 0..frames_max {
            match self.device.recv(scratch) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => each(&scratch[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub fn send(&mut self, frame: &[u8]) -> Sent {
        loop {
            return match self.device.send(frame) {
                Ok(_) => Sent::Yes,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => Sent::Full,
                // An interface that is down, without memory, or that a frame is not right for: it is
                // still there.
                Err(error) if matches!(error.raw_os_error(), Some(EIO | ENOBUFS | EINVAL)) => Sent::Full,
                Err(error) => Sent::Lost(error),
            };
        }
    }
}

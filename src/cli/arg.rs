//! Arguments that several subcommands share, parsed fully before anything acts.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use super::{Failure, elf};
use crate::ft::{Arbiter, ArbiterError};
use crate::host::arbiter::Place;
use crate::host::logdir::LogWriter;
use crate::machine::config::{RAM_BYTES_MAX, RAM_BYTES_MIN};
use crate::machine::{BootOptions, Machine};
use crate::net::Mac;
use crate::net::gateway::GATEWAY_MAC;

/// `128M`, `1G`, `65536K` or bytes, where the letters stand for powers of 1024.
pub fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        unit => return Err(format!("{unit:?} is no unit; write for example 128M or 1G")),
    };
    let count: u64 =
        digits.parse().map_err(|_| format!("{digits:?} is no number; write for example 128M"))?;
    count.checked_mul(1 << shift).ok_or_else(|| "more bytes than can be counted".into())
}

/// The same, as a whole number of 4 KiB pages.
pub fn memory(text: &str) -> Result<u64, String> {
    let bytes = bytes(text)?;
    if !(RAM_BYTES_MIN..=RAM_BYTES_MAX).contains(&bytes) {
        return Err(format!("a guest has {}M to {}G of memory", RAM_BYTES_MIN >> 20, RAM_BYTES_MAX >> 30));
    }
    if bytes % 4096 != 0 {
        return Err("memory is a whole number of 4 KiB pages".into());
    }
    Ok(bytes)
}

/// A number of instructions: `50M`, `2G`, `65536`, where the letters stand for powers of ten.
pub fn instructions(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" => 1,
        "K" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        unit => return Err(format!("{unit:?} is no unit; write for example 50M")),
    };
    let count: u64 = digits.parse().map_err(|_| format!("{digits:?} is no number; write for example 50M"))?;
    count.checked_mul(unit).ok_or_else(|| "more instructions than can be counted".into())
}

/// A guest's Ethernet address: one station's, neither a group's nor nobody's.
pub fn mac(text: &str) -> Result<Mac, String> {
    let mac: Mac = text.parse()?;
    if !mac.is_station() {
        return Err(format!(
            "{mac} is no single station's address: the first byte must be even, as in 52:54:00:12:34:56"
        ));
    }
    if mac == GATEWAY_MAC {
        return Err(format!("{mac} is the gateway's own address: choose another"));
    }
    Ok(mac)
}

/// A vm's name: it becomes a directory's name at the arbiter.
pub fn vm(text: &str) -> Result<String, String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if text.is_empty() || text.len() > 64 || text.starts_with('.') || !text.chars().all(fine) {
        return Err(
            "a vm's name is 1 to 64 letters, digits, '-', '_' or '.', and does not begin with '.'".into()
        );
    }
    Ok(text.to_owned())
}

/// Reads a guest and puts it into a machine.
pub fn boot(path: &Path, options: BootOptions) -> Result<Machine, Failure> {
    let bytes = read_guest(path, "the guest's ELF file")?;
    let named =
        |failure: Failure| Failure { what: format!("{}: {}", path.display(), failure.what), ..failure };
    let guest = elf::parse(&bytes).map_err(named)?;
    elf::say_what_is_unused(path, &guest);
    elf::boot(&guest, BootOptions { guest: file_name(path), ..options }).map_err(named)
}

/// What a guest is called that comes from here.
pub fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// Reads a guest's file, refusing what cannot be one before it is in memory. `what` is what to name.
pub fn read_guest(path: &Path, what: &str) -> Result<Vec<u8>, Failure> {
    const GUEST_BYTES_MAX: u64 = 1 << 30;
    const NAME: &str = "name a file that exists and can be read:";
    let failed = |error| Failure::new(format!("{}: {error}", path.display())).fix(format!("{NAME} {what}"));
    let meta = std::fs::metadata(path).map_err(failed)?;
    if !meta.is_file() {
        return Err(Failure::new(format!("{} is not a file", path.display())).fix(format!("{NAME} {what}")));
    }
    if meta.len() > GUEST_BYTES_MAX {
        return Err(Failure::new(format!(
            "{} has {} bytes: too large for a guest",
            path.display(),
            meta.len()
        ))
        .fix(format!("{NAME} {what}, of at most {} MiB", GUEST_BYTES_MAX >> 20)));
    }
    std::fs::read(path).map_err(failed)
}

/// Listens for joiners and tools.
pub fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).map_err(|error| {
        let failure = Failure::new(format!("cannot listen on {address}: {error}"));
        match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                failure.fix("another process has this port: choose another --listen")
            }
            _ => failure.fix("choose an address of this host and a port above 1023"),
        }
    })
}

/// Looks at where a recording is to go, before anything is started that would have to be undone.
pub fn record(dir: Option<&Path>) -> Result<(), Failure> {
    dir.map_or(Ok(()), |dir| LogWriter::check(dir).map_err(Failure::of_recording))
}

/// Opens the arbiter.
pub fn arbiter(place: &Place) -> Result<Box<dyn Arbiter>, Failure> {
    place.open().map_err(|error| arbiter_failed(place, error))
}

/// The arbiter has decided nothing.
pub fn arbiter_failed(place: &Place, error: ArbiterError) -> Failure {
    let advice = place.advice(&error);
    Failure::new(error).fix(advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_sizes_are_read_as_people_write_them() {
        assert_eq!(memory("128M"), Ok(128 << 20));
        assert_eq!(memory("1g"), Ok(1 << 30));
        assert_eq!(memory("8388608"), Ok(8 << 20));
        for bad in ["", "M", "12Q", "100", "1048577", "3M", "8G", "999999999G", "-1M"] {
            assert!(memory(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn instructions_are_counted_in_powers_of_ten() {
        assert_eq!(instructions("50M"), Ok(50_000_000));
        assert_eq!((instructions("0"), instructions("7k")), (Ok(0), Ok(7_000)));
        for bad in ["", "M", "5Q", "-1", "99999999999G"] {
            assert!(instructions(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_guests_address_is_one_stations() {
        assert_eq!(mac("52:54:00:12:34:56"), Ok(Mac([0x52, 0x54, 0, 0x12, 0x34, 0x56])));
        for bad in
            ["", "52:54", "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", "52:54:00:4c:53:ff"]
        {
            assert!(mac(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_vm_name_cannot_leave_its_directory() {
        assert!(vm("kv-1.test").is_ok());
        for bad in ["", ".", "..", "../x", "a/b", "a b", "é"] {
            assert!(vm(bad).is_err(), "{bad}");
        }
    }
}

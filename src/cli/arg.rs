//! Arguments that several subcommands share, parsed fully before anything acts.

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs};
use std::path::Path;

use super::{Failure, elf};
use crate::ft::{Arbiter, ArbiterError};
use crate::host::arbiter::Place;
use crate::host::logdir::LogWriter;
use crate::machine::config::{RAM_BYTES_MAX, RAM_BYTES_MIN};
use crate::machine::{BootOptions, Machine};
use crate::net::Mac;
use crate::net::gateway::GATEWAY_MAC;
use crate::net::{Forward, forward::ForwardError};

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

/// A guest's Ethernet address: one station's, neither a group's nor all zero.
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
    let bytes = read_elf(path, "the guest's ELF file")?;
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
    read_if(path, what, |_| true)
}

/// The same for an ELF file. Of one for another machine (a host's own programs are large) only the header is read:
/// whoever parses it says what is wrong.
pub fn read_elf(path: &Path, what: &str) -> Result<Vec<u8>, Failure> {
    read_if(path, what, |header| match (header.get(..4), header.get(18..20)) {
        (Some(b"\x7fELF"), Some(machine)) => *machine == 243_u16.to_le_bytes(),
        _ => true,
    })
}

/// Bytes of a 64-bit ELF file's header.
const HEADER_BYTES: usize = 64;

/// A file's first [`HEADER_BYTES`], and all that follows if `is_wanted` finds nothing against it in them.
fn read_if(path: &Path, what: &str, is_wanted: fn(&[u8]) -> bool) -> Result<Vec<u8>, Failure> {
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
    let mut file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    file.by_ref().take(HEADER_BYTES as u64).read_to_end(&mut bytes).map_err(failed)?;
    if is_wanted(&bytes) {
        bytes.reserve_exact((meta.len() as usize).saturating_sub(bytes.len()));
        file.take(GUEST_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
    }
    Ok(bytes)
}

/// An address with a port, as every command takes it: `127.0.0.1:7000`, `[::1]:7000`, or a name that the host
/// resolves. Of a name with addresses of both kinds the first of IPv4 is taken.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    const FORMS: &str = "it is written HOST:PORT, like 127.0.0.1:7000, [::1]:7000 or host.example:7000";
    if text.parse::<IpAddr>().is_ok() {
        return Err(format!("\"{text}\" has no port: {FORMS}"));
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(|| format!("\"{text}\" has no port: {FORMS}"))?;
    let port: u16 = port.parse().map_err(|_| format!("\"{port}\" is not a port from 0 to 65535: {FORMS}"))?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if bare.is_none() && host.contains(':') {
        return Err(format!("\"{host}\" is not a host; an IPv6 address needs brackets: {FORMS}"));
    }
    let host = bare.unwrap_or(host);
    if host.is_empty() {
        return Err(format!("\"{text}\" names no host: {FORMS}"));
    }
    let resolved = (host, port)
        .to_socket_addrs()
        .map_err(|error| format!("the name \"{host}\" does not resolve: {error}"))?;
    let resolved: Vec<SocketAddr> = resolved.collect();
    let first = resolved.iter().find(|address| address.is_ipv4()).or(resolved.first());
    first.copied().ok_or_else(|| format!("the name \"{host}\" has no address"))
}

/// The same; where no port is given it is `port`.
pub fn address_or(text: &str, port: u16) -> Result<SocketAddr, String> {
    match text.parse::<IpAddr>() {
        Ok(ip) => Ok((ip, port).into()),
        Err(_) if text.contains(':') => address(text),
        Err(_) => address(&format!("{text}:{port}")),
    }
}

/// A forwarded port; its host may be a name.
pub fn forward(text: &str) -> Result<Forward, String> {
    match text.parse() {
        Err(ForwardError::BadListen { part, .. }) => {
            let listen = address(&part).map_err(|error| format!("forward \"{text}\": {error}"))?;
            let resolved = text.replacen(&format!(":{part}="), &format!(":{listen}="), 1);
            resolved.parse().map_err(|error: ForwardError| error.to_string())
        }
        parsed => parsed.map_err(|error| error.to_string()),
    }
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
    fn addresses_are_numbers_or_names_with_a_port() {
        for (text, expected) in [
            ("127.0.0.1:7000", "127.0.0.1:7000"),
            ("[::1]:7000", "[::1]:7000"),
            ("localhost:7000", "127.0.0.1:7000"),
            ("[localhost]:0", "127.0.0.1:0"),
        ] {
            assert_eq!(address(text).map(|address| address.to_string()), Ok(expected.into()), "{text}");
        }
        for (text, word) in [
            ("", "no port"),
            ("localhost", "no port"),
            ("127.0.0.1", "no port"),
            ("::1", "no port"),
            (":7000", "no host"),
            ("localhost:http", "\"http\" is not a port"),
            ("localhost:65536", "\"65536\" is not a port"),
            ("::1:7000:x:1", "brackets"),
            ("no-such-host.invalid:1", "\"no-such-host.invalid\" does not resolve"),
        ] {
            let error = address(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
        assert_eq!(address_or("::1", 53), Ok("[::1]:53".parse().unwrap()));
        assert_eq!(address_or("localhost", 53), Ok("127.0.0.1:53".parse().unwrap()));
        assert_eq!(address_or("localhost:54", 53), Ok("127.0.0.1:54".parse().unwrap()));
    }

    #[test]
    fn a_forward_may_name_its_host() {
        let parsed = |text: &str| forward(text).map(|forward| forward.to_string());
        assert_eq!(parsed("tcp:localhost:8080=80"), Ok("tcp:127.0.0.1:8080=80".into()));
        assert_eq!(parsed("udp:[::1]:53=5353"), Ok("udp:[::1]:53=5353".into()));
        assert!(parsed("tcp:no-such-host.invalid:1=1").unwrap_err().contains("does not resolve"));
        assert!(parsed("tcp:=80").is_err() && parsed("tcp:localhost:80=0").is_err());
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

//! A Debian guest uses the switch's gateway to the world, with its own tools: glibc's resolver asks by TCP what
//! does not fit into a datagram, busybox's `tftp` sends and receives datagrams in fragments, `ping` is answered or
//! told that there is no way, and the host's own services are found at the gateway where a rule allows it.
//!
//! The switch and the world are in a network namespace of the test's own. Where Debian's packages or namespaces
//! are out of reach the test says so loudly.

#[allow(dead_code, reason = "a tool box that several test programs share")]
mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lockstep::lab::linux::Images;
use lockstep::lab::onlooker::Onlooker;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use common::linux::images;
use common::networked::{Switch, ask, boot};
use common::{has, skipped};

/// An address of the world that answers pings.
const ALIVE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// The world has no route here.
const NOWHERE: &str = "203.0.113.9";
/// The host may ping here, the guest may not.
const FORBIDDEN: &str = "192.0.2.1";
const NAME: &str = "big.here.test";
/// Each takes 16 bytes of the answer: four times what a datagram may hold.
const ADDRESSES: u8 = 128;
/// Of a TFTP block: a datagram of six fragments.
const BLOCK: usize = 8192;
const FILE_BYTES: usize = BLOCK + 1000;

/// A network namespace, which ends with this.
struct World(String);

impl World {
    fn make() -> Option<Self> {
        if !has("ip") {
            skipped("no `ip` here, so no Linux guest reaches the world");
            return None;
        }
        let world = Self(format!("lsh{}-world", std::process::id()));
        let made = Command::new("ip").args(["netns", "add", &world.0]).output().unwrap();
        if !made.status.success() {
            let why = String::from_utf8_lossy(&made.stderr).trim().to_owned();
            skipped(&format!("network namespaces cannot be made here (run as root): {why}"));
            return None;
        }
        world.ip("link set dev lo up");
        world.ip(&format!("addr add {ALIVE}/24 dev lo"));
        world.ip(&format!("addr add {FORBIDDEN}/32 dev lo"));
        world.ip("route add unreachable 203.0.113.0/24");
        Some(world)
    }

    fn ip(&self, words: &str) {
        let run = Command::new("ip").args(["-n", &self.0]).args(words.split(' ')).output().unwrap();
        assert!(run.status.success(), "ip {words}: {}", String::from_utf8_lossy(&run.stderr));
    }

    /// Runs it in there; the threads and processes that it starts stay there.
    fn inside<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(Path::new("/run/netns").join(&self.0)).unwrap();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                what()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for World {
    fn drop(&mut self) {
        Command::new("ip").args(["netns", "del", &self.0]).output().ok();
    }
}

/// RFC 1035 4.1: the answer to a question, with all addresses or, by UDP, truncated without any.
fn dns_answer(asked: &[u8], by_tcp: bool) -> Option<Vec<u8>> {
    let question = asked.get(12..)?;
    let end = question.iter().position(|byte| *byte == 0)? + 5;
    let question = question.get(..end)?;
    let name: Vec<u8> =
        NAME.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
    let known = question == [&name[..], &[0, 0, 1, 0, 1]].concat();
    let (flags, count) = match (known, by_tcp) {
        (true, true) => (0x81, ADDRESSES),
        (true, false) => (0x83, 0),
        (false, _) => (0x81, 0),
    };
    let mut answer = [&asked[..2], &[flags, 0x80, 0, 1, 0, count, 0, 0, 0, 0], question].concat();
    for n in 1..=count {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 198, 51, 100, n]);
    }
    Some(answer)
}

/// A resolver for the one name; how often it was asked by TCP. Its threads end with the process.
fn resolver() -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let socket = UdpSocket::bind(at).unwrap();
    let by_tcp = Arc::new(AtomicU64::new(0));
    std::thread::spawn(move || {
        let mut bytes = [0; 2048];
        while let Ok((length, asker)) = socket.recv_from(&mut bytes) {
            if let Some(answer) = dns_answer(&bytes[..length], false) {
                socket.send_to(&answer, asker).ok();
            }
        }
    });
    let count = Arc::clone(&by_tcp);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // Several questions may come by one connection, each behind its length (RFC 1035 4.2.2).
            let mut length = [0; 2];
            while stream.read_exact(&mut length).is_ok() {
                let mut asked = vec![0; u16::from_be_bytes(length).into()];
                stream.read_exact(&mut asked).unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                let answer = dns_answer(&asked, true).unwrap();
                assert!(answer.len() < 512 || answer.len() > 2000);
                let length = (answer.len() as u16).to_be_bytes();
                if stream.write_all(&[&length[..], &answer].concat()).is_err() {
                    break;
                }
            }
        }
    });
    (at, by_tcp)
}

/// Answers one TFTP transfer after the other from one port (RFC 1350, options by RFC 2347 and 2348): keeps what
/// is written, and sends that to each reader.
fn tftp_server() -> (SocketAddr, Arc<std::sync::Mutex<Vec<usize>>>) {
    let socket = UdpSocket::bind((ALIVE, 0)).unwrap();
    let at = socket.local_addr().unwrap();
    let lengths = Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = Arc::clone(&lengths);
    std::thread::spawn(move || {
        let (mut bytes, mut file) = (vec![0; 65_536], Vec::new());
        let block = BLOCK.to_string();
        let accepted = [b"\0\x06blksize\0", block.as_bytes(), b"\0"].concat();
        while let Ok((length, from)) = socket.recv_from(&mut bytes) {
            let datagram = &bytes[..length];
            heard.lock().unwrap().push(length);
            let number = datagram.get(2..4).map_or(0, |n| usize::from(u16::from_be_bytes([n[0], n[1]])));
            let answer = match datagram.get(1) {
                Some(1) => accepted.clone(),
                Some(2) => {
                    file.clear();
                    accepted.clone()
                }
                Some(3) => {
                    if file.len() == (number - 1) * BLOCK {
                        file.extend(&datagram[4..]);
                    }
                    [&[0, 4], &datagram[2..4]].concat()
                }
                Some(4) if number * BLOCK <= file.len() => {
                    let rest = &file[number * BLOCK..];
                    let next = (number as u16 + 1).to_be_bytes();
                    [&[0, 3], &next[..], &rest[..rest.len().min(BLOCK)]].concat()
                }
                _ => continue,
            };
            socket.send_to(&answer, from).unwrap();
        }
    });
    (at, lengths)
}

/// A service of the host that greets by TCP.
fn greeter(greeting: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            stream.unwrap().write_all(greeting.as_bytes()).ok();
        }
    });
    port
}

#[track_caller]
fn hears(console: &mut Onlooker, command: &str, words: &[&str]) {
    let said = ask(console, command);
    for word in words {
        assert!(said.contains(word), "{command}: no {word:?} in {said}");
    }
}

#[test]
fn a_linux_guest_reaches_the_world_by_the_gateway() {
    let Some(images) = images("no Linux guest reaches the world") else { return };
    let Some(world) = World::make() else { return };
    world.inside(|| reaches_the_world(&images));
}

fn reaches_the_world(images: &Images) {
    // Root's group may ping; this setting belongs to the namespace.
    std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (dns, by_tcp) = resolver();
    let (tftp, lengths) = tftp_server();
    let (allowed, denied) = (greeter("hello from the host\n"), greeter("a secret\n"));
    let words: Vec<String> = ["--dns".to_owned(), dns.to_string()]
        .into_iter()
        .chain(
            [format!("127.0.0.0/8:{allowed}"), "198.51.100.0/24".into(), "203.0.113.0/24".into()]
                .into_iter()
                .flat_map(|rule| ["--outbound".to_owned(), rule]),
        )
        .collect();
    let switch = Switch::start(dir.path(), &words);
    let (_cluster, primary, mut console) = boot(images, dir.path(), &switch);

    // The answer by UDP is truncated, so glibc's resolver asks by TCP.
    hears(&mut console, &format!("ping -c 1 -W 2 {NAME}"), &[&format!("PING {NAME} (198.51.100.")]);
    assert!(by_tcp.load(Ordering::Relaxed) > 0, "asked by TCP");

    let alive = ALIVE.to_string();
    hears(&mut console, &format!("ping -c 2 {alive}"), &["2 packets received", "status 0 "]);
    // An echo in fragments, there and back.
    hears(&mut console, &format!("ping -c 1 -s 4000 {alive}"), &["4008 bytes from", "status 0 "]);
    for nowhere in [NOWHERE, FORBIDDEN] {
        // busybox's ping says nothing of ICMP errors; what the kernel was told it counts.
        let before = unreachables(&mut console);
        hears(&mut console, &format!("ping -c 1 -W 1 {nowhere}"), &["0 packets received", "status 1 "]);
        assert_eq!(unreachables(&mut console), before + 1, "{nowhere}");
    }

    let size = FILE_BYTES;
    let transfer = |way| format!("tftp {way} -b {BLOCK} {} {}", tftp.ip(), tftp.port());
    hears(&mut console, &format!("head -c {size} /dev/urandom >/tmp/sent"), &["status 0 "]);
    hears(&mut console, &transfer("-p -l /tmp/sent -r f"), &["status 0 "]);
    hears(&mut console, &transfer("-g -l /tmp/back -r f"), &["status 0 "]);
    hears(&mut console, "wc -c </tmp/back; cmp /tmp/sent /tmp/back", &[&size.to_string(), "status 0 "]);
    let longest = lengths.lock().unwrap().iter().copied().max();
    assert_eq!(longest, Some(BLOCK + 4), "in one datagram, not in several short ones");

    hears(&mut console, &format!("nc 10.0.2.2 {allowed} </dev/null"), &["hello from the host", "status 0 "]);
    let refused = ask(&mut console, &format!("nc 10.0.2.2 {denied} </dev/null"));
    assert!(refused.contains("status 1 ") && !refused.contains("a secret"), "{refused}");
    drop((primary, switch));
}

/// How many "destination unreachable" messages the guest's kernel has received.
fn unreachables(console: &mut Onlooker) -> u64 {
    let said = ask(console, "awk '/^Icmp:/ { print \"unreachable=\" $5 }' /proc/net/snmp");
    let number = said.rsplit("unreachable=").find_map(|rest| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    });
    number.unwrap_or_else(|| panic!("no count in {said}"))
}

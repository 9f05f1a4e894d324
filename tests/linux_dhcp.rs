//! A Debian guest that is given nothing about its network: the kernel's command line says `lockstep.ip=dhcp`,
//! and busybox's `udhcpc`, as Debian ships it, asks the switch's gateway. Address, router and resolver come
//! from there; the lease holds over a takeover, and is renewed after it.
//!
//! Where Debian's packages are neither cached nor within reach the test says so loudly.

#[allow(dead_code, reason = "a tool box that several test programs share")]
mod common;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lockstep::host::switch::query;
use lockstep::lab::cluster::free_tcp;
use lockstep::lab::onlooker::Onlooker;

use common::linux::images;
use common::networked::{PATIENCE, Switch, ask, boot};

/// What the resolver of this test knows, and no other.
const NAME: &str = "only.here.test";
const NAMED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);
/// The guest's echo.
const ECHO_PORT: u16 = 7;

fn dhcp_answers(switch: &Switch) -> u64 {
    let status: serde_json::Value = serde_json::from_str(&query(switch.at).unwrap()).unwrap();
    status["gateway"]["dhcp_answers"].as_u64().unwrap()
}

/// A resolver that knows one name: to every other question, and for IPv6, it says that there is nothing.
fn resolver(done: Arc<AtomicBool>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let at = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let wanted: Vec<u8> = NAME
            .split('.')
            .flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat())
            .chain([0, 0, 1, 0, 1])
            .collect();
        let mut bytes = [0; 512];
        while !done.load(Ordering::Relaxed) {
            let Ok((length, asker)) = socket.recv_from(&mut bytes) else { continue };
            let Some(question) = bytes[..length].get(12..) else { continue };
            let end = question.iter().position(|byte| *byte == 0).map_or(question.len(), |at| at + 5);
            let question = &question[..end.min(question.len())];
            let known = question == wanted;
            // RFC 1035 4.1: an answer, recursion available, one question, one or no answer.
            let mut answer = [&bytes[..2], &[0x81, 0x80, 0, 1, 0, u8::from(known), 0, 0, 0, 0]].concat();
            answer.extend(question);
            if known {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                answer.extend(NAMED.octets());
            }
            socket.send_to(&answer, asker).unwrap();
        }
    });
    at
}

fn echoes(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).unwrap();
    let mut heard = vec![0; text.len()];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(String::from_utf8_lossy(&heard), text);
}

/// What DHCP brought, as the guest's own tools show it.
fn assert_configured(console: &mut Onlooker) {
    let address = ask(console, "ip addr show dev eth0");
    assert!(address.contains("inet 10.0.2.15/24 "), "{address}");
    assert!(address.contains("mtu 1500"), "{address}");
    let routes = ask(console, "ip route");
    assert!(routes.contains("default via 10.0.2.2 dev eth0"), "{routes}");
    let resolver = ask(console, "cat /etc/resolv.conf");
    assert!(resolver.contains("nameserver 10.0.2.3"), "{resolver}");
    // The resolver is asked through the gateway, and what only it knows comes back.
    let found = ask(console, &format!("nslookup {NAME}"));
    assert!(found.contains(&NAMED.to_string()), "{found}");
}

#[test]
fn a_linux_guest_configures_itself_and_keeps_its_lease_over_a_takeover() {
    let Some(images) = images("no DHCP by a Linux guest") else { return };
    let dir = tempfile::tempdir().unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let echo = free_tcp().unwrap();
    let arguments =
        ["--dns", &resolver(Arc::clone(&done)).to_string(), "--forward", &format!("tcp:{echo}={ECHO_PORT}")];
    let switch = Switch::start(dir.path(), &arguments.map(str::to_owned));
    let (mut cluster, mut primary, mut console) = boot(&images, dir.path(), &switch);
    assert_eq!(dhcp_answers(&switch), 2, "an offer and an acknowledgement");
    assert_configured(&mut console);
    let leases = ask(&mut console, "cat /run/lockstep/leases");
    assert!(leases.contains("bound 10.0.2.15/24 from 10.0.2.2 for 86400 s"), "{leases}");

    let listens = format!("netstat -ltn | grep -q :{ECHO_PORT}");
    ask(&mut console, &format!("(nc -ll -p {ECHO_PORT} -e cat &); until {listens}; do sleep 0.1; done"));
    let mut client = TcpStream::connect(echo).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    echoes(&mut client, "before");

    let mut backup = cluster.backup(&primary).unwrap();
    cluster.await_protected(&mut primary).unwrap();
    primary.kill().unwrap();
    cluster.await_status(&mut backup, "the primary", |now| now.role == "primary").unwrap();
    echoes(&mut client, "after");
    assert_eq!(dhcp_answers(&switch), 2, "neither had to ask again");
    assert_configured(&mut console);
    // The guest's client asks for its lease anew, as it would after half a day, and gets the same.
    ask(
        &mut console,
        "kill -USR1 $(cat /run/udhcpc.pid); while ! grep renew /run/lockstep/leases; do sleep 0.1; done",
    );
    let leases = ask(&mut console, "cat /run/lockstep/leases");
    assert!(leases.contains("renew 10.0.2.15/24 from 10.0.2.2 for 86400 s"), "{leases}");
    // udhcpc misses an answer that comes before it has closed the socket that it asked by, and asks again.
    assert!((3..=4).contains(&dhcp_answers(&switch)), "{}", dhcp_answers(&switch));
    assert_configured(&mut console);
    echoes(&mut client, "renewed");
    done.store(true, Ordering::Relaxed);
    drop((primary, backup));
}

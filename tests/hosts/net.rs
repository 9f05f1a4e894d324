//! Network namespaces for hosts, one bridge that they are all plugged into.

use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::common::{has, skipped};

/// Tells apart the networks of one process.
static NETS: AtomicU32 = AtomicU32::new(0);

/// Hosts on one Ethernet segment, 10.0.2.0/24; the n-th has the address 10.0.2.(100+n). Each has its
/// `eth0` in a bridge `br0` of its own, into which a TAP device can be put.
pub struct Net {
    prefix: String,
    hosts: Vec<String>,
}

/// Runs a command that has to succeed.
pub fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {said}", arguments.join(" "));
}

/// Takes away what tests that were killed have left.
fn sweep() {
    let Ok(listing) = fs::read_dir("/run/netns") else { return };
    for entry in listing.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid =
            name.strip_prefix("lsh").and_then(|rest| rest.split_once('-')).map(|(pid, _)| pid.to_owned());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            Command::new("ip").args(["netns", "del", &name]).output().unwrap();
        }
    }
}

impl Net {
    /// None, loudly, where hosts cannot be made; `needs` are programs that the test runs.
    pub fn of(hosts: &[&str], needs: &[&str]) -> Option<Self> {
        if let Some(missing) = ["ip", "nft"].iter().chain(needs).find(|program| !has(program)) {
            skipped(&format!("no {missing} here, so no hosts in network namespaces are tested"));
            return None;
        }
        sweep();
        let prefix = format!("lsh{}-{}-", std::process::id(), NETS.fetch_add(1, Ordering::Relaxed));
        let net = Self { prefix, hosts: hosts.iter().map(|host| host.to_string()).collect() };
        let made = Command::new("ip").args(["netns", "add", &net.ns("segment")]).output().unwrap();
        if !made.status.success() {
            let why = String::from_utf8_lossy(&made.stderr).trim().to_owned();
            skipped(&format!("network namespaces cannot be made here (run as root): {why}"));
            return None;
        }
        net.ip("segment", "link add br0 type bridge");
        net.ip("segment", "link set dev br0 up");
        for (n, host) in hosts.iter().enumerate() {
            run("ip", &["netns", "add", &net.ns(host)]);
            net.ip(host, "link set dev lo up");
            let (ns, segment) = (net.ns(host), net.ns("segment"));
            let veth = format!("link add eth0 netns {ns} type veth peer name {host} netns {segment}");
            run("ip", &veth.split(' ').collect::<Vec<_>>());
            net.ip(host, "link add br0 type bridge");
            net.ip(host, "link set dev eth0 master br0 up");
            net.ip(host, "link set dev br0 up");
            net.ip(host, &format!("addr add 10.0.2.{}/24 dev br0", 101 + n));
            net.ip("segment", &format!("link set dev {host} master br0 up"));
        }
        Some(net)
    }

    pub fn ns(&self, host: &str) -> String {
        format!("{}{host}", self.prefix)
    }

    /// `ip` with these words inside a host.
    pub fn ip(&self, host: &str, words: &str) {
        let ns = self.ns(host);
        let mut arguments = vec!["-n", &ns];
        arguments.extend(words.split(' '));
        run("ip", &arguments);
    }

    /// A TAP device in the host's bridge.
    pub fn add_tap(&self, host: &str, name: &str) {
        self.ip(host, &format!("tuntap add dev {name} mode tap"));
        self.ip(host, &format!("link set dev {name} master br0 up"));
    }

    pub fn address(&self, host: &str) -> String {
        let n = self.hosts.iter().position(|known| known == host).unwrap();
        format!("10.0.2.{}", 101 + n)
    }

    pub fn at(&self, host: &str, port: u16) -> SocketAddr {
        format!("{}:{port}", self.address(host)).parse().unwrap()
    }

    /// Does something from inside a host; threads that are started there stay there.
    pub fn inside<T: Send>(&self, host: &str, what: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(Path::new("/run/netns").join(self.ns(host))).unwrap();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let network = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(namespace.as_fd(), network).unwrap();
                what()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// A command that will run on a host.
    pub fn command(&self, host: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.ns(host), program]);
        command
    }

    /// Drops what comes to `host` from `from`.
    pub fn cut_inbound(&self, host: &str, from: &str) {
        let from = self.address(from);
        let rules = format!(
            "table inet cut {{\n chain hear {{\n type filter hook input priority 0\n ip saddr {from} drop\n }}\n }}\n"
        );
        let mut nft = self.command(host, "nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        nft.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
        assert!(nft.wait().unwrap().success(), "{rules}");
    }

    /// `host` receives from all again.
    pub fn heal(&self, host: &str) {
        let status = self.command(host, "nft").args(["flush", "ruleset"]).status().unwrap();
        assert!(status.success());
    }

    /// Pulls the host's cable.
    pub fn unplug(&self, host: &str) {
        self.ip("segment", &format!("link set dev {host} down"));
    }

    pub fn plug(&self, host: &str) {
        self.ip("segment", &format!("link set dev {host} up"));
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for host in self.hosts.iter().map(String::as_str).chain(["segment"]) {
            // One that was never made is as good as one that is gone.
            Command::new("ip").args(["netns", "del", &self.ns(host)]).output().ok();
        }
    }
}

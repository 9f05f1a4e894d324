//! A Linux guest on the segment and behind passt, and TCP connections to it that outlive its primaries.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use lockstep::lab::linux::Images;

use super::common::linux::images;
use super::common::skipped;
use super::net::Net;
use super::passt::passt;
use super::scene::*;
use crate::common::has;

/// Booting Linux takes its time on a busy machine.
const BOOT: Duration = Duration::from_secs(180);
/// TCP gives up much later than anything here may take.
const ANSWER: Duration = Duration::from_secs(30);

/// One connection to redis that asks and checks; any error is the test's.
struct Redis {
    write: TcpStream,
    read: BufReader<TcpStream>,
    count: u64,
}

impl Redis {
    /// An error if no server answers there.
    fn connect(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER))?;
        let mut redis = Self { read: BufReader::new(stream.try_clone()?), write: stream, count: 0 };
        redis.write.write_all(b"PING\r\n")?;
        let mut line = String::new();
        redis.read.read_line(&mut line)?;
        if line == "+PONG\r\n" { Ok(redis) } else { Err(io::ErrorKind::ConnectionRefused.into()) }
    }

    /// Increments a counter `n` times in one go; each answer is the next number, once and in order.
    fn increment(&mut self, n: u64) {
        self.write.write_all("INCR count\r\n".repeat(n as usize).as_bytes()).unwrap();
        for _ in 0..n {
            let mut line = String::new();
            self.read.read_line(&mut line).unwrap();
            self.count += 1;
            assert_eq!(line, format!(":{}\r\n", self.count));
        }
    }
}

/// A user's `redis-cli`, at its prompt all the time. It would connect again by itself if its connection
/// broke, but as another client.
struct Cli {
    process: Child,
    type_in: ChildStdin,
    shows: BufReader<ChildStdout>,
    id: String,
}

impl Cli {
    fn start(scene: &Scene, at: SocketAddr) -> Self {
        let mut command = scene.net.command("client", "redis-cli");
        command.args(["-h", &at.ip().to_string(), "-p", &at.port().to_string()]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let type_in = process.stdin.take().unwrap();
        let shows = BufReader::new(process.stdout.take().unwrap());
        let mut cli = Self { process, type_in, shows, id: String::new() };
        cli.id = cli.ask("CLIENT ID");
        assert!(cli.id.parse::<u64>().is_ok(), "{}", cli.id);
        cli
    }

    fn ask(&mut self, line: &str) -> String {
        writeln!(self.type_in, "{line}").unwrap();
        let mut shown = String::new();
        self.shows.read_line(&mut shown).unwrap();
        shown.trim_end().to_owned()
    }

    fn assert_same_connection(&mut self) {
        assert_eq!(self.ask("CLIENT ID"), self.id, "it had to connect again");
    }
}

impl Drop for Cli {
    fn drop(&mut self) {
        if self.process.kill().is_ok() {
            self.process.wait().ok();
        }
    }
}

/// Boots Redis on `one`, at the switch of `switches[0]`; then kills the primary twice, each time the backup
/// on the other host goes on. A raw connection and a `redis-cli`, where there is one, live through it.
fn connections_outlive_primaries(
    scene: &mut Scene,
    images: &Images,
    ip: &str,
    at: SocketAddr,
    switches: [&str; 2],
) {
    let [kernel, initrd] = [&images.kernel, &images.initrd_all].map(|path| path.display().to_string());
    scene.guest = ["--kernel", &kernel, "--initrd", &initrd, "--memory", "256M"].map(str::to_owned).into();
    scene.guest.extend(["--append".into(), format!("{} {ip} lockstep.run=redis", images.cmdline)]);
    let mut primary = scene.primary("one", switches[0]);
    let until = Instant::now() + BOOT;
    let (mut redis, mut cli) = loop {
        let stream = scene.net.inside("client", || TcpStream::connect_timeout(&at, Duration::from_secs(1)));
        // A host side that takes every connection lets go of those that the guest does not take.
        if let Ok(Ok(redis)) = stream.map(Redis::connect) {
            break (redis, has("redis-cli").then(|| Cli::start(scene, at)));
        }
        assert!(Instant::now() < until, "redis does not answer: {}", primary.told());
        sleep_ms(200);
    };
    if cli.is_none() {
        skipped("no redis-cli here (Debian: redis-tools), so only our own client is tested");
    }
    redis.increment(10);
    let mut backup = scene.backup("two", "one", switches[1]);
    let (mut hosts, mut switches) = (["one", "two"], switches);
    for generation in 1..=2 {
        redis.increment(50);
        let killed = Instant::now();
        primary.kill();
        if let Some(cli) = &mut cli {
            assert_eq!(cli.ask("INCR by-hand"), generation.to_string());
            cli.assert_same_connection();
        }
        redis.increment(50);
        println!(
            "redis: 50 answers {:.0} ms after the kill, same connection",
            killed.elapsed().as_secs_f64() * 1e3
        );
        scene.await_primary(hosts[1], generation);
        hosts.reverse();
        switches.reverse();
        primary = backup;
        backup = scene.backup(hosts[1], hosts[0], switches[1]);
    }
    redis.increment(10);
    if let Some(cli) = &mut cli {
        cli.assert_same_connection();
    }
    assert!(backup.is_running());
}

/// Each node has a switch of its own: what the client sees is the segment, the bridges and TCP.
#[test]
fn tcp_connections_to_redis_on_a_bridge_outlive_the_primary() {
    let Some(images) = images("no Linux guest on a segment") else { return };
    let Some(net) = Net::of(&["one", "two", "client"], &[]) else { return };
    let mut scene = Scene::of(net);
    let _switches = [scene.tap_switch("one"), scene.tap_switch("two")];
    let at = "10.0.2.15:6379".parse().unwrap();
    connections_outlive_primaries(&mut scene, &images, "", at, ["one", "two"]);
}

/// The host's kernel ends the client's TCP, and passt speaks the guest's; it answers the guest's DHCP, too.
#[test]
fn tcp_connections_to_redis_behind_passt_outlive_the_primary() {
    let Some(images) = images("no Linux guest on a segment") else { return };
    let Some(net) = Net::of(&["one", "two", "wire", "client"], &["passt"]) else { return };
    let mut scene = Scene::of(net);
    scene.net.ip("wire", &format!("route add default via {}", scene.net.address("client")));
    let socket = scene.dir.path().join("passt.socket");
    let _passt = passt(&scene, "wire", &socket);
    let _switch = scene.switch("wire", &["--uplink", &format!("passt:{}", socket.display())]);
    let at = scene.net.at("wire", 6379);
    connections_outlive_primaries(&mut scene, &images, "lockstep.ip=dhcp", at, ["wire", "wire"]);
}

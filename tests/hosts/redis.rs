//! A Linux guest on the segment, and a TCP connection to it that outlives its primary.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use lockstep::cli::demo::linux::guest_words;

use super::common::linux::images;
use super::net::Net;
use super::scene::*;

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
    fn connect(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(ANSWER)).unwrap();
        Self { read: BufReader::new(stream.try_clone().unwrap()), write: stream, count: 0 }
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

#[test]
fn a_tcp_connection_to_redis_outlives_the_primary() {
    let Some(images) = images("no Linux guest on a segment") else { return };
    let Some(net) = Net::of(&["one", "two", "client"], &[]) else { return };
    let mut scene = Scene::of(net);
    scene.guest = guest_words(&images);
    scene.guest.extend(["--memory", "256M"].map(str::to_owned));
    // Each node has a switch of its own: what the client sees is the segment, the bridges and TCP.
    let _switches = [scene.tap_switch("one"), scene.tap_switch("two")];
    let mut primary = scene.primary("one", "one");
    let until = Instant::now() + BOOT;
    let mut redis = loop {
        let stream = scene.net.inside("client", || {
            TcpStream::connect_timeout(&"10.0.2.15:6379".parse().unwrap(), Duration::from_secs(1))
        });
        if let Ok(stream) = stream {
            break Redis::connect(stream);
        }
        assert!(Instant::now() < until, "redis does not answer: {}", primary.told());
        sleep_ms(200);
    };
    redis.increment(10);
    let mut backup = scene.backup("two", "one", "two");
    let mut hosts = ["one", "two"];
    for generation in 1..=2 {
        redis.increment(50);
        let killed = Instant::now();
        primary.kill();
        redis.increment(50);
        println!(
            "redis: 50 answers {:.0} ms after the kill, same connection",
            killed.elapsed().as_secs_f64() * 1e3
        );
        scene.await_reign(hosts[1], generation);
        hosts.reverse();
        primary = backup;
        backup = scene.backup(hosts[1], hosts[0], hosts[1]);
    }
    redis.increment(10);
    assert!(backup.is_running());
}

//! The client against a server of which we know what it does wrong: a check that cannot fail checks
//! nothing.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::*;
use crate::base::Prng;

/// What a fake server does wrong; each at the given request, counted from 0, once.
#[derive(Clone, Copy, Debug, Default)]
struct Wrong {
    /// Answers a write and forgets it.
    forget_at: Option<u64>,
    /// Forgets everything, like a guest restored from an old state.
    amnesia_at: Option<u64>,
    /// Executes a repeated request again, and increments twice as if it had been one.
    twice_at: Option<u64>,
    /// Sends the same answer twice.
    echo_at: Option<u64>,
    /// Answers with something else.
    nonsense_at: Option<u64>,
    /// Loses one of so many requests, and as many answers.
    loss_one_in: u64,
    /// Is silent for 80 ms.
    silent_at: Option<u64>,
    /// Is silent for ever.
    dead_at: Option<u64>,
}

struct FakeKv {
    at: SocketAddr,
    keys: Arc<Mutex<BTreeMap<String, String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl FakeKv {
    fn start(wrong: Wrong) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let at = socket.local_addr().unwrap();
        let (stop, keys) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let (stopped, shared) = (Arc::clone(&stop), Arc::clone(&keys));
        let thread = std::thread::spawn(move || serve(&socket, wrong, &stopped, &shared));
        Self { at, keys, stop, thread: Some(thread) }
    }

    fn config(&self) -> KvConfig {
        let patience = Duration::from_millis(600);
        KvConfig { clients: 4, pause: Duration::from_micros(200), patience, ..KvConfig::new(self.at) }
    }
}

impl Drop for FakeKv {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn serve(socket: &UdpSocket, wrong: Wrong, stop: &AtomicBool, keys: &Mutex<BTreeMap<String, String>>) {
    let mut replies = BTreeMap::<(SocketAddr, String), String>::new();
    let (mut bytes, mut n, mut prng) = ([0; 2048], 0, Prng::new(1));
    while !stop.load(Ordering::Relaxed) {
        let Ok((len, client)) = socket.recv_from(&mut bytes) else { continue };
        let lost = |prng: &mut Prng| wrong.loss_one_in > 0 && prng.chance(1, wrong.loss_one_in);
        if lost(&mut prng) || wrong.dead_at.is_some_and(|at| n >= at) {
            continue;
        }
        let text = String::from_utf8_lossy(&bytes[..len]).into_owned();
        let (id, text) = text.split_once(' ').unwrap();
        let reply = match replies.get(&(client, id.to_string())) {
            Some(reply) => reply.clone(),
            None => {
                let mut keys = keys.lock().unwrap();
                if wrong.amnesia_at == Some(n) {
                    keys.clear();
                }
                let before = keys.clone();
                let mut reply = execute(&mut keys, text);
                // A fault waits for a request that it can spoil.
                let counts = text.starts_with("INCR");
                if wrong.twice_at == Some(n) && counts {
                    reply = execute(&mut keys, text);
                }
                if wrong.forget_at == Some(n) && counts {
                    *keys = before;
                }
                if wrong.nonsense_at == Some(n) {
                    reply = "ERR full".into();
                }
                if wrong.silent_at == Some(n) {
                    std::thread::sleep(Duration::from_millis(80));
                }
                let spoils = [wrong.twice_at, wrong.forget_at].contains(&Some(n));
                n += u64::from(!spoils || counts);
                replies.insert((client, id.to_string()), reply.clone());
                reply
            }
        };
        let reply = format!("{id} {reply}");
        if !lost(&mut prng) {
            socket.send_to(reply.as_bytes(), client).unwrap();
        }
        if wrong.echo_at == Some(n) {
            socket.send_to(reply.as_bytes(), client).unwrap();
            n += 1;
        }
    }
}

fn execute(keys: &mut BTreeMap<String, String>, text: &str) -> String {
    let words: Vec<&str> = text.splitn(3, ' ').collect();
    match words[..] {
        ["PING"] => "PONG".into(),
        ["SET", key, value] => {
            keys.insert(key.into(), value.into());
            "OK".into()
        }
        ["GET", key] => keys.get(key).map_or("NONE".into(), |value| format!("VALUE {value}")),
        ["INCR", key] => {
            let count = keys.get(key).map_or(0, |value| value.parse::<u64>().unwrap()) + 1;
            keys.insert(key.into(), count.to_string());
            format!("VALUE {count}")
        }
        ["DEL", key] => if keys.remove(key).is_some() { "OK" } else { "NONE" }.into(),
        _ => "ERR unknown".into(),
    }
}

fn load(wrong: Wrong) -> Report {
    let server = FakeKv::start(wrong);
    let load = KvLoad::start(server.config()).unwrap();
    std::thread::sleep(Duration::from_millis(250));
    load.stop()
}

#[test]
fn an_honest_server_passes_and_is_left_clean() {
    let server = FakeKv::start(Wrong::default());
    let load = KvLoad::start(server.config()).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert!(load.verify_all());
    let half = load.snapshot();
    assert!(half.verified_keys >= 4, "{half:?}");
    let report = load.stop();
    assert!(report.is_clean(), "{report:?}");
    assert!(report.acked_writes > 100 && report.verified_keys > half.verified_keys, "{report:?}");
    assert!(report.p50_us > 0 && report.p99_us >= report.p50_us && report.longest_gap_ms > 0.0);
    assert!(server.keys.lock().unwrap().is_empty());
    assert!(serde_json::to_value(&report).unwrap()["acked_writes"].is_u64());
}

#[test]
fn a_lossy_network_is_not_the_servers_fault() {
    let report = load(Wrong { loss_one_in: 10, ..Wrong::default() });
    assert!(report.is_clean() && report.repeats > 10, "{report:?}");
}

#[test]
fn a_lost_effect_is_found() {
    let report = load(Wrong { forget_at: Some(100), ..Wrong::default() });
    assert_eq!((report.lost, report.duplicated, report.contradictions), (1, 0, 1), "{report:?}");
    assert!(report.evidence[0].contains("must be answered"), "{report:?}");
}

#[test]
fn a_server_that_forgot_everything_is_found() {
    let report = load(Wrong { amnesia_at: Some(300), ..Wrong::default() });
    assert!(report.lost > 10 && report.duplicated == 0, "{report:?}");
}

#[test]
fn an_effect_that_happened_twice_is_found() {
    let report = load(Wrong { twice_at: Some(100), ..Wrong::default() });
    assert_eq!((report.lost, report.duplicated), (0, 1), "{report:?}");
}

#[test]
fn an_answer_too_many_is_found() {
    let report = load(Wrong { echo_at: Some(100), ..Wrong::default() });
    assert_eq!((report.answers_too_many, report.contradictions), (1, 0), "{report:?}");
}

#[test]
fn an_error_is_found() {
    let report = load(Wrong { nonsense_at: Some(100), ..Wrong::default() });
    assert_eq!(report.errors, 1, "{report:?}");
    assert!(!report.is_clean());
}

#[test]
fn a_pause_is_measured_and_its_end_is_found() {
    let server = FakeKv::start(Wrong { silent_at: Some(300), ..Wrong::default() });
    let begun = Instant::now();
    let load = KvLoad::start(server.config()).unwrap();
    std::thread::sleep(Duration::from_millis(400));
    let (end, gap) = load.longest_gap_since(begun).unwrap();
    let again = load.first_answer_to_request_after(end - Duration::from_millis(20)).unwrap();
    assert!(again >= end - Duration::from_millis(20), "not before it was asked");
    assert!((80..140).contains(&gap.as_millis()), "{gap:?}");
    let report = load.stop();
    assert!(report.is_clean() && (80.0..140.0).contains(&report.longest_gap_ms), "{report:?}");
}

#[test]
fn a_server_that_died_is_given_up_and_the_load_ends() {
    let report = load(Wrong { dead_at: Some(100), ..Wrong::default() });
    assert!(report.given_up >= 4 && report.lost == 0, "{report:?}");
    assert!(!report.is_clean());
}

#[test]
fn one_question_is_answered_or_given_up() {
    let server = FakeKv::start(Wrong { loss_one_in: 3, ..Wrong::default() });
    assert_eq!(request(server.at, "PING", Duration::from_secs(5)).unwrap(), "PONG");
    assert_eq!(request(server.at, "GET nothing", Duration::from_secs(5)).unwrap(), "NONE");
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = request(closed, "PING", Duration::from_millis(100)).unwrap_err();
    assert!(matches!(error, RequestError::Unanswered { .. }), "{error}");
}

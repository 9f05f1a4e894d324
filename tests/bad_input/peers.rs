//! Peers that are none: on a node's port, on the switch's, and in the place of a primary or a backup.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use lockstep::base::{Digest, Generation, Icount, NodeId, Prng, Seq};
use lockstep::cli::arg;
use lockstep::ft::Ack;
use lockstep::ft::Message;
use lockstep::ft::message::{self, PREAMBLE_BYTES};
use lockstep::lab::cluster::{Cluster, Process};
use lockstep::log::frame::{FrameBuilder, decode_frame};
use lockstep::log::{Entry, Event};
use lockstep::machine::{BootOptions, Saved};
use lockstep::snapshot::Encoder;
use tempfile::TempDir;

use crate::common::hear;
use crate::support::{Ran, clean, cluster, free_port, guest, load, lockstep, peak_kib, until, watch};

const PATIENCE: Duration = Duration::from_secs(20);

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap_or_else(|error| panic!("{to}: {error}"));
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// The preamble and `messages`, as bytes.
fn opening(messages: &[Message]) -> Vec<u8> {
    let mut bytes = message::preamble().to_vec();
    messages.iter().for_each(|message| message.encode(&mut bytes));
    bytes
}

/// Says `message`; false when the other side has closed.
fn say(stream: &mut TcpStream, message: &Message) -> bool {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    stream.write_all(&bytes).is_ok()
}

/// Waits until the other side closes.
#[track_caller]
fn closed(mut stream: TcpStream) {
    let mut scratch = [0; 65_536];
    loop {
        match stream.read(&mut scratch) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => panic!("not closed: {error}"),
        }
    }
}

fn join(vm: &str) -> Message {
    Message::Join { vm: vm.into(), node: NodeId(77) }
}

/// What unknown peers send that must be ignored.
fn attacks() -> Vec<(String, Vec<u8>)> {
    let mut other_version = message::preamble().to_vec();
    other_version[8] += 1;
    let with = |tail: &[u8]| [&message::preamble(), tail].concat();
    let mut attacks = vec![
        ("HTTP".into(), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("another version".into(), other_version),
        ("4 GiB".into(), with(&[0xff; 8])),
        ("no length".into(), with(&[0; 8])),
        ("2 MiB first".into(), with(&[0, 0, 32, 0, 1, 2, 3, 4])),
        ("wrong checksum".into(), with(&[1, 0, 0, 0, 9, 9, 9, 9, 9])),
        ("a long name".into(), opening(&[join(&"\u{1}".repeat(2_000_000))])),
        ("a name as long as may be".into(), opening(&[join(&"\u{1}".repeat(4080))])),
        ("another vm".into(), opening(&[join("../../etc")])),
        ("terminal codes".into(), opening(&[Message::Bye { why: "\x1b[2J\x07".into() }])),
        ("out of turn".into(), opening(&[Message::Chunk(vec![0; 100])])),
        ("log from nowhere".into(), opening(&[Message::Log(vec![0xa7; 100])])),
        (
            "an acknowledgement from nowhere".into(),
            opening(&[Message::Ack {
                received: Seq::MAX,
                durable: Seq::ZERO,
                executed: Icount::MAX,
                audited: None,
            }]),
        ),
    ];
    for seed in 0..12 {
        let mut prng = Prng::new(seed);
        let mut bytes = vec![0; prng.between(1, 5000) as usize];
        prng.fill(&mut bytes);
        if seed % 2 == 0 {
            bytes.splice(..0, message::preamble());
        }
        attacks.push((format!("noise {seed}"), bytes));
    }
    attacks
}

#[test]
fn unknown_peers_on_a_nodes_port_are_closed_while_it_serves() {
    let dir = TempDir::new().unwrap();
    let mut cluster = cluster(&dir);
    let (mut primary, mut backup) = cluster.pair().unwrap();
    let load = load(&cluster, 1);
    let memory = [&primary, &backup].map(|node| peak_kib(node.child.id()).unwrap());
    for node in [&primary, &backup] {
        for (name, bytes) in attacks() {
            eprintln!("{}: {name}", node.name);
            let mut stream = connect(node.address);
            // It may be closed before all of it is written.
            stream.write_all(&bytes).ok();
            closed(stream);
        }
        // Stalls in the middle of everything: the connection ends, not the node.
        let whole = opening(&[Message::Status]);
        let mut stalled = Vec::new();
        for len in [0, 5, PREAMBLE_BYTES, PREAMBLE_BYTES + 3, whole.len() - 1] {
            let mut stream = connect(node.address);
            stream.write_all(&whole[..len]).unwrap();
            stalled.push(stream);
        }
        // One that sends byte by byte, slower than any limit allows.
        let mut drip = connect(node.address);
        drip.write_all(&message::preamble()).unwrap();
        drip.write_all(&4000u32.to_le_bytes()).unwrap();
        let begun = Instant::now();
        while drip.write_all(&[0]).is_ok() {
            assert!(begun.elapsed() < Duration::from_secs(8), "still listened to");
            std::thread::sleep(Duration::from_millis(50));
        }
        stalled.into_iter().for_each(closed);
        assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
        assert!(node.status().is_ok());
    }
    let status = cluster.await_protected(&mut primary).unwrap();
    assert_eq!(status.generation, Generation(1), "no node was lost: {}", primary.told());
    for (node, before) in [&mut primary, &mut backup].into_iter().zip(memory) {
        let after = peak_kib(node.child.id()).unwrap();
        assert!(after < before + (64 << 10), "{}: {before} then {after} KiB", node.name);
        assert!(!node.told().contains("panicked") && !node.told().contains('\x1b'), "{}", node.told());
    }
    clean(load);
}

#[test]
fn two_hundred_connections_at_once_keep_no_client_from_the_service() {
    let dir = TempDir::new().unwrap();
    let mut cluster = cluster(&dir);
    let (mut primary, backup) = cluster.pair().unwrap();
    let load = load(&cluster, 2);
    let mut idle: Vec<TcpStream> = Vec::new();
    for address in [primary.address, backup.address, cluster.switch.address] {
        idle.extend((0..200).map(|_| connect(address)));
    }
    let before = load.snapshot().answers;
    until("served", PATIENCE, || load.snapshot().answers > before + 500);
    until("talked to", PATIENCE, || primary.status().is_ok() && backup.status().is_ok());
    drop(idle);
    assert_eq!(cluster.await_protected(&mut primary).unwrap().generation, Generation(1));
    clean(load);
}

/// Joins `primary`, which sends its guest's memory.
fn joining(primary: &Process) -> TcpStream {
    let mut stream = connect(primary.address);
    stream.write_all(&opening(&[join("kv")])).unwrap();
    match hear(&mut stream) {
        Some(Message::Memory { .. }) => stream,
        other => panic!("{other:?}"),
    }
}

/// Joins `primary`, takes the memory and gets its offer; the answer is the connection and the next
/// entry's number.
fn joined(primary: &Process) -> (TcpStream, Seq) {
    let mut stream = joining(primary);
    let mut chunks = 0;
    loop {
        match hear(&mut stream) {
            Some(Message::Offer { seq_next, .. }) => return (stream, seq_next),
            Some(Message::MemoryChunk(_)) => {
                chunks += 1;
                assert!(say(&mut stream, &Message::MemoryTaken { chunks }));
            }
            Some(Message::Heartbeat { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Waits for the log entry that makes the joiner count.
#[track_caller]
fn counted(stream: &mut TcpStream) {
    loop {
        if let Message::Log(bytes) = hear(stream).expect("it counts") {
            let (entries, _) = decode_frame(&bytes).unwrap();
            if entries.iter().any(|entry| matches!(entry.event, Event::Joined { .. })) {
                return;
            }
        }
    }
}

fn alone(cluster: &Cluster, primary: &mut Process) -> Generation {
    cluster.await_status(primary, "alone", |status| status.phase == "alone").unwrap().generation
}

#[test]
fn joiners_that_lie_or_leave_cost_the_primary_nothing() {
    let dir = TempDir::new().unwrap();
    let mut cluster = cluster(&dir);
    let mut primary = cluster.primary().unwrap();
    alone(&cluster, &mut primary);
    let load = load(&cluster, 3);
    // Gone at once; garbage; a lie; a second Join; a claim to be the primary.
    drop(joined(&primary));
    alone(&cluster, &mut primary);
    let ack = |received| Message::Ack { received, durable: Seq::ZERO, executed: Icount(0), audited: None };
    let lies: Vec<Vec<u8>> = [
        ack(Seq::MAX),
        join("kv"),
        join(&"\u{1}".repeat(2_000_000)),
        Message::Log(vec![1, 2, 3]),
        Message::Diverged(Box::new(divergence())),
        Message::Bye { why: "\x1b]0;owned\x07".into() },
    ]
    .iter()
    .map(|lie| opening(std::slice::from_ref(lie))[PREAMBLE_BYTES..].to_vec())
    .chain([vec![0xff; 64], vec![0; 64]])
    .collect();
    for lie in &lies {
        let (mut stream, _) = joined(&primary);
        stream.write_all(lie).unwrap();
        closed(stream);
        assert_eq!(alone(&cluster, &mut primary), Generation(1), "{}", primary.told());
    }
    // Lies about memory, and an acknowledgement, before there was an offer.
    for lie in [Message::MemoryTaken { chunks: u32::MAX }, ack(Seq(0)), join("kv")] {
        let mut stream = joining(&primary);
        assert!(say(&mut stream, &lie));
        closed(stream);
        assert_eq!(alone(&cluster, &mut primary), Generation(1), "{}", primary.told());
    }
    // One that counts, and then lies: it is lost like any backup that counted.
    for (round, lie) in lies.iter().enumerate() {
        let (mut stream, seq_next) = joined(&primary);
        assert!(say(&mut stream, &ack(Seq(seq_next.get() - 1))));
        counted(&mut stream);
        stream.write_all(lie).unwrap();
        closed(stream);
        assert_eq!(alone(&cluster, &mut primary), Generation(round as u64 + 2), "{}", primary.told());
    }
    let told = primary.told();
    assert!(!told.contains("panicked") && !told.contains('\x1b'), "{told}");
    // Silence in the middle of the transfer: it is given up, and until then the guest is served.
    let (silent, _) = joined(&primary);
    let before = load.snapshot().answers;
    until("served", PATIENCE, || load.snapshot().answers > before + 500);
    closed(silent);
    alone(&cluster, &mut primary);
    assert!(peak_kib(primary.child.id()).unwrap() < 300 << 10);
    // A real one is welcome still.
    let _backup = cluster.backup(&primary).unwrap();
    cluster.await_protected(&mut primary).unwrap();
    clean(load);
}

fn divergence() -> lockstep::replay::Divergence {
    lockstep::replay::Divergence {
        seq: Seq(1),
        entry_at: Icount(1),
        machine_at: Icount(1),
        expected: "\x1b[2J".repeat(10_000),
        found: String::new(),
        context: vec![],
    }
}

/// A backup that has connected to us instead of to a primary.
struct Victim {
    child: std::process::Child,
    stream: TcpStream,
    node: NodeId,
    listen: String,
    dir: TempDir,
}

impl Victim {
    fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (fake, listen) = (listener.local_addr().unwrap().to_string(), free_port());
        let (arbiter, record) = (crate::support::path(&dir, ""), crate::support::path(&dir, "record"));
        let words = [
            "backup",
            "--vm",
            "kv",
            "--primary",
            &fake,
            "--listen",
            &listen,
            "--arbiter",
            &arbiter,
            "--record",
            &record,
            "--wait",
            "0",
            "--once",
        ];
        let child = lockstep(&words).spawn().unwrap();
        let mut stream = listener.accept().unwrap().0;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut preamble = [0; PREAMBLE_BYTES];
        stream.read_exact(&mut preamble).unwrap();
        message::check_preamble(&preamble).unwrap();
        let Some(Message::Join { vm, node }) = hear(&mut stream) else { panic!("no Join") };
        assert_eq!(vm, "kv");
        Self { child, stream, node, listen, dir }
    }

    fn end(self) -> Ran {
        let ran = watch(self.child, "backup of a fake primary".into());
        drop(self.stream);
        ran
    }
}

/// Reads what a node that dialled us sends first.
fn introduced(listener: &TcpListener) -> (TcpStream, Message) {
    let mut stream = listener.accept().unwrap().0;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let mut preamble = [0; PREAMBLE_BYTES];
    stream.read_exact(&mut preamble).unwrap();
    message::check_preamble(&preamble).unwrap();
    let first = hear(&mut stream).expect("it introduces itself");
    (stream, first)
}

#[test]
fn a_backup_that_diverges_gets_the_state_anew_keeps_its_evidence_and_ends_after_the_third_time() {
    let dir = TempDir::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (fake, listen) = (listener.local_addr().unwrap().to_string(), free_port());
    let (arbiter, store) = (crate::support::path(&dir, ""), crate::support::path(&dir, "store"));
    let mut words = vec!["backup", "--vm", "kv", "--primary", &fake, "--listen", &listen];
    words.extend(["--arbiter", &arbiter, "--store", &store]);
    let store = dir.path().join("store");
    let child = lockstep(&words).spawn().unwrap();
    let wrong = log(&[horizon(1, 1), Entry { seq: Seq(2), at: Icount(1), event: Event::Digest(Digest(1)) }]);
    let mut known = Vec::new();
    for round in 1..=3 {
        let (mut stream, first) = introduced(&listener);
        let Message::Join { node, .. } = first else { panic!("{first:?}") };
        assert!(!known.contains(&node), "another node joins than the one that has diverged");
        known.push(node);
        for message in transfer(saved()) {
            assert!(say(&mut stream, &message));
        }
        let address = listen.parse().unwrap();
        until("it has a store", PATIENCE, || {
            match lockstep::host::link::ask(address, &Message::Status, Duration::from_secs(2)) {
                Ok(Message::Answer { json }) => json.contains("\"store\":{"),
                _ => false,
            }
        });
        assert!(store.join("store").exists() && !store.join("diverged").exists());
        assert!(say(&mut stream, &wrong));
        let divergence = loop {
            if let Message::Diverged(divergence) = hear(&mut stream).expect("it says what is wrong") {
                break divergence;
            }
        };
        assert_eq!((divergence.seq, divergence.machine_at), (Seq(2), Icount(1)), "{round}");
        closed(stream);
    }
    let ran = watch(child, "backup of a lying primary".into());
    ran.ends(
        1,
        &["divergence at position 1", "diverged 3 times within an hour", "evidence of the divergence"],
    );
    let evidence = store.join("divergence-1");
    for name in ["divergence.json", "log.frames", "machine.snap"] {
        assert!(evidence.join(name).metadata().unwrap().len() > 0, "{name}");
    }
    // A third machine tells who was wrong.
    let against = [&store, &evidence].map(|path| path.display().to_string());
    let told = lockstep(&["replay", &against[0], "--against", &against[1]]).output().unwrap();
    let said = String::from_utf8(told.stdout).unwrap();
    assert_eq!(told.status.code(), Some(0), "{said} {}", String::from_utf8_lossy(&told.stderr));
    assert!(said.contains("whoever wrote the log was wrong") && said.contains("memory: the same"), "{said}");
    let listed = lockstep(&["store", "ls", &against[0]]).output().unwrap();
    let said = String::from_utf8(listed.stderr).unwrap();
    assert!(said.contains("has diverged: no process goes on from it"), "{said}");
    // Nothing goes on from its store: neither by itself, nor with another primary's log.
    let mut again = lockstep(&words).spawn().unwrap();
    let (_stream, first) = introduced(&listener);
    assert!(matches!(first, Message::Join { .. }), "{first:?}");
    again.kill().unwrap();
    let ran = watch(again, "backup with the store of one that has diverged".into());
    assert!(ran.err.contains("has diverged: this node gets the state and the log anew"), "{}", ran.said());
    let mut words = vec!["primary", "--vm", "kv", "--listen", &listen];
    let store = store.display().to_string();
    words.extend(["--arbiter", &arbiter, "--store", &store]);
    watch(lockstep(&words).spawn().unwrap(), "primary with that store".into())
        .refuses(&["has diverged: no process goes on from it", "lockstep backup"]);
}

fn offer(seq_next: Seq, at: Icount, chunks: u32) -> Message {
    Message::Offer {
        generation: Generation(1),
        node: NodeId(5),
        seq_next,
        at,
        chunks,
        life: 9,
        ack: Ack::Memory,
    }
}

fn saved() -> Saved {
    let options = BootOptions { ram_bytes: 4 << 20, ..BootOptions::default() };
    arg::boot(guest("kv").as_ref(), options).unwrap_or_else(|failure| panic!("{failure}")).save()
}

/// An offer of `saved` and its chunks.
fn transfer(saved: Saved) -> Vec<Message> {
    let at = saved.icount;
    let encoder = Encoder::new(saved);
    let mut messages = vec![offer(Seq(1), at, encoder.chunks_total())];
    messages.extend(encoder.map(Message::Chunk));
    messages
}

fn memory(ram_bytes: u64) -> Message {
    Message::Memory { ram_bytes, chunks: 1 }
}

/// A chunk of a snapshot as if it were one that comes ahead of it.
fn ahead(chunk: &Message) -> Message {
    let Message::Chunk(bytes) = chunk else { panic!("{chunk:?} is no chunk") };
    Message::MemoryChunk(bytes.clone())
}

fn log(entries: &[Entry]) -> Message {
    let mut frame = FrameBuilder::new();
    entries.iter().for_each(|entry| frame.push(entry));
    Message::Log(frame.finish())
}

fn horizon(seq: u64, at: u64) -> Entry {
    Entry { seq: Seq(seq), at: Icount(at), event: Event::Horizon }
}

#[test]
fn a_backup_of_a_fake_primary_ends_with_the_reason() {
    let good = || transfer(saved());
    let tampered = |how: &dyn Fn(&mut Saved)| {
        let mut saved = saved();
        how(&mut saved);
        transfer(saved)
    };
    let flipped = || {
        let mut messages = good();
        if let Some(Message::Chunk(bytes)) = messages.last_mut() {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        messages
    };
    let followed_by = |more: Message| [good(), vec![more]].concat();
    let at = Icount(0);
    let huge = || vec![[vec![offer(Seq(1), at, 9)], vec![Message::Log(vec![0xa7; 1 << 20]); 300]].concat()];
    let mut cases: Vec<(&str, Vec<Message>)> = vec![
        ("0 chunks", vec![offer(Seq(1), at, 0)]),
        ("4294967295 chunks", vec![offer(Seq(1), at, u32::MAX)]),
        ("entry 0", vec![offer(Seq(0), at, 4)]),
        ("damaged", vec![offer(Seq(1), at, 4), Message::Chunk(vec![0; 5000])]),
        ("damaged", vec![offer(Seq(1), at, 4), Message::Chunk(vec![])]),
        ("damaged", flipped()),
        ("damaged", good().into_iter().enumerate().filter(|(n, _)| *n != 2).map(|(_, m)| m).collect()),
        ("unusable", tampered(&|saved| saved.digest = Digest(1))),
        ("unusable", tampered(&|saved| saved.icount = Icount(5))),
        ("unusable", tampered(&|saved| saved.state.truncate(10))),
        ("unusable", tampered(&|saved| saved.state.extend([0; 10]))),
        ("unusable", tampered(&|saved| saved.state[0] ^= 0xff)),
        ("unusable", tampered(&|saved| saved.pages[0].1[7] ^= 1)),
        ("", tampered(&|saved| saved.config.ram_bytes = 4096)),
        ("", tampered(&|saved| saved.config.ram_bytes = 1 << 60)),
        ("out of turn", vec![Message::Chunk(vec![0; 10])]),
        ("out of turn", vec![Message::Status, Message::SwitchOver]),
        ("no known size", vec![Message::MemoryChunk(vec![0; 10])]),
        ("bytes of RAM", vec![Message::Memory { ram_bytes: u64::MAX, chunks: 1 }]),
        ("out of turn", vec![memory(4 << 20), memory(4 << 20)]),
        ("sent ahead is damaged", vec![memory(4 << 20), Message::MemoryChunk(vec![0; 5000])]),
        ("sent ahead is damaged", [vec![memory(4 << 20)], good()[1..2].iter().map(ahead).collect()].concat()),
        ("unusable", [vec![memory(8 << 20)], good()].concat()),
        ("out of turn", [good(), vec![memory(4 << 20)]].concat()),
        ("no reason", vec![Message::Refuse { why: "no reason\x1b[2J".into() }]),
        ("goodbye", vec![Message::Bye { why: "goodbye".into() }]),
        ("log frame is damaged", followed_by(Message::Log(vec![]))),
        ("log frame is damaged", followed_by(Message::Log(vec![0xa7; 200]))),
        (
            "too many",
            followed_by({
                let Message::Log(bytes) = log(&[horizon(1, 1)]) else { unreachable!() };
                Message::Log([bytes, vec![0]].concat())
            }),
        ),
        ("expected entry", followed_by(log(&[horizon(2, 1)]))),
        ("expected entry", followed_by(log(&[horizon(u64::MAX - 1, 1)]))),
        (
            "divergence",
            followed_by(log(&[Entry { seq: Seq(1), at: Icount(1), event: Event::Digest(Digest(1)) }])),
        ),
        (
            "divergence",
            followed_by(log(&[Entry {
                seq: Seq(1),
                at: Icount(1),
                event: Event::Input(lockstep::machine::Input::Entropy(vec![0; 65_536])),
            }])),
        ),
        (
            "divergence",
            followed_by(log(&[Entry {
                seq: Seq(1),
                at: Icount(1),
                event: Event::End(lockstep::machine::Exit::Pass),
            }])),
        ),
    ];
    cases.extend(huge().into_iter().map(|messages| ("more log", messages)));
    for (why, messages) in cases {
        let mut victim = Victim::start();
        let spoken = messages.iter().all(|message| say(&mut victim.stream, message));
        // A primary that goes away is not what ends it here.
        eprintln!("{why}: all taken: {spoken}");
        let ran = victim.end();
        let status = if why == "divergence" { 1 } else { 2 };
        ran.ends(status, &[why]).within_mib(420);
        assert!(!ran.err.contains('\x1b'), "{}", ran.said());
    }
    for bytes in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &[0xff; 64], &[0; 64]] {
        let mut victim = Victim::start();
        victim.stream.write_all(bytes).unwrap();
        victim.end().refuses(&["not joined"]).within_mib(60);
    }
    // It says nothing, from the start or in the middle.
    let mut victims = [Victim::start(), Victim::start()];
    for message in &good()[..2] {
        assert!(say(&mut victims[1].stream, message));
    }
    victims.into_iter().for_each(|victim| {
        victim.end().refuses(&["not joined", "silent"]);
    });
}

fn claims(address: SocketAddr) -> bool {
    match lockstep::host::link::ask(address, &Message::Status, Duration::from_secs(2)) {
        Ok(Message::Answer { json }) => json.contains("\"claiming\""),
        _ => false,
    }
}

#[test]
fn a_backup_that_counts_takes_over_from_a_primary_that_turns_to_garbage() {
    for garbage in [&[0xff; 64][..], &[0; 64], b""] {
        let mut victim = Victim::start();
        let ours = Entry { seq: Seq(1), at: Icount(0), event: Event::Joined { node: victim.node } };
        for message in transfer(saved()).iter().chain([&log(&[ours, horizon(2, 0)])]) {
            assert!(say(&mut victim.stream, message));
        }
        loop {
            match hear(&mut victim.stream).unwrap() {
                Message::Ack { received: Seq(2), .. } => break,
                Message::Ack { .. }
                | Message::Heartbeat { .. }
                | Message::Whereabouts { .. }
                | Message::Known { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        victim.stream.write_all(garbage).unwrap();
        if garbage.is_empty() {
            victim.stream.shutdown(std::net::Shutdown::Both).unwrap();
        }
        let address: SocketAddr = victim.listen.parse().unwrap();
        // As long as the arbiter knows nothing of the generation that it saw, it only waits.
        std::thread::sleep(Duration::from_millis(300));
        assert!(claims(address) && victim.child.try_wait().unwrap().is_none());
        std::fs::create_dir_all(victim.dir.path().join("kv")).unwrap();
        let record = |node: u64| format!(r#"{{"generation":1,"node":{node},"keeps":null,"wherefrom":""}}"#);
        let path = victim.dir.path().join("kv/g00000000000000000001");
        // Nor is another node's generation the one that it saw.
        std::fs::write(&path, record(6)).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        assert!(claims(address) && victim.child.try_wait().unwrap().is_none());
        std::fs::write(&path, record(5)).unwrap();
        until("active", PATIENCE, || {
            match lockstep::host::link::ask(address, &Message::Status, Duration::from_secs(2)) {
                Ok(Message::Answer { json }) => {
                    json.contains("\"primary\"") && json.contains("\"generation\":2")
                }
                _ => false,
            }
        });
        victim.child.kill().unwrap();
        let ran = victim.end();
        assert!(!ran.err.contains("panicked"), "{}", ran.said());
    }
}

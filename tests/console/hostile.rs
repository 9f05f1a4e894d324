//! Terminals that are none, and nodes that are none.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};

use lockstep::base::{NodeId, Prng, Seq};
use lockstep::ft::Message;
use lockstep::ft::message;

use super::scene::*;

fn connect(to: SocketAddr, messages: &[Message]) -> TcpStream {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = message::preamble().to_vec();
    messages.iter().for_each(|message| message.encode(&mut bytes));
    // It may be closed before all of it is written.
    stream.write_all(&bytes).ok();
    stream
}

fn attach(session: u64) -> Message {
    Message::Attach { life: 0, from: None, session }
}

#[test]
fn hostile_terminals_are_cut_while_the_guest_talks_on() {
    let mut scene = Scene::new();
    let (mut primary, backup) = scene.cluster.pair().unwrap();
    let honest = scene.attach("honest", &[&primary.address.to_string(), "--watch"]);
    honest.await_shown("line 00000000");
    let memory = peak_kib(primary.child.id()).unwrap();
    let input = |seq, len| Message::ConsoleInput { seq, bytes: vec![b'x'; len] };
    let attacks = vec![
        vec![attach(1), input(0, 1 << 20)],
        vec![attach(2), input(u64::MAX, 2)],
        vec![attach(3), input(0, 3), input(9, 1)],
        vec![attach(4), attach(4)],
        vec![attach(5), Message::Log(vec![1; 100])],
        vec![
            attach(6),
            Message::Ack {
                received: Seq::MAX,
                durable: Seq::ZERO,
                executed: Default::default(),
                audited: None,
            },
        ],
        vec![attach(7), Message::Join { vm: "kv".into(), node: NodeId(9) }],
        vec![attach(8), Message::ConsoleEnd { status: 0, how: "\x1b[2J".into() }],
        vec![Message::ConsoleInput { seq: 0, bytes: b"quit\n".to_vec() }],
        vec![Message::Scrollback { offset: 0, bytes: vec![0; 100], typed: vec![(0, 0); 10] }],
        vec![Message::Whereabouts { listen: "10.0.0.1:1".into() }],
        vec![Message::ConsoleData { offset: 0, bytes: b"lies".to_vec() }],
    ];
    for attack in &attacks {
        let mut stream = connect(primary.address, attack);
        while hear(&mut stream).is_some() {}
    }
    // A backup leaves typing unread; the rest it cuts as well.
    for attack in attacks.iter().filter(|attack| !attack.contains(&input(0, 3)) && attack.len() > 1) {
        let typing = attack.iter().any(|message| matches!(message, Message::ConsoleInput { .. }));
        let mut stream = connect(backup.address, attack);
        while !typing && hear(&mut stream).is_some() {}
    }
    // Sizes without end, and noise in the middle of everything.
    let mut prng = Prng::new(4);
    let mut sizes = vec![attach(20)];
    sizes.extend((0..5000).map(|n| Message::ConsoleSize { cols: n, rows: n }));
    drop(connect(primary.address, &sizes));
    for _ in 0..50 {
        let mut stream = connect(primary.address, &[attach(21)]);
        let mut noise = vec![0; prng.between(1, 3000) as usize];
        prng.fill(&mut noise);
        stream.write_all(&noise).ok();
    }
    scene.cluster.await_protected(&mut primary).unwrap();
    let shown = honest.shown().len();
    until("talking on", || honest.shown().len() > shown + 1000);
    assert_eq!(take_apart(&honest.shown()), Vec::<String>::new());
    let grown = peak_kib(primary.child.id()).unwrap() - memory;
    assert!(grown < 32 << 10, "{grown} KiB");
    for node in [&primary, &backup] {
        assert!(!node.told().contains("panicked"), "{}", node.told());
    }
}

#[test]
fn terminals_that_never_read_hold_nothing_up() {
    let run = Run::start(&[]);
    let memory = peak_kib(run.child.id()).unwrap();
    let deaf: Vec<TcpStream> = (0..20).map(|n| connect(run.address, &[attach(n)])).collect();
    let dir = tempfile::tempdir().unwrap();
    let mut honest = Attached::start(&dir, "honest", &[&run.address.to_string()]);
    // 300 KB a time: far more than all sockets on the way hold.
    for _ in 0..40 {
        honest.types("flood\n");
    }
    honest.types("quit\n");
    assert_eq!(honest.ends(), Some(0), "{}", honest.told());
    assert!(honest.shown().len() > 1_000_000);
    let peak = peak_kib(run.child.id()).unwrap();
    assert!(peak < memory + (32 << 10), "{memory} then {peak} KiB");
    drop(deaf);
}

#[test]
fn a_node_that_lies_can_do_nothing_to_a_terminal_but_show_bytes() {
    let attached = |vm: &str, start, peer: Option<String>| Message::Attached {
        vm: vm.into(),
        node: NodeId(1),
        life: 1,
        primary: true,
        start,
        end: 0,
        taken: u64::MAX,
        peer,
    };
    let mut lies: Vec<Vec<Message>> = vec![
        vec![],
        vec![Message::Status],
        vec![Message::Refuse { why: "\x1b[31mno".repeat(1000) }],
        vec![attached("\x1b[2J", u64::MAX, Some("\x1b]0;owned\x07".into()))],
        vec![
            attached("kv", 0, Some("127.0.0.1:1".into())),
            Message::ConsoleData { offset: u64::MAX, bytes: b"far".to_vec() },
            Message::ConsoleData { offset: u64::MAX, bytes: b"farther".to_vec() },
            Message::ConsoleTaken { upto: u64::MAX },
        ],
        vec![attached("kv", 0, None), Message::Log(vec![0; 1000])],
    ];
    lies.push((0..200).map(|n| attached("kv", 0, Some(format!("127.0.0.1:{}", n + 1)))).collect());
    for lie in lies {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let forger = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = Vec::new();
            lie.iter().for_each(|message| message.encode(&mut bytes));
            bytes.extend([0xff; 20]);
            stream.write_all(&bytes).ok();
            sleep_ms(300);
        });
        let dir = tempfile::tempdir().unwrap();
        let mut terminal = Attached::start(
            &dir,
            "lied-to",
            &[&address, "--wait", "0.2", "--timeout", "5", "--until", "true"],
        );
        assert!(matches!(terminal.ends(), Some(1 | 2)), "{}", terminal.told());
        let told = terminal.told();
        assert!(!told.contains("panicked") && !told.contains('\x1b'), "{told}");
        forger.join().unwrap();
    }
}

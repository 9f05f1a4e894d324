//! Terminals, without connections: what they are sent, and what they may send.

use super::*;
use crate::ft::testing::Host;

const A: LinkId = LinkId(7);
const B: LinkId = LinkId(9);

/// A world in which time is a number and every connection takes what `taken` says.
struct Scene {
    now_ns: u64,
    unsent: usize,
    terminals: Terminals,
    commands: Vec<Command>,
}

impl Scene {
    fn new(primary: bool) -> Self {
        let mut scene = Self {
            now_ns: 0,
            unsent: 0,
            terminals: Terminals::new("kv", NodeId(1), 100),
            commands: Vec::new(),
        };
        scene.terminals.settle(primary, 5, &mut scene.commands);
        scene
    }

    fn attach(&mut self, link: LinkId, from: Option<u64>, session: u64) {
        self.terminals.attach(link, (shown(5), from, session), self.now_ns, &mut self.commands);
    }

    fn say(&mut self, offset: u64, text: &[u8]) {
        self.terminals.heard(&Output::Console { offset, bytes: text.to_vec() });
    }

    fn show(&mut self) -> u64 {
        let mut host = Host { now_ns: self.now_ns, unsent: self.unsent, ..Host::default() };
        self.terminals.show(&mut host, &mut self.commands)
    }

    fn tell(&mut self, link: LinkId, message: Message) {
        self.terminals.message(link, message, &mut self.commands);
    }

    fn types(&mut self, link: LinkId, seq: u64, text: &[u8]) {
        self.tell(link, Message::ConsoleInput { seq, bytes: text.to_vec() });
    }

    /// What was said on `link` since the last look; None at the end for a closed connection.
    fn heard(&mut self, link: LinkId) -> Vec<Option<Message>> {
        let (ours, others) = std::mem::take(&mut self.commands).into_iter().partition(|command| {
            matches!(command, Command::Send { link: l, .. } | Command::Close { link: l } if *l == link)
        });
        self.commands = others;
        let ours: Vec<Command> = ours;
        ours.into_iter()
            .map(|command| match command {
                Command::Send { message, .. } => Some(message),
                _ => None,
            })
            .collect()
    }

    fn data(&mut self, link: LinkId) -> Vec<(u64, Vec<u8>)> {
        let data = |message| match message {
            Some(Message::ConsoleData { offset, bytes }) => Some((offset, bytes)),
            _ => None,
        };
        self.heard(link).into_iter().filter_map(data).collect()
    }

    /// `(primary, start, taken)` of the last greeting.
    fn greeting(&mut self, link: LinkId) -> (bool, u64, u64) {
        let greeting = |message| match message {
            Some(Message::Attached { primary, start, taken, .. }) => Some((primary, start, taken)),
            _ => None,
        };
        self.heard(link).into_iter().filter_map(greeting).next_back().expect("a greeting")
    }
}

#[test]
fn a_terminal_sees_what_is_known_and_then_what_comes_each_byte_once() {
    let mut scene = Scene::new(true);
    scene.say(0, b"booting\n");
    scene.attach(A, None, 1);
    assert_eq!(scene.greeting(A), (true, 0, 0));
    scene.show();
    assert_eq!(scene.data(A), [(0, b"booting\n".to_vec())]);
    // A go-live says again what may not have left.
    scene.say(4, b"ing\nlogin: ");
    scene.show();
    assert_eq!(scene.data(A), [(8, b"login: ".to_vec())]);
    // One that comes back names the byte it wants; one of another life cannot.
    scene.attach(B, Some(10), 2);
    scene.show();
    assert_eq!(scene.data(B), [(10, b"gin: ".to_vec())]);
    let late = LinkId(11);
    scene.terminals.attach(late, (shown(4), Some(10), 3), 0, &mut scene.commands);
    scene.show();
    assert_eq!(scene.data(late), [(0, b"booting\nlogin: ".to_vec())]);
}

#[test]
fn a_greeting_tells_lives_apart_and_does_not_show_the_life_itself() {
    let mut lives = Vec::new();
    for (primary, life) in [(true, 5), (false, 5), (true, 6)] {
        let mut scene = Scene::new(true);
        scene.terminals.settle(primary, life, &mut scene.commands);
        scene.attach(A, None, 1);
        let greeting = scene.commands.iter().find_map(|command| match command {
            Command::Send { message: Message::Attached { life, .. }, .. } => Some(*life),
            _ => None,
        });
        lives.push(greeting.unwrap());
    }
    // SHA-256 over the label and the life in 8 little-endian bytes; the first 8 bytes of it.
    assert_eq!(lives, [0x2b96_d9cc_5b18_35dc, 0x2b96_d9cc_5b18_35dc, 0xa7bf_d376_7712_f0f7]);
}

#[test]
fn a_terminal_ahead_of_a_backups_replay_waits_for_its_byte() {
    let mut scene = Scene::new(false);
    scene.say(0, b"abc");
    scene.attach(A, Some(5), 1);
    scene.show();
    assert_eq!(scene.data(A), []);
    scene.say(3, b"defg");
    scene.show();
    assert_eq!(scene.data(A), [(5, b"fg".to_vec())]);
}

#[test]
fn a_slow_terminal_costs_a_window_misses_bytes_visibly_and_is_cut_at_last() {
    let mut scene = Scene::new(true);
    scene.attach(A, None, 1);
    scene.unsent = WINDOW_BYTES;
    for n in 0..50 {
        scene.say(n * 10, b"0123456789");
        assert_eq!(scene.show(), AGAIN_NS);
    }
    assert_eq!(scene.data(A), []);
    scene.unsent = 0;
    scene.show();
    let data = scene.data(A);
    assert_eq!((data[0].0, data[0].1.len()), (400, 100), "the numbers show the hole");
    scene.unsent = WINDOW_BYTES;
    scene.say(500, b"x");
    scene.show();
    scene.now_ns += STALLED_NS + 1;
    scene.show();
    assert_eq!((scene.heard(A), scene.terminals.count()), (vec![None], 0));
}

#[test]
fn a_silent_console_still_shows_that_the_node_lives() {
    let mut scene = Scene::new(true);
    scene.attach(A, None, 1);
    scene.heard(A);
    assert_eq!(scene.show(), HEARTBEAT_NS);
    assert_eq!(scene.heard(A), []);
    scene.now_ns = HEARTBEAT_NS;
    scene.show();
    assert!(matches!(scene.heard(A)[..], [Some(Message::Heartbeat { .. })]));
}

#[test]
fn typed_bytes_are_taken_once_and_told_when_they_are_safe() {
    let mut scene = Scene::new(true);
    scene.attach(A, None, 77);
    scene.heard(A);
    scene.types(A, 0, b"hello");
    scene.types(A, 3, b"lo world");
    assert_eq!(scene.terminals.take_typed(8), Some((77, 8, b"hello wo".to_vec())));
    scene.terminals.typed_is_logged(Seq(3), 77, 8);
    assert_eq!(scene.terminals.take_typed(8), Some((77, 11, b"rld".to_vec())));
    scene.terminals.typed_is_logged(Seq(5), 77, 11);
    assert_eq!(scene.terminals.take_typed(8), None);
    // The same session on another connection: what is not safe is not claimed to be taken, and what
    // comes again is left out.
    scene.attach(B, None, 77);
    assert_eq!(scene.greeting(B), (true, 0, 0));
    scene.types(B, 0, b"hello world!");
    assert_eq!(scene.terminals.take_typed(9), Some((77, 12, b"!".to_vec())));
    scene.terminals.log_is_safe(Seq(4), &mut scene.commands);
    assert_eq!(scene.heard(A), [Some(Message::ConsoleTaken { upto: 8 })]);
    scene.terminals.log_is_safe(Seq::MAX, &mut scene.commands);
    assert_eq!(scene.heard(A), [Some(Message::ConsoleTaken { upto: 11 })]);
}

#[test]
fn a_successor_asks_for_what_the_log_has_not() {
    let mut scene = Scene::new(false);
    scene.attach(A, None, 77);
    assert_eq!(scene.greeting(A), (false, 0, 0));
    scene.types(A, 0, b"never delivered");
    scene.terminals.note_typed(77, 6);
    scene.terminals.settle(true, 5, &mut scene.commands);
    assert_eq!(scene.greeting(A), (true, 0, 6));
    scene.types(A, 6, b"more");
    assert_eq!(scene.terminals.take_typed(100), Some((77, 10, b"more".to_vec())));
    // Back in the second row what was not given belongs to no entry.
    scene.types(A, 10, b"left");
    scene.terminals.settle(false, 5, &mut scene.commands);
    assert_eq!(scene.terminals.take_typed(100), None);
}

#[test]
fn a_joiner_learns_the_past() {
    let mut scene = Scene::new(true);
    scene.say(0, &[b'x'; 150]);
    scene.terminals.note_typed(3, 9);
    let Message::Scrollback { offset, bytes, typed } = scene.terminals.past() else { panic!() };
    assert_eq!((offset, bytes.len()), (50, 100));
    let mut joiner = Scene::new(false);
    joiner.terminals.learn(offset, &bytes, typed);
    joiner.terminals.machine_stands_at(150);
    joiner.attach(A, Some(60), 3);
    joiner.show();
    assert_eq!(joiner.data(A), [(60, vec![b'x'; 90])]);
    joiner.terminals.settle(true, 5, &mut joiner.commands);
    assert_eq!(joiner.greeting(A), (true, 150, 9));
    // A past that does not lead to the machine's own is not believed.
    joiner.terminals.machine_stands_at(151);
    assert_eq!(joiner.terminals.scrollback().start(), 151);
}

#[test]
fn sessions_take_turns_and_are_forgotten_in_the_end() {
    let mut scene = Scene::new(true);
    scene.attach(A, None, 1);
    scene.attach(B, None, 2);
    scene.types(A, 0, b"aaaa");
    scene.types(B, 0, b"bbbb");
    let typists: Vec<u64> = (0..4).map(|_| scene.terminals.take_typed(2).unwrap().0).collect();
    assert!(typists == [1, 2, 1, 2], "{typists:?}");
    for session in 0..1000 {
        scene.terminals.note_typed(session, 1);
    }
    let Message::Scrollback { typed, .. } = scene.terminals.past() else { panic!() };
    assert_eq!((typed.len(), typed[0]), (SESSIONS_MAX, (936, 1)));
    // One that was forgotten goes on where it says it is.
    scene.attach(A, None, 1);
    scene.types(A, 4, b"next");
    assert_eq!(scene.terminals.take_typed(9), Some((1, 8, b"next".to_vec())));
}

#[test]
fn who_types_too_much_skips_bytes_or_says_other_things_is_cut() {
    let too_much = Message::ConsoleInput { seq: 0, bytes: vec![0; TYPED_WAITING_MAX + 1] };
    let at_the_end = Message::ConsoleInput { seq: u64::MAX, bytes: vec![1; 2] };
    for bad in [too_much, at_the_end, Message::SwitchOver, Message::Log(vec![1])] {
        let mut scene = Scene::new(true);
        scene.attach(A, None, 1);
        scene.heard(A);
        scene.tell(A, bad.clone());
        assert_eq!((scene.heard(A), scene.terminals.count()), (vec![None], 0), "{bad:?}");
        assert_eq!(scene.terminals.take_typed(9), None);
    }
    let mut scene = Scene::new(true);
    scene.attach(A, None, 1);
    scene.types(A, 0, b"ab");
    scene.heard(A);
    scene.types(A, 3, b"d");
    assert_eq!(scene.heard(A), [None]);
}

#[test]
fn terminals_are_few() {
    let mut scene = Scene::new(true);
    for link in 0..TERMINALS_MAX as u64 {
        scene.attach(LinkId(100 + link), None, link);
    }
    scene.attach(A, None, 1);
    assert!(matches!(scene.heard(A)[..], [Some(Message::Refuse { .. }), None]));
    assert_eq!(scene.terminals.count(), TERMINALS_MAX);
}

#[test]
fn the_end_comes_after_everything_else() {
    let mut scene = Scene::new(true);
    scene.attach(A, None, 1);
    scene.heard(A);
    scene.say(0, b"Kernel panic");
    let end = Message::ConsoleEnd { status: 1, how: "failure 1".into() };
    scene.terminals.finish(&end, &mut scene.commands);
    let panic = Message::ConsoleData { offset: 0, bytes: b"Kernel panic".to_vec() };
    assert_eq!(scene.heard(A), [Some(panic), Some(end), None]);
}

#[test]
fn a_peers_address_is_told_once_and_only_if_it_is_one() {
    let mut scene = Scene::new(true);
    scene.attach(A, None, 1);
    scene.heard(A);
    for _ in 0..2 {
        scene.terminals.peer_lives_at("10.0.0.2:7101", &mut scene.commands);
    }
    scene.terminals.peer_lives_at(&"x".repeat(1000), &mut scene.commands);
    let told = scene.heard(A);
    assert!(
        matches!(&told[..], [Some(Message::Attached { peer: Some(at), .. })] if at == "10.0.0.2:7101"),
        "{told:?}"
    );
}

#[test]
fn a_window_has_one_size_and_it_is_taken_once() {
    let mut scene = Scene::new(true);
    scene.attach(A, None, 1);
    scene.heard(A);
    assert!(scene.terminals.is_terminal(A) && !scene.terminals.is_terminal(B));
    assert_eq!((scene.terminals.has_size(), scene.terminals.take_size()), (false, None));
    scene.tell(A, Message::ConsoleSize { cols: 80, rows: 24 });
    scene.tell(A, Message::ConsoleSize { cols: 132, rows: 50 });
    assert!(scene.terminals.has_size());
    assert_eq!(scene.terminals.take_size(), Some((132, 50)));
    assert_eq!((scene.terminals.has_size(), scene.terminals.take_size()), (false, None));
    scene.tell(A, Message::Heartbeat { ticks: 0, console_released: 0 });
    assert_eq!((scene.heard(A), scene.terminals.count()), (vec![], 1), "neither costs it its place");
}

#[test]
fn a_backup_leaves_typing_unread() {
    let mut scene = Scene::new(false);
    scene.attach(A, None, 1);
    scene.types(A, 0, b"ab");
    assert!(!scene.terminals.has_typed());
    scene.terminals.settle(true, 5, &mut scene.commands);
    scene.types(A, 0, b"ab");
    assert!(scene.terminals.has_typed());
    scene.terminals.take_typed(9);
    assert!(!scene.terminals.has_typed());
}

#[test]
fn a_node_that_leaves_its_role_reads_nothing_and_goes_by_its_new_identity() {
    let mut scene = Scene::new(true);
    scene.attach(A, None, 1);
    scene.types(A, 0, b"ab");
    scene.terminals.take_typed(9);
    scene.terminals.typed_is_logged(Seq(3), 1, 2);
    scene.terminals.leave();
    scene.terminals.node_is(NodeId(9));
    scene.heard(A);
    scene.terminals.log_is_safe(Seq::MAX, &mut scene.commands);
    scene.types(A, 2, b"c");
    assert!(!scene.terminals.has_typed());
    assert_eq!(scene.heard(A), [], "what the log had is another primary's to report");
    scene.terminals.peer_lives_at(&"x".repeat(ADDRESS_BYTES_MAX), &mut scene.commands);
    assert_eq!(scene.terminals.peer().map(str::len), Some(ADDRESS_BYTES_MAX));
    let heard = scene.heard(A);
    assert!(
        matches!(&heard[..], [Some(Message::Attached { node: NodeId(9), primary: false, .. })]),
        "{heard:?}"
    );
}

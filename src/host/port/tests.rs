//! The port against a switch that is played by hand.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crossbeam_channel::{Receiver, bounded};

use super::*;
use crate::lab::port::Listening;
use crate::net::endpoint::Ended;
use crate::net::port::FRAMES_KEPT_MAX;
use crate::net::{FromSwitch, Mac, ToSwitch, Unframer};

const PATIENCE: Duration = Duration::from_secs(10);

/// One connection as the switch sees it.
struct Hand {
    stream: TcpStream,
    unframer: Unframer,
}

impl Hand {
    /// Accepts the next connection and reads its introduction.
    fn accept(listener: &TcpListener) -> (Hand, Attach) {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut hand = Hand { stream, unframer: Unframer::default() };
        let ToSwitch::Attach(attach) = hand.hear() else { panic!("no introduction") };
        (hand, attach)
    }

    fn hear(&mut self) -> ToSwitch {
        let mut scratch = [0; 4096];
        loop {
            if let Some(body) = self.unframer.next_body().unwrap() {
                return ToSwitch::decode(body).unwrap();
            }
            let n = self.stream.read(&mut scratch).unwrap();
            assert_ne!(n, 0, "the port closed");
            self.unframer.push(&scratch[..n]);
        }
    }

    /// The next message that is no ping.
    fn hear_more_than_pings(&mut self) -> ToSwitch {
        loop {
            match self.hear() {
                ToSwitch::Ping => {}
                other => return other,
            }
        }
    }

    fn say(&mut self, message: FromSwitch) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.stream.write_all(&bytes).unwrap();
    }
}

fn attach(standby: bool) -> Attach {
    let vm = "kv".to_string();
    Attach {
        vm,
        life: 1,
        mac: Mac([2; 6]),
        generation: Generation(3),
        standby,
        rx_seq_last: 0,
        tx_seq_last: 0,
    }
}

fn begin(attach: Attach) -> (TcpListener, Listening, Receiver<PortEvent>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (sender, events) = bounded(100);
    let at = listener.local_addr().unwrap();
    let port = Listening::connect(at, attach, move |event| sender.send(event).is_ok()).unwrap();
    (listener, port, events)
}

fn next(events: &Receiver<PortEvent>) -> PortEvent {
    events.recv_timeout(PATIENCE).unwrap()
}

fn frame(generation: u64, seq: u64) -> ToSwitch {
    ToSwitch::Frame { generation: Generation(generation), seq, bytes: seq.to_le_bytes().to_vec() }
}

fn attached(tx_seq_last: u64) -> (FromSwitch, PortEvent) {
    let generation = Generation(3);
    (FromSwitch::Attached { generation, tx_seq_last }, PortEvent::Attached { generation, tx_seq_last })
}

#[test]
fn what_the_switch_has_not_accepted_is_sent_again_over_the_next_connection() {
    let (listener, port, events) = begin(attach(false));
    let (mut hand, first) = Hand::accept(&listener);
    assert_eq!(first, attach(false));
    hand.say(attached(0).0);
    assert_eq!(next(&events), attached(0).1);
    for seq in 1..=3u64 {
        port.send(seq, &seq.to_le_bytes()).unwrap();
        assert_eq!(hand.hear_more_than_pings(), frame(3, seq));
    }
    hand.say(FromSwitch::Pong { tx_seq_last: 1 });
    hand.say(FromSwitch::Frame { rx_seq: 1, bytes: vec![7] });
    assert_eq!(next(&events), PortEvent::Frame { rx_seq: 1, frame: vec![7] });
    drop(hand);
    assert!(matches!(next(&events), PortEvent::Down { .. }));
    let (mut hand, again) = Hand::accept(&listener);
    assert_eq!(again, Attach { rx_seq_last: 1, tx_seq_last: 3, ..attach(false) });
    assert_eq!(hand.hear_more_than_pings(), frame(3, 2));
    assert_eq!(hand.hear_more_than_pings(), frame(3, 3));
    hand.say(attached(3).0);
    assert_eq!(next(&events), attached(3).1);
    assert!(port.drain(PATIENCE));
    assert_eq!((port.accepted(), port.counts().frames_resent), (3, 2));
}

#[test]
fn frames_sent_while_there_is_no_connection_leave_with_the_next() {
    let (listener, port, events) = begin(attach(false));
    let (hand, _) = Hand::accept(&listener);
    drop(hand);
    assert!(matches!(next(&events), PortEvent::Down { .. }));
    port.send(1, &1u64.to_le_bytes()).unwrap();
    let (mut hand, _) = Hand::accept(&listener);
    assert_eq!(hand.hear_more_than_pings(), frame(3, 1));
    assert!(!port.drain(Duration::from_millis(20)));
}

#[test]
fn a_standby_sends_nothing_until_it_activates_and_then_everything_at_once() {
    let (listener, port, events) = begin(attach(true));
    let (mut hand, introduction) = Hand::accept(&listener);
    assert!(introduction.standby);
    hand.say(attached(0).0);
    assert_eq!(next(&events), attached(0).1);
    port.send(5, &5u64.to_le_bytes()).unwrap();
    port.activate(Generation(4), 9);
    port.send(6, &6u64.to_le_bytes()).unwrap();
    assert_eq!(hand.hear_more_than_pings(), ToSwitch::Activate { generation: Generation(4), rx_seq_last: 9 });
    assert_eq!(hand.hear_more_than_pings(), frame(4, 5));
    assert_eq!(hand.hear_more_than_pings(), frame(4, 6));
    // What its log has is not delivered, should the switch send it nevertheless.
    for rx_seq in [9, 10, 10, 11] {
        hand.say(FromSwitch::Frame { rx_seq, bytes: vec![] });
    }
    assert_eq!(next(&events), PortEvent::Frame { rx_seq: 10, frame: vec![] });
    assert_eq!(next(&events), PortEvent::Frame { rx_seq: 11, frame: vec![] });
    assert_eq!(port.counts().duplicates, 2);
    // Over a lost connection it comes back as the current one.
    drop(hand);
    let (_hand, again) = Hand::accept(&listener);
    let expected = Attach { generation: Generation(4), rx_seq_last: 11, tx_seq_last: 6, ..attach(false) };
    assert_eq!(again, expected);
}

#[test]
fn a_switch_that_does_not_keep_up_fills_the_port_and_room_is_announced() {
    let (listener, port, events) = begin(attach(false));
    let (mut hand, _) = Hand::accept(&listener);
    hand.say(attached(0).0);
    assert_eq!(next(&events), attached(0).1);
    let mut seq = 0;
    let refused = loop {
        seq += 1;
        if let Err(refused) = port.send(seq, &[0; 100]) {
            break refused;
        }
    };
    assert_eq!((refused, seq), (SendRefused::Full, FRAMES_KEPT_MAX as u64 + 1));
    hand.say(FromSwitch::Pong { tx_seq_last: 10 });
    hand.say(FromSwitch::Pong { tx_seq_last: seq - 1 });
    assert_eq!(next(&events), PortEvent::Room);
    port.send(seq, &[0; 100]).unwrap();
    // Everything arrives, once and in order, although the socket was full meanwhile.
    for expected in 1..=seq {
        let ToSwitch::Frame { seq, .. } = hand.hear_more_than_pings() else { panic!() };
        assert_eq!(seq, expected);
    }
}

#[test]
fn what_is_safe_is_told_along_with_other_messages_or_after_many() {
    let (listener, port, _events) = begin(attach(false));
    let (mut hand, _) = Hand::accept(&listener);
    hand.say(attached(0).0);
    for rx_seq in 1..40 {
        port.received(rx_seq);
    }
    assert_eq!(hand.hear_more_than_pings(), ToSwitch::Received { rx_seq: 32 });
    port.send(1, &1u64.to_le_bytes()).unwrap();
    assert_eq!(hand.hear_more_than_pings(), ToSwitch::Received { rx_seq: 39 });
    assert_eq!(hand.hear_more_than_pings(), frame(3, 1));
    port.received(40);
    // With the next ping, at the latest.
    assert_eq!(hand.hear_more_than_pings(), ToSwitch::Received { rx_seq: 40 });
}

#[test]
fn being_refused_is_asked_again_and_being_fenced_lasts_until_that_generation() {
    let (listener, port, events) = begin(attach(false));
    let (mut hand, _) = Hand::accept(&listener);
    hand.say(FromSwitch::Refused { why: "no".into() });
    assert_eq!(next(&events), PortEvent::Refused { why: "no".into() });
    let (mut hand, _) = Hand::accept(&listener);
    hand.say(FromSwitch::Fenced { current: Generation(9) });
    assert_eq!(next(&events), PortEvent::Fenced { current: Generation(9) });
    // No switch is there to take it, and it must not be lost.
    port.send(1, &1u64.to_le_bytes()).unwrap();
    port.activate(Generation(8), 5);
    listener.set_nonblocking(true).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    assert!(listener.accept().is_err(), "a fenced port stays away");
    assert!(events.is_empty());

    listener.set_nonblocking(false).unwrap();
    // It may be its own, of which the switch heard first.
    port.activate(Generation(9), 6);
    let (mut hand, said) = Hand::accept(&listener);
    assert_eq!((said.generation, said.standby, said.rx_seq_last), (Generation(9), true, 6));
    assert_eq!(hand.hear(), ToSwitch::Activate { generation: Generation(9), rx_seq_last: 6 });
    hand.say(FromSwitch::Fenced { current: Generation(9) });
    assert_eq!(next(&events), PortEvent::Fenced { current: Generation(9) });

    port.activate(Generation(10), 7);
    let (mut hand, said) = Hand::accept(&listener);
    assert_eq!((said.generation, said.standby, said.rx_seq_last), (Generation(10), false, 7));
    assert_eq!(hand.hear_more_than_pings(), ToSwitch::Received { rx_seq: 7 }, "what its log has is safe");
    assert_eq!(hand.hear_more_than_pings(), frame(10, 1));

    // A fence that the next generation has overtaken is only a lost connection.
    port.activate(Generation(12), 8);
    hand.say(FromSwitch::Fenced { current: Generation(11) });
    let (_, said) = Hand::accept(&listener);
    assert_eq!((said.generation, said.rx_seq_last), (Generation(12), 7));
}

#[test]
fn a_dropped_port_closes_its_connection() {
    let (listener, port, events) = begin(attach(false));
    let (mut hand, _) = Hand::accept(&listener);
    drop(port);
    assert_eq!(hand.stream.read_to_end(&mut Vec::new()).unwrap(), 0);
    assert!(events.recv_timeout(PATIENCE).is_err());
}

#[test]
fn a_switch_that_talks_garbage_is_left() {
    let (listener, _port, events) = begin(attach(false));
    let (mut hand, _) = Hand::accept(&listener);
    hand.stream.write_all(&[0xff; 8]).unwrap();
    assert!(matches!(next(&events), PortEvent::Down { why } if why.contains("bytes")));
    Hand::accept(&listener);
}

#[test]
fn who_reads_learns_that_the_connection_is_gone_also_when_the_thread_ended_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (sender, events) = bounded(100);
    let at = listener.local_addr().unwrap();
    let port = Port::connect(at, attach(false), move |event| sender.send(event).is_ok()).unwrap();
    let (_hand, _) = Hand::accept(&listener);
    assert_eq!(next(&events), PortEvent::Connected { n: 1 });
    let socket = port.socket(1).expect("it is connected");
    assert!(port.receive(&mut Vec::new()), "nothing has come");
    assert!(port.socket(2).is_none());
    // As after a silence: the switch hears pings and answers none.
    port.lock().close(Ended::Lost("silent".into()));
    let mut fds = [PollFd::new(&socket, PollFlags::IN)];
    look(&mut fds, PATIENCE);
    assert!(!fds[0].revents().is_empty(), "a poll of it wakes");
    assert!(!port.receive(&mut Vec::new()), "and the caller need not wait for it any more");
}

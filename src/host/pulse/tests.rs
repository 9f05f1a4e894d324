//! Two pulses over a real connection, and a peer that is none.

use std::io::Write;
use std::net::TcpListener;

use super::*;
use crate::ft::beat::Beat;
use crate::ft::message::{HEADER_BYTES, PREAMBLE_BYTES};

const LINK: LinkId = LinkId(7);
const HEARTBEAT: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(20);

fn pulse() -> Pulse {
    Pulse::new(Instant::now(), HEARTBEAT).unwrap()
}

/// What is known, once it is as wanted.
#[track_caller]
fn await_beats(pulse: &Pulse, wanted: impl Fn(Option<Beats>) -> bool) -> Option<Beats> {
    let until = Instant::now() + PATIENCE;
    loop {
        let beats = pulse.beats(LINK);
        if wanted(beats) {
            return beats;
        }
        assert!(Instant::now() < until, "{beats:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The next connection, after what it says to introduce itself, and the token in that.
fn accept(listener: &TcpListener) -> (TcpStream, u64) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut bytes = [0; PREAMBLE_BYTES + HEADER_BYTES];
    io::Read::read_exact(&mut stream, &mut bytes).unwrap();
    let header = crate::ft::message::decode_header(bytes[PREAMBLE_BYTES..].try_into().unwrap()).unwrap();
    let mut body = vec![0; header.len];
    io::Read::read_exact(&mut stream, &mut body).unwrap();
    match crate::ft::message::decode_body(header, &body) {
        Ok(Message::Pulse { token }) => (stream, token),
        other => panic!("{other:?}"),
    }
}

/// A joiner's pulse that has dialled, and what a fake primary has of it.
fn dialled() -> (Pulse, TcpStream, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut joiner = pulse();
    joiner.dial(LINK, listener.local_addr().unwrap().to_string(), 5).unwrap();
    let (stream, token) = accept(&listener);
    assert_eq!(token, 5);
    (joiner, stream, listener)
}

#[test]
fn two_pulses_hear_each_other_and_how_long_the_nodes_have_not_moved() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut primary, mut joiner) = (pulse(), pulse());
    let token = primary.expect(LINK).unwrap();
    assert_eq!(primary.beats(LINK), None);
    joiner.dial(LINK, listener.local_addr().unwrap().to_string(), token).unwrap();
    let (stream, said) = accept(&listener);
    primary.adopter().adopt(said, stream);
    await_beats(&joiner, |beats| beats.is_some());
    // Neither node has ever moved.
    for pulse in [&primary, &joiner] {
        await_beats(pulse, |beats| beats.is_some_and(|b| b.stalled_ns > 100_000_000));
        assert!(pulse.runs().is_some());
    }
    primary.moved(primary.shared.now_ns());
    await_beats(&joiner, |beats| beats.is_some_and(|b| b.stalled_ns < 100_000_000));
    assert_eq!(joiner.beats(LinkId(8)), None);
    primary.forget(LINK);
    await_beats(&joiner, |beats| beats.is_none());
}

#[test]
fn a_connection_with_another_token_is_not_the_peers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut primary = pulse();
    let token = primary.expect(LINK).unwrap();
    let mut unknown = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    unknown.set_read_timeout(Some(PATIENCE)).unwrap();
    primary.adopter().adopt(token ^ 1, listener.accept().unwrap().0);
    assert_eq!(io::Read::read(&mut unknown, &mut [0]).unwrap(), 0, "it is closed");
    assert_eq!(primary.beats(LINK), None);
}

#[test]
fn a_peer_that_connects_and_says_nothing_becomes_silent() {
    let (joiner, mut stream, _listener) = dialled();
    stream.write_all(&Beat::default().encode()).unwrap();
    await_beats(&joiner, |beats| beats.is_some_and(|b| b.silent_ns > 50_000_000));
    // A part of a beat is none.
    stream.write_all(&Beat::default().encode()[..19]).unwrap();
    await_beats(&joiner, |beats| beats.is_some_and(|b| b.silent_ns > 150_000_000));
    stream.write_all(&Beat::default().encode()[19..]).unwrap();
    await_beats(&joiner, |beats| beats.is_some_and(|b| b.silent_ns < 150_000_000));
}

#[test]
fn garbage_ends_the_connection_and_it_is_dialled_again() {
    let (joiner, mut stream, listener) = dialled();
    stream.write_all(&Beat::default().encode()).unwrap();
    await_beats(&joiner, |beats| beats.is_some());
    stream.write_all(&[0x55; 4096]).unwrap();
    await_beats(&joiner, |beats| beats.is_none());
    let (mut stream, token) = accept(&listener);
    assert_eq!(token, 5);
    stream.write_all(&Beat { stalled_ns: 9, pause_ns: 11 }.encode()).unwrap();
    let beats = await_beats(&joiner, |beats| beats.is_some()).unwrap();
    assert_eq!((beats.stalled_ns, beats.pause_peer_ns), (9, 11));
}

#[test]
fn a_flood_is_heard_and_costs_little() {
    let (joiner, mut stream, _listener) = dialled();
    let flood = Beat { stalled_ns: 1, pause_ns: 2 }.encode().repeat(1_600_000);
    stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    // Most of it is never taken: each look takes only so much.
    let taken = stream.write_all(&flood);
    assert!(taken.is_err(), "32 MB were taken at once");
    await_beats(&joiner, |beats| beats.is_some_and(|b| b.stalled_ns == 1));
}

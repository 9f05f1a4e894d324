//! The terminal that a guest is run from: the guest's while it runs, and given back whatever happens.

use rustix::process::{Signal, WaitOptions, waitpid};

use super::scene::*;

fn chatter() -> Terminal {
    let terminal = Terminal::start(&["run", &guest("chatter"), "--memory", "4M"]);
    terminal.await_shown("line 00000000");
    assert!(terminal.is_raw());
    terminal
}

#[test]
fn keys_go_to_the_guest_and_the_escape_key_to_us() {
    let mut terminal = chatter();
    // Ctrl-C and Ctrl-Z are keys like any other; nothing is echoed but by the guest.
    terminal.types(b"quiet\r\x03\x1a\x04 \x01a\r");
    terminal.await_shown("heard 00000001 \x03\x1a\x04 \x01");
    assert_eq!(terminal.shown().matches("quiet").count(), 1, "{}", terminal.shown());
    terminal.types(b"\x01h\x01s");
    terminal.await_shown("primary run (alone), generation 0");
    assert_eq!(terminal.shown().matches("Ctrl-A x  end").count(), 2, "{}", terminal.shown());
    terminal.types(b"more\x01x");
    terminal.ends_as_it_began(0);
}

#[test]
fn a_guests_end_gives_the_terminal_back() {
    let mut terminal = chatter();
    terminal.types(b"panic\r");
    terminal.ends_as_it_began(3);
    let shown = terminal.shown();
    assert_eq!(shown.matches("no way on").count(), 1, "the last words have been seen here: {shown}");
    assert!(shown.contains("the guest ended with failure 3"), "{shown}");
}

#[test]
fn signals_that_end_the_run_give_the_terminal_back() {
    for signal_sent in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut terminal = chatter();
        signal(&terminal.child, signal_sent);
        terminal.ends_as_it_began(0);
    }
}

#[test]
fn a_stop_gives_the_terminal_back_for_as_long_as_it_lasts() {
    let mut terminal = chatter();
    signal(&terminal.child, Signal::TSTP);
    let pid = rustix::process::Pid::from_child(&terminal.child);
    let (_, status) = waitpid(Some(pid), WaitOptions::UNTRACED).unwrap().unwrap();
    assert!(status.stopped(), "{status:?}");
    assert!(!terminal.is_raw());
    signal(&terminal.child, Signal::CONT);
    terminal.await_raw(true);
    terminal.types(b"back again\r");
    terminal.await_shown("heard 00000000 back again");
    terminal.types(b"\x01x");
    terminal.ends_as_it_began(0);
}

#[test]
fn the_guest_is_told_of_the_windows_size() {
    let terminal = chatter();
    terminal.types(b"size\r");
    terminal.await_shown("size 80 by 25");
    terminal.resize(132, 50);
    sleep_ms(300);
    terminal.types(b"size\r");
    terminal.await_shown("size 132 by 50");
}

#[test]
fn a_terminal_that_goes_away_ends_the_run() {
    let mut terminal = chatter();
    terminal.master = None;
    // The reading thread holds it, too; the last to hang up closes it.
    signal(&terminal.child, Signal::HUP);
    wait(&mut terminal.child);
}

#[test]
fn a_terminal_is_left_alone_when_told_so() {
    let mut terminal = Terminal::start(&["run", &guest("hello"), "--memory", "4M", "--console", "none"]);
    assert!(!terminal.is_raw());
    terminal.ends_as_it_began(0);
    assert!(!terminal.shown().contains("Ctrl-A"), "{}", terminal.shown());
}

#[test]
fn an_attached_terminal_types_resizes_leaves_and_comes_back() {
    let run = Run::start(&[]);
    let address = run.address.to_string();
    let mut first = Terminal::start(&["attach", &address]);
    first.await_shown("line 00000000");
    first.await_raw(true);
    first.types(b"size\r");
    first.await_shown("size 80 by 25");
    first.types(b"\x01s");
    first.await_shown("at the primary");
    first.types(b"\x01x");
    first.ends_as_it_began(0);
    let mut second = Terminal::start(&["attach", &address]);
    second.await_shown("heard 00000000 size");
    second.types(b"quit\r");
    second.ends_as_it_began(0);
    second.await_shown("the guest ended with pass");
}

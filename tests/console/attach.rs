//! Attached to a guest that is killed, frozen and handed over: every byte comes once, every key counts once.

use lockstep::ft::Message;
use lockstep::host::link;

use super::scene::*;

/// All of it, from the first byte on, and each of `typed` once and in order.
#[track_caller]
fn assert_exact(attached: &Attached, typed: &[String]) {
    let shown = attached.shown();
    assert!(shown.starts_with("chatter: here\nline 00000000\n"), "{:.100}", shown);
    assert_eq!(take_apart(&shown), typed, "{}", attached.told());
    assert!(!attached.told().contains("missing"), "{}", attached.told());
}

#[test]
fn eight_kills_and_every_byte_comes_once_in_both_directions() {
    let mut prng = seeded("eight_kills_and_every_byte_comes_once_in_both_directions");
    let mut scene = Scene::new();
    let (mut primary, mut backup) = scene.cluster.pair().unwrap();
    // One address is enough: nodes name each other.
    let mut attached = scene.attach("killed", &[&primary.address.to_string(), "--wait", "30"]);
    attached.await_shown("line 00000000");
    let mut typed: Vec<String> = Vec::new();
    let mut say = |attached: &mut Attached, count: u64| {
        for _ in 0..count {
            let line = format!("message {}", typed.len());
            attached.types(&format!("{line}\n"));
            typed.push(line);
        }
    };
    for _ in 0..8 {
        say(&mut attached, prng.between(1, 4));
        sleep_ms(prng.below(60));
        say(&mut attached, prng.below(3));
        // A primary that has just been told something may die before it is safe.
        sleep_ms(prng.below(3));
        primary.kill().unwrap();
        say(&mut attached, prng.below(3));
        scene.await_primary(&mut backup);
        primary = backup;
        backup = scene.protect(&mut primary);
    }
    attached.types("quit\n");
    typed.push("quit".into());
    assert_eq!(attached.ends(), Some(0), "{}", attached.told());
    assert_exact(&attached, &typed);
    assert!(attached.told().contains("the guest ended with pass"), "{}", attached.told());
    println!("{} bytes, {} lines typed", attached.shown().len(), typed.len());
}

#[test]
fn a_frozen_primary_is_left_for_its_successor() {
    let mut scene = Scene::new();
    let (primary, mut backup) = scene.cluster.pair().unwrap();
    let mut attached = scene.attach("frozen", &[&primary.address.to_string()]);
    attached.types("before\n");
    attached.await_shown("heard 00000000 before");
    primary.stop().unwrap();
    attached.types("meanwhile\n");
    scene.await_primary(&mut backup);
    attached.await_shown("heard 00000001 meanwhile");
    primary.resume().unwrap();
    attached.types("after\nquit\n");
    assert_eq!(attached.ends(), Some(0), "{}", attached.told());
    assert_exact(&attached, &["before", "meanwhile", "after", "quit"].map(String::from));
}

#[test]
fn a_switch_over_is_followed_there_and_back() {
    let mut scene = Scene::new();
    let (primary, backup) = scene.cluster.pair().unwrap();
    let mut attached = scene.attach("switched", &[&backup.address.to_string()]);
    attached.await_told(&format!("at {} (primary)", primary.address));
    let mut typed = Vec::new();
    for (n, node) in [&primary, &backup, &primary].into_iter().enumerate() {
        typed.push(format!("to {n}"));
        attached.types(&format!("to {n}\n"));
        let answer = link::ask(node.address, &Message::SwitchOver, PATIENCE).unwrap();
        assert!(matches!(answer, Message::Answer { .. }), "{answer:?}");
        attached.await_shown(&format!("to {n}"));
    }
    attached.types("quit\n");
    typed.push("quit".into());
    assert_eq!(attached.ends(), Some(0), "{}", attached.told());
    assert_exact(&attached, &typed);
}

#[test]
fn several_terminals_see_the_same_and_type_in_turns() {
    let mut scene = Scene::new();
    let (mut primary, mut backup) = scene.cluster.pair().unwrap();
    let addresses = [primary.address.to_string(), backup.address.to_string()];
    let mut all: Vec<Attached> =
        (0..3).map(|n| scene.attach(&format!("many-{n}"), &[&addresses[0], &addresses[1]])).collect();
    for attached in &mut all {
        attached.await_shown("line 00000000");
    }
    for (n, attached) in all.iter_mut().enumerate() {
        attached.types(&format!("from {n}\n"));
        attached.await_shown(&format!("from {n}"));
    }
    primary.kill().unwrap();
    scene.await_primary(&mut backup);
    primary = backup;
    let late = scene.attach("late", &["--watch", &primary.address.to_string()]);
    late.await_shown("from 2");
    all[1].types("quit\n");
    for attached in all.iter_mut().chain([&mut { late }]) {
        assert_eq!(attached.ends(), Some(0), "{}", attached.told());
        assert_exact(attached, &["from 0", "from 1", "from 2", "quit"].map(String::from));
    }
}

#[test]
fn what_was_not_kept_is_told_and_not_skipped_in_silence() {
    let scrollback = "2K";
    let run = Run::start(&["--scrollback", scrollback]);
    let dir = tempfile::tempdir().unwrap();
    let address = run.address.to_string();
    let early = Attached::start(&dir, "early", &[&address]);
    early.await_shown("line 00000000");
    // Stopped, it takes nothing; 200 KB fill what the kernel holds for it, and more.
    signal(&early.child, rustix::process::Signal::STOP);
    let mut other = Attached::start(&dir, "other", &[&address]);
    for _ in 0..30 {
        other.types("flood\n");
    }
    other.types("quiet\n");
    other.await_shown("quiet");
    signal(&early.child, rustix::process::Signal::CONT);
    early.await_shown("quiet");
    early.await_told("bytes are missing here: no node had kept them");
    // One that comes late sees the end of it, from a byte that is not the first.
    let late = Attached::start(&dir, "late", &[&address, "--watch"]);
    late.await_shown("quiet");
    assert!(late.shown().len() <= 2048 + 100, "{}", late.shown().len());
    drop(run);
}

#[test]
fn a_guest_that_ends_badly_leaves_its_last_words_on_both_sides() {
    let mut scene = Scene::new();
    let (mut primary, mut backup) = scene.cluster.pair().unwrap();
    let mut attached = scene.attach("panic", &[&backup.address.to_string(), "--send", "panic\\n"]);
    assert_eq!(attached.ends(), Some(3), "{}", attached.told());
    assert!(attached.shown().ends_with("chatter: no way on\n"), "{}", attached.shown());
    for node in [&mut primary, &mut backup] {
        assert_eq!(node.wait(PATIENCE), Some(3), "{}", node.told());
        assert!(node.told().contains("| chatter: no way on"), "{}", node.told());
    }
}

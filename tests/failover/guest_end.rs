//! The guest's end and its console under fault tolerance.

use super::guest::{STATUS, letters, metronome};
use super::scene::*;

#[test]
fn a_guest_that_halts_ends_both_nodes_with_its_status() {
    let mut scene = Scene::kv();
    let (mut primary, mut backup) = scene.cluster.pair().unwrap();
    assert_eq!(scene.ask("HALT"), "OK");
    assert_eq!(primary.wait(PATIENCE), Some(0), "{}", primary.told());
    assert_eq!(backup.wait(PATIENCE), Some(0), "{}", backup.told());
    // The life is over: another may begin without force.
    let mut next = scene.cluster.primary().unwrap();
    scene.await_alone(&mut next);
}

#[test]
fn a_guests_own_status_becomes_both_nodes_and_its_console_comes_out_once() {
    const BEATS: u32 = 300;
    let dir = tempfile::tempdir().unwrap();
    let mut scene = Scene::of(metronome(dir.path(), BEATS, 5));
    let (mut primary, mut backup) = scene.cluster.pair().unwrap();
    assert_eq!(primary.wait(PATIENCE), Some(STATUS), "{}", primary.told());
    assert_eq!(backup.wait(PATIENCE), Some(STATUS), "{}", backup.told());
    assert_eq!(scene.console(&primary), letters(BEATS));
    assert_eq!(scene.console(&backup), "");
}

#[test]
fn guests_that_end_before_a_backup_comes_end_their_primary() {
    for (name, status, text) in
        [("hello", 0, "hello from a machine"), ("exit_code", 42, ""), ("ticker", 0, "checksum")]
    {
        let mut scene = Scene::of(guest(name));
        let mut primary = scene.cluster.primary().unwrap();
        assert_eq!(primary.wait(PATIENCE), Some(status), "{name}: {}", primary.told());
        let console = scene.console(&primary);
        assert!(console.contains(text) && (text.is_empty() || console.ends_with('\n')), "{name}: {console}");
    }
}

#[test]
fn a_console_is_whole_over_a_kill() {
    const BEATS: u32 = 400;
    let mut prng = seeded("a_console_is_whole_over_a_kill");
    for _ in 0..2 {
        let dir = tempfile::tempdir().unwrap();
        let mut scene = Scene::of(metronome(dir.path(), BEATS, 4));
        let (mut primary, mut backup) = scene.cluster.pair().unwrap();
        sleep_ms(prng.between(50, 600));
        kill(&mut primary);
        assert_eq!(backup.wait(PATIENCE), Some(STATUS), "{}", backup.told());
        let (before, after) = (scene.console(&primary), scene.console(&backup));
        let all = letters(BEATS);
        assert!(all.starts_with(&before), "{before}");
        assert!(all.ends_with(&after), "{after}");
        let twice = (before.len() + after.len()) as i64 - all.len() as i64;
        println!("console over a kill: {twice} bytes came twice");
        assert!(twice >= 0, "{} bytes are missing\n{before}\n{after}", -twice);
        // Said again is what left since the last heartbeat, 10 ms before at most.
        assert!(twice <= 26, "{twice}");
    }
}

#[test]
fn a_console_is_whole_over_switch_overs() {
    const BEATS: u32 = 400;
    let dir = tempfile::tempdir().unwrap();
    let mut scene = Scene::of(metronome(dir.path(), BEATS, 4));
    let (mut a, mut b) = scene.cluster.pair().unwrap();
    let mut pieces = Vec::new();
    for _ in 0..3 {
        sleep_ms(100);
        let output = lockstep(&["switchover", &a.address.to_string()]);
        assert!(output.status.success(), "{}\n{}", said(&output), a.told());
        std::mem::swap(&mut a, &mut b);
        pieces.push((scene.console(&a).len(), scene.console(&b).len()));
    }
    assert_eq!(a.wait(PATIENCE), Some(STATUS), "{}", a.told());
    assert_eq!(b.wait(PATIENCE), Some(STATUS), "{}", b.told());
    let (said_a, said_b) = (scene.console(&a), scene.console(&b));
    let sorted = |text: String| {
        let mut letters: Vec<char> = text.chars().collect();
        letters.sort_unstable();
        letters
    };
    let came = sorted(format!("{said_a}{said_b}"));
    assert_eq!(came, sorted(letters(BEATS)), "{pieces:?}\n{said_a}\n{said_b}");
}

//! A guest without a network device: a pair protects it all the same, and its console is what comes out.

use std::time::Instant;

use lockstep::lab::cluster::Process;

use super::guest::{letters, metronome};
use super::scene::*;

/// Longer than the test, also on a busy machine: 40 s in which there is a letter each 20 ms.
const BEATS: u32 = 2000;
const PERIOD_MS: u32 = 20;

/// How many letters have come out once `text` followed the first `before` of them. What had left since the last
/// heartbeat is said again.
fn behind(before: usize, text: &str) -> usize {
    let all = letters(BEATS);
    let start = (before.saturating_sub(25)..=before).rev().find(|&start| all[start..].starts_with(text));
    start.unwrap_or_else(|| panic!("{before} letters, and then {text}")) + text.len()
}

/// Waits until `node` has said some letters that follow the first `before`.
fn await_letters(scene: &Scene, node: &Process, before: usize) {
    let until = Instant::now() + PATIENCE;
    while scene.console(node).len() < 20 {
        assert!(Instant::now() < until, "{} is silent\n{}", node.name, node.told());
        sleep_ms(5);
    }
    behind(before, &scene.console(node));
}

#[test]
fn a_guest_without_a_network_device_goes_on_after_each_of_two_kills() {
    let dir = tempfile::tempdir().unwrap();
    let image = metronome(dir.path(), BEATS, PERIOD_MS);
    let mut scene = Scene::of(&image);
    let words = [image.to_str().unwrap(), "--no-net"].map(str::to_owned);
    scene.cluster.guest_words = words.to_vec();
    scene.cluster.attaches = false;
    let (mut first, mut second) = scene.cluster.pair().unwrap();
    let before = scene.await_audit(&mut first);
    assert_eq!((before.switch.as_str(), before.switch_trouble.as_deref()), ("none", None));
    await_letters(&scene, &first, 0);
    kill(&mut first);
    let heard = behind(0, &scene.console(&first));

    let after = scene.await_primary(&mut second, &before);
    assert_eq!(after.switch, "none");
    await_letters(&scene, &second, heard);
    // Who expects the guest with a network learns the difference, and is not its backup.
    let (vm, arbiter) = (scene.cluster.vm.clone(), scene.cluster.arbiter().display().to_string());
    let to = second.address.to_string();
    let other = ["backup", words[0].as_str(), "--memory", "4M", "--primary", &to, "--vm", &vm, "--once"];
    let refused = lockstep(&[&other[..], &["--listen", "127.0.0.1:0", "--arbiter", &arbiter]].concat());
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("it has no network device (--no-net)"), "{}", said(&refused));

    // The machine is transferred once more, its empty slot with it.
    let mut third = scene.protect(&mut second);
    scene.await_audit(&mut second);
    kill(&mut second);
    let heard = behind(heard, &scene.console(&second));
    scene.await_primary(&mut third, &after);
    await_letters(&scene, &third, heard);
}

//! A guest without a network device: a pair protects it all the same, and its console is what comes out.

use super::guest::{STATUS, letters, metronome};
use super::scene::*;

#[test]
fn a_guest_without_a_network_device_goes_on_after_a_kill_and_is_protected_again() {
    const BEATS: u32 = 500;
    let dir = tempfile::tempdir().unwrap();
    let image = metronome(dir.path(), BEATS, 4);
    let mut scene = Scene::of(&image);
    let words = [image.to_str().unwrap(), "--no-net"].map(str::to_owned);
    scene.cluster.guest_words = words.to_vec();
    scene.cluster.attaches = false;
    let (mut primary, mut backup) = scene.cluster.pair().unwrap();
    let before = scene.await_audit(&mut primary);
    assert_eq!((before.switch.as_str(), before.switch_trouble.as_deref()), ("none", None));

    kill(&mut primary);
    let after = scene.cluster.await_status(&mut backup, "the primary", |s| s.role == "primary").unwrap();
    assert!(after.generation > before.generation, "{before:?} {after:?}");
    assert_eq!(after.switch, "none");
    // Somebody who expects the guest with a network learns the difference, and is not its backup.
    let (vm, arbiter) = (scene.cluster.vm.clone(), scene.cluster.arbiter().display().to_string());
    let to = backup.address.to_string();
    let other = ["backup", words[0].as_str(), "--memory", "4M", "--primary", &to, "--vm", &vm, "--once"];
    let refused = lockstep(&[&other[..], &["--listen", "127.0.0.1:0", "--arbiter", &arbiter]].concat());
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("it has no network device (--no-net)"), "{}", said(&refused));

    // The machine is transferred once more, its empty slot with it, and both see the guest's end.
    let mut third = scene.protect(&mut backup);
    assert_eq!(backup.wait(PATIENCE), Some(STATUS), "{}", backup.told());
    assert_eq!(third.wait(PATIENCE), Some(STATUS), "{}", third.told());
    let (first, second, all) = (scene.console(&primary), scene.console(&backup), letters(BEATS));
    assert!(!first.is_empty() && all.starts_with(&first), "{first}");
    assert!(!second.is_empty() && all.ends_with(&second), "{second}");
    assert!(first.len() + second.len() >= all.len(), "bytes are missing\n{first}\n{second}");
    assert_eq!(scene.console(&third), "");
}

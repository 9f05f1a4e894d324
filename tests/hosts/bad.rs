//! Uplinks that cannot be had: each is refused before anything is served, and the refusal names a way on.

use super::net::Net;
use super::scene::*;

/// The switch ends with status 2 and says each of these.
fn assert_refused(scene: &mut Scene, options: &[&str], words: &[&str]) {
    let listen = ["switch", "--listen", "127.0.0.1:0"];
    let arguments: Vec<String> = listen.iter().chain(options).map(|word| word.to_string()).collect();
    let mut process = scene.start("one", &arguments);
    assert_eq!(process.wait(), 2, "{options:?}: {}", process.told());
    for word in words {
        assert!(process.told().contains(word), "{options:?}: no {word:?} in: {}", process.told());
    }
}

#[test]
fn an_uplink_that_cannot_be_had_is_refused_with_a_way_on() {
    let Some(net) = Net::of(&["one"], &[]) else { return };
    let mut scene = Scene::of(net);
    assert_refused(&mut scene, &["--tap", "lockstep-tap-016"], &["1 to 15 letters"]);
    assert_refused(&mut scene, &["--tap", "eth0"], &["no TAP device", "fix:", "bridge"]);
    assert_refused(
        &mut scene,
        &["--uplink", "passt:/nowhere/socket"],
        &["no passt listens", "passt --socket"],
    );
    assert_refused(&mut scene, &["--uplink", &format!("passt:/{}", "x".repeat(200))], &["too long"]);
    assert_refused(&mut scene, &["--uplink", "slirp:x"], &["passt:SOCKET"]);
    let forward = ["--tap", "tap0", "--forward", "udp:127.0.0.1:9000=9000"];
    assert_refused(&mut scene, &forward, &["cannot be used with"]);
    let _holder = scene.tap_switch("one");
    assert_refused(&mut scene, &["--tap", "tap0"], &["another process uses", "fix:"]);
}

#[test]
fn a_tap_device_is_made_where_there_is_none_and_its_loss_is_survived() {
    let Some(net) = Net::of(&["one"], &[]) else { return };
    let mut scene = Scene::of(net);
    let mut switch = scene.switch("one", &["--tap", "tap7"]);
    scene.net.ip("one", "link set dev tap7 master br0");
    // Deleted under the switch: made anew, and the switch serves on.
    scene.net.ip("one", "link del dev tap7");
    scene.await_that("it is back", || switch.told().contains("is back"));
    scene.net.ip("one", "link set dev tap7 master br0");
    assert!(switch.is_running(), "{}", switch.told());
    assert_eq!(scene.switch_status("one")["peers"], 1);
}

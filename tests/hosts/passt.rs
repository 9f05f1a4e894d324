//! The guest behind `passt`: the host's own network, without privileges for the switch.

use std::path::Path;
use std::time::Instant;

use super::net::Net;
use super::scene::*;

/// passt on the switch's host: the guest's UDP port 9000 and its TCP port 6379 are the host's.
pub fn passt(scene: &Scene, host: &str, socket: &Path) -> Process {
    let mut command = scene.net.command(host, "passt");
    command.args(["--foreground", "--runas", "0", "--mtu", "1500"]);
    command.args(["--udp-ports", "9000", "--tcp-ports", "6379"]);
    command.args(["--address", "10.0.2.15", "--netmask", "24", "--gateway", "10.0.2.2"]);
    command.arg("--socket").arg(socket);
    let mut process = Process::start(command, host, &scene.dir.path().join("told-passt"));
    scene.await_that("passt listens", || {
        assert!(process.is_running(), "{}", process.told());
        socket.exists()
    });
    process
}

#[test]
fn clients_behind_passt_live_through_a_kill_of_the_primary_and_one_of_passt() {
    let Some(net) = Net::of(&["one", "two", "wire", "client"], &["passt"]) else { return };
    let mut scene = Scene::of(net);
    // passt wants a way to the world, if only to copy its settings.
    scene.net.ip("wire", &format!("route add default via {}", scene.net.address("client")));
    // It drops its rights to other files early: the socket's directory must let it in.
    let socket = scene.dir.path().join("passt.socket");
    let mut host_side = passt(&scene, "wire", &socket);
    let _switch = scene.switch("wire", &["--uplink", &format!("passt:{}", socket.display())]);
    let mut primary = scene.primary("one", "wire");
    let backup = scene.backup("two", "one", "wire");
    let load = scene.load_at("client", scene.net.at("wire", 9000), 1);
    sleep_ms(300);
    let since = Instant::now();
    primary.kill();
    scene.await_primary("two", 1);
    assert!(load.verify_all(), "{}", backup.told());
    println!("killed behind passt: longest gap {:.1} ms", gap_ms(&load, since));
    let since = Instant::now();
    host_side.kill();
    std::fs::remove_file(&socket).unwrap();
    host_side = passt(&scene, "wire", &socket);
    assert!(load.verify_all(), "{}", host_side.told());
    println!("passt killed and started again: longest gap {:.1} ms", gap_ms(&load, since));
    assert!(scene.switch_status("wire")["uplink"]["announcements"].as_u64().unwrap() > 0);
    assert_clean(&load.stop());
}

//! Bad wires: 1 % loss, 50 ms delay, reordering between primary and backup, by vde2's `wirefilter`.

use std::time::Instant;

use super::net::Net;
use super::scene::*;

/// Between two hosts, in place of their place on the common segment's wire: `wirefilter` with these
/// options. The hosts reach each other there at 10.9.0.1 and 10.9.0.2.
fn bad_wire(scene: &Scene, hosts: [&str; 2], options: &[&str]) -> Vec<Process> {
    let mut processes = Vec::new();
    let socket = |host: &str| scene.dir.path().join(format!("vde-{host}")).display().to_string();
    for (n, host) in hosts.into_iter().enumerate() {
        let mut command = scene.net.command(host, "vde_switch");
        command.args(["-s", &socket(host), "-tap", "bad0", "-nostdin"]);
        let told = scene.dir.path().join(format!("told-vde-{host}"));
        processes.push(Process::start(command, host, &told));
        scene.await_that("vde listens", || std::path::Path::new(&socket(host)).join("ctl").exists());
        scene.net.ip(host, &format!("addr add 10.9.0.{}/24 dev bad0", n + 1));
        scene.net.ip(host, "link set dev bad0 up");
    }
    let plugs = format!("{}:{}", socket(hosts[0]), socket(hosts[1]));
    let mut command = std::process::Command::new("wirefilter");
    command.args(options).args(["-v", &plugs]);
    processes.push(Process::start(command, "", &scene.dir.path().join("told-wirefilter")));
    processes
}

/// For ten seconds over such a wire no takeover happens; what clients get is printed.
fn assert_patient(name: &str, options: &[&str], silence_ms: u64) {
    let needs = ["vde_switch", "wirefilter"];
    let Some(net) = Net::of(&["one", "two", "wire", "client"], &needs) else { return };
    let mut scene = Scene::of(net);
    let _switch = scene.tap_switch("wire");
    let _wire = bad_wire(&scene, ["one", "two"], options);
    scene.arguments = vec!["--silence-ms".into(), silence_ms.to_string()];
    let mut primary = scene.primary("one", "wire");
    let mut backup = scene.backup_at("two", "10.9.0.1", "one", "wire");
    let load = scene.load("client", 7);
    let since = Instant::now();
    sleep_ms(10_000);
    let answers = load.answers_since(since).len();
    println!("{name}: {} answers a second, longest gap {:.0} ms", answers / 10, gap_ms(&load, since));
    let status = scene.status("one");
    assert_eq!((status.generation.get(), status.protected), (1, true), "{}", primary.told());
    assert!(answers > 0 && backup.is_running(), "{}", backup.told());
    // And the other way round: a crash is still noticed.
    primary.kill();
    scene.await_primary("two", 1);
    assert!(load.verify_all());
    assert_clean(&load.stop());
}

#[test]
fn fifty_milliseconds_of_delay_are_no_crash() {
    assert_patient("50 ms each way, at the default silence", &["-d", "50"], 120);
}

#[test]
fn one_percent_of_loss_is_no_crash() {
    assert_patient("1 % loss", &["-l", "1"], 1000);
}

#[test]
fn loss_delay_and_reordering_together_are_no_crash() {
    assert_patient("1 % loss, 50 ms, reordering", &["-l", "1", "-d", "50+10U", "-N"], 2000);
}

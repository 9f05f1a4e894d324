//! A pair whose switch serves another node: both nodes notice, report it, and ask the arbiter.

use std::io::Write;
use std::process::Command;
use std::time::Duration;

use lockstep::base::{Generation, NodeId};
use lockstep::ft::{Arbiter, Bid, Claim, Message};
use lockstep::host::arbiter::FileArbiter;
use lockstep::host::link;
use lockstep::host::switch::query;
use lockstep::lab::cluster::Process;
use lockstep::lab::port::Listening;
use lockstep::machine::mac_of;
use lockstep::net::{Attach, Mac};

use super::scene::*;
use crate::common::hear;

/// The number of the guest's life, which its primary gives to a node that joins, and to no other.
fn life_of(primary: &Process) -> u64 {
    let stream = link::dial(&primary.address.to_string()).unwrap();
    let say = |message: Message| {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        (&stream).write_all(&bytes).unwrap();
    };
    say(Message::Join { vm: "kv".into(), node: NodeId(99) });
    let (mut reader, mut taken) = (stream.try_clone().unwrap(), 0);
    loop {
        match hear(&mut reader).unwrap() {
            Message::MemoryChunk(_) => {
                taken += 1;
                say(Message::MemoryTaken { chunks: taken });
            }
            Message::Offer { life, .. } => return life,
            _ => {}
        }
    }
}

/// A pair, and the number of its guest's life.
fn pair(scene: &mut Scene) -> (Process, Process, u64) {
    let mut primary = scene.cluster.primary().unwrap();
    scene.cluster.await_status(&mut primary, "running", |_| true).unwrap();
    let life = life_of(&primary);
    scene.await_alone(&mut primary);
    let backup = scene.protect(&mut primary);
    (primary, backup, life)
}

/// Another node under the same vm's name, attached to the scene's switch as `generation`. It knows the guest's
/// life: no less convinces the switch.
fn foreign(scene: &Scene, life: u64, generation: u64) -> Listening {
    attached(scene, "kv", life, generation)
}

/// A node of `vm` that has the address of the vm `kv`.
fn attached(scene: &Scene, vm: &str, life: u64, generation: u64) -> Listening {
    let attach = Attach {
        vm: vm.into(),
        life,
        mac: Mac(mac_of("kv")),
        generation: Generation(generation),
        standby: false,
        rx_seq_last: 0,
        tx_seq_last: 0,
    };
    let port = Listening::connect(scene.cluster.switch.address, attach, |_| true).unwrap();
    let until = std::time::Instant::now() + PATIENCE;
    while !port.is_up() {
        assert!(std::time::Instant::now() < until, "{}", query(scene.cluster.switch.address).unwrap());
        sleep_ms(2);
    }
    port
}

/// `lockstep status`: its exit status, and what it prints.
fn status_command(node: &Process) -> (Option<i32>, String) {
    let done = Command::new(BINARY).args(["status", &node.address.to_string()]).output().unwrap();
    (done.status.code(), String::from_utf8_lossy(&done.stdout).into_owned())
}

#[test]
fn a_guarded_primary_says_that_the_switch_serves_a_node_of_another_arbiter() {
    let mut scene = Scene::kv();
    let (mut primary, mut backup, life) = pair(&mut scene);
    for node in [&mut primary, &mut backup] {
        let status = scene.cluster.await_status(node, "attached", |now| now.switch == "up").unwrap();
        assert!(status.protected && status.troubles().is_empty(), "{status:?}");
        let (code, text) = status_command(node);
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains("switch      up\n") && text.contains("well        yes\n"), "{text}");
    }
    let _foreign = foreign(&scene, life, 2);
    let status = scene
        .cluster
        .await_status(&mut primary, "fenced", |now| now.switch == "fenced by 2" && now.phase == "guarded")
        .unwrap();
    assert!(!status.protected, "{status:?}");
    let (code, text) = status_command(&primary);
    assert_eq!(code, Some(1), "{text}");
    for line in [
        "switch      fenced by 2\n",
        "protected   no: the switch serves another generation",
        "well        no",
    ] {
        assert!(text.contains(line), "no {line:?} in {text}");
    }
    // The arbiter has no later record: this node stays what it is, and reports what is wrong.
    let until = std::time::Instant::now() + PATIENCE;
    while !primary.told().contains("uses another arbiter") {
        assert!(std::time::Instant::now() < until, "{}", primary.told());
        sleep_ms(5);
    }
    assert!(
        primary.told().contains("the switch serves generation 2: asking the arbiter"),
        "{}",
        primary.told()
    );
    assert_eq!(primary.status().unwrap().generation, Generation(1));
    assert_eq!((primary.wait(Duration::ZERO), backup.wait(Duration::ZERO)), (None, None));
}

#[test]
fn a_guarded_primary_that_was_replaced_at_the_arbiter_halts_when_the_switch_fences_it() {
    let mut scene = Scene::kv();
    let (mut primary, mut backup, life) = pair(&mut scene);
    let mut arbiter = FileArbiter::open(&scene.cluster.arbiter()).unwrap();
    let holder = arbiter.holder("kv").unwrap().unwrap().bid;
    let bid = Bid {
        generation: Generation(2),
        node: NodeId(77),
        keeps: Vec::new(),
        after: Some(holder.node),
        wherefrom: "elsewhere".into(),
    };
    assert_eq!(arbiter.claim("kv", &bid), Ok(Claim::Won));
    assert_eq!(primary.wait(Duration::ZERO), None);
    let _foreign = foreign(&scene, life, 2);
    for node in [&mut primary, &mut backup] {
        assert_eq!(node.wait(PATIENCE), Some(1), "{}", node.told());
        assert!(node.told().contains("generation 2 belongs to node"), "{}", node.told());
    }
}

#[test]
fn a_node_without_its_switch_is_not_well() {
    let mut scene = Scene::kv();
    let mut primary = scene.cluster.primary().unwrap();
    scene.cluster.await_status(&mut primary, "attached", |now| now.switch == "up").unwrap();
    let (code, text) = status_command(&primary);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("well        no: not protected (primary, alone)\n"), "{text}");
    scene.cluster.switch.kill().unwrap();
    scene.cluster.await_status(&mut primary, "without a switch", |now| now.switch == "down").unwrap();
    let (code, text) = status_command(&primary);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("switch      down: ") && text.contains("; switch down"), "{text}");
}

#[test]
fn a_pair_that_the_switch_refuses_is_not_protected() {
    let mut scene = Scene::kv();
    let _squatter = attached(&scene, "other", 4711, 1);
    let mut primary = scene.cluster.primary().unwrap();
    scene.cluster.await_status(&mut primary, "refused", |now| now.switch == "refused").unwrap();
    let _backup = scene.cluster.backup(&primary).unwrap();
    let status = scene.cluster.await_status(&mut primary, "guarded", |now| now.phase == "guarded").unwrap();
    assert!(!status.protected && status.switch == "refused", "{status:?}");
    let (code, text) = status_command(&primary);
    assert_eq!(code, Some(1), "{text}");
    for line in ["switch      refused: ", "protected   no: the switch refuses this node", "well        no"] {
        assert!(text.contains(line), "no {line:?} in {text}");
    }
}

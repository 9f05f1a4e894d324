//! `lockstep kill`: one node, named by its address, and nothing else.

use lockstep::lab::cluster::Process;

use super::scene::*;

/// Kills the node at its address by the command; the words of the command.
fn kill_by_command(node: &mut Process) -> String {
    let output = lockstep(&["kill", &node.address.to_string()]);
    let words = said(&output);
    assert!(output.status.success(), "{words}");
    // Gone by a signal, when the command comes back.
    assert_eq!(node.wait(PATIENCE), Some(-1), "{words}");
    words
}

#[test]
fn the_kill_command_ends_the_named_node_and_the_other_goes_on() {
    let mut scene = Scene::kv();
    let (mut primary, mut backup) = scene.cluster.pair().unwrap();
    assert_eq!(scene.ask("SET colour green"), "OK");
    let before = primary.status().unwrap();
    let words = kill_by_command(&mut primary);
    assert!(words.contains("lockstep primary"), "{words}");
    scene.await_primary(&mut backup, &before);
    assert_eq!(scene.ask("GET colour"), "VALUE green");
    // A stopped node does not answer, and is killed all the same.
    let mut joined = scene.protect(&mut backup);
    joined.stop().unwrap();
    kill_by_command(&mut joined);
    assert_eq!(scene.ask("GET colour"), "VALUE green");
}

#[test]
fn the_kill_command_refuses_what_is_no_node_of_this_host() {
    let mut scene = Scene::kv();
    let refused = |address: String, word: &str| {
        let output = lockstep(&["kill", &address]);
        let words = said(&output);
        assert_eq!(output.status.code(), Some(2), "{words}");
        assert!(words.contains(word) && words.contains("fix: "), "{words}");
    };
    refused(scene.cluster.switch.address.to_string(), "is no node");
    refused("192.0.2.1:7100".into(), "this host alone");
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = other.local_addr().unwrap().to_string();
    refused(at.clone(), "is no node");
    drop(other);
    refused(at, "no process listens");
    assert!(scene.cluster.switch.child.try_wait().unwrap().is_none(), "the switch lives");
}

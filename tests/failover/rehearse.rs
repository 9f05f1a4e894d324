//! Rehearsals of a takeover, while the service runs.

use std::process::Output;
use std::time::Duration;

use lockstep::ft::Message;
use lockstep::host::link;
use lockstep::lab::cluster::Process;
use serde_json::Value;

use super::scene::*;

fn rehearse(node: &Process, more: &[&str]) -> Output {
    let address = node.address.to_string();
    lockstep(&[&["rehearse", address.as_str()], more].concat())
}

fn answer(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(output)))
}

#[test]
fn a_takeover_is_rehearsed_while_the_service_runs_and_then_it_comes() {
    let mut scene = Scene::kv();
    let (mut primary, mut backup) = scene.cluster.pair().unwrap();
    let load = scene.load(6, 17);
    scene.await_audit(&mut primary);
    let frames = |answer: &Value| answer["frames"].as_u64().unwrap();
    for _ in 0..2 {
        let output = rehearse(&backup, &["--for", "1", "--json"]);
        assert_eq!(output.status.code(), Some(0), "{}\n{}", said(&output), backup.told());
        let answer = answer(&output);
        assert!(answer["goes_on"] == true && answer["why"].is_null(), "{answer}");
        assert_eq!(answer["answered"], true, "the guest lives: {answer}");
        assert!(frames(&answer) >= 1 && answer["forked_at"].as_u64() > Some(0), "{answer}");
        // The fork's frames have the numbers of the service's next ones: one that left would be taken for an answer.
        assert!(load.verify_all(), "{}\n{}", primary.told(), backup.told());
    }
    let output = rehearse(&backup, &["--for", "1"]);
    assert!(
        said(&output).contains("\nthe guest goes on: a takeover by this backup would work"),
        "{}",
        said(&output)
    );
    let output = rehearse(&primary, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("this node is the primary"), "{}", said(&output));
    assert_eq!(scene.console(&backup), "");
    let before = primary.status().unwrap();
    assert!(before.protected && before.generation.get() == 1, "{before:?}");
    kill(&mut primary);
    scene.await_primary(&mut backup, &before);
    assert!(load.verify_all(), "{}", backup.told());
    assert_clean(&load.stop(), &[&primary, &backup]);
}

#[test]
fn a_takeover_does_not_wait_for_a_rehearsal() {
    let mut scene = Scene::kv();
    let (mut primary, mut backup) = scene.cluster.pair().unwrap();
    let load = scene.load(6, 18);
    scene.await_audit(&mut primary);
    let address = backup.address;
    let asking =
        std::thread::spawn(move || link::ask(address, &Message::Rehearse { seconds: 60 }, 2 * PATIENCE));
    // It is live by then, on any host.
    std::thread::sleep(Duration::from_secs(2));
    let output = rehearse(&backup, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("a rehearsal is under way already"), "{}", said(&output));
    let before = primary.status().unwrap();
    let (sent, gone) = kill(&mut primary);
    scene.await_primary(&mut backup, &before);
    let ms = await_answer_ms(&load, sent, gone);
    println!("a kill in a rehearsal: the first answer after {ms:.1} ms");
    let asked = asking.join().unwrap();
    let Ok(Message::Refuse { why }) = asked else { panic!("{asked:?}") };
    assert_eq!(why, "no rehearsal: this node is about to take over");
    assert!(load.verify_all(), "{}", backup.told());
    assert_clean(&load.stop(), &[&primary, &backup]);
}

#[test]
fn a_node_that_is_gone_gives_no_answer() {
    let mut scene = Scene::kv();
    let mut primary = scene.cluster.primary().unwrap();
    kill(&mut primary);
    let output = rehearse(&primary, &[]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("name the --listen address of a backup"), "{}", said(&output));
}

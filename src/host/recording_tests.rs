use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::base::{Digest, Icount, Seq};
use crate::ft::{LinkId, Message};
use crate::log::{Entry, Event, FrameBuilder, Lineage};
use crate::machine::Input;

const PATIENCE: Duration = Duration::from_secs(60);

/// A recording into a directory whose disk stands still until the sender is dropped; and its wake-ups.
fn stuck(goes_first: bool) -> (NodeRecording, Sender<()>, Receiver<()>, TempDir) {
    let dir = TempDir::new().unwrap();
    let ((go, stuck), (woken, wakes)) = (channel::<()>(), channel());
    let lineage = Lineage {
        vm: "test".into(),
        guest: "guest".into(),
        guest_digest: Digest(1),
        ram_bytes: 4 << 20,
        base_seq: Seq(0),
        base_icount: Icount(0),
        base_digest: Digest(2),
    };
    let base = std::iter::once_with(move || stuck.recv().map_or(Vec::new(), |()| Vec::new()));
    let wake = move || woken.send(()).map_or((), |()| ());
    let path = dir.path().join("log");
    let writer = BackgroundWriter::create(&path, lineage, Generation(1), base, None, wake).unwrap();
    let mut recording = NodeRecording::new(goes_first);
    recording.begin(writer);
    (recording, go, wakes, dir)
}

fn frame(seq: u64) -> Vec<u8> {
    let mut builder = FrameBuilder::new();
    let event = Event::Input(Input::Console(vec![b'x'; 10]));
    builder.push(&Entry { seq: Seq(seq), at: Icount(seq), event });
    builder.finish()
}

fn printed(offset: u64, bytes: usize) -> Command {
    Command::Release(Output::Console { offset, bytes: vec![b'y'; bytes] })
}

fn sent() -> Command {
    Command::Send { link: LinkId(1), message: Message::Status }
}

/// The commands in their order, shortened.
fn names(commands: impl IntoIterator<Item = Command>) -> Vec<String> {
    let name = |command| match command {
        Command::Release(Output::Console { offset, .. }) => format!("console {offset}"),
        Command::Send { .. } => "send".into(),
        Command::Close { .. } => "close".into(),
        other => panic!("{other:?} is never held"),
    };
    commands.into_iter().map(name).collect()
}

fn released(recording: &mut NodeRecording) -> Vec<String> {
    names(std::iter::from_fn(|| recording.release()))
}

#[test]
fn nothing_is_seen_before_the_recording_has_what_led_to_it() {
    let (mut recording, go, wakes, _dir) = stuck(true);
    assert!(recording.hold(printed(0, 1)).is_some(), "nothing led to it");
    recording.append(Generation(1), frame(1));
    assert!(recording.hold(printed(1, 1)).is_none());
    recording.append(Generation(1), frame(2));
    assert!(recording.hold(printed(2, 1)).is_none());
    // A terminal's copy, and the end of its connection behind it.
    assert!(recording.hold(sent()).is_none());
    assert!(recording.hold(Command::Close { link: LinkId(1) }).is_none());
    assert!(recording.hold(Command::Close { link: LinkId(2) }).is_some());
    let answer = Message::Answer { json: "{}".into() };
    assert!(recording.hold(Command::Send { link: LinkId(2), message: answer }).is_some());
    // Nobody sees these.
    assert!(recording.hold(Command::FramesSafe { rx_seq: 1 }).is_some());
    assert!(recording.hold(Command::EndLife { generation: Generation(1) }).is_some());
    assert_eq!(released(&mut recording), [""; 0]);
    assert!(!recording.is_due());
    drop(go);
    let mut seen = Vec::new();
    while seen.len() < 4 {
        while !recording.is_due() {
            wakes.recv_timeout(PATIENCE).expect("woken");
        }
        seen.extend(released(&mut recording));
    }
    assert_eq!(seen, ["console 1", "console 2", "send", "close"]);
    assert!(recording.hold(sent()).is_some(), "all that led to it is there");
    recording.close().unwrap();
}

#[test]
fn a_node_of_a_pair_lets_everything_out_at_once() {
    let (mut recording, go, _wakes, _dir) = stuck(false);
    recording.append(Generation(1), frame(1));
    assert!(recording.hold(printed(0, 1)).is_some());
    assert!(recording.hold(sent()).is_some());
    assert!(!recording.is_full());
    drop(go);
}

#[test]
fn a_guest_that_outputs_more_than_may_wait_waits_itself() {
    let (mut recording, go, _wakes, _dir) = stuck(true);
    recording.append(Generation(1), frame(1));
    for n in 0..HELD_BYTES_MAX / 4096 {
        assert!(recording.hold(printed(n as u64, 4096)).is_none());
    }
    assert!(recording.is_full());
    drop(go);
    recording.await_written();
    assert_eq!(released(&mut recording).len(), HELD_BYTES_MAX / 4096);
    assert!(!recording.is_full());
}

/// The guest goes on without its recording: what it has output may be seen.
#[test]
fn what_waits_for_a_recording_that_has_ended_is_let_out() {
    let (mut recording, go, _wakes, _dir) = stuck(true);
    // It is no frame.
    recording.append(Generation(1), vec![1, 2, 3]);
    assert!(recording.hold(printed(0, 1)).is_none());
    drop(go);
    recording.await_written();
    assert!(recording.has_ended() && recording.is_due());
    assert_eq!(released(&mut recording), [""; 0], "not before the end was seen");
    assert!(matches!(recording.take_end(), Some(Err(LogError::NotAFrame { .. }))));
    assert!(recording.is_due());
    assert_eq!(released(&mut recording), ["console 0"]);
    assert!(!recording.is_due() && recording.take_end().is_none());
}

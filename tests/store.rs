//! `lockstep store`, `replay STORE` and `run --from STORE`, as a user types them, over stores with the log of a real
//! guest: one that says a numbered line each 5 ms, so that a line tells the time.

#[allow(dead_code, reason = "a tool box that several test programs share")]
mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use lockstep::base::{Digest, Generation, Icount, NodeId, Seq};
use lockstep::devices::disk::DiskSpec;
use lockstep::host::store::{
    Appended, CheckpointMeta, Identity, Settings, Store, StoreEvent, Sync as StoreSync,
};
use lockstep::lab::cluster::Cluster;
use lockstep::lab::kvclient::request;
use lockstep::log::{Event, Start};
use lockstep::machine::{BootOptions, Elf, Machine, SaveStep, Saved};
use lockstep::mem::Extent;
use lockstep::replay::{Answers, RecordStop, Recorder};
use lockstep::snapshot::{Encoder, Packer};
use serde_json::Value;
use tempfile::TempDir;

use common::{BINARY, guest, lockstep, said};

const RAM_BYTES: u64 = 4 << 20;
const TICKS_PER_S: u64 = 10_000_000;
/// Of the guest.
const LINES_PER_S: u64 = 200;
const SLICE: u64 = 8192;
/// A secret.
const LIFE: u64 = 0xdead_beef_dead_beef;

/// A host whose clock is what the test wants it to be.
struct World {
    ticks: u64,
    drawn: u8,
}

impl Answers for World {
    fn ticks(&mut self) -> u64 {
        self.ticks
    }

    fn entropy(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.drawn = self.drawn.wrapping_add(1);
            *byte = self.drawn;
        }
    }

    fn host_id(&mut self) -> u64 {
        7
    }

    fn wall_clock_ns(&mut self) -> u64 {
        1_700_000_000_000_000_000
    }
}

/// A guest that runs live, and the store that keeps its log.
struct Live {
    recorder: Recorder,
    world: World,
    store: Store,
    events: Receiver<StoreEvent>,
    /// All that the guest has said.
    console: Vec<u8>,
}

fn boot(name: &str, disks: Vec<DiskSpec>) -> Machine {
    let file = fs::read(guest(name)).unwrap();
    let options = BootOptions { guest: name.into(), ram_bytes: RAM_BYTES, disks, ..BootOptions::default() };
    Machine::boot(&Elf::parse(&file).unwrap(), &options).unwrap()
}

fn meta_of(saved: &Saved, seq: Seq) -> CheckpointMeta {
    CheckpointMeta { seq, icount: saved.icount, generation: Generation(1), digest: saved.digest, base: None }
}

impl Live {
    fn begin(dir: &Path, mut machine: Machine) -> Self {
        let base = machine.save();
        let meta = CheckpointMeta { generation: Generation::ZERO, ..meta_of(&base, Seq::ZERO) };
        let identity = Identity::new("talker", LIFE, machine.config(), &meta);
        let (sender, events) = channel();
        let report = move |event| sender.send(event).unwrap_or(());
        let settings = Settings { segment_bytes: 64 << 10, sync: StoreSync::Relaxed, ..Settings::default() };
        let store = Store::create(dir, &identity, meta, Encoder::new(base), settings, report).unwrap();
        let mut recorder = Recorder::new(machine, Seq(1));
        recorder.digest_every(100_000);
        recorder.record(Event::Generation { generation: Generation(1), node: NodeId(5), why: Start::Boot });
        let world = World { ticks: 0, drawn: 0 };
        Self { recorder, world, store, events, console: Vec::new() }
    }

    /// Lets the guest run until its clock shows so many seconds, or it ends, or waits for its network.
    fn run_to(&mut self, seconds: u64) {
        let mut outputs = Vec::new();
        while self.world.ticks < seconds * TICKS_PER_S {
            let limit = self.recorder.icount().plus(SLICE);
            let stop = self.recorder.run(limit, &mut self.world, &mut outputs);
            self.flush(&mut outputs);
            match stop {
                RecordStop::Slice => self.world.ticks += SLICE / 20,
                RecordStop::Idle => match self.recorder.machine().timer_deadline() {
                    Some(due) => self.world.ticks = due,
                    None => return,
                },
                RecordStop::Halted(_) => return,
            }
        }
    }

    fn flush(&mut self, outputs: &mut Vec<(Seq, lockstep::machine::Output)>) {
        self.recorder.take_outputs(outputs);
        for (_, output) in outputs.drain(..) {
            if let lockstep::machine::Output::Console { bytes, .. } = output {
                self.console.extend(bytes);
            }
        }
        if let Some(frame) = self.recorder.flush(true) {
            assert!(matches!(self.store.append(&frame.bytes).unwrap(), Appended::Taken { .. }));
        }
    }

    /// Saves a checkpoint of the state that `change` makes of the present one.
    fn checkpoint_of(&mut self, change: impl FnOnce(&mut Saved)) -> Kept {
        let seq = Seq(self.recorder.seq_next().get() - 1);
        let mut saved = self.recorder.machine_mut().save();
        change(&mut saved);
        let meta = meta_of(&saved, seq);
        self.store.checkpoint(meta, Encoder::new(saved)).unwrap();
        self.saved(meta)
    }

    /// Saves a checkpoint as a node does, which builds on `base` if there is one.
    fn checkpoint_on(&mut self, base: Option<Kept>) -> Kept {
        let seq = Seq(self.recorder.seq_next().get() - 1);
        let machine = self.recorder.machine_mut();
        let extent = if base.is_some() { Extent::Increment } else { Extent::Base };
        machine.begin_save(u64::MAX, extent).unwrap();
        let (mut head, mut pieces) = (None, Vec::new());
        loop {
            match machine.save_next(100) {
                SaveStep::Working => {}
                SaveStep::Head(saved) => head = Some(*saved),
                SaveStep::Piece(piece) => pieces.push(piece),
                SaveStep::End => break,
            }
        }
        let head = head.unwrap();
        assert_eq!(head.base, base.map(|base| base.at));
        let (icount, digest, base) = (head.icount, head.digest, base.map(|base| base.seq));
        let meta = CheckpointMeta { seq, icount, generation: Generation(1), digest, base };
        let chunks: Vec<Vec<u8>> = Packer::new(head, pieces.into_iter()).collect();
        self.store.checkpoint(meta, chunks.into_iter()).unwrap();
        self.saved(meta)
    }

    fn saved(&self, meta: CheckpointMeta) -> Kept {
        let seq = meta.seq;
        loop {
            match self.events.recv_timeout(Duration::from_secs(60)).unwrap() {
                StoreEvent::CheckpointSaved { seq: saved, .. } if saved == seq => break,
                StoreEvent::CheckpointFailed { why, .. } => panic!("{why}"),
                _ => {}
            }
        }
        Kept { seq, at: meta.icount, said: self.console.len() }
    }
}

/// A checkpoint, and what the guest had said when it was saved.
#[derive(Clone, Copy, Debug)]
struct Kept {
    seq: Seq,
    at: Icount,
    said: usize,
}

struct Made {
    _dir: TempDir,
    path: PathBuf,
    /// Of 0, 20 and 40 seconds.
    kept: [Kept; 3],
    /// Of 60 seconds.
    end: Kept,
    console: Vec<u8>,
}

/// A closed store of a minute of the guest's time.
fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("s");
        let mut live = Live::begin(&path, boot("chatter", Vec::new()));
        let base = Kept { seq: Seq::ZERO, at: Icount::ZERO, said: 0 };
        let mut checkpoint = |seconds| {
            live.run_to(seconds);
            live.checkpoint_of(|_| {})
        };
        let kept = [base, checkpoint(20), checkpoint(40)];
        live.run_to(60);
        let seq = Seq(live.recorder.seq_next().get() - 1);
        let end = Kept { seq, at: live.recorder.icount(), said: live.console.len() };
        live.store.close().unwrap();
        Made { _dir: dir, path, kept, end, console: live.console }
    })
}

/// A closed store with checkpoints at 10, 20 and 30 seconds, of which the last two each build on the one before, and one at
/// 40 that stands by itself; and these.
fn built(dir: &Path) -> [Kept; 4] {
    let mut live = Live::begin(dir, boot("chatter", Vec::new()));
    let mut checkpoint = |seconds, base| {
        live.run_to(seconds);
        live.checkpoint_on(base)
    };
    let first = checkpoint(10, None);
    let second = checkpoint(20, Some(first));
    let kept = [first, second, checkpoint(30, Some(second)), checkpoint(40, None)];
    live.run_to(50);
    live.store.close().unwrap();
    kept
}

#[test]
fn checkpoints_that_build_on_each_other_are_gone_back_to_like_any() {
    let dir = TempDir::new().unwrap();
    let (store, out) = (dir.path().join("s"), dir.path().join("out"));
    let (store, out) = (text(&store), text(&out));
    let kept = built(Path::new(store));
    let listed = json(&ends(0, &["store", "ls", store, "--json"]));
    let of = |nth: usize, field: &str| listed["checkpoints"][nth + 1][field].as_u64();
    assert_eq!(
        [0, 1, 2, 3].map(|nth| of(nth, "builds_on")),
        [None, Some(kept[0].seq.get()), Some(kept[1].seq.get()), None]
    );
    assert!(of(1, "bytes") < of(0, "bytes") && of(2, "bytes") < of(3, "bytes"), "{listed}");
    let verified = json(&ends(0, &["store", "verify", store, "--json"]));
    assert_eq!((&verified["verdict"], &verified["checkpoints"]), (&"whole".into(), &5.into()), "{verified}");
    // A recording that begins there has a base of its own.
    let at = kept[2].at.get().to_string();
    let seq = kept[2].seq.get().to_string();
    let there = digest(&ends(0, &["replay", store, "--at", &at]));
    let exported = json(&ends(0, &["store", "export", store, out, "--from", &seq, "--json"]));
    assert_eq!((exported["seq"].as_u64(), &exported["out"]), (Some(kept[2].seq.get()), &out.into()));
    let end = digest(&ends(0, &["replay", store]));
    assert_eq!(digest(&ends(0, &["replay", out])), end);
    assert_ne!(there, end);
    // Rot in what a checkpoint builds on is that one's, too: the one before is gone back to.
    let base = files(Path::new(store), ".ckpt")[1].clone();
    flip(&base, 4000);
    let damaged = ends(1, &["store", "verify", store]);
    assert!(said(&damaged).contains(base.file_name().unwrap().to_str().unwrap()), "{}", said(&damaged));
    let refused = ends(2, &["replay", store, "--at", &at]);
    assert!(told(&refused).contains(text(&base)), "{}", told(&refused));
    assert_eq!(digest(&ends(0, &["replay", store])), end, "the newest stands by itself");
}

#[test]
fn what_checkpoints_build_on_goes_with_the_last_of_them() {
    let dir = TempDir::new().unwrap();
    let store = dir.path().join("s");
    built(&store);
    let prune = |keep: &str| json(&ends(0, &["store", "prune", text(&store), "--keep", keep, "--json"]));
    let pruned = prune("2");
    assert_eq!((&pruned["checkpoints"], &pruned["needed"]), (&1.into(), &2.into()), "only the store's first");
    ends(0, &["store", "verify", text(&store)]);
    assert_eq!(prune("1")["checkpoints"], 3);
    ends(0, &["store", "verify", text(&store)]);
    assert_eq!(files(&store, ".ckpt").len(), 1);
}

/// A copy of the store of a minute, to change.
fn copy() -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("s");
    copy_dir(&made().path, &path);
    (dir, path)
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        fs::copy(item.path(), to.join(item.file_name())).unwrap();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs a command that must end with `status`.
fn ends(status: i32, arguments: &[&str]) -> Output {
    let output = lockstep(arguments);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {}", said(&output));
    output
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Runs a command that must fail with exactly this sentence and fix.
fn refused(arguments: &[&str], what: &str, fix: &str) {
    let output = ends(2, arguments);
    assert_eq!(told(&output), format!("lockstep: {what}\n  fix: {fix}\n"), "{arguments:?}");
    assert_eq!(out(&output), "", "{arguments:?}");
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(output)))
}

/// All files in `dir` with their content.
fn content(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|item| item.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

fn files(dir: &Path, suffix: &str) -> Vec<PathBuf> {
    let all = content(dir).into_iter().map(|(path, _)| path);
    all.filter(|path| text(path).ends_with(suffix)).collect()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// The digest of the state at which a replay ended.
fn digest(output: &Output) -> String {
    let told = told(output);
    let digest = told.split("state digest ").nth(1).unwrap_or_else(|| panic!("{}", said(output)));
    digest.split_whitespace().next().unwrap().to_owned()
}

/// The number in the first whole line of the guest.
fn first_line(output: &Output) -> u64 {
    let all = out(output);
    let line = all.lines().find_map(|line| line.strip_prefix("line ")).unwrap_or_else(|| panic!("{all:?}"));
    line.parse().unwrap()
}

#[test]
fn a_store_is_listed() {
    let made = made();
    let before = content(&made.path);
    let listed = out(&ends(0, &["store", "ls", text(&made.path)]));
    for line in [
        "vm            talker".to_owned(),
        "guest         chatter".into(),
        "RAM           4 MiB".into(),
        format!("entries       1 to {}", made.end.seq),
        "checkpoints   3".into(),
        "left          closed".into(),
    ] {
        assert!(listed.lines().any(|listed| listed == line), "{line:?} in\n{listed}");
    }
    for kept in made.kept {
        let row = format!("{:>14} {:>14} {:>18} ", kept.seq.get(), "-", kept.at.get());
        assert!(listed.lines().any(|line| line.starts_with(&row)), "{row:?} in\n{listed}");
    }
    let found = json(&ends(0, &["store", "ls", text(&made.path), "--json"]));
    assert_eq!((&found["vm"], &found["closed"]), (&"talker".into(), &true.into()));
    assert_eq!((&found["torn_bytes"], &found["generation"]), (&0.into(), &1.into()));
    assert_eq!(found["seq_last"], made.end.seq.get());
    assert_eq!(found["icount_last"], made.end.at.get());
    let seqs: Vec<&Value> =
        found["checkpoints"].as_array().unwrap().iter().map(|kept| &kept["seq"]).collect();
    assert_eq!(seqs, made.kept.iter().map(|kept| kept.seq.get()).collect::<Vec<_>>());
    assert!(
        !listed.contains("deadbeef") && !found.to_string().contains(&LIFE.to_string()),
        "{listed}\n{found}"
    );
    let bytes: u64 = before.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    assert_eq!(found["bytes"], bytes);
    assert!(content(&made.path) == before, "listing changes nothing");
}

#[test]
fn a_torn_tail_is_told_and_left_alone() {
    let (_dir, store) = copy();
    let newest = files(&store, ".log").pop().unwrap();
    // The batch that says it was closed, and half of the one before.
    let bytes = fs::read(&newest).unwrap();
    let end = bytes.windows(4).rposition(|mark| mark == b"LKSB").unwrap();
    fs::write(&newest, &bytes[..end - 3]).unwrap();
    let before = content(&store);
    let found = json(&ends(0, &["store", "ls", text(&store), "--json"]));
    let torn = found["torn_bytes"].as_u64().unwrap();
    assert!(torn > 0 && found["closed"] == false, "{found}");
    let listed = out(&ends(0, &["store", "ls", text(&store)]));
    let line = format!(
        "left          cut off while it was written: a torn tail of {torn} bytes, which the next start cuts"
    );
    assert!(listed.lines().any(|listed| listed == line), "{listed}");
    let verified = out(&ends(0, &["store", "verify", text(&store)]));
    assert!(verified.contains(&format!("behind that a torn tail of {torn} bytes")), "{verified}");
    ends(0, &["replay", text(&store)]);
    assert!(content(&store) == before);
}

#[test]
fn a_whole_store_is_verified_by_reading_and_by_replaying() {
    let made = made();
    let path = text(&made.path);
    let verified = out(&ends(0, &["store", "verify", path]));
    let begins = format!("{path}: whole, 3 checkpoints, entries up to {}, ", made.end.seq);
    assert!(
        verified.starts_with(&begins) && verified.ends_with("digests compared: no difference\n"),
        "{verified}"
    );
    let found = json(&ends(0, &["store", "verify", path, "--json"]));
    assert_eq!((&found["verdict"], &found["stretches"]), (&"whole".into(), &3.into()));
    assert_eq!(found["instructions"], made.end.at.get());
    // Those in the log, and two of checkpoints.
    assert!(found["digests"].as_u64().unwrap() > 20, "{found}");
    let quick = out(&ends(0, &["store", "verify", path, "--quick"]));
    assert_eq!(quick, format!("{begins}nothing replayed\n"));
}

#[test]
fn all_damage_is_reported_with_file_and_offset() {
    let (_dir, store) = copy();
    let (checkpoints, logs) = (files(&store, ".ckpt"), files(&store, ".log"));
    flip(&checkpoints[1], 500);
    flip(&logs[0], 500);
    flip(&logs[2], 500);
    for arguments in [&["--quick"][..], &[]] {
        let verified = out(&ends(1, &[&["store", "verify", text(&store)], arguments].concat()));
        for path in [&checkpoints[1], &logs[0], &logs[2]] {
            let begins = format!("{}, at byte ", path.display());
            assert_eq!(verified.lines().filter(|line| line.starts_with(&begins)).count(), 1, "{verified}");
        }
        assert!(verified.ends_with(&format!("{}: damaged in 3 places\n", store.display())), "{verified}");
    }
    let found = json(&ends(1, &["store", "verify", text(&store), "--json"]));
    assert_eq!((&found["verdict"], found["damages"].as_array().unwrap().len()), (&"damaged".into(), 3));
    // What is newer than the damage can be used all the same.
    let listed = ends(0, &["store", "ls", text(&store)]);
    assert!(out(&listed).contains("checkpoints   3"), "{}", said(&listed));
    ends(0, &["replay", text(&store)]);
}

#[test]
fn a_checkpoint_that_lies_about_its_state_is_found_out() {
    let dir = TempDir::new().unwrap();
    let store = dir.path().join("s");
    let mut live = Live::begin(&store, boot("chatter", Vec::new()));
    live.run_to(2);
    // All its sums are right.
    let kept = live.checkpoint_of(|saved| saved.digest = Digest(saved.digest.0 ^ 1));
    live.run_to(3);
    live.store.close().unwrap();
    let path = files(&store, ".ckpt").pop().unwrap();
    ends(0, &["store", "verify", text(&store), "--quick"]);
    let verified = out(&ends(1, &["store", "verify", text(&store)]));
    let lines: Vec<&str> = verified.lines().collect();
    assert_eq!(lines.len(), 3, "{verified}");
    let begins = format!("the checkpoint after entry {} is of state ", kept.seq);
    assert!(
        lines[0].starts_with(&begins) && lines[0].contains("a replay from the one after entry 0 comes to")
    );
    assert!(lines[1].starts_with(&format!("{}: the state's digest is ", path.display())), "{verified}");
    let replayed = told(&ends(2, &["replay", text(&store)]));
    let fix = "  fix: `lockstep store verify` tells which checkpoints are good; `store export --from` starts at one\n";
    assert!(
        replayed.starts_with(&format!("lockstep: {}: the state's digest is ", path.display())),
        "{replayed}"
    );
    assert!(replayed.ends_with(fix), "{replayed}");
    // An older one leads to the same place.
    let export = dir.path().join("out");
    ends(0, &["store", "export", text(&store), text(&export)]);
    let replayed = ends(0, &["replay", text(&export)]);
    assert!(out(&replayed).into_bytes() == live.console);
}

#[test]
fn an_export_is_a_recording_for_every_tool() {
    let made = made();
    let dir = TempDir::new().unwrap();
    for (index, kept) in made.kept.iter().enumerate() {
        let export = dir.path().join(index.to_string());
        let seq = kept.seq.get().to_string();
        let from: &[&str] = if index == 0 { &[] } else { &["--from", &seq] };
        let exported = ends(0, &[&["store", "export", text(&made.path), text(&export)], from].concat());
        let begins = format!(
            "{}: a recording from the checkpoint after entry {}, at {}, to entry {}, ",
            export.display(),
            kept.seq,
            kept.at,
            made.end.seq
        );
        assert!(out(&exported).starts_with(&begins), "{}", said(&exported));
        let replayed = ends(0, &["replay", text(&export)]);
        assert!(replayed.stdout == made.console[kept.said..], "{}", said(&replayed));
        assert!(!told(&replayed).contains("digests checked 0,"), "{}", said(&replayed));
        if index == 2 {
            ends(0, &["replay", text(&export), "--save-restore", "3", "--chunks", "4"]);
        }
        ends(0, &["log", "verify", text(&export)]);
        let info = json(&ends(0, &["log", "info", text(&export), "--json"]));
        assert_eq!(info["entries"], made.end.seq.since(kept.seq));
        assert_eq!(info["header"]["lineage"]["base_icount"], kept.at.get());
        let generations = info["generations"].as_array().unwrap();
        assert_eq!(generations.len(), usize::from(index == 0), "it began before the later checkpoints");
        assert_eq!(info["header"]["generation"], u64::from(index > 0));
        ends(0, &["log", "grep", "line 0000", text(&export)]);
    }
    let occupied = dir.path().join("0");
    refused(
        &["store", "export", text(&made.path), text(&occupied)],
        &format!("{} already holds a log (base.snap)", occupied.display()),
        &format!("choose another directory, or remove {} if it is no longer needed", occupied.display()),
    );
    let kept: Vec<String> = made.kept.iter().map(|kept| kept.seq.to_string()).collect();
    refused(
        &["store", "export", text(&made.path), text(&dir.path().join("new")), "--from", "5"],
        &format!("the store {} has no checkpoint after entry 5", made.path.display()),
        &format!("name one that it has: {}", kept.join(", ")),
    );
    assert!(!dir.path().join("new").exists());
}

#[test]
fn an_export_that_meets_rot_leaves_nothing() {
    let (dir, store) = copy();
    let export = dir.path().join("out");
    let log = &files(&store, ".log")[0];
    flip(log, 500);
    let exported = told(&ends(2, &["store", "export", text(&store), text(&export)]));
    let begins = format!("lockstep: {}, at byte ", log.display());
    assert!(exported.starts_with(&begins) && exported.contains(": rot, entry "), "{exported}");
    assert!(!export.exists());
    let (dir, store) = copy();
    let export = dir.path().join("out");
    let checkpoint = &files(&store, ".ckpt")[0];
    flip(checkpoint, 3000);
    let exported = told(&ends(2, &["store", "export", text(&store), text(&export)]));
    assert!(exported.starts_with(&format!("lockstep: {}, at byte ", checkpoint.display())), "{exported}");
    assert!(!export.exists());
    // One after it is good.
    let seq = made().kept[1].seq.to_string();
    ends(0, &["store", "export", text(&store), text(&export), "--from", &seq]);
}

#[test]
fn a_store_is_replayed_from_the_newest_checkpoint_before_the_point() {
    let made = made();
    let dir = TempDir::new().unwrap();
    let whole = dir.path().join("whole");
    ends(0, &["store", "export", text(&made.path), text(&whole)]);
    let replayed = ends(0, &["replay", text(&made.path)]);
    assert!(replayed.stdout == made.console[made.kept[2].said..], "{}", said(&replayed));
    let from = format!(
        "lockstep replay: from the checkpoint after entry {}, at {}\n",
        made.kept[2].seq, made.kept[2].at
    );
    assert!(told(&replayed).starts_with(&from), "{}", said(&replayed));
    assert!(
        told(&replayed).contains("the log stops here; the guest had not ended at"),
        "{}",
        said(&replayed)
    );
    assert_eq!(digest(&replayed), digest(&ends(0, &["replay", text(&whole)])));
    // Wherever it starts, it comes to the same state.
    let middle = made.kept[1].at.plus(made.kept[2].at.since(made.kept[1].at) / 3);
    for (at, index) in [(Icount(1), 0), (Icount(made.kept[1].at.get() - 1), 0), (middle, 1), (made.end.at, 2)]
    {
        let at = at.get().to_string();
        let replayed = ends(0, &["replay", text(&made.path), "--at", &at]);
        assert!(told(&replayed).contains(&format!("stopped by --at at {at};")), "{}", said(&replayed));
        let entry = format!("checkpoint after entry {},", made.kept[index].seq);
        assert!(told(&replayed).contains(&entry), "{}", said(&replayed));
        let same = ends(0, &["replay", text(&whole), "--until", &at]);
        assert_eq!(digest(&replayed), digest(&same), "at {at}");
        assert!(same.stdout.ends_with(&replayed.stdout), "at {at}");
        let until = ends(0, &["replay", text(&made.path), "--until", &at, "--chunks", "3"]);
        assert_eq!(digest(&until), digest(&same), "at {at}");
    }
    // A checkpoint's own position costs no replay.
    let at = made.kept[1].at.get().to_string();
    let replayed = ends(0, &["replay", text(&made.path), "--at", &at]);
    assert!(told(&replayed).contains("; 0 entries replayed"), "{}", said(&replayed));
}

/// The last line that was said before so many seconds.
fn line_at(seconds: u64) -> u64 {
    seconds * LINES_PER_S
}

/// The last whole line that a replay shows.
fn last_line(output: &Output) -> u64 {
    let all = out(output);
    let line = all.lines().rev().find(|line| line.len() == "line 00000000".len()).unwrap();
    line["line ".len()..].parse().unwrap()
}

#[test]
fn a_time_before_the_end_is_a_time_of_the_guests_clock() {
    let made = made();
    for (at, seconds, index) in [("-1s", 59, 2), ("-21s", 39, 1), ("-30s", 30, 1), ("-59s", 1, 0)] {
        let replayed = ends(0, &["replay", text(&made.path), "--at", at]);
        let line = last_line(&replayed);
        assert!(line.abs_diff(line_at(seconds)) <= 3, "{at}: line {line}, not {}", line_at(seconds));
        let entry = format!("checkpoint after entry {},", made.kept[index].seq);
        assert!(told(&replayed).contains(&entry), "{at}: {}", said(&replayed));
    }
}

/// Changes when a checkpoint was saved.
fn save_at(path: &Path, ns: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[56..64].copy_from_slice(&ns.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..80]);
    bytes[80..84].copy_from_slice(&crc.to_le_bytes());
    let end = bytes.len() - 16;
    let sum = xxhash_rust::xxh3::xxh3_128(&bytes[..end]);
    bytes[end..].copy_from_slice(&sum.to_le_bytes());
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_time_of_day_is_found_by_the_checkpoints_times() {
    let (_dir, store) = copy();
    // The guest stood still for an hour between the second and the third.
    let noon = 1_764_504_000; // 2025-11-30T12:00:00Z
    for (path, seconds) in files(&store, ".ckpt").iter().zip([0, 20, 3640]) {
        save_at(path, (noon + seconds) * 1_000_000_000);
    }
    for (at, seconds) in [
        ("2025-11-30T12:00:10Z", 10),
        ("2025-11-30T13:00:35+01:00", 35),
        ("2025-11-30T12:30:00Z", 40),
        ("2025-11-30T13:00:45.5Z", 45),
    ] {
        let replayed = ends(0, &["replay", text(&store), "--at", at]);
        let line = last_line(&replayed);
        assert!(line.abs_diff(line_at(seconds)) <= 103, "{at}: line {line}, not {}", line_at(seconds));
    }
    for at in ["2025-11-30T11:59:59Z", "2025-11-30T13:01:05Z"] {
        refused(
            &["replay", text(&store), "--at", at],
            &format!(
                "{at} is not in the store {}, which keeps about 2025-11-30T12:00:00Z to 2025-11-30T13:01:00Z",
                store.display()
            ),
            &format!(
                "name a point in between; `lockstep store ls {}` lists the checkpoints",
                store.display()
            ),
        );
    }
}

#[test]
fn a_point_that_is_not_kept_is_answered_with_what_is() {
    let (_dir, store) = copy();
    ends(0, &["store", "prune", text(&store), "--keep", "2"]);
    let path = store.display();
    let (first, end) = (made().kept[1].at, made().end.at);
    let fix = format!("name a point in between; `lockstep store ls {path}` lists the checkpoints");
    let before = (first.get() - 1).to_string();
    let behind = (end.get() + 1).to_string();
    for at in [before.as_str(), behind.as_str()] {
        let what =
            format!("position {at} is not in the store {path}, which keeps positions {first} to {end}");
        refused(&["replay", text(&store), "--at", at], &what, &fix);
        refused(&["replay", text(&store), "--until", at], &what, &fix);
        refused(&["run", "--from", &format!("{path}@{at}")], &what, &fix);
    }
    let what = format!(
        "the point -10m from its end is not in the store {path}, which keeps 40.0s of the guest's time"
    );
    refused(&["replay", text(&store), "--at", "-10m"], &what, &fix);
    refused(&["run", "--from", &format!("{path}@-10m")], &what, &fix);
    // A point that is none.
    let none = ends(2, &["replay", text(&store), "--at", "yesterday"]);
    assert!(told(&none).contains("\"yesterday\" is no point; write a position like 50M"), "{}", said(&none));
}

#[test]
fn old_checkpoints_go_and_what_is_left_is_whole() {
    let (_dir, store) = copy();
    let path = store.display().to_string();
    let logs = files(&store, ".log").len();
    let kept = ends(0, &["store", "prune", &path, "--keep", "7d,10G"]);
    assert_eq!(out(&kept), format!("{path}: nothing is over the limit\n"));
    let pruned = out(&ends(0, &["store", "prune", &path, "--keep", "2"]));
    let went = logs - files(&store, ".log").len();
    assert!(went > 0 && pruned.starts_with(&format!("{path}: 1 checkpoint and {went} segments removed, ")));
    let found = json(&ends(0, &["store", "verify", &path, "--json"]));
    assert_eq!((&found["verdict"], &found["checkpoints"]), (&"whole".into(), &2.into()));
    let replayed = ends(0, &["replay", &path, "--at", &made().kept[1].at.get().to_string()]);
    assert!(told(&replayed).contains("; 0 entries replayed"), "{}", said(&replayed));
    ends(0, &["store", "prune", &path, "--keep", "1"]);
    ends(0, &["store", "verify", &path]);
}

#[test]
fn the_only_way_back_is_not_removed() {
    let (_dir, store) = copy();
    let path = store.display().to_string();
    let before = content(&store);
    let told = told(&ends(2, &["store", "prune", &path, "--keep", "1K"]));
    let begins = format!(
        "lockstep: the limit of 1024 bytes would remove the only way back: the newest checkpoint of {path}, what it \
         builds on, and the log after that have "
    );
    assert!(
        told.starts_with(&begins) && told.ends_with("\n  fix: keep at least that: --keep 1M\n"),
        "{told}"
    );
    // The newest is rotten: an older one is the way back.
    let newest = files(&store, ".ckpt").pop().unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    bytes[500] ^= 1;
    fs::write(&newest, bytes).unwrap();
    let output = ends(2, &["store", "prune", &path, "--keep", "1"]);
    let begins = format!(
        "lockstep: nothing is removed, because what would be left is not whole: {}, at byte ",
        newest.display()
    );
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.starts_with(&begins), "{told}");
    assert_eq!(content(&store).len(), before.len());
    let none = ends(2, &["store", "prune", &path, "--keep", "0"]);
    assert!(said(&none).contains("\"0\" is no limit"), "{}", said(&none));
}

#[test]
fn a_new_life_begins_at_a_point_of_the_old_one() {
    let made = made();
    let path = made.path.display().to_string();
    let run = |point: &str, more: &[&str]| {
        let from = format!("{path}{point}");
        ends(124, &[&["run", "--from", &from, "--max-instructions", "20000"], more].concat())
    };
    // 20,000 instructions are some fifty lines.
    for (point, seconds) in [("", 60), ("@-10s", 50), ("@-45s", 15)] {
        let ran = run(point, &[]);
        let line = first_line(&ran);
        assert!(line.abs_diff(line_at(seconds)) <= 3, "{point}: line {line}, not {}", line_at(seconds));
        assert!(out(&ran).lines().count() > 20, "{}", said(&ran));
    }
    let at = made.kept[1].at.plus(5000);
    let ran = run(&format!("@{}", at.get()), &[]);
    let begins = format!("lockstep run: a new life of \"chatter\" begins at {at}\n");
    assert!(told(&ran).contains(&begins), "{}", said(&ran));
    let stops = format!("stopped at {} by --max-instructions", at.plus(20_000));
    assert!(told(&ran).contains(&stops), "{}", said(&ran));
    // It is recorded as any other run.
    let dir = TempDir::new().unwrap();
    let log = dir.path().join("log");
    let ran = run("@-10s", &["--record", text(&log)]);
    let replayed = ends(0, &["replay", text(&log)]);
    assert!(ran.stdout == replayed.stdout && !ran.stdout.is_empty(), "{}", said(&replayed));
    let info = json(&ends(0, &["log", "info", text(&log), "--json"]));
    assert_eq!(info["header"]["lineage"]["guest"], "chatter");
    assert!(info["header"]["lineage"]["base_icount"].as_u64().unwrap() > made.kept[1].at.get());
    ends(0, &["store", "verify", &path]);
    // It is described by the store.
    let both = ends(2, &["run", &guest("hello"), "--from", &path]);
    assert!(told(&both).contains("cannot be used with"), "{}", said(&both));
}

#[test]
fn a_guest_that_has_ended_has_no_new_life_at_its_end() {
    let dir = TempDir::new().unwrap();
    let store = dir.path().join("s");
    let mut live = Live::begin(&store, boot("identity", Vec::new()));
    live.run_to(1);
    let at = live.recorder.icount();
    live.store.close().unwrap();
    refused_last(
        &["run", "--from", text(&store)],
        &format!(
            "lockstep: the guest has ended there, at {at}, with pass\n  fix: name an earlier point: STORE@-10s, or a \
             position\n"
        ),
    );
    // Its entropy is the new host's.
    let from = format!("{}@0", store.display());
    let (first, second) = (ends(0, &["run", "--from", &from]), ends(0, &["run", "--from", &from]));
    assert!(first.stdout != second.stdout && out(&first).contains("identity: entropy"), "{}", said(&first));
    let replayed = ends(0, &["replay", text(&store)]);
    assert!(replayed.stdout == live.console, "{}", said(&replayed));
    assert!(told(&replayed).contains("the guest ended with pass at"), "{}", said(&replayed));
}

#[test]
fn a_new_life_is_on_the_network_that_is_named() {
    let dir = TempDir::new().unwrap();
    let store = dir.path().join("s");
    let mut live = Live::begin(&store, boot("kv", Vec::new()));
    live.run_to(1);
    assert!(live.recorder.machine().net_ready(), "it waits for requests");
    live.store.close().unwrap();
    let cluster =
        Cluster::start(Path::new(BINARY), &dir.path().join("net"), &PathBuf::from(guest("kv")), "4M", None);
    let cluster = cluster.unwrap();
    let child = Command::new(BINARY)
        .args(["run", "--from", text(&store), "--vm", &cluster.vm])
        .args(["--switch", &cluster.switch.address.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let ask = |text: &str| request(cluster.service, text, Duration::from_secs(20)).unwrap();
    assert_eq!(ask("SET life second"), "OK");
    assert_eq!(ask("GET life"), "VALUE second");
    assert_eq!(ask("HALT"), "OK");
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
}

/// A failure after some words on how it got there.
fn refused_last(arguments: &[&str], ending: &str) {
    let output = ends(2, arguments);
    assert!(told(&output).ends_with(ending), "{}", said(&output));
}

#[test]
fn a_guest_with_disks_needs_copies_of_them() {
    const SECTORS: u64 = 2048;
    let dir = TempDir::new().unwrap();
    let store = dir.path().join("s");
    let disk = DiskSpec { sectors: SECTORS, read_only: false, serial: "journal".into() };
    let mut live = Live::begin(&store, boot("journal", vec![disk]));
    // Up to its first request, which is under way at the end.
    let mut outputs = Vec::new();
    while live.recorder.take_disk_requests().is_empty() {
        let limit = live.recorder.icount().plus(SLICE);
        live.recorder.run(limit, &mut live.world, &mut outputs);
    }
    live.flush(&mut outputs);
    live.store.close().unwrap();

    let image = dir.path().join("copy.img");
    // Its second sector orders so many records.
    let mut bytes = vec![0; (SECTORS * 512) as usize];
    bytes[512] = 5;
    fs::write(&image, bytes).unwrap();
    let fix = "  fix: name a copy of each, in their order, from that point of time: --disk COPY, or --disk \
               IMAGE,overlay\n";
    refused_last(
        &["run", "--from", text(&store)],
        &format!(
            "the guest has 1 disk (1048576 bytes), 0 are given, and a store has no disk's content\n{fix}"
        ),
    );
    let small = dir.path().join("small.img");
    fs::write(&small, vec![0; 4096]).unwrap();
    for (given, what) in [
        (text(&small).to_owned(), "disk 0 of the guest has bytes: 1048576, the one given 4096"),
        (format!("{},ro", text(&image)), "disk 0 of the guest is writable, the one given read-only (ro)"),
        (format!("{},serial=x", text(&image)), "disk 0 of the guest has the serial journal, the one given x"),
    ] {
        let ending = format!("{what}\n  fix: name a copy of the disk that the guest had\n");
        refused_last(&["run", "--from", text(&store), "--disk", &given], &ending);
    }
    // What it had asked for is asked for again, and it goes on.
    let ran = lockstep(&["run", "--from", text(&store), "--disk", text(&image)]);
    assert!(said(&ran).contains("journal"), "{}", said(&ran));
    assert_eq!(ran.status.code(), Some(0), "{}", said(&ran));
    let plain = made().path.display().to_string();
    refused_last(
        &["run", "--from", &plain, "--disk", text(&image)],
        "the guest has no disk, and 1 are given\n  fix: leave --disk out\n",
    );
}

/// The commands that read a store.
fn readers(store: &str) -> Vec<Vec<String>> {
    let out = format!("{store}.out");
    let commands: [&[&str]; 5] = [
        &["store", "ls", store],
        &["store", "verify", store],
        &["store", "export", store, &out],
        &["store", "prune", store, "--keep", "1"],
        &["run", "--from", store],
    ];
    commands.iter().map(|words| words.iter().map(|word| (*word).to_owned()).collect()).collect()
}

fn all_refuse(store: &str, what: &str, fix: &str) {
    for arguments in readers(store) {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        refused(&arguments, what, fix);
    }
}

const COPY: &str = "copy it again as a whole, from a process that has ended, or join with a new store";

#[test]
fn what_is_no_store_is_told_from_one() {
    let dir = TempDir::new().unwrap();
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let no_store = format!("{} holds no store", empty.display());
    all_refuse(text(&empty), &no_store, "check the path, or start with a guest or as a backup");
    let missing = dir.path().join("missing");
    let what = format!("cannot open {}: No such file or directory (os error 2)", missing.display());
    all_refuse(text(&missing), &what, "check the path");
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let what = format!("cannot open {}: not a directory", file.display());
    all_refuse(text(&file), &what, "name a directory, not a file");

    let log = dir.path().join("log");
    ends(0, &["run", &guest("hello"), "--memory", "4M", "--record", text(&log)]);
    let what = format!("{} holds a recording, not a store", log.display());
    all_refuse(text(&log), &what, "`lockstep log` looks into a recording, and `lockstep replay` replays it");
    refused(
        &["replay", text(&log), "--at", "-1s"],
        &format!("--at is for a store; {} is a recording, and starts at its beginning", log.display()),
        "stop a recording's replay with --until POSITION",
    );
    // The other way round.
    let store = made().path.display().to_string();
    for arguments in [&["info"][..], &["dump"], &["stats"], &["verify"], &["dump", "--follow"]] {
        refused(
            &[&["log"], arguments, &[store.as_str()]].concat(),
            &format!("{store} is a store, not a recording"),
            &format!(
                "`lockstep store export {store} OUT` makes a recording of it; `lockstep store ls {store}` shows \
                 what it has"
            ),
        );
    }
}

#[test]
fn a_store_that_is_not_whole_is_refused_with_what_is_missing() {
    let (_dir, store) = copy();
    let path = store.display().to_string();
    let refuses = |what: &str, fix: &str| {
        refused(&["replay", &path], what, fix);
        refused(&["run", "--from", &path], what, fix);
        refused(&["store", "prune", &path, "--keep", "1"], what, fix);
    };
    // A segment that is needed from the newest checkpoint on.
    let logs = files(&store, ".log");
    let (gone, next) = (&logs[logs.len() - 2], &logs[logs.len() - 1]);
    let number = |path: &Path| -> u64 { path.file_stem().unwrap().to_str().unwrap().parse().unwrap() };
    let saved = fs::read(gone).unwrap();
    fs::remove_file(gone).unwrap();
    let missing = format!(
        "the store {path} is not whole: entries {} to {} are missing",
        number(gone),
        number(next) - 1
    );
    refuses(&missing, COPY);
    let verified = out(&ends(1, &["store", "verify", &path]));
    assert_eq!(verified, format!("{missing}\n{path}: damaged in 1 place\n"));
    fs::write(gone, saved).unwrap();

    // Another format.
    let identity = fs::read_to_string(store.join("store")).unwrap();
    fs::write(store.join("store"), identity.replace("\"format\": 2", "\"format\": 9")).unwrap();
    let what = format!("{path}/store has format 9, this lockstep reads format 2");
    all_refuse(&path, &what, "open it with the lockstep that wrote it");
    refuses(&what, "open it with the lockstep that wrote it");
    fs::write(store.join("store"), identity.replace("talker", "walker")).unwrap();
    let told = told(&ends(2, &["store", "ls", &path]));
    assert!(
        told.starts_with(&format!("lockstep: {path}/store does not say whose store this is: its check is "))
    );
    fs::remove_file(store.join("store")).unwrap();
    let what = format!("the store {path} is not whole: it has ");
    let told = String::from_utf8(ends(2, &["replay", &path]).stderr).unwrap();
    assert!(
        told.starts_with(&format!("lockstep: {what}")) && told.contains(", and no file \"store\""),
        "{told}"
    );
    fs::write(store.join("store"), identity).unwrap();

    // A checkpoint whose head is rotten, and none at all.
    let checkpoints = files(&store, ".ckpt");
    flip(&checkpoints[2], 20);
    let rot = "keep the store as it is, and restore it from a copy or join with a new one";
    let told = String::from_utf8(ends(2, &["replay", &path]).stderr).unwrap();
    let begins = format!("lockstep: {}, at byte 0: the header's checksum is ", checkpoints[2].display());
    assert!(told.starts_with(&begins) && told.ends_with(&format!("fix: {rot}\n")), "{told}");
    assert!(out(&ends(0, &["store", "ls", &path])).contains("damage        1"));
    fs::remove_file(&checkpoints[2]).unwrap();
    // It is not known that there was one: the one before will do.
    ends(0, &["replay", &path]);
    checkpoints[..2].iter().for_each(|path| fs::remove_file(path).unwrap());
    refuses(&format!("the store {path} is not whole: it has no checkpoint"), COPY);
    let verified = out(&ends(1, &["store", "verify", &path]));
    assert!(
        verified.starts_with(&format!("the store {path} is not whole: it has no checkpoint\n")),
        "{verified}"
    );
}

#[test]
fn a_store_that_a_process_has_is_refused() {
    let (_dir, path) = copy();
    let store = Store::open(&path, Settings::default(), |_| {}).unwrap();
    let what = format!("the store {} is in use by another process", path.display());
    let fix = "end that process first, or choose another directory";
    for command in readers(text(&path)).iter().filter(|words| words[1] != "ls") {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        refused(&words, &what, fix);
    }
    refused(&["replay", text(&path)], &what, fix);
    // It can be looked at.
    let listed = json(&ends(0, &["store", "ls", text(&path), "--json"]));
    assert_eq!((&listed["in_use"], &listed["closed"]), (&true.into(), &false.into()));
    assert_eq!(
        (&listed["seq_last"], listed["damages"].as_array().unwrap().len()),
        (&made().end.seq.get().into(), 0)
    );
    store.close().unwrap();
    let listed = json(&ends(0, &["store", "ls", text(&path), "--json"]));
    assert_eq!((&listed["in_use"], &listed["closed"]), (&false.into(), &true.into()));
}

#[test]
fn a_store_that_may_not_be_written_can_be_read() {
    let dir = TempDir::new().unwrap();
    let Some(disk) = common::small_disk::SmallDisk::mount(&dir.path().join("ro"), 64 << 20) else { return };
    let store = disk.at.join("s");
    copy_dir(&made().path, &store);
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(&disk.at).status().unwrap();
    assert!(remounted.success());
    let path = store.display().to_string();
    let export = dir.path().join("out");
    ends(0, &["store", "ls", &path]);
    ends(0, &["store", "verify", &path]);
    ends(0, &["store", "export", &path, text(&export)]);
    ends(0, &["replay", &path, "--at", "-1s"]);
    ends(124, &["run", "--from", &path, "--max-instructions", "1000"]);
    let told = told(&ends(2, &["store", "prune", &path, "--keep", "1"]));
    let oldest = files(&store, ".ckpt").remove(0);
    let what = format!("lockstep: cannot remove {}: Read-only file system (os error 30)\n", oldest.display());
    assert_eq!(told, format!("{what}  fix: choose a directory that you may write to\n"));
}

//! Disks that fail: the guest gets its error, and each replay of it sees the same.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use lockstep::ft::NodeStatus;
use lockstep::lab::cluster::Process;
use tempfile::TempDir;

use crate::common::skipped;
use crate::common::small_disk::SmallDisk;
use crate::support::{BINARY, Said, Scene, journal, lockstep, make_image, run};

/// The guest alone, with a system call that fails from the `from`-th time on.
fn run_failing(fault: &str, disk: &Path, log: &Path) -> Option<Said> {
    let inject = format!("inject={fault}");
    let output = Command::new("strace")
        .args([
            "-f",
            "-qq",
            "-e",
            "trace=pread64,pwrite64,fdatasync",
            "-e",
            &inject,
            "-o",
            "/dev/null",
            BINARY,
        ])
        .args(["run", &journal(), "--memory", "4M", "--disk"])
        .arg(disk)
        .arg("--record")
        .arg(log)
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) => Some(Said::of(&output)),
        Err(_) => {
            skipped("strace is not installed");
            None
        }
    }
}

#[test]
fn the_guest_gets_its_io_error_and_the_recording_replays_it() {
    let dir = TempDir::new().unwrap();
    let cases = [
        (
            "pread64:error=EIO:when=12+",
            "look at record: read failed with 1",
            "a read failed: Input/output error",
        ),
        ("pwrite64:error=EIO:when=40+", "write failed with 1", "a write failed: Input/output error"),
        ("fdatasync:error=EIO:when=9", "flush failed with 1", "a flush failed: Input/output error"),
    ];
    for (case, (fault, guest, told)) in cases.into_iter().enumerate() {
        let (image, log) = (dir.path().join(format!("{case}.img")), dir.path().join(format!("{case}.log")));
        make_image(&image, 1 << 20, 30);
        // A first life leaves records to be looked at.
        run(&[image.to_str().unwrap()], &[]).ends(0, &["done 30"]);
        let Some(said) = run_failing(fault, &image, &log) else { return };
        said.ends(3, &[guest, told]);
        let replayed = lockstep(&["replay", log.to_str().unwrap()]);
        replayed.ends(3, &[guest]);
        assert_eq!(replayed.out, said.out);
    }
}

#[test]
fn a_full_file_system_is_the_guests_error() {
    let dir = TempDir::new().unwrap();
    let Some(small) = SmallDisk::mount(&dir.path().join("small"), 512 << 10) else { return };
    let image = small.at.join("d.img");
    make_image(&image, 8 << 20, 0);
    run(&[image.to_str().unwrap()], &[]).ends(3, &["write failed with 1", "a write failed: No space left"]);
    drop(small);
}

/// Asserts that `primary` has left for its disk, that `backup` goes on alone, and its guest without an error.
#[track_caller]
fn assert_given_up(scene: &Scene, mut primary: Process, backup: &mut Process, error: &str) {
    assert_eq!(primary.wait(crate::support::PATIENCE), Some(1), "{}", primary.told());
    let told = primary.told();
    for words in [error, "goes on with its own, and this node leaves", "this node has left"] {
        assert!(told.contains(words), "no {words:?} in {told}");
    }
    let alone = |status: &NodeStatus| (&status.role[..], &status.phase[..]) == ("primary", "alone");
    scene.cluster.await_status(backup, "alone", alone).unwrap();
    let before = crate::support::last_flushed(&scene.console(backup));
    scene.await_flushed(backup, before + 20);
    let console = scene.console(&primary) + &scene.console(backup);
    assert!(!console.contains("failed"), "the guest noticed: {console}");
}

#[test]
fn a_primary_whose_disk_fails_gives_up_its_place_and_the_guest_sees_no_error() {
    let faults = [
        ("fdatasync", "EIO", "a flush failed: Input/output error"),
        ("pwrite64", "EIO", "a write failed: Input/output error"),
        ("pwrite64", "ENOSPC", "a write failed: No space left"),
    ];
    for (call, errno, error) in faults {
        let mut scene = Scene::new();
        let (image, other) = (scene.path("p.img"), scene.path("b.img"));
        make_image(&image, 32 << 20, 0);
        let mut primary = scene.primary(&image, &[]);
        let mut backup = scene.protect(&mut primary, &other, &[]);
        let Some(tracer) = fail_from_now_on(&primary, call, errno) else { return };
        assert_given_up(&scene, primary, &mut backup, error);
        drop(tracer);
    }
}

#[test]
fn two_disks_that_fail_alike_hand_the_guest_over_once_and_then_tell_it() {
    let mut scene = Scene::new();
    let (image, other) = (scene.path("p.img"), scene.path("b.img"));
    make_image(&image, 32 << 20, 0);
    let mut primary = scene.primary(&image, &[]);
    let mut backup = scene.protect(&mut primary, &other, &[]);
    let Some(first) = fail_from_now_on(&primary, "fdatasync", "EIO") else { return };
    assert_eq!(primary.wait(crate::support::PATIENCE), Some(1), "{}", primary.told());
    // Alone it passes its own error on: the guest ends by it.
    let second = fail_from_now_on(&backup, "fdatasync", "EIO");
    assert_eq!(backup.wait(crate::support::PATIENCE), Some(3), "{}", backup.told());
    let console = scene.console(&backup);
    assert!(console.contains("flush failed with 1"), "{console}");
    drop((first, second));
}

/// From here on each of these system calls of `node` fails; until the process that sees to it is dropped.
fn fail_from_now_on(node: &Process, call: &str, errno: &str) -> Option<Tracer> {
    let pid = node.child.id().to_string();
    let (trace, inject) = (format!("trace={call}"), format!("inject={call}:error={errno}"));
    let words = ["-f", "-qq", "-p", &pid, "-e", &trace, "-e", &inject, "-o", "/dev/null"];
    match Command::new("strace").args(words).stdin(Stdio::null()).spawn() {
        Ok(child) => Some(Tracer(child)),
        Err(_) => {
            skipped("strace is not installed");
            None
        }
    }
}

struct Tracer(Child);

impl Drop for Tracer {
    fn drop(&mut self) {
        lockstep::lab::cluster::end(&mut self.0);
    }
}

#[test]
fn a_backup_whose_disk_fails_goes_and_the_guest_goes_on() {
    let mut scene = Scene::new();
    let Some(small) = SmallDisk::mount(&scene.path("small"), 1 << 20) else { return };
    let (image, other) = (scene.path("p.img"), small.at.join("b.img"));
    make_image(&image, 32 << 20, 0);
    let primary = scene.primary(&image, &[]);
    scene.await_flushed(&primary, 0);
    let backup = scene.backup(&primary, &other, &[]);
    let ended = scene.end_of(backup);
    assert!(matches!(ended.code, Some(1 | 2)), "{ended:?}");
    assert!(ended.err.contains("No space left"), "{ended:?}");
    let before = crate::support::last_flushed(&scene.console(&primary));
    scene.await_flushed(&primary, before + 20);
    drop(primary);
    drop(small);
}

#[test]
fn a_disk_that_something_else_cuts_short_is_the_guests_error_and_never_looks_whole_again() {
    let dir = TempDir::new().unwrap();
    for overlay in [false, true] {
        let image = dir.path().join(format!("{overlay}.img"));
        let over = dir.path().join("over");
        make_image(&image, 1 << 20, 0);
        let (disk, cut) = match overlay {
            false => (image.display().to_string(), &image),
            true => (format!("{},overlay={}", image.display(), over.display()), &over),
        };
        let out = dir.path().join("out");
        let child = Command::new(BINARY)
            .args(["run", &journal(), "--memory", "4M", "--disk", &disk])
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&out).unwrap())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        crate::support::until("writing", || std::fs::read_to_string(&out).unwrap().contains("flushed"));
        std::fs::File::options().write(true).open(cut).unwrap().set_len(4096).unwrap();
        let mut said = Said::of(&child.wait_with_output().unwrap());
        said.out = std::fs::read_to_string(&out).unwrap();
        said.ends(3, &["failed with 1", "cut the file short"]);
        assert!(std::fs::metadata(cut).unwrap().len() < 1 << 20, "{overlay}: it was not made to look whole");
    }
}

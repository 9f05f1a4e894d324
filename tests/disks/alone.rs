//! `lockstep run` with disks.

use std::fs;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::{
    BINARY, beside, found, journal, last_flushed, lockstep, make_image, order, run, seeded, sleep_ms,
};

#[test]
fn what_a_guest_writes_is_there_when_it_starts_again() {
    let dir = TempDir::new().unwrap();
    let image = dir.path().join("d.img");
    make_image(&image, 1 << 20, 150);
    let disk = image.to_str().unwrap();
    run(&[disk], &[]).ends(0, &["disk 0: 2048 sectors, writable, serial disk0\nfound 0\n", "done 150\n"]);
    run(&[disk], &[]).ends(0, &["found 150\n", "done 300\n"]);
    let identity = fs::read_to_string(beside(&image)).unwrap();
    assert!(identity.contains("\"state\": \"ended\""), "{identity}");
}

#[test]
fn a_recording_needs_no_disk_to_be_replayed() {
    let dir = TempDir::new().unwrap();
    let (image, log) = (dir.path().join("d.img"), dir.path().join("log"));
    make_image(&image, 1 << 20, 40);
    let disk = image.to_str().unwrap();
    run(&[disk], &[]).ends(0, &[]);
    let recorded = run(&[disk], &["--record", log.to_str().unwrap()]);
    recorded.ends(0, &["found 40\n", "done 80\n"]);
    fs::remove_file(&image).unwrap();
    let replayed = lockstep(&["replay", log.to_str().unwrap()]);
    replayed.ends(0, &["done 80\n"]);
    assert_eq!(replayed.out, recorded.out);
}

#[test]
fn an_overlay_takes_the_writes_and_the_base_stays() {
    let dir = TempDir::new().unwrap();
    let (image, over) = (dir.path().join("base.img"), dir.path().join("over"));
    make_image(&image, (1 << 20) + 2048, 20);
    let before = fs::read(&image).unwrap();
    let temporary = format!("{},overlay", image.display());
    for _ in 0..2 {
        run(&[&temporary], &[]).ends(0, &["found 0\n", "done 20\n"]);
    }
    let named = format!("{},overlay={},serial=root", image.display(), over.display());
    run(&[&named], &[]).ends(0, &["serial root\nfound 0\n", "done 20\n"]);
    run(&[&named], &[]).ends(0, &["found 20\n", "done 40\n"]);
    assert!(fs::read(&image).unwrap() == before);
    assert!(!beside(&image).exists(), "a base has no owner");
    // Over another base the blocks would be another disk's.
    order(&image, 21);
    run(&[&named], &[]).refuses(&["another base", "over"]);
    order(&image, 20);
    run(&[&named], &[]).ends(0, &["found 40\n"]);
}

#[test]
fn four_disks_keep_their_order_and_a_read_only_one_stays() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    make_image(&at("root"), 1 << 20, 5);
    fs::write(at("base"), [b'x'; 1024]).unwrap();
    fs::write(at("data"), [0; 4096]).unwrap();
    fs::write(at("more"), [0; 512]).unwrap();
    let disk = |name: &str, more: &str| format!("{}{more}", at(name).display());
    let disks = [disk("root", ""), disk("base", ",ro,serial=b"), disk("data", ""), disk("more", ",serial=m")];
    let disks: Vec<&str> = disks.iter().map(String::as_str).collect();
    run(&disks, &[]).ends(
        0,
        &[
            "disk 1: 2 sectors, read-only, serial b\ndisk 1 begins with xxxxxxxxxxxxxxxx\n",
            "disk 2: 8 sectors, writable, serial disk2\n",
            "disk 3: 1 sectors, writable, serial m\n",
            "done 5\n",
        ],
    );
    assert_eq!(fs::read(at("base")).unwrap(), [b'x'; 1024]);
    assert_eq!(fs::read(at("data")).unwrap()[..8], 5u64.to_le_bytes());
    assert_eq!(fs::read(at("more")).unwrap()[..8], 5u64.to_le_bytes());
    let five = [disks[0], disks[1], disks[2], disks[3], disks[0]];
    run(&five, &[]).refuses(&["5 disks", "at most 4"]);
}

#[test]
fn nothing_that_was_flushed_is_lost_when_the_process_is_killed() {
    let mut prng = seeded("nothing_that_was_flushed_is_lost_when_the_process_is_killed");
    let dir = TempDir::new().unwrap();
    let plain = dir.path().join("d.img");
    let base = dir.path().join("base.img");
    make_image(&plain, 1 << 20, 0);
    make_image(&base, 1 << 20, 0);
    let overlay = format!("{},overlay={}", base.display(), dir.path().join("over").display());
    for disk in [plain.to_str().unwrap(), &overlay] {
        let mut flushed = 0;
        for round in 0..6 {
            let (out, err) = (dir.path().join("out"), dir.path().join("err"));
            let mut child = Command::new(BINARY)
                .args(["run", &journal(), "--memory", "4M", "--disk", disk])
                .stdin(Stdio::null())
                .stdout(fs::File::create(&out).unwrap())
                .stderr(fs::File::create(&err).unwrap())
                .spawn()
                .unwrap();
            sleep_ms(100 + prng.below(400));
            child.kill().unwrap();
            child.wait().unwrap();
            let console = fs::read_to_string(&out).unwrap();
            assert!(!console.contains("not what was flushed"), "{console}");
            assert_eq!(fs::read_to_string(&err).unwrap(), "", "nothing was replaced, nothing failed");
            if let Some(found) = found(&console) {
                assert!(found >= flushed, "round {round}: {found} found, {flushed} were flushed");
            }
            flushed = flushed.max(last_flushed(&console));
        }
        assert!(flushed > 0, "the guest never came to write");
    }
}

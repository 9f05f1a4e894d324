//! What a joiner's file may be, and how much of it is sent.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use crate::support::{Scene, beside, last_flushed, make_image, order, records_on, sleep_ms, until};

const CHUNK: u64 = 64 << 10;

#[test]
fn a_returning_node_is_sent_only_what_changed() {
    let mut scene = Scene::new();
    let (p, b) = (scene.path("p.img"), scene.path("b.img"));
    make_image(&p, 512 << 20, 0);
    // Something to have in common.
    let file = File::options().write(true).open(&p).unwrap();
    let filler: Vec<u8> = (0..32u32 << 20).map(|n| (n >> 9) as u8 ^ (n >> 16) as u8 | 1).collect();
    file.write_all_at(&filler, 300 << 20).unwrap();
    drop(file);
    let mut primary = scene.primary(&p, &[]);
    let mut backup = scene.protect(&mut primary, &b, &[]);
    let first = primary.status().unwrap();
    let (compared, copied, all) = first.disk_transfer.unwrap();
    println!("first: {compared} of {all} chunks compared, {copied} copied");
    assert_eq!(all, (512 << 20) / CHUNK);
    assert!(copied >= (32 << 20) / CHUNK, "{first:?}");
    backup.kill().unwrap();
    scene.cluster.await_status(&mut primary, "alone", |status| status.phase == "alone").unwrap();
    sleep_ms(100);
    let backup = scene.protect(&mut primary, &b, &[]);
    let (compared, copied, all) = primary.status().unwrap().disk_transfer.unwrap();
    println!("again: {compared} of {all} chunks compared, {copied} copied");
    assert!(copied * 2 < all, "{copied} of {all} chunks were sent again");
    drop(backup);
    drop(primary);
}

/// The loser's disks are the guest's no more, and a copy again, in one process.
#[test]
fn a_paused_primary_with_a_disk_is_the_backup_when_it_wakes() {
    let mut scene = Scene::new();
    scene.cluster.rejoins = true;
    let (p, b) = (scene.path("p.img"), scene.path("b.img"));
    make_image(&p, 4 << 20, 0);
    // Both know both: the disk's own copy is named by each.
    let mut primary = scene.primary(&p, &[]);
    let mut backup = scene.protect(&mut primary, &b, &[]);
    for (loser, winner) in [(0, 1), (1, 0)] {
        let nodes = [&mut primary, &mut backup];
        let before = nodes[loser].status().unwrap();
        nodes[loser].stop().unwrap();
        until("taken over", || nodes[winner].status().is_ok_and(|s| s.phase == "alone"));
        nodes[loser].resume().unwrap();
        until("a pair again", || {
            let follows = nodes[loser].status().is_ok_and(|s| s.phase == "following" && s.protected);
            follows && nodes[winner].status().is_ok_and(|s| s.protected && s.generation > before.generation)
        });
        let flushed = last_flushed(&scene.console(nodes[winner]));
        until("writing on", || last_flushed(&scene.console(nodes[winner])) > flushed);
    }
    // What one that counted saw flushed is on its disk.
    let flushed = last_flushed(&scene.console(&primary));
    backup.kill().unwrap();
    primary.kill().unwrap();
    for image in [&p, &b] {
        assert!(records_on(image) >= flushed, "{} lacks {flushed}", image.display());
    }
}

#[test]
fn a_joiners_file_that_does_not_fit_is_refused_and_left_alone() {
    let mut scene = Scene::new();
    let p = scene.path("p.img");
    make_image(&p, 4 << 20, 0);
    let primary = scene.primary(&p, &[]);
    scene.await_flushed(&primary, 0);
    let shorter = scene.path("shorter.img");
    make_image(&shorter, 2 << 20, 0);
    let photos = scene.path("photos.img");
    fs::write(&photos, vec![7; 4 << 20]).unwrap();
    let missing = scene.path("no/such/dir.img");
    let read_only = format!("{},ro", photos.display());
    for (disk, why) in [
        (shorter.as_path(), "has 4194304 bytes"),
        (photos.as_path(), "not known to be a copy"),
        (missing.as_path(), "dir.img"),
        (read_only.as_ref(), "read-only"),
    ] {
        let refused = {
            let backup = scene.backup(&primary, disk, &[]);
            scene.end_of(backup)
        };
        refused.ends(2, &["not joined", why, "fix: "]);
        // The primary needs a moment to see that the connection is gone.
        sleep_ms(50);
    }
    assert!(fs::read(&photos).unwrap() == vec![7; 4 << 20]);
    assert!(!beside(&photos).exists());
    let mut primary = primary;
    let backup = scene.protect(&mut primary, &photos, &["--disk-reset"]);
    drop(backup);
    drop(primary);
}

#[test]
fn a_backup_without_the_disk_is_told_to_have_one() {
    let mut scene = Scene::new();
    let p = scene.path("p.img");
    make_image(&p, 4 << 20, 0);
    let primary = scene.primary(&p, &[]);
    scene.cluster.arguments.clear();
    let backup = scene.cluster.backup(&primary).unwrap();
    scene.end_of(backup).ends(2, &["not joined", "no --disk", "fix: "]);
    drop(primary);
}

#[test]
fn a_base_that_is_missing_is_copied_and_one_that_differs_is_refused() {
    let mut scene = Scene::new();
    let at = |name: &str| scene.path(name).display().to_string();
    let (p, base) = (at("p.img"), at("base.img"));
    let (copy, other) = (at("copy.img"), at("other.img"));
    let b = scene.path("b.img");
    make_image(p.as_ref(), 4 << 20, 0);
    let content: Vec<u8> = (0..300_032u32).map(|n| (n / 77) as u8).collect();
    fs::write(&base, &content).unwrap();
    let mut differs = content.clone();
    differs[299_999] ^= 1;
    fs::write(&other, &differs).unwrap();
    let mut primary = scene.primary(p.as_ref(), &["--disk", &format!("{base},ro")]);
    scene.await_flushed(&primary, 0);
    let backup = scene.backup(&primary, &b, &["--disk", &format!("{other},ro")]);
    scene.end_of(backup).ends(2, &["not joined", "differs", "fix: "]);
    sleep_ms(50);
    let mut backup = scene.protect(&mut primary, &b, &["--disk", &format!("{copy},ro")]);
    assert!(fs::read(&copy).unwrap() == content);
    assert!(!beside(copy.as_ref()).exists());
    primary.kill().unwrap();
    scene.await_primary(&mut backup);
    let again = scene.protect(&mut backup, p.as_ref(), &["--disk", &format!("{base},ro")]);
    assert!(fs::read(&other).unwrap() == differs);
    drop(again);
    drop(backup);
}

#[test]
fn an_overlay_over_a_shared_base_is_a_replicas_copy_too() {
    let mut scene = Scene::new();
    let base = scene.path("base.img");
    make_image(&base, 4 << 20, 300);
    let before = fs::read(&base).unwrap();
    let over = |name: &str| format!("{},overlay={}", base.display(), scene.path(name).display());
    let (p, b) = (over("p.over"), over("b.over"));
    let mut primary = scene.primary(p.as_ref(), &[]);
    let backup = scene.protect(&mut primary, b.as_ref(), &[]);
    scene.end_of(primary).ends(0, &["done 300"]);
    scene.end_of(backup).ends(0, &[]);
    assert!(fs::read(&base).unwrap() == before);
    for disk in [&p, &b] {
        crate::support::run(&[disk], &[]).ends(0, &["found 300"]);
    }
    order(&base, 300);
}

//! Files that cannot be a guest's disk: each is named, with what to do, and left as it is.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::{BINARY, beside, journal, make_image, order, run, until};

#[test]
fn what_is_no_disk_is_refused_with_what_to_do() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    fs::write(at("empty"), b"").unwrap();
    fs::write(at("ragged"), vec![1; 1000]).unwrap();
    let mut qcow = vec![0; 4096];
    qcow[..4].copy_from_slice(b"QFI\xfb");
    fs::write(at("qcow"), &qcow).unwrap();
    File::create(at("huge")).unwrap().set_len(3 << 40).unwrap();
    let whole = at("whole");
    make_image(whole.as_ref(), 1 << 20, 1);
    fs::write(at("notover"), vec![1; 8192]).unwrap();
    let cases = [
        (at("missing"), "does not exist"),
        (at("no/such/place"), "does not exist"),
        (dir.path().display().to_string(), "a directory"),
        ("/dev/null".to_owned(), "a device"),
        (at("empty"), "is empty"),
        (at("ragged"), "truncate -s 1024"),
        (at("qcow"), "qemu-img convert"),
        (at("huge"), "the most"),
        (format!("{whole},overlay={}", at("notover")), "is no overlay"),
        (format!("{whole},overlay={}", dir.path().display()), "a directory"),
        (format!("{},overlay", at("missing")), "does not exist"),
    ];
    for (disk, why) in &cases {
        run(&[disk], &[]).refuses(&[why]);
        assert!(!beside(disk.as_ref()).exists(), "{disk}");
    }
    for disk in ["", "x,rw", "x,ro,overlay", "x,overlay=", "x,serial="] {
        let said = run(&[disk], &[]);
        said.ends(2, &["--disk"]);
    }
    assert_eq!(fs::read(at("qcow")).unwrap(), qcow);
    assert!(!dir.path().join("missing").exists());
}

#[test]
fn a_file_that_may_not_be_written_is_read_or_overlaid_and_not_written() {
    let dir = TempDir::new().unwrap();
    let image = dir.path().join("d.img");
    make_image(&image, 1 << 20, 3);
    let mut permissions = fs::metadata(&image).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&image, permissions).unwrap();
    let disk = image.to_str().unwrap();
    run(&[disk], &[]).refuses(&["read-only", ",overlay", ",ro"]);
    run(&[&format!("{disk},overlay")], &[]).ends(0, &["done 3"]);
    run(&[&format!("{disk},ro")], &[]).ends(2, &["the first disk is missing, read-only"]);
}

#[test]
fn a_disk_in_use_is_not_used_twice() {
    let dir = TempDir::new().unwrap();
    let image = dir.path().join("d.img");
    make_image(&image, 1 << 20, 0);
    let disk = image.to_str().unwrap();
    let out = dir.path().join("out");
    let mut first = Command::new(BINARY)
        .args(["run", &journal(), "--memory", "4M", "--disk", disk])
        .stdin(Stdio::null())
        .stdout(File::create(&out).unwrap())
        .spawn()
        .unwrap();
    until("writing", || fs::read_to_string(&out).unwrap().contains("flushed"));
    for again in [disk.to_owned(), format!("{disk},ro"), format!("{disk},overlay")] {
        run(&[&again], &[]).refuses(&["in use"]);
    }
    first.kill().unwrap();
    first.wait().unwrap();
    order(&image, 1);
    // The kernel took the lock away with the process.
    run(&[disk], &[]).ends(0, &["done"]);
    run(&[disk, disk], &[]).refuses(&["in use"]);
}

#[test]
fn an_identity_that_cannot_be_read_is_not_ignored() {
    let dir = TempDir::new().unwrap();
    let image = dir.path().join("d.img");
    make_image(&image, 1 << 20, 1);
    let disk = image.to_str().unwrap();
    for bad in ["", "{}", "[1]", "\0\0\0"] {
        fs::write(beside(&image), bad).unwrap();
        run(&[disk], &[]).refuses(&["d.img.lockstep", "--disk-reset"]);
    }
    run(&[disk], &["--disk-reset"]).ends(0, &["done 1"]);
    run(&[disk], &[]).ends(0, &["done 2"]);
}

//! A kernel with the habits of one that is made for teaching (`guest-programs/teaching`).

use std::fs;

use tempfile::TempDir;

use crate::common::guest;
use crate::support::{lockstep, make_image};

#[test]
fn a_teaching_kernel_finds_its_disk_in_slot_0_and_is_replayed() {
    let dir = TempDir::new().unwrap();
    let (image, log) = (dir.path().join("fs.img"), dir.path().join("log"));
    make_image(&image, 1 << 20, 0);
    let (disk, log) = (format!("{},slot=0", image.display()), log.to_str().unwrap());
    let limit = ["--max-instructions", "50M"];
    let run = |more: &[&str]| lockstep(&[&["run", &guest("teaching")], &limit[..], more].concat());

    let ran = run(&["--disk", &disk, "--record", log]);
    ran.ends(0, &["the disk in slot 0 keeps what is written\n"]);
    let bytes = fs::read(&image).unwrap();
    let pattern: Vec<u8> = (0..1024).map(|i| (i * 7 + i / 256) as u8).collect();
    assert!(bytes[1024..2048] == pattern, "what it wrote is in the file");
    let again = lockstep(&["replay", log]);
    again.ends(0, &[]);
    assert_eq!(again.out, ran.out);

    // In its usual slot it is not where this kernel looks.
    run(&["--disk", image.to_str().unwrap()]).ends(2, &["no disk of this vendor in slot 0"]);
    let twice = ["--disk", &disk, "--disk", "/dev/null,slot=0"];
    run(&twice).refuses(&["slot 0", "fix:"]);
}

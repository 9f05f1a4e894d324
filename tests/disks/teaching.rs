//! A kernel with the habits of one that is made for teaching (`guest-programs/teaching`).

use std::fs;

use tempfile::TempDir;

use crate::common::{digests, guest};
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

/// The guest leaves A and D of one entry clear, writes through it, and ends with 5 unless both are set then.
#[test]
fn a_and_d_are_the_harts_with_svadu_and_the_kernels_without_and_both_are_replayed() {
    let dir = TempDir::new().unwrap();
    for (n, (cpu, who)) in [
        ("rv64,svadu=on", "A and D: the hart's, no page fault\n"),
        ("rv64,svadu=off", "A and D: the kernel's, one page fault\n"),
        ("rv64", "A and D: the kernel's, one page fault\n"),
    ]
    .into_iter()
    .enumerate()
    {
        let (image, log) = (dir.path().join(format!("{n}.img")), dir.path().join(format!("{n}.log")));
        make_image(&image, 1 << 20, 0);
        let (disk, to) = (format!("{},slot=0", image.display()), log.to_str().unwrap());
        let words = ["--cpu", cpu, "--disk", &disk, "--max-instructions", "50M", "--digest-every", "1000"];
        let ran = lockstep(&[&["run", &guest("teaching"), "--record", to], &words[..]].concat());
        ran.ends(0, &[who, "the disk in slot 0 keeps what is written\n"]);
        let at = digests(&log);
        assert!(at.len() > 5, "{at:?}");
        for way in [&[][..], &["--chunks", "1"], &["--save-restore", "2"]] {
            let again = lockstep(&[&["replay", to], way].concat());
            again.ends(0, &[&format!("digests checked {},", at.len())]);
            assert_eq!(again.out, ran.out, "{way:?}");
        }
    }
}

#[test]
fn a_machine_without_a_network_device_is_replayed_without_one() {
    let dir = TempDir::new().unwrap();
    let (image, log) = (dir.path().join("fs.img"), dir.path().join("log"));
    make_image(&image, 1 << 20, 0);
    let (disk, to) = (format!("{},slot=0", image.display()), log.to_str().unwrap());
    let limit = ["--no-net", "--max-instructions", "50M"];
    let ran = lockstep(
        &[
            &["run", &guest("teaching"), "--disk", &disk, "--record", to, "--digest-every", "1000"],
            &limit[..],
        ]
        .concat(),
    );
    ran.ends(0, &["the disk in slot 0 keeps what is written\n"]);
    for way in [&[][..], &["--chunks", "1"], &["--save-restore", "2"]] {
        let again = lockstep(&[&["replay", to], way].concat());
        again.ends(0, &[&format!("digests checked {},", digests(&log).len())]);
        assert_eq!(again.out, ran.out, "{way:?}");
    }

    // A guest that looks for the network finds its slot empty, also in the recording's replay.
    let log = dir.path().join("kv");
    let (kv, to) = (guest("kv"), log.to_str().unwrap());
    let alone = lockstep(&[&["run", &kv, "--record", to], &limit[..]].concat());
    alone.ends(1, &["no virtio-net in slot 0"]);
    let again = lockstep(&["replay", to]);
    again.ends(1, &[]);
    assert_eq!(again.out, alone.out);

    // Options that speak of a network contradict it.
    for more in [["--switch", "127.0.0.1:1"], ["--mac", "52:54:00:00:00:01"]] {
        let refused = lockstep(&[&["run", &kv], &more[..], &limit[..]].concat());
        refused.ends(2, &["--no-net", more[0]]);
    }
}

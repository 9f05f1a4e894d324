//! The Linux guest is made from Debian's packages, to the same bytes each time.
//!
//! The images go to the cache that everything else uses; packages are fetched once. Where they are
//! neither cached nor within reach the test says so loudly and checks only that the script does.

#[allow(dead_code, reason = "a tool box that several test programs share")]
mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::linux::{NO_PACKAGES, made};
use common::said;

fn script() -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("guest-programs/linux/build"))
}

fn path(object: &serde_json::Value, key: &str) -> PathBuf {
    PathBuf::from(object[key].as_str().unwrap_or_else(|| panic!("no path {key} in {object}")))
}

/// What `debugfs` says about a file of the root disk: (mode, user, group).
fn owner(root: &Path, file: &str) -> (String, String, String) {
    let run = Command::new("debugfs")
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .args(["-R", &format!("stat {file}")])
        .arg(root)
        .output()
        .expect("debugfs runs");
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    let after = |word: &str| {
        let rest = text.split(word).nth(1).unwrap_or_else(|| panic!("{word} of {file}: {text}"));
        rest.split_whitespace().next().unwrap_or_default().to_owned()
    };
    (after("Mode:"), after("User:"), after("Group:"))
}

#[test]
fn two_builds_from_the_same_packages_give_the_same_bytes() {
    let Some(first) = made("the Linux guest was not made", &[]) else { return };
    let packages = path(&first, "kernel").with_file_name("packages");
    let other = tempfile::tempdir().expect("a directory");
    let run = script()
        .arg("--json")
        .arg("--out")
        .arg(other.path())
        .arg("--packages")
        .arg(packages)
        .output()
        .expect("python3 runs guest-programs/linux/build");
    assert!(run.status.success(), "{}", said(&run));
    let second: serde_json::Value = serde_json::from_slice(&run.stdout).expect("--json prints one object");

    assert_eq!(first["sha256"], second["sha256"], "the digests of all files");
    assert_eq!(first["packages"], second["packages"]);
    for key in ["kernel", "initrd", "initrd_all", "root", "symbols"] {
        let (one, two) = (path(&first, key), path(&second, key));
        assert!(
            one != two && std::fs::read(one).expect("made") == std::fs::read(two).expect("made"),
            "{key}"
        );
    }

    let symbols = std::fs::read_to_string(path(&second, "symbols")).expect("made");
    assert!(symbols.lines().any(|line| line.ends_with(" T start_kernel")), "the kernel's symbols");

    let root = path(&second, "root");
    let owned = |mode: &str, id: &str| (mode.to_owned(), id.to_owned(), id.to_owned());
    assert_eq!(owner(&root, "/"), owned("0755", "0"));
    assert_eq!(owner(&root, "/usr/bin/redis-cli"), owned("0755", "0"));
    assert_eq!(owner(&root, "/var/lib/redis"), owned("0750", "100"));

    let kernel = std::fs::read(path(&second, "kernel")).expect("made");
    assert_eq!(&kernel[56..60], b"RSC\x05", "the magic of a RISC-V Image");
}

#[test]
fn without_a_network_and_without_packages_it_says_so_with_status_3() {
    let empty = tempfile::tempdir().expect("a directory");
    // Port 1 of this host: refused at once, as by a host without a network.
    let run = script()
        .arg("--tiny-only")
        .arg("--out")
        .arg(empty.path())
        .env("LOCKSTEP_DEBIAN_MIRROR", "http://127.0.0.1:1/debian")
        .env("no_proxy", "127.0.0.1")
        .output()
        .expect("python3 runs guest-programs/linux/build");
    let text = said(&run);
    assert_eq!(run.status.code(), Some(NO_PACKAGES), "{text}");
    assert!(text.contains("neither cached in") && text.contains("nor within reach"), "{text}");
    assert!(!empty.path().join("kernel").exists());
}

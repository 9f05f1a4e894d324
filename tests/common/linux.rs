//! The Linux guest that is made from Debian's packages.
//!
//! Where they are neither cached nor within reach the callers get none, after a loud message.

use std::path::Path;
use std::process::Command;

use lockstep::lab::linux::{self, Images, ImagesError};

use super::{said, skipped};

/// The script's exit status when there are no packages.
pub const NO_PACKAGES: i32 = 3;

/// The images; `what` is not done without them.
pub fn images(what: &str) -> Option<Images> {
    match linux::images(|line| println!("{line}")) {
        Ok(images) => Some(images),
        Err(ImagesError::NoPackages { said }) => {
            skipped(&format!("{what}, Debian's packages are out of reach:{said}"));
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// What the script of this checkout says of the images that it has made.
pub fn made(what: &str, arguments: &[&str]) -> Option<serde_json::Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest-programs/linux/build");
    let run = Command::new(script).arg("--json").args(arguments).output().expect("the script runs");
    if run.status.code() == Some(NO_PACKAGES) {
        skipped(&format!("{what}, Debian's packages are out of reach\n{}", said(&run)));
        return None;
    }
    assert!(run.status.success(), "guest-programs/linux/build: {}", said(&run));
    Some(serde_json::from_slice(&run.stdout).expect("--json prints one object"))
}

/// Kernel, tiny initial RAM disk and command line.
pub fn tiny(what: &str) -> Option<[String; 3]> {
    let made = made(what, &["--tiny-only"])?;
    let [kernel, initrd] = ["kernel", "initrd"].map(|key| made[key].as_str().expect("a path").to_owned());
    let cmdline = std::fs::read_to_string(Path::new(&kernel).with_file_name("cmdline")).expect("a cmdline");
    Some([kernel, initrd, cmdline.trim().to_owned()])
}

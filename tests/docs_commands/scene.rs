//! A host of its own for the blocks of one section: network, processes and /tmp are the scene's, so that addresses and
//! paths stand as the page has them. What a scene started ends with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::{BINARY, skipped};
use crate::page::Block;

/// What is typed, in order.
pub enum Step {
    /// A block of a page, literally.
    Block(Block),
    /// A check of ours; it must succeed.
    Check(&'static str),
}

/// Statuses besides 0 that a process of a scene may end with: what a signal of the block's own did to it.
const SIGNALLED: [&str; 4] = ["130", "137", "141", "143"];

/// No block takes longer on a host that is fit for it.
const BLOCK_SECONDS: u32 = 240;

/// Gives the scene a `/tmp` of its own. What it needs of the host's (a checkout may be there) it keeps.
const OWN_TMP: &str = r#"set -eu
mount --rbind /tmp /mnt
mount -t tmpfs tmpfs /tmp
for kept in "$PROJECT" "$BUILT" "$SCENE"; do
    case "$kept" in
        /tmp/*) mkdir -p "$kept"; mount --bind "/mnt${kept#/tmp}" "$kept" ;;
    esac
done
umount -l /mnt
mkdir -p /tmp/arbiter
"#;

/// False, loudly, where a process may not have a network of its own.
pub fn is_possible(what: &str) -> bool {
    let tried = Command::new("unshare").args(["--mount", "--net", "--pid", "--fork", "true"]).output();
    let possible = tried.is_ok_and(|output| output.status.success());
    if !possible {
        skipped(&format!("{what}: no namespaces here (unshare, as root)"));
    }
    possible
}

/// Runs `steps` on one host.
pub fn run(name: &str, steps: &[Step]) {
    if !is_possible(name) {
        return;
    }
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("docs-{name}"));
    if dir.exists() {
        fs::remove_dir_all(&dir).expect("what an earlier run left");
    }
    let work = dir.join("work");
    fs::create_dir_all(&work).expect("a directory for the scene");
    std::os::unix::fs::symlink(guests(), work.join("guest-programs")).expect("the guests");
    let terminal = include_str!("terminal.sh");
    let mut script = String::from(OWN_TMP);
    script.push_str("ip link set lo up\ncd \"$SCENE/work\"\n");
    for (number, step) in steps.iter().enumerate() {
        let (text, place, flags) = match step {
            Step::Block(block) => (block.text.as_str(), format!("{}:{}", block.page, block.line), "-e"),
            Step::Check(text) => (*text, format!("check {number}"), "-eu"),
        };
        let file = dir.join(format!("step-{number}.sh"));
        fs::write(&file, format!("{terminal}\n{text}")).expect("a script");
        let file = file.display();
        script.push_str(&format!(
            "echo '== {place}'\ntimeout {BLOCK_SECONDS} bash {flags} -o pipefail {file} </dev/null || \
             {{ echo \"{place}: status $?\" >&2; cat \"$SCENE/said\" >&2; exit 1; }}\n"
        ));
    }
    let path = format!("{}:{}", binary_dir().display(), std::env::var("PATH").unwrap_or_default());
    let output = Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", &script])
        .env("SCENE", &dir)
        .env("PROJECT", env!("CARGO_MANIFEST_DIR"))
        .env("BUILT", binary_dir())
        .env("PATH", path)
        .stdin(Stdio::null())
        .output()
        .expect("unshare runs");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {}\n{said}", output.status);
    let ended = fs::read_to_string(dir.join("ended")).unwrap_or_default();
    for line in ended.lines() {
        let (status, command) = line.split_once('\t').expect("a status and a command");
        let fine = status == "0" || SIGNALLED.contains(&status);
        assert!(fine, "{name}: `{command}` ended with {status}\n{said}");
    }
    fs::remove_dir_all(&dir).expect("the scene's directory");
}

fn guests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("guest-programs")
}

fn binary_dir() -> PathBuf {
    Path::new(BINARY).parent().expect("a file lies in a directory").to_owned()
}

//! Debian's kernel with a Redis under load, recorded: the recording replays to the same digests and the
//! same console, whatever way there is taken, and its entries can be looked at by the kernel's names.
//!
//! Where Debian's packages are neither cached nor within reach each test says so loudly.

#[allow(dead_code, reason = "a tool box that several test programs share")]
mod common;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use lockstep::lab::linux::Images;
use lockstep::replay::recorder::DIGEST_EVERY_DEFAULT;

use common::linux::images;
use common::{BINARY, digests, said};

/// Longer than any guest here lives.
const INSTRUCTIONS_MAX: &str = "20000000000";

/// A guest that is recorded into `log`.
fn recorded(images: &Images, initrd: &Path, words: &str, log: &Path) -> Command {
    let mut run = Command::new(BINARY);
    run.args(["run", "--memory", "256M", "--max-instructions", INSTRUCTIONS_MAX, "--kernel"]);
    run.arg(&images.kernel).arg("--initrd").arg(initrd).arg("--record").arg(log);
    run.arg("--append").arg(format!("{} panic=-1 reboot=panic_warm {words}", images.cmdline));
    run
}

#[test]
fn redis_under_load_replays_to_the_same_digests_and_console_whatever_the_way() {
    let Some(images) = images("Linux was not recorded") else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("redis");
    let words = r#"lockstep.run=redis lockstep.exec="bench 500 5" lockstep.poweroff"#;
    let run = recorded(&images, &images.initrd_all, words, &log).output().expect("lockstep runs");
    assert!(run.status.success(), "{}", said(&run));
    let console = String::from_utf8_lossy(&run.stdout);
    for words in ["bench: SET pipeline 1:", "bench: GET pipeline 16:", "exec ended with 0", "Power down"] {
        assert!(console.contains(words), "{words}: {}", said(&run));
    }

    let mut at = digests(&log);
    let count = at.len();
    let end = at.pop().expect("one at the end");
    let expected: Vec<u64> = (1..).map(|n| n * DIGEST_EVERY_DEFAULT).take_while(|at| *at < end).collect();
    assert!(expected.len() > 20, "{end} instructions are too few to show anything");
    assert_eq!(at, expected, "a digest at each multiple, and none elsewhere");

    let ways: [&[&str]; 5] = [
        &["--engine", "translator"],
        &["--engine", "interpreter"],
        &["--chunks", "1"],
        &["--save-restore", "2"],
        &["--chunks", "3", "--save-restore", "4"],
    ];
    let replay = |way: &'static [&'static str]| {
        let again = Command::new(BINARY).arg("replay").args(way).arg(&log).output().expect("lockstep runs");
        let told = String::from_utf8_lossy(&again.stderr).into_owned();
        assert_eq!(again.status.code(), Some(0), "{way:?}: {told}");
        assert!(told.contains(&format!("digests checked {count},")), "{way:?}: {told}");
        assert!(way[0] == "--engine" || told.contains("no difference"), "{way:?}: {told}");
        assert_eq!(again.stdout, run.stdout, "{way:?}: the console says the same");
    };
    // Each takes as long as the guest has lived, and the hosts of tests have two processors.
    for two in ways.chunks(2) {
        std::thread::scope(|scope| {
            for way in two {
                scope.spawn(|| replay(way));
            }
        });
    }

    looked_into(&images, &log);
}

/// `log verify` and `log stats` of that recording.
fn looked_into(images: &Images, log: &Path) {
    let json = |words: &[&str]| -> serde_json::Value {
        let run = Command::new(BINARY)
            .arg("log")
            .args(words)
            .arg(log)
            .arg("--json")
            .output()
            .expect("lockstep runs");
        assert!(run.status.success(), "{words:?}: {}", said(&run));
        serde_json::from_slice(&run.stdout).expect("one object")
    };
    assert_eq!(json(&["verify"])["verdict"], "whole");
    let bytes = json(&["stats"])["bytes"].as_u64().expect("a number");
    assert!((10_000..20_000_000).contains(&bytes), "the log has {bytes} bytes");

    let symbols = images.symbols.to_str().expect("a path in UTF-8");
    let by_function = json(&["stats", "--by", "function", "--symbols", symbols]);
    let groups = by_function["groups"].as_array().expect("groups");
    let names: Vec<&str> = groups.iter().filter_map(|group| group["name"].as_str()).collect();
    // Linux reads its clock in one function, and Redis in user mode by itself.
    assert!(names.contains(&"riscv_clocksource_rdtime") && names.contains(&"(user)"), "{names:?}");
    let by_activity = json(&["stats", "--by", "activity"]);
    assert!(by_activity["groups"].as_array().is_some_and(|groups| groups.len() > 1), "{by_activity}");
}

#[test]
fn a_recording_cut_by_sigkill_replays_to_its_end() {
    let Some(images) = images("Linux was not recorded") else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("cut");
    // A shell that spins: it is killed at some instruction, and while it writes.
    let words = r#"lockstep.exec="while :; do echo tick; done""#;
    let mut run = recorded(&images, &images.initrd, words, &log)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("lockstep runs");
    let mut lines = BufReader::new(run.stdout.take().expect("piped")).lines();
    let mut ticks = 0;
    while ticks < 500 {
        let line = lines.next().expect("the guest goes on").expect("its console is read");
        ticks += u32::from(line.ends_with("tick"));
    }
    run.kill().expect("it runs");
    run.wait().expect("it ends");

    let again = Command::new(BINARY).arg("replay").arg(&log).output().expect("lockstep runs");
    let told = String::from_utf8_lossy(&again.stderr).into_owned();
    assert_eq!(again.status.code(), Some(0), "{told}");
    assert!(told.contains("the guest had not ended"), "{told}");
    assert!(!told.contains("digests checked 0,"), "{told}");
    let console = String::from_utf8_lossy(&again.stdout);
    let replayed = console.lines().filter(|line| line.ends_with("tick")).count();
    // What a terminal has shown was in the log before.
    assert!(replayed >= 500, "{replayed} lines of 500 that were seen");
}

#[test]
fn sqlite_replays_to_the_same_digests_and_console() {
    let Some(images) = images("SQLite was not recorded") else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("sqlite");
    let sql = "create table a(n integer primary key,t text);\
               with recursive c(x) as (select 1 union all select x+1 from c where x<20000)\
               insert into a select x,hex(x*2654435761) from c;create index i on a(t);\
               select count(*),sum(n),length(group_concat(t)) from (select n,t from a order by t);\
               pragma integrity_check;";
    let words = format!(r#"lockstep.exec="sqlite3 /tmp/t.db '{sql}'" lockstep.poweroff"#);
    let run = recorded(&images, &images.initrd_all, &words, &log).output().expect("lockstep runs");
    assert!(run.status.success(), "{}", said(&run));
    let console = String::from_utf8_lossy(&run.stdout);
    // hex() of a number is that of its decimal digits: two for each.
    let digits: u64 = (1..=20_000u64).map(|x| (x * 2_654_435_761).to_string().len() as u64).sum();
    let answer = format!("20000|200010000|{}", 2 * digits + 19_999);
    for words in [answer.as_str(), "\nok", "exec ended with 0"] {
        assert!(console.contains(words), "{words}: {}", said(&run));
    }
    let again = Command::new(BINARY).arg("replay").arg(&log).output().expect("lockstep runs");
    assert_eq!(again.status.code(), Some(0), "{}", said(&again));
    assert_eq!(again.stdout, run.stdout, "the console says the same");
}

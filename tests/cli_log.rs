//! `lockstep log` as a user types it, over recordings that `lockstep` has just made.

#[allow(dead_code, reason = "a tool box that several test programs share")]
mod common;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use lockstep::lab::cluster::Cluster;
use lockstep::lab::kvclient::request;
use serde_json::Value;
use tempfile::TempDir;

use common::{BINARY, guest, lockstep};

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Runs `lockstep log`, which must end with `status`.
fn log(status: i32, arguments: &[&str]) -> String {
    let output = lockstep(&[&["log"], arguments].concat());
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {}\n{told}", text(&output));
    text(&output)
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// Records `name` under `dir`.
fn record(dir: &TempDir, name: &str, log: &str) -> String {
    record_with(dir, name, log, &[])
}

fn record_with(dir: &TempDir, name: &str, log: &str, more: &[&str]) -> String {
    let path = dir.path().join(log).to_str().unwrap().to_owned();
    let guest = guest(name);
    let output = lockstep(&[&["run", &guest, "--memory", "4M", "--record", &path], more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    path
}

/// Records a short conversation with kv.
fn record_kv(dir: &TempDir) -> String {
    let mut cluster =
        Cluster::start(Path::new(BINARY), dir.path(), &PathBuf::from(guest("kv")), "4M", None).unwrap();
    cluster.record = true;
    let mut primary = cluster.primary().unwrap();
    let ask = |text: &str| request(cluster.service, text, Duration::from_secs(10)).unwrap();
    assert_eq!(ask("SET colour viridian"), "OK");
    assert_eq!(ask("GET colour"), "VALUE viridian");
    ask("RAND");
    ask("TIME");
    assert_eq!(ask("HALT"), "OK");
    assert_eq!(primary.wait(Duration::from_secs(10)), Some(0), "{}", primary.told());
    cluster.record_dir(1).to_str().unwrap().to_owned()
}

#[test]
fn info_tells_what_a_log_is_of() {
    let dir = tempfile::tempdir().unwrap();
    let clock = record(&dir, "clock", "clock");
    let info = log(0, &["info", &clock]);
    for words in ["clock", "4 MiB", "boot", "the guest ended: pass"] {
        assert!(info.contains(words), "{words}: {info}");
    }
    let info = &json_lines(&log(0, &["info", &clock, "--json"]))[0];
    assert_eq!((&info["damages"], &info["last"]["kind"]), (&0.into(), &"end".into()), "{info}");
    assert!(info["entries"].as_u64().unwrap() > 5, "{info}");
    assert!(info["generations"].as_array().unwrap().len() == 1, "{info}");
}

#[test]
fn dump_shows_entries_with_payload_and_guest_symbol_and_filters_them() {
    let dir = tempfile::tempdir().unwrap();
    let kv = record_kv(&dir);
    let all = json_lines(&log(0, &["dump", &kv, "--json"]));
    let count = all.len();
    assert!(count > 10);
    for pair in all.windows(2) {
        assert_eq!(pair[0]["seq"].as_u64().unwrap() + 1, pair[1]["seq"].as_u64().unwrap());
        assert!(pair[0]["icount"].as_u64() <= pair[1]["icount"].as_u64());
    }
    // An entry says where the guest was, and its payload in words.
    let named = all.iter().filter(|entry| entry["symbol"].is_string()).count();
    assert!(named * 10 > count * 9, "{named} of {count} entries have a symbol");
    let plain = log(0, &["dump", &kv]);
    assert_eq!(plain.lines().count(), count + 1, "a heading and each entry");
    assert!(plain.contains("<") && plain.contains("UDP"), "{plain}");
    assert!(!log(0, &["dump", &kv, "--no-symbols", "--json"]).contains("\"symbol\""));

    let net_in = json_lines(&log(0, &["dump", &kv, "--json", "--kind", "net-in"]));
    assert!(!net_in.is_empty() && net_in.iter().all(|entry| entry["kind"] == "net-in"));
    let two = json_lines(&log(0, &["dump", &kv, "--json", "--kind", "net-in,net-out"]));
    assert!(two.len() > net_in.len());
    let (from, to) = (&all[count / 3]["icount"], &all[count / 2]["icount"]);
    let part = log(0, &["dump", &kv, "--json", "--from", &from.to_string(), "--to", &to.to_string()]);
    let part = json_lines(&part);
    assert_eq!((&part[0]["icount"], &part[part.len() - 1]["icount"]), (from, to));
    // A part names the same places as the whole.
    assert!(part.iter().all(|entry| all.contains(entry)));
    let found = json_lines(&log(0, &["dump", &kv, "--json", "--text", "viridian"]));
    assert!(!found.is_empty() && found.len() < net_in.len(), "{found:?}");
    assert_eq!(json_lines(&log(0, &["dump", &kv, "--json", "--limit", "3"])).len(), 3);
    assert!(lockstep(&["log", "dump", &kv, "--kind", "nonsense"]).status.code() == Some(2));
}

#[test]
fn symbols_name_the_function_that_was_running() {
    let dir = tempfile::tempdir().unwrap();
    let ticker = record(&dir, "ticker", "ticker");
    let timers = json_lines(&log(0, &["dump", &ticker, "--json", "--kind", "timer"]));
    // A late host makes one entry of several beats.
    assert!(timers.len() >= 5, "{}", timers.len());
    let inside = timers.iter().filter(|entry| {
        entry["symbol"].as_str().is_some_and(|symbol| symbol.starts_with("ticker") || symbol.contains("loop"))
    });
    assert!(inside.count() * 20 > timers.len() * 19, "{:?}", &timers[..3]);
}

/// A System.map for the guest `modes`, whose kernel lives in the upper half of the address space.
fn system_map() -> String {
    let file = std::fs::read(guest("modes")).unwrap();
    let symbols = lockstep::machine::symbols_of(&file).unwrap();
    let line = |symbol: &lockstep::machine::Symbol| {
        format!("{:016x} T {}\n", symbol.addr + 0xffff_ffff_0000_0000, symbol.name)
    };
    symbols.iter().map(line).collect()
}

#[test]
fn a_kernel_is_named_by_its_system_map_and_its_users_by_address() {
    let dir = tempfile::tempdir().unwrap();
    let modes = record_with(&dir, "modes", "modes", &["--digest-every", "97"]);
    let map = dir.path().join("System.map").to_str().unwrap().to_owned();
    std::fs::write(&map, system_map()).unwrap();
    let digests = json_lines(&log(0, &["dump", &modes, "--json", "--kind", "digest", "--symbols", &map]));
    let places: Vec<_> = digests.iter().filter_map(|entry| entry["symbol"].as_str()).collect();
    let of = |prefix| places.iter().filter(|place| place.starts_with(prefix)).count();
    let (users, kernels) = (of("user+0x"), of("kernel_"));
    assert!(users > 20 && kernels > 20, "{users} and {kernels} of {}: {places:?}", places.len());

    // The same names in a profile, and no caller in another mode.
    let profile = dir.path().join("profile").to_str().unwrap().to_owned();
    let often = ["--profile-every", "7", "--symbols", &map];
    let replayed = lockstep(&[&["replay", &modes, "--profile", &profile], &often[..]].concat());
    assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stderr));
    let folded = std::fs::read_to_string(&profile).unwrap();
    let counted = |prefix: &str| -> u64 {
        let counts =
            folded.lines().filter(|line| line.starts_with(prefix)).map(|line| line.rsplit_once(' ').unwrap());
        counts.map(|(_, count)| count.parse::<u64>().unwrap()).sum()
    };
    assert!(counted("user;user:0x0") > 100, "{folded}");
    assert!(counted("supervisor;kernel_trap_entry;kernel_trap;kernel_time") > 100, "{folded}");
    assert!(counted("supervisor;kernel_trap_entry;kernel_trap ") > 100, "{folded}");
    assert!(counted("machine;machine:0x80000000") > 0, "{folded}");
    assert_eq!(counted("user;") + counted("supervisor;") + counted("machine;"), counted(""), "{folded}");

    // Without names the mode and the address are all there is, and only where asked for.
    let plain = log(0, &["dump", &modes, "--kind", "digest"]);
    assert!(!plain.contains("user+") && !plain.contains("supervisor+"), "{plain}");
    let plain = log(0, &["dump", &modes, "--kind", "digest", "--where"]);
    assert!(plain.contains("<supervisor+0xffffffff8000"), "{plain}");

    // The file of a bare-metal guest says where it is in memory, not where the kernel sees it.
    let elf = log(0, &["dump", &modes, "--limit", "1", "--symbols", &guest("modes")]);
    assert!(elf.contains("<_start>"), "{elf}");
    for (bad, why) in [("nonsense here\n", "line 1"), ("", "names no place"), ("0 T a\n", "are 0")] {
        std::fs::write(&map, bad).unwrap();
        let output = lockstep(&["log", "dump", &modes, "--symbols", &map]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && told.contains(why), "{told}");
        assert!(told.contains("System.map"), "what to do: {told}");
    }
}

#[test]
fn stats_group_by_where_the_guest_was_and_what_it_was_about() {
    let dir = tempfile::tempdir().unwrap();
    let modes = record_with(&dir, "modes", "modes", &["--digest-every", "97"]);
    let map = dir.path().join("System.map").to_str().unwrap().to_owned();
    std::fs::write(&map, system_map()).unwrap();
    let groups = |arguments: &[&str]| {
        let mut stats = json_lines(&log(0, &[&["stats", &modes, "--json"], arguments].concat())).remove(0);
        let groups: Vec<Value> = serde_json::from_value(stats["groups"].take()).unwrap();
        let entries: u64 = groups.iter().map(|group| group["entries"].as_u64().unwrap()).sum();
        assert_eq!(stats["entries"]["count"], entries, "every entry is in one group");
        groups
    };
    let entries = |groups: &[Value], name: &str| {
        groups.iter().find(|group| group["name"] == name).map(|group| group["entries"].as_u64().unwrap())
    };
    let by_mode = groups(&["--by", "mode"]);
    let users = entries(&by_mode, "user").unwrap();
    assert!(users > 20 && entries(&by_mode, "supervisor").unwrap() > 20, "{by_mode:?}");
    assert!(entries(&by_mode, "machine").unwrap() >= 1, "{by_mode:?}");
    let by_function = groups(&["--by", "function", "--symbols", &map]);
    assert!(entries(&by_function, "kernel_trap").unwrap() > 5, "{by_function:?}");
    assert_eq!(entries(&by_function, "(user)"), Some(users), "users at any address make one group");
    let by_activity = groups(&["--by", "activity"]);
    let (start, recorder) = (entries(&by_activity, "start"), entries(&by_activity, "(recorder)"));
    // What the guest said, and its clock; the digests belong to neither.
    assert!(start.unwrap() >= 5 && recorder.unwrap() > users, "{by_activity:?}");
    let top = log(0, &["stats", &modes, "--by", "mode", "--top", "1"]);
    assert!(top.contains("2 others"), "{top}");

    let kv = record_kv(&dir);
    let stats = log(0, &["stats", &kv, "--by", "activity"]);
    assert!(stats.contains("network"), "{stats}");
}

#[test]
fn stats_count_and_draw_a_picture() {
    let dir = tempfile::tempdir().unwrap();
    let kv = record_kv(&dir);
    let svg = dir.path().join("kv.svg").to_str().unwrap().to_owned();
    let stats = log(0, &["stats", &kv, "--svg", &svg]);
    assert!(stats.contains("net-in") && stats.contains("net-out"), "{stats}");
    let picture = std::fs::read_to_string(&svg).unwrap();
    well_formed(&picture);
    for lane in ["net-in", "net-out"] {
        assert!(picture.contains(lane), "no lane {lane}");
    }
    let stats = &json_lines(&log(0, &["stats", &kv, "--json"]))[0];
    assert!(stats["kinds"]["net-in"]["count"].as_u64().unwrap() >= 5, "{stats}");
}

/// Every element that is opened is closed, in order.
fn well_formed(xml: &str) {
    let mut open = Vec::new();
    let mut rest = xml;
    while let Some(at) = rest.find('<') {
        let end = at + rest[at..].find('>').unwrap_or_else(|| panic!("an unclosed tag: {}", &rest[at..]));
        let tag = &rest[at + 1..end];
        assert!(!tag.contains('<'), "{tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{name} is closed");
        } else if !tag.ends_with('/') && !tag.starts_with(['?', '!']) {
            open.push(tag.split_whitespace().next().unwrap());
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty() && xml.trim_start().starts_with("<svg"), "{open:?} are never closed");
}

#[test]
fn verify_grep_and_diff_answer_with_their_status() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (record(&dir, "identity", "one"), record(&dir, "identity", "other"));
    let kv = record_kv(&dir);

    assert!(log(0, &["verify", &one]).contains("whole"));
    assert!(log(0, &["grep", "viridian", &kv]).contains("net-in"));
    assert_eq!(log(1, &["grep", "magenta", &kv]), "");
    let found = json_lines(&log(0, &["grep", "viridian", &kv, "--json"]));
    assert_eq!(found[0]["kind"], "net-in", "{found:?}");

    assert!(log(0, &["diff", &one, &one]).contains("the same"));
    // Two runs of a guest that asks nothing differ in the identities that each drew, and in nothing else.
    let (hello, again) = (record(&dir, "hello", "hello"), record(&dir, "hello", "hello-again"));
    assert!(log(0, &["diff", &hello, &again]).contains("the same"));
    assert!(log(1, &["diff", &hello, &again, "--ids"]).contains("generation"));
    let parted = log(1, &["diff", &one, &other]);
    assert!(parted.contains("they part"), "{parted}");
    let parted = &json_lines(&log(1, &["diff", &one, &other, "--json"]))[0];
    assert_eq!(parted["same"], false);
    assert_eq!(parted["a"]["seq"], parted["b"]["seq"], "{parted}");
    assert!(log(1, &["diff", &one, &kv]).contains("the guest's image"));

    // What the guest said is not in its log, and is found all the same.
    let found = log(0, &["grep", "checksum", &record(&dir, "clock", "clock-said")]);
    assert!(found.contains("  console  ") && found.contains("checksum"), "{found}");

    // A log whose tail is torn says so, and is read up to it.
    let clock = record(&dir, "clock", "clock");
    let segment = Path::new(&clock).join("00000000000000000001.log");
    let whole = std::fs::read(&segment).unwrap();
    std::fs::write(&segment, &whole[..whole.len() - 3]).unwrap();
    assert!(log(1, &["verify", &clock]).contains("torn tail"));
    assert!(!json_lines(&log(0, &["dump", &clock, "--json"])).is_empty());
}

/// Killed when the test ends, however it does.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.kill().is_ok() {
            self.0.wait().unwrap();
        }
    }
}

#[test]
fn dump_follows_a_log_that_grows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log").to_str().unwrap().to_owned();
    let spawn = |arguments: &[&str], stdout: Stdio| {
        Running(Command::new(BINARY).args(arguments).stdout(stdout).stderr(Stdio::null()).spawn().unwrap())
    };
    let _recording =
        spawn(&["run", &guest("loop_print"), "--memory", "4M", "--record", &path], Stdio::null());
    let until = Instant::now() + Duration::from_secs(10);
    while lockstep(&["log", "info", &path]).status.code() != Some(0) {
        assert!(Instant::now() < until, "nothing is recorded");
        std::thread::sleep(Duration::from_millis(10));
    }
    let entries = json_lines(&log(0, &["info", &path, "--json"]))[0]["entries"].as_u64().unwrap();
    let mut follower = spawn(&["log", "dump", &path, "--follow", "--json"], Stdio::piped());
    let lines = BufReader::new(follower.0.stdout.take().unwrap()).lines();
    let until = Instant::now() + Duration::from_secs(10);
    let mut symbols = 0;
    for line in lines {
        let entry: Value = serde_json::from_str(&line.unwrap()).unwrap();
        symbols += u64::from(entry["symbol"].is_string());
        if entry["seq"].as_u64().unwrap() > entries + 100 {
            assert!(symbols > 100, "a replay follows, too");
            return;
        }
        assert!(Instant::now() < until, "only {entry} after {entries} entries");
    }
    panic!("the follower has ended");
}

#[test]
fn a_follower_is_ended_by_its_user_with_all_that_it_has_seen() {
    let dir = tempfile::tempdir().unwrap();
    let path = record(&dir, "clock", "clock");
    // As its writer leaves it when it is killed: the guest's end is missing.
    let segment = Path::new(&path).join("00000000000000000001.log");
    let whole = std::fs::read(&segment).unwrap();
    std::fs::write(&segment, &whole[..whole.len() - 3]).unwrap();
    let count = json_lines(&log(0, &["stats", &path, "--json"]))[0]["entries"]["count"].clone();
    for command in ["dump", "stats"] {
        let arguments = ["log", command, &path, "--follow", "--json"];
        let mut child = Command::new(BINARY).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let pid = rustix::process::Pid::from_child(&child);
        let mut lines = out.lines().map(|line| line.unwrap());
        // It has begun, so it listens to signals.
        let first = lines.next().unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let rest: Vec<String> = lines.collect();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{command}");
        if command == "stats" {
            let last: Value = serde_json::from_str(rest.last().unwrap_or(&first)).unwrap();
            assert_eq!(last["entries"]["count"], count);
        }
    }
}

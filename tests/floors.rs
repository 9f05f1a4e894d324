//! The structure holds: every floor names only floors below it, siblings ignore each other, and
//! nothing below the line knows a clock, a thread, a socket or a file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The floors from the ground up. Rooms on one floor are siblings.
const FLOORS: &[&[&str]] = &[
    &["base"],
    &["isa", "mem"],
    &["cpu"],
    &["devices"],
    &["machine"],
    &["log", "snapshot"],
    &["replay"],
    &["ft", "net"],
    &["inspect"],
    // ---- the line: below it, only arithmetic
    &["host", "sim"],
    &["lab"],
    &["cli"],
];
const LINE: usize = 9;

/// What only the host may name.
const HOST_ONLY: &[&str] = &[
    "std::time",
    "std::thread",
    "std::net",
    "std::fs",
    "std::sync",
    "std::env",
    "std::process",
    "std::os",
    "std::io",
    "std::collections::HashMap",
    "std::collections::HashSet",
    "HashMap<",
    "HashSet<",
    "Instant::now",
    "SystemTime",
    "crossbeam_channel",
    "rustix",
    "memmap2",
    "getrandom",
    "thread_local!",
];

fn floor_of(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// Code lines of a file that are not its tests' or comments.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim() == "#[cfg(test)]" {
            break;
        }
        let line = line.split("//").next().unwrap_or("");
        lines.push((number + 1, line.to_owned()));
    }
    lines
}

fn is_test_file(path: &Path) -> bool {
    path.components().any(|c| {
        let c = c.as_os_str().to_string_lossy();
        c == "tests" || c == "tests.rs" || c.ends_with("_tests.rs")
    })
}

fn rooms() -> BTreeMap<String, Vec<PathBuf>> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut rooms = BTreeMap::new();
    for entry in fs::read_dir(&src).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let mut files = Vec::new();
            sources(&path, &mut files);
            files.retain(|file| !is_test_file(file));
            rooms.insert(path.file_name().unwrap().to_string_lossy().into_owned(), files);
        }
    }
    rooms
}

#[test]
fn every_room_has_a_floor() {
    for room in rooms().keys() {
        assert!(floor_of(room).is_some(), "src/{room} stands on no floor: add it to FLOORS and ARCHITECTURE");
    }
}

#[test]
fn imports_point_down() {
    let mut upward = Vec::new();
    for (room, files) in rooms() {
        let Some(floor) = floor_of(&room) else { continue };
        for file in files {
            for (number, line) in code(&file) {
                for named in line.split("crate::").skip(1) {
                    let other: String =
                        named.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    let Some(other_floor) = floor_of(&other) else { continue };
                    if other != room && other_floor >= floor {
                        upward.push(format!("{}:{number} names {other}", file.display()));
                    }
                }
            }
        }
    }
    assert!(upward.is_empty(), "upward or sideways imports:\n{}", upward.join("\n"));
}

/// RAM may be an anonymous mapping: memory that no file is behind.
fn is_plain_memory(file: &Path, line: &str) -> bool {
    file.ends_with("mem/bytes.rs")
        && ["use memmap2::MmapMut;", "memmap2::Advice::HugePage"].iter().any(|use_| line.contains(use_))
}

#[test]
fn below_the_line_nothing_knows_the_host() {
    let mut leaks = Vec::new();
    for (room, files) in rooms() {
        if floor_of(&room).is_none_or(|floor| floor >= LINE) {
            continue;
        }
        for file in files {
            for (number, line) in code(&file) {
                for word in HOST_ONLY {
                    if line.contains(word) && !(*word == "memmap2" && is_plain_memory(&file, &line)) {
                        leaks.push(format!("{}:{number} names {word}", file.display()));
                    }
                }
            }
        }
    }
    assert!(leaks.is_empty(), "the host leaks into the deterministic floors:\n{}", leaks.join("\n"));
}

#[test]
fn the_check_can_fail() {
    assert!(floor_of("base") < floor_of("cpu"));
    assert_eq!(floor_of("attic"), None);
    assert!(FLOORS[LINE].contains(&"host"));
}

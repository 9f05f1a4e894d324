//! Holds what a file names against the rules.

use super::rules::{
    EXCEPTIONS, FOREIGN_FILES, LINE, MACROS_BELOW_NOT, ONLY_BY_EXCEPTION, STD_BELOW, UNSAFE_FILES, crates_of,
    floor_of, is_below_the_line,
};
use super::scan::{Code, Named};

/// Whatever a file of module `module` may not name, a line each.
pub fn violations(file: &str, module: &[String], code: &Code, crates: &[String]) -> Vec<String> {
    let Some(room) = module.first() else { return root_violations(file, code, crates) };
    let below = is_below_the_line(room);
    let mut found = Vec::new();
    for named in &code.named {
        let why = match named.path[0].as_str() {
            "crate" => inside(room, named),
            "std" | "core" | "alloc" if below => standard(file, named),
            "std" | "core" | "alloc" => None,
            name if crates.iter().any(|known| known == name) && (named.path.len() > 1 || named.is_use) => {
                outside(file, room, named)
            }
            name if below && named.is_macro && MACROS_BELOW_NOT.contains(&name) => {
                Some(format!("calls {name}!, which speaks to the host"))
            }
            _ => None,
        };
        found.extend(why.map(|why| format!("{file}:{} {why}", named.line)));
    }
    for word in &code.words {
        let why = match word.word.as_str() {
            "unsafe" if !UNSAFE_FILES.contains(&file) => "has unsafe code, and is not in UNSAFE_FILES",
            "extern" if below && !FOREIGN_FILES.contains(&file) => "names something outside of Rust",
            "static mut" => "has a global that changes",
            "path attribute" => "gives a module a path of its own, past this test",
            "pointer format" if below => "prints an address, which differs between runs",
            _ => continue,
        };
        found.push(format!("{file}:{} {why}", word.line));
    }
    found
}

/// `lib.rs` only lists its modules.
fn root_violations(file: &str, code: &Code, crates: &[String]) -> Vec<String> {
    let foreign = |named: &&Named| {
        let first = named.path[0].as_str();
        ["crate", "std", "core", "alloc"].contains(&first) || crates.iter().any(|known| known == first)
    };
    let mut found: Vec<String> = code
        .named
        .iter()
        .filter(foreign)
        .map(|named| {
            format!("{file}:{} names {}: the root only lists its modules", named.line, named.path.join("::"))
        })
        .collect();
    let roomless =
        code.modules.iter().filter(|module| !module.only_tests && floor_of(&module.name).is_none());
    found.extend(
        roomless.map(|module| format!("{file} has the module {}, which stands on no floor", module.name)),
    );
    found
}

/// A path within the crate points to the own room or a lower floor.
fn inside(room: &str, named: &Named) -> Option<String> {
    let floor = floor_of(room)?;
    let Some(other) = named.path.get(1).filter(|name| *name != "*") else {
        return Some("names the crate's root".to_owned());
    };
    match floor_of(other) {
        _ if other == room => None,
        Some(other_floor) if other_floor < floor => None,
        Some(_) => Some(format!("names {other}, which is not below {room}")),
        None => Some(format!("names crate::{other}, which is no room")),
    }
}

fn begins_with(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn is_exception(file: &str, path: &str) -> bool {
    EXCEPTIONS.iter().any(|(place, allowed, _)| *place == file && begins_with(path, allowed))
}

/// Below the line, only what cannot differ between two runs.
fn standard(file: &str, named: &Named) -> Option<String> {
    let (whole, rest) = (named.path.join("::"), named.path[1..].join("::"));
    let known = STD_BELOW.iter().any(|allowed| begins_with(&rest, allowed)) || is_exception(file, &whole);
    (!known).then(|| format!("names {whole}, which is not among what the deterministic floors may use"))
}

fn outside(file: &str, room: &str, named: &Named) -> Option<String> {
    let (whole, name) = (named.path.join("::"), named.path[0].as_str());
    let listed = crates_of(room).contains(&name);
    let restricted = ONLY_BY_EXCEPTION.contains(&(room, name));
    if (listed && !restricted) || is_exception(file, &whole) {
        return None;
    }
    Some(format!("names {whole}; {room} does without it"))
}

#[test]
fn the_line_lies_under_host() {
    assert!(floor_of("base") < floor_of("cpu"));
    assert_eq!(floor_of("attic"), None);
    assert_eq!(floor_of("host"), Some(LINE));
}

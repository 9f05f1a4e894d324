//! The structure holds: every floor names only floors below it, siblings ignore each other, and nothing below the line
//! knows a clock, a thread, a socket or a file. `rules` says what each room may name, `scan` reads the code, `judge`
//! compares, and `tricks` tries to get past them.

mod judge;
mod rules;
mod scan;
mod tricks;

use std::path::Path;

/// The dependencies that the code may name, as it spells them.
fn crates() -> Vec<String> {
    let manifest = include_str!("../../Cargo.toml");
    let dependencies = manifest.split("\n[dependencies]\n").nth(1).expect("a list of dependencies");
    let lines = dependencies.lines().take_while(|line| !line.starts_with('['));
    let names = lines.filter_map(|line| line.split_once('=')).map(|(name, _)| name.trim().replace('-', "_"));
    names.chain(["lockstep".to_owned()]).collect()
}

#[test]
fn every_file_names_only_what_its_room_may() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let crates = crates();
    assert!(crates.len() > 10, "{crates:?}");
    let (sources, unreached) = scan::crate_sources(&src);
    assert!(sources.len() > 250, "only {} files were found", sources.len());
    assert!(unreached.is_empty(), "no module names these files: {unreached:?}");
    let mut found = Vec::new();
    for source in &sources {
        let file = source.file.to_string_lossy();
        found.extend(judge::violations(&file, &source.module, &source.code, &crates));
    }
    assert!(found.is_empty(), "past the walls:\n{}", found.join("\n"));
}

#[test]
fn the_program_is_only_a_door() {
    let main = scan::read(include_str!("../../src/main.rs"), &[]);
    let named: Vec<String> = main.named.iter().map(|named| named.path.join("::")).collect();
    assert_eq!(named, ["std::process::ExitCode", "lockstep::cli::main"]);
}

#[test]
fn files_with_unsafe_code_still_have_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in rules::UNSAFE_FILES {
        let text = std::fs::read_to_string(src.join(file)).expect("a file that UNSAFE_FILES names");
        let blocks = text.matches("unsafe {").count();
        assert!(blocks > 0, "{file} has no unsafe code any more: strike it from UNSAFE_FILES");
        assert!(text.matches("SAFETY").count() >= blocks, "{file}: a block without its SAFETY argument");
    }
}

#[test]
fn every_allowance_is_used() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (sources, _) = scan::crate_sources(&src);
    let names = |matches: &dyn Fn(&scan::Source, &str) -> bool| {
        sources
            .iter()
            .any(|source| source.code.named.iter().any(|named| matches(source, &named.path.join("::"))))
    };
    let mut idle = Vec::new();
    for room in rules::FLOORS.iter().copied().flatten() {
        for allowed in rules::crates_of(room) {
            let is_used = |source: &scan::Source, path: &str| {
                source.module.first().is_some_and(|own| own == room)
                    && path.split("::").next() == Some(*allowed)
            };
            if !names(&is_used) {
                idle.push(format!("{room} may name {allowed}, and does not"));
            }
        }
    }
    for (file, path, _) in rules::EXCEPTIONS {
        let is_used =
            |source: &scan::Source, named: &str| source.file == Path::new(file) && named.starts_with(path);
        if !names(&is_used) {
            idle.push(format!("{file} may name {path}, and does not"));
        }
    }
    assert!(idle.is_empty(), "strike from the rules:\n{}", idle.join("\n"));
}

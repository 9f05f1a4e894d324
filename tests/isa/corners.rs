//! `docs/isa-corners.md` held to its word: every row of its tables names a test, and every test that
//! it names exists.
//!
//! A name in the last column is a test function's, a test file's (`soup.rs`), or that of a program of
//! the suite (`isa/rv64ui-alu`). "same" stands for the row above.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// The names of all test functions and of all files of tests.
fn tests() -> BTreeSet<String> {
    let mut files = Vec::new();
    rust_files(&root().join("src"), &mut files);
    rust_files(&root().join("tests"), &mut files);
    let mut names = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let mut attributed = false;
        for line in text.lines().map(str::trim) {
            if line == "#[test]" {
                attributed = true;
            } else if let Some(rest) = line.strip_prefix("fn ").filter(|_| attributed) {
                names.extend(rest.split('(').next().map(str::to_owned));
                attributed = false;
            }
        }
        if text.contains("#[test]") {
            names.insert(file.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    names
}

/// The names in backticks in `cell`.
fn named(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn every_corner_has_a_test_that_exists() {
    let page = std::fs::read_to_string(root().join("docs/isa-corners.md")).unwrap();
    let tests = tests();
    let (mut rows, mut names) = (0, BTreeSet::new());
    for (n, line) in page.lines().enumerate().filter(|(_, line)| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        if cells[0] == "corner" || line.starts_with("|---") {
            continue;
        }
        let at = n + 1;
        assert_eq!(cells.len(), 3, "docs/isa-corners.md:{at}: corner, what is done, test");
        let shown = cells[2];
        assert!(shown.starts_with("same") || named(shown).next().is_some(), "line {at}: no test: {line}");
        for name in named(shown) {
            let exists = match name.strip_prefix("isa/") {
                Some(program) => root().join(format!("guest-programs/isa/{program}.S")).exists(),
                None => tests.contains(name),
            };
            assert!(exists, "docs/isa-corners.md:{at}: there is no test {name}");
            names.insert(name);
        }
        rows += 1;
    }
    println!("{rows} corners, {} tests", names.len());
    assert!(rows > 60, "{rows} rows: is the page still a page of tables?");
}

//! What `docs/` says is there: entries and messages that the code has, and links that lead somewhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_kind_of_entry_is_in_formats_as_the_code_has_it() {
    let (code, formats) = (read("src/log/code.rs"), read("docs/FORMATS.md"));
    let rows: Vec<&str> = code
        .lines()
        .filter_map(|line| line.strip_prefix("//! "))
        .filter(|row| row.starts_with("0x"))
        .collect();
    assert!(rows.len() > 15, "{rows:?}");
    let missing: Vec<_> = rows.iter().filter(|row| !formats.lines().any(|line| line == **row)).collect();
    assert!(missing.is_empty(), "docs/FORMATS.md lacks {missing:#?}");
}

#[test]
fn every_message_between_nodes_is_in_formats() {
    let (code, formats) = (read("src/ft/message.rs"), read("docs/FORMATS.md"));
    let body = code.split("pub enum Message {").nth(1).and_then(|rest| rest.split("\n}\n").next()).unwrap();
    // A variant stands four spaces in, a field further.
    let variants: Vec<&str> = body
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()))
        .map(|line| line.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap())
        .collect();
    assert!(variants.len() > 20, "{variants:?}");
    let named: Vec<&str> = formats
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
        .flat_map(|cell| cell.split(", "))
        .collect();
    let missing: Vec<_> = variants.iter().filter(|variant| !named.contains(variant)).collect();
    assert!(missing.is_empty(), "docs/FORMATS.md lacks {missing:?}");
}

/// The name by which a heading can be linked to.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

fn anchors(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_exist() {
    let mut pages = vec![root().join("README.md"), root().join("guest-programs/README.md")];
    pages.push(root().join("guest-programs/linux/README.md"));
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    pages.extend(docs.filter(|path| path.extension().is_some_and(|e| e == "md")));
    let mut known: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    let (mut links, mut broken) = (0, Vec::new());
    for page in &pages {
        let text = fs::read_to_string(page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            links += 1;
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let leads = target.exists()
                && (heading.is_empty()
                    || known
                        .entry(target.clone())
                        .or_insert_with(|| anchors(&target))
                        .contains(&heading.to_owned()));
            if !leads {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(links > 30, "{links}");
    assert!(broken.is_empty(), "{broken:#?}");
}

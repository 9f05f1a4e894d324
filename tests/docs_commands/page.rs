//! The fenced blocks of a page.

use std::fs;
use std::path::Path;

/// A fenced block: what stands behind the fence's beginning (`sh`, `text`), and its lines.
#[derive(Clone, Debug)]
pub struct Block {
    pub page: String,
    /// Of the fence's beginning, from 1.
    pub line: usize,
    pub language: String,
    pub text: String,
}

/// Every page whose commands are run.
pub fn pages() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages: Vec<String> = ["README.md", "guest-programs/README.md"].map(str::to_owned).to_vec();
    for entry in fs::read_dir(root.join("docs")).expect("docs/") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name in UTF-8");
        if name.ends_with(".md") {
            pages.push(format!("docs/{name}"));
        }
    }
    pages.sort();
    pages
}

/// The blocks of `page`, a path from the project's root.
pub fn blocks(page: &str) -> Vec<Block> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{page}: {error}"));
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for (number, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), open) {
            (Some(language), false) => {
                let (page, language) = (page.to_owned(), language.to_owned());
                blocks.push(Block { page, line: number + 1, language, text: String::new() });
                open = true;
            }
            (Some(_), true) => open = false,
            (None, true) => {
                let block = blocks.last_mut().expect("a block is open");
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, false) => {}
        }
    }
    assert!(!open, "{page}: a fence is not closed");
    blocks
}

/// The command block of `page` that begins with `beginning`.
pub fn block(page: &str, beginning: &str) -> Block {
    let mut found: Vec<Block> = blocks(page).into_iter().filter(|b| b.text.starts_with(beginning)).collect();
    assert_eq!(found.len(), 1, "blocks of {page} that begin with {beginning:?}");
    found.remove(0)
}

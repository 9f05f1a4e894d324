//! Reads source files as a compiler would, and lists every path that their code names.
//!
//! `syn` parses a file; items under `#[cfg(test)]` are taken out; `use` trees are expanded; everything else, macros'
//! tokens included, is searched for paths. `self`, `super` and `crate` are resolved against the module's own path.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Spacing, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::visit_mut::{self, VisitMut};
use syn::{
    Attribute, Block, File, ImplItem, Item, ItemImpl, ItemMod, ItemTrait, Meta, Stmt, TraitItem, UseTree,
};

/// A path as the code names it, resolved: its first segment is `crate` (its own), a crate's name, or a local name.
#[derive(Clone, Debug)]
pub struct Named {
    pub path: Vec<String>,
    /// A macro's call: the path is followed by `!`.
    pub is_macro: bool,
    /// From a `use` tree; a glob ends in `*`.
    pub is_use: bool,
    pub line: usize,
}

/// Words that matter by themselves, wherever they stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    pub word: String,
    pub line: usize,
}

/// What the code of one file says.
#[derive(Debug, Default)]
pub struct Code {
    pub named: Vec<Named>,
    /// `unsafe`, `extern`, `static mut`, `path attribute`, `pointer format`.
    pub words: Vec<Word>,
    /// Modules that live in files of their own.
    pub modules: Vec<Module>,
}

/// `mod name;`
#[derive(Debug)]
pub struct Module {
    pub name: String,
    pub only_tests: bool,
    /// The file that a `path` attribute names, relative to the file that has it.
    pub path: Option<String>,
}

/// Reads `text`, the file of module `module` (`["ft", "node"]`; empty for the crate's root).
pub fn read(text: &str, module: &[String]) -> Code {
    let mut file: File =
        syn::parse_file(text).unwrap_or_else(|error| panic!("{module:?} does not parse: {error}"));
    let mut code = Code::default();
    read_items(&mut file.items, module, &mut code);
    code
}

fn read_items(items: &mut Vec<Item>, module: &[String], code: &mut Code) {
    let mut strip = Strip::default();
    strip.items(items);
    for item in items.iter_mut() {
        strip.visit_item_mut(item);
    }
    for (tree, line) in &strip.uses {
        expand(tree, &mut Vec::new(), *line, module, code);
    }
    for item in &strip.files {
        let only_tests = is_test(&item.attrs);
        let path = item.attrs.iter().find_map(path_attribute);
        if !only_tests && path.is_some() {
            code.words.push(Word { word: "path attribute".into(), line: line(item.ident.span()) });
        }
        code.modules.push(Module { name: item.ident.to_string(), only_tests, path });
    }
    for item in items.iter() {
        tokens(item.to_token_stream(), module, code);
    }
    for (name, mut inner) in strip.inline {
        let mut deeper = module.to_vec();
        deeper.push(name);
        read_items(&mut inner, &deeper, code);
    }
}

fn line(span: Span) -> usize {
    span.start().line
}

/// What `#[path = ".."]` says.
fn path_attribute(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else { return None };
    let text = pair.path.is_ident("path").then(|| pair.value.to_token_stream().to_string())?;
    Some(text.trim_matches('"').to_owned())
}

/// Whether an item is there only for tests.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || match &attribute.meta {
                Meta::List(list) if list.path.is_ident("cfg") => needs_test(list.tokens.clone()),
                _ => false,
            }
    })
}

/// Whether a `cfg` predicate holds only under test: `test`, or `all(..)` with such a part.
fn needs_test(predicate: TokenStream) -> bool {
    let trees: Vec<TokenTree> = predicate.into_iter().collect();
    match trees.as_slice() {
        [TokenTree::Ident(word)] => word == "test",
        [TokenTree::Ident(word), TokenTree::Group(parts)] if word == "all" => {
            let parts: Vec<TokenTree> = parts.stream().into_iter().collect();
            parts
                .split(|tree| matches!(tree, TokenTree::Punct(punct) if punct.as_char() == ','))
                .any(|part| needs_test(part.iter().cloned().collect()))
        }
        _ => false,
    }
}

fn attributes_of(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Takes out what is only for tests, and puts `use` trees and modules aside.
#[derive(Default)]
struct Strip {
    uses: Vec<(UseTree, usize)>,
    inline: Vec<(String, Vec<Item>)>,
    files: Vec<ItemMod>,
}

impl Strip {
    fn items(&mut self, items: &mut Vec<Item>) {
        items.retain_mut(|item| self.keeps(item));
    }

    fn keeps(&mut self, item: &mut Item) -> bool {
        match item {
            Item::Mod(inner) if inner.content.is_none() => {
                self.files.push(inner.clone());
                false
            }
            _ if is_test(attributes_of(item)) => false,
            Item::Use(import) => {
                self.uses.push((import.tree.clone(), line(import.use_token.span)));
                false
            }
            Item::Mod(inner) => {
                if let Some((_, items)) = inner.content.take() {
                    self.inline.push((inner.ident.to_string(), items));
                }
                false
            }
            _ => true,
        }
    }
}

impl VisitMut for Strip {
    fn visit_block_mut(&mut self, block: &mut Block) {
        block.stmts.retain_mut(|stmt| match stmt {
            Stmt::Item(item) => self.keeps(item),
            Stmt::Local(local) => !is_test(&local.attrs),
            Stmt::Macro(call) => !is_test(&call.attrs),
            Stmt::Expr(..) => true,
        });
        visit_mut::visit_block_mut(self, block);
    }

    fn visit_item_impl_mut(&mut self, item: &mut ItemImpl) {
        item.items.retain(|item| match item {
            ImplItem::Fn(item) => !is_test(&item.attrs),
            ImplItem::Const(item) => !is_test(&item.attrs),
            _ => true,
        });
        visit_mut::visit_item_impl_mut(self, item);
    }

    fn visit_item_trait_mut(&mut self, item: &mut ItemTrait) {
        item.items.retain(|item| !matches!(item, TraitItem::Fn(item) if is_test(&item.attrs)));
        visit_mut::visit_item_trait_mut(self, item);
    }
}

/// Every leaf of a `use` tree.
fn expand(tree: &UseTree, prefix: &mut Vec<String>, line: usize, module: &[String], code: &mut Code) {
    let mut leaf = |last: Option<String>, prefix: &[String]| {
        let mut path = prefix.to_vec();
        path.extend(last.filter(|last| last != "self" || prefix.is_empty()));
        code.named.push(Named { path: resolve(path, module), is_macro: false, is_use: true, line });
    };
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            expand(&path.tree, prefix, line, module, code);
            prefix.pop();
        }
        UseTree::Name(name) => leaf(Some(name.ident.to_string()), prefix),
        UseTree::Rename(rename) => leaf(Some(rename.ident.to_string()), prefix),
        UseTree::Glob(_) => leaf(Some("*".into()), prefix),
        UseTree::Group(group) => {
            for tree in &group.items {
                expand(tree, prefix, line, module, code);
            }
        }
    }
}

/// `self::` and `super::` in front give way to `crate::` and the module's path.
fn resolve(path: Vec<String>, module: &[String]) -> Vec<String> {
    let mut here: Vec<String> = module.to_vec();
    let mut rest = path.as_slice();
    let mut relative = false;
    while let Some(first) = rest.first() {
        match first.as_str() {
            "self" => relative = true,
            "super" => {
                relative = true;
                here.pop();
            }
            _ => break,
        }
        rest = &rest[1..];
    }
    if !relative {
        return path;
    }
    let mut whole = vec!["crate".to_owned()];
    whole.extend(here);
    whole.extend(rest.iter().cloned());
    whole
}

/// Searches tokens for paths and words.
fn tokens(stream: TokenStream, module: &[String], code: &mut Code) {
    let trees: Vec<TokenTree> = stream.into_iter().collect();
    let colons = |at: usize| {
        matches!(trees.get(at), Some(TokenTree::Punct(p)) if p.as_char() == ':' && p.spacing() == Spacing::Joint)
            && matches!(trees.get(at + 1), Some(TokenTree::Punct(p)) if p.as_char() == ':')
    };
    let ident = |at: usize| match trees.get(at) {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    };
    let mut at = 0;
    while at < trees.len() {
        match &trees[at] {
            TokenTree::Group(group) => {
                tokens(group.stream(), module, code);
                at += 1;
            }
            TokenTree::Literal(literal) => {
                if literal.to_string().contains(":p}") {
                    code.words.push(Word { word: "pointer format".into(), line: line(literal.span()) });
                }
                at += 1;
            }
            TokenTree::Punct(_) => at += 1,
            TokenTree::Ident(first) => {
                let line = line(first.span());
                let first = first.to_string();
                let word = match first.as_str() {
                    "unsafe" | "extern" => Some(first.clone()),
                    "static" if ident(at + 1).as_deref() == Some("mut") => Some("static mut".into()),
                    _ => None,
                };
                code.words.extend(word.map(|word| Word { word, line }));
                // `Type::<T>::name` and `<T>::name`: the name belongs to what stands before it.
                let goes_on = at >= 3
                    && colons(at - 2)
                    && matches!(&trees[at - 3], TokenTree::Ident(_) | TokenTree::Punct(_))
                    && !matches!(&trees[at - 3], TokenTree::Punct(p) if p.as_char() != '>');
                let is_lifetime =
                    at >= 1 && matches!(&trees[at - 1], TokenTree::Punct(p) if p.as_char() == '\'');
                let mut path = vec![first];
                at += 1;
                while colons(at) {
                    let Some(next) = ident(at + 2) else { break };
                    path.push(next);
                    at += 3;
                }
                let is_macro = matches!(trees.get(at), Some(TokenTree::Punct(p)) if p.as_char() == '!')
                    && matches!(trees.get(at + 1), Some(TokenTree::Group(group)) if group.delimiter() != Delimiter::None);
                // `name!` alone matters, too; other single words are local names.
                if !goes_on && !is_lifetime && (path.len() > 1 || is_macro) {
                    code.named.push(Named { path: resolve(path, module), is_macro, is_use: false, line });
                }
            }
        }
    }
}

/// A file of the crate: where it is, its module's path, what its code says.
pub struct Source {
    pub file: PathBuf,
    pub module: Vec<String>,
    pub code: Code,
}

/// Every file of the library that is no test's, found as the compiler finds them: from `lib.rs` by its modules. Also
/// the files under `src/` that no module names.
pub fn crate_sources(src: &Path) -> (Vec<Source>, Vec<PathBuf>) {
    let mut found = Vec::new();
    let mut reached = BTreeSet::from([src.join("main.rs")]);
    walk(src, &src.join("lib.rs"), src, Vec::new(), false, &mut found, &mut reached);
    let mut all = Vec::new();
    files_under(src, &mut all);
    let unreached = all.into_iter().filter(|file| !reached.contains(file)).collect();
    (found, unreached)
}

/// Reads `file` and the modules in files of their own that it names; those lie in `dir`, or where an attribute says.
fn walk(
    src: &Path,
    file: &Path,
    dir: &Path,
    module: Vec<String>,
    only_tests: bool,
    found: &mut Vec<Source>,
    reached: &mut BTreeSet<PathBuf>,
) {
    reached.insert(file.to_owned());
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let code = read(&text, &module);
    for Module { name, only_tests: for_tests, path } in &code.modules {
        let beside = file.parent().expect("a file lies in a directory");
        let candidates = match path {
            Some(path) => {
                let path = beside.join(path);
                let inner = path.parent().expect("a file lies in a directory").to_owned();
                vec![(path, inner)]
            }
            None => vec![
                (dir.join(format!("{name}.rs")), dir.join(name)),
                (dir.join(name).join("mod.rs"), dir.join(name)),
            ],
        };
        let path = candidates.iter().find(|(path, _)| path.is_file());
        let (path, inner) =
            path.unwrap_or_else(|| panic!("{} has no file for its module {name}", file.display()));
        let mut deeper = module.clone();
        deeper.push(name.clone());
        walk(src, path, inner, deeper, only_tests || *for_tests, found, reached);
    }
    if !only_tests {
        found.push(Source {
            file: file.strip_prefix(src).expect("a file under src").to_owned(),
            module,
            code,
        });
    }
}

fn files_under(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a directory of the project") {
        let path = entry.expect("an entry of it").path();
        if path.is_dir() {
            files_under(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

//! Each known way past the walls, and the complaint that it must get.

use super::judge::violations;
use super::scan::read;

/// Judges `text` as the file of `module`.
fn judged(module: &str, text: &str) -> Vec<String> {
    let path: Vec<String> = module.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let file = if path.is_empty() { "lib.rs".to_owned() } else { format!("{}.rs", path.join("/")) };
    let crates = ["rustix", "serde", "memmap2", "crossbeam_channel"].map(str::to_owned);
    violations(&file, &path, &read(text, &path), &crates)
}

#[track_caller]
fn refused(module: &str, text: &str, word: &str) {
    let found = judged(module, text);
    assert!(found.iter().any(|line| line.contains(word)), "{text:?} in {module}: {found:?} has no {word:?}");
}

#[track_caller]
fn accepted(module: &str, text: &str) {
    assert_eq!(judged(module, text), Vec::<String>::new(), "{text:?} in {module}");
}

#[test]
fn upward_imports_are_seen_in_groups() {
    refused("cpu", "use crate::{base::Icount, machine::Machine};", "names machine");
    refused("cpu", "use crate::{base, host::{self, os}};", "names host");
    accepted("machine", "use crate::{base::Icount, cpu::{Hart, Trap}};");
}

#[test]
fn upward_imports_are_seen_through_super() {
    refused("ft::node", "use super::super::host::link;", "names host");
    refused("ft::node", "fn f() { super::super::inspect::dump() }", "names inspect");
    refused("ft", "use super::host;", "names host");
    refused("ft::node", "mod inner { use super::super::super::cli; }", "names cli");
    accepted(
        "ft::node",
        "use super::gate::Gate; use super::super::net_like::X;".split(" use super::super").next().unwrap(),
    );
}

#[test]
fn siblings_on_a_floor_import_nothing_from_each_other() {
    refused("ft", "use crate::net::Fence;", "names net");
    refused("isa", "fn f(r: &crate::mem::Ram) {}", "names mem");
    refused("log", "type S = Vec<crate::snapshot::Chunk>;", "names snapshot");
}

#[test]
fn the_root_is_no_way_around() {
    refused("cpu", "use crate::*;", "root");
    refused("cpu", "use crate as all; fn f() { all::host::os::draw_u64(); }", "root");
    refused("cpu::hart", "use super::super as all;", "root");
    refused("cpu", "use crate::something;", "no room");
    refused("", "pub use host::os::wall_clock_ns; pub use crate::host;", "root only lists");
    refused("", "mod attic;", "no floor");
    accepted("", "pub mod base; pub mod host; #[cfg(test)] mod helpers;");
}

#[test]
fn code_behind_tests_is_still_code() {
    let after = "#[cfg(test)] mod tests { use std::time::Instant; } fn f() { std::thread::yield_now(); }";
    refused("cpu", after, "std::thread::yield_now");
    let inside =
        "impl A { #[cfg(test)] fn t() { std::thread::yield_now(); } fn f() { std::process::id(); } }";
    refused("cpu", inside, "std::process::id");
    refused("cpu", "#[cfg(any(test, feature = \"x\"))] fn f() { std::thread::yield_now(); }", "std::thread");
    refused("cpu", "#[cfg(not(test))] fn f() { std::thread::yield_now(); }", "std::thread");
    accepted("cpu", "#[cfg(test)] mod tests { use std::time::Instant; use crate::cli; }");
    accepted("cpu", "#[cfg(all(test, unix))] fn f() { std::thread::yield_now(); }");
    accepted("cpu", "impl A { #[cfg(test)] fn t() { std::thread::yield_now(); } }");
    accepted("cpu", "fn f() { #[cfg(test)] std::thread::yield_now!(); }");
}

#[test]
fn the_host_is_seen_however_it_is_written() {
    refused("cpu", "use std::{fmt, time::Instant};", "std::time::Instant");
    refused("cpu", "use std::time as t;", "std::time");
    refused("cpu", "use std as s; fn f() { s::process::id(); }", "names std,");
    refused("cpu", "use ::std::time::Instant;", "std::time");
    refused("cpu", "fn f() { ::std::process::abort() }", "std::process");
    refused("cpu", "fn f() { let t = <std::time::Instant as Clone>::clone; }", "std::time");
    refused("cpu", "use std::collections::*;", "std::collections");
    refused(
        "cpu",
        "use std::collections::{self, BTreeMap}; type M = collections::HashMap<u8, u8>;",
        "std::collections,",
    );
    refused("cpu", "use std::collections::{BTreeMap, HashMap};", "HashMap");
    refused("cpu", "fn f() -> std::sync::Arc<u8> { todo!() }", "std::sync");
    refused("cpu", "macro_rules! now { () => { std::time::Instant::now() } }", "std::time");
    refused("cpu", "macro_rules! now { () => { $crate::host::os::wall_clock_ns() } }", "names host");
    refused("cpu", "fn f() { let s = vec![std::env::args()]; }", "std::env");
    accepted("cpu", "use std::{fmt, mem::take, collections::{BTreeMap, VecDeque}};");
    accepted("host", "use std::{thread, time::Instant};");
}

#[test]
fn processor_counters_and_foreign_code_are_seen() {
    refused("cpu", "use core::arch::x86_64::*; fn f() -> u64 { unsafe { _rdtsc() } }", "core::arch");
    refused("cpu", "fn f() -> u64 { unsafe { core::arch::x86_64::_rdtsc() } }", "unsafe");
    refused("cpu", "unsafe extern \"C\" { fn time(t: *mut i64) -> i64; }", "outside of Rust");
    refused("cpu", "extern crate std as s;", "outside of Rust");
    refused("cpu", "fn f() { asm!(\"rdtsc\") }", "asm!");
    refused("host::os", "fn f() { unsafe { g() } }", "unsafe");
    accepted(
        "engine::x64::exec",
        "fn f() -> u32 { unsafe { let run: extern \"sysv64\" fn() -> u32 = g(); run() } }",
    );
    refused("engine::x64::emit", "fn f(run: extern \"sysv64\" fn()) { run() }", "outside of Rust");
    accepted("host::logdir::map", "fn f() { unsafe { g() } }");
}

#[test]
fn crates_are_seen_without_an_import() {
    refused("cpu", "fn f(b: &mut [u8]) { rustix::rand::getrandom(b, flags()); }", "names rustix");
    refused("cpu", "use rustix as r;", "names rustix");
    refused("net", "use crossbeam_channel::{Receiver, Sender};", "names crossbeam_channel");
    refused("mem::bytes", "use memmap2::{MmapMut, MmapOptions};", "memmap2::MmapOptions");
    refused("mem::ram", "use memmap2::MmapMut;", "memmap2::MmapMut");
    accepted("mem::bytes", "use memmap2::MmapMut;");
    accepted("host", "use rustix::event::epoll;");
    accepted("cpu", "fn f(serde: u8) -> u8 { serde }");
}

#[test]
fn speaking_to_the_host_is_seen() {
    refused("cpu", "fn f() { println!(\"x\") }", "println!");
    refused("ft", "fn f() { if x() { dbg!(3); } }", "dbg!");
    refused("cpu", "fn f() -> &'static str { option_env!(\"HOME\").unwrap() }", "option_env!");
    refused("cpu", "thread_local! { static X: u8 = 1; }", "thread_local!");
    refused("cpu", "include!(\"other.rs\");", "include!");
    refused("cpu", "#[path = \"../host/os.rs\"] mod os;", "path of its own");
    refused("cpu", "static mut X: u8 = 0;", "changes");
    refused("cpu", "fn f(x: &u8) -> String { format!(\"{x:p}\") }", "address");
    accepted("cpu", "fn f() { assert!(true, \"words\"); }");
}

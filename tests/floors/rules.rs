//! What each room may name.

/// The floors from the ground up. Rooms on one floor are siblings.
pub const FLOORS: &[&[&str]] = &[
    &["base"],
    &["isa", "mem"],
    &["engine"],
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

/// The first floor above the line.
pub const LINE: usize = 10;

/// Index of the floor on which `room` stands.
pub fn floor_of(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// Whether `room` belongs to the deterministic core.
pub fn is_below_the_line(room: &str) -> bool {
    floor_of(room).is_some_and(|floor| floor < LINE)
}

/// What the deterministic floors may use of `std`, `core` and `alloc`, by the path's beginning. Everything else could
/// differ between two runs, or is not needed.
pub const STD_BELOW: &[&str] = &[
    "array",
    "borrow",
    "cell::Cell",
    "cmp",
    "collections::BTreeMap",
    "collections::BTreeSet",
    "collections::BinaryHeap",
    "collections::VecDeque",
    "collections::btree_map",
    "collections::vec_deque",
    "convert",
    "error",
    "fmt",
    "hint",
    "iter",
    "marker",
    "mem",
    // Addresses are numbers here; sockets are std::net's others.
    "net::IpAddr",
    "net::Ipv4Addr",
    "net::Ipv6Addr",
    "net::SocketAddr",
    "net::SocketAddrV4",
    "net::SocketAddrV6",
    "num",
    "ops",
    "option",
    "result",
    "slice",
    "str",
    "string",
    "vec",
];

/// Macros by which the deterministic floors would speak to the host, or hide code from this test.
pub const MACROS_BELOW_NOT: &[&str] = &[
    "asm",
    "dbg",
    "env",
    "eprint",
    "eprintln",
    "global_asm",
    "include",
    "naked_asm",
    "option_env",
    "print",
    "println",
    "thread_local",
];

/// The crates that each room may name. `host`, `lab` and `cli` list what they have today, so that a new crate is a
/// decision.
pub fn crates_of(room: &str) -> &'static [&'static str] {
    match room {
        "base" => &["serde", "thiserror", "xxhash_rust"],
        "isa" => &[],
        "engine" => &["memmap2", "rustix", "thiserror"],
        "mem" => &["memmap2", "serde", "thiserror"],
        "cpu" => &["serde", "thiserror"],
        "devices" => &["serde", "thiserror"],
        "machine" => &["object", "postcard", "serde", "thiserror", "vm_fdt"],
        "log" => &["crc32fast", "lz4_flex", "serde", "thiserror"],
        "snapshot" => &["crc32fast", "lz4_flex", "postcard", "thiserror"],
        "replay" => &["serde", "thiserror"],
        "ft" => &["crc32fast", "lz4_flex", "postcard", "serde", "serde_json", "sha2", "thiserror"],
        "net" => &["serde", "serde_json", "smoltcp", "thiserror"],
        "inspect" => &["serde", "serde_json", "smoltcp", "thiserror"],
        "sim" => &["serde", "smoltcp"],
        "host" => &[
            "base64",
            "byteorder",
            "crc32fast",
            "crossbeam_channel",
            "jiff",
            "memmap2",
            "procfs",
            "rustix",
            "serde",
            "serde_json",
            "signal_hook",
            "thiserror",
            "thread_priority",
            "tun_rs",
            "ureq",
            "xxhash_rust",
        ],
        "lab" => &["clap", "crossbeam_channel", "rustix", "serde", "serde_json", "smoltcp", "thiserror"],
        "cli" => &["clap", "object", "serde", "serde_json", "signal_hook", "thiserror"],
        _ => &[],
    }
}

/// Single names that a file may use beyond its room's rules: file, path, and why.
pub const EXCEPTIONS: &[(&str, &str, &str)] = &[
    (
        "isa/float/fast.rs",
        "std::arch::is_x86_feature_detected",
        "a fused multiply-add is exact in hardware and in software alike",
    ),
    (
        "engine/mod.rs",
        "std::env::var_os",
        "the unit tests, and nothing else, run under the engine that is named there",
    ),
    ("engine/mod.rs", "std::sync::atomic", "which engine a process uses never shows"),
    (
        "engine/tlb.rs",
        "std::cell::OnceCell",
        "entries are made when they are first looked for; empty ones never show",
    ),
    (
        "engine/x64/mod.rs",
        "std::arch::is_x86_feature_detected",
        "what the host has shows in nothing but speed",
    ),
    ("engine/x64/exec.rs", "memmap2::MmapMut", "code is in memory that is mapped twice"),
    ("engine/x64/exec.rs", "memmap2::Mmap", "the view that is executed"),
    ("engine/x64/exec.rs", "memmap2::MmapOptions", "maps the views"),
    ("engine/x64/exec.rs", "rustix::fs", "a memory file has no name: it is memory"),
    (
        "engine/x64/exec.rs",
        "std::ptr",
        "the addresses that translated code works with; none is kept or shown",
    ),
    ("engine/x64/exec.rs", "std::os::fd::OwnedFd", "the memory file"),
    ("engine/x64/exec.rs", "std::io", "why there is none"),
    ("engine/x64/mod.rs", "std::io", "why there is no memory for code"),
    ("mem/bytes.rs", "memmap2::MmapMut", "RAM is an anonymous mapping: memory that no file is behind"),
    ("mem/bytes.rs", "memmap2::Advice::HugePage", "RAM is in huge pages"),
];

/// Crates of which a room may use nothing but its [`EXCEPTIONS`].
pub const ONLY_BY_EXCEPTION: &[(&str, &str)] =
    &[("mem", "memmap2"), ("engine", "memmap2"), ("engine", "rustix")];

/// Files of the deterministic floors that may name functions which are not Rust's: translated code is called.
pub const FOREIGN_FILES: &[&str] = &["engine/x64/exec.rs"];

/// Files that may hold `unsafe` code; each block says SAFETY.
pub const UNSAFE_FILES: &[&str] = &["engine/x64/exec.rs", "host/logdir/map.rs", "isa/float/fast.rs"];

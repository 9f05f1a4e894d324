//! `lockstep store ls`: whose store it is, what it has, and how it was left.
//!
//! *Absent:* the life's number, which is a secret of its nodes and their switch. The store's own number tells it from
//! every other.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{Looking, s};
use crate::cli::Failure;
use crate::cli::past::unusable;
use crate::host::os::{time_of_day_text, wall_clock_ns};
use crate::host::say::{put, say};
use crate::host::store::{Check, CheckpointInfo, Findings, StoreReader, is_distrusted};
use crate::inspect::picture::{bytes_text, grouped};

const NS_PER_S: u64 = 1_000_000_000;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    of: Looking,
}

pub fn run(args: &Args) -> Result<u8, Failure> {
    let store = StoreReader::glance(&args.of.dir, Check::SinceNewest).map_err(unusable)?;
    let found = store.found();
    for fault in &found.faults {
        say!("lockstep: {fault}");
    }
    if is_distrusted(&args.of.dir) {
        say!("lockstep: the node of this store has diverged: no process goes on from it");
    }
    let now_ns = wall_clock_ns();
    match args.of.json {
        true => put!("{}", to_json(&store, args, now_ns))?,
        false => put!("{}", to_text(&store, now_ns).trim_end())?,
    }
    Ok(0)
}

/// How its last process left it, in words.
fn left(store: &StoreReader) -> String {
    match &store.found().tail {
        _ if store.is_in_use() => "in use: a process goes on with it".into(),
        None => "damaged: where the log ends cannot be told".into(),
        Some(tail) if tail.torn_bytes > 0 => {
            let bytes = tail.torn_bytes;
            format!("cut off while it was written: a torn tail of {bytes} bytes, which the next start cuts")
        }
        Some(tail) if tail.closed => "closed".into(),
        Some(_) => "not closed; the log ends with a whole batch".into(),
    }
}

/// How long ago, in words.
fn age_text(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn age_s(checkpoint: &CheckpointInfo, now_ns: u64) -> u64 {
    now_ns.saturating_sub(checkpoint.saved_ns) / NS_PER_S
}

fn bytes_of_checkpoints(found: &Findings) -> u64 {
    found.checkpoints.iter().map(|checkpoint| checkpoint.bytes).sum()
}

fn bytes_of_log(found: &Findings) -> u64 {
    found.segments.iter().map(|(_, bytes)| bytes).sum()
}

/// A store's text, safe to print.
fn printable(text: &str) -> String {
    text.escape_debug().to_string()
}

fn to_text(store: &StoreReader, now_ns: u64) -> String {
    let found = store.found();
    let mut out = String::new();
    let mut line =
        |words: std::fmt::Arguments<'_>| writeln!(out, "{words}").expect("a string takes anything");
    let identity = &found.identity;
    line(format_args!("vm            {}", printable(&identity.vm)));
    line(format_args!("guest         {}", printable(&identity.guest)));
    line(format_args!("guest digest  {}", identity.guest_digest));
    line(format_args!("RAM           {} MiB", identity.ram_bytes >> 20));
    line(format_args!("store         {:016x}", identity.id));
    match found.segments.first() {
        Some((first, _)) if *first <= found.last() => {
            line(format_args!("entries       {first} to {}", found.last()))
        }
        _ => line(format_args!("entries       none")),
    }
    if let Some(reached) = &found.reached {
        let (position, generation) = (grouped(found.end().get()), reached.generation);
        line(format_args!("ends          at position {position}, in generation {generation}"));
    }
    line(format_args!("checkpoints   {}", found.checkpoints.len()));
    if !found.checkpoints.is_empty() {
        line(format_args!(
            "{:>14} {:>14} {:>18} {:>10}  {:<20} {:>5} {:>9}  digest",
            "after entry", "builds on", "position", "generation", "saved", "age", "bytes"
        ));
    }
    for checkpoint in &found.checkpoints {
        let meta = &checkpoint.meta;
        let (seq, saved) = (meta.seq.get(), time_of_day_text(checkpoint.saved_ns));
        let (age, bytes) = (age_text(age_s(checkpoint, now_ns)), bytes_text(checkpoint.bytes));
        let (position, generation, digest) = (meta.icount.get(), meta.generation.get(), meta.digest);
        let base = meta.base.map_or_else(|| "-".to_owned(), |base| base.get().to_string());
        line(format_args!(
            "{seq:>14} {base:>14} {position:>18} {generation:>10}  {saved:<20} {age:>5} {bytes:>9}  {digest}"
        ));
    }
    let segments = found.segments.len();
    line(format_args!(
        "size          {}: checkpoints {}, log {} in {segments} segment{}, spare files {}",
        bytes_text(found.bytes),
        bytes_text(bytes_of_checkpoints(found)),
        bytes_text(bytes_of_log(found)),
        s(segments),
        bytes_text(found.bytes_spare)
    ));
    line(format_args!("left          {}", left(store)));
    if !found.faults.is_empty() {
        line(format_args!("damage        {} (see `lockstep store verify`)", found.faults.len()));
    }
    out
}

fn to_json(store: &StoreReader, args: &Args, now_ns: u64) -> Value {
    let found = store.found();
    let identity = &found.identity;
    let checkpoint = |checkpoint: &CheckpointInfo| {
        let meta = &checkpoint.meta;
        json!({
            "seq": meta.seq,
            "builds_on": meta.base,
            "icount": meta.icount,
            "generation": meta.generation,
            "digest": meta.digest,
            "saved": time_of_day_text(checkpoint.saved_ns),
            "saved_ns": checkpoint.saved_ns,
            "age_s": age_s(checkpoint, now_ns),
            "bytes": checkpoint.bytes,
        })
    };
    let faults: Vec<String> = found.faults.iter().map(ToString::to_string).collect();
    json!({
        "dir": args.of.dir,
        "vm": identity.vm,
        "guest": identity.guest,
        "guest_digest": identity.guest_digest,
        "ram_bytes": identity.ram_bytes,
        "id": format!("{:016x}", identity.id),
        "seq_first": found.segments.first().map(|(first, _)| first),
        "seq_last": found.last(),
        "icount_last": found.end(),
        "generation": found.reached.map(|reached| reached.generation),
        "checkpoints": found.checkpoints.iter().map(checkpoint).collect::<Vec<_>>(),
        "segments": found.segments.len(),
        "bytes": found.bytes,
        "bytes_checkpoints": bytes_of_checkpoints(found),
        "bytes_log": bytes_of_log(found),
        "bytes_spare": found.bytes_spare,
        "left": left(store),
        "in_use": store.is_in_use(),
        "diverged": is_distrusted(&args.of.dir),
        "closed": !store.is_in_use() && found.tail.is_some_and(|tail| tail.closed && tail.torn_bytes == 0),
        "torn_bytes": found.tail.map(|tail| tail.torn_bytes),
        "damages": faults,
    })
}

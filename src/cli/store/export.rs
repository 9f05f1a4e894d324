//! `lockstep store export`: a recording that starts at a checkpoint, and has all the log behind it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::super::past::{Progress, seq, unusable};
use crate::base::{Generation, Seq};
use crate::cli::{Failure, arg};
use crate::host::logdir::{BASE_NAME, BASE_PART_NAME, LogDir, LogError, LogWriter};
use crate::host::say::put;
use crate::host::store::{Check, CheckpointInfo, StoreError, StoreReader};
use crate::inspect::picture::bytes_text;
use crate::log::{Event, Frame, FrameBuilder, FrameError, Lineage, Payloads};
use crate::snapshot::Encoder;

#[derive(clap::Args)]
pub struct Args {
    /// The store's directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The recording's directory, which is made
    #[arg(value_name = "OUT")]
    out: PathBuf,
    /// Start at the checkpoint after this entry, as `lockstep store ls` numbers them [default: the oldest]
    #[arg(long, value_name = "CHECKPOINT", value_parser = seq)]
    from: Option<Seq>,
    /// One JSON object: out, seq, icount, seq_last, bytes
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<u8, Failure> {
    arg::record(Some(&args.out))?;
    let store = StoreReader::open_whole(&args.dir, Check::SinceNewest).map_err(unusable)?;
    let checkpoints = &store.found().checkpoints;
    let from = match args.from {
        None => checkpoints.first().copied(),
        Some(seq) => checkpoints.iter().find(|kept| kept.meta.seq == seq).copied(),
    };
    let Some(from) = from else { return Err(no_checkpoint(args, checkpoints)) };
    let was_there = args.out.symlink_metadata().is_ok();
    let mut is_begun = false;
    match write(&store, &from, &args.out, &mut is_begun) {
        Ok(bytes) => {
            let (seq, at, last) = (from.meta.seq, from.meta.icount, store.found().last());
            if args.json {
                let (out, icount) = (&args.out, at);
                put!(
                    "{}",
                    json!({ "out": out, "seq": seq, "icount": icount, "seq_last": last, "bytes": bytes })
                )?;
                return Ok(0);
            }
            put!(
                "{}: a recording from the checkpoint after entry {seq}, at {at}, to entry {last}, {} of log",
                args.out.display(),
                bytes_text(bytes)
            )?;
            Ok(0)
        }
        Err(failure) => {
            // What another process has begun there meanwhile is not this one's to remove.
            if is_begun {
                remove(&args.out, was_there);
            }
            Err(failure)
        }
    }
}

fn no_checkpoint(args: &Args, checkpoints: &[CheckpointInfo]) -> Failure {
    let kept: Vec<String> = checkpoints.iter().map(|kept| kept.meta.seq.to_string()).collect();
    let seq = args.from.unwrap_or_default();
    Failure::new(format!("the store {} has no checkpoint after entry {seq}", args.dir.display()))
        .fix(format!("name one that it has: {}", kept.join(", ")))
}

/// Writes the recording; answers with the bytes of its segments. `is_begun` once there is something to remove.
fn write(
    store: &StoreReader,
    from: &CheckpointInfo,
    out: &Path,
    is_begun: &mut bool,
) -> Result<u64, Failure> {
    let meta = from.meta;
    let lineage = Lineage {
        base_seq: meta.seq,
        base_icount: meta.icount,
        base_digest: meta.digest,
        ..store.found().identity.lineage()
    };
    // It may be an increment, and a recording's base is not.
    let base = store.restore(meta.seq).map_err(unusable)?.save();
    let created = LogWriter::create(out, lineage, meta.generation, Encoder::new(base));
    *is_begun = !matches!(created, Err(LogError::Occupied { .. }));
    let mut writer = created.map_err(Failure::of_recording)?;
    let mut progress = Progress::begin();
    for frame in store.frames_after(meta.seq).map_err(unusable)? {
        let frame = frame.map_err(unusable)?;
        append(&mut writer, &frame, meta.seq)?;
        progress.tell_if_due("store export", || format!("{} written", bytes_text(writer.bytes_total())));
    }
    let bytes = writer.bytes_total();
    writer.close().map_err(Failure::of_recording)?;
    Ok(bytes)
}

/// Appends the entries of a frame that come after entry `done`.
fn append(writer: &mut LogWriter, frame: &[u8], done: Seq) -> Result<(), Failure> {
    let undecodable = |why: FrameError| unusable(StoreError::NotAFrame { why });
    let checked = Frame::check(frame).map_err(undecodable)?;
    let appended = if checked.first_seq() > done {
        writer.append(frame)
    } else {
        // A recording begins with a whole frame.
        let mut rest = FrameBuilder::new();
        for entry in checked.entries() {
            let entry = entry.map_err(undecodable)?;
            if entry.seq > done {
                rest.push(&entry);
            }
        }
        writer.append(&rest.finish())
    };
    appended.map_err(Failure::of_recording)?;
    if let Some(generation) = last_generation(&checked).map_err(undecodable)? {
        writer.set_generation(generation);
    }
    Ok(())
}

/// The generation after a frame's entries, if one began among them.
fn last_generation(frame: &Frame<'_>) -> Result<Option<Generation>, FrameError> {
    let (mut cursor, mut last) = (frame.cursor(), None);
    while !cursor.is_done() {
        let entry = cursor.next_in(frame.bytes(), Payloads::LeftOut)?;
        if let Event::Generation { generation, .. } = entry.event {
            last = Some(generation);
        }
    }
    Ok(last)
}

/// Removes what was written of a recording that failed: part of one would look like all there was. What cannot be
/// removed stays.
fn remove(out: &Path, was_there: bool) {
    let segments = LogDir::open(out).map(|log| log.segments().to_vec()).unwrap_or_default();
    let bases = [BASE_NAME, BASE_PART_NAME].map(|name| out.join(name));
    for path in segments.into_iter().map(|segment| segment.path).chain(bases) {
        match fs::remove_file(path) {
            Ok(()) | Err(_) => {}
        }
    }
    if !was_there {
        match fs::remove_dir(out) {
            Ok(()) | Err(_) => {}
        }
    }
}

//! `lockstep store verify`: whether all of a store is whole, and is one history.
//!
//! Every byte of checkpoints and log is read and checked. Then the log is replayed from each checkpoint to the next,
//! which must come out the same, and from the newest to the end.

use serde_json::json;

use super::{Looking, s};
use crate::base::Seq;
use crate::cli::Failure;
use crate::cli::past::{self, Progress, Unfollowed, unusable};
use crate::host::say::put;
use crate::host::store::{Check, CheckpointInfo, Findings, StoreReader};
use crate::inspect::picture::{bytes_text, grouped};
use crate::log::Payloads;
use crate::replay::{Followed, Replayer};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    of: Looking,
    /// Read and check all of it, and replay nothing
    #[arg(long)]
    quick: bool,
}

pub fn run(args: &Args) -> Result<u8, Failure> {
    let (mut progress, mut bytes) = (Progress::begin(), 0);
    let has_read = |more| {
        bytes += more;
        progress.tell_if_due("store verify", || format!("{} read", bytes_text(bytes)));
    };
    let store = StoreReader::open_watched(&args.of.dir, Check::All, has_read).map_err(unusable)?;
    let found = store.found();
    let mut verdict =
        Verdict { faults: found.faults.iter().map(ToString::to_string).collect(), ..Verdict::default() };
    if !args.quick {
        replay_all(&store, &mut verdict);
    }
    let is_whole = verdict.faults.is_empty();
    match args.of.json {
        true => put!("{}", to_json(args, found, &verdict))?,
        false => {
            for fault in &verdict.faults {
                put!("{fault}")?;
            }
            put!("{}", judgement(args, found, &verdict))?;
        }
    }
    Ok(u8::from(!is_whole))
}

/// What was found out.
#[derive(Default)]
struct Verdict {
    faults: Vec<String>,
    /// Stretches from a checkpoint to the next, or to the end, that came out the same.
    stretches: usize,
    instructions: u64,
    /// Digests in the log that were compared.
    digests: u64,
}

fn judgement(args: &Args, found: &Findings, verdict: &Verdict) -> String {
    let (dir, faults) = (args.of.dir.display(), verdict.faults.len());
    if faults > 0 {
        return format!("{dir}: damaged in {faults} place{}", s(faults));
    }
    let (last, checkpoints) = (found.last(), found.checkpoints.len());
    let torn = match found.tail.map_or(0, |tail| tail.torn_bytes) {
        0 => String::new(),
        bytes => format!("; behind that a torn tail of {bytes} bytes, which the next start cuts"),
    };
    let replayed = match args.quick {
        true => ", nothing replayed".to_owned(),
        false => format!(
            ", {} instructions replayed from each checkpoint to the next, {} digests compared: no difference",
            grouped(verdict.instructions),
            verdict.digests
        ),
    };
    format!("{dir}: whole, {checkpoints} checkpoint{}, entries up to {last}{replayed}{torn}", s(checkpoints))
}

fn to_json(args: &Args, found: &Findings, verdict: &Verdict) -> serde_json::Value {
    json!({
        "dir": args.of.dir,
        "verdict": if verdict.faults.is_empty() { "whole" } else { "damaged" },
        "checkpoints": found.checkpoints.len(),
        "seq_last": found.last(),
        "torn_bytes": found.tail.map(|tail| tail.torn_bytes),
        "replayed": !args.quick,
        "stretches": verdict.stretches,
        "instructions": verdict.instructions,
        "digests": verdict.digests,
        "damages": verdict.faults,
    })
}

/// Replays from each checkpoint to the next, and from the newest to the end.
fn replay_all(store: &StoreReader, verdict: &mut Verdict) {
    let checkpoints = &store.found().checkpoints;
    let mut progress = Progress::begin();
    for (index, from) in checkpoints.iter().enumerate() {
        let to = checkpoints.get(index + 1);
        match stretch(store, from, to, verdict, &mut progress) {
            Ok(()) => verdict.stretches += 1,
            // A damaged file was reported when it was read.
            Err(why) if verdict.faults.contains(&why) => {}
            Err(why) => verdict.faults.push(why),
        }
    }
}

/// Replays from one checkpoint to the next, or to the log's end; otherwise what is wrong.
fn stretch(
    store: &StoreReader,
    from: &CheckpointInfo,
    to: Option<&CheckpointInfo>,
    verdict: &mut Verdict,
    progress: &mut Progress,
) -> Result<(), String> {
    let done = from.meta.seq;
    let last = to.map_or(Seq::MAX, |to| to.meta.seq);
    let goal = to.map_or(store.found().end(), |to| to.meta.icount);
    let machine = past::restore(store, *from)?;
    let mut replayer = Replayer::new(machine, done.next());
    let is_damaged = !store.found().faults.is_empty();
    let entries = match store.frames_after(done) {
        Ok(frames) => frames.entries(Payloads::Kept),
        // That entries are missing has been reported.
        Err(_) if is_damaged => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    let entries = entries.take_while(|entry| entry.as_ref().map_or(true, |entry| entry.seq <= last));
    let agreed = |followed: &&Followed| matches!(followed, Followed::Agreed { .. });
    let has_run = |followed: &[Followed], icount| {
        verdict.digests += followed.iter().filter(agreed).count() as u64;
        progress.tell("store verify", icount, goal);
    };
    match past::follow(&mut replayer, entries, to.map(|to| to.meta.icount), has_run) {
        Ok(()) => {}
        // So has this.
        Err(Unfollowed::Unread(_)) if is_damaged => return Ok(()),
        Err(Unfollowed::Unread(error)) => return Err(error.to_string()),
        Err(Unfollowed::Diverged(divergence)) => {
            return Err(format!("a replay from the checkpoint after entry {done} diverges: {divergence}"));
        }
    }
    verdict.instructions += replayer.icount().since(from.meta.icount);
    let Some(to) = to else { return Ok(()) };
    let machine = replayer.machine_mut();
    machine.take_outputs();
    let (at, digest) = (machine.icount(), machine.digest());
    verdict.digests += 1;
    if (at, digest) == (to.meta.icount, to.meta.digest) {
        return Ok(());
    }
    let (seq, said_at, said) = (to.meta.seq, to.meta.icount, to.meta.digest);
    Err(format!(
        "the checkpoint after entry {seq} is of state {said} at {said_at}; a replay from the one after entry {done} \
         comes to {digest} at {at}"
    ))
}

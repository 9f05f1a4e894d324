//! How long a long log takes to be looked into: a log as a busy kernel's, and our own commands over it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::progress;
use super::sheet::{Figure, Section, Target, median};
use crate::base::{Digest, Generation, Icount, NodeId, Prng, Seq};
use crate::cpu::Answer;
use crate::host::failure::Failure;
use crate::host::logdir::LogWriter;
use crate::inspect::picture::{bytes_text, grouped};
use crate::lab::guests;
use crate::log::{Entry, Event, FrameBuilder, Lineage, OutputMark, Start};
use crate::machine::{Channel, Input};
use crate::snapshot::Encoder;

/// As many entries as an hour of a loaded server makes.
pub const ENTRIES: u64 = 10_000_000;
const ENTRIES_QUICK: u64 = 1_000_000;
/// Each command is timed so often, and the median counts.
const PASSES: usize = 3;

pub fn measure(dir: &Path, quick: bool) -> Result<Section, Failure> {
    let entries = if quick { ENTRIES_QUICK } else { ENTRIES };
    let bytes = write(dir, entries)?;
    progress(&format!("log: {} entries in {}", grouped(entries), bytes_text(bytes)));
    let targets = |seconds: f64| Target::Under(seconds * entries as f64 / ENTRIES as f64);
    let timed = |key, label, command: &[&str], target: f64| {
        let seconds = seconds(dir, command)?;
        Ok::<_, Failure>(Figure::new(key, label, seconds, "s").target(targets(target)))
    };
    let mut figures = vec![
        Figure::new("log_entries", "entries", entries as f64, ""),
        Figure::new("log_mb", "size", bytes as f64 / 1e6, "MB"),
    ];
    figures.push(timed("log_stats_s", "log stats", &["stats"], 1.0)?);
    figures.push(timed("log_info_s", "log info", &["info"], 1.0)?);
    figures.push(timed("log_verify_s", "log verify", &["verify"], 1.0)?);
    figures.push(timed("log_dump_kind_s", "log dump of the rarest kind", &["dump", "--kind", "end"], 1.5)?);
    Ok(Section { title: "Looking into a long log", figures })
}

/// How long `lockstep log COMMAND` takes over the log in `dir`, as its caller sees it.
fn seconds(dir: &Path, command: &[&str]) -> Result<f64, Failure> {
    let mut times = Vec::new();
    for _ in 0..PASSES {
        let begun = Instant::now();
        let status = Command::new(std::env::current_exe()?)
            .arg("log")
            .args(command)
            .arg(dir)
            .stdout(Stdio::null())
            .status()?;
        times.push(begun.elapsed().as_secs_f64());
        if !status.success() {
            return Err(Failure::new(format!(
                "log {} of a whole log ended with {status}",
                command.join(" ")
            )));
        }
    }
    progress(&format!("log {}: {:.3} s", command[0], median(&times)));
    Ok(median(&times))
}

/// Writes a log of `entries` entries such as a kernel that serves requests makes; its bytes. It is no
/// machine's history, and cannot be replayed.
pub fn write(dir: &Path, entries: u64) -> Result<u64, Failure> {
    let mut machine = guests::boot(guests::CLOCK, "made up", 4 << 20)?;
    let base = machine.save();
    let lineage = Lineage::of("bench", &base, Seq::ZERO);
    let mut writer =
        LogWriter::create(dir, lineage, Generation(1), Encoder::new(base)).map_err(Failure::of_recording)?;
    let mut history = History::new();
    let mut frame = FrameBuilder::new();
    let mut prng = Prng::new(7);
    let mut left_in_frame = 0;
    for seq in 1..=entries {
        let event = if seq == entries { Event::End(crate::machine::Exit::Pass) } else { history.next(seq) };
        frame.push(&Entry { seq: Seq(seq), at: history.at, event });
        if left_in_frame == 0 || seq == entries {
            writer.append(&frame.finish()).map_err(Failure::of_recording)?;
            // From a frame for each output to one for each flush of a computing guest.
            let bits = prng.between(1, 9);
            left_in_frame = prng.between(1, 1 << bits);
        }
        left_in_frame -= 1;
    }
    let bytes = writer.bytes_total();
    writer.close().map_err(Failure::of_recording)?;
    Ok(bytes)
}

/// Entries in about the shares that a kernel with a busy server makes: seven time reads to a request.
struct History {
    prng: Prng,
    at: Icount,
    time: u64,
    received: u64,
    sent: u64,
    console: u64,
}

impl History {
    fn new() -> Self {
        Self { prng: Prng::new(3), at: Icount::ZERO, time: 0, received: 0, sent: 0, console: 0 }
    }

    fn next(&mut self, seq: u64) -> Event {
        let prng = &mut self.prng;
        self.at = self.at.plus(prng.between(1, 9_000));
        self.time += prng.below(300);
        let mark = |channel, seq, len| Event::Output(OutputMark { channel, seq, len, digest: seq as u32 });
        match prng.below(1000) {
            _ if seq == 1 => {
                Event::Generation { generation: Generation(1), node: NodeId(1), why: Start::Boot }
            }
            0..700 => Event::Input(Input::Answer(Answer::Time(self.time))),
            700..760 => Event::Input(Input::TimerDue { time: self.time }),
            760..860 => {
                self.received += 1;
                let len = prng.between(60, 140) as usize;
                Event::Input(Input::NetFrame { rx_seq: self.received, frame: vec![seq as u8; len] })
            }
            860..960 => {
                self.sent += 1;
                mark(Channel::Net, self.sent, prng.between(60, 140) as u32)
            }
            960..970 => {
                let (from, len) = (self.console, prng.between(1, 80));
                self.console += len;
                mark(Channel::Console, from, len as u32)
            }
            970..975 => Event::Input(Input::Console(vec![b'x'])),
            975..999 => Event::Horizon,
            _ => Event::Digest(Digest(u128::from(seq) << 64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::logdir::LogDir;

    #[test]
    fn a_made_up_log_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let bytes = write(&path, 5_000).unwrap();
        let log = LogDir::open(&path).unwrap();
        assert_eq!(log.bytes(), bytes);
        let entries: Vec<_> = log.read().map(|place| place.unwrap().entry).collect();
        assert_eq!(entries.len(), 5_000);
        assert!(matches!(entries[4_999].event, Event::End(_)));
    }
}

//! What must hold at the end: the outputs are those of *one* machine that never failed.
//!
//! The history of the survivor is pieced together from what each process appended: its own log from
//! the snapshot that it started from, before that the log of the primary that gave it the snapshot,
//! and so on back to the boot. A fresh machine replays that history alone. Every frame that the
//! switch accepted must be the frame of the same number that this machine sends.

use std::collections::BTreeMap;

use crate::base::{Generation, Icount, Seq};
use crate::devices::disk::{DiskOp, DiskRequest, SECTOR_BYTES};
use crate::log::{Entry, Event};
use crate::machine::{Channel, Input, Machine, Output, Saved, Stop};
use crate::replay::{Followed, ReplayStop, Replayer};

/// A process: its slot and the how-manieth there.
pub type Who = (usize, u64);

struct Life {
    from: Option<Who>,
    seq_first: Seq,
    entries: Vec<Entry>,
}

/// Everything that was appended and accepted.
pub struct Chronicle {
    boot: Saved,
    lives: BTreeMap<Who, Life>,
    /// Accepted frames in the order of acceptance.
    accepted: Vec<(Generation, u64, Vec<u8>)>,
    /// Frames for the guest, as the switch took and numbered them from 1.
    taken: Vec<Vec<u8>>,
}

impl Chronicle {
    pub fn starting(boot: Saved) -> Self {
        Self { boot, lives: BTreeMap::new(), accepted: Vec::new(), taken: Vec::new() }
    }

    /// `who` starts to record with entry `seq_first`, from a state that `from` gave it.
    pub fn begin(&mut self, who: Who, from: Option<Who>, seq_first: Seq) {
        self.lives.insert(who, Life { from, seq_first, entries: Vec::new() });
    }

    pub fn append(&mut self, who: Who, entries: Vec<Entry>) {
        if let Some(life) = self.lives.get_mut(&who) {
            life.entries.extend(entries);
        }
    }

    /// The switch has accepted the guest's frame `seq` from the process that held `generation`.
    pub fn accepted(&mut self, generation: Generation, seq: u64, frame: &[u8]) {
        self.accepted.push((generation, seq, frame.to_vec()));
    }

    /// The switch has taken a frame for the guest.
    pub fn taken(&mut self, frame: Vec<u8>) {
        self.taken.push(frame);
    }

    /// The entries of `who`'s history since the boot.
    fn history(&self, who: Who) -> Result<Vec<Entry>, String> {
        let mut pieces = Vec::new();
        let mut next = Some((who, Seq::MAX));
        while let Some((who, before)) = next {
            let life = self.lives.get(&who).ok_or(format!("nobody knows the life of {who:?}"))?;
            let piece: Vec<Entry> = life.entries.iter().filter(|entry| entry.seq < before).cloned().collect();
            pieces.push(piece);
            next = match life.from {
                Some(from) if life.seq_first > Seq(1) => Some((from, life.seq_first)),
                _ => None,
            };
        }
        Ok(pieces.into_iter().rev().flatten().collect())
    }
}

/// A successor knows of every frame that has left: its mark is in the log that it had then.
fn check_released(chronicle: &Chronicle, history: &[Entry]) -> Result<(), String> {
    let mut marked = 0;
    for entry in history {
        match &entry.event {
            Event::Output(mark) if mark.channel == Channel::Net => marked = mark.seq,
            Event::Generation { generation, .. } => {
                let earlier = chronicle.accepted.iter().filter(|(by, ..)| by < generation);
                let left = earlier.map(|(_, seq, _)| *seq).max().unwrap_or(0);
                if left > marked {
                    return Err(format!(
                        "generation {generation} begins after frame {marked} of the guest, and frame {left} had left"
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Every frame that the switch took is in the log once and in order, but for the last that `wait` there.
fn check_taken(chronicle: &Chronicle, history: &[Entry], wait: usize) -> Result<(), String> {
    let mut expected = 1;
    for entry in history {
        let Event::Input(Input::NetFrame { rx_seq, frame }) = &entry.event else { continue };
        if *rx_seq != expected {
            return Err(format!("the log has frame {rx_seq} from the switch where {expected} belongs"));
        }
        if chronicle.taken.get(expected as usize - 1) != Some(frame) {
            return Err(format!("frame {rx_seq} from the switch is another in the log"));
        }
        expected += 1;
    }
    let lost = chronicle.taken.len().saturating_sub(expected as usize - 1 + wait);
    if lost > 0 {
        return Err(format!("{lost} frames that the switch took are in no survivor's log"));
    }
    Ok(())
}

/// Does to the image what the guest does to its disk.
fn write(image: &mut [u8], request: &DiskRequest) {
    if let DiskOp::Write { sector, data } = &request.op {
        let at = (sector * SECTOR_BYTES) as usize;
        image[at..at + data.len()].copy_from_slice(data);
    }
}

/// Holds what happened against one machine that never failed; `image`, the disk that it began with,
/// becomes the one that it ends with. `wait` frames that the switch took last may not be in the log yet.
pub fn judge(
    chronicle: &Chronicle,
    survivor: Option<Who>,
    wait: usize,
    image: &mut [u8],
) -> Result<(), String> {
    let survivor = survivor.ok_or("there is no primary at the end")?;
    let history = chronicle.history(survivor)?;
    let mut last = 0;
    for entry in &history {
        if let Event::Generation { generation, .. } = entry.event {
            if generation.get() <= last {
                return Err(format!("generation {generation} begins after generation {last}"));
            }
            last = generation.get();
        }
    }
    check_released(chronicle, &history)?;
    check_taken(chronicle, &history, wait)?;
    let machine = Machine::restore(chronicle.boot.clone()).map_err(|error| error.to_string())?;
    let mut replayer = Replayer::new(machine, Seq(1));
    replayer.push(history).map_err(|divergence| format!("the history has a hole: {divergence}"))?;
    let mut said = BTreeMap::new();
    let mut followed = Vec::new();
    loop {
        let stop = replayer.run(1 << 24, &mut followed);
        for followed in followed.drain(..) {
            match followed {
                Followed::Said { output: Output::Net { seq, frame }, .. } => {
                    said.insert(seq, frame);
                }
                Followed::Disk(request) => write(image, &request),
                _ => {}
            }
        }
        match stop {
            Ok(ReplayStop::Drained) => break,
            Ok(ReplayStop::Budget) => {}
            Err(divergence) => return Err(format!("the survivor's history does not replay: {divergence}")),
        }
    }
    // What it does of itself after the last entry.
    let (mut machine, _) = replayer.into_parts();
    while let Stop::Service = machine.run_until(Icount::MAX) {
        machine.take_outputs();
        machine.take_disk_requests().iter().for_each(|request| write(image, request));
    }
    let mut newest = 0;
    for (_, seq, frame) in &chronicle.accepted {
        if *seq <= newest {
            return Err(format!("frame {seq} was accepted after frame {newest}"));
        }
        newest = *seq;
        match said.get(seq) {
            Some(expected) if expected == frame => {}
            Some(_) => return Err(format!("frame {seq} is not what one machine would have said")),
            None => return Err(format!("frame {seq} was accepted and the survivor never said it")),
        }
    }
    Ok(())
}

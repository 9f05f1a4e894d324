//! What must hold at the end: the outputs are those of *one* machine that never failed.
//!
//! The history of the survivor is pieced together from what each process appended: its own log from
//! the snapshot that it started from, before that the log of the primary that gave it the snapshot,
//! and so on back to the boot. A fresh machine replays that history alone. Every frame that the
//! switch accepted must be the frame of the same number that this machine sends.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{Generation, Icount, Seq};
use crate::devices::disk::{DiskOp, DiskRequest, SECTOR_BYTES};
use crate::engine::Engine;
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
    /// Accepted frames in the order of acceptance, and by which of the switch's processes.
    accepted: Vec<Accepted>,
    /// Frames for the guest that each of the switch's processes has handed to a node, by number; and when last.
    handed: BTreeMap<(u64, u64), (Vec<u8>, u64)>,
    /// Up to which of them it was told that they are safe.
    confirmed: BTreeMap<u64, u64>,
    /// Those of the switch's processes that gave up frames which waited.
    gave_up: BTreeSet<u64>,
    /// Generations whose node ended without a connection to the switch, with frames that had none to leave on.
    cut_off: BTreeSet<Generation>,
}

struct Accepted {
    switch: u64,
    generation: Generation,
    seq: u64,
    frame: Vec<u8>,
}

impl Chronicle {
    pub fn starting(boot: Saved) -> Self {
        Self {
            boot,
            lives: BTreeMap::new(),
            accepted: Vec::new(),
            handed: BTreeMap::new(),
            confirmed: BTreeMap::new(),
            gave_up: BTreeSet::new(),
            cut_off: BTreeSet::new(),
        }
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

    /// The switch's process number `switch` has accepted the guest's frame `seq` from the process that held
    /// `generation`.
    pub fn accepted(&mut self, switch: u64, generation: Generation, seq: u64, frame: &[u8]) {
        self.accepted.push(Accepted { switch, generation, seq, frame: frame.to_vec() });
    }

    /// The switch's process number `switch` hands a frame for the guest to the active node.
    pub fn handed(&mut self, switch: u64, rx_seq: u64, frame: &[u8], now_ns: u64) {
        self.handed.insert((switch, rx_seq), (frame.to_vec(), now_ns));
    }

    /// The switch's process number `switch` was told that frames up to `rx_seq` are safe.
    pub fn confirmed(&mut self, switch: u64, rx_seq: u64) {
        let newest = self.confirmed.entry(switch).or_default();
        *newest = rx_seq.max(*newest);
    }

    /// The switch's process number `switch` gave up frames that waited: the numbers have a gap.
    pub fn gave_up(&mut self, switch: u64) {
        self.gave_up.insert(switch);
    }

    /// A node of `generation` ends without a connection to the switch, and with it frames that it had released.
    pub fn cut_off(&mut self, generation: Generation) {
        self.cut_off.insert(generation);
    }

    /// The entries of `who`'s history since the boot.
    fn history(&self, who: Who) -> Result<Vec<Entry>, String> {
        let mut pieces = Vec::new();
        let mut next = Some((who, Seq::MAX));
        while let Some((who, before)) = next {
            let life = self.lives.get(&who).ok_or(format!("the life of {who:?} is unknown"))?;
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
                let earlier = chronicle.accepted.iter().filter(|accepted| accepted.generation < *generation);
                let left = earlier.map(|accepted| accepted.seq).max().unwrap_or(0);
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

/// The log has frames that a switch has handed over, each number once and in order. What a switch was told is safe is
/// in it, and so is what the switch's process `due.0` handed over before `due.1`.
fn check_inbound(chronicle: &Chronicle, history: &[Entry], due: Option<(u64, u64)>) -> Result<(), String> {
    let mut logged: BTreeMap<u64, &[u8]> = BTreeMap::new();
    for entry in history {
        let Event::Input(Input::NetFrame { rx_seq, frame }) = &entry.event else { continue };
        if let Some((last, _)) = logged.last_key_value()
            && rx_seq <= last
        {
            return Err(format!("the log has frame {rx_seq} from the switch after frame {last}"));
        }
        if !chronicle.handed.iter().any(|((_, number), (handed, _))| number == rx_seq && handed == frame) {
            return Err(format!("frame {rx_seq} from the switch is another in the log"));
        }
        logged.insert(*rx_seq, frame);
    }
    let mut before = None;
    for ((switch, rx_seq), (frame, at_ns)) in &chronicle.handed {
        if let Some((same, last)) = before.replace((switch, rx_seq))
            && same == switch
            && *rx_seq > last + 1
            && !chronicle.gave_up.contains(switch)
        {
            return Err(format!(
                "the switch handed over frame {rx_seq} after frame {last}: those between are lost"
            ));
        }
        if logged.get(rx_seq) == Some(&frame.as_slice()) {
            continue;
        }
        // What a switch gave up may have been on its way, and a later number reported.
        let kept = !chronicle.gave_up.contains(switch);
        if kept && chronicle.confirmed.get(switch).is_some_and(|confirmed| rx_seq <= confirmed) {
            return Err(format!(
                "frame {rx_seq} was reported safe to the switch's process {switch}, and is in no survivor's log"
            ));
        }
        if kept && due.is_some_and(|(present, before)| *switch == present && *at_ns < before) {
            return Err(format!("frame {rx_seq} was handed to the primary long ago, and is not in its log"));
        }
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
/// becomes the one that it ends with. `due` is what `check_inbound` takes.
pub fn judge(
    chronicle: &Chronicle,
    survivor: Option<Who>,
    due: Option<(u64, u64)>,
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
    check_inbound(chronicle, &history, due)?;
    let mut machine = Machine::restore(chronicle.boot.clone()).map_err(|error| error.to_string())?;
    machine.choose_engine(Engine::Interpreter);
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
    // A switch that starts again does not know what left before; each node does, of its own generation.
    let (mut newest, mut newest_generation) = ((1, 0), Generation(1));
    let mut last_of = BTreeMap::new();
    for Accepted { switch, generation, seq, frame } in &chronicle.accepted {
        if last_of.insert(*generation, *seq).is_some_and(|last| *seq <= last) {
            return Err(format!("frame {seq} of generation {generation} was accepted twice"));
        }
        if (*switch, *seq) <= newest {
            return Err(format!("frame {seq} was accepted after frame {}", newest.1));
        }
        let cut_off = newest_generation < *generation
            && chronicle.cut_off.range(newest_generation..*generation).next().is_some();
        newest_generation = *generation;
        if *switch == newest.0 && *seq > newest.1 + 1 && !cut_off {
            return Err(format!("frame {seq} was accepted after frame {}: those between are lost", newest.1));
        }
        newest = (*switch, *seq);
        match said.get(seq) {
            Some(expected) if expected == frame => {}
            Some(_) => return Err(format!("frame {seq} is not what one machine would have said")),
            None => return Err(format!("frame {seq} was accepted and the survivor never said it")),
        }
    }
    Ok(())
}

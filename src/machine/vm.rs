//! The machine: boot it, run it to a position, deliver inputs between two instructions, take its outputs.
//!
//! Promises:
//! - Its state changes only by [`Machine::run_until`] and [`Machine::deliver`], and is a function
//!   of the state before and of the arguments. Two machines booted alike and given the same inputs
//!   at the same positions are the same to the bit, and say the same.
//! - It speaks only by [`Machine::take_outputs`], [`Machine::take_disk_requests`] and
//!   [`Machine::requests`].
//! - Nothing that a guest does or an input holds makes it panic, or grow without bound: it stops
//!   when outputs wait, and does not go on until they are taken.
//!
//! Absent on purpose: the choice of positions (`replay` makes it), time, and any wish of its own.

use std::collections::BTreeSet;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::board::Board;
use super::boot::{BootImage, Start};
use super::config::{MAC_DEFAULT, MachineConfig, Platform, RAM_BYTES_DEFAULT, check_disks, check_ram_bytes};
use super::elf::{Elf, LoadError};
use super::fdt;
use super::io::{Exit, Input, Output, Request, Stop};
use super::kernel::{self, BOOTARGS_BYTES_MAX, Firmware, Kernel, KernelBoot, KernelError};
use super::model::BoardModel;
use super::observer::{Executed, Look, Observer};
use super::saving::Saving;
use crate::base::{Digest, GuestPhys, Icount, digest_bytes};
use crate::cpu::{Answer, Cpu, Hart, HartState, HartStop, NotAsking, Privilege};
use crate::devices::disk::{DiskRequest, DiskSpec};
use crate::devices::timebase::Timebase;
use crate::engine::{Engine, Fared};
use crate::mem::{RAM_BASE, Ram};

/// The device tree begins at a multiple of this, as close to the end of RAM as it fits.
const DEVICE_TREE_ALIGN: u64 = 2 << 20;

/// What a machine is booted with, besides its image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootOptions {
    /// The guest's name, for people.
    pub guest: String,
    /// Bytes of RAM, as in [`MachineConfig`].
    pub ram_bytes: u64,
    /// The network device's Ethernet address.
    pub mac: [u8; 6],
    /// `bootargs` in the device tree; empty for none.
    pub bootargs: String,
    /// `rng-seed` in the device tree; empty for none.
    pub rng_seed: Vec<u8>,
    /// A reset ends the guest instead of starting it over.
    pub ends_at_reset: bool,
    /// By their numbers.
    pub disks: Vec<DiskSpec>,
    /// Which board the machine has.
    pub board: BoardModel,
    /// Which hart it has.
    pub cpu: Cpu,
}

impl Default for BootOptions {
    fn default() -> Self {
        Self {
            guest: "guest".into(),
            ram_bytes: RAM_BYTES_DEFAULT,
            mac: MAC_DEFAULT,
            bootargs: String::new(),
            rng_seed: Vec::new(),
            ends_at_reset: false,
            disks: Vec::new(),
            board: BoardModel::default(),
            cpu: Cpu::default(),
        }
    }
}

impl BootOptions {
    /// The configuration of a machine that nothing is loaded into.
    fn config(&self) -> MachineConfig {
        MachineConfig {
            guest: self.guest.clone(),
            ram_bytes: self.ram_bytes,
            mac: self.mac,
            bootargs: self.bootargs.clone(),
            rng_seed: self.rng_seed.clone(),
            ends_at_reset: self.ends_at_reset,
            disks: self.disks.clone(),
            board: self.board,
            cpu: self.cpu,
            ..MachineConfig::default()
        }
    }
}

/// An input that this machine cannot have received here: evidence of a divergence. The machine is
/// as it was.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Undeliverable {
    /// An answer for which there is no question.
    #[error(transparent)]
    NotAsking(#[from] NotAsking),
    /// Entropy that the virtio-rng device does not wait for.
    #[error("at {at} {given} bytes of entropy are delivered, the guest wants {wanted:?}")]
    Entropy {
        /// The machine's position.
        at: Icount,
        /// Bytes delivered.
        given: usize,
        /// Bytes that the device waits for, if it waits.
        wanted: Option<u32>,
    },
    /// The end of a disk request that cannot end now, or not so.
    #[error(
        "at {at} request {tag} of disk {disk} ends with {bytes} bytes, the disk awaits the end of {awaited:?}"
    )]
    Disk {
        /// The machine's position.
        at: Icount,
        /// The disk's number, from 0.
        disk: u8,
        /// The request's number.
        tag: u64,
        /// Bytes that the request is said to have read.
        bytes: usize,
        /// The number of the request that must end next on this disk, if one is under way.
        awaited: Option<u64>,
    },
    /// Any input after the end.
    #[error("at {at} the guest has ended: {exit:?}")]
    Halted {
        /// The machine's position.
        at: Icount,
        /// How the guest ended.
        exit: Exit,
    },
}

/// Everything that is saved and digested, but for RAM.
#[derive(Serialize)]
struct StateRef<'a> {
    hart: HartState,
    board: &'a Board,
}

/// [`StateRef`] as it comes back.
#[derive(Deserialize)]
pub(super) struct State {
    pub hart: HartState,
    pub board: Board,
}

/// A hart, RAM and devices.
pub struct Machine {
    config: MachineConfig,
    hart: Hart,
    pub(super) ram: Ram,
    board: Board,
    boot: BootImage,
    /// Where this machine was booted or restored.
    began: Icount,
    observer: Option<Box<Observer>>,
    pub(super) saving: Option<Box<Saving>>,
    /// The position of the last save that another may build on.
    pub(super) save_base: Option<Icount>,
}

impl Machine {
    /// A machine about to execute the image's first instruction: M-mode, a0 = hart id 0, a1 = the
    /// device tree.
    pub fn boot(image: &Elf<'_>, options: &BootOptions) -> Result<Self, LoadError> {
        check_ram_bytes(options.ram_bytes)?;
        check_disks(&options.disks)?;
        options.board.check(options.disks.len())?;
        let config = MachineConfig {
            guest_digest: image.digest(),
            tohost: image.tohost(),
            symbols: image.symbols().to_vec(),
            ..options.config()
        };
        let mut ram = Ram::new(config.ram_bytes);
        image.load(&mut ram)?;
        let device_tree = load_device_tree(image, &config, &mut ram)?;
        let start = Start { pc: image.entry().get(), a1: device_tree.get(), a2: 0, mode: Privilege::Machine };
        Ok(Self::at_reset(config, start, ram))
    }

    /// A machine about to enter a kernel: in S-mode, with the machine as its firmware, or in M-mode at
    /// a firmware of its own. A firmware without a kernel gets 0 as the address of the next stage, as on QEMU.
    pub fn boot_kernel(boot: &KernelBoot<'_>, options: &BootOptions) -> Result<Self, KernelError> {
        check_ram_bytes(options.ram_bytes)?;
        check_disks(&options.disks)?;
        options.board.check(options.disks.len())?;
        let bytes = options.bootargs.len();
        if bytes > BOOTARGS_BYTES_MAX {
            return Err(KernelError::CommandLine { bytes });
        }
        let platform = if boot.firmware.is_some() { Platform::Firmware } else { Platform::OwnSbi };
        let mut config = MachineConfig { guest_digest: boot.digest(), platform, ..options.config() };
        let fail = |error: &dyn std::fmt::Display| KernelError::DeviceTree(error.to_string());
        // Where the initial RAM disk is does not change how long the tree is.
        config.initrd = boot.initrd.map(|_| (RAM_BASE, RAM_BASE));
        let tree_bytes = fdt::build(&config).map_err(|error| fail(&error))?.len() as u64;
        let firmware_info = tree_bytes.next_multiple_of(8);
        let next = boot.kernel.as_ref().map_or(GuestPhys(0), Kernel::entry);
        let info = kernel::dynamic_info(next);
        let places = boot.places(config.ram_bytes, firmware_info + info.len() as u64)?;
        let initrd_bytes = boot.initrd.unwrap_or_default();
        config.initrd = places.initrd.map(|at| (at, at.plus(initrd_bytes.len() as u64)));
        let tree = fdt::build(&config).map_err(|error| fail(&error))?;

        let mut ram = Ram::new(config.ram_bytes);
        boot.kernel.as_ref().map_or(Ok(()), |kernel| kernel.load(&mut ram))?;
        let mut put = |at, bytes: &[u8]| ram.write(at, bytes).expect("its place was found in this RAM");
        put(places.device_tree, &tree);
        if let Some(at) = places.initrd {
            put(at, initrd_bytes);
        }
        let (pc, mode, a2) = match &boot.firmware {
            None => (next, Privilege::Supervisor, 0),
            Some(firmware) => {
                let info_at = places.device_tree.plus(firmware_info);
                put(info_at, &info);
                match firmware {
                    Firmware::Flat(bytes) => put(RAM_BASE, bytes),
                    Firmware::Elf(elf) => elf.load(&mut ram).map_err(KernelError::Firmware)?,
                }
                (firmware.entry(), Privilege::Machine, info_at.get())
            }
        };
        let start = Start { pc: pc.get(), a1: places.device_tree.get(), a2, mode };
        Ok(Self::at_reset(config, start, ram))
    }

    fn at_reset(mut config: MachineConfig, start: Start, ram: Ram) -> Self {
        let boot = BootImage::of(start, &ram);
        config.boot_digest = boot.digest();
        let mut hart = Hart::new(config.cpu);
        hart.set_tohost(config.tohost);
        hart.restart(start.mode, start.pc, start.a1, start.a2);
        let mut board = Board::new(config.mac, &config.disks, config.platform == Platform::OwnSbi);
        board.set_model(config.board);
        Self {
            began: hart.icount(),
            hart,
            ram,
            board,
            config,
            boot,
            observer: None,
            saving: None,
            save_base: None,
        }
    }

    /// A machine of parts that fit each other.
    pub(super) fn of_parts(
        config: MachineConfig,
        mut hart: Hart,
        ram: Ram,
        mut board: Board,
        boot: BootImage,
    ) -> Self {
        hart.set_tohost(config.tohost);
        board.set_model(config.board);
        Self {
            config,
            began: hart.icount(),
            hart,
            ram,
            board,
            boot,
            observer: None,
            saving: None,
            save_base: None,
        }
    }

    /// RAM, and what a reset starts over from.
    pub(super) fn into_memory(self) -> (Ram, BootImage) {
        (self.ram, self.boot)
    }

    /// The guest has reset its machine: everything starts over, and positions, time and the numbers of its
    /// outputs and inputs count on.
    fn start_over_if_reset(&mut self) {
        if self.board.exit != Some(Exit::Reset) || self.config.ends_at_reset {
            return;
        }
        self.ram.replace(self.boot.ram(self.config.ram_bytes));
        let start = self.boot.start();
        if !self.config.rng_seed.is_empty() {
            let config = MachineConfig { rng_seed: self.next_rng_seed(), ..self.config.clone() };
            // It fails only for a forged state: then what it holds stays.
            let reseeded = fdt::build(&config).ok();
            reseeded.map(|tree| self.ram.write(GuestPhys(start.a1), &tree).ok());
        }
        self.board.reset();
        self.hart.restart(start.mode, start.pc, start.a1, start.a2);
    }

    /// What the device tree seeds a guest with that starts over here: a function of the first seed and of
    /// where and when that is, so the same on each replica, and another one each time.
    fn next_rng_seed(&self) -> Vec<u8> {
        let seed = &self.config.rng_seed;
        let (at, time) = (self.icount().get().to_le_bytes(), self.time().to_le_bytes());
        let from = [seed, &at[..], &time[..]].concat();
        let blocks = (0..).flat_map(|block| digest_bytes(&from, block).0.to_le_bytes());
        blocks.take(seed.len()).collect()
    }

    pub(super) fn boot_image(&self) -> &BootImage {
        &self.boot
    }

    /// What the machine is made of.
    pub fn config(&self) -> &MachineConfig {
        &self.config
    }

    /// The position: instructions retired plus exceptions taken since the guest's start.
    pub fn icount(&self) -> Icount {
        self.hart.icount()
    }

    /// How the guest ended, once it has.
    pub fn halted(&self) -> Option<Exit> {
        self.board.exit
    }

    /// Runs to `until`, or to an earlier stop. See [`Stop`] for what to do about each.
    ///
    /// While outputs press to be taken (any frame or disk request, or console bytes past a bound) it stops with
    /// [`Stop::Service`] without a step.
    pub fn run_until(&mut self, until: Icount) -> Stop {
        if let Some(exit) = self.board.exit {
            return Stop::Halted(exit);
        }
        if self.takes_service() {
            return Stop::Service;
        }
        let stop = loop {
            let due = self.observer.as_ref().map_or(Icount::MAX, |observer| observer.due());
            let stop = self.hart.run_until(&mut self.ram, &mut self.board, until.min(due));
            self.show();
            if stop != HartStop::Reached || self.icount() >= until {
                break stop;
            }
        };
        self.start_over_if_reset();
        if let Some(exit) = self.board.exit {
            return Stop::Halted(exit);
        }
        match stop {
            HartStop::Reached => Stop::Reached,
            HartStop::Ask(question) => Stop::Ask(question),
            HartStop::Idle => Stop::Idle,
            HartStop::Bus => {
                self.takes_service();
                Stop::Service
            }
        }
    }

    /// Shows the hart to the observer, if a look is due. A position is shown as it is first reached: before anything
    /// is delivered there.
    fn show(&mut self) {
        if let Some(observer) = &mut self.observer {
            observer.passes(&self.hart, &self.ram);
        }
    }

    /// Whether to stop for service; a request is reported once.
    fn takes_service(&mut self) -> bool {
        let pressing = self.board.out.is_pressing();
        self.board.out.request = false;
        pressing
    }

    /// Delivers an input between two instructions, at the present position.
    ///
    /// What the guest has no room for (a frame without a receive buffer, console bytes beyond
    /// [`Machine::console_ready`]) is lost, as on any wire.
    pub fn deliver(&mut self, input: Input) -> Result<(), Undeliverable> {
        let at = self.icount();
        if let Some(exit) = self.board.exit {
            return Err(Undeliverable::Halted { at, exit });
        }
        match input {
            Input::Answer(answer) => {
                let answer = match answer {
                    Answer::Time(time) => Answer::Time(time.max(self.time())),
                    Answer::Entropy(_) | Answer::HostId(_) | Answer::WallClock(_) => answer,
                };
                self.hart.answer(&mut self.ram, &mut self.board, answer)?;
                self.show();
                if let Answer::Time(time) = answer {
                    self.board.clint.set_clock(at, time, None);
                }
            }
            Input::NetFrame { rx_seq, frame } => {
                self.board.receive_frame(&mut self.ram, rx_seq, &frame);
            }
            Input::Console(bytes) => self.board.receive_console(&mut self.ram, &bytes),
            Input::ConsoleSize { cols, rows } => self.board.resize_console(cols, rows),
            Input::TimerDue { time } => self.board.clint.set_clock(at, time, None),
            Input::Clock { time, rate } => self.board.clint.set_clock(at, time, Some(rate)),
            Input::Entropy(bytes) => {
                if !self.board.receive_entropy(&mut self.ram, &bytes) {
                    let wanted = self.board.rng.device.asked();
                    return Err(Undeliverable::Entropy { at, given: bytes.len(), wanted });
                }
            }
            Input::DiskDone(done) => {
                if !self.board.complete_disk(&mut self.ram, &done) {
                    let (disk, tag, bytes) = (done.disk, done.tag, done.data.len());
                    let awaited =
                        self.board.disks.get(usize::from(disk)).and_then(|d| d.device.tag_awaited());
                    return Err(Undeliverable::Disk { at, disk, tag, bytes, awaited });
                }
            }
        }
        self.hart.refresh_lines(&self.board);
        Ok(())
    }

    /// Takes the guest's output since the last time: frames in order, then the console bytes as one.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        let out = &mut self.board.out;
        let mut outputs: Vec<Output> =
            out.frames.drain(..).map(|(seq, frame)| Output::Net { seq, frame }).collect();
        if !out.console.is_empty() {
            let bytes = std::mem::take(&mut out.console);
            let offset = self.board.console_bytes - bytes.len() as u64;
            outputs.push(Output::Console { offset, bytes });
        }
        outputs
    }

    /// True when [`take_outputs`](Self::take_outputs) would return something.
    pub fn outputs_waiting(&self) -> bool {
        !self.board.out.is_empty()
    }

    /// Takes what the guest has asked of its disks since the last time, in order. Until that is done the
    /// machine does not run.
    pub fn take_disk_requests(&mut self) -> Vec<DiskRequest> {
        std::mem::take(&mut self.board.out.disk)
    }

    /// True when [`take_disk_requests`](Self::take_disk_requests) would return something.
    pub fn disk_requests_waiting(&self) -> bool {
        !self.board.out.disk.is_empty()
    }

    /// Every disk request that has not ended, in order for each disk: what a successor asks for again.
    pub fn disk_in_flight(&self) -> Vec<DiskRequest> {
        self.board.disks.iter().flat_map(|disk| disk.device.in_flight()).collect()
    }

    /// The number of the request that must end next on a disk, if one is under way there.
    pub fn disk_awaited(&self, disk: u8) -> Option<u64> {
        self.board.disks.get(usize::from(disk)).and_then(|disk| disk.device.tag_awaited())
    }

    /// What devices ask of the host and have not been given.
    pub fn requests(&self) -> Vec<Request> {
        let asked = if self.halted().is_some() { None } else { self.board.rng.device.asked() };
        asked.map(|len| Request::Entropy { len }).into_iter().collect()
    }

    /// The next time (ticks) at which a timer becomes due: after all that the guest has seen. A machine that
    /// has ended waits for none, whatever its guest had armed.
    pub fn timer_deadline(&self) -> Option<u64> {
        if self.halted().is_some() { None } else { self.board.clint.deadline() }
    }

    /// The guest's clock (ticks) here: what a read of the time would show. Never goes back.
    pub fn time(&self) -> u64 {
        self.board.clint.time_at(self.icount())
    }

    /// The rate of the guest's clock, in ticks in 65,536 instructions.
    pub fn clock_rate(&self) -> u16 {
        self.board.clint.rate()
    }

    /// Reads of the time before position `end` are answered by the machine's own clock; one at or past it ends
    /// the run with a question. None does until this is called. See `Hart::derive_time_before`.
    pub fn derive_time_before(&mut self, end: Icount) {
        self.hart.derive_time_before(end);
    }

    /// The number of the last frame delivered; 0 before the first.
    pub fn rx_seq(&self) -> u64 {
        self.board.rx_seq
    }

    /// The number of the last frame that the guest sent; 0 before the first.
    pub fn tx_seq(&self) -> u64 {
        self.board.net.device.tx_frames
    }

    /// Console bytes that the guest has sent.
    pub fn console_bytes(&self) -> u64 {
        self.board.console_bytes
    }

    /// True when the guest has a receive buffer for a frame.
    pub fn net_ready(&self) -> bool {
        self.board.net.is_ready(&self.ram)
    }

    /// How many bytes of console input there is room for.
    pub fn console_ready(&self) -> usize {
        self.board.console_room()
    }

    /// The hart, to look at.
    pub fn hart(&self) -> &Hart {
        &self.hart
    }

    /// What executes the guest, and how the translator fared if it has run.
    pub fn engine(&self) -> (Engine, Option<Fared>) {
        (self.hart.engine(), self.hart.fared())
    }

    /// How its instructions were executed, since it was booted or restored.
    pub fn executed(&self) -> Executed {
        Executed {
            engine: self.hart.engine(),
            instructions: self.icount().since(self.began),
            translator: self.hart.fared(),
            long_way: self.hart.long_way(),
        }
    }

    /// From now on `look` is shown the hart and RAM at each multiple of `every` instructions.
    pub fn observe(&mut self, every: NonZeroU64, look: Look) {
        self.observer = Some(Box::new(Observer::new(self.icount(), every, look)));
    }

    /// Takes over the observer of `other`, which is at the same position.
    pub fn take_observer(&mut self, other: &mut Machine) {
        self.observer = other.observer.take();
    }

    /// Executes with `engine` from now on, as far as the host can have it; which one it is never shows.
    pub fn choose_engine(&mut self, engine: Engine) {
        self.hart.choose_engine(&mut self.ram, engine);
    }

    /// Flips a bit at the end of RAM, as a fault of the host's would.
    pub(crate) fn flip_bit(&mut self) {
        let last = GuestPhys(RAM_BASE.get() + self.ram.size_bytes() - 1);
        let mut byte = [0];
        let flipped = self.ram.read(last, &mut byte).and_then(|()| self.ram.write(last, &[byte[0] ^ 1]));
        flipped.expect("the last byte is in RAM");
    }

    /// RAM, to look at.
    pub fn ram(&self) -> &Ram {
        &self.ram
    }

    /// Into how many pieces [`boot_piece`](Self::boot_piece) cuts what a reset starts over from.
    pub fn boot_pieces(&self) -> u32 {
        self.boot.pieces()
    }

    /// The next of what [`Arriving::boot`](super::Arriving::boot) takes.
    pub fn boot_piece(&self, index: u32) -> Option<Vec<u8>> {
        self.boot.piece(index)
    }

    /// Begins to note which pages are written; none is noted so far.
    pub fn note_writes(&mut self) {
        self.ram.note_writes();
    }

    /// The pages written since that was last asked.
    pub fn take_written(&mut self) -> BTreeSet<u32> {
        self.ram.take_written()
    }

    /// Ends what [`note_writes`](Self::note_writes) began, and drops what was noted.
    pub fn forget_writes(&mut self) {
        self.ram.forget_writes();
    }

    #[cfg(test)]
    pub(crate) fn ram_mut(&mut self) -> &mut Ram {
        &mut self.ram
    }

    /// What the guest can do, too.
    #[cfg(test)]
    pub(crate) fn start_over(&mut self) {
        self.board.exit = Some(Exit::Reset);
        self.start_over_if_reset();
    }

    /// The devices, to look at.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// The digest of everything that decides the future: hart, devices, counters, RAM. Outputs
    /// have been taken (they are the past's).
    pub fn digest(&mut self) -> Digest {
        let state = self.state_bytes();
        self.digest_of(&state)
    }

    /// Everything but RAM, encoded: hart and devices, and the clock once it has run.
    pub(super) fn state_bytes(&self) -> Vec<u8> {
        debug_assert!(!self.outputs_waiting(), "outputs are taken before the state is looked at");
        let state = StateRef { hart: self.hart.state(), board: &self.board };
        let mut bytes = postcard::to_allocvec(&state).expect("plain data of known length always encodes");
        let timebase = &self.board.clint.timebase;
        if *timebase != Timebase::default() {
            bytes = postcard::to_extend(timebase, bytes).expect("plain data of known length always encodes");
        }
        bytes
    }

    pub(super) fn digest_of(&mut self, state: &[u8]) -> Digest {
        let ram = self.ram.digest();
        self.digest_with(ram, state)
    }

    /// The digest of everything, of these parts.
    pub(super) fn digest_with(&self, ram: Digest, state: &[u8]) -> Digest {
        digest_bytes(&[&ram.0.to_le_bytes(), state].concat(), self.config.ram_bytes)
    }
}

/// Puts the device tree near the end of RAM, and answers where.
fn load_device_tree(image: &Elf<'_>, config: &MachineConfig, ram: &mut Ram) -> Result<GuestPhys, LoadError> {
    let fail = |error: &dyn std::fmt::Display| LoadError::DeviceTree(error.to_string());
    let tree = fdt::build(config).map_err(|error| fail(&error))?;
    let room = config.ram_bytes.saturating_sub(tree.len() as u64);
    let at = RAM_BASE.plus(room / DEVICE_TREE_ALIGN * DEVICE_TREE_ALIGN);
    if let Some(index) = image.segment_in(at, at.plus(tree.len() as u64)) {
        return Err(LoadError::NoRoomForDeviceTree { index, at });
    }
    ram.write(at, &tree).map_err(|error| fail(&error))?;
    Ok(at)
}

#[cfg(test)]
#[path = "vm_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "kv_tests.rs"]
mod kv_tests;

#[cfg(test)]
#[path = "counter_tests.rs"]
mod counter_tests;

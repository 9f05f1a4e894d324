//! The board: every device, wired to the hart. What the hart cannot see in RAM is here.
//!
//! The interrupt controller's inputs follow the devices after each access and each delivery, so
//! that the hart's lines are always a function of the state.

use serde::{Deserialize, Serialize};

use super::io::Exit;
use super::model::{BoardModel, Occupant};
use super::{map, sbi};
use crate::base::{GuestPhys, Icount};
use crate::cpu::{Answer, Bus, BusFault, BusRead, Question, Returned};
use crate::devices::clint::Clint;
use crate::devices::disk::{DiskDone, DiskSpec};
use crate::devices::finisher::{Finish, finish};
use crate::devices::outbox::Outbox;
use crate::devices::plic::Plic;
use crate::devices::rtc::Rtc;
use crate::devices::uart::Uart;
use crate::devices::virtio::blk::Blk;
use crate::devices::virtio::console::Console;
use crate::devices::virtio::net::Net;
use crate::devices::virtio::rng::Rng;
use crate::devices::virtio::transport::{Device, SLOT_BYTES, Slot, read_empty};
use crate::devices::{BadDevice, virtio};
use crate::mem::Ram;

/// The two devices that make up the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConsolePort {
    Serial,
    Virtio,
}

/// All devices, and how the guest ended if it did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Board {
    pub clint: Clint,
    pub plic: Plic,
    pub uart: Uart,
    pub rtc: Rtc,
    pub net: Slot<Net>,
    pub rng: Slot<Rng>,
    pub console: Slot<Console>,
    /// The machine itself answers environment calls from S-mode.
    pub own_sbi: bool,
    /// How the guest ended, or that it wants to start over.
    pub exit: Option<Exit>,
    /// The number of the last frame delivered; 0 before the first.
    pub rx_seq: u64,
    /// Console bytes of the guest's life, those in `out` counted.
    pub console_bytes: u64,
    /// By their numbers.
    pub disks: Vec<Slot<Blk>>,
    /// The port that the last of them came from.
    pub console_spoke: Option<ConsolePort>,
    /// From the configuration; not state.
    #[serde(skip)]
    model: BoardModel,
    /// Output that has not been taken; not state.
    #[serde(skip)]
    pub out: Outbox,
}

impl Board {
    pub fn new(mac: [u8; 6], disks: &[DiskSpec], own_sbi: bool) -> Self {
        let disk = |(disk, spec): (u8, &DiskSpec)| Slot::new(Blk::new(disk, spec.clone()));
        Self {
            clint: Clint::default(),
            plic: Plic::default(),
            uart: Uart::default(),
            rtc: Rtc::default(),
            net: Slot::new(Net::new(mac)),
            rng: Slot::new(Rng::default()),
            console: Slot::new(Console::default()),
            own_sbi,
            exit: None,
            rx_seq: 0,
            console_bytes: 0,
            disks: (0..).zip(disks).map(disk).collect(),
            console_spoke: None,
            model: BoardModel::default(),
            out: Outbox::default(),
        }
    }

    /// Where the devices are, and how those of this revision behave.
    pub fn set_model(&mut self, model: BoardModel) {
        self.model = model;
        let first = model.is_first();
        self.net.set_first(first);
        self.rng.set_first(first);
        self.console.set_first(first);
        self.disks.iter_mut().for_each(|disk| disk.set_first(first));
    }

    /// What is in a virtio slot.
    fn occupant(&self, slot: u64) -> Occupant {
        self.model.slots.get(slot as usize).copied().unwrap_or(Occupant::Nothing)
    }

    /// A frame arrives on the wire.
    pub fn receive_frame(&mut self, ram: &mut Ram, rx_seq: u64, frame: &[u8]) {
        self.rx_seq = rx_seq;
        self.net.receive(ram, frame);
        self.wire();
    }

    /// Where typed bytes go: to the port at which the guest's user sees himself type.
    ///
    /// A kernel drives the virtio console as soon as it finds one, also when its console is the
    /// serial port; so driving it decides nothing. A guest that wants an interrupt for serial input has
    /// opened the serial port. Otherwise the port that the guest last printed to is the one, and for a guest
    /// that has not printed the one that it drives.
    pub fn console_port(&self) -> ConsolePort {
        match self.console_spoke {
            _ if !self.console.transport.is_live() || self.uart.is_listened_to() => ConsolePort::Serial,
            Some(port) => port,
            None => ConsolePort::Virtio,
        }
    }

    /// Bytes are typed.
    pub fn receive_console(&mut self, ram: &mut Ram, bytes: &[u8]) {
        match self.console_port() {
            ConsolePort::Serial => self.uart.receive(bytes),
            ConsolePort::Virtio => self.console.receive(ram, bytes),
        }
        self.wire();
    }

    /// How many typed bytes there is room for.
    pub fn console_room(&self) -> usize {
        match self.console_port() {
            ConsolePort::Serial => self.uart.room(),
            ConsolePort::Virtio => self.console.room(),
        }
    }

    /// The window that shows the console has this size now. Only the virtio console has a register for it.
    pub fn resize_console(&mut self, cols: u16, rows: u16) {
        self.console.resize(cols, rows);
        self.wire();
    }

    /// Entropy arrives; false, and nothing changes, unless that much was asked for.
    pub fn receive_entropy(&mut self, ram: &mut Ram, bytes: &[u8]) -> bool {
        let taken = self.rng.complete(ram, &mut self.out, bytes);
        self.wire();
        taken
    }

    /// A disk request has ended; false, and nothing changes, unless it is the one that must end next.
    pub fn complete_disk(&mut self, ram: &mut Ram, done: &DiskDone) -> bool {
        let Some(disk) = self.disks.get_mut(usize::from(done.disk)) else { return false };
        let taken = disk.complete(ram, &mut self.out, done);
        self.wire();
        taken
    }

    /// Carries the devices' interrupt levels to the interrupt controller.
    fn wire(&mut self) {
        let level = |on: bool, irq: u32| u32::from(on) << irq;
        let slots = (0..map::VIRTIO_SLOTS).fold(0, |levels, slot| {
            let on = match self.occupant(slot) {
                Occupant::Nothing => false,
                Occupant::Net => self.net.interrupt(),
                Occupant::Rng => self.rng.interrupt(),
                Occupant::Console => self.console.interrupt(),
                Occupant::Disk(disk) => self.disks.get(usize::from(disk)).is_some_and(Slot::interrupt),
            };
            levels | level(on, map::virtio_irq(slot))
        });
        self.plic.set_levels(level(self.uart.interrupt(), map::UART_IRQ) | slots);
    }

    /// The guest prints something outside of any device.
    pub(super) fn say(&mut self, bytes: &[u8]) {
        self.out.console.extend_from_slice(bytes);
        self.console_bytes += bytes.len() as u64;
    }

    /// Everything as after power-on, but for what counts on over a guest's life: time, and the numbers of its
    /// outputs and inputs.
    pub fn reset(&mut self) {
        let Self { own_sbi, rx_seq, console_bytes, .. } = *self;
        // The host carries on with the requests that it has; their completions go to no driver.
        let unplugged = |disk: &Slot<Blk>| {
            let mut device = disk.device.clone();
            device.reset();
            Slot::new(device)
        };
        let fresh = Self {
            clint: self.clint.restarted(),
            net: Slot::new(self.net.device.clone()),
            console: Slot::new(self.console.device.restarted()),
            disks: self.disks.iter().map(unplugged).collect(),
            rx_seq,
            console_bytes,
            out: std::mem::take(&mut self.out),
            ..Self::new(self.net.device.mac(), &[], own_sbi)
        };
        let model = self.model;
        *self = fresh;
        self.set_model(model);
    }

    /// The first end is the end.
    pub(super) fn end(&mut self, exit: Exit) {
        self.exit.get_or_insert(exit);
    }

    /// Whether an access that a later revision answers is a fault on a board of the first one.
    fn faults_as_first(&self, at: GuestPhys, size: u8) -> bool {
        let absent = || {
            map::CLINT.offset(at).is_some_and(|offset| !Clint::has_register(offset, size))
                || map::RTC.offset(at).is_some_and(|offset| !Rtc::has_register(offset, size))
        };
        self.model.is_first() && absent()
    }

    fn read_device(&mut self, at: GuestPhys, size: u8, answer: Option<Answer>) -> Result<BusRead, BusFault> {
        if self.faults_as_first(at, size) {
            return Err(BusFault);
        }
        if let Some(offset) = map::CLINT.offset(at) {
            return self.clint.read(offset, size, answer);
        }
        if let Some(offset) = map::RTC.offset(at) {
            return self.rtc.read(offset, size, answer);
        }
        let value = if let Some(offset) = map::UART.offset(at) {
            u64::from(self.uart.read(offset))
        } else if let Some(offset) = map::PLIC.offset(at) {
            let claimed = self.plic.is_claimed(map::UART_IRQ);
            let value = self.plic.read(offset, size)?;
            if self.plic.is_claimed(map::UART_IRQ) && !claimed && !self.model.is_first() {
                self.uart.claimed();
            }
            u64::from(value)
        } else if let Some(offset) = map::VIRTIO.offset(at) {
            let (slot, offset) = (offset / SLOT_BYTES, offset % SLOT_BYTES);
            let first = self.model.is_first();
            match self.occupant(slot) {
                Occupant::Nothing => read_empty(offset, size, first)?,
                Occupant::Net => self.net.read(offset, size)?,
                Occupant::Rng => self.rng.read(offset, size)?,
                Occupant::Console => self.console.read(offset, size)?,
                Occupant::Disk(disk) => match self.disks.get_mut(usize::from(disk)) {
                    Some(disk) => disk.read(offset, size)?,
                    None => read_empty(offset, size, first)?,
                },
            }
        } else if map::FINISHER.offset(at).is_some() {
            0
        } else {
            return Err(BusFault);
        };
        Ok(BusRead::Value(value))
    }

    fn write_device(&mut self, ram: &mut Ram, at: GuestPhys, size: u8, value: u64) -> Result<(), BusFault> {
        if self.faults_as_first(at, size) {
            return Err(BusFault);
        }
        if let Some(offset) = map::CLINT.offset(at) {
            self.clint.write(offset, size, value)
        } else if let Some(offset) = map::RTC.offset(at) {
            self.rtc.write(offset, size)
        } else if let Some(offset) = map::UART.offset(at) {
            if let Some(byte) = self.uart.write(offset, value as u8) {
                self.out.console.push(byte);
                self.console_spoke = Some(ConsolePort::Serial);
            }
            Ok(())
        } else if let Some(offset) = map::PLIC.offset(at) {
            self.plic.write(offset, size, value as u32)
        } else if let Some(offset) = map::VIRTIO.offset(at) {
            let (slot, offset) = (offset / SLOT_BYTES, offset % SLOT_BYTES);
            let first = self.model.is_first();
            match self.occupant(slot) {
                Occupant::Nothing => read_empty(offset, size, first).map(|_| ()),
                Occupant::Net => self.net.write(ram, &mut self.out, offset, size, value),
                Occupant::Rng => self.rng.write(ram, &mut self.out, offset, size, value),
                Occupant::Console => {
                    let before = self.out.console.len();
                    let written = self.console.write(ram, &mut self.out, offset, size, value);
                    if self.out.console.len() > before {
                        self.console_spoke = Some(ConsolePort::Virtio);
                    }
                    written
                }
                Occupant::Disk(disk) => match self.disks.get_mut(usize::from(disk)) {
                    Some(disk) => disk.write(ram, &mut self.out, offset, size, value),
                    None => read_empty(offset, size, first).map(|_| ()),
                },
            }
        } else if let Some(offset) = map::FINISHER.offset(at) {
            match finish(offset, value as u32) {
                Some(Finish::Pass) => self.end(Exit::Pass),
                Some(Finish::Fail(code)) => self.end(Exit::Fail(code)),
                Some(Finish::Reset) => self.end(Exit::Reset),
                None => {}
            }
            Ok(())
        } else {
            Err(BusFault)
        }
    }

    /// Looks at a state that came from outside.
    pub fn check(&self, ram_bytes: u64) -> Result<(), BadDevice> {
        self.plic.check()?;
        self.uart.check()?;
        self.net.check(ram_bytes)?;
        self.rng.check(ram_bytes)?;
        self.console.check(ram_bytes)?;
        for (disk, index) in self.disks.iter().zip(0..) {
            disk.check(ram_bytes)?;
            disk.check_requests(ram_bytes)?;
            if disk.device.disk() != index {
                let found = u64::from(disk.device.disk());
                return Err(BadDevice { device: "virtio-blk", field: "number", found });
            }
        }
        if self.console_bytes > u64::MAX / 2 {
            return Err(BadDevice { device: "board", field: "console bytes", found: self.console_bytes });
        }
        Ok(())
    }

    /// Why each virtio device that needs a reset does.
    pub fn faults(&self) -> impl Iterator<Item = (&'static str, virtio::QueueFault)> + '_ {
        [
            ("virtio-net", self.net.transport.fault()),
            ("virtio-rng", self.rng.transport.fault()),
            ("virtio-console", self.console.transport.fault()),
        ]
        .into_iter()
        .chain(self.disks.iter().map(|disk| ("virtio-blk", disk.transport.fault())))
        .filter_map(|(name, fault)| Some((name, fault?)))
    }
}

impl Bus for Board {
    fn read(&mut self, at: GuestPhys, size: u8, answer: Option<Answer>) -> Result<BusRead, BusFault> {
        let read = self.read_device(at, size, answer);
        self.wire();
        read
    }

    fn asks(&self, at: GuestPhys, size: u8) -> Option<Question> {
        if let Some(offset) = map::RTC.offset(at) {
            return self.rtc.asks(offset, size).then_some(Question::WallClock);
        }
        let offset = map::CLINT.offset(at)?;
        self.clint.asks(offset, size).then_some(Question::Time)
    }

    fn write(&mut self, ram: &mut Ram, at: GuestPhys, size: u8, value: u64) -> Result<(), BusFault> {
        let before = self.out.console.len();
        let written = self.write_device(ram, at, size, value);
        self.console_bytes += (self.out.console.len() - before) as u64;
        self.wire();
        written
    }

    fn environment_call(&mut self, ram: &mut Ram, arguments: [u64; 8]) -> Option<Returned> {
        if !self.own_sbi {
            return None;
        }
        let returned = sbi::call(self, ram, arguments);
        self.wire();
        Some(returned)
    }

    /// HTIF: 1 is "pass", another odd value is "fail" with the number above its lowest bit. Even values are
    /// requests of other kinds, which are ignored here.
    fn tohost(&mut self, value: u64) {
        match value {
            1 => self.end(Exit::Pass),
            odd if odd & 1 != 0 => self.end(Exit::Fail((odd >> 1) as u32)),
            _ => {}
        }
    }

    fn lines(&self) -> u64 {
        self.clint.lines() | self.plic.lines()
    }

    fn wants_stop(&self) -> bool {
        self.exit.is_some() || self.out.is_pressing()
    }

    fn time_at(&self, at: Icount) -> u64 {
        self.clint.time_at(at)
    }

    fn learn_time(&mut self, time: u64) {
        self.clint.learn_time(time);
    }

    fn stimecmp(&self) -> u64 {
        self.clint.stimecmp()
    }

    fn set_stimecmp(&mut self, value: u64) {
        self.clint.set_stimecmp(value);
    }
}

#[cfg(test)]
#[path = "board_tests.rs"]
mod tests;

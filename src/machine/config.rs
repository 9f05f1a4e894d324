//! What a machine is made of: everything that two replicas must agree on before the first
//! instruction, and that a log and a snapshot carry with them.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::model::{BoardModel, Occupant, REVISION};
use crate::base::{Digest, GuestPhys, digest_bytes};
use crate::cpu::Cpu;
use crate::devices::disk::{DISKS_MAX, DiskSpec};
use crate::mem::PAGE_BYTES;

/// The least RAM: room for the device tree and a guest.
pub const RAM_BYTES_MIN: u64 = 4 << 20;
/// The most RAM.
pub const RAM_BYTES_MAX: u64 = 4 << 30;
/// The RAM of a machine for which no amount is chosen.
pub const RAM_BYTES_DEFAULT: u64 = 128 << 20;

/// The Ethernet address of a machine that belongs to no named vm.
pub const MAC_DEFAULT: [u8; 6] = [0x52, 0x54, 0x00, 0x4c, 0x53, 0x01];

/// Keeps the digests of vm names apart from others.
const MAC_SEED: u64 = 0x4d41_4331;

/// The Ethernet address of the vm `vm` unless another is chosen: 40 bits of its name's digest, so that vms of
/// other names have other addresses, on whichever host. The first byte, as in the addresses that QEMU gives,
/// marks it as a station's and locally administered (IEEE 802, 8.2.2).
pub fn mac_of(vm: &str) -> [u8; 6] {
    let [a, b, c, d, e, ..] = digest_bytes(vm.as_bytes(), MAC_SEED).0.to_le_bytes();
    [0x52, a, b, c, d, e]
}

/// The most symbols that are kept of an image.
pub const SYMBOLS_MAX: usize = 65_536;
/// The most bytes of a symbol's name that are kept.
pub const SYMBOL_NAME_BYTES_MAX: usize = 256;

/// The most sectors of a disk: what 32 bits can count in chunks of 64 KiB.
pub const DISK_SECTORS_MAX: u64 = 1 << 39;
/// The most bytes of a disk's serial (virtio 1.2, 5.2.6).
pub const DISK_SERIAL_BYTES_MAX: usize = 20;

/// A name for a range of guest virtual addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Symbol {
    /// The range's first address.
    pub addr: u64,
    /// Bytes; 0 when the image does not give it.
    pub size: u64,
    /// The name as the image spells it; at most [`SYMBOL_NAME_BYTES_MAX`] bytes.
    pub name: String,
}

/// What the guest finds below itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Platform {
    /// Nothing: it starts in M-mode.
    #[default]
    Bare,
    /// The machine itself answers environment calls from S-mode, where the guest starts.
    OwnSbi,
    /// A firmware in M-mode, part of what was loaded.
    Firmware,
}

/// What the machine is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineConfig {
    /// The guest's name, for people.
    pub guest: String,
    /// The digest of the image file, or of all files that a kernel is booted from.
    pub guest_digest: Digest,
    /// Bytes of RAM: whole pages, from [`RAM_BYTES_MIN`] to [`RAM_BYTES_MAX`].
    pub ram_bytes: u64,
    /// The network device's Ethernet address.
    pub mac: [u8; 6],
    /// The watched doubleword of the HTIF convention.
    pub tohost: Option<GuestPhys>,
    /// `bootargs` in the device tree; empty for none.
    pub bootargs: String,
    /// `rng-seed` in the device tree; empty for none.
    pub rng_seed: Vec<u8>,
    /// Sorted by address, one each.
    pub symbols: Vec<Symbol>,
    /// Where an initial RAM disk is: its first byte, and the one behind its last.
    pub initrd: Option<(GuestPhys, GuestPhys)>,
    /// What runs in M-mode.
    pub platform: Platform,
    /// A reset ends the guest instead of starting it over.
    pub ends_at_reset: bool,
    /// The digest of the `BootImage`.
    pub boot_digest: Digest,
    /// By their numbers.
    pub disks: Vec<DiskSpec>,
    /// The devices.
    pub board: BoardModel,
    /// The hart.
    pub cpu: Cpu,
}

/// A configuration that no machine can have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadConfig {
    /// The amount of RAM is out of bounds, or does not end with a page.
    #[error(
        "{bytes} bytes of RAM: must be whole pages of {PAGE_BYTES}, from {RAM_BYTES_MIN} to {RAM_BYTES_MAX}"
    )]
    RamBytes {
        /// That amount.
        bytes: u64,
    },
    /// This program does not know the board.
    #[error("a board of revision {revision}, this program knows 1 to {REVISION}")]
    Board {
        /// The board's revision.
        revision: u8,
    },
    /// Two disks are to be in one slot.
    #[error("virtio slot {slot} is chosen for two disks")]
    SlotTwice {
        /// That slot.
        slot: u8,
    },
    /// A disk is to be in a slot that the board does not have.
    #[error("there is no virtio slot {slot}: they are 0 to 7")]
    NoSuchSlot {
        /// That slot.
        slot: u8,
    },
    /// A device is in no slot, or in several.
    #[error("{device:?} is plugged into {times} virtio slots, not one")]
    Unplugged {
        /// The device.
        device: Occupant,
        /// In how many slots it is.
        times: usize,
    },
    /// This program does not know the hart.
    #[error("a hart of revision {revision}, which a newer version of this program may know")]
    Cpu {
        /// The hart's revision.
        revision: u8,
    },
    /// There are more symbols than are kept.
    #[error("{count} symbols, at most {SYMBOLS_MAX} are kept")]
    Symbols {
        /// How many.
        count: usize,
    },
    /// A symbol is not behind the one before it, or its name is over [`SYMBOL_NAME_BYTES_MAX`].
    #[error("symbol {index} is out of order or its name too long")]
    Symbol {
        /// Its place in the list, from 0.
        index: usize,
    },
    /// There are more disks than a machine can have.
    #[error("{count} disks, a machine has at most {DISKS_MAX}")]
    Disks {
        /// How many.
        count: usize,
    },
    /// A disk is empty or too large.
    #[error("disk {index} has {sectors} sectors, 1 to {DISK_SECTORS_MAX} are possible")]
    DiskSize {
        /// The disk's number, from 0.
        index: usize,
        /// Its capacity.
        sectors: u64,
    },
    /// A disk's serial is too long, or holds other characters than printable ASCII.
    #[error("disk {index} has a serial that is not up to {DISK_SERIAL_BYTES_MAX} printable ASCII characters")]
    DiskSerial {
        /// The disk's number, from 0.
        index: usize,
    },
}

impl MachineConfig {
    /// Looks at a configuration that came from outside.
    pub fn check(&self) -> Result<(), BadConfig> {
        check_ram_bytes(self.ram_bytes)?;
        check_disks(&self.disks)?;
        self.board.check(self.disks.len())?;
        if !self.cpu.is_known() {
            return Err(BadConfig::Cpu { revision: self.cpu.revision });
        }
        if self.symbols.len() > SYMBOLS_MAX {
            return Err(BadConfig::Symbols { count: self.symbols.len() });
        }
        let in_order = |index: usize| index == 0 || self.symbols[index - 1].addr < self.symbols[index].addr;
        let bad = |&index: &usize| !in_order(index) || self.symbols[index].name.len() > SYMBOL_NAME_BYTES_MAX;
        match (0..self.symbols.len()).find(bad) {
            Some(index) => Err(BadConfig::Symbol { index }),
            None => Ok(()),
        }
    }

    /// The symbol that `addr` belongs to, and how far into it `addr` is.
    pub fn symbol_at(&self, addr: u64) -> Option<(&Symbol, u64)> {
        let after = self.symbols.partition_point(|symbol| symbol.addr <= addr);
        let symbol = &self.symbols[after.checked_sub(1)?];
        let into = addr - symbol.addr;
        (symbol.size == 0 || into < symbol.size).then_some((symbol, into))
    }

    /// What makes this another machine than the one described; none if nothing does. Entropy, disks and names
    /// are not part of a description, and an Ethernet address is only if it is not all zero.
    pub fn difference(&self, described: &MachineConfig) -> Option<String> {
        let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
        if self.ram_bytes != described.ram_bytes {
            let (has, named) = (mib(self.ram_bytes), mib(described.ram_bytes));
            return Some(format!("it has {has} of memory, not {named}"));
        }
        if self.platform != described.platform {
            return Some(format!("its platform is {:?}, not {:?}", self.platform, described.platform));
        }
        if self.cpu != described.cpu {
            return Some(format!("its hart is {}, not {}", self.cpu, described.cpu));
        }
        match (self.board.has_net(), described.board.has_net()) {
            (true, false) => return Some("it has a network device".into()),
            (false, true) => return Some("it has no network device (--no-net)".into()),
            _ => {}
        }
        if self.guest_digest != described.guest_digest {
            let (has, named) = (self.guest_digest, described.guest_digest);
            return Some(format!("it was booted from other files (their digest is {has}, not {named})"));
        }
        if self.bootargs != described.bootargs {
            return Some(format!("its command line is {:?}, not {:?}", self.bootargs, described.bootargs));
        }
        if described.mac != [0; 6] && self.mac != described.mac {
            let text = |mac: [u8; 6]| mac.map(|byte| format!("{byte:02x}")).join(":");
            let (has, named) = (text(self.mac), text(described.mac));
            return Some(format!("its Ethernet address is {has}, not {named}"));
        }
        (self.ends_at_reset != described.ends_at_reset).then(|| match self.ends_at_reset {
            true => "it ends when the guest resets it".into(),
            false => "it does not end when the guest resets it".into(),
        })
    }
}

pub(super) fn check_ram_bytes(bytes: u64) -> Result<(), BadConfig> {
    let good = (RAM_BYTES_MIN..=RAM_BYTES_MAX).contains(&bytes) && bytes.is_multiple_of(PAGE_BYTES as u64);
    if good { Ok(()) } else { Err(BadConfig::RamBytes { bytes }) }
}

/// Looks at disks that came from outside.
pub fn check_disks(disks: &[DiskSpec]) -> Result<(), BadConfig> {
    if disks.len() > DISKS_MAX {
        return Err(BadConfig::Disks { count: disks.len() });
    }
    for (index, disk) in disks.iter().enumerate() {
        if !(1..=DISK_SECTORS_MAX).contains(&disk.sectors) {
            return Err(BadConfig::DiskSize { index, sectors: disk.sectors });
        }
        let printable = disk.serial.bytes().all(|byte| byte.is_ascii_graphic());
        if disk.serial.len() > DISK_SERIAL_BYTES_MAX || !printable {
            return Err(BadConfig::DiskSerial { index });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(symbols: &[(u64, u64, &str)]) -> MachineConfig {
        let symbols =
            symbols.iter().map(|&(addr, size, name)| Symbol { addr, size, name: name.into() }).collect();
        MachineConfig {
            guest: "g".into(),
            ram_bytes: RAM_BYTES_DEFAULT,
            mac: MAC_DEFAULT,
            symbols,
            ..MachineConfig::default()
        }
    }

    #[test]
    fn an_address_finds_its_symbol() {
        let config = config(&[(0x100, 0x10, "main"), (0x120, 0, "label"), (0x200, 4, "end")]);
        let name = |addr| config.symbol_at(addr).map(|(symbol, into)| (symbol.name.as_str(), into));
        assert_eq!(name(0xff), None);
        assert_eq!(name(0x100), Some(("main", 0)));
        assert_eq!(name(0x10f), Some(("main", 15)));
        assert_eq!(name(0x110), None, "between symbols");
        assert_eq!(name(0x1ff), Some(("label", 0xdf)), "a label reaches to the next symbol");
        assert_eq!(name(0x204), None);
    }

    #[test]
    fn a_machine_is_the_described_one_whatever_its_entropy_and_disks() {
        let described = config(&[]);
        let disks = vec![DiskSpec { sectors: 1, read_only: false, serial: String::new() }];
        let running = MachineConfig { rng_seed: vec![1], disks, ..config(&[]) };
        assert_eq!(running.difference(&described), None);
        for (other, word) in [
            (MachineConfig { ram_bytes: 64 << 20, ..config(&[]) }, "not 64 MiB"),
            (MachineConfig { cpu: "rv64,svadu=on".parse().unwrap(), ..config(&[]) }, "not rv64,svadu=on"),
            (MachineConfig { board: BoardModel::default().without_net(), ..config(&[]) }, "has a network"),
            (MachineConfig { platform: Platform::OwnSbi, ..config(&[]) }, "platform"),
            (MachineConfig { guest_digest: Digest(1), ..config(&[]) }, "other files"),
            (MachineConfig { bootargs: "quiet".into(), ..config(&[]) }, "command line"),
            (MachineConfig { ends_at_reset: true, ..config(&[]) }, "does not end"),
            (MachineConfig { mac: mac_of("b"), ..config(&[]) }, "not 52:"),
        ] {
            let difference = running.difference(&other).unwrap();
            assert!(difference.contains(word), "{difference}");
        }
        let alone = MachineConfig { board: BoardModel::default().without_net(), ..config(&[]) };
        assert!(alone.difference(&described).unwrap().contains("no network"));
    }

    #[test]
    fn each_vm_has_an_address_of_its_own_that_stays() {
        let mut macs: Vec<[u8; 6]> = (0..5000).map(|n| mac_of(&format!("vm-{n}"))).collect();
        assert!(macs.iter().all(|mac| mac[0] & 3 == 2), "a station's, locally administered");
        macs.sort_unstable();
        macs.dedup();
        assert_eq!(macs.len(), 5000);
        // Neighbours remember it over a restart: it may not move between versions.
        assert_eq!(mac_of("kv"), [0x52, 0x8c, 0xa8, 0xa4, 0xf7, 0xe5]);
        let named_nothing = MachineConfig { mac: [0; 6], ..config(&[]) };
        assert_eq!(config(&[]).difference(&named_nothing), None);
    }

    #[test]
    fn impossible_configurations_are_told() {
        assert_eq!(config(&[]).check(), Ok(()));
        let disk = |sectors, serial: &str| DiskSpec { sectors, read_only: false, serial: serial.into() };
        let with = |disks: Vec<DiskSpec>| MachineConfig { disks, ..config(&[]) }.check();
        assert_eq!(with(vec![disk(1, ""), disk(DISK_SECTORS_MAX, &"x".repeat(20))]), Ok(()));
        assert_eq!(with(vec![disk(1, ""); 5]), Err(BadConfig::Disks { count: 5 }));
        for sectors in [0, DISK_SECTORS_MAX + 1, u64::MAX] {
            let refused = Err(BadConfig::DiskSize { index: 1, sectors });
            assert_eq!(with(vec![disk(1, ""), disk(sectors, "")]), refused);
        }
        for serial in ["x".repeat(21).as_str(), "a b", "\u{e4}", "\n"] {
            assert_eq!(with(vec![disk(1, serial)]), Err(BadConfig::DiskSerial { index: 0 }));
        }
        let cpu = Cpu { revision: 4, ..Cpu::default() };
        assert_eq!(MachineConfig { cpu, ..config(&[]) }.check(), Err(BadConfig::Cpu { revision: 4 }));
        for bytes in [0, 4096, RAM_BYTES_DEFAULT + 1, RAM_BYTES_MAX + 4096, u64::MAX] {
            let config = MachineConfig { ram_bytes: bytes, ..config(&[]) };
            assert_eq!(config.check(), Err(BadConfig::RamBytes { bytes }));
        }
        assert_eq!(config(&[(5, 0, "a"), (5, 0, "b")]).check(), Err(BadConfig::Symbol { index: 1 }));
        assert_eq!(config(&[(5, 0, &"x".repeat(257))]).check(), Err(BadConfig::Symbol { index: 0 }));
    }
}

//! What a machine is to run: an ELF guest, or a kernel with what it is booted with; the same options
//! for `run`, `primary` and, as a description of what it is to join, `backup`.

use std::path::{Path, PathBuf};

use super::{Failure, arg, elf};
use crate::cpu::Cpu;
use crate::devices::disk::DiskSpec;
use crate::host::os::fill_entropy;
use crate::machine::config::{MachineConfig, RAM_BYTES_DEFAULT, RAM_BYTES_MAX};
use crate::machine::{BoardModel, BootOptions, Firmware, Kernel, KernelBoot, KernelError, Machine, mac_of};
use crate::net::Mac;

/// A kernel's memory by default.
const KERNEL_RAM_BYTES: u64 = 256 << 20;
/// A kernel's command line when none is given.
const APPEND_DEFAULT: &str = "console=ttyS0";
/// What goes before a command line without `panic=`: a panic ends the guest with a status of its
/// own instead of spinning for ever. The machine's own SBI understands it; under a firmware it would be a
/// reset like any other.
const APPEND_PANIC: &str = "panic=-1 reboot=panic_warm";
/// Bytes of entropy that a kernel finds in its device tree.
const RNG_SEED_BYTES: usize = 32;

#[derive(clap::Args)]
pub struct GuestArgs {
    /// The guest: a static RV64 ELF file.
    #[arg(value_name = "GUEST.elf", conflicts_with = "kernel")]
    guest: Option<PathBuf>,
    /// Boot this kernel instead, in S-mode: a RISC-V Linux `Image`, an ELF file, or a flat binary that runs
    /// at 0x80200000, such as U-Boot's `u-boot.bin`.
    #[arg(long, value_name = "IMAGE")]
    kernel: Option<PathBuf>,
    /// The kernel's initial RAM disk.
    #[arg(long, value_name = "FILE", requires = "kernel", conflicts_with = "guest")]
    initrd: Option<PathBuf>,
    /// The kernel's command line. Unless it contains `panic=` or there is a --firmware,
    /// `panic=-1 reboot=panic_warm` goes before it: a panic ends the guest, with status 70.
    #[arg(long, value_name = "TEXT", requires = "kernel", conflicts_with = "guest", default_value = APPEND_DEFAULT)]
    append: String,
    /// Run this firmware (a flat binary or an ELF file, as OpenSBI's `fw_dynamic.bin`) in M-mode instead of
    /// the machine's own SBI. Without a --kernel it is all there is, as U-Boot's `u-boot.bin` for M-mode.
    #[arg(long, value_name = "FILE", conflicts_with = "guest")]
    firmware: Option<PathBuf>,
    /// The guest's memory [default: 128M, with a kernel or a firmware 256M].
    #[arg(long, value_parser = arg::memory)]
    memory: Option<u64>,
    /// The guest's Ethernet address [default: one made from the vm's name].
    #[arg(long, value_name = "52:54:..", value_parser = arg::mac)]
    mac: Option<Mac>,
    /// Leave the network device out: its virtio slot is empty.
    #[arg(long, conflicts_with_all = ["mac", "switch"])]
    no_net: bool,
    /// The hart and its properties, as in `rv64,svadu=on`: svadu (page-table bits A and D are set by
    /// hardware; off), zicbom and zicboz (cache-block operations; on). `rv64gc` has no Zba, Zbb, Zbs, Zicond, Zcb, Zfhmin, Zfa.
    #[arg(long, value_name = "rv64|rv64gc[,PROPERTY=on|off...]", default_value_t)]
    cpu: Cpu,
    /// End when the guest resets its machine, instead of starting it over.
    #[arg(long)]
    no_reboot: bool,
}

impl GuestArgs {
    /// Whether there is anything to run.
    pub fn is_named(&self) -> bool {
        self.guest.is_some() || self.kernel.is_some() || self.firmware.is_some()
    }

    /// Reads what there is to read and puts it into a machine of the vm `vm`.
    pub fn boot(&self, vm: &str, disks: Vec<DiskSpec>, board: BoardModel) -> Result<Machine, Failure> {
        let mac = self.mac.map_or_else(|| mac_of(vm), |mac| mac.0);
        let board = if self.no_net { board.without_net() } else { board };
        match (self.kernel.as_deref().or(self.firmware.as_deref()), &self.guest) {
            (Some(named), _) => self.boot_kernel(named, mac, disks, board),
            (None, Some(guest)) => {
                let options = BootOptions {
                    mac,
                    ram_bytes: self.memory.unwrap_or(RAM_BYTES_DEFAULT),
                    ends_at_reset: self.no_reboot,
                    disks,
                    board,
                    cpu: self.cpu,
                    ..BootOptions::default()
                };
                arg::boot(guest, options)
            }
            (None, None) => {
                Err(Failure::new("no guest").fix("name a guest's ELF file, --kernel, or --firmware"))
            }
        }
    }

    /// The machine that a backup is to expect, if one is described. It is not run: a joiner receives its
    /// machine.
    pub fn described(&self) -> Result<Option<MachineConfig>, Failure> {
        if self.kernel.is_some() || self.firmware.is_some() || self.guest.is_some() {
            let mut config = self.boot("", Vec::new(), BoardModel::default())?.config().clone();
            // A primary may have been given another than its name's.
            config.mac = self.mac.unwrap_or_default().0;
            return Ok(Some(config));
        }
        let described = self.memory.is_some() || self.no_reboot || self.mac.is_some() || self.no_net;
        if described || self.cpu != Cpu::default() {
            const WHAT: &str =
                "--memory, --mac, --no-net, --cpu and --no-reboot describe no machine without a guest";
            return Err(Failure::new(WHAT)
                .fix("name the guest as the primary does, or leave them out: a backup gets its machine from its primary"));
        }
        Ok(None)
    }

    /// Boots the kernel, the firmware, or both; `named` is what the machine is called after.
    fn boot_kernel(
        &self,
        named: &Path,
        mac: [u8; 6],
        disks: Vec<DiskSpec>,
        board: BoardModel,
    ) -> Result<Machine, Failure> {
        let unusable = |path: &Path, error: KernelError| {
            let fix = fix(&error);
            Failure::new(format!("{}: {error}", path.display())).fix(fix)
        };
        let kernel_bytes =
            self.kernel.as_deref().map(|path| arg::read_guest(path, "--kernel")).transpose()?;
        let kernel = match (&self.kernel, &kernel_bytes) {
            (Some(path), Some(bytes)) => Some(Kernel::parse(bytes).map_err(|error| unusable(path, error))?),
            _ => None,
        };
        if let Some(file) = kernel.as_ref().and_then(Kernel::elf) {
            elf::say_what_is_unused(named, file);
        }
        let initrd = self.initrd.as_deref().map(|path| arg::read_guest(path, "--initrd")).transpose()?;
        let firmware_bytes =
            self.firmware.as_deref().map(|path| arg::read_guest(path, "--firmware")).transpose()?;
        let firmware = match (&self.firmware, &firmware_bytes) {
            (Some(path), Some(bytes)) => Some(Firmware::parse(bytes).map_err(|error| unusable(path, error))?),
            _ => None,
        };
        let mut rng_seed = vec![0; RNG_SEED_BYTES];
        fill_entropy(&mut rng_seed);
        let options = BootOptions {
            guest: arg::file_name(named),
            ram_bytes: self.memory.unwrap_or(KERNEL_RAM_BYTES),
            bootargs: if kernel.is_some() {
                bootargs(&self.append, firmware.is_some())
            } else {
                String::new()
            },
            rng_seed,
            ends_at_reset: self.no_reboot,
            disks,
            board,
            cpu: self.cpu,
            ..BootOptions::default()
        };
        let options = BootOptions { mac, ..options };
        let boot = KernelBoot { kernel, initrd: initrd.as_deref(), firmware };
        Machine::boot_kernel(&boot, &options).map_err(|error| unusable(named, error))
    }
}

/// The command line that the kernel gets.
fn bootargs(append: &str, under_firmware: bool) -> String {
    let says = append.split_whitespace().any(|word| word.starts_with("panic="));
    if says || under_firmware { append.to_owned() } else { format!("{APPEND_PANIC} {append}") }
}

/// What to do about it.
fn fix(error: &KernelError) -> String {
    let fix = match error {
        KernelError::DoesNotFit { needed, .. } if *needed <= RAM_BYTES_MAX => {
            return format!("give the guest more: --memory {}M", needed.div_ceil(1 << 20));
        }
        KernelError::DoesNotFit { .. } => "name a smaller one: no guest has that much memory",
        KernelError::NoKernel { what } if what.ends_with("compressed") => {
            "unpack it first (gzip -dc, xz -dc, zstd -dc, ...)"
        }
        KernelError::NoCode
        | KernelError::NoKernel { .. }
        | KernelError::BigEndian
        | KernelError::Misaligned { .. }
        | KernelError::Size { .. } => {
            "name an uncompressed RISC-V Linux Image (arch/riscv/boot/Image, Debian's /boot/vmlinux), or an ELF file or flat binary such as U-Boot's"
        }
        KernelError::CutOff { .. } | KernelError::Huge { .. } => {
            "copy the kernel again from where it came from"
        }
        KernelError::Elf(_) => {
            "link it at 0x80200000 with fixed addresses; of Linux name the flat Image, not vmlinux"
        }
        KernelError::Nothing => "name a --kernel, a --firmware, or both",
        KernelError::EmptyInitrd => "name a cpio archive with --initrd, or leave --initrd out",
        KernelError::CommandLine { .. } => "shorten --append",
        KernelError::FirmwareTooLarge { .. }
        | KernelError::FirmwareTooHigh { .. }
        | KernelError::Firmware(_)
        | KernelError::NoFirmware { .. } => {
            "name a firmware linked at 0x80000000, such as OpenSBI's fw_dynamic.bin or fw_jump.bin"
        }
        KernelError::DeviceTree(_) => "the command line must not hold a zero byte",
        KernelError::Config(_) => "choose another --memory",
    };
    fix.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_the_guest_unless_the_command_line_says_otherwise() {
        assert_eq!(bootargs("quiet", false), "panic=-1 reboot=panic_warm quiet");
        assert_eq!(bootargs("quiet panic=5", false), "quiet panic=5");
        assert_eq!(bootargs("quiet", true), "quiet");
        assert_eq!(bootargs("xpanic=5", false), "panic=-1 reboot=panic_warm xpanic=5");
    }
}

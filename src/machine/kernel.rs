//! A kernel to boot (a RISC-V Linux `Image`, an ELF file, any other flat binary such as U-Boot's
//! `u-boot.bin`), an initial RAM disk, a firmware.
//!
//! ```text
//! Image, offset  size  field (Documentation/arch/riscv/boot-image-header.rst of Linux)
//! 0x00           8     code
//! 0x08           8     where it wants to be, from the start of RAM
//! 0x10           8     bytes in memory, its zeroed part counted
//! 0x18           8     flags: bit 0 is set for big-endian
//! 0x20           4     header version
//! 0x30           8     "RISCV\0\0\0"
//! 0x38           4     "RSC\x05"
//! ```
//!
//! Everything is little-endian. Where things go in RAM: a firmware at its start; the kernel where it
//! wants to be (a flat binary that does not say: 2 MiB into RAM, as on QEMU's `virt`); the device tree
//! at the end; the initial RAM disk just below it.
//!
//! Absent on purpose: compressed images (the message says what a file is instead), EFI.

use thiserror::Error;

use super::config::{BadConfig, RAM_BYTES_MAX};
use super::elf::{Elf, LoadError};
use super::magic;
use crate::base::{Digest, GuestPhys, digest_bytes};
use crate::isa::{Extensions, Op, decode};
use crate::mem::{PAGE_BYTES, RAM_BASE, Ram};

const HEADER_BYTES: usize = 0x40;
const MAGIC: &[u8; 8] = b"RISCV\0\0\0";
const MAGIC2: &[u8; 4] = b"RSC\x05";
const BIG_ENDIAN: u64 = 1;
/// Kernels are mapped with pages of this size.
const KERNEL_ALIGN: u64 = 2 << 20;
/// The longest command line: what Linux on RISC-V keeps of one (`COMMAND_LINE_SIZE`) without its end.
pub const BOOTARGS_BYTES_MAX: usize = 1023;

/// Why a kernel cannot be booted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KernelError {
    /// A flat file does not begin with an instruction that the hart has.
    #[error("the kernel is neither a RISC-V Image nor an ELF file nor code: no instruction comes first")]
    NoCode,
    /// The file is recognised as something else.
    #[error("the kernel is not a RISC-V Image: it is {what}")]
    NoKernel {
        /// What it is, in words that go after "it is".
        what: &'static str,
    },
    /// An EFI kernel's file is shorter than its section table says.
    #[error(
        "the kernel is cut off: its own table of sections reaches to {expected} bytes, the file has {found}"
    )]
    CutOff {
        /// Bytes that the table describes.
        expected: u64,
        /// Bytes of the file.
        found: u64,
    },
    /// The `Image` header's offset and size are past any machine's RAM.
    #[error(
        "the kernel's header is damaged: it would reach {reach:#x} bytes into RAM, no machine has that much"
    )]
    Huge {
        /// Their sum.
        reach: u64,
    },
    /// There is nothing to run.
    #[error("neither a kernel nor a firmware")]
    Nothing,
    /// An initial RAM disk is given, without a byte in it.
    #[error("the initial RAM disk is empty")]
    EmptyInitrd,
    /// The command line would be cut by the kernel.
    #[error("the command line has {bytes} bytes, Linux reads {BOOTARGS_BYTES_MAX}")]
    CommandLine {
        /// Its length.
        bytes: usize,
    },
    /// The file given as firmware is recognised as something else.
    #[error("the firmware is {what}")]
    NoFirmware {
        /// What it is, in words that go after "it is".
        what: &'static str,
    },
    /// The kernel is an ELF file that cannot be loaded.
    #[error("the kernel is an ELF file: {0}")]
    Elf(LoadError),
    /// The `Image` header has the flag of a big-endian kernel.
    #[error("the kernel is big-endian")]
    BigEndian,
    /// The `Image` header wants a place at which the kernel cannot map itself.
    #[error("the kernel wants to be {offset:#x} bytes into RAM, which is no multiple of 2 MiB")]
    Misaligned {
        /// `text_offset`: bytes from the start of RAM.
        offset: u64,
    },
    /// The `Image` header says less memory than the file has bytes.
    #[error("the kernel's header says {image_bytes} bytes in memory, the file has {file_bytes}")]
    Size {
        /// `image_size`.
        image_bytes: u64,
        /// Bytes of the file.
        file_bytes: u64,
    },
    /// A part does not fit the RAM behind the parts before it.
    #[error("{what} needs {needed} bytes of RAM, there are {ram_bytes}")]
    DoesNotFit {
        /// The part.
        what: &'static str,
        /// Bytes of RAM up to the part's end.
        needed: u64,
        /// Bytes of RAM that the machine has.
        ram_bytes: u64,
    },
    /// The firmware would be overwritten by the kernel.
    #[error("the firmware reaches to {end}, over the kernel's place at {kernel}")]
    FirmwareTooLarge {
        /// The address behind the firmware's last.
        end: GuestPhys,
        /// Where the kernel begins.
        kernel: GuestPhys,
    },
    /// The firmware would overwrite the device tree or the initial RAM disk.
    #[error("the firmware reaches to {end}, into what is put at the end of RAM, from {start} on")]
    FirmwareTooHigh {
        /// The address behind the firmware's last.
        end: GuestPhys,
        /// Where the initial RAM disk or the device tree begins.
        start: GuestPhys,
    },
    /// The firmware is an ELF file that cannot be loaded.
    #[error("the firmware: {0}")]
    Firmware(LoadError),
    /// The device tree could not be made.
    #[error("device tree: {0}")]
    DeviceTree(String),
    /// No machine can have the options that it is booted with.
    #[error(transparent)]
    Config(#[from] BadConfig),
}

/// A kernel's file that has been looked at.
#[derive(Clone, Debug)]
pub enum Kernel<'a> {
    /// Loaded in one piece and entered at its start.
    Flat {
        /// The file.
        bytes: &'a [u8],
        /// From the start of RAM.
        offset: u64,
        /// In memory.
        size: u64,
    },
    /// Loaded segment by segment.
    Elf(Elf<'a>),
}

impl<'a> Kernel<'a> {
    /// Recognises the kernel by its first bytes and checks its header.
    ///
    /// # Errors
    /// The file is no kernel, is damaged, or is recognised as something else.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, KernelError> {
        if let Some(what) = magic::name(bytes) {
            return Err(KernelError::NoKernel { what });
        }
        if bytes.starts_with(b"\x7fELF") {
            return Elf::parse(bytes).map(Kernel::Elf).map_err(KernelError::Elf);
        }
        match image_header(bytes) {
            Some(header) => Self::image(bytes, header),
            None if begins_with_code(bytes) => {
                Ok(Kernel::Flat { bytes, offset: KERNEL_ALIGN, size: bytes.len() as u64 })
            }
            None => Err(KernelError::NoCode),
        }
    }

    fn image(bytes: &'a [u8], header: &[u8; HEADER_BYTES]) -> Result<Self, KernelError> {
        let field = |at: usize| {
            let bytes: [u8; 8] = std::array::from_fn(|i| header[at + i]);
            u64::from_le_bytes(bytes)
        };
        let (offset, image_bytes, file_bytes) = (field(0x08), field(0x10), bytes.len() as u64);
        if field(0x18) & BIG_ENDIAN != 0 {
            return Err(KernelError::BigEndian);
        }
        if !offset.is_multiple_of(KERNEL_ALIGN) {
            return Err(KernelError::Misaligned { offset });
        }
        if image_bytes < file_bytes {
            return Err(KernelError::Size { image_bytes, file_bytes });
        }
        if let Some(expected) = magic::efi_file_bytes(bytes).filter(|&expected| expected > file_bytes) {
            return Err(KernelError::CutOff { expected, found: file_bytes });
        }
        let reach = offset.saturating_add(image_bytes);
        if reach > RAM_BYTES_MAX {
            return Err(KernelError::Huge { reach });
        }
        Ok(Kernel::Flat { bytes, offset, size: image_bytes })
    }

    /// The physical address that the kernel is entered at.
    pub fn entry(&self) -> GuestPhys {
        match self {
            Kernel::Flat { offset, .. } => RAM_BASE.plus(*offset),
            Kernel::Elf(elf) => elf.entry(),
        }
    }

    /// What to say of the file although it can be booted.
    pub fn elf(&self) -> Option<&Elf<'a>> {
        match self {
            Kernel::Flat { .. } => None,
            Kernel::Elf(elf) => Some(elf),
        }
    }

    /// Copies it to RAM, in which [`KernelBoot::places`] found room for it.
    pub(super) fn load(&self, ram: &mut Ram) -> Result<(), KernelError> {
        match self {
            Kernel::Flat { bytes, .. } => {
                ram.write(self.start(), bytes).expect("its place was found in this RAM");
                Ok(())
            }
            Kernel::Elf(elf) => elf.load(ram).map_err(KernelError::Elf),
        }
    }

    /// Its first byte in memory.
    fn start(&self) -> GuestPhys {
        match self {
            Kernel::Flat { offset, .. } => RAM_BASE.plus(*offset),
            Kernel::Elf(elf) => elf.start(),
        }
    }

    /// Bytes from the start of RAM to its end in memory.
    fn end(&self) -> u64 {
        match self {
            Kernel::Flat { offset, size, .. } => offset + size,
            Kernel::Elf(elf) => elf.end().get() - RAM_BASE.get(),
        }
    }

    fn digest(&self) -> Digest {
        match self {
            Kernel::Flat { bytes, .. } => digest_bytes(bytes, 1),
            Kernel::Elf(elf) => elf.digest(),
        }
    }
}

/// The header of an `Image`.
fn image_header(bytes: &[u8]) -> Option<&[u8; HEADER_BYTES]> {
    let header = bytes.first_chunk::<HEADER_BYTES>()?;
    (&header[0x30..0x38] == MAGIC || &header[0x38..0x3c] == MAGIC2).then_some(header)
}

/// A flat binary has no other mark of its own.
fn begins_with_code(bytes: &[u8]) -> bool {
    let insn = match bytes {
        [a, b, ..] if a & 3 != 3 => decode(u16::from_le_bytes([*a, *b]).into(), Extensions::ALL),
        [a, b, c, d, ..] => decode(u32::from_le_bytes([*a, *b, *c, *d]), Extensions::ALL),
        _ => return false,
    };
    insn.op != Op::Illegal
}

/// A firmware that runs in M-mode before the kernel.
#[derive(Clone, Debug)]
pub enum Firmware<'a> {
    /// A flat binary, loaded at the start of RAM.
    Flat(&'a [u8]),
    /// Loaded segment by segment.
    Elf(Elf<'a>),
}

impl<'a> Firmware<'a> {
    /// Recognises the firmware by its first bytes.
    ///
    /// # Errors
    /// The file is recognised as something else ([`KernelError::NoFirmware`]), or is a damaged ELF file
    /// ([`KernelError::Firmware`]).
    pub fn parse(bytes: &'a [u8]) -> Result<Self, KernelError> {
        if bytes.starts_with(b"\x7fELF") {
            Elf::parse(bytes).map(Firmware::Elf).map_err(KernelError::Firmware)
        } else if let Some(what) = magic::name(bytes) {
            Err(KernelError::NoFirmware { what })
        } else if image_header(bytes).is_some() {
            Err(KernelError::NoFirmware { what: "a kernel" })
        } else if !begins_with_code(bytes) {
            Err(KernelError::NoFirmware { what: "neither an ELF file nor code: no instruction comes first" })
        } else {
            Ok(Firmware::Flat(bytes))
        }
    }

    pub(super) fn entry(&self) -> GuestPhys {
        match self {
            Firmware::Flat(_) => RAM_BASE,
            Firmware::Elf(elf) => elf.entry(),
        }
    }

    /// Its first byte in memory, and the one behind its last.
    fn range(&self) -> (GuestPhys, GuestPhys) {
        match self {
            Firmware::Flat(bytes) => (RAM_BASE, RAM_BASE.plus(bytes.len() as u64)),
            Firmware::Elf(elf) => (elf.start(), elf.end()),
        }
    }
}

/// A kernel, and what it is booted with; or a firmware alone, which finds by itself what to run.
#[derive(Clone, Debug)]
pub struct KernelBoot<'a> {
    /// The kernel; none for a firmware that finds by itself what to run.
    pub kernel: Option<Kernel<'a>>,
    /// The initial RAM disk's file.
    pub initrd: Option<&'a [u8]>,
    /// In place of the machine's own SBI.
    pub firmware: Option<Firmware<'a>>,
}

/// Where in RAM things are: offsets from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Places {
    pub device_tree: GuestPhys,
    pub initrd: Option<GuestPhys>,
}

impl KernelBoot<'_> {
    /// Of the files, for two replicas to agree on.
    pub(super) fn digest(&self) -> Digest {
        let mut digests = Vec::new();
        digests.extend(self.kernel.iter().flat_map(|kernel| kernel.digest().0.to_le_bytes()));
        let mut add = |bytes: &[u8], seed| digests.extend(digest_bytes(bytes, seed).0.to_le_bytes());
        if let Some(initrd) = self.initrd {
            add(initrd, 2);
        }
        match &self.firmware {
            None => {}
            Some(Firmware::Flat(bytes)) => add(bytes, 3),
            Some(Firmware::Elf(elf)) => digests.extend(elf.digest().0.to_le_bytes()),
        }
        digest_bytes(&digests, 0)
    }

    /// Finds a place for everything, with a device tree of up to `tree_bytes`.
    pub(super) fn places(&self, ram_bytes: u64, tree_bytes: u64) -> Result<Places, KernelError> {
        let too_large = |what, needed| KernelError::DoesNotFit { what, needed, ram_bytes };
        let firmware = self.firmware.as_ref().map(Firmware::range);
        let kernel_end = match (&self.kernel, firmware) {
            (Some(kernel), _) => kernel.end(),
            (None, Some((_, end))) => end.get() - RAM_BASE.get(),
            (None, None) => return Err(KernelError::Nothing),
        };
        let what = if self.kernel.is_some() { "the kernel" } else { "the firmware" };
        let align_down = |at: u64| at / KERNEL_ALIGN * KERNEL_ALIGN;
        let tree = ram_bytes
            .checked_sub(tree_bytes)
            .map(align_down)
            .filter(|&at| at >= kernel_end)
            .ok_or_else(|| too_large(what, kernel_end + KERNEL_ALIGN))?;
        let initrd = match self.initrd {
            None => None,
            Some([]) => return Err(KernelError::EmptyInitrd),
            Some(bytes) => {
                let size = (bytes.len() as u64).next_multiple_of(PAGE_BYTES as u64);
                let at = tree.checked_sub(size).filter(|&at| at >= kernel_end).ok_or_else(|| {
                    let needed = kernel_end.saturating_add(size).saturating_add(KERNEL_ALIGN);
                    too_large("the kernel with its initial RAM disk", needed)
                })?;
                Some(RAM_BASE.plus(at))
            }
        };
        if let (Some(kernel), Some((start, end))) = (self.kernel.as_ref().map(Kernel::start), firmware)
            && end > kernel
            && start < RAM_BASE.plus(kernel_end)
        {
            return Err(KernelError::FirmwareTooLarge { end, kernel });
        }
        let device_tree = RAM_BASE.plus(tree);
        let start = initrd.unwrap_or(device_tree);
        if let Some(Firmware::Elf(elf)) = &self.firmware
            && elf.segment_in(start, RAM_BASE.plus(ram_bytes)).is_some()
        {
            return Err(KernelError::FirmwareTooHigh { end: elf.end(), start });
        }
        Ok(Places { device_tree, initrd })
    }
}

/// What OpenSBI's `fw_dynamic` finds at a2: where to go, in which mode, on which hart.
pub(super) fn dynamic_info(next: GuestPhys) -> [u8; 48] {
    const MAGIC: u64 = 0x4942_534f;
    const VERSION: u64 = 2;
    const NEXT_MODE_S: u64 = 1;
    let mut out = [0; 48];
    let fields = [MAGIC, VERSION, next.get(), NEXT_MODE_S, 0, 0];
    for (bytes, field) in out.chunks_exact_mut(8).zip(fields) {
        bytes.copy_from_slice(&field.to_le_bytes());
    }
    out
}

#[cfg(test)]
#[path = "kernel_tests.rs"]
mod tests;

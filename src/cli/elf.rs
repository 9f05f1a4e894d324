//! A guest's ELF file, from the command line into a machine: what is wrong with it, and what of it is unused.

use std::path::Path;

use super::Failure;
use crate::host::say::say;
use crate::machine::config::RAM_BYTES_MAX;
use crate::machine::{BootOptions, Elf, LeftOut, LoadError, Machine};
use crate::mem::RAM_BASE;

/// Reads a guest's headers.
pub fn parse(bytes: &[u8]) -> Result<Elf<'_>, Failure> {
    Elf::parse(bytes).map_err(|error| {
        Failure::new(format!("not a guest that this machine can run: {error}"))
            .fix("build a static RV64 ELF linked at 0x80000000 or above, as guest-programs/build does")
    })
}

/// Says what of an ELF file is not used.
pub fn say_what_is_unused(path: &Path, elf: &Elf<'_>) {
    let path = path.display();
    for LeftOut { index, start, end } in elf.left_out() {
        say!("lockstep: {path}: segment {index} at {start}..{end} is below RAM and is left out");
    }
    if let Some(why) = elf.unnamed() {
        say!("lockstep: {path}: it runs without its symbols: {why}");
    }
}

/// Puts a guest into a machine.
pub fn boot(elf: &Elf<'_>, options: BootOptions) -> Result<Machine, Failure> {
    Machine::boot(elf, &options).map_err(|error| {
        let fix = load_fix(&error);
        Failure::new(format!("the guest does not load: {error}")).fix(fix)
    })
}

/// What to do about an image that does not load.
fn load_fix(error: &LoadError) -> String {
    let reach = match error {
        LoadError::OutsideRam { end, .. } => Some(end.get() - RAM_BASE.get()),
        LoadError::NoRoomForDeviceTree { at, .. } => Some(at.get() - RAM_BASE.get()),
        _ => None,
    };
    // The device tree goes behind the segments.
    let reach = reach.map(|bytes| bytes + (4 << 20));
    match (reach, error) {
        (Some(bytes), _) if bytes <= RAM_BYTES_MAX => {
            format!("give it more memory: --memory {}M, or more", bytes.div_ceil(1 << 20))
        }
        (Some(_), _) => {
            format!("link it lower: RAM begins at {RAM_BASE} and has at most {} GiB", RAM_BYTES_MAX >> 30)
        }
        (None, LoadError::Config(_)) => "choose another --memory".into(),
        (None, _) => "check its program headers (readelf -lW)".into(),
    }
}

//! Kernels, firmware, initial RAM disks, kernel command lines, and the device tree of what boots.
//!
//! ```text
//! offset  size  field
//! 0       1     bit 0: there is a firmware, 1: an initial RAM disk, 2 and 3: how many disks, 4: 8 MiB of RAM, not 4,
//!               5: no kernel
//! 1       ...   parts: kernel, firmware, initial RAM disk, command line
//! ```

use lockstep::devices::disk::DiskSpec;
use lockstep::machine::{BootOptions, Firmware, Kernel, KernelBoot, Machine};

use crate::elf::run_and_move;
use crate::guest::RAM_BYTES;
use crate::input::Input;

pub const FIRMWARE: u8 = 1;
pub const INITRD: u8 = 2;
pub const MORE_RAM: u8 = 16;
pub const NO_KERNEL: u8 = 32;

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let flags = input.u8();
    let [kernel, firmware, initrd, bootargs] = [(); 4].map(|()| input.part());
    let firmware = Firmware::parse(firmware);
    let kernel = match Kernel::parse(kernel) {
        _ if flags & NO_KERNEL != 0 => None,
        Ok(kernel) => Some(kernel),
        Err(_) => return,
    };
    if let Some(kernel) = &kernel {
        kernel.entry();
    }
    let firmware = match firmware {
        _ if flags & FIRMWARE == 0 => None,
        Ok(firmware) => Some(firmware),
        Err(_) => return,
    };
    let disk = DiskSpec { sectors: 8, read_only: false, serial: "s".into() };
    let options = BootOptions {
        ram_bytes: RAM_BYTES << u8::from(flags & MORE_RAM != 0),
        bootargs: String::from_utf8_lossy(bootargs).into_owned(),
        disks: vec![disk; usize::from(flags >> 2 & 3)],
        ..BootOptions::default()
    };
    let initrd = (flags & INITRD != 0).then_some(initrd);
    let Ok(mut machine) = Machine::boot_kernel(&KernelBoot { kernel, initrd, firmware }, &options) else {
        return;
    };
    run_and_move(&mut machine);
}

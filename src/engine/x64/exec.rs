//! The memory that translated code is in, and the one place where it is called: all `unsafe` of the translator.
//!
//! The memory is mapped twice, once to be written and once to be executed, and never both at one address.

use std::os::fd::OwnedFd;

use memmap2::{Mmap, MmapMut, MmapOptions};

use super::fp::flags_of;
use super::layout::{BIAS, Frame, NO_RESERVATION, Why};
use crate::engine::tlb::PAGE_MASK;
use crate::engine::{Left, Work};
use crate::mem::PAGE_BYTES;

/// Memory for code: what is written through one view is executed through the other.
pub struct CodeMemory {
    write: MmapMut,
    execute: Mmap,
}

impl CodeMemory {
    /// So many bytes; an error where the host forbids it.
    #[allow(unsafe_code, reason = "maps memory that nothing else knows, twice")]
    pub fn new(len: usize) -> std::io::Result<Self> {
        #[cfg(test)]
        if super::forbidden::now() {
            return Err(std::io::ErrorKind::PermissionDenied.into());
        }
        let file: OwnedFd = rustix::fs::memfd_create("lockstep-translator", rustix::fs::MemfdFlags::CLOEXEC)?;
        rustix::fs::ftruncate(&file, len as u64)?;
        // SAFETY: the file has no name and no other holder, and is not truncated while it is mapped. Its bytes
        // change only through `write`, which needs `&mut self`, so never while code runs (`&self`).
        let (write, execute) = unsafe {
            (MmapOptions::new().len(len).map_mut(&file)?, MmapOptions::new().len(len).map_exec(&file)?)
        };
        Ok(Self { write, execute })
    }

    pub fn len(&self) -> usize {
        self.write.len()
    }

    /// Puts `code` at `at`; it fits (asserted).
    pub fn put(&mut self, at: usize, code: &[u8]) {
        self.write[at..at + code.len()].copy_from_slice(code);
    }

    /// Runs translated code: the trampoline at `trampoline`, which goes on at the code at `entry`, with the
    /// registers, caches and RAM of `work`. `pages` is what [`Frame::pages`] says. `float`: with this MXCSR.
    ///
    /// The translator promises that `emit`'s and `routines`' code stands where it says, and that `pages` has one
    /// number for each page of RAM, 0 or the address of entry points; the hart, that each entry of its caches
    /// leads into RAM.
    #[allow(unsafe_code, reason = "calls translated code")]
    pub fn call(
        &self,
        (trampoline, entry): (u32, u32),
        work: &mut Work<'_>,
        pages: &[u64],
        float: Option<u32>,
        left: &mut Left,
    ) -> Why {
        let (trampoline, entry) = (trampoline as usize, entry as usize);
        assert!(trampoline < self.execute.len() && entry < self.execute.len());
        assert!(pages.len() >= work.ram.len() / PAGE_BYTES);
        let mut frame = Frame {
            regs: std::ptr::from_mut(work.regs) as u64 + BIAS as u64,
            data: std::ptr::from_ref(work.data) as u64,
            fetch: work.fetch.as_ptr() as u64,
            ram: work.ram.as_mut_ptr() as u64,
            pages: pages.as_ptr() as u64,
            code: self.execute.as_ptr() as u64,
            page: left.pc & PAGE_MASK,
            count: left.count,
            pc: left.pc,
            float: float.is_some().into(),
            mxcsr: float.unwrap_or(0),
            host_mxcsr: 0,
            reservation: work.reservation.unwrap_or(NO_RESERVATION),
        };
        let start = self.execute.as_ptr();
        // SAFETY: the trampoline is a function of this type: it keeps the registers that the System V ABI says
        // a function keeps, and MXCSR, uses the stack below its caller's frame, and returns one of `Why`'s
        // numbers. It and the regions reach memory in four ways only (`layout`): the frame; `regs`, `data` and
        // `fetch`, at offsets that are constants or masked to the tables' size; `pages`, by the page number
        // of a fetch entry, and through it the 2048 entry points of a page, or at once those of the region's own page,
        // which stay where they are while code of the page is reached; and `ram`, where an entry of `data`
        // leads whose tag equals the page of an aligned access, or of the highest of several whose lowest has the same
        // entry, so within one page of RAM (`Hart::cache_data` makes entries of pages of RAM only). All of it is borrowed for this call: `regs` and
        // `ram` alone are written, and are borrowed mutably.
        let why = unsafe {
            let run: extern "sysv64" fn(*mut Frame, *const u8) -> u32 =
                std::mem::transmute(start.add(trampoline));
            run(&mut frame, start.add(entry))
        };
        if float.is_some() {
            *work.fcsr |= flags_of(frame.mxcsr);
        }
        *work.reservation = Some(frame.reservation).filter(|&at| at != NO_RESERVATION);
        (left.pc, left.count) = (frame.pc, frame.count);
        match why {
            0 => Why::Spent,
            1 => Why::Slow,
            _ => Why::Lost,
        }
    }
}

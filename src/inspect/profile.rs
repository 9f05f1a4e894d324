//! Where a guest's time goes: how often it was seen in which function, called by which.
//!
//! The result is folded stacks, a line each: the mode, the functions from the outermost to the one that ran, and how
//! often that was seen. Code without a name is its mode and page, as in `user:0x15000`, and has no callers.
//! Bounded: a guest that shows more than [`STACKS_MAX`] stacks has the rest counted as one for each mode.

use std::cell::Cell;
use std::collections::BTreeMap;

use super::callers::{Stand, callers};
use super::symbols::{SymbolTable, mode_name};
use crate::base::{GuestPhys, GuestVirt};
use crate::cpu::{Hart, Privilege};
use crate::mem::{PAGE_BYTES, Ram};

/// Different stacks that are counted each by itself.
pub const STACKS_MAX: usize = 1 << 17;
/// The frame of those that are not.
const OTHERS: &str = "(other stacks)";

/// What a stack is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Frame {
    /// By its number in the table.
    Function(usize),
    /// By its address.
    Page(u64),
}

/// A mode, and its frames, the innermost first.
type Stack = (Privilege, Vec<Frame>);

/// Samples of one guest.
#[derive(Debug, Default)]
pub struct Profile {
    table: SymbolTable,
    stacks: BTreeMap<Stack, u64>,
    others: BTreeMap<Privilege, u64>,
}

impl Profile {
    /// Names functions by `table`.
    pub fn new(table: SymbolTable) -> Self {
        Self { table, ..Self::default() }
    }

    /// Counts where `hart` is.
    pub fn sample(&mut self, hart: &Hart, ram: &Ram) {
        let [ra, sp, fp] = [1, 2, 8].map(|n| hart.x(n));
        let stand = Stand { pc: hart.pc(), ra, sp, fp, handlers: hart.trap_handlers() };
        let window = Window::new(hart, ram);
        self.count(hart.privilege(), stand, &|at, into| window.read(at, into));
    }

    fn count(&mut self, mode: Privilege, stand: Stand, memory: super::callers::Memory<'_>) {
        let leaf = match self.table.place(stand.pc) {
            Some(function) => Frame::Function(function),
            None => Frame::Page(stand.pc - stand.pc % PAGE),
        };
        let mut frames = vec![leaf];
        callers(&self.table, stand, memory, |function| frames.push(Frame::Function(function)));
        let is_full = self.stacks.len() >= STACKS_MAX;
        let stack = (mode, frames);
        match self.stacks.get_mut(&stack) {
            Some(count) => *count += 1,
            None if is_full => *self.others.entry(mode).or_default() += 1,
            None => drop(self.stacks.insert(stack, 1)),
        }
    }

    /// How often the guest was looked at.
    pub fn samples(&self) -> u64 {
        self.stacks.values().chain(self.others.values()).sum()
    }

    /// Samples that were counted without their stack.
    pub fn others(&self) -> u64 {
        self.others.values().sum()
    }

    /// The folded stacks, sorted.
    pub fn folded(&self) -> String {
        let mut lines: BTreeMap<String, u64> = BTreeMap::new();
        for ((mode, frames), count) in &self.stacks {
            let mode = mode_name(*mode);
            let mut line = mode.to_owned();
            for frame in frames.iter().rev() {
                line.push(';');
                match frame {
                    Frame::Function(place) => line.extend(self.table.name(*place).chars().map(harmless)),
                    Frame::Page(at) => line.push_str(&format!("{mode}:{at:#x}")),
                }
            }
            *lines.entry(line).or_default() += count;
        }
        lines.extend(
            self.others.iter().map(|(mode, count)| (format!("{};{OTHERS}", mode_name(*mode)), *count)),
        );
        lines.iter().map(|(line, count)| format!("{line} {count}\n")).collect()
    }
}

const PAGE: u64 = PAGE_BYTES as u64;

/// What the format means something else by.
fn harmless(c: char) -> char {
    match c {
        ';' => ':',
        c if c.is_whitespace() || c.is_control() => '_',
        c => c,
    }
}

/// The pages that a hart's loads reach, as far as they are RAM. To read there does nothing that a load does besides.
struct Window<'a> {
    hart: &'a Hart,
    ram: &'a Ram,
    /// Virtual pages, and where they are: a walk along a stack comes back to few.
    known: [Cell<(u64, GuestPhys)>; 8],
}

impl<'a> Window<'a> {
    fn new(hart: &'a Hart, ram: &'a Ram) -> Self {
        // No page begins there.
        Self { hart, ram, known: std::array::from_fn(|_| Cell::new((u64::MAX, GuestPhys(0)))) }
    }

    /// Where the page of `va` is.
    fn page(&self, va: u64) -> Option<GuestPhys> {
        let page = va - va % PAGE;
        let known = &self.known[(page / PAGE) as usize % self.known.len()];
        if known.get().0 != page {
            let at = self.hart.physical(self.ram, GuestVirt(va))?.get();
            known.set((page, GuestPhys(at - at % PAGE)));
        }
        Some(known.get().1)
    }

    fn read(&self, at: u64, into: &mut [u8]) -> bool {
        let mut done = 0;
        while done < into.len() {
            let va = at.wrapping_add(done as u64);
            let len = (into.len() - done).min((PAGE - va % PAGE) as usize);
            let Some(page) = self.page(va) else { return false };
            if self.ram.read(page.plus(va % PAGE), &mut into[done..done + len]).is_err() {
                return false;
            }
            done += len;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::testing::boot;

    const NOWHERE: Stand = Stand { pc: 0, ra: 0, sp: 0, fp: 0, handlers: [0; 2] };

    fn profile(symbols: &str) -> Profile {
        Profile::new(SymbolTable::parse(symbols.as_bytes()).expect("symbols"))
    }

    fn count(profile: &mut Profile, mode: Privilege, pc: u64) {
        profile.count(mode, Stand { pc, ..NOWHERE }, &|_, _| false);
    }

    #[test]
    fn stacks_are_folded_by_name_and_what_has_none_by_page() {
        let mut profile = profile("1000 T one\n2000 T a;b\n3000 T one\n");
        for pc in [0x1000, 0x1004, 0x3000, 0x2000] {
            count(&mut profile, Privilege::Supervisor, pc);
        }
        for pc in [0x40_1000, 0x40_1ffe, 0x40_2000, u64::MAX] {
            count(&mut profile, Privilege::User, pc);
        }
        count(&mut profile, Privilege::Machine, 0x1000);
        let expected = "machine;one 1\nsupervisor;a:b 1\nsupervisor;one 3\n\
                        user;user:0x401000 2\nuser;user:0x402000 1\nuser;user:0xfffffffffffff000 1\n";
        assert_eq!(profile.folded(), expected);
        assert_eq!((profile.samples(), profile.others()), (9, 0));
        assert_eq!([' ', '\u{2028}', '\u{1b}', 'é'].map(harmless), ['_', '_', '_', 'é']);
    }

    #[test]
    fn the_outermost_caller_comes_first() {
        // `jal ra, 0x100` at 0x1000.
        let mut profile = profile("1000 T outer\n1100 T inner\n");
        let code = |at: u64, into: &mut [u8]| match (at, into.len()) {
            (0x1000, 4) => {
                into.copy_from_slice(&0x1000_00ef_u32.to_le_bytes());
                true
            }
            _ => false,
        };
        profile.count(Privilege::Machine, Stand { pc: 0x1100, ra: 0x1004, ..NOWHERE }, &code);
        assert_eq!(profile.folded(), "machine;outer;inner 1\n");
    }

    #[test]
    fn more_stacks_than_are_kept_are_counted_all_the_same() {
        let mut profile = profile("10 T here\n");
        let pages = STACKS_MAX as u64 + 5;
        for page in 1..=pages {
            count(&mut profile, Privilege::User, page << 32);
        }
        // One that is known already.
        count(&mut profile, Privilege::User, 1 << 32);
        assert_eq!((profile.samples(), profile.others()), (pages + 1, 5));
        let folded = profile.folded();
        assert!(folded.starts_with("user;(other stacks) 5\n"), "{}", &folded[..80]);
        assert!(folded.contains("user;user:0x100000000 2\n"));
        assert_eq!(folded.lines().count(), STACKS_MAX + 1);
    }

    #[test]
    fn memory_is_read_across_pages_and_devices_and_nothing_are_not() {
        let machine = boot(include_bytes!("../../guest-programs/hello/hello.elf"));
        let ram = machine.ram();
        let window = Window::new(machine.hart(), ram);
        let start = crate::mem::RAM_BASE.get();
        let mut read_bytes = [0; 32];
        assert!(window.read(start + PAGE - 16, &mut read_bytes));
        let there = PAGE as usize - 16..PAGE as usize + 16;
        assert_eq!(read_bytes, ram.bytes()[there]);
        // Eight pages on, and back: one takes the other's place.
        for at in [start, start + 8 * PAGE, start] {
            let mut byte = [0xff; 8];
            assert!(window.read(at, &mut byte));
            let at = (at - start) as usize;
            assert_eq!(byte, ram.bytes()[at..at + 8]);
        }
        assert_ne!(ram.bytes()[..8], ram.bytes()[8 * PAGE as usize..][..8]);
        let end = start + ram.size_bytes();
        assert!(window.read(end - 8, &mut [0; 8]));
        for at in [end - 4, start - 4, 0x1000_0000, 0, u64::MAX - 3] {
            assert!(!window.read(at, &mut [0; 8]), "{at:#x}");
        }
    }
}

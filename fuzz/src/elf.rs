//! ELF files that are to be guests, and those that only name places.

use lockstep::base::Icount;
use lockstep::inspect::SymbolTable;
use lockstep::machine::elf::symbols_of;
use lockstep::machine::{BootOptions, Elf, Machine};

use crate::guest::RAM_BYTES;

pub fn run(data: &[u8]) {
    if let Ok(table) = SymbolTable::parse(data) {
        table.find(0x8000_0000);
    }
    drop(symbols_of(data));
    let Ok(elf) = Elf::parse(data) else { return };
    let code: usize = elf.code().map(|(_, bytes)| bytes.len()).sum();
    assert!(code <= data.len(), "{code} bytes of code are in a file of {}", data.len());
    assert!(elf.symbols().is_sorted_by(|a, b| a.addr < b.addr), "symbols are in order, one an address");
    assert!(elf.entry().get() & 1 == 0);
    for left_out in elf.left_out() {
        assert!(left_out.start <= left_out.end);
    }
    let options = BootOptions { ram_bytes: RAM_BYTES, ..BootOptions::default() };
    let Ok(mut machine) = Machine::boot(&elf, &options) else { return };
    run_and_move(&mut machine);
}

/// Runs a machine that was just made from a file; it must be one that can be moved to another host.
pub fn run_and_move(machine: &mut Machine) {
    machine.config().check().expect("what boots is a legal machine");
    machine.run_until(Icount(2000));
    machine.take_outputs();
    let digest = machine.digest();
    let mut moved = Machine::restore(machine.save()).expect("what was saved is restored");
    assert_eq!(moved.digest(), digest);
}

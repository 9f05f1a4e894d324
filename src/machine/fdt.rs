//! The flattened device tree that a1 points to at reset: this machine in the words that kernels
//! and firmware know (devicetree.org specification 0.4, QEMU's `virt` as the model).

use vm_fdt::{Error, FdtWriter};

use super::config::{MachineConfig, Platform};
use super::map::{self, Region};
use crate::base::GuestPhys;
use crate::cpu::{BLOCK_BYTES, Cpu};
use crate::devices::finisher::{POWEROFF, REBOOT};
use crate::devices::plic::SOURCES;
use crate::isa::Extensions;
use crate::mem::RAM_BASE;

/// The extensions of this hart that the device tree names, in canonical order (Unprivileged spec 36.8).
///
/// Left out for a kernel under a firmware: Zkr, because the kernel would read `seed` at once, and the
/// firmware in use does not permit it. Of Svade and Svadu just one is named: the one that holds from the
/// start (`riscv,isa-extensions` in Linux's bindings).
fn isa_extensions(config: &MachineConfig) -> Vec<&'static str> {
    let Cpu { revision, svadu, zicbom, zicboz } = config.cpu;
    let has = |extension| config.cpu.extensions().contains(extension);
    let zkr = config.platform != Platform::Firmware;
    if revision < 2 {
        let first = ["i", "m", "a", "f", "d", "c", "zicsr", "zifencei", "zicntr", "sstc"];
        return first.into_iter().chain(zkr.then_some("zkr")).collect();
    }
    let told = [
        ("i", true),
        ("m", true),
        ("a", true),
        ("f", true),
        ("d", true),
        ("c", true),
        ("zicbom", zicbom),
        ("zicboz", zicboz),
        ("zicntr", true),
        ("zicond", has(Extensions::ZICOND)),
        ("zicsr", true),
        ("zifencei", true),
        ("zfa", has(Extensions::ZFA)),
        ("zfhmin", has(Extensions::ZFHMIN)),
        // What `c` stands for, which Zcb builds on.
        ("zca", has(Extensions::ZCB)),
        ("zcb", has(Extensions::ZCB)),
        ("zcd", has(Extensions::ZCB)),
        ("zba", has(Extensions::ZBA)),
        ("zbb", has(Extensions::ZBB)),
        ("zbs", has(Extensions::ZBS)),
        ("zkr", zkr),
        ("sstc", true),
        ("svade", !svadu),
        ("svadu", svadu),
    ];
    told.into_iter().filter(|(_, here)| *here).map(|(name, _)| name).collect()
}

/// The same as `riscv,isa` spells it: single letters together, the rest with underscores.
fn isa(extensions: &[&str]) -> String {
    let join = |text: String, name: &&str| text + if name.len() > 1 { "_" } else { "" } + name;
    extensions.iter().fold("rv64".to_owned(), join)
}

const HART_INTC: u32 = 1;
const PLIC: u32 = 2;
const FINISHER: u32 = 3;

/// Interrupt numbers at the hart (bits of `mip`).
const M_SOFTWARE: u32 = 3;
const M_TIMER: u32 = 7;
const S_EXTERNAL: u32 = 9;
const M_EXTERNAL: u32 = 11;

/// The device tree of a machine made so.
pub fn build(config: &MachineConfig) -> Result<Vec<u8>, Error> {
    let mut fdt = FdtWriter::new()?;
    let root = fdt.begin_node("")?;
    fdt.property_u32("#address-cells", 2)?;
    fdt.property_u32("#size-cells", 2)?;
    fdt.property_string_list("compatible", strings(&["lockstep,virt", "riscv-virtio"]))?;
    fdt.property_string("model", "lockstep,virt")?;
    chosen(&mut fdt, config)?;
    memory(&mut fdt, config.ram_bytes)?;
    cpus(&mut fdt, config)?;
    soc(&mut fdt)?;
    switch(&mut fdt, "poweroff", "syscon-poweroff", POWEROFF)?;
    switch(&mut fdt, "reboot", "syscon-reboot", REBOOT)?;
    fdt.end_node(root)?;
    fdt.finish()
}

fn chosen(fdt: &mut FdtWriter, config: &MachineConfig) -> Result<(), Error> {
    let node = fdt.begin_node("chosen")?;
    fdt.property_string("stdout-path", &format!("/soc/{}", name("serial", map::UART.base)))?;
    if !config.bootargs.is_empty() {
        fdt.property_string("bootargs", &config.bootargs)?;
    }
    if !config.rng_seed.is_empty() {
        fdt.property("rng-seed", &config.rng_seed)?;
    }
    if let Some((start, end)) = config.initrd {
        fdt.property_u64("linux,initrd-start", start.get())?;
        fdt.property_u64("linux,initrd-end", end.get())?;
    }
    fdt.end_node(node)
}

fn memory(fdt: &mut FdtWriter, ram_bytes: u64) -> Result<(), Error> {
    let node = fdt.begin_node(&name("memory", RAM_BASE))?;
    fdt.property_string("device_type", "memory")?;
    fdt.property_array_u64("reg", &[RAM_BASE.get(), ram_bytes])?;
    fdt.end_node(node)
}

fn cpus(fdt: &mut FdtWriter, config: &MachineConfig) -> Result<(), Error> {
    let extensions = isa_extensions(config);
    let cpus = fdt.begin_node("cpus")?;
    fdt.property_u32("#address-cells", 1)?;
    fdt.property_u32("#size-cells", 0)?;
    fdt.property_u32("timebase-frequency", map::TIMEBASE_HZ)?;
    let cpu = fdt.begin_node("cpu@0")?;
    fdt.property_string("device_type", "cpu")?;
    fdt.property_u32("reg", 0)?;
    fdt.property_string("status", "okay")?;
    fdt.property_string("compatible", "riscv")?;
    fdt.property_string("riscv,isa", &isa(&extensions))?;
    fdt.property_string("riscv,isa-base", "rv64i")?;
    fdt.property_string_list("riscv,isa-extensions", strings(&extensions))?;
    fdt.property_string("mmu-type", "riscv,sv39")?;
    if config.cpu.zicbom {
        fdt.property_u32("riscv,cbom-block-size", BLOCK_BYTES as u32)?;
    }
    if config.cpu.zicboz {
        fdt.property_u32("riscv,cboz-block-size", BLOCK_BYTES as u32)?;
    }
    let intc = fdt.begin_node("interrupt-controller")?;
    fdt.property_string("compatible", "riscv,cpu-intc")?;
    fdt.property_u32("#interrupt-cells", 1)?;
    fdt.property_null("interrupt-controller")?;
    fdt.property_phandle(HART_INTC)?;
    fdt.end_node(intc)?;
    fdt.end_node(cpu)?;
    fdt.end_node(cpus)
}

fn soc(fdt: &mut FdtWriter) -> Result<(), Error> {
    let soc = fdt.begin_node("soc")?;
    fdt.property_string("compatible", "simple-bus")?;
    fdt.property_u32("#address-cells", 2)?;
    fdt.property_u32("#size-cells", 2)?;
    fdt.property_null("ranges")?;

    let node = fdt.begin_node(&name("test", map::FINISHER.base))?;
    fdt.property_string_list("compatible", strings(&["sifive,test1", "sifive,test0", "syscon"]))?;
    reg(fdt, map::FINISHER)?;
    fdt.property_phandle(FINISHER)?;
    fdt.end_node(node)?;

    let node = fdt.begin_node(&name("clint", map::CLINT.base))?;
    fdt.property_string_list("compatible", strings(&["sifive,clint0", "riscv,clint0"]))?;
    reg(fdt, map::CLINT)?;
    fdt.property_array_u32("interrupts-extended", &[HART_INTC, M_SOFTWARE, HART_INTC, M_TIMER])?;
    fdt.end_node(node)?;

    let node = fdt.begin_node(&name("plic", map::PLIC.base))?;
    fdt.property_string_list("compatible", strings(&["sifive,plic-1.0.0", "riscv,plic0"]))?;
    reg(fdt, map::PLIC)?;
    fdt.property_u32("#address-cells", 0)?;
    fdt.property_u32("#interrupt-cells", 1)?;
    fdt.property_null("interrupt-controller")?;
    fdt.property_array_u32("interrupts-extended", &[HART_INTC, M_EXTERNAL, HART_INTC, S_EXTERNAL])?;
    fdt.property_u32("riscv,ndev", SOURCES - 1)?;
    fdt.property_phandle(PLIC)?;
    fdt.end_node(node)?;

    let node = fdt.begin_node(&name("serial", map::UART.base))?;
    fdt.property_string("compatible", "ns16550a")?;
    reg(fdt, map::UART)?;
    fdt.property_u32("clock-frequency", 3_686_400)?;
    interrupt(fdt, map::UART_IRQ)?;
    fdt.end_node(node)?;

    let node = fdt.begin_node(&name("rtc", map::RTC.base))?;
    fdt.property_string("compatible", "google,goldfish-rtc")?;
    reg(fdt, map::RTC)?;
    interrupt(fdt, map::RTC_IRQ)?;
    fdt.end_node(node)?;

    for slot in 0..map::VIRTIO_SLOTS {
        let size = map::VIRTIO.size / map::VIRTIO_SLOTS;
        let region = Region { base: map::VIRTIO.base.plus(slot * size), size };
        let node = fdt.begin_node(&name("virtio_mmio", region.base))?;
        fdt.property_string("compatible", "virtio,mmio")?;
        reg(fdt, region)?;
        interrupt(fdt, map::virtio_irq(slot))?;
        fdt.end_node(node)?;
    }
    fdt.end_node(soc)
}

/// A node that describes how to switch the machine off, or on again, through the finisher.
fn switch(fdt: &mut FdtWriter, name: &str, compatible: &str, value: u32) -> Result<(), Error> {
    let node = fdt.begin_node(name)?;
    fdt.property_string("compatible", compatible)?;
    fdt.property_u32("regmap", FINISHER)?;
    fdt.property_u32("offset", 0)?;
    fdt.property_u32("value", value)?;
    fdt.end_node(node)
}

fn reg(fdt: &mut FdtWriter, region: Region) -> Result<(), Error> {
    fdt.property_array_u64("reg", &[region.base.get(), region.size])
}

fn interrupt(fdt: &mut FdtWriter, irq: u32) -> Result<(), Error> {
    fdt.property_u32("interrupt-parent", PLIC)?;
    fdt.property_u32("interrupts", irq)
}

fn name(what: &str, at: GuestPhys) -> String {
    format!("{what}@{:x}", at.get())
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|&s| s.to_owned()).collect()
}

#[cfg(test)]
#[path = "fdt_tests.rs"]
mod tests;

//! What a primary tells its guest, and when.

use super::*;
use crate::base::{Generation, Icount, NodeId};
use crate::devices::disk::{DiskDone, DiskOp, DiskSpec, DiskStatus};
use crate::ft::Boot;
use crate::ft::arbiter::Claim;
use crate::ft::node::Event;
use crate::machine::{BootOptions, Kernel, KernelBoot, Machine};

/// A machine with one disk, about to run a kernel that is nothing but a header.
fn machine() -> Machine {
    let mut image = vec![0; 0x1000];
    image[0x08..0x10].copy_from_slice(&(2u64 << 20).to_le_bytes());
    image[0x10..0x18].copy_from_slice(&0x1000u64.to_le_bytes());
    image[0x30..0x38].copy_from_slice(b"RISCV\0\0\0");
    let kernel = Kernel::parse(&image).expect("a good image");
    let disks = vec![DiskSpec { sectors: 8, read_only: false, serial: String::new() }];
    let options = BootOptions { ram_bytes: 8 << 20, disks, ..BootOptions::default() };
    Machine::boot_kernel(&KernelBoot { kernel, initrd: None, firmware: None }, &options).expect("it boots")
}

#[test]
fn a_flush_waits_while_nobody_knows_who_reigns() {
    let mut common = Common::new(NodeId(1), "vm", Settings::default());
    let boot = Boot { machine: machine(), generation: Generation(1), life: 1, limit: Icount::MAX };
    let mut primary = Primary::boot(&mut common, boot, 0);
    primary.ask_disk(&mut common, DiskRequest { disk: 0, tag: 1, op: DiskOp::Flush });
    let done = DiskDone { disk: 0, tag: 1, status: DiskStatus::Ok, data: Vec::new() };
    // The backup that counted is lost before it has flushed.
    primary.bid(&mut common, Generation(2), NodeId(2));
    primary.step(&mut common, Event::DiskDone(done), 1);
    assert!(!primary.inputs_ready(&common), "the lost backup may reign, and has not flushed");
    primary.step(&mut common, Event::Claimed { generation: Generation(2), outcome: Ok(Claim::Won) }, 2);
    assert!(primary.inputs_ready(&common), "this node's disk is the only one that counts");
}

//! Kernels of a few instructions, booted as big ones are.

use super::*;
use crate::base::Icount;
use crate::machine::config::Platform;
use crate::machine::{BootOptions, Exit, Machine, Output, Saved, Stop};

const RAM_BYTES: u64 = 16 << 20;
const OFFSET: u64 = 2 << 20;
const A0: u32 = 10;
const A1: u32 = 11;
const A2: u32 = 12;
const A6: u32 = 16;
const A7: u32 = 17;
const T0: u32 = 5;
const ECALL: u32 = 0x73;
const BASE: u32 = 0x10;
const SRST: u32 = 0x5352_5354;
const DBCN: u32 = 0x4442_434e;

fn addi(rd: u32, rs: u32, imm: i32) -> u32 {
    (imm as u32) << 20 | rs << 15 | rd << 7 | 0x13
}

/// `value` below 2^31 into `rd`.
fn li(rd: u32, value: u32) -> Vec<u32> {
    let low = (value << 20) as i32 >> 20;
    let high = value.wrapping_sub(low as u32) >> 12;
    vec![high << 12 | rd << 7 | 0x37, addi(rd, rd, low)]
}

/// An environment call with a0, a1, a2.
fn call(extension: u32, function: u32, arguments: [u32; 3]) -> Vec<u32> {
    let [a0, a1, a2] = arguments;
    let set = [(A0, a0), (A1, a1), (A2, a2), (A6, function), (A7, extension)];
    set.iter().flat_map(|&(rd, value)| li(rd, value)).chain([ECALL]).collect()
}

/// An Image of these instructions, as a kernel's build would leave it.
fn image(code: &[u32]) -> Vec<u8> {
    const JUMP_OVER_THE_HEADER: u32 = 0x0400_006f;
    let mut bytes = vec![0; HEADER_BYTES];
    bytes[..4].copy_from_slice(&JUMP_OVER_THE_HEADER.to_le_bytes());
    bytes[0x08..0x10].copy_from_slice(&OFFSET.to_le_bytes());
    bytes[0x10..0x18].copy_from_slice(&(1u64 << 20).to_le_bytes());
    bytes[0x30..0x38].copy_from_slice(MAGIC);
    bytes[0x38..0x3c].copy_from_slice(MAGIC2);
    bytes.extend(code.iter().flat_map(|word| word.to_le_bytes()));
    bytes
}

fn options() -> BootOptions {
    BootOptions { ram_bytes: RAM_BYTES, bootargs: "quiet".into(), ..BootOptions::default() }
}

fn boot(code: &[u32], options: &BootOptions) -> Machine {
    let image = image(code);
    let kernel = Kernel::parse(&image).expect("a good image");
    Machine::boot_kernel(&KernelBoot { kernel: Some(kernel), initrd: None, firmware: None }, options)
        .expect("it boots")
}

/// What it said, up to its end or `limit`.
fn run(machine: &mut Machine, limit: u64) -> (Vec<u8>, Stop) {
    let mut said = Vec::new();
    loop {
        let stop = machine.run_until(Icount(limit));
        for output in machine.take_outputs() {
            if let Output::Console { bytes, .. } = output {
                said.extend(bytes);
            }
        }
        match stop {
            Stop::Service => {}
            stop => return (said, stop),
        }
    }
}

fn say(byte: u8) -> Vec<u32> {
    call(DBCN, 2, [byte.into(), 0, 0])
}

#[test]
fn a_guest_that_ends_with_a_timer_armed_waits_for_none() {
    const TIME: u32 = 0x5449_4d45;
    let code = [call(TIME, 0, [10, 0, 0]), call(SRST, 0, [0, 0, 0])].concat();
    let mut machine = boot(&code, &options());
    let armed = call(TIME, 0, [10, 0, 0]).len() as u64 + 4;
    assert_eq!(machine.run_until(Icount(armed)), Stop::Reached);
    assert_eq!(machine.timer_deadline(), Some(10));
    assert_eq!(run(&mut machine, 1000).1, Stop::Halted(Exit::Pass));
    assert_eq!((machine.timer_deadline(), machine.requests()), (None, Vec::new()));
}

#[test]
fn a_kernel_starts_in_s_mode_with_hart_id_and_device_tree_and_speaks_through_the_sbi() {
    // "w" if a0 is 0; then the first two bytes of the device tree's magic are written from RAM.
    let code = [
        vec![A1 << 15 | (T0 + 1) << 7 | 0x13],
        call(DBCN, 2, [u32::from(b'w'), 0, 0]),
        vec![addi(A1, T0 + 1, 0), addi(A0, 0, 4), addi(A2, 0, 0), addi(A6, 0, 0)],
        li(A7, DBCN),
        vec![ECALL],
        call(SRST, 0, [0, 0, 0]),
    ]
    .concat();
    let mut machine = boot(&code, &options());
    assert_eq!(machine.hart().privilege(), crate::cpu::Privilege::Supervisor);
    assert_eq!((machine.hart().x(10), machine.hart().pc()), (0, RAM_BASE.get() + OFFSET));
    let (said, stop) = run(&mut machine, 1000);
    assert_eq!(said, [b'w', 0xd0, 0x0d, 0xfe, 0xed]);
    assert_eq!(stop, Stop::Halted(Exit::Pass));
}

#[test]
fn a_reset_starts_over_from_the_same_ram_at_later_positions() {
    // Says 'A' if the word behind the code is zero, else 'B'; sets it; resets.
    let mut code = li(T0, 0x8030_0000u32 as i32 as u32 & 0x7fff_ffff);
    code.extend([addi(T0 + 1, 0, 1), (T0 + 1) << 15 | 31 << 20 | (T0 + 1) << 7 | 1 << 12 | 0x13]);
    code.push((T0 + 1) << 20 | T0 << 15 | T0 << 7 | 0x33);
    code.push(T0 << 15 | 2 << 12 | A0 << 7 | 0x03);
    code.extend([addi(A0, A0, i32::from(b'A')), addi(A6, 0, 2)]);
    code.extend(li(A7, DBCN));
    code.extend([ECALL, addi(A0, 0, 1), A0 << 20 | T0 << 15 | 2 << 12 | 0x23]);
    code.extend(call(SRST, 0, [1, 0, 0]));
    let mut machine = boot(&code, &options());
    let (said, stop) = run(&mut machine, 1000);
    assert_eq!(stop, Stop::Reached);
    assert!(said.len() > 10 && said.iter().all(|&byte| byte == b'A'), "{said:?}");
    assert_eq!(machine.icount(), Icount(1000));
    assert_eq!(machine.console_bytes(), said.len() as u64);

    // Cut into pieces and put aside in between, it is the same machine.
    let mut pieces = boot(&code, &options());
    for to in (0..=1000).step_by(7) {
        while pieces.run_until(Icount(to)) == Stop::Service {
            pieces.take_outputs();
        }
        pieces.take_outputs();
        pieces = Machine::restore(pieces.save()).expect("it was saved so");
    }
    while pieces.run_until(Icount(1000)) == Stop::Service {
        pieces.take_outputs();
    }
    pieces.take_outputs();
    assert_eq!(pieces.digest(), machine.digest());

    let once = BootOptions { ends_at_reset: true, ..options() };
    let (said, stop) = run(&mut boot(&code, &once), 1000);
    assert_eq!((said.as_slice(), stop), (&b"A"[..], Stop::Halted(Exit::Reset)));
}

#[test]
fn a_guest_that_starts_over_is_seeded_anew_and_alike_on_each_replica() {
    let code = [say(b'x'), call(SRST, 0, [1, 0, 0])].concat();
    // Each of its words is executed once, and the jump over the header.
    let life = code.len() as u64 + 1;
    let options = BootOptions { rng_seed: vec![7; 32], ..options() };
    let mut machine = boot(&code, &options);
    let tree = |machine: &Machine| {
        let start = (machine.hart().x(A1 as u8) - RAM_BASE.get()) as usize;
        machine.ram().bytes()[start..].to_vec()
    };
    let first = tree(&machine);
    let place = first.windows(32).position(|bytes| bytes == [7; 32]).expect("the seed is in the tree");
    let mut seeds = vec![first[place..place + 32].to_vec()];
    for lives in 1..=3 {
        let (said, _) = run(&mut machine, lives * life);
        assert_eq!(said, b"x");
        let mut tree = tree(&machine);
        let seed: Vec<u8> = tree.splice(place..place + 32, [7; 32]).collect();
        assert_eq!(tree, first, "nothing but the seed is another");
        assert!(!seeds.contains(&seed), "{seed:?}");
        seeds.push(seed);

        let mut other = boot(&code, &options);
        run(&mut other, lives * life - 1);
        let mut other = Machine::restore(other.save()).expect("it was saved so");
        run(&mut other, lives * life);
        assert_eq!(other.digest(), machine.digest());
        machine = Machine::restore(machine.save()).expect("it was saved so");
    }
}

#[test]
fn a_guest_that_can_only_trap_is_found_out_at_one_position_however_it_is_run() {
    use crate::cpu::Stuck;
    use crate::cpu::trap::Cause;
    // stvec is 0, where no memory is: an illegal instruction, then fetches that fail.
    let code = [addi(T0, 0, 1), addi(T0, 0, 2), u32::MAX];
    let stuck = Some(Stuck { at: Icount(4), pc: 0, cause: Cause::FetchAccess });
    let mut whole = boot(&code, &options());
    assert_eq!(whole.run_until(Icount(3)), Stop::Reached);
    assert_eq!(whole.hart().stuck(), None);
    assert_eq!(whole.run_until(Icount(1000)), Stop::Reached);
    assert_eq!((whole.hart().stuck(), whole.hart().pc()), (stuck, 0));
    let mut pieces = boot(&code, &options());
    (1..=1000).for_each(|to| assert_eq!(pieces.run_until(Icount(to)), Stop::Reached));
    assert_eq!((pieces.hart().stuck(), pieces.digest()), (stuck, whole.digest()));
    // It is no state, and a trap that is handled is none.
    assert_eq!(Machine::restore(whole.save()).expect("it was saved so").hart().stuck(), None);
    let handled = [li(T0, 0x8020_0000u32 as i32 as u32 & 0x7fff_ffff), vec![ECALL; 3]].concat();
    let mut machine = boot(&handled, &options());
    machine.run_until(Icount(6));
    assert_eq!(machine.hart().stuck(), None);
}

#[test]
fn a_panic_is_told_from_a_reboot() {
    let end = |arguments| run(&mut boot(&call(SRST, 0, arguments), &options()), 1000).1;
    assert_eq!(end([2, 0, 0]), Stop::Halted(Exit::Panic));
    assert_eq!(end([0, 1, 0]), Stop::Halted(Exit::Panic));
    assert_eq!(end([1, 1, 0]), Stop::Halted(Exit::Panic));
    assert_eq!(end([0, 0, 0]), Stop::Halted(Exit::Pass));
    assert_eq!(Exit::Panic.status(), 70);
}

#[test]
fn a_machine_with_another_boot_image_is_not_restored() {
    let code = [say(b'x'), call(SRST, 0, [1, 0, 0])].concat();
    let mut machine = boot(&code, &options());
    run(&mut machine, 10);
    let saved = machine.save();
    assert!(Machine::restore(saved.clone()).is_ok());
    let mut elsewhere = saved.boot.clone();
    elsewhere[0] ^= 4;
    assert!(Machine::restore(Saved { boot: elsewhere, ..saved.clone() }).is_err());
    assert!(Machine::restore(Saved { boot: saved.boot[..3].to_vec(), ..saved }).is_err());
}

#[test]
fn what_the_sbi_has_not_is_not_supported_and_changes_nothing() {
    let probe = |extension: u32, function: u32, arguments: [u32; 3]| {
        let mut machine = boot(&call(extension, function, arguments), &options());
        let stop = machine.run_until(Icount(12));
        assert_eq!(stop, Stop::Reached);
        (machine.hart().x(10) as i64, machine.hart().x(11))
    };
    assert_eq!(probe(BASE, 0, [0, 0, 0]), (0, 2 << 24), "version 2.0");
    assert_eq!(probe(BASE, 3, [DBCN, 0, 0]), (0, 1));
    assert_eq!(probe(BASE, 3, [0x0050_4d55, 0, 0]), (0, 0), "no PMU");
    assert_eq!(probe(BASE, 7, [0, 0, 0]), (-2, 0));
    assert_eq!(probe(0, 0, [65, 0, 0]), (-2, 0), "no legacy console");
    assert_eq!(probe(0x0048_534d, 2, [0, 0, 0]), (0, 0), "hart 0 is started");
    assert_eq!(probe(0x0048_534d, 0, [0, 0, 0]).0, -6);
    assert_eq!(probe(0x0048_534d, 2, [1, 0, 0]).0, -3);
    assert_eq!(probe(0x5246_4e43, 1, [1, 0, 0]).0, 0);
    assert_eq!(probe(0x5246_4e43, 1, [2, 0, 0]).0, -3);
    assert_eq!(probe(DBCN, 0, [8, 0x7fff_fff0, 0]).0, -5, "no RAM there");
}

#[test]
fn files_that_are_no_kernel_are_told_apart() {
    let good = image(&[ECALL]);
    let refused = |change: fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        Kernel::parse(&bytes).expect_err("refused")
    };
    assert!(Kernel::parse(&good).is_ok());
    assert_eq!(refused(Vec::clear), KernelError::NoCode);
    let gzip = KernelError::NoKernel { what: "gzip-compressed" };
    assert_eq!(refused(|b| b[..2].copy_from_slice(&[0x1f, 0x8b])), gzip);
    assert!(matches!(refused(|b| b[0x38..0x3c].copy_from_slice(b"ARM\x64")), KernelError::NoKernel { .. }));
    assert!(matches!(refused(|b| b[0x10..0x18].fill(0xff)), KernelError::Huge { reach: u64::MAX }));
    let far = KernelError::Huge { reach: (1 << 40) + (1 << 20) };
    assert_eq!(refused(|b| b[0x08..0x10].copy_from_slice(&(1u64 << 40).to_le_bytes())), far);
    assert!(matches!(refused(|b| b[..4].copy_from_slice(b"\x7fELF")), KernelError::Elf(_)));
    assert_eq!(refused(|b| b.fill(0)), KernelError::NoCode);
    assert_eq!(refused(|b| b[0x18] = 1), KernelError::BigEndian);
    assert_eq!(refused(|b| b[0x08] = 1), KernelError::Misaligned { offset: OFFSET + 1 });
    assert!(matches!(refused(|b| b[0x10..0x18].fill(0)), KernelError::Size { .. }));
}

/// An ELF file of these instructions, all of it one segment at `at`.
fn elf(at: u64, code: &[u32]) -> Vec<u8> {
    const HEADERS: usize = 64 + 56;
    let mut file = vec![0; HEADERS];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"\x7fELF\x02\x01\x01");
    put(16, &[2, 0, 243, 0, 1]);
    put(24, &at.to_le_bytes());
    put(32, &[64]);
    put(52, &[64, 0, 56, 0, 1]);
    let bytes = 4 * code.len() as u64;
    for (field, value) in
        [(0, 1 | 7 << 32), (8, HEADERS as u64), (16, at), (24, at), (32, bytes), (40, bytes)]
    {
        put(64 + field, &value.to_le_bytes());
    }
    file.extend(code.iter().flat_map(|word| word.to_le_bytes()));
    file
}

#[test]
fn a_kernel_is_also_any_flat_binary_or_elf_file_and_starts_in_s_mode() {
    let code = [say(b'u'), call(SRST, 0, [0, 0, 0])].concat();
    let flat: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
    for (name, file, entry) in [
        ("flat", flat, 0x8020_0000),
        ("ELF", elf(0x8040_0000, &code), 0x8040_0000),
        ("ELF at the start of RAM", elf(0x8000_0000, &code), 0x8000_0000),
    ] {
        let kernel = Kernel::parse(&file).expect(name);
        let boot = KernelBoot { kernel: Some(kernel), initrd: Some(b"x"), firmware: None };
        let mut machine = Machine::boot_kernel(&boot, &options()).expect(name);
        assert_eq!((machine.hart().pc(), machine.hart().x(10)), (entry, 0), "{name}");
        assert_eq!(machine.hart().privilege(), crate::cpu::Privilege::Supervisor, "{name}");
        assert_eq!(run(&mut machine, 1000), (b"u".to_vec(), Stop::Halted(Exit::Pass)), "{name}");
    }
    let vmlinux = elf(0, &code);
    assert!(matches!(Kernel::parse(&vmlinux), Err(KernelError::Elf(LoadError::BelowRam { .. }))));
}

#[test]
fn a_firmware_finds_a_kernel_of_any_shape_named_in_its_a2() {
    // A firmware that enters what `fw_dynamic_info` names: ld t0, 16(a2); jr t0.
    let firmware: Vec<u8> =
        [0x0106_3283u32, 0x0002_8067].iter().flat_map(|word| word.to_le_bytes()).collect();
    let code = [0x0007_3e37u32, 0x333e_0e1b, 0x0010_0337, 0x01c3_2023];
    let flat: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
    for file in [flat.clone(), elf(0x8040_0000, &code)] {
        let kernel = Kernel::parse(&file).expect("a kernel");
        let firmware = Some(Firmware::parse(&firmware).expect("a firmware"));
        let boot = KernelBoot { kernel: Some(kernel), initrd: None, firmware };
        let mut machine = Machine::boot_kernel(&boot, &options()).expect("it boots");
        assert_eq!(run(&mut machine, 1000).1, Stop::Halted(Exit::Fail(7)));
    }
    // Alone it learns that nothing comes next, in M-mode: lw t0, 24(a2); ld t1, 16(a2) and on to the end.
    let alone: Vec<u8> =
        [0x0186_2283u32, 0x0106_3303].iter().chain(&code).flat_map(|word| word.to_le_bytes()).collect();
    for (file, entry) in [(alone, 0x8000_0000), (elf(0x8000_1000, &code), 0x8000_1000)] {
        let firmware = Some(Firmware::parse(&file).expect("a firmware"));
        let boot = KernelBoot { kernel: None, initrd: Some(b"x"), firmware };
        let mut machine = Machine::boot_kernel(&boot, &options()).expect("it boots");
        assert_eq!(
            (machine.hart().pc(), machine.hart().privilege()),
            (entry, crate::cpu::Privilege::Machine)
        );
        assert_eq!(machine.config().platform, Platform::Firmware);
        let info = GuestPhys(machine.hart().x(12));
        let mut next = [1; 8];
        machine.ram().read(info.plus(16), &mut next).expect("in RAM");
        assert_eq!(next, [0; 8]);
        assert_eq!(run(&mut machine, 1000).1, Stop::Halted(Exit::Fail(7)));
    }
    let nothing = KernelBoot { kernel: None, initrd: None, firmware: None };
    assert_eq!(Machine::boot_kernel(&nothing, &options()).map(|_| ()), Err(KernelError::Nothing));
    // One over the other.
    let over = elf(0x8000_0000, &code);
    let kernel = Kernel::parse(&over).expect("a kernel");
    let boot = KernelBoot { kernel: Some(kernel), initrd: None, firmware: Some(Firmware::Flat(&firmware)) };
    let refused = Machine::boot_kernel(&boot, &options()).map(|_| ());
    assert!(matches!(refused, Err(KernelError::FirmwareTooLarge { .. })), "{refused:?}");
    // Where the device tree is to be.
    let high = elf(RAM_BASE.get() + RAM_BYTES - 0x1000, &code);
    let kernel = Kernel::parse(&flat).expect("a kernel");
    let firmware = Some(Firmware::parse(&high).expect("a firmware"));
    let boot = KernelBoot { kernel: Some(kernel), initrd: None, firmware };
    let refused = Machine::boot_kernel(&boot, &options()).map(|_| ());
    assert!(matches!(refused, Err(KernelError::FirmwareTooHigh { .. })), "{refused:?}");
}

#[test]
fn what_does_not_fit_into_ram_says_what_it_would_take() {
    let image = image(&[ECALL]);
    let kernel = Kernel::parse(&image).unwrap();
    let boot = |ram_bytes, initrd: Option<&[u8]>, firmware: Option<&[u8]>| {
        let kernel = kernel.clone();
        let firmware = firmware.map(|bytes| Firmware::parse(bytes).unwrap());
        let options = BootOptions { ram_bytes, ..options() };
        Machine::boot_kernel(&KernelBoot { kernel: Some(kernel), initrd, firmware }, &options).map(|_| ())
    };
    let large = vec![1; 12 << 20];
    assert_eq!(boot(RAM_BYTES, Some(&large[..1 << 20]), None), Ok(()));
    assert!(matches!(boot(RAM_BYTES, Some(&large), None), Err(KernelError::DoesNotFit { .. })));
    assert!(matches!(boot(4 << 20, None, None), Err(KernelError::DoesNotFit { .. })));
    let firmware = boot(RAM_BYTES, None, Some(&large[..(2 << 20) + 1]));
    assert!(matches!(firmware, Err(KernelError::FirmwareTooLarge { .. })));
    assert!(matches!(boot(1 << 20, None, None), Err(KernelError::Config(_))));
}

/// With an EFI header whose one section ends at `end`.
fn efi_image(end: u32) -> Vec<u8> {
    let mut bytes = image(&[ECALL]);
    bytes[..2].copy_from_slice(b"MZ");
    bytes[0x3c..0x40].copy_from_slice(&64u32.to_le_bytes());
    bytes.resize(64 + 24 + 40, 0);
    bytes[64..68].copy_from_slice(b"PE\0\0");
    bytes[64 + 6] = 1;
    let section = 64 + 24;
    bytes[section + 16..section + 20].copy_from_slice(&(end - 0x40).to_le_bytes());
    bytes[section + 20..section + 24].copy_from_slice(&0x40u32.to_le_bytes());
    bytes
}

#[test]
fn a_kernel_that_is_cut_off_is_found_out_by_its_own_table_of_sections() {
    let whole = efi_image(128);
    assert!(Kernel::parse(&whole).is_ok());
    let longer = efi_image(4096);
    let cut = KernelError::CutOff { expected: 4096, found: 128 };
    assert_eq!(Kernel::parse(&longer).expect_err("cut off"), cut);
    for len in 64 + 24..whole.len() {
        assert!(matches!(Kernel::parse(&whole[..len]), Err(KernelError::CutOff { .. })), "{len}");
    }
}

#[test]
fn an_empty_ram_disk_and_an_endless_command_line_are_refused() {
    let image = image(&[ECALL]);
    let kernel = Kernel::parse(&image).unwrap();
    let refused = |initrd: Option<&[u8]>, bootargs: String| {
        let kernel = kernel.clone();
        let boot = KernelBoot { kernel: Some(kernel), initrd, firmware: None };
        Machine::boot_kernel(&boot, &BootOptions { bootargs, ..options() }).map(|_| ())
    };
    assert_eq!(refused(Some(&[]), String::new()), Err(KernelError::EmptyInitrd));
    assert_eq!(refused(None, "x".repeat(BOOTARGS_BYTES_MAX)), Ok(()));
    let long = "x".repeat(BOOTARGS_BYTES_MAX + 1);
    assert_eq!(refused(None, long), Err(KernelError::CommandLine { bytes: 1024 }));
    assert!(matches!(refused(None, "a\0b".into()), Err(KernelError::DeviceTree(_))));
}

#[test]
fn what_is_no_firmware_is_told() {
    let no_firmware = |bytes: &[u8]| matches!(Firmware::parse(bytes), Err(KernelError::NoFirmware { .. }));
    let kernel = image(&[ECALL]);
    for bytes in
        [&b""[..], b"\x13", &[0; 64], b"\xff\xff\xff\xff", b"#!/bin/sh\n", &kernel, b"\x1f\x8b\x08\0"]
    {
        assert!(no_firmware(bytes), "{bytes:02x?}");
    }
    assert!(matches!(Firmware::parse(b"\x7fELF"), Err(KernelError::Firmware(_))));
    assert!(matches!(Firmware::parse(&ECALL.to_le_bytes()), Ok(Firmware::Flat(_))));
}

#[test]
fn no_call_of_the_sbi_panics_or_grows_or_leaves_a_state_that_cannot_be() {
    use crate::base::{GuestPhys, Prng};
    use crate::machine::board::Board;
    use crate::mem::Ram;
    const EXTENSIONS: [u64; 12] = [
        0x10,
        0x5449_4d45,
        0x73_5049,
        0x5246_4e43,
        0x48_534d,
        0x5352_5354,
        0x4442_434e,
        0,
        1,
        8,
        0x50_4d55,
        0x5355_5350,
    ];
    let (mut said, mut supported) = (0, 0);
    for seed in 0..20 {
        println!("seed {seed}");
        let mut prng = Prng::new(seed);
        let (mut board, mut ram) = (Board::new([0; 6], &[], true), Ram::new(RAM_BYTES));
        ram.write(RAM_BASE, &[b'x'; 4096]).unwrap();
        for _ in 0..2_000 {
            let mut a: [u64; 8] = std::array::from_fn(|_| match prng.below(8) {
                0 => u64::MAX - prng.below(3),
                1 => prng.next_u64(),
                2 => RAM_BASE.get() + prng.below(8192),
                3 => RAM_BASE.get() + RAM_BYTES - prng.below(600),
                4 => 1 << prng.below(64),
                _ => prng.below(4),
            });
            a[6] = if prng.chance(1, 8) { prng.next_u64() } else { prng.below(8) };
            a[7] = if prng.chance(1, 8) { prng.next_u64() } else { EXTENSIONS[prng.below(12) as usize] };
            let returned = crate::machine::sbi::call(&mut board, &ram, a);
            assert!((-9..=0).contains(&(returned.a0 as i64)), "{a:x?} gives {:x}", returned.a0);
            supported += u64::from(returned.a0 == 0);
            let new = std::mem::take(&mut board.out.console).len();
            assert!(new <= 512, "{a:x?} says {new} bytes");
            said += new;
            // An end ends only the test.
            board.exit = None;
            board.out = Default::default();
            assert_eq!(board.check(RAM_BYTES), Ok(()), "{a:x?}");
        }
        let mut byte = [0];
        ram.read(GuestPhys(RAM_BASE.get()), &mut byte).unwrap();
        assert_eq!(&byte, b"x", "a call writes nothing to RAM");
    }
    assert!(said > 100 && supported > 1000, "{said} {supported}");
}

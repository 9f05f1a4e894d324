//! The board as the hart sees it, and as a hostile guest does.

use super::*;
use crate::base::Prng;
use crate::devices::disk::{DiskOp, DiskRequest, DiskStatus};
use crate::mem::RAM_BASE;

const RAM_BYTES: u64 = 1 << 20;

fn board() -> (Board, Ram) {
    (Board::new([0x52, 0x54, 0, 0x4c, 0x53, 1], &[], false), Ram::new(RAM_BYTES))
}

fn read(board: &mut Board, at: u64, size: u8) -> u64 {
    match board.read(GuestPhys(at), size, None) {
        Ok(BusRead::Value(value)) => value,
        other => panic!("{other:?}"),
    }
}

fn write(board: &mut Board, ram: &mut Ram, at: u64, size: u8, value: u64) {
    board.write(ram, GuestPhys(at), size, value).expect("a device");
}

#[test]
fn every_device_answers_at_its_place() {
    let (mut board, _) = board();
    assert_eq!(read(&mut board, 0x1000_0005, 1), 0x60);
    assert_eq!(read(&mut board, 0x1000_0005, 4), 0x60, "wide reads reach the register there");
    assert_eq!(read(&mut board, 0x200_4000, 8), u64::MAX);
    assert_eq!(read(&mut board, 0xc00_0028, 4), 0);
    for (slot, id) in [1, 4, 3, 0, 0, 0, 0, 0].into_iter().enumerate() {
        let at = 0x1000_1000 + 0x1000 * slot as u64;
        assert_eq!(read(&mut board, at, 4), 0x7472_6976);
        assert_eq!(read(&mut board, at + 8, 4), id);
    }
    assert_eq!(read(&mut board, 0x10_0000, 4), 0);
}

#[test]
fn a_disk_in_slot_0_interrupts_with_source_1_and_the_network_makes_room() {
    let spec = DiskSpec { sectors: 8, read_only: false, serial: String::new() };
    let (mut board, mut ram) = (Board::new([0; 6], &[spec], false), Ram::new(RAM_BYTES));
    board.set_model(BoardModel::with_disks(&[Some(0)]).unwrap());
    let ids: Vec<u64> = (0..8).map(|slot| read(&mut board, 0x1000_1008 + 0x1000 * slot, 4)).collect();
    assert_eq!(ids, [2, 4, 3, 0, 0, 0, 0, 1]);
    // An impossible ring raises a configuration interrupt.
    for (register, value) in [(0x70, 3), (0x70, 11), (0x70, 15), (0x44, 1)] {
        write(&mut board, &mut ram, 0x1000_1000 + register, 4, value);
    }
    assert_eq!(read(&mut board, 0xc00_1000, 4), 1 << 1, "source 1 is pending");
    board.reset();
    assert_eq!(read(&mut board, 0x1000_1008, 4), 2, "a reset moves nothing");
}

#[test]
fn a_board_of_the_first_revision_is_what_old_recordings_met() {
    let (mut board, mut ram) = board();
    let vendors = |board: &mut Board| (read(board, 0x1000_100c, 4), read(board, 0x1000_800c, 4));
    let (qemu, lock) = (u64::from(u32::from_le_bytes(*b"QEMU")), u64::from(u32::from_le_bytes(*b"lock")));
    assert_eq!(vendors(&mut board), (qemu, qemu));
    assert_eq!(read(&mut board, 0x200_4008, 8), 0);
    board.set_model(BoardModel::FIRST);
    assert_eq!(vendors(&mut board), (lock, lock));
    for at in [0x200_0004, 0x200_4008, 0x10_1020] {
        assert_eq!(board.read(GuestPhys(at), 4, None), Err(BusFault), "{at:#x}");
        assert_eq!(board.write(&mut ram, GuestPhys(at), 4, 0), Err(BusFault), "{at:#x}");
    }
    // FEATURES_OK takes VERSION_1.
    write(&mut board, &mut ram, 0x1000_1070, 4, 11);
    assert_eq!(read(&mut board, 0x1000_1070, 4), 3);
    assert_eq!(claims_of_one_unread_transmit_interrupt(&mut board, &mut ram), 5);
}

/// Enables the transmit interrupt, and answers how often of five times it can be claimed and completed.
fn claims_of_one_unread_transmit_interrupt(board: &mut Board, ram: &mut Ram) -> usize {
    for (at, size, value) in [(0xc00_0028, 4, 1), (0xc00_2000, 4, 1 << 10), (0x1000_0001, 1, 2)] {
        write(board, ram, at, size, value);
    }
    let claims = (0..5).map(|_| {
        let source = read(board, 0xc20_0004, 4);
        write(board, ram, 0xc20_0004, 4, source);
        source
    });
    claims.filter(|source| *source == 10).count()
}

#[test]
fn an_unread_transmit_interrupt_comes_once_for_each_byte() {
    let (mut board, mut ram) = board();
    assert_eq!(claims_of_one_unread_transmit_interrupt(&mut board, &mut ram), 1);
    assert_eq!(board.lines(), 0);
    // A byte that is sent between claim and completion interrupts after it.
    write(&mut board, &mut ram, 0x1000_0000, 1, b'a'.into());
    assert_eq!(read(&mut board, 0xc20_0004, 4), 10);
    write(&mut board, &mut ram, 0x1000_0000, 1, b'b'.into());
    assert_eq!(board.lines(), 0, "it is claimed");
    write(&mut board, &mut ram, 0xc20_0004, 4, 10);
    assert_eq!(board.lines(), 1 << 11);
    assert_eq!(read(&mut board, 0xc20_0004, 4), 10);
    assert_eq!(read(&mut board, 0x1000_0002, 1), 2, "IIR says why");
    write(&mut board, &mut ram, 0xc20_0004, 4, 10);
    assert_eq!(board.lines(), 0);
}

#[test]
fn nothing_answers_elsewhere() {
    let (mut board, mut ram) = board();
    let edges = [0, 0xf_fff8, 0x10_2000, 0x1ff_fff8, 0x201_0000, 0xbff_fff8, 0xc60_0000, 0x1000_0100];
    for at in edges.into_iter().chain([0x1000_0ff8, 0x1000_9000, 0x7fff_fff8, u64::MAX - 7]) {
        assert_eq!(board.read(GuestPhys(at), 4, None), Err(BusFault), "{at:#x}");
        assert_eq!(board.write(&mut ram, GuestPhys(at), 4, 0), Err(BusFault), "{at:#x}");
        assert_eq!(board.asks(GuestPhys(at), 8), None);
    }
}

#[test]
fn only_mtime_asks() {
    let (mut board, _) = board();
    assert_eq!(board.asks(GuestPhys(0x200_bff8), 8), Some(Question::Time));
    assert_eq!(board.asks(GuestPhys(0x200_bffc), 4), Some(Question::Time));
    assert_eq!(board.asks(GuestPhys(0x200_bff8), 2), None);
    assert_eq!(board.asks(GuestPhys(0x200_4000), 8), None);
    assert_eq!(board.read(GuestPhys(0x200_bff8), 8, None), Ok(BusRead::Ask(Question::Time)));
    let answered = board.read(GuestPhys(0x200_bff8), 8, Some(Answer::Time(9)));
    assert_eq!((answered, board.clint.time_known()), (Ok(BusRead::Value(9)), 9));
}

#[test]
fn a_typed_byte_interrupts_through_the_plic_until_it_is_read() {
    let (mut board, mut ram) = board();
    write(&mut board, &mut ram, 0xc00_0028, 4, 1);
    write(&mut board, &mut ram, 0xc00_2000, 4, 1 << 10);
    write(&mut board, &mut ram, 0x1000_0001, 1, 1);
    assert_eq!(board.lines(), 0);
    board.receive_console(&mut ram, b"k");
    assert_eq!(board.lines(), 1 << 11);
    assert_eq!(read(&mut board, 0xc20_0004, 4), 10);
    assert_eq!(read(&mut board, 0x1000_0000, 1), u64::from(b'k'));
    write(&mut board, &mut ram, 0xc20_0004, 4, 10);
    assert_eq!(board.lines(), 0);
}

#[test]
fn console_output_is_counted_and_presses_at_its_bound() {
    let (mut board, mut ram) = board();
    for n in 1..=1024u64 {
        assert!(!board.wants_stop(), "{n}");
        write(&mut board, &mut ram, 0x1000_0000, 1, n);
        assert_eq!(board.console_bytes, n);
    }
    assert!(board.wants_stop());
}

#[test]
fn the_first_end_is_the_end() {
    let (mut board, mut ram) = board();
    board.tohost(6);
    assert_eq!(board.exit, None);
    write(&mut board, &mut ram, 0x10_0000, 4, 0x0003_3333);
    assert!(board.wants_stop());
    board.tohost(1);
    write(&mut board, &mut ram, 0x10_0000, 4, 0x5555);
    assert_eq!(board.exit, Some(Exit::Fail(3)));
    for (value, exit) in [(1, Exit::Pass), (15, Exit::Fail(7)), (1 << 33 | 1, Exit::Fail(0))] {
        let mut board = Board::new([0; 6], &[], false);
        board.tohost(value);
        assert_eq!(board.exit, Some(exit));
    }
}

/// Sets the virtio console up, with a transmit queue of one buffer at `SPEECH`.
fn drive_console(board: &mut Board, ram: &mut Ram) {
    let queue =
        [(0x30, 1), (0x38, 8), (0x80, RINGS), (0x90, RINGS + 0x1000), (0xa0, RINGS + 0x2000), (0x44, 1)];
    let accept = [(0x70, 3), (0x24, 1), (0x20, 1), (0x70, 11)];
    for (register, value) in accept.into_iter().chain(queue).chain([(0x70, 15)]) {
        write(board, ram, 0x1000_3000 + register, 4, value);
    }
    assert!(board.console.transport.is_live());
    ram.write_u64(GuestPhys(RINGS), SPEECH).unwrap();
    ram.write_u32(GuestPhys(RINGS + 8), 2).unwrap();
}

const RINGS: u64 = 0x8000_0000;
const SPEECH: u64 = 0x8000_8000;

/// Two bytes from the virtio console.
fn speak_at_virtio(board: &mut Board, ram: &mut Ram) {
    let index = ram.read_u16(GuestPhys(RINGS + 0x1002)).unwrap();
    ram.write_u16(GuestPhys(RINGS + 0x1002), index + 1).unwrap();
    write(board, ram, 0x1000_3050, 4, 1);
}

#[test]
fn a_guest_that_starts_over_finds_its_window_and_nothing_typed_before() {
    let (mut board, mut ram) = board();
    drive_console(&mut board, &mut ram);
    speak_at_virtio(&mut board, &mut ram);
    board.resize_console(132, 50);
    board.receive_console(&mut ram, b"no reader");
    board.reset();
    assert_eq!(board.console.device.size(), (132, 50));
    assert_eq!((board.console.room(), board.uart.room(), board.console_bytes), (256, 256, 2));
    assert_eq!((board.console_port(), board.console_spoke), (ConsolePort::Serial, None));
}

#[test]
fn console_input_goes_where_the_guest_last_spoke() {
    let (mut board, mut ram) = board();
    write(&mut board, &mut ram, 0x1000_0000, 1, u64::from(b'x'));
    drive_console(&mut board, &mut ram);
    // The kernel drives the device, but what it says comes from the serial port.
    assert_eq!(board.console_port(), ConsolePort::Serial);
    board.receive_console(&mut ram, b"abc");
    assert_eq!((board.uart.room(), board.console.room()), (253, 256));
    speak_at_virtio(&mut board, &mut ram);
    assert_eq!((board.out.console.len(), board.console_port()), (3, ConsolePort::Virtio));
    board.receive_console(&mut ram, b"d");
    assert_eq!((board.uart.room(), board.console.room()), (253, 255));
    write(&mut board, &mut ram, 0x1000_0000, 1, u64::from(b'x'));
    assert_eq!(board.console_port(), ConsolePort::Serial);
}

#[test]
fn console_input_goes_to_the_serial_port_while_the_guest_has_opened_it() {
    let (mut board, mut ram) = board();
    drive_console(&mut board, &mut ram);
    speak_at_virtio(&mut board, &mut ram);
    assert_eq!(board.console_port(), ConsolePort::Virtio);
    write(&mut board, &mut ram, 0x1000_0001, 1, 1);
    assert_eq!(board.console_port(), ConsolePort::Serial);
    write(&mut board, &mut ram, 0x1000_0001, 1, 0);
    assert_eq!(board.console_port(), ConsolePort::Virtio);
    // A driver that is gone receives nothing.
    write(&mut board, &mut ram, 0x1000_3070, 4, 0);
    assert_eq!(board.console_port(), ConsolePort::Serial);
}

#[test]
fn console_input_goes_to_the_virtio_console_once_it_is_driven() {
    let (mut board, mut ram) = board();
    board.receive_console(&mut ram, b"a");
    drive_console(&mut board, &mut ram);
    assert_eq!(board.console_room(), 256);
    board.receive_console(&mut ram, b"bc");
    assert_eq!((board.console_room(), board.uart.room()), (254, 255));
}

/// One random access of a guest that knows the map and means no good; whether something answered.
fn poke(prng: &mut Prng, board: &mut Board, ram: &mut Ram) -> bool {
    let slot = 0x1000_1000 + 0x1000 * prng.below(4);
    let interesting = [
        0x10_0000,
        0x200_0000 + 4 * prng.below(2),
        0x200_4000 + 4 * prng.below(2),
        0x200_bff8,
        0xc00_0000 + 4 * prng.below(40),
        0xc00_1000,
        0xc00_2000 + 0x80 * prng.below(3),
        0xc20_0000 + 4 * prng.below(2) + 0x1000 * prng.below(3),
        0x1000_0000 + prng.below(8),
        slot + 4 * prng.below(0x44),
        slot + 4 * prng.below(0x44),
        slot + 0x70,
        slot + 0x50,
        slot + 0x50,
        slot + 0x44,
        slot + 0x38,
        slot + 0x30,
        prng.next_u64(),
    ];
    let at = interesting[prng.below(interesting.len() as u64) as usize];
    let size = [1, 2, 4, 4, 4, 4, 4, 4, 8][prng.below(9) as usize];
    let at = at & !(u64::from(size) - 1);
    let value = match prng.below(6) {
        0 => prng.next_u64(),
        1 => 1 << prng.below(33),
        2 => 15,
        3 => RAM_BASE.get() + 16 * prng.below(RAM_BYTES / 16 + 16),
        _ => prng.below(4),
    };
    // `0x5555` and its like would only end the test.
    if at == 0x10_0000 && value & 0xffff > 0x1000 {
        return true;
    }
    if prng.chance(1, 3) {
        let answer = prng.chance(1, 2).then(|| Answer::Time(prng.next_u64() >> prng.below(64)));
        board.read(GuestPhys(at), size, answer).is_ok()
    } else {
        board.write(ram, GuestPhys(at), size, value).is_ok()
    }
}

/// A ring as the guest has set it up.
#[derive(Clone, Copy)]
struct Ring {
    slot: u64,
    queue: u64,
    size: u64,
    desc: u64,
    avail: u64,
}

/// Sets the device in `slot` up as its driver would, with rings of random size that may lie over
/// each other.
fn set_up(prng: &mut Prng, board: &mut Board, ram: &mut Ram, rings: &mut Vec<Ring>, slot: u64) {
    let base = 0x1000_1000 + 0x1000 * slot;
    rings.retain(|ring| ring.slot != slot);
    for (register, value) in [(0x70, 0), (0x70, 3), (0x24, 1), (0x20, 1), (0x24, 0), (0x70, 11)] {
        write(board, ram, base + register, 4, value);
    }
    for queue in 0..2 {
        let size = 1 << prng.below(9);
        write(board, ram, base + 0x30, 4, queue);
        write(board, ram, base + 0x38, 4, size);
        let pages: [u64; 3] = std::array::from_fn(|_| RAM_BASE.get() + 0x1000 * prng.below(24));
        for (register, page) in [0x80, 0x90, 0xa0].into_iter().zip(pages) {
            ram.write(GuestPhys(page), &[0; 0x1000]).expect("in RAM");
            write(board, ram, base + register, 4, page);
            write(board, ram, base + register + 4, 4, 0);
        }
        write(board, ram, base + 0x44, 4, 1);
        rings.push(Ring { slot, queue, size, desc: pages[0], avail: pages[1] });
    }
    write(board, ram, base + 0x70, 4, 15);
}

/// Makes a chain available that is mostly right, and notifies.
fn offer(prng: &mut Prng, board: &mut Board, ram: &mut Ram, ring: Ring) {
    for _ in 0..prng.between(1, 4) {
        let mut raw = [0; 16];
        let place = RAM_BASE.get() + prng.below(RAM_BYTES - 0x2_0000);
        let scale = prng.below(18);
        let len = prng.below(1 << scale) as u32;
        let flags = [0, 0, 2, 2, 2, 1, 3, 4][prng.below(8) as usize];
        raw[..8].copy_from_slice(&place.to_le_bytes());
        raw[8..12].copy_from_slice(&len.to_le_bytes());
        raw[12] = flags;
        raw[14] = prng.below(ring.size) as u8;
        ram.write(GuestPhys(ring.desc + 16 * prng.below(ring.size)), &raw).expect("in RAM");
    }
    let index = ram.read_u16(GuestPhys(ring.avail + 2)).expect("in RAM");
    let entry = u64::from(index) % ring.size;
    let head = prng.below(ring.size) as u16;
    ram.write_u16(GuestPhys(ring.avail + 4 + 2 * entry), head).expect("in RAM");
    let step = if prng.chance(1, 50) { prng.next_u64() as u16 } else { 1 };
    ram.write_u16(GuestPhys(ring.avail + 2), index.wrapping_add(step)).expect("in RAM");
    if prng.chance(1, 2) {
        write(board, ram, 0x1000_1050 + 0x1000 * ring.slot, 4, ring.queue);
    }
}

/// Scribbles over the pages where rings may be.
fn scribble(prng: &mut Prng, ram: &mut Ram) {
    for _ in 0..16 {
        let mut raw = [0; 16];
        raw.fill_with(|| prng.below(4) as u8);
        ram.write(RAM_BASE.plus(16 * prng.below(0x1_8000 / 16)), &raw).expect("in RAM");
    }
}

#[test]
fn no_sequence_of_accesses_panics_or_grows_or_leaves_a_state_that_cannot_be() {
    // One store outputs at most a ring of the largest frames, or of the largest console chains.
    const OUT_BYTES_MAX: usize = 256 * 65_550;
    let (mut answered, mut sent, mut received, mut requests, mut faults) = (0, 0, 0, 0, 0);
    for seed in 0..60 {
        println!("seed {seed}");
        let mut prng = Prng::new(seed);
        let (mut board, mut ram) = board();
        let mut rings = Vec::new();
        for step in 0..2_000 {
            match prng.below(40) {
                0 | 1 => {
                    let slot = prng.below(3);
                    set_up(&mut prng, &mut board, &mut ram, &mut rings, slot);
                }
                2 if prng.chance(1, 8) => scribble(&mut prng, &mut ram),
                3 => {
                    let len = prng.below(2000) as usize;
                    board.receive_frame(&mut ram, step, &vec![0x55; len]);
                }
                4 => board.receive_console(&mut ram, &vec![0x66; prng.below(300) as usize]),
                5 => {
                    let wanted = board.rng.device.asked().unwrap_or(3);
                    board.receive_entropy(&mut ram, &vec![0x77; wanted as usize]);
                }
                6..30 if !rings.is_empty() => {
                    let ring = rings[prng.below(rings.len() as u64) as usize];
                    offer(&mut prng, &mut board, &mut ram, ring);
                }
                _ => answered += u64::from(poke(&mut prng, &mut board, &mut ram)),
            }
            let frames: usize = board.out.frames.iter().map(|(_, frame)| frame.len()).sum();
            assert!(frames + board.out.console.len() <= OUT_BYTES_MAX + 1024);
            if board.wants_stop() {
                requests += u64::from(board.out.request);
                board.out = Outbox::default();
            }
            board.check(RAM_BYTES).expect("a state that was reached is a state that can be");
        }
        sent += board.net.device.tx_frames;
        received += board.net.device.rx_frames;
        faults += board.faults().count();
        let bytes = postcard::to_allocvec(&board).unwrap();
        board.out = Outbox::default();
        assert_eq!(postcard::from_bytes::<Board>(&bytes).unwrap(), board);
    }
    println!("{answered} answered, {sent} sent, {received} received, {requests} requests, {faults} faults");
    assert!(answered > 10_000 && sent > 100 && received > 10 && requests > 10 && faults > 10);
}

fn spec(sectors: u64) -> DiskSpec {
    DiskSpec { sectors, read_only: false, serial: String::new() }
}

/// Sets the disk in a slot up with rings from `at` on, and asks it for one sector to be read.
fn read_a_sector(board: &mut Board, ram: &mut Ram, slot: u64, at: u64) {
    let base = 0x1000_1000 + 0x1000 * slot;
    let (desc, avail, used, header) = (at, at + 0x400, at + 0x800, at + 0xc00);
    for (register, value) in [(0x70, 3), (0x24, 1), (0x20, 1), (0x70, 11), (0x38, 8)] {
        write(board, ram, base + register, 4, value);
    }
    for (register, address) in [(0x80, desc), (0x90, avail), (0xa0, used)] {
        write(board, ram, base + register, 4, address & 0xffff_ffff);
        write(board, ram, base + register + 4, 4, address >> 32);
    }
    write(board, ram, base + 0x44, 4, 1);
    write(board, ram, base + 0x70, 4, 15);
    for (index, at, len, flags) in [(0, header, 16, 1), (1, at + 0x1000, 512, 3), (2, header + 16, 1, 2)] {
        let entry = GuestPhys(desc + 16 * index);
        ram.write_u64(entry, at).unwrap();
        ram.write_u32(entry.plus(8), len).unwrap();
        ram.write_u16(entry.plus(12), flags).unwrap();
        ram.write_u16(entry.plus(14), index as u16 + 1).unwrap();
    }
    ram.write_u16(GuestPhys(avail + 2), 1).unwrap();
    write(board, ram, base + 0x50, 4, 0);
}

#[test]
fn disks_are_in_their_slots_and_interrupt_through_the_plic() {
    let mut board = Board::new([0; 6], &[spec(8), spec(9), spec(10), spec(11)], false);
    let mut ram = Ram::new(RAM_BYTES);
    for slot in 3..=7u64 {
        let (id, sectors) = if slot < 7 { (2, 5 + slot) } else { (0, 0) };
        assert_eq!(read(&mut board, 0x1000_1008 + 0x1000 * slot, 4), id, "slot {slot}");
        assert_eq!(read(&mut board, 0x1000_1100 + 0x1000 * slot, 8), sectors);
    }
    for slot in 3..=6u64 {
        write(&mut board, &mut ram, 0xc00_0000 + 4 * (slot + 1), 4, 1);
        write(&mut board, &mut ram, 0xc00_2000, 4, 1 << (slot + 1));
        let at = RAM_BASE.get() + 0x1_0000 * slot;
        read_a_sector(&mut board, &mut ram, slot, at);
        assert!(board.wants_stop() && board.out.is_empty());
        let disk = slot as u8 - 3;
        let request = board.out.disk.pop().unwrap();
        assert_eq!((request.disk, request.tag), (disk, 1));
        let done = DiskDone { disk, tag: 1, status: DiskStatus::Ok, data: vec![disk; 512] };
        assert!(!board.complete_disk(&mut ram, &DiskDone { disk: 4, ..done.clone() }));
        assert_eq!(board.check(RAM_BYTES), Ok(()));
        assert!(board.complete_disk(&mut ram, &done) && !board.complete_disk(&mut ram, &done));
        assert_eq!(read(&mut board, 0xc20_0004, 4), slot + 1, "claimed");
        write(&mut board, &mut ram, 0x1000_1064 + 0x1000 * slot, 4, 1);
        write(&mut board, &mut ram, 0xc20_0004, 4, slot + 1);
        assert_eq!(ram.read_u16(GuestPhys(at + 0x802)), Ok(1));
    }
    let mut swapped = board.clone();
    swapped.disks.swap(0, 1);
    assert_eq!(swapped.check(RAM_BYTES).unwrap_err().field, "number");
}

/// Makes a disk request available that is mostly right, and notifies.
fn offer_request(prng: &mut Prng, board: &mut Board, ram: &mut Ram, ring: Ring) {
    let head = prng.below(ring.size);
    // Clear of the rings.
    let mut place = || RAM_BASE.get() + 0x2_0000 + 16 * prng.below((RAM_BYTES - 0x4_0000) / 16);
    let (header, data, status) = (place(), place(), place());
    let kind = [0, 0, 1, 1, 4, 8, 11, u32::MAX][prng.below(8) as usize];
    let sector = if prng.chance(1, 8) { prng.next_u64() } else { prng.below(12) };
    ram.write_u32(GuestPhys(header), kind).expect("in RAM");
    ram.write_u64(GuestPhys(header + 8), sector).expect("in RAM");
    let len = if prng.chance(1, 8) { prng.next_u64() as u32 } else { 512 * prng.below(9) as u32 };
    for (n, at, len, flags) in
        [(0, header, 16, 1), (1, data, len, if kind == 1 { 1 } else { 3 }), (2, status, 1, 2u8)]
    {
        let mut raw = [0; 16];
        raw[..8].copy_from_slice(&at.to_le_bytes());
        raw[8..12].copy_from_slice(&u32::to_le_bytes(len));
        (raw[12], raw[14]) = (flags, ((head + n + 1) % ring.size) as u8);
        if prng.chance(1, 30) {
            raw[prng.below(16) as usize] ^= 1 << prng.below(8);
        }
        ram.write(GuestPhys(ring.desc + 16 * ((head + n) % ring.size)), &raw).expect("in RAM");
    }
    let index = ram.read_u16(GuestPhys(ring.avail + 2)).expect("in RAM");
    let entry = u64::from(index) % ring.size;
    ram.write_u16(GuestPhys(ring.avail + 4 + 2 * entry), head as u16).expect("in RAM");
    ram.write_u16(GuestPhys(ring.avail + 2), index.wrapping_add(1)).expect("in RAM");
    write(board, ram, 0x1000_1050 + 0x1000 * ring.slot, 4, 0);
}

#[test]
fn no_guest_drives_a_disk_beyond_its_bounds_and_no_host_ends_what_was_not_asked() {
    // What one disk may have under way, with a request's worth on top.
    const BYTES_MAX: usize = 4 * (16 << 20);
    let (mut asked, mut ended, mut refused) = (0, 0, 0);
    for seed in 0..40 {
        println!("seed {seed}");
        let mut prng = Prng::new(seed);
        let specs = [spec(8), spec(1), DiskSpec { read_only: true, ..spec(300) }, spec(1 << 39)];
        let (mut board, mut ram) = (Board::new([0; 6], &specs, true), Ram::new(RAM_BYTES));
        let (mut rings, mut waiting) = (Vec::new(), Vec::new());
        for _ in 0..1_000 {
            match prng.below(20) {
                0 => {
                    let slot = 3 + prng.below(4);
                    set_up(&mut prng, &mut board, &mut ram, &mut rings, slot);
                }
                1..5 if !waiting.is_empty() => {
                    // The right end, or one that no driver waits for.
                    let request: DiskRequest = waiting.remove(0);
                    let (disk, tag) = (request.disk, request.tag);
                    let bytes = match &request.op {
                        DiskOp::Read { bytes, .. } => *bytes as usize,
                        DiskOp::Write { .. } | DiskOp::Flush => 0,
                    };
                    let status = if prng.chance(1, 5) { DiskStatus::IoError } else { DiskStatus::Ok };
                    let data = if status == DiskStatus::Ok { vec![0x5a; bytes] } else { Vec::new() };
                    let wrong = prng.chance(1, 6);
                    let done =
                        DiskDone { disk: if wrong { prng.below(9) as u8 } else { disk }, tag, status, data };
                    match board.complete_disk(&mut ram, &done) {
                        true => ended += 1,
                        false => refused += 1,
                    }
                    if wrong {
                        waiting.insert(0, request);
                    }
                }
                5..16 if !rings.is_empty() => {
                    let ring: Ring = rings[prng.below(rings.len() as u64) as usize];
                    match ring.queue {
                        0 => offer_request(&mut prng, &mut board, &mut ram, ring),
                        _ => offer(&mut prng, &mut board, &mut ram, ring),
                    }
                }
                _ => {
                    let at = 0x1000_4000 + 0x1000 * prng.below(4) + 4 * prng.below(0x44);
                    let value = if prng.chance(1, 2) { prng.next_u64() } else { prng.below(16) };
                    // Whether a register is there is not the question.
                    board.write(&mut ram, GuestPhys(at), 4, value).ok();
                    board.read(GuestPhys(at), 4, None).ok();
                }
            }
            let requests = std::mem::take(&mut board.out.disk);
            let held: usize = requests
                .iter()
                .map(|request| match &request.op {
                    DiskOp::Write { data, .. } => data.len(),
                    DiskOp::Read { bytes, .. } => *bytes as usize,
                    DiskOp::Flush => 0,
                })
                .sum();
            assert!(
                held <= BYTES_MAX && requests.len() <= 4 * 256,
                "{} requests, {held} bytes",
                requests.len()
            );
            asked += requests.len();
            waiting.extend(requests);
            board.out = Outbox::default();
            board.check(RAM_BYTES).expect("a state that was reached is a state that can be");
        }
    }
    println!("{asked} asked, {ended} ended, {refused} refused");
    assert!(asked > 100 && ended > 20 && refused > 5, "{asked} {ended} {refused}");
}

#[test]
fn the_clock_survives_any_access_and_any_answer() {
    let mut prng = Prng::new(11);
    let (mut board, mut ram) = board();
    let mut answered = 0;
    for _ in 0..20_000 {
        let (at, size) = (0x10_1000 + prng.below(0x28), [1, 2, 4, 8][prng.below(4) as usize]);
        let at = GuestPhys(at & !(u64::from(size) - 1));
        let value = prng.next_u64();
        let answer =
            [None, Some(Answer::WallClock(value)), Some(Answer::Time(value)), Some(Answer::HostId(value))];
        let answer = answer[prng.below(4) as usize];
        let asks = board.asks(at, size);
        match board.read(at, size, answer) {
            Ok(BusRead::Value(_)) => answered += 1,
            Ok(BusRead::Ask(question)) => assert_eq!(asks, Some(question), "what asks says so before"),
            Err(BusFault) => assert_eq!(asks, None),
        }
        // Setting it and its alarm is ignored, or a fault; it raises no interrupt.
        board.write(&mut ram, at, size, value).ok();
        assert_eq!(board.check(RAM_BYTES), Ok(()));
        assert_eq!(board.exit, None);
    }
    assert!(answered > 1000, "{answered}");
}

use super::*;
use crate::ft::testing::{
    Host, boot_crunch, boot_diskless_journal, boot_echo, boot_journal, boot_kv, boot_wild,
};
use crate::machine::BoardModel;

const MS: u64 = 1_000_000;

/// What comes of `machine`, live for `ms` from 5 ms on, with its clock at 7 ms then; what it is asked first.
fn tried(machine: Machine, ms: u64, question: Option<(&[u8], &[u8])>, read: &mut ReadDisk<'_>) -> Tried {
    outcome(machine, ms, question, read).expect("no limit of the sandbox is met")
}

fn outcome(
    machine: Machine,
    ms: u64,
    question: Option<(&[u8], &[u8])>,
    read: &mut ReadDisk<'_>,
) -> Result<Tried, String> {
    let mut host = Host { now_ns: 5 * MS, ..Host::default() };
    let clock = GuestClock::starting(0, 2 * MS / 100);
    let mut sandbox = Sandbox::new(machine, clock, Settings::default(), &mut host);
    while !sandbox.is_over() && host.now_ns < (5 + ms) * MS {
        if let Some((frame, answer)) = question {
            sandbox.ask(frame, answer);
        }
        sandbox.run(&mut host, read);
        host.now_ns += MS / 10;
    }
    sandbox.tried(host.now_ns)
}

fn no_disk(disk: u8, sector: u64, _: u32) -> Result<Vec<u8>, String> {
    Err(format!("disk {disk} is read at {sector}"))
}

/// An ARP question for 10.0.2.15, and how the answer to it begins.
fn arp(guest: [u8; 6]) -> (Vec<u8>, Vec<u8>) {
    let asker = [2, 0, 0, 0, 0, 1];
    let mut frame = vec![0xff; 6];
    frame.extend(asker);
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 2, 2]);
    frame.extend([0, 0, 0, 0, 0, 0, 10, 0, 2, 15]);
    frame.resize(60, 0);
    (frame, [&asker[..], &guest, &[8, 6]].concat())
}

#[test]
fn a_guest_that_computes_goes_on_and_its_clock_with_it() {
    let tried = tried(boot_crunch(5).machine, 20, None, &mut no_disk);
    assert!(tried.instructions > 100_000, "{tried:?}");
    assert_eq!((tried.ran_ms, tried.frames, tried.why.as_deref()), (20, 0, None), "{tried:?}");
}

#[test]
fn what_a_guest_says_is_counted_and_an_answer_is_known() {
    let machine = boot_kv(5, BoardModel::default()).machine;
    let (frame, answer) = arp(machine.config().mac);
    let answered = tried(machine, 20, Some((&frame, &answer)), &mut no_disk);
    assert_eq!(
        (answered.frames, answered.answered, answered.why.clone()),
        (2, Some(true), None),
        "{answered:?}"
    );
    assert!(answered.console_bytes > 0, "what it prints at its start: {answered:?}");
    let machine = boot_kv(5, BoardModel::default()).machine;
    let other = tried(machine, 20, Some((&frame, b"another answer")), &mut no_disk);
    assert_eq!((other.frames, other.answered), (2, Some(false)), "one is its own announcement");
    let deaf = tried(boot_echo(5).machine, 20, Some((&frame, &answer)), &mut no_disk);
    assert_eq!((deaf.frames, deaf.answered), (0, None), "it has not set up its network device");
}

#[test]
fn a_guest_that_ends_or_only_traps_does_not_go_on() {
    let why = tried(boot_wild(5).machine, 20, None, &mut no_disk).why.expect("a reason");
    assert!(why.starts_with("the guest only traps since "), "{why}");
    // It finds no disk.
    let ended = tried(boot_diskless_journal(5).machine, 20, None, &mut no_disk);
    let why = ended.why.expect("a reason");
    assert!(why.starts_with("the guest ended at ") && why.ends_with(" with failure 2"), "{why}");
    assert!(ended.ran_ms < 20, "nothing is waited for then");
}

#[test]
fn a_guest_reads_its_disk_as_it_was_and_what_it_has_written_since() {
    let boot = || boot_journal(5).machine;
    let mut reads = Vec::new();
    let zeros = tried(boot(), 60, None, &mut |disk, sector, bytes| {
        reads.push((disk, sector));
        Ok(vec![0; bytes as usize])
    });
    assert_eq!(zeros.why, None, "an empty journal; what it wrote, it has found again");
    assert!(zeros.disk_reads > 0 && zeros.disk_writes > 3 && !reads.is_empty(), "{zeros:?}");
    // A journal that says that record 7 was flushed, and does not have it.
    let lies = tried(boot(), 60, None, &mut |_, sector, bytes| {
        let mut data = vec![0; bytes as usize];
        if sector == 0 {
            data[..9].copy_from_slice(b"JOURNAL\0\x07");
        }
        Ok(data)
    });
    assert!(lies.why.as_deref().is_some_and(|why| why.ends_with("with failure 1")), "{lies:?}");
    for (read, why) in
        [(Err("it is gone".to_owned()), "it is gone"), (Ok(vec![0; 3]), "disk 0 has 3 bytes of 512")]
    {
        let failed = outcome(boot(), 60, None, &mut |_, _, _| read.clone());
        assert_eq!(failed, Err(why.to_owned()), "that says nothing of a takeover");
    }
}

#[test]
fn what_was_written_covers_what_is_read_sector_by_sector() {
    let mut host = Host::default();
    let clock = GuestClock::starting(0, 0);
    let mut sandbox = Sandbox::new(boot_journal(5).machine, clock, Settings::default(), &mut host);
    for (disk, sector) in [(0, 3), (0, 5), (1, 4)] {
        sandbox.written.insert((disk, sector), vec![sector as u8; 512].into());
    }
    let read = sandbox.overlaid(0, 2, vec![0xaa; 4 * 512]);
    let firsts: Vec<u8> = read.chunks(512).map(|sector| sector[511]).collect();
    assert_eq!(firsts, [0xaa, 3, 0xaa, 5]);
}

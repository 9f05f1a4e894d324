use super::*;
use crate::base::{Digest, Generation, NodeId, Prng};
use crate::cpu::Answer;
use crate::devices::disk::{DISKS_MAX, DiskDone, DiskStatus};
use crate::log::code::DISK_BYTES_MAX;
use crate::log::{Event, OutputMark, PAYLOAD_BYTES_MAX, Start};
use crate::machine::{Channel, Exit, Input};

fn disk_done(disk: u8, tag: u64, data: Vec<u8>) -> DiskDone {
    DiskDone { disk, tag, status: DiskStatus::Ok, data }
}

/// One entry of every kind and variant, `seq` from 1.
fn every_kind() -> Vec<Entry> {
    let events = vec![
        Event::Generation {
            generation: Generation(1),
            node: NodeId(0x0123_4567_89ab_cdef),
            why: Start::Boot,
        },
        Event::Input(Input::Answer(Answer::Time(10_000_000))),
        Event::Input(Input::Answer(Answer::Time(10_000_010))),
        Event::Input(Input::Answer(Answer::Entropy(0xbeef))),
        Event::Input(Input::Answer(Answer::HostId(u64::MAX))),
        Event::Input(Input::NetFrame { rx_seq: 41, frame: vec![0xff; 60] }),
        Event::Input(Input::NetFrame { rx_seq: 42, frame: Vec::new() }),
        Event::Output(OutputMark { channel: Channel::Net, seq: 7, len: 60, digest: 0x1234_5678 }),
        Event::Output(OutputMark { channel: Channel::Net, seq: 8, len: 1514, digest: 0 }),
        Event::Output(OutputMark { channel: Channel::Console, seq: 0, len: 13, digest: u32::MAX }),
        Event::Output(OutputMark { channel: Channel::Console, seq: 13, len: u32::MAX, digest: 1 }),
        Event::Output(OutputMark { channel: Channel::Console, seq: 5, len: 0, digest: 1 }),
        Event::Input(Input::Console(b"hello\n".to_vec())),
        Event::Input(Input::TimerDue { time: 10_000_020 }),
        Event::Input(Input::TimerDue { time: 3 }),
        Event::Input(Input::Clock { time: 1 << 40, rate: 3277 }),
        Event::Input(Input::Clock { time: 0, rate: u16::MAX }),
        Event::Input(Input::Entropy(vec![1, 2, 3])),
        Event::Input(Input::DiskDone(disk_done(0, 5, vec![7; 4096]))),
        Event::Input(Input::DiskDone(disk_done(0, 6, Vec::new()))),
        Event::Input(Input::DiskDone(disk_done(3, u64::MAX, (0..=255).collect()))),
        Event::Input(Input::DiskDone(DiskDone {
            status: DiskStatus::IoError,
            ..disk_done(3, 1, Vec::new())
        })),
        Event::Input(Input::ConsoleSize { cols: 80, rows: u16::MAX }),
        Event::Typed { session: u64::MAX, upto: 300 },
        Event::Horizon,
        Event::Digest(Digest(0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100)),
        Event::Joined { node: NodeId(u64::MAX) },
        Event::Generation { generation: Generation(2), node: NodeId(2), why: Start::Takeover },
        Event::Generation { generation: Generation(3), node: NodeId(2), why: Start::Alone },
        Event::Left { node: NodeId(7) },
        Event::Checkpoint,
        Event::SwitchOver { to: None },
        Event::SwitchOver { to: Some(NodeId(u64::MAX - 1)) },
        Event::Generation { generation: Generation(u64::MAX), node: NodeId(3), why: Start::SwitchOver },
        Event::End(Exit::Pass),
        Event::End(Exit::Fail(u32::MAX)),
        Event::End(Exit::Reset),
    ];
    let at = |i: usize| Icount((i as u64).pow(5));
    events
        .into_iter()
        .enumerate()
        .map(|(i, event)| Entry { seq: Seq(i as u64 + 1), at: at(i), event })
        .collect()
}

fn frame_of(entries: &[Entry]) -> Vec<u8> {
    let mut builder = FrameBuilder::new();
    entries.iter().for_each(|entry| builder.push(entry));
    builder.finish()
}

/// A random entry that a builder accepts after (`seq`, `at`).
fn random_entry(prng: &mut Prng, seq: Seq, at: Icount) -> Entry {
    let mut entry = every_kind().swap_remove(prng.below(every_kind().len() as u64) as usize);
    entry.seq = seq;
    let bits = prng.below(40);
    entry.at = at.plus(prng.below(1 << bits));
    match &mut entry.event {
        Event::Input(Input::Answer(Answer::Time(time)) | Input::TimerDue { time }) => *time = prng.next_u64(),
        Event::Input(Input::Clock { time, rate }) => {
            (*time, *rate) = (prng.next_u64(), prng.next_u64() as u16)
        }
        Event::Input(
            Input::NetFrame { frame: bytes, .. } | Input::Console(bytes) | Input::Entropy(bytes),
        ) => {
            bytes.resize(prng.below(300) as usize, 0);
            prng.fill(bytes);
        }
        Event::Input(Input::DiskDone(done)) if done.status == DiskStatus::Ok => {
            done.tag = prng.next_u64();
            let (len, byte) = (512 * prng.below(20) as usize, prng.below(256) as u8);
            done.data = vec![byte; len];
            if prng.chance(1, 2) {
                prng.fill(&mut done.data);
            }
        }
        _ => {}
    }
    entry
}

#[test]
fn every_kind_comes_back_and_the_builder_starts_afresh() {
    let entries = every_kind();
    let mut builder = FrameBuilder::new();
    assert!(builder.is_empty() && builder.finish().is_empty());
    for round in 0..2 {
        for entry in &entries {
            builder.push(entry);
        }
        assert_eq!(builder.first_seq(), Some(Seq(1)), "round {round}");
        assert_eq!(builder.last_seq(), Some(Seq(37)));
        let (len, mut bytes) = (builder.bytes_len(), builder.finish());
        assert_eq!(len, bytes.len());
        assert!(builder.is_empty() && builder.bytes_len() == 0 && builder.first_seq().is_none());
        bytes.extend_from_slice(b"what follows does not matter");
        assert_eq!(decode_frame(&bytes), Ok((entries.clone(), len)));
        let frame = Frame::check(&bytes).unwrap();
        assert_eq!((frame.first_seq(), frame.last_seq()), (Seq(1), Seq(37)));
    }
}

#[test]
fn any_entries_come_back() {
    for seed in 0..200 {
        let mut prng = Prng::new(seed);
        let (mut seq, mut at) = (Seq(1 + prng.below(1 << 40)), Icount(prng.below(1 << 50)));
        let entries: Vec<Entry> = (0..prng.between(1, 60))
            .map(|_| {
                let entry = random_entry(&mut prng, seq, at);
                (seq, at) = (entry.seq.next(), entry.at);
                entry
            })
            .collect();
        let bytes = frame_of(&entries);
        assert_eq!(decode_frame(&bytes), Ok((entries, bytes.len())), "seed {seed}");
    }
}

#[test]
fn common_entries_are_small() {
    let time = |i: u64| Entry {
        seq: Seq(1_000_000 + i),
        at: Icount(5_000_000_000 + 100 * i),
        event: Event::Input(Input::Answer(Answer::Time(7_000_000_000 + 20 * i))),
    };
    let one = frame_of(&[time(0)]).len();
    assert_eq!(one, 8 + 2 + 3 + 1 + 5 + 5);
    let many: Vec<_> = (0..100).map(time).collect();
    assert_eq!(frame_of(&many).len(), one + 99 * 3);

    let mark = |i: u64| Entry {
        seq: Seq(1 + i),
        at: Icount(100 * i),
        event: Event::Output(OutputMark { channel: Channel::Net, seq: 500 + i, len: 100, digest: 9 }),
    };
    assert_eq!(frame_of(&[mark(0), mark(1)]).len() - frame_of(&[mark(0)]).len(), 8);
}

#[test]
fn a_cut_frame_is_incomplete_at_every_byte() {
    let bytes = frame_of(&every_kind());
    for len in 0..bytes.len() {
        let error = decode_frame(&bytes[..len]).unwrap_err();
        let FrameError::Incomplete { have, need } = error else { panic!("{len}: {error}") };
        assert!(have == len && need > len && need <= bytes.len());
    }
}

#[test]
fn no_flipped_bit_is_accepted() {
    let bytes = frame_of(&every_kind());
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(decode_frame(&bad).is_err(), "bit {bit}");
        bad.resize(FRAME_BYTES_MAX, 0);
        assert!(decode_frame(&bad).is_err(), "bit {bit} with more bytes after it");
    }
}

/// `count` entries and `body` behind a right prefix: what only a forger or a bug can write.
fn forged(count: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![MARK];
    bytes.extend_from_slice(&(body.len() as u32 + 2).to_le_bytes()[..3]);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&count.to_le_bytes());
    bytes.extend_from_slice(body);
    let crc = crc_of(&bytes);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    bytes
}

#[test]
fn bodies_with_a_right_checksum_are_still_not_trusted() {
    use EntryError::*;
    let seq = Seq(1);
    let bad = |offset, why| FrameError::BadEntry { seq, offset, why };
    let max = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    let cases: Vec<(u16, Vec<u8>, FrameError)> = vec![
        (1, vec![0, 0x20, 0], FrameError::BadCount { count: 1, first: Seq(0) }),
        (0, vec![1, 0x20, 0], FrameError::BadCount { count: 0, first: Seq(1) }),
        (1, [&max[..], &[0x20, 0]].concat(), FrameError::BadCount { count: 1, first: Seq::MAX }),
        (1, vec![0x80, 0x00, 0], FrameError::BadSeq(VarintError::NotCanonical)),
        (1, vec![1, 0x0f, 0], bad(11, UnknownKind { kind: 15 })),
        (1, vec![1, 0x00, 0], bad(11, UnknownKind { kind: 0 })),
        (1, vec![1, 0x20, 0x80], bad(11, Varint(VarintError::Truncated))),
        (1, vec![1, 0x02, 0, 7], bad(11, Truncated)),
        (1, vec![1, 0x05, 0, 2, b'x'], bad(11, Truncated)),
        (1, vec![1, 0x05, 0, 0x81, 0x80, 0x04], bad(11, PayloadTooLong { len: 65537 })),
        (1, [&[1, 0x05, 0], &max[..]].concat(), bad(11, PayloadTooLong { len: u64::MAX })),
        (1, vec![1, 0x22, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 4], bad(11, UnknownStart { why: 4 })),
        (1, vec![1, 0x26, 0, 0x80, 0x80, 0x80, 0x80, 0x10], bad(11, TooLarge { value: 1 << 32 })),
        (1, vec![1, 0x20, 0, 0x20, 0], FrameError::TrailingBytes { last: seq, len: 2 }),
        (2, vec![1, 0x20, 0], FrameError::BadEntry { seq: Seq(2), offset: 13, why: Truncated }),
        (
            2,
            [&[1, 0x20, 1, 0x20], &max[..]].concat(),
            FrameError::BadEntry {
                seq: Seq(2),
                offset: 13,
                why: PositionOverflow { at: Icount(1), delta: u64::MAX },
            },
        ),
    ];
    for (count, body, expected) in cases {
        assert_eq!(decode_frame(&forged(count, &body)), Err(expected), "{body:x?}");
    }
    assert_eq!(decode_frame(&[MARK, 0xff, 0xff, 0xff]), Err(FrameError::BadLength { len: 0xff_ffff }));
    assert_eq!(decode_frame(&[MARK, 0, 0, 0]), Err(FrameError::BadLength { len: 0 }));
    assert_eq!(decode_frame(&[0; 64]), Err(FrameError::BadMark { found: 0 }));
}

#[test]
fn random_bodies_never_panic_and_whatever_is_accepted_is_canonical() {
    let mut accepted = 0;
    for seed in 0..20_000 {
        let mut prng = Prng::new(seed);
        let mut body = vec![0; prng.between(3, 24) as usize];
        prng.fill(&mut body);
        // Mostly plausible: small numbers and known kinds, so that decoding gets somewhere.
        for byte in &mut body {
            if prng.chance(2, 3) {
                *byte &= 0x27;
            }
        }
        let bytes = forged(prng.between(1, 8) as u16, &body);
        if let Ok((entries, taken)) = decode_frame(&bytes) {
            assert_eq!(taken, bytes.len(), "seed {seed}");
            let again = frame_of(&entries);
            // What was read from a disk can be packed in several ways; all else has one form.
            if entries.iter().any(|entry| matches!(entry.event, Event::Input(Input::DiskDone(_)))) {
                assert_eq!(decode_frame(&again), Ok((entries, again.len())), "seed {seed}");
            } else {
                assert_eq!(again, bytes, "seed {seed}");
            }
            accepted += 1;
        }
    }
    assert!(accepted > 50, "only {accepted} were accepted: the test tests nothing");
}

#[test]
fn a_builder_is_full_before_the_largest_entry_would_not_fit() {
    let mut builder = FrameBuilder::new();
    let mut seq = Seq(1);
    while !builder.is_full() {
        let event = Event::Input(Input::NetFrame {
            rx_seq: u64::MAX / 2,
            frame: vec![7; crate::log::PAYLOAD_BYTES_MAX],
        });
        builder.push(&Entry { seq, at: Icount(u64::MAX / 2), event });
        seq = seq.next();
    }
    let bytes = builder.finish();
    assert!(bytes.len() <= FRAME_BYTES_MAX && bytes.len() > FRAME_BYTES_MAX - 2 * ENTRY_BYTES_MAX);
    assert_eq!(decode_frame(&bytes).unwrap().0.len() as u64, seq.get() - 1);
}

#[test]
fn the_longest_disk_entry_fits_however_badly_it_packs() {
    let mut data = vec![0; DISK_BYTES_MAX];
    Prng::new(3).fill(&mut data);
    for data in [data, vec![9; DISK_BYTES_MAX]] {
        let event = Event::Input(Input::DiskDone(disk_done(3, u64::MAX, data)));
        let entry = Entry { seq: Seq(1), at: Icount(u64::MAX), event };
        let bytes = frame_of(std::slice::from_ref(&entry));
        assert!(bytes.len() < ENTRY_BYTES_MAX + 64);
        assert_eq!(decode_frame(&bytes), Ok((vec![entry], bytes.len())));
    }
}

#[test]
fn a_disk_entry_that_cannot_be_is_told() {
    let refused = |payload: &[u8]| match decode_frame(&forged(1, &[&[1, 0x08, 0], payload].concat())) {
        Err(FrameError::BadEntry { why, .. }) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&[4, 1, 0, 0]), EntryError::UnknownDisk { disk: 4 });
    assert_eq!(refused(&[0, 1, 3]), EntryError::UnknownEnd { how: 3 });
    assert_eq!(
        refused(&[0, 1, 0, 0x81, 0x80, 0x08]),
        EntryError::DiskTooLong { len: DISK_BYTES_MAX as u64 + 1 }
    );
    assert_eq!(
        refused(&[0, 1, 1, 5, 0x81, 0x80, 0x08]),
        EntryError::DiskTooLong { len: DISK_BYTES_MAX as u64 + 1 }
    );
    assert_eq!(refused(&[0, 1, 1, 5, 2, 0xff, 0xff]), EntryError::BadPacking);
    // One byte unpacked, five promised.
    assert_eq!(refused(&[0, 1, 1, 5, 2, 0x10, 0x61]), EntryError::BadPacking);
    assert_eq!(refused(&[0, 1, 0, 5, 1]), EntryError::Truncated);
}

#[test]
fn a_builder_is_full_before_its_count_overflows() {
    let mut builder = FrameBuilder::new();
    for seq in 1..=u64::from(u16::MAX) {
        assert!(!builder.is_full());
        builder.push(&Entry { seq: Seq(seq), at: Icount(7), event: Event::Horizon });
    }
    assert!(builder.is_full());
    assert_eq!(decode_frame(&builder.finish()).unwrap().0.len(), usize::from(u16::MAX));
}

#[test]
#[should_panic(expected = "goes back")]
fn a_builder_refuses_to_go_back_in_position() {
    let at = |seq, at| Entry { seq: Seq(seq), at: Icount(at), event: Event::Horizon };
    frame_of(&[at(1, 10), at(2, 9)]);
}

#[test]
#[should_panic(expected = "entry 3 after 1")]
fn a_builder_refuses_a_gap_in_numbers() {
    let at = |seq, at| Entry { seq: Seq(seq), at: Icount(at), event: Event::Horizon };
    frame_of(&[at(1, 10), at(3, 10)]);
}

#[test]
fn an_entry_has_its_bounds() {
    let disk = |disk, bytes| Event::Input(Input::DiskDone(disk_done(disk, 1, vec![0; bytes])));
    let last = DISKS_MAX as u8 - 1;
    for (event, good) in [
        (disk(last, DISK_BYTES_MAX), true),
        (disk(last, DISK_BYTES_MAX + 1), false),
        (disk(last + 1, 512), false),
        (disk(u8::MAX, DISK_BYTES_MAX + 1), false),
        (Event::Input(Input::Console(vec![0; PAYLOAD_BYTES_MAX])), true),
        (Event::Input(Input::Console(vec![0; PAYLOAD_BYTES_MAX + 1])), false),
        (Event::Horizon, true),
    ] {
        assert_eq!(code::is_encodable(&event), good, "{} bytes", event.payload().len());
    }
}

#[test]
fn what_a_disk_read_is_packed_where_that_is_shorter() {
    let event = |data| Event::Input(Input::DiskDone(disk_done(0, 1, data)));
    let len = |data| frame_of(&[Entry { seq: Seq(1), at: Icount(0), event: event(data) }]).len();
    assert!(len(vec![0; 4096]) < 100);
    let mut noise = vec![0; 4096];
    Prng::new(1).fill(&mut noise);
    assert!((4096..4096 + 30).contains(&len(noise)));
}

#[test]
fn a_builder_is_full_exactly_when_the_largest_entry_may_not_fit() {
    let with = |bytes, count| FrameBuilder { bytes: vec![0; bytes], count, ..FrameBuilder::new() };
    let most = FRAME_BYTES_MAX - ENTRY_BYTES_MAX;
    for (bytes, count, full) in [
        (0, 0, false),
        (most, 1, false),
        (most + 1, 1, true),
        (most, u16::MAX - 1, false),
        (most, u16::MAX, true),
    ] {
        assert_eq!(with(bytes, count).is_full(), full, "{bytes} bytes, {count} entries");
    }
}

#[test]
fn only_what_more_bytes_may_complete_is_incomplete() {
    let need = FRAME_PREFIX_BYTES + 5;
    for (bytes, error, waits) in [
        (&[][..], FrameError::Incomplete { have: 0, need }, true),
        (&[MARK, 5, 0], FrameError::Incomplete { have: 3, need }, true),
        (&[MARK ^ 1], FrameError::BadMark { found: MARK ^ 1 }, false),
        (&[MARK, 4, 0, 0], FrameError::BadLength { len: 4 }, false),
        (&[MARK, 0xff, 0xff, 0xff], FrameError::BadLength { len: 0xff_ffff }, false),
    ] {
        assert_eq!(error.is_incomplete(), waits, "{error}");
        assert_eq!(frame_len(bytes), Err(error));
    }
    assert_eq!(frame_len(&[MARK, 5, 0, 0]), Ok(need));
    let largest = (BODY_BYTES_MAX as u32).to_le_bytes();
    assert_eq!(frame_len(&[MARK, largest[0], largest[1], largest[2]]), Ok(FRAME_BYTES_MAX));
}

//! The formats that stay: today's code writes the committed golden files byte for byte, and reads
//! them. A test here goes red when a format changes; then its version moves, and so does the file
//! (`LOCKSTEP_BLESS=1 cargo test --test log_golden` writes the new ones).

use std::path::PathBuf;

use lockstep::base::{Digest, Generation, GuestPhys, Icount, NodeId, Seq};
use lockstep::cpu::{Answer, Cpu};
use lockstep::devices::disk::{DiskDone, DiskSpec, DiskStatus};
use lockstep::log::scan::Scan;
use lockstep::log::{Entry, Event, FrameBuilder, HeaderError, Lineage, OutputMark, SegmentHeader, Start};
use lockstep::machine::{BoardModel, Channel, Exit, Input, MachineConfig, Saved, Symbol};
use lockstep::snapshot::{Decoder, Encoder, SnapshotError};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// The committed file.
fn golden(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap_or_else(|error| panic!("{}: {error}", path(name).display()))
}

/// Compares what is written today with the committed file, or commits it when blessing.
fn check_golden(name: &str, written: &[u8]) {
    if std::env::var_os("LOCKSTEP_BLESS").is_some() {
        std::fs::write(path(name), written).expect("the golden file can be written");
    }
    assert!(golden(name) == written, "{name} is written differently today: did its version move?");
}

fn header() -> SegmentHeader {
    SegmentHeader {
        lineage: Lineage {
            vm: "kv".into(),
            guest: "kv.elf".into(),
            guest_digest: Digest(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
            ram_bytes: 128 << 20,
            base_seq: Seq(0),
            base_icount: Icount(0),
            base_digest: Digest(0xfedc_ba98_7654_3210_fedc_ba98_7654_3210),
        },
        first_seq: Seq(1),
        generation: Generation(1),
    }
}

/// Every kind of entry, in three frames.
fn frames() -> Vec<Vec<Entry>> {
    let input = |at, input| (at, Event::Input(input));
    let read = |disk, tag, data| DiskDone { disk, tag, status: DiskStatus::Ok, data };
    let mark = |at, channel, seq, len, digest| (at, Event::Output(OutputMark { channel, seq, len, digest }));
    let generation = |at, generation, node, why| {
        (at, Event::Generation { generation: Generation(generation), node: NodeId(node), why })
    };
    let batches = [
        vec![
            generation(0, 1, 0x1111_2222_3333_4444, Start::Boot),
            input(120, Input::Answer(Answer::Time(1000))),
            input(220, Input::Answer(Answer::Time(1025))),
            input(300, Input::Answer(Answer::Entropy(0xabcd))),
            input(310, Input::Answer(Answer::HostId(3))),
            mark(5_000, Channel::Console, 0, 14, 0x89ab_cdef),
            mark(6_000, Channel::Console, 14, 300, 0x0123_4567),
            (6_000, Event::Joined { node: NodeId(0x5555_6666_7777_8888) }),
        ],
        vec![
            input(1_000_000, Input::NetFrame { rx_seq: 1, frame: (0..60).collect() }),
            input(1_000_400, Input::Entropy(vec![9, 8, 7, 6])),
            mark(1_002_000, Channel::Net, 1, 60, 0xcafe_f00d),
            input(1_002_000, Input::TimerDue { time: 50_000 }),
            input(1_002_500, Input::Clock { time: 52_500, rate: 3072 }),
            input(1_003_000, Input::Console(b"typed\n".to_vec())),
            (2_000_000, Event::Horizon),
            input(3_000_000, Input::DiskDone(read(0, 1, (0..=255).cycle().take(512).collect()))),
            input(3_000_000, Input::DiskDone(read(3, 9, vec![0x77; 4096]))),
            input(3_000_000, Input::DiskDone(read(3, 10, Vec::new()))),
            input(
                3_000_000,
                Input::DiskDone(DiskDone { status: DiskStatus::IoError, ..read(0, 2, Vec::new()) }),
            ),
            (3_000_000, Event::Digest(Digest(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff))),
        ],
        vec![
            (4_000_000, Event::SwitchOver { to: None }),
            generation(4_000_000, 2, 0x5555_6666_7777_8888, Start::SwitchOver),
            generation(4_100_000, 3, 0x5555_6666_7777_8888, Start::Alone),
            generation(4_200_000, 4, 0x9999_aaaa_bbbb_cccc, Start::Takeover),
            (4_300_000, Event::Left { node: NodeId(0x5555_6666_7777_8888) }),
            (4_300_001, Event::SwitchOver { to: Some(NodeId(0x5555_6666_7777_8889)) }),
            (4_300_002, Event::Checkpoint),
            (5_000_000_000, Event::End(Exit::Reset)),
            (5_000_000_001, Event::End(Exit::Fail(7))),
            (5_000_000_002, Event::End(Exit::Pass)),
        ],
    ];
    let mut seq = Seq::ZERO;
    let mut number = |(at, event)| {
        seq = seq.next();
        Entry { seq, at: Icount(at), event }
    };
    batches.into_iter().map(|batch| batch.into_iter().map(&mut number).collect()).collect()
}

fn segment_bytes() -> Vec<u8> {
    let mut bytes = header().encode();
    let mut builder = FrameBuilder::new();
    for frame in frames() {
        frame.iter().for_each(|entry| builder.push(entry));
        bytes.extend(builder.finish());
    }
    bytes
}

#[test]
fn todays_encoder_writes_the_golden_segment() {
    check_golden("segment-v5.log", &segment_bytes());
}

/// The entries of a committed segment.
fn entries_of(name: &str) -> Vec<Entry> {
    let bytes = golden(name);
    let (read, at) = SegmentHeader::decode(&bytes).unwrap();
    assert_eq!(read, header());
    let mut scan = Scan::new(at, Some(read.first_seq), Icount::ZERO, true);
    let mut entries = Vec::new();
    while let Some(place) = scan.next_in(&bytes) {
        entries.push(place.unwrap().entry);
    }
    entries
}

#[test]
fn todays_decoder_reads_the_golden_segment() {
    assert_eq!(entries_of("segment-v5.log"), frames().concat());
}

/// The entries of [`frames`] that are not of a kind which came later, numbered anew.
fn without(is_later: impl Fn(&Event) -> bool) -> Vec<Entry> {
    let mut entries: Vec<Entry> =
        frames().concat().into_iter().filter(|entry| !is_later(&entry.event)).collect();
    (1..).zip(&mut entries).for_each(|(seq, entry)| entry.seq = Seq(seq));
    entries
}

fn is_checkpoint(event: &Event) -> bool {
    *event == Event::Checkpoint
}

fn is_of_groups(event: &Event) -> bool {
    is_checkpoint(event) || matches!(event, Event::Left { .. } | Event::SwitchOver { to: Some(_) })
}

#[test]
fn a_segment_of_the_fourth_version_is_read_and_has_no_checkpoints() {
    assert_eq!(entries_of("segment-v4.log"), without(is_checkpoint));
}

#[test]
fn a_segment_of_the_third_version_is_read_and_has_no_groups() {
    assert_eq!(entries_of("segment-v3.log"), without(is_of_groups));
}

#[test]
fn a_segment_of_the_second_version_is_read_and_has_no_clock() {
    let is_later = |event: &Event| is_of_groups(event) || matches!(event, Event::Input(Input::Clock { .. }));
    assert_eq!(entries_of("segment-v2.log"), without(is_later));
}

fn saved() -> Saved {
    let config = MachineConfig {
        guest: "kv.elf".into(),
        guest_digest: Digest(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
        ram_bytes: 8 << 20,
        mac: [0x52, 0x54, 0x00, 0x4c, 0x53, 0x01],
        tohost: Some(GuestPhys(0x8000_1000)),
        bootargs: "quiet".into(),
        rng_seed: vec![1, 2, 3],
        symbols: vec![Symbol { addr: 0x8000_0000, size: 64, name: "_start".into() }],
        disks: vec![DiskSpec { sectors: 2048, read_only: true, serial: "root".into() }],
        // The newest when the files were made.
        cpu: Cpu { revision: 2, ..Cpu::default() },
        ..MachineConfig::default()
    };
    // Pages of one byte each pack alike in every version of the packer that we can think of.
    let page = |n: u32| (n, vec![n as u8; 4096].into_boxed_slice());
    Saved {
        config,
        icount: Icount(123_456),
        digest: Digest(0xfedc_ba98_7654_3210_fedc_ba98_7654_3210),
        state: (0..200).collect(),
        boot: (0..100).collect(),
        pages: [0, 1, 2, 512, 2047].map(page).into(),
    }
}

#[test]
fn todays_encoder_writes_the_golden_snapshot() {
    check_golden("base-v4.snap", &Encoder::new(saved()).flatten().collect::<Vec<_>>());
}

fn decode(bytes: &[u8]) -> Result<Saved, SnapshotError> {
    let (mut rest, mut decoder) = (bytes, Decoder::new(8 << 20));
    while let Some(prefix) = rest.first_chunk() {
        let (chunk, more) = rest.split_at(lockstep::snapshot::chunk_len(*prefix).unwrap());
        decoder.push(chunk)?;
        rest = more;
    }
    decoder.finish()
}

#[test]
fn todays_decoder_reads_the_golden_snapshot_and_that_of_the_third_version() {
    assert_eq!(decode(&golden("base-v4.snap")), Ok(saved()));
    assert_eq!(decode(&golden("base-v3.snap")), Ok(saved()));
}

#[test]
fn a_snapshot_of_the_second_version_has_the_board_and_the_hart_of_its_time() {
    let mut expected = saved();
    expected.config.board = BoardModel::FIRST;
    expected.config.cpu = Cpu::FIRST;
    assert_eq!(decode(&golden("base-v2.snap")), Ok(expected));
}

#[test]
fn files_of_the_first_version_are_refused_by_their_number() {
    assert!(matches!(
        SegmentHeader::decode(&golden("segment-v1.log")),
        Err(HeaderError::BadVersion { found: 1 })
    ));
    let old = golden("base-v1.snap");
    let head = &old[..lockstep::snapshot::chunk_len(*old.first_chunk().unwrap()).unwrap()];
    assert_eq!(Decoder::new(8 << 20).push(head), Err(SnapshotError::BadVersion { found: 1 }));
}

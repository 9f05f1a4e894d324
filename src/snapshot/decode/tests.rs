use super::*;
use crate::base::GuestPhys;
use crate::base::{Digest, Icount, Prng};
use crate::machine::{BootOptions, Elf, Machine, Stop, Symbol};
use crate::mem::RAM_BASE;
use crate::snapshot::Encoder;
use crate::snapshot::chunk::{CHUNK_BYTES_MAX, PIECE_BYTES_MAX, begin, put_block, seal};

const RAM: u64 = 8 << 20;

/// A machine with `pages` pages in runs, about `config` and exactly `state` bytes; every other page
/// packs badly. It could not run.
fn saved(seed: u64, pages: usize, config: usize, state: usize) -> Saved {
    let mut prng = Prng::new(seed);
    let mut bytes = |len: usize| {
        let mut bytes = vec![0; len];
        prng.fill(&mut bytes);
        bytes
    };
    let config = MachineConfig {
        guest: "guest".into(),
        guest_digest: Digest(9),
        ram_bytes: RAM,
        mac: [1; 6],
        tohost: Some(GuestPhys(RAM_BASE.get())),
        rng_seed: bytes(config),
        symbols: vec![Symbol { addr: 1, size: 2, name: "main".into() }],
        ..MachineConfig::default()
    };
    let state = bytes(state);
    let (mut number, mut all) = (0, Vec::new());
    while all.len() < pages {
        number += if all.len() % 7 == 0 { 1 + u32::from(bytes(1)[0] % 20) } else { 1 };
        let page = if number % 2 == 0 { bytes(PAGE_BYTES) } else { vec![number as u8; PAGE_BYTES] };
        all.push((number, page.into_boxed_slice()));
    }
    assert!(u64::from(number) < RAM / PAGE_BYTES as u64);
    Saved {
        config,
        icount: Icount(seed),
        digest: Digest(seed.into()),
        boot: bytes(state.len() / 3),
        state,
        pages: all,
    }
}

fn decode<'a>(chunks: impl IntoIterator<Item = &'a Vec<u8>>) -> Result<Saved, SnapshotError> {
    let mut decoder = Decoder::new(RAM);
    for chunk in chunks {
        decoder.push(chunk)?;
    }
    decoder.finish()
}

#[test]
fn any_machine_comes_back_in_bounded_chunks_that_were_announced() {
    for (seed, (pages, config, state)) in
        [(0, 0, 0), (1, 1, 0), (60, 10, 10), (61, PIECE_BYTES_MAX, PIECE_BYTES_MAX + 1), (500, 700_000, 5)]
            .into_iter()
            .enumerate()
    {
        let saved = saved(seed as u64, pages, config, state);
        let encoder = Encoder::new(&saved);
        let total = encoder.chunks_total();
        let chunks: Vec<_> = encoder.collect();
        assert_eq!(chunks.len(), total as usize);
        let mut decoder = Decoder::new(RAM);
        for (i, chunk) in chunks.iter().enumerate() {
            assert!(chunk.len() <= CHUNK_BYTES_MAX, "{} bytes", chunk.len());
            assert_eq!(super::super::chunk_len(*chunk.first_chunk().unwrap()), Ok(chunk.len()));
            assert!(!decoder.progress().is_complete());
            let progress = decoder.push(chunk).unwrap();
            assert_eq!(progress, Progress { chunks_done: i as u32 + 1, chunks_total: total });
        }
        assert!(decoder.progress().is_complete());
        assert_eq!(decoder.push(&chunks[0]), Err(SnapshotError::Surplus { total }));
        assert_eq!(decoder.finish(), Ok(saved));
    }
}

#[test]
fn pages_that_repeat_are_packed() {
    let mut saved = saved(1, 0, 0, 0);
    saved.pages = (0..1000).map(|n| (2 * n, vec![7; PAGE_BYTES].into_boxed_slice())).collect();
    let packed: usize = Encoder::new(&saved).map(|chunk| chunk.len()).sum();
    assert!(packed < 1000 * PAGE_BYTES / 50, "{packed} bytes");
}

#[test]
fn a_chunk_left_out_repeated_or_moved_is_refused() {
    let saved = saved(2, 200, 400_000, 300_000);
    let chunks: Vec<_> = Encoder::new(&saved).collect();
    for i in 0..chunks.len() {
        let (mut without, mut twice) = (chunks.clone(), chunks.clone());
        without.remove(i);
        twice.insert(i, chunks[i].clone());
        assert!(decode(&without).is_err(), "without {i}");
        assert!(decode(&twice).is_err(), "twice {i}");
        if i > 0 {
            let mut swapped = chunks.clone();
            swapped.swap(i, i - 1);
            assert!(decode(&swapped).is_err(), "swapped {i}");
        }
        assert!(decode(&chunks[..i]).is_err(), "only {i}");
    }
}

#[test]
fn cut_and_flipped_chunks_are_refused_at_every_byte() {
    let mut saved = saved(3, 2, 20, 20);
    saved.pages[1].1.fill(9);
    saved.pages[0].1.fill(1);
    let chunks: Vec<_> = Encoder::new(&saved).collect();
    for (i, chunk) in chunks.iter().enumerate() {
        let mut decoder = Decoder::new(RAM);
        chunks[..i].iter().for_each(|chunk| assert!(decoder.push(chunk).is_ok()));
        for len in 0..chunk.len() {
            assert!(decoder.push(&chunk[..len]).is_err(), "chunk {i} cut at {len}");
        }
        for bit in 0..chunk.len() * 8 {
            let mut bad = chunk.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decoder.push(&bad).is_err(), "chunk {i} bit {bit}");
        }
        assert!(decoder.push(chunk).is_ok(), "what was refused has left no trace");
    }
}

#[test]
fn a_head_that_lies_about_sizes_is_refused() {
    let forge = |change: fn(&mut Head)| {
        let mut head = Head {
            version: chunk::VERSION,
            chunks: 9,
            ram_bytes: RAM,
            icount: Icount(1),
            digest: Digest(2),
            config_bytes: 3,
            state_bytes: 4,
            boot_bytes: 6,
            pages: 5,
        };
        change(&mut head);
        let mut chunk = begin(Kind::Head, 0);
        head.encode(&mut chunk);
        Decoder::new(RAM).push(&seal(chunk)).map(|_| ())
    };
    assert_eq!(forge(|_| ()), Ok(()));
    let over = |what, found, max| Err(SnapshotError::OverBound { what, found, max });
    assert_eq!(forge(|h| h.ram_bytes = u64::MAX), over("RAM size", u64::MAX, RAM));
    assert_eq!(forge(|h| h.config_bytes = u64::MAX), over("configuration", u64::MAX, SECTION_BYTES_MAX));
    assert_eq!(forge(|h| h.state_bytes = u64::MAX), over("state", u64::MAX, SECTION_BYTES_MAX));
    assert_eq!(forge(|h| h.pages = 2049), over("page count", 2049, 2048));
    assert_eq!(forge(|h| h.ram_bytes = 4097), Err(SnapshotError::BadRamSize { ram_bytes: 4097 }));
}

/// A decoder that waits for pages, and a chunk of them with these runs and this block.
fn push_pages(runs: &[u64], block: impl FnOnce(&mut Vec<u8>)) -> Result<Progress, SnapshotError> {
    let saved = saved(4, 10, 0, 0);
    let mut decoder = Decoder::new(RAM);
    for chunk in Encoder::new(&saved).take(2) {
        decoder.push(&chunk).expect("head and configuration are good");
    }
    let mut chunk = begin(Kind::Pages, 2);
    runs.iter().for_each(|&value| varint::put_u64(&mut chunk, value));
    block(&mut chunk);
    decoder.push(&seal(chunk))
}

#[test]
fn page_runs_with_a_right_checksum_are_still_not_trusted() {
    let pages = |n: usize| move |out: &mut Vec<u8>| put_block(out, &vec![1; n * PAGE_BYTES]);
    assert!(push_pages(&[1, 0, 10], pages(10)).is_ok());
    assert!(push_pages(&[2, 0, 5, 0, 5], pages(10)).is_ok());
    let bad_run = |after, gap, count| Err(SnapshotError::BadRun { after, gap, count });
    assert_eq!(push_pages(&[1, 2047, 2], pages(2)), bad_run(0, 2047, 2), "past the end of RAM");
    assert_eq!(push_pages(&[1, u64::MAX, 2], pages(2)), bad_run(0, u64::MAX, 2));
    assert_eq!(push_pages(&[2, 1, 1, u64::MAX, 1], pages(2)), bad_run(2, u64::MAX, 1));
    assert_eq!(push_pages(&[1, 0, 0], pages(0)), bad_run(0, 0, 0));
    assert_eq!(push_pages(&[1, 0, 61], pages(1)), bad_run(0, 0, 61));
    assert_eq!(push_pages(&[1, 0, u64::MAX], pages(1)), bad_run(0, 0, u64::MAX));
    assert_eq!(push_pages(&[0], pages(0)), Err(SnapshotError::EmptyChunk));
    assert_eq!(
        push_pages(&[1, 0, 11], pages(11)),
        Err(SnapshotError::TooMuch { section: Kind::Pages, expected: 10 })
    );
    assert_eq!(
        push_pages(&[1, 0, 2], pages(1)),
        Err(SnapshotError::BadBlockLength { len: 4096, expected: Some(8192) })
    );
    assert!(matches!(push_pages(&[u64::MAX, 0, 1], |_| ()), Err(SnapshotError::Varint(_))));
}

#[test]
fn blocks_that_do_not_unpack_to_their_length_are_refused() {
    let raw = |bytes: &'static [u8]| move |out: &mut Vec<u8>| out.extend_from_slice(bytes);
    let one_page = &[1, 0, 1];
    for block in [
        &b"\x00\x80\x20short"[..],
        b"\x01\x80\x20",
        b"\x01\x80\x20\x0f\x00\x00\x00\x00\x00",
        b"\x01\x80\x20\x10x\xff\xff",
        b"\x01\x80\x20\x40four",
        b"\x02\x80\x20",
        b"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"",
    ] {
        assert!(push_pages(one_page, raw(block)).is_err(), "{block:x?}");
    }
}

#[test]
fn random_chunks_never_panic() {
    for seed in 0..5_000 {
        let mut prng = Prng::new(seed);
        let runs: Vec<u64> = (0..prng.below(6)).map(|_| prng.below(12)).collect();
        let mut block = vec![0; prng.below(60) as usize];
        prng.fill(&mut block);
        if prng.chance(3, 4) && block.len() > 2 {
            block[..3].copy_from_slice(&[1, 0x80, 0x20]);
        }
        // Whether such a chunk is taken does not matter here.
        drop(push_pages(&runs, |out| out.extend_from_slice(&block)));
    }
}

#[test]
fn a_configuration_that_lies_is_refused() {
    let whole = saved(5, 0, 0, 0);
    let push = |config: &[u8]| {
        let mut head = begin(Kind::Head, 0);
        let (config_bytes, digest) = (config.len() as u64, Digest(0));
        Head {
            version: chunk::VERSION,
            chunks: 2,
            ram_bytes: RAM,
            icount: Icount(0),
            digest,
            config_bytes,
            state_bytes: 0,
            boot_bytes: 0,
            pages: 0,
        }
        .encode(&mut head);
        let mut body = begin(Kind::Config, 1);
        put_block(&mut body, config);
        decode(&[seal(head), seal(body)]).map(|saved| saved.config)
    };
    let mut bytes = postcard::to_allocvec(&whole.config).unwrap();
    assert_eq!(push(&bytes), Ok(whole.config.clone()));
    let other = MachineConfig { ram_bytes: RAM / 2, ..whole.config };
    assert_eq!(
        push(&postcard::to_allocvec(&other).unwrap()),
        Err(SnapshotError::TwoRamSizes { head: RAM, config: RAM / 2 })
    );
    bytes.push(0);
    assert_eq!(push(&bytes), Err(SnapshotError::TrailingBytes { len: 1 }));
    assert!(matches!(push(&bytes[..5]), Err(SnapshotError::BadConfig { .. })));
    assert!(matches!(push(&[0xff; 40]), Err(SnapshotError::BadConfig { .. })));
}

#[test]
fn a_real_machine_goes_on_from_its_snapshot() {
    let elf = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/guest-programs/hello/hello.elf")).unwrap();
    let options = BootOptions { ram_bytes: RAM, ..BootOptions::default() };
    let mut machine = Machine::boot(&Elf::parse(&elf).unwrap(), &options).unwrap();
    assert_eq!(machine.run_until(Icount(100)), Stop::Reached);
    drop(machine.take_outputs());
    let before = machine.save();
    let chunks: Vec<_> = Encoder::new(&before).collect();
    let bytes: usize = chunks.iter().map(Vec::len).sum();
    assert!(bytes < 40_000, "{bytes} bytes for a small guest");
    let after = decode(&chunks).unwrap();
    assert_eq!(after, before);
    let mut other = Machine::restore(after).unwrap();
    assert_eq!(machine.run_until(Icount(100_000)), other.run_until(Icount(100_000)));
    assert_eq!(machine.take_outputs(), other.take_outputs());
    assert_eq!(machine.digest(), other.digest());
}

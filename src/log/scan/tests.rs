use super::*;
use crate::base::Prng;
use crate::log::{Event, FrameBuilder};
use crate::machine::Input;

/// Entries `first..first + count`, ten instructions apart.
fn frame(first: u64, count: u64) -> Vec<u8> {
    let mut builder = FrameBuilder::new();
    for seq in first..first + count {
        let event = Event::Input(Input::Console(format!("line {seq}\n").into_bytes()));
        builder.push(&Entry { seq: Seq(seq), at: Icount(10 * seq), event });
    }
    builder.finish()
}

/// Numbers of the entries read and the damage met.
fn scan(bytes: &[u8], last_segment: bool) -> (Vec<u64>, Vec<Damage>) {
    let mut scan = Scan::new(0, Some(Seq(1)), Icount::ZERO, last_segment);
    let (mut seqs, mut damage) = (Vec::new(), Vec::new());
    while let Some(found) = scan.next_in(bytes) {
        match found {
            Ok(place) => seqs.push(place.entry.seq.get()),
            Err(bad) => damage.push(bad),
        }
        assert!(seqs.len() + damage.len() <= bytes.len(), "a scan ends");
    }
    assert_eq!(skim(bytes, last_segment), (seqs.clone(), damage.clone()), "skimming finds the same");
    (seqs, damage)
}

/// The same without payloads.
fn skim(bytes: &[u8], last_segment: bool) -> (Vec<u64>, Vec<Damage>) {
    let mut scan = Scan::new(0, Some(Seq(1)), Icount::ZERO, last_segment);
    let (mut seqs, mut damage) = (Vec::new(), Vec::new());
    let mut each = |place: &Place| {
        assert!(place.entry.event.payload().is_empty(), "payloads are left out");
        seqs.push(place.entry.seq.get());
    };
    while let Some(found) = scan.skim_in(bytes, &mut each) {
        damage.extend(found.err());
    }
    (seqs, damage)
}

#[test]
fn the_last_entry_is_found_behind_damage() {
    let mut bytes = [frame(1, 3), frame(4, 1), frame(5, 2)].concat();
    let seq = |bytes: &[u8]| last_entry(bytes, 0).map(|entry| entry.seq.get());
    let whole = last_entry(&bytes, 0).unwrap();
    assert!(whole.seq == Seq(6) && whole.event.payload() == b"line 6\n", "it is in full");
    bytes[20] ^= 1;
    assert_eq!(seq(&bytes), Some(6));
    bytes.truncate(bytes.len() - 1);
    assert_eq!(seq(&bytes), Some(4));
    assert_eq!(seq(&[0; 100]), None);
}

#[test]
fn a_whole_segment_reads_to_its_clean_end() {
    let bytes = [frame(1, 3), frame(4, 1), frame(5, 2)].concat();
    assert_eq!(scan(&bytes, false), (vec![1, 2, 3, 4, 5, 6], vec![]));
    assert_eq!(scan(&[], true), (vec![], vec![]));

    let mut state = Scan::new(0, Some(Seq(1)), Icount::ZERO, true);
    let mut end = 0;
    while let Some(Ok(place)) = state.next_in(&bytes) {
        assert!(place.offset >= end, "entries do not overlap");
        end = place.offset + u64::from(place.len);
    }
    assert_eq!(end, bytes.len() as u64);
    assert_eq!(state.totals(), ScanTotals { frames: 3, entries: 6 });
}

#[test]
fn a_cut_at_every_byte_is_a_torn_tail_of_the_last_segment_only() {
    let frames = [frame(1, 2), frame(3, 2)];
    let bytes = frames.concat();
    let second = frames[0].len();
    for len in 1..bytes.len() {
        let (start, seqs) = if len < second { (0, vec![]) } else { (second, vec![1, 2]) };
        if len == start {
            assert_eq!(scan(&bytes[..len], true), (seqs, vec![]));
            continue;
        }
        let (read, damage) = scan(&bytes[..len], true);
        assert_eq!((read, damage.len()), (seqs.clone(), 1), "cut at {len}");
        assert_eq!(damage[0].offset, start as u64);
        assert!(matches!(damage[0].fault, Fault::TornTail { bytes, .. } if bytes == (len - start) as u64));

        let (read, damage) = scan(&bytes[..len], false);
        assert_eq!((read, damage.len()), (seqs, 1));
        assert!(matches!(damage[0].fault, Fault::Rot { resumes: None, .. }));
    }
}

#[test]
fn a_flipped_bit_is_rot_with_frames_behind_it_and_a_torn_tail_without() {
    let frames = [frame(1, 2), frame(3, 2), frame(5, 2)];
    let bytes = frames.concat();
    let (second, third) = (frames[0].len(), frames[0].len() + frames[1].len());
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let (seqs, damage) = scan(&bad, true);
        let [Damage { offset, fault }] = damage.as_slice() else { panic!("bit {bit}: {damage:?}") };
        let (expected_seqs, start, next) = match bit / 8 {
            at if at < second => (vec![3, 4, 5, 6], 0, Some(3)),
            at if at < third => (vec![1, 2, 5, 6], second, Some(5)),
            _ => (vec![1, 2, 3, 4], third, None),
        };
        assert_eq!((seqs, *offset), (expected_seqs, start as u64), "bit {bit}");
        match next {
            Some(next) => {
                let frame = frames[usize::from(start > 0)].len() as u64;
                assert!(matches!(fault, Fault::Rot { resumes, bytes, .. }
                    if (*resumes, *bytes) == (Some(Seq(next)), frame)));
            }
            None => assert!(fault.is_torn_tail()),
        }
    }
}

#[test]
fn missing_and_repeated_entries_are_named() {
    let gap = [frame(1, 2), frame(5, 1)].concat();
    let (seqs, damage) = scan(&gap, true);
    assert_eq!(seqs, [1, 2, 5]);
    assert_eq!(damage[0].fault, Fault::OutOfSequence { expected: Seq(3), found: Seq(5) });
    assert_eq!(damage[0].fault.to_string(), "rot: entries 3 to 4 are missing");

    let again = [frame(1, 2), frame(1, 2), frame(3, 1)].concat();
    let (seqs, damage) = scan(&again, true);
    assert_eq!(seqs, [1, 2, 2, 3], "a repeated entry that goes back is damage itself");
    assert_eq!(damage.len(), 2);
    assert!(matches!(damage[1].fault, Fault::PositionBack { seq: Seq(1), .. }));
}

#[test]
fn a_tail_of_zeros_is_torn() {
    let bytes = [frame(1, 1), vec![0; 4096]].concat();
    let (seqs, damage) = scan(&bytes, true);
    assert_eq!(seqs, [1]);
    assert!(matches!(damage[0].fault, Fault::TornTail { bytes: 4096, .. }));
}

#[test]
fn a_growing_segment_is_waited_for_at_every_byte() {
    let bytes = [frame(1, 2), frame(3, 1)].concat();
    let mut state = Scan::new(0, Some(Seq(1)), Icount::ZERO, true);
    let mut seqs = Vec::new();
    for len in 0..=bytes.len() {
        while let Some(found) = state.next_growing(&bytes[..len]) {
            seqs.push(found.expect("nothing is wrong").entry.seq.get());
        }
    }
    assert_eq!(seqs, [1, 2, 3]);
}

#[test]
fn bytes_made_to_look_like_frames_do_not_take_forever() {
    // A megabyte frame seems to start at every fourth byte.
    let bytes = [0xa7, 0xf0, 0xff, 0x0f].repeat(1 << 20);
    let (seqs, damage) = scan(&bytes, true);
    assert!(seqs.is_empty());
    assert!(matches!(damage[0].fault, Fault::Rot { resumes: None, .. }), "not sure, so not cut");
}

#[test]
fn any_bytes_between_frames_neither_panic_nor_hide_what_follows() {
    for seed in 0..500 {
        let mut prng = Prng::new(seed);
        let mut junk = vec![0; prng.between(1, 200) as usize];
        prng.fill(&mut junk);
        if prng.chance(1, 2) {
            junk[0] = 0xa7;
        }
        let bytes = [frame(1, 2), junk, frame(3, 2)].concat();
        let (seqs, damage) = scan(&bytes, true);
        assert_eq!((seqs, damage.len()), (vec![1, 2, 3, 4], 1), "seed {seed}");
    }
}

#[test]
fn a_growing_segment_is_read_as_it_comes_and_its_front_may_be_dropped() {
    let frames = [frame(1, 2), frame(3, 1)];
    let bytes = frames.concat();
    let (first, all) = (frames[0].len(), bytes.len());
    let mut scan = Scan::new(0, Some(Seq(1)), Icount::ZERO, true);
    for len in [0, 1, first - 1] {
        assert_eq!(scan.next_growing(&bytes[..len]), None, "{len} bytes");
    }
    let state = |scan: &Scan| (scan.offset(), scan.expected(), scan.position(), scan.is_between_frames());
    assert_eq!(state(&scan), (0, Some(Seq(1)), Icount::ZERO, true));
    let seq = |found: Option<Result<Place, Damage>>| found.map(|place| place.unwrap().entry.seq.get());
    assert_eq!(seq(scan.next_growing(&bytes[..first])), Some(1));
    assert_eq!(state(&scan), (first, Some(Seq(2)), Icount(10), false));
    assert_eq!(seq(scan.next_growing(&bytes[..first])), Some(2));
    assert_eq!(state(&scan), (first, Some(Seq(3)), Icount(20), true));
    assert_eq!(seq(scan.next_growing(&bytes[..first + 3])), None);
    // Of the bytes that are done with all but two are dropped.
    scan.rebase(first - 2);
    assert_eq!(scan.offset(), 2);
    assert_eq!(seq(scan.next_growing(&bytes[first - 2..])), Some(3));
    assert_eq!(state(&scan), (2 + all - first, Some(Seq(4)), Icount(30), true));
    assert_eq!(seq(scan.next_growing(&bytes[first - 2..])), None);
    let totals = ScanTotals { frames: 2, entries: 3 };
    assert_eq!(scan.totals(), totals);
    assert_eq!(totals.plus(ScanTotals { frames: 5, entries: 7 }), ScanTotals { frames: 7, entries: 10 });
}

#[test]
#[should_panic(expected = "only bytes that are done with are dropped")]
fn bytes_ahead_of_a_scan_are_not_dropped() {
    Scan::new(5, None, Icount::ZERO, true).rebase(6);
}

#[test]
#[should_panic(expected = "only bytes that are done with are dropped")]
fn bytes_are_not_dropped_under_an_open_frame() {
    let bytes = frame(1, 2);
    let mut scan = Scan::new(0, Some(Seq(1)), Icount::ZERO, true);
    assert!(scan.next_in(&bytes).is_some_and(|found| found.is_ok()));
    scan.rebase(0);
}

#[test]
fn entries_at_one_position_are_no_step_back() {
    let mut builder = FrameBuilder::new();
    for seq in [1, 2] {
        builder.push(&Entry { seq: Seq(seq), at: Icount(7), event: Event::Horizon });
    }
    assert_eq!(scan(&builder.finish(), true), (vec![1, 2], vec![]));
}

#[test]
fn damage_says_what_is_missing_and_where_it_goes_on() {
    let rot = |expected: Option<u64>, resumes: Option<u64>| resumes_text(expected.map(Seq), resumes.map(Seq));
    assert_eq!(rot(Some(3), Some(4)), "entry 3 is missing, then the log goes on");
    assert_eq!(rot(Some(3), Some(7)), "entries 3 to 6 are missing, then the log goes on");
    assert_eq!(rot(Some(3), Some(3)), "the log goes on with entry 3");
    assert_eq!(rot(Some(3), Some(2)), "the log goes on with entry 2");
    assert_eq!(rot(None, Some(9)), "the log goes on with entry 9");
    assert_eq!(rot(Some(3), None), "nothing after them in this segment does");
    let jump = |expected, found| Fault::OutOfSequence { expected: Seq(expected), found: Seq(found) };
    assert_eq!(jump(3, 4).to_string(), "rot: entry 3 is missing");
    assert_eq!(jump(3, 3).to_string(), "rot: entry 3 comes again, expected entry 3");
    assert_eq!(jump(3, 2).to_string(), "rot: entry 2 comes again, expected entry 3");
    assert!(!jump(3, 4).is_torn_tail());
}

//! A log segment, as `lockstep log` and `lockstep replay` read it.

use lockstep::base::{Icount, Seq};
use lockstep::inspect::diff::{Strictness, diff};
use lockstep::inspect::{EntryView, Stats, groups, picture};
use lockstep::log::code::is_encodable;
use lockstep::log::segment::HEADER_BYTES_MAX;
use lockstep::log::{Damage, Entry, Frame, FrameBuilder, Place, Scan, SegmentHeader, decode_frame, scan};
use lockstep::machine::Machine;
use lockstep::replay::Replayer;

use crate::{guest, mend};

/// How many instructions a replay is given.
const BUDGET: u64 = 20_000;

pub fn run(data: &[u8]) {
    read(data);
    let mended = mend::segment(data);
    if mended != data {
        read(&mended);
    }
    replay(&mended);
}

fn read(bytes: &[u8]) {
    let at = match SegmentHeader::decode(bytes) {
        Ok((header, len)) => {
            assert!(len <= bytes.len() && len <= HEADER_BYTES_MAX);
            let again = header.encode();
            assert_eq!(SegmentHeader::decode(&again), Ok((header, again.len())));
            len
        }
        Err(_) => 0,
    };
    for last_segment in [true, false] {
        let (places, damages) = taken(bytes, at, last_segment);
        assert_eq!(skimmed(bytes, at, last_segment), (places.len(), damages.clone()), "both find the same");
        let found = scan::last_entry(bytes, at);
        if damages.is_empty() {
            assert_eq!(found.as_ref(), places.last().map(|place| &place.entry));
        }
        if last_segment {
            show(&places);
        }
    }
    encode_again(bytes, at);
}

/// What a scan finds: it stays within the bytes, and comes to an end.
fn taken(bytes: &[u8], at: usize, last_segment: bool) -> (Vec<Place>, Vec<Damage>) {
    let mut scan = Scan::new(at, None, Icount::ZERO, last_segment);
    let (mut places, mut damages, mut end) = (Vec::<Place>::new(), Vec::new(), at as u64);
    while let Some(found) = scan.next_in(bytes) {
        match found {
            Ok(place) => {
                assert!(place.offset >= end, "entry {} is read twice", place.entry.seq);
                end = place.offset + u64::from(place.len);
                assert!(end <= bytes.len() as u64, "entry {} is out of bounds", place.entry.seq);
                assert!(is_encodable(&place.entry.event), "entry {} is too long", place.entry.seq);
                places.push(place);
            }
            Err(damage) => {
                assert!(damage.offset <= bytes.len() as u64);
                damages.push(damage);
            }
        }
        assert!(places.len() + damages.len() <= 2 * bytes.len() + 1, "a scan has no end");
    }
    (places, damages)
}

fn skimmed(bytes: &[u8], at: usize, last_segment: bool) -> (usize, Vec<Damage>) {
    let mut scan = Scan::new(at, None, Icount::ZERO, last_segment);
    let (mut places, mut damages) = (0, Vec::new());
    while let Some(found) = scan.skim_in(bytes, &mut |_| places += 1) {
        damages.extend(found.err());
    }
    (places, damages)
}

/// What `lockstep log` makes of entries.
fn show(places: &[Place]) {
    let (mut stats, mut tallies, mut activity) =
        (Stats::default(), groups::Groups::default(), groups::Activity::default());
    for place in places {
        let view = EntryView::of(&place.entry);
        view.line();
        serde_json::to_string(&view).expect("a view is JSON");
        stats.add(place);
        tallies.add(activity.of(&place.entry), place.entry.at, place.len);
    }
    let counted: u64 = tallies.ranked().iter().map(|(_, tally)| tally.entries).sum();
    assert_eq!((counted, stats.total().count), (places.len() as u64, places.len() as u64));
    stats.to_json();
    picture::svg(&stats, "fuzz");
    let entries = || places.iter().map(|place| place.entry.clone());
    let strict = Strictness { horizons: true, identities: true };
    assert_eq!(diff(entries(), entries(), strict).parting, None, "a log differs from itself");
}

/// Whole frames come back from their entries.
fn encode_again(bytes: &[u8], mut at: usize) {
    while at < bytes.len() {
        let Ok((entries, len)) = decode_frame(&bytes[at..]) else {
            at += Frame::check(&bytes[at..]).map_or(1, |frame| frame.bytes().len());
            continue;
        };
        let frames = encode(&entries);
        let decoded = |frame: &Vec<u8>| decode_frame(frame).expect("what was encoded decodes").0;
        assert_eq!(frames.iter().flat_map(decoded).collect::<Vec<_>>(), entries);
        at += len;
    }
}

/// These entries as frames.
pub fn encode(entries: &[Entry]) -> Vec<Vec<u8>> {
    let (mut builder, mut frames) = (FrameBuilder::new(), Vec::new());
    for entry in entries {
        if builder.is_full() {
            frames.push(builder.finish());
        }
        builder.push(entry);
    }
    frames.push(builder.finish());
    frames.retain(|frame| !frame.is_empty());
    frames
}

/// A machine obeys the entries, as far as they can be its own, and is one that can be moved to another host.
fn replay(bytes: &[u8]) {
    let Ok((header, at)) = SegmentHeader::decode(bytes) else { return };
    let mut scan = Scan::new(at, None, Icount::ZERO, true);
    let mut entries = Vec::new();
    while let Some(found) = scan.next_in(bytes) {
        entries.extend(found.ok().map(|place| place.entry));
    }
    if entries.is_empty() {
        return;
    }
    // Numbers are the one thing that every mutation of the bytes breaks.
    for (entry, seq) in entries.iter_mut().zip(1..) {
        entry.seq = Seq(seq);
    }
    let mut replayer = Replayer::new(guest::boot(&header.lineage.guest), Seq(1));
    let pushed = replayer.push(entries);
    let mut followed = Vec::new();
    let ran = replayer.run(BUDGET, &mut followed);
    let machine = replayer.machine_mut();
    if pushed.is_ok() && ran.is_ok() && !machine.outputs_waiting() {
        let digest = machine.digest();
        let mut moved = Machine::restore(machine.save()).expect("what was saved is restored");
        assert_eq!(moved.digest(), digest);
    }
}

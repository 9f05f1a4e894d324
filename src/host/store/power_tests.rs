//! Power losses: whatever was reported durable is there afterwards, to the bit, with all before it.

use std::sync::Arc;

use super::catalog::Catalog;
use super::checkpoint::CheckpointMeta;
use super::disk_tests::{Disk, Operation, Piece};
use super::error::StoreError;
use super::frames::Frames;
use super::handle::{create, resume};
use super::identity::Identity;
use super::keep::Keep;
use super::keeper::Keeper;
use super::survey::{Check, survey};
use super::writer::Writer;
use crate::base::{Digest, Generation, Icount, NodeId, Prng, Seq};
use crate::log::{Entry, Event, FrameBuilder, Start};
use crate::machine::{Input, MachineConfig, Saved};
use crate::snapshot::Encoder;

pub const RAM_BYTES: u64 = 1 << 20;

/// A state after entry `seq`; it could not run.
pub fn state(seq: Seq) -> Saved {
    let mut prng = Prng::new(seq.get());
    let mut bytes = vec![0; 50 + prng.below(700) as usize];
    prng.fill(&mut bytes);
    let config = MachineConfig {
        guest: "guest".into(),
        guest_digest: Digest(9),
        ram_bytes: RAM_BYTES,
        ..MachineConfig::default()
    };
    Saved {
        config,
        icount: Icount(seq.get() * 10),
        digest: Digest(seq.get().into()),
        boot: Vec::new(),
        state: bytes,
        pages: vec![(seq.get() as u32 % 200, vec![7; 4096].into())],
    }
}

pub fn meta(seq: Seq, generation: Generation) -> CheckpointMeta {
    let saved = state(seq);
    CheckpointMeta { seq, icount: saved.icount, generation, digest: saved.digest, base: None }
}

pub fn chunks(seq: Seq) -> Vec<Vec<u8>> {
    Encoder::new(&state(seq)).collect()
}

pub fn identity(base: Seq) -> Identity {
    let mut identity = Identity::new("kv", 77, &state(base).config, &meta(base, Generation(1)));
    identity.id = 0x5704e;
    identity
}

/// Makes the frames of a log, one after another.
#[derive(Clone, Debug)]
pub struct Source {
    pub next: Seq,
    pub generation: Generation,
    prng: Prng,
}

impl Source {
    pub fn new(after: Seq, seed: u64) -> Self {
        Self { next: after.next(), generation: Generation(1), prng: Prng::new(seed) }
    }

    pub fn frame(&mut self) -> Vec<u8> {
        let mut builder = FrameBuilder::new();
        for _ in 0..self.prng.between(1, 3) {
            let event = match self.prng.below(10) {
                0 => {
                    self.generation = self.generation.next();
                    let (generation, node) = (self.generation, NodeId(1));
                    Event::Generation { generation, node, why: Start::Takeover }
                }
                1..=4 => {
                    let mut bytes = vec![0; self.prng.below(300) as usize];
                    self.prng.fill(&mut bytes);
                    Event::Input(Input::Console(bytes))
                }
                _ => Event::Horizon,
            };
            builder.push(&Entry { seq: self.next, at: Icount(self.next.get() * 10), event });
            self.next = self.next.next();
        }
        builder.finish()
    }
}

/// What must be true of the store.
#[derive(Debug)]
struct Model {
    base: Seq,
    /// Last entry, generation after it, and bytes of every frame that was written.
    frames: Vec<(Seq, Generation, Vec<u8>)>,
    durable: Seq,
    /// Checkpoints that were saved and not removed.
    saved: Vec<Seq>,
}

impl Model {
    fn last(&self) -> (Seq, Generation) {
        self.frames.last().map_or((self.base, Generation(1)), |(last, generation, _)| (*last, *generation))
    }
}

/// An open store without its threads.
struct Rig {
    catalog: Arc<Catalog>,
    writer: Writer,
    keeper: Keeper,
}

fn open(disk: &Disk, segment_bytes: u64) -> Result<Rig, StoreError> {
    let (found, catalog, writer) = resume(&disk.files(), Check::All, segment_bytes)?;
    let identity = found.identity;
    let keeper = Keeper::new(disk.files(), Arc::clone(&catalog), identity);
    Ok(Rig { catalog, writer, keeper })
}

/// Looks through the store after a crash and holds it against the model, which learns what was lost.
fn check(disk: &Disk, model: &mut Model) -> Result<(), String> {
    let files = disk.files();
    let found = survey(&*files, Check::All).map_err(|error| format!("not opened: {error}"))?;
    let last = found.last();
    if last < model.durable {
        return Err(format!("entries up to {} were durable, {last} is the last", model.durable));
    }
    model.frames.retain(|(frame_last, ..)| *frame_last <= last);
    if model.last() != (last, found.tail.progress.generation) {
        let generation = found.tail.progress.generation;
        return Err(format!("it ends with {last} in {generation}, expected {:?}", model.last()));
    }
    let kept: Vec<Seq> = found.checkpoints.iter().map(|checkpoint| checkpoint.meta.seq).collect();
    if let Some(gone) = model.saved.iter().find(|seq| !kept.contains(seq)) {
        return Err(format!("the checkpoint after {gone} is gone; {kept:?} are there"));
    }
    let catalog = Arc::new(Catalog::new(&found));
    let oldest = kept[0];
    let frames = Frames::new(Arc::clone(&files), catalog, found.identity.clone(), oldest)
        .map_err(|error| error.to_string())?;
    let read: Vec<Vec<u8>> =
        frames.collect::<Result<_, _>>().map_err(|error| format!("not read: {error}"))?;
    let expected: Vec<&Vec<u8>> =
        model.frames.iter().filter(|(last, ..)| *last > oldest).map(|(.., bytes)| bytes).collect();
    if !read.iter().eq(expected.iter().copied()) {
        return Err(format!("{} frames were read, {} other ones were written", read.len(), expected.len()));
    }
    for seq in kept {
        let chunks_read = super::checkpoint::Chunks::open(&*files, &found.identity, seq)
            .and_then(|chunks| chunks.collect::<Result<Vec<_>, _>>())
            .map_err(|error| error.to_string())?;
        if chunks_read != chunks(seq) {
            return Err(format!("the checkpoint after {seq} has other chunks"));
        }
    }
    Ok(())
}

/// Writes, saves and removes until an error or for `steps` steps.
fn live(
    disk: &Disk,
    model: &mut Model,
    prng: &mut Prng,
    segment_bytes: u64,
    steps: u64,
) -> Result<(), StoreError> {
    let relaxed = prng.chance(1, 3);
    let mut rig = open(disk, segment_bytes)?;
    let (last, generation) = model.last();
    // What is found is made durable first.
    model.durable = last;
    model.saved = rig.catalog.lock().checkpoints.iter().map(|checkpoint| checkpoint.meta.seq).collect();
    let mut source = Source { next: last.next(), generation, prng: prng.split() };
    for _ in 0..steps {
        match prng.below(20) {
            0..=13 => {
                let mut batch = Vec::new();
                for _ in 0..prng.between(1, 5) {
                    let bytes = source.frame();
                    batch.extend_from_slice(&bytes);
                    model.frames.push((Seq(source.next.get() - 1), source.generation, bytes));
                }
                rig.writer.write(&batch)?;
                if !relaxed || prng.chance(1, 4) {
                    model.durable = rig.writer.sync()?;
                }
            }
            14 | 15 => {
                let (seq, generation) = model.last();
                let newest = model.saved.last().copied().filter(|newest| *newest < seq);
                let base = newest.filter(|_| prng.chance(2, 3));
                let meta = CheckpointMeta { base, ..meta(seq, generation) };
                let info = rig.keeper.write(meta, chunks(seq), || true)?.unwrap();
                model.durable = rig.writer.sync()?;
                rig.keeper.publish(info)?;
                if !model.saved.contains(&seq) {
                    model.saved.push(seq);
                }
            }
            16 | 17 => {
                let keep = match prng.below(3) {
                    0 => Keep { bytes: Some(3 * segment_bytes), ..Keep::default() },
                    _ => Keep { count: Some(prng.between(1, 2) as usize), ..Keep::default() },
                };
                // Until it comes back, it is not known what has gone but what the newest builds on.
                let newest = *model.saved.last().expect("a store has a checkpoint");
                let needed = super::restore::chain(&*disk.files(), &rig.catalog.lock().checkpoints, newest)?;
                model.saved = needed.iter().map(|info| info.meta.seq).collect();
                rig.keeper.prune(&keep)?;
                model.saved =
                    rig.catalog.lock().checkpoints.iter().map(|checkpoint| checkpoint.meta.seq).collect();
            }
            // Closed, or killed, while the power stays.
            turn => {
                if turn == 18 {
                    model.durable = rig.writer.close()?;
                }
                drop(rig);
                rig = open(disk, segment_bytes)?;
                model.durable = model.last().0;
            }
        }
    }
    Ok(())
}

/// A store's life: created, written, killed or hit by a power loss in the middle, opened again. `at` is the
/// operation at which it ends first; it is drawn otherwise.
fn life(seed: u64, at: Option<u64>) -> Result<Option<u64>, String> {
    let mut prng = Prng::new(seed);
    let disk = Disk::default();
    if prng.chance(1, 4) {
        disk.write_short(seed);
    }
    let base = Seq(prng.below(3) * 50);
    let segment_bytes = prng.between(600, 4000);
    let identity = identity(base);
    let mut first = at;
    let mut created = false;
    let mut model = Model { base, frames: Vec::new(), durable: base, saved: Vec::new() };
    for round in 0..4 {
        let n = first.take().unwrap_or_else(|| prng.between(1, if round == 0 { 20 } else { 150 }));
        disk.end_at(n);
        let lived = if created {
            live(&disk, &mut model, &mut prng, segment_bytes, 60)
        } else {
            let made =
                create(&*disk.files(), &identity, meta(base, Generation(1)), chunks(base), segment_bytes);
            created = made.is_ok();
            made.and_then(|()| {
                model.saved = vec![base];
                live(&disk, &mut model, &mut prng, segment_bytes, 60)
            })
        };
        let ended = disk.is_off();
        match lived {
            Err(error) if !ended => return Err(format!("round {round}: failed for no reason: {error}")),
            Ok(()) if ended => return Err(format!("round {round}: it went on past its end")),
            _ => {}
        }
        if at.is_some() && round == 0 && !ended {
            return Ok(None);
        }
        match prng.chance(1, 3) {
            true => disk.restart(),
            false => disk.lose_power(&mut prng),
        }
        if !created {
            match survey(&*disk.files(), Check::All) {
                // Its last operation may have been the one that was lost.
                Ok(_) => (created, model.saved) = (true, vec![base]),
                Err(StoreError::Unfinished { .. } | StoreError::NoStore { .. }) => continue,
                Err(error) => return Err(format!("round {round}: half created: {error}")),
            }
        }
        check(&disk, &mut model).map_err(|why| format!("round {round}: {why}"))?;
    }
    Ok(Some(model.durable.get()))
}

fn told(seed: u64, at: Option<u64>) -> Result<Option<u64>, String> {
    life(seed, at).map_err(|why| format!("seed {seed}, ends at {at:?}: {why}"))
}

/// The first of some lives that does not hold.
pub fn lives() -> Result<(), String> {
    let first = std::env::var("LOCKSTEP_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    (first..first + 600).try_for_each(|seed| told(seed, None).map(|_| ()))
}

#[test]
fn what_was_reported_durable_survives_power_losses_and_kills() {
    lives().unwrap();
}

#[test]
fn it_may_end_at_every_operation() {
    for seed in 1000..1002 {
        let held = (1..).take_while(|at| told(seed, Some(*at)).unwrap().is_some()).count();
        assert!(held > 30, "seed {seed} has only {held} operations");
    }
}

/// A batch is lost, one behind it is not, and the first is written again as it was: nothing may follow it.
pub fn a_cut_batch_does_not_come_back() -> Result<(), String> {
    let disk = Disk::default();
    let identity = identity(Seq::ZERO);
    let text = |error: StoreError| error.to_string();
    create(&*disk.files(), &identity, meta(Seq::ZERO, Generation(1)), chunks(Seq::ZERO), 8192)
        .map_err(text)?;
    let mut source = Source::new(Seq::ZERO, 1);
    let (a, a_last) = (source.frame(), Seq(source.next.get() - 1));
    let b = source.frame();
    let mut rig = open(&disk, 8192).map_err(text)?;
    rig.writer.write(&a).and_then(|()| rig.writer.write(&b)).map_err(text)?;
    disk.lose(1, |piece| piece.write == 1, || true);
    let found = survey(&*disk.files(), Check::All).map_err(text)?;
    if found.last() != Seq::ZERO {
        return Err(format!("the first batch was lost, and {} is the last entry", found.last()));
    }
    let mut rig = open(&disk, 8192).map_err(text)?;
    rig.writer.write(&a).map_err(text)?;
    let end = found.tail.at + (super::batch::HEADER_BYTES + a.len()) as u64;
    // All of it, without the zeros behind.
    disk.lose(1, |piece: Piece| piece.offset < end, || true);
    match survey(&*disk.files(), Check::All).map_err(text)?.last() {
        last if last == a_last => Ok(()),
        last => Err(format!("entries up to {a_last} were written, {last} is the last")),
    }
}

#[test]
fn a_batch_that_was_cut_does_not_come_back() {
    a_cut_batch_does_not_come_back().unwrap();
}

/// A store with a recycled last segment, and a batch that is not synced: the disk, the segment's name, its
/// bytes before and with the batch, where that begins and ends, and the last durable entry.
fn recycled() -> (Disk, String, Vec<u8>, Vec<u8>, usize, usize, Seq) {
    let disk = Disk::default();
    let identity = identity(Seq::ZERO);
    create(&*disk.files(), &identity, meta(Seq::ZERO, Generation(1)), chunks(Seq::ZERO), 1500).unwrap();
    let mut rig = open(&disk, 1500).unwrap();
    let mut next = Seq(1);
    // Frames of one length, so that old batches begin where new ones do.
    let mut frame = || {
        let mut builder = FrameBuilder::new();
        let event = Event::Input(Input::Console(vec![next.get() as u8; 60]));
        builder.push(&Entry { seq: next, at: Icount(1_000_000 + next.get()), event });
        next = next.next();
        builder.finish()
    };
    for _ in 0..30 {
        rig.writer.write(&frame()).unwrap();
        rig.writer.sync().unwrap();
    }
    let info = rig.keeper.write(meta(Seq(30), Generation(1)), chunks(Seq(30)), || true).unwrap().unwrap();
    rig.keeper.publish(info).unwrap();
    rig.keeper.prune(&Keep { count: Some(1), ..Keep::default() }).unwrap();
    let spares = rig.catalog.lock().spares.len();
    assert!(spares >= 2, "{spares} spares");
    while rig.catalog.lock().spares.len() >= spares {
        rig.writer.write(&frame()).unwrap();
        rig.writer.sync().unwrap();
    }
    rig.writer.write(&frame()).unwrap();
    rig.writer.sync().unwrap();
    let durable = rig.writer.written();
    let name = super::segment::name_of(rig.catalog.lock().segments.last().unwrap().0);
    let start = survey(&*disk.files(), Check::All).unwrap().tail.at as usize;
    let bytes = frame();
    rig.writer.write(&bytes).unwrap();
    let end = start + super::batch::HEADER_BYTES + bytes.len();
    let (new, old) = disk.content(&name);
    assert_eq!(old[end..end + 4], super::batch::MARK, "an old batch begins where the new one ends");
    (disk, name, old, new, start, end, durable)
}

#[test]
fn a_recycled_segment_may_be_torn_at_every_byte() {
    let (disk, name, old, new, start, end, durable) = recycled();
    let after_end = end + super::batch::HEADER_BYTES;
    let mut whole = 0;
    for cut in start..=after_end {
        for (front, back) in [(&new, &old), (&old, &new)] {
            let torn = [&front[..cut], &back[cut..]].concat();
            let is_whole = torn[..end] == new[..end];
            disk.put(&name, torn);
            let found =
                survey(&*disk.files(), Check::All).unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
            assert_eq!(found.last(), if is_whole { durable.next() } else { durable }, "cut at {cut}");
            whole += u32::from(is_whole);
            // And it can be gone on with.
            let copy = disk.copy();
            let mut rig = open(&copy, 1500).unwrap();
            let mut source = Source::new(found.last(), 9);
            let more: Vec<u8> = (0..20).flat_map(|_| source.frame()).collect();
            rig.writer.write(&shifted(&more)).unwrap();
            rig.writer.sync().unwrap();
            let found = survey(&*copy.files(), Check::All).unwrap();
            assert_eq!(found.last().next(), source.next, "cut at {cut}");
        }
    }
    assert!((50..60).contains(&whole), "{whole} of the cuts leave the batch whole");
}

/// The same frames at positions that do not go back behind those of [`recycled`].
fn shifted(frames: &[u8]) -> Vec<u8> {
    let (mut rest, mut out) = (frames, Vec::new());
    while !rest.is_empty() {
        let (entries, len) = crate::log::decode_frame(rest).unwrap();
        let mut builder = FrameBuilder::new();
        for mut entry in entries {
            entry.at = entry.at.plus(2_000_000);
            builder.push(&entry);
        }
        out.extend(builder.finish());
        rest = &rest[len..];
    }
    out
}

/// A store with several segments and checkpoints, closed in an orderly way; also the last entry.
pub fn closed() -> (Disk, Seq) {
    let disk = Disk::default();
    let identity = identity(Seq::ZERO);
    create(&*disk.files(), &identity, meta(Seq::ZERO, Generation(1)), chunks(Seq::ZERO), 1200).unwrap();
    let mut rig = open(&disk, 1200).unwrap();
    let mut source = Source::new(Seq::ZERO, 3);
    for n in 0..12 {
        let batch: Vec<u8> = (0..2).flat_map(|_| source.frame()).collect();
        rig.writer.write(&batch).unwrap();
        rig.writer.sync().unwrap();
        if n == 5 {
            let seq = rig.writer.written();
            let info = rig.keeper.write(meta(seq, source.generation), chunks(seq), || true).unwrap().unwrap();
            rig.keeper.publish(info).unwrap();
        }
    }
    (disk, rig.writer.close().unwrap())
}

/// A replacement was cut off behind its first step: what the old store's node was to its group is not the new one's.
#[test]
fn a_new_store_knows_nothing_of_the_one_before() {
    let (disk, _) = closed();
    disk.put(super::replica::NAME, b"standing".to_vec());
    let files = disk.files();
    files.rename(super::identity::NAME, super::identity::NAME_NEW).unwrap();
    let identity = identity(Seq::ZERO);
    create(&*files, &identity, meta(Seq::ZERO, Generation(1)), chunks(Seq::ZERO), 1200).unwrap();
    assert!(!disk.names().iter().any(|name| name == super::replica::NAME), "{:?}", disk.names());
}

#[test]
fn every_flipped_byte_is_rot_or_means_nothing() {
    let (disk, last) = closed();
    assert!(disk.names().len() >= 6, "{:?}", disk.names());
    let mut red = 0;
    for name in disk.names() {
        let (content, _) = disk.content(&name);
        for at in 0..content.len() {
            let mut bad = content.clone();
            bad[at] ^= 0x41;
            disk.put(&name, bad);
            match survey(&*disk.files(), Check::All) {
                Ok(found) => assert_eq!(found.last(), last, "{name}, byte {at}"),
                Err(error) => {
                    red += 1;
                    let text = error.to_string();
                    let told = text.contains(&name);
                    assert!(told || matches!(error, StoreError::Missing { .. }), "{name}, byte {at}: {text}");
                    assert!(error.fix().is_some(), "{text}");
                }
            }
        }
        disk.put(&name, content);
    }
    assert!(red > 5000, "only {red} bytes are looked at");
}

#[test]
fn a_missing_file_is_named_unless_nothing_needs_it() {
    let (disk, last) = closed();
    for name in disk.names() {
        let copy = Disk::default();
        for other in disk.names().iter().filter(|other| **other != name) {
            copy.put(other, disk.content(other).0);
        }
        let found = survey(&*copy.files(), Check::All);
        let is_oldest =
            |suffix: &str| disk.names().into_iter().find(|name| name.ends_with(suffix)).unwrap() == name;
        match (name.as_str(), found) {
            ("store", Err(StoreError::NoIdentity { .. })) => {}
            // The one after it is a way back, too.
            (name, Ok(found)) if name.ends_with(".ckpt") => {
                assert_eq!((found.last(), found.checkpoints.len()), (last, 1));
            }
            (name, Err(StoreError::Missing { from, upto, .. })) if name.ends_with(".log") => {
                assert!(from <= upto && (!is_oldest(".log") || from == Seq(1)), "{name}: {from} to {upto}");
            }
            // Without its last segment a log is a shorter one, unless a checkpoint knows better.
            (name, Ok(found)) if name.ends_with(".log") => assert!(found.last() < last),
            (name, other) => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn segments_of_another_store_are_refused() {
    let (disk, _) = closed();
    let names = disk.names();
    let logs: Vec<&String> = names.iter().filter(|name| name.ends_with(".log")).collect();
    // The same guest, another log.
    let other = Disk::default();
    let mut foreign = identity(Seq::ZERO);
    foreign.id += 1;
    create(&*other.files(), &foreign, meta(Seq::ZERO, Generation(1)), chunks(Seq::ZERO), 8000).unwrap();
    let mut rig = open(&other, 8000).unwrap();
    rig.writer.write(&Source::new(Seq::ZERO, 3).frame()).unwrap();
    rig.writer.close().unwrap();
    let copy = disk.copy();
    copy.put(logs[0], other.content(logs[0]).0);
    assert!(matches!(survey(&*copy.files(), Check::All), Err(StoreError::Rot { .. })));
    // Another vm.
    let copy = disk.copy();
    let mut stranger = identity(Seq::ZERO);
    stranger.vm = "other".into();
    copy.put("store", stranger.to_text());
    match survey(&*copy.files(), Check::All) {
        Err(StoreError::Foreign { field: "vm", expected, found, .. }) => {
            assert_eq!((expected.as_str(), found.as_str()), ("other", "kv"));
        }
        found => panic!("{found:?}"),
    }
    // Another store's checkpoint.
    let copy = disk.copy();
    copy.put("00000000000000000000.ckpt", other.content("00000000000000000000.ckpt").0);
    assert!(matches!(survey(&*copy.files(), Check::All), Err(StoreError::Foreign { field: "store", .. })));
}

#[test]
fn a_segment_that_names_another_generation_is_refused() {
    let (disk, _) = closed();
    let name = disk.names().into_iter().filter(|name| name.ends_with(".log")).nth(1).unwrap();
    let (mut content, _) = disk.content(&name);
    let (mut header, len) = crate::log::SegmentHeader::decode(&content).unwrap();
    let right = header.generation;
    header.generation = right.next();
    content[..len].copy_from_slice(&header.encode());
    disk.put(&name, content);
    match survey(&*disk.files(), Check::All) {
        Err(StoreError::OtherGeneration { expected, found, .. }) => {
            assert_eq!((expected, found), (right, right.next()));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_checkpoint_past_the_end_of_the_log_is_an_error() {
    let (disk, last) = closed();
    let seq = last.plus(5);
    let files = disk.files();
    super::checkpoint::write_part(
        &*files,
        &identity(Seq::ZERO),
        meta(seq, Generation(1)),
        chunks(seq),
        || true,
    )
    .unwrap();
    super::checkpoint::rename(&*files, seq).unwrap();
    match survey(&*files, Check::SinceNewest) {
        Err(StoreError::Missing { from, upto, .. }) => assert_eq!((from, upto), (last.next(), seq)),
        found => panic!("{found:?}"),
    }
}

#[test]
fn a_checkpoint_that_is_none_is_not_saved() {
    let (disk, last) = closed();
    let rig = open(&disk, 1200).unwrap();
    let save =
        |chunks: Vec<Vec<u8>>| rig.keeper.write(meta(last, Generation(1)), chunks, || true).unwrap_err();
    let right = chunks(last);
    let mut flipped = right.clone();
    flipped.last_mut().unwrap()[30] ^= 1;
    for wrong in [
        vec![],
        chunks(last.next()),
        right[..right.len() - 1].to_vec(),
        [right.as_slice(), &right[1..2]].concat(),
        right[1..].to_vec(),
        flipped,
    ] {
        let error = save(wrong);
        assert!(matches!(error, StoreError::NotASnapshot { .. }), "{error}");
        assert!(!disk.names().iter().any(|name| name.ends_with(".part")));
    }
}

#[test]
fn a_disk_that_lies_is_found_out_at_the_end_of_a_segment() {
    let (disk, last) = closed();
    let mut rig = open(&disk, 1200).unwrap();
    disk.lie();
    let mut source =
        Source { next: last.next(), generation: rig.catalog.lock().generation, prng: Prng::new(5) };
    let error = (0..50).find_map(|_| {
        let frame = source.frame();
        rig.writer.write(&frame).and_then(|()| rig.writer.sync()).err()
    });
    assert!(matches!(error, Some(StoreError::ReadBack { .. })), "{error:?}");
    assert!(matches!(rig.writer.sync(), Err(StoreError::Broken { .. })));
}

#[test]
fn after_a_failed_write_or_sync_nothing_is_written() {
    use std::io::ErrorKind::{Other, StorageFull};
    for (operation, kind) in
        [(Operation::Write, Other), (Operation::Sync, Other), (Operation::Write, StorageFull)]
    {
        let (disk, last) = closed();
        let mut rig = open(&disk, 1200).unwrap();
        let generation = rig.catalog.lock().generation;
        disk.fail(operation, kind);
        let frame = Source { next: last.next(), generation, prng: Prng::new(5) }.frame();
        let error = rig.writer.write(&frame).and_then(|()| rig.writer.sync()).unwrap_err();
        assert_eq!(error.is_full(), kind == StorageFull, "{error}");
        assert!(matches!(rig.writer.write(&frame), Err(StoreError::Broken { .. })));
        assert!(matches!(rig.writer.close(), Err(StoreError::Broken { .. })));
        assert_eq!(rig.catalog.lock().durable, last, "{operation:?}");
    }
}

#[test]
fn what_a_failed_sync_left_in_memory_is_written_again_by_the_next_start() {
    let (disk, last) = closed();
    let mut rig = open(&disk, 8000).unwrap();
    let mut source =
        Source { next: last.next(), generation: rig.catalog.lock().generation, prng: Prng::new(5) };
    rig.writer.write(&source.frame()).unwrap();
    disk.fail(Operation::Sync, std::io::ErrorKind::Other);
    rig.writer.sync().unwrap_err();
    disk.restart();
    let rig = open(&disk, 8000).unwrap();
    assert_eq!(rig.catalog.lock().durable.next(), source.next);
    disk.lose(512, |_| false, || false);
    assert_eq!(survey(&*disk.files(), Check::All).unwrap().last().next(), source.next);
}

#[test]
fn a_removal_that_fails_loses_nothing() {
    let (disk, last) = closed();
    let mut rig = open(&disk, 1200).unwrap();
    let keep = Keep { count: Some(1), ..Keep::default() };
    disk.fail(Operation::Remove, std::io::ErrorKind::PermissionDenied);
    for _ in 0..2 {
        // A checkpoint that could not be removed keeps its log, however often that is tried.
        assert!(matches!(rig.keeper.prune(&keep), Err(StoreError::Io { what: "remove", .. })));
        let found = survey(&*disk.files(), Check::All).unwrap();
        assert_eq!((found.last(), found.checkpoints.len()), (last, 2));
    }
    disk.fail(Operation::Rename, std::io::ErrorKind::PermissionDenied);
    assert!(matches!(rig.keeper.prune(&keep), Err(StoreError::Io { what: "rename", .. })));
    let found = survey(&*disk.files(), Check::All).unwrap();
    assert_eq!((found.last(), found.checkpoints.len()), (last, 1));
}

#[test]
fn after_a_failed_sync_of_names_no_checkpoint_loses_its_log() {
    let (disk, last) = closed();
    let mut rig = open(&disk, 1200).unwrap();
    let save = |rig: &Rig| rig.keeper.write(meta(last, Generation(1)), chunks(last), || true);
    let info = save(&rig).unwrap().unwrap();
    disk.fail(Operation::Sync, std::io::ErrorKind::Other);
    assert!(matches!(rig.keeper.publish(info), Err(StoreError::Io { .. })));
    disk.succeed();
    // It may be there or not.
    let keep = Keep { count: Some(1), ..Keep::default() };
    assert!(matches!(rig.keeper.prune(&keep), Err(StoreError::Broken { .. })));
    assert!(matches!(save(&rig), Err(StoreError::Broken { .. })));
    disk.lose(512, |_| false, || false);
    let found = survey(&*disk.files(), Check::All).unwrap();
    assert_eq!((found.last(), found.checkpoints.len(), found.first()), (last, 2, Seq(1)));
}

#[test]
fn a_store_on_a_full_disk_is_opened_and_read() {
    let (disk, last) = closed();
    disk.fail(Operation::Space, std::io::ErrorKind::StorageFull);
    // Cutting needs no space; taking it does.
    let (found, catalog, _writer) = resume(&disk.files(), Check::All, 1 << 20).unwrap();
    let frames = Frames::new(disk.files(), catalog, found.identity, Seq::ZERO).unwrap();
    let last_frame = frames.last().unwrap().unwrap();
    assert_eq!(crate::log::Frame::check(&last_frame).unwrap().last_seq(), last);
}

#[test]
fn a_reader_keeps_what_it_has_not_read() {
    let (disk, last) = closed();
    let mut rig = open(&disk, 1200).unwrap();
    let mut frames =
        Frames::new(disk.files(), Arc::clone(&rig.catalog), identity(Seq::ZERO), Seq::ZERO).unwrap();
    let first = frames.next().unwrap().unwrap();
    let keep = Keep { count: Some(1), ..Keep::default() };
    let pruned = rig.keeper.prune(&keep).unwrap();
    assert_eq!((pruned.checkpoints, pruned.segments), (1, 0));
    let rest: Vec<Vec<u8>> = frames.by_ref().collect::<Result<_, _>>().unwrap();
    let entries = |frames: &[Vec<u8>]| -> usize {
        frames.iter().map(|frame| crate::log::decode_frame(frame).unwrap().0.len()).sum()
    };
    assert_eq!((entries(&[first]) + entries(&rest)) as u64, last.get());
    drop(frames);
    assert!(rig.keeper.prune(&keep).unwrap().segments > 0);
    let gone =
        Frames::new(disk.files(), Arc::clone(&rig.catalog), identity(Seq::ZERO), Seq::ZERO).unwrap_err();
    assert!(matches!(gone, StoreError::NotHere { .. }), "{gone}");
    let ahead = Frames::new(disk.files(), rig.catalog, identity(Seq::ZERO), last.next()).unwrap_err();
    assert!(matches!(ahead, StoreError::NotHere { .. }), "{ahead}");
}

//! A snapshot's chunks, and machines restored from them.
//!
//! Input that begins with [`PARTS`] is a saved machine in parts, not yet packed into chunks:
//!
//! ```text
//! offset  size  field
//! 0       5     "parts"
//! 5       ...   parts: configuration, state, boot image, all in postcard encoding
//! ...     ...   pages to the end: number (2 bytes, little-endian), and a part that is the page's first bytes
//! ```

use lockstep::base::{Digest, Icount};
use lockstep::machine::{Arriving, Machine, MachineConfig, RestoreError, Saved};
use lockstep::mem::PAGE_BYTES;
use lockstep::snapshot::ahead::{self, Ahead};
use lockstep::snapshot::{Decoder, Encoder};

use crate::input::{Input, put_part};
use crate::mend;

pub const PARTS: &[u8] = b"parts";
/// Machines of more RAM are refused, as a node refuses what it was not told to expect.
pub const RAM_BYTES_MAX: u64 = 16 << 20;
/// How far a restored machine is run.
const INSTRUCTIONS: u64 = 2000;

pub fn run(data: &[u8]) {
    if let Some(parts) = data.strip_prefix(PARTS) {
        return from_parts(parts);
    }
    let raw = mend::chunks_of(data);
    take(&raw);
    let mended = mend::snapshot(data);
    if mended != raw {
        take(&mended);
    }
    take_ahead(&mended);
}

/// Decodes a snapshot; what decodes is encoded and decoded again.
fn take(chunks: &[Vec<u8>]) {
    let mut decoder = Decoder::new(RAM_BYTES_MAX);
    for chunk in chunks {
        match decoder.push(chunk) {
            Ok(progress) => assert!(progress.chunks_done <= progress.chunks_total),
            Err(_) => return,
        }
    }
    let Ok(saved) = decoder.finish() else { return };
    check(saved);
}

fn from_parts(data: &[u8]) {
    let mut input = Input::new(data);
    let [config, state, boot] = [(); 3].map(|()| input.part());
    let Ok((config, [])) = postcard::take_from_bytes::<MachineConfig>(config) else { return };
    if config.ram_bytes > RAM_BYTES_MAX {
        return;
    }
    let mut pages = std::collections::BTreeMap::new();
    while !input.is_empty() {
        let (number, bytes) = (input.u16(), input.part());
        let mut page = vec![0; PAGE_BYTES];
        let len = bytes.len().min(PAGE_BYTES);
        page[..len].copy_from_slice(&bytes[..len]);
        pages.insert(u32::from(number), page.into_boxed_slice());
    }
    let pages = pages.into_iter().collect();
    check(Saved {
        config,
        icount: Icount::ZERO,
        digest: Digest(0),
        state: state.into(),
        boot: boot.into(),
        pages,
    });
}

/// The same parts, as this target reads them.
pub fn to_parts(saved: &Saved) -> Vec<u8> {
    let mut out = PARTS.to_vec();
    put_part(&mut out, &postcard::to_allocvec(&saved.config).expect("a configuration is plain data"));
    put_part(&mut out, &saved.state);
    put_part(&mut out, &saved.boot);
    for (number, bytes) in &saved.pages {
        out.extend((*number as u16).to_le_bytes());
        let len = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        put_part(&mut out, &bytes[..len]);
    }
    out
}

fn check(saved: Saved) {
    let mut decoder = Decoder::new(RAM_BYTES_MAX);
    for chunk in Encoder::new(&saved) {
        // A page that the saved machine does not have is refused here, and by `restore`.
        if decoder.push(&chunk).is_err() {
            return drop(Machine::restore(saved).map(|_| panic!("it decodes, but does not come back")));
        }
    }
    match decoder.finish() {
        Ok(again) => assert_eq!(again, saved, "what was encoded decodes to the same"),
        Err(_) => return,
    }
    restore(saved);
}

/// Restores the machine from a state whose digest the input has made right, and runs it.
fn restore(mut saved: Saved) {
    let mut machine = loop {
        match Machine::restore(saved.clone()) {
            Ok(machine) => break machine,
            Err(RestoreError::Position { hart, saved: was }) => {
                assert_ne!(was, hart);
                saved.icount = hart;
            }
            Err(RestoreError::Digest { found, saved: was }) => {
                assert_ne!(was, found);
                saved.digest = found;
            }
            Err(_) => return,
        }
    };
    assert_eq!(machine.digest(), saved.digest);
    let mut twin = Machine::restore(machine.save()).expect("what was saved is restored");
    let until = machine.icount().plus(INSTRUCTIONS);
    let stops = [&mut machine, &mut twin].map(|machine| machine.run_until(until));
    assert_eq!(stops[0], stops[1], "a machine and its copy stop alike");
    let outputs = [&mut machine, &mut twin].map(Machine::take_outputs);
    assert_eq!(outputs[0], outputs[1], "a machine and its copy say the same");
    assert_eq!(machine.digest(), twin.digest(), "a machine and its copy are the same");
    machine.take_disk_requests();
    machine.requests();
    machine.disk_in_flight();
    let digest = machine.digest();
    let mut moved = Machine::restore(machine.save()).expect("what was saved is restored");
    assert_eq!(moved.digest(), digest);
}

/// Chunks that are sent ahead of a snapshot.
fn take_ahead(chunks: &[Vec<u8>]) {
    let Ok(mut arriving) = Arriving::new(RAM_BYTES_MAX) else { return };
    for chunk in chunks {
        let mut chunk = chunk.clone();
        mend::number_chunk(&mut chunk, 0);
        match ahead::open(&chunk, RAM_BYTES_MAX, arriving.boot_bytes()) {
            Ok(Ahead::Pages(pages)) => {
                assert!(pages.len() <= ahead::PAGES_MAX);
                arriving.load(&pages).expect("what was opened for this RAM fits it");
            }
            Ok(Ahead::Boot(bytes)) => arriving.boot(&bytes),
            Err(_) => {}
        }
    }
}

//! The log: what the machine could not compute for itself, and its outputs, with positions.
//!
//! Reading order: [`entry`] (what an entry means), [`code`] (its bytes), [`frame`] (a batch of
//! entries with a checksum: the unit that is written and sent), [`segment`] (the header of a file
//! of frames), [`scan`] (frames of a whole segment, kinds of damage distinguished).
//!
//! Absent on purpose: files (`host::logdir` has them) and any idea of which node writes a log and why.

pub mod code;
pub mod entry;
pub mod frame;
pub mod scan;
pub mod segment;
pub mod tail;

pub use code::{EntryError, PAYLOAD_BYTES_MAX, Payloads};
pub use entry::{Entry, Event, OutputMark, Start};
pub use frame::{EntryCursor, FRAME_BYTES_MAX, Frame, FrameBuilder, FrameError, decode_frame};
pub use scan::{Damage, Fault, Place, Scan};
pub use segment::{HeaderError, Lineage, SegmentHeader};
pub use tail::{Behind, Tail};

//! A node's recording, and what may not be seen before the recording contains what led to it.
//!
//! A thread writes the recording ([`BackgroundWriter`]), so what the guest outputs may be ahead of it. A recording
//! that SIGKILL cuts short must replay to all that was seen of a guest that runs alone: its outputs, and all that
//! is sent to terminals, wait here in their order until the frames before them are written. At a node
//! of a pair nothing waits: a slow disk would delay every answer.
//!
//! Promises: what waits is bounded ([`is_full`](NodeRecording::is_full): the guest should wait); nothing overtakes.
//! *Absent:* what a failure means for the node (`driver`).

use std::collections::VecDeque;

use super::logdir::{BackgroundWriter, Ended, LogError};
use crate::base::Generation;
use crate::ft::{Command, LinkId, Message};
use crate::machine::Output;

/// Bytes of commands that wait for the recording before the guest does.
const HELD_BYTES_MAX: usize = 1 << 20;
/// What a command counts beside its bytes.
const COMMAND_BYTES: usize = size_of::<Command>();

/// The recording of one role, if there is one.
#[derive(Default)]
pub(super) struct NodeRecording {
    writer: Option<BackgroundWriter>,
    /// What others see waits for the recording.
    goes_first: bool,
    /// The number of frames that must be written before, what the command counts, and the command.
    held: VecDeque<(u64, usize, Command)>,
    held_bytes: usize,
}

impl NodeRecording {
    /// None yet. With `goes_first` it is to contain everything that others have seen of the guest.
    pub fn new(goes_first: bool) -> Self {
        Self { goes_first, ..Self::default() }
    }

    pub fn begin(&mut self, writer: BackgroundWriter) {
        self.writer = Some(writer);
    }

    /// Appends a frame to the recording, if there is one.
    pub fn append(&mut self, generation: Generation, frame: Vec<u8>) {
        if let Some(writer) = &mut self.writer {
            writer.append(generation, frame);
        }
    }

    /// True when the guest should wait before it makes more.
    pub fn is_full(&self) -> bool {
        self.held_bytes >= HELD_BYTES_MAX || self.writer.as_ref().is_some_and(BackgroundWriter::is_full)
    }

    /// Keeps a command that is to wait; else gives it back.
    pub fn hold(&mut self, command: Command) -> Option<Command> {
        let Some(bytes) = self.bytes_seen(&command) else { return Some(command) };
        let Some(writer) = &self.writer else { return Some(command) };
        if self.held.is_empty() && writer.written() >= writer.appended() {
            return Some(command);
        }
        self.held_bytes += bytes;
        self.held.push_back((writer.appended(), bytes, command));
        None
    }

    /// The next command that waits no longer.
    pub fn release(&mut self) -> Option<Command> {
        let written = self.writer.as_ref().map_or(u64::MAX, BackgroundWriter::written);
        if self.held.front().is_none_or(|(frames, ..)| *frames > written) {
            return None;
        }
        let (_, bytes, command) = self.held.pop_front()?;
        self.held_bytes -= bytes;
        Some(command)
    }

    /// Whether there is something to do now. If not, the writer's `wake` is called once there is.
    pub fn is_due(&self) -> bool {
        let Some(writer) = &self.writer else { return !self.held.is_empty() };
        let waits = self.held.front().is_none_or(|(frames, ..)| writer.awaits(*frames));
        !waits || writer.has_ended()
    }

    /// Whether it has ended by itself, and was not taken.
    pub fn has_ended(&self) -> bool {
        self.writer.as_ref().is_some_and(BackgroundWriter::has_ended)
    }

    /// How the recording has ended, once it has by itself.
    pub fn take_end(&mut self) -> Option<Result<Ended, LogError>> {
        self.writer.take_if(|writer| writer.has_ended()).map(BackgroundWriter::close)
    }

    /// Waits until all that was appended is written, or never will be.
    pub fn await_written(&self) {
        if let Some(writer) = &self.writer {
            writer.await_written();
        }
    }

    /// Brings the recording, if there is one, to the disk and ends it.
    pub fn close(&mut self) -> Result<(), LogError> {
        self.writer.take().map_or(Ok(()), |writer| writer.close().map(|_| ()))
    }

    /// Whether something that waits is for `link`.
    fn holds_for(&self, link: LinkId) -> bool {
        self.held.iter().any(|(.., held)| matches!(held, Command::Send { link: to, .. } if *to == link))
    }

    /// What a command counts if others see it, and see it only after the recording.
    fn bytes_seen(&self, command: &Command) -> Option<usize> {
        let bytes = match command {
            Command::Release(Output::Console { bytes, .. }) => bytes.len(),
            Command::Release(Output::Net { frame, .. }) => frame.len(),
            // How the node is shows nothing of the guest's output, and is asked when a disk is slow.
            Command::Send { message: Message::Answer { .. }, .. } => return None,
            Command::Send { message, .. } => message.payload_bytes(),
            Command::Close { link } if self.holds_for(*link) => 0,
            _ => return None,
        };
        self.goes_first.then_some(bytes + COMMAND_BYTES)
    }
}

#[cfg(test)]
#[path = "recording_tests.rs"]
mod tests;

//! The output gate: no output leaves before the log that explains it is committed.
//!
//! Invariant: an output is released only once the log is committed up to the output's own mark
//! ([`Commit`](super::commit::Commit)). Outputs leave in the order in which the guest made them.

use std::collections::VecDeque;

use crate::base::{Sabotage, Seq};
use crate::machine::Output;

/// Outputs that wait until the log is committed up to their marks.
#[derive(Debug, Default)]
pub struct OutputGate {
    held: VecDeque<(Seq, Output)>,
    held_bytes: usize,
}

impl OutputGate {
    /// Puts an output in; its mark is entry `mark`.
    pub fn hold(&mut self, mark: Seq, output: Output) {
        self.held_bytes += output.payload().len();
        self.held.push_back((mark, output));
    }

    /// The next output that may leave: the log is committed up to `upto`.
    pub fn release(&mut self, upto: Seq) -> Option<Output> {
        let (mark, _) = self.held.front()?;
        let early = if Sabotage::MarkNotAwaited.is_on() { 8 } else { 0 };
        let waits = mark.get() > upto.get().saturating_add(early);
        if waits && !Sabotage::GateOpen.is_on() {
            return None;
        }
        let (_, output) = self.held.pop_front().expect("the gate has a front");
        self.held_bytes -= output.payload().len();
        Some(output)
    }

    pub fn len(&self) -> usize {
        self.held.len()
    }

    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    pub fn bytes_len(&self) -> usize {
        self.held_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(seq: u64) -> Output {
        Output::Net { seq, frame: vec![seq as u8; 10] }
    }

    #[test]
    fn outputs_leave_up_to_what_is_committed_and_no_further() {
        let mut gate = OutputGate::default();
        assert_eq!((gate.len(), gate.bytes_len(), gate.is_empty()), (0, 0, true));
        gate.hold(Seq(3), frame(1));
        gate.hold(Seq(5), frame(2));
        assert_eq!((gate.len(), gate.bytes_len(), gate.is_empty()), (2, 20, false));
        assert_eq!((gate.release(Seq(0)), gate.release(Seq(2))), (None, None));
        assert_eq!(gate.release(Seq(4)), Some(frame(1)));
        assert_eq!(gate.release(Seq(4)), None);
        assert_eq!((gate.len(), gate.bytes_len()), (1, 10));
        assert_eq!(gate.release(Seq(5)), Some(frame(2)));
        assert!(gate.is_empty());
    }

    #[test]
    fn where_nothing_counts_nothing_is_held_back() {
        let mut gate = OutputGate::default();
        gate.hold(Seq(9), frame(1));
        assert_eq!(gate.release(Seq::MAX), Some(frame(1)));
    }
}

//! The output gate: no output leaves before the backup holds the log that explains it.
//!
//! Invariant: while a backup counts, an output is released only once the acknowledged sequence has
//! reached the output's own mark. Outputs leave in the order in which the guest made them.

use std::collections::VecDeque;

use crate::base::{Sabotage, Seq};
use crate::machine::Output;

/// Outputs that wait for an acknowledgement.
#[derive(Debug, Default)]
pub struct OutputGate {
    held: VecDeque<(Seq, Output)>,
    held_bytes: usize,
    /// None: no backup counts, and outputs leave at once.
    acked: Option<Seq>,
}

impl OutputGate {
    /// A gate that waits for no acknowledgement.
    pub fn open() -> Self {
        Self::default()
    }

    /// A gate that waits for acknowledgements past `acked`.
    pub fn guarded(acked: Seq) -> Self {
        Self { acked: Some(acked), ..Self::default() }
    }

    /// From here on outputs wait for acknowledgements; what came before has been released.
    pub fn guard(&mut self, acked: Seq) {
        assert!(self.held.is_empty(), "an open gate holds nothing");
        self.acked = Some(acked);
    }

    /// Puts an output in; its mark is entry `mark`.
    pub fn hold(&mut self, mark: Seq, output: Output) {
        self.held_bytes += output.payload().len();
        self.held.push_back((mark, output));
    }

    /// The backup holds everything up to `seq`. An acknowledgement never takes an earlier one back.
    pub fn acknowledge(&mut self, seq: Seq) {
        if let Some(acked) = &mut self.acked {
            *acked = seq.max(*acked);
        }
    }

    /// The backup no longer counts (the claim is won): everything may leave.
    pub fn unguard(&mut self) {
        self.acked = None;
    }

    /// The next output that may leave.
    pub fn release(&mut self) -> Option<Output> {
        let (mark, _) = self.held.front()?;
        let early = if Sabotage::MarkNotAwaited.is_on() { 8 } else { 0 };
        let waits = self.acked.is_some_and(|acked| mark.get() > acked.get() + early);
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
    fn a_guarded_gate_opens_up_to_the_acknowledged_mark_and_no_further() {
        let mut gate = OutputGate::guarded(Seq(0));
        assert_eq!((gate.len(), gate.bytes_len(), gate.is_empty()), (0, 0, true));
        gate.hold(Seq(3), frame(1));
        gate.hold(Seq(5), frame(2));
        assert_eq!((gate.len(), gate.bytes_len(), gate.is_empty()), (2, 20, false));
        assert_eq!(gate.release(), None);
        gate.acknowledge(Seq(4));
        assert_eq!(gate.release(), Some(frame(1)));
        assert_eq!(gate.release(), None);
        gate.acknowledge(Seq(2));
        assert_eq!((gate.release(), gate.len(), gate.bytes_len()), (None, 1, 10));
        gate.acknowledge(Seq(5));
        assert_eq!(gate.release(), Some(frame(2)));
        assert!(gate.is_empty());
    }

    #[test]
    fn a_late_acknowledgement_takes_none_back() {
        let mut gate = OutputGate::guarded(Seq(0));
        gate.acknowledge(Seq(4));
        gate.acknowledge(Seq(2));
        gate.hold(Seq(4), frame(1));
        gate.hold(Seq(5), frame(2));
        assert_eq!((gate.release(), gate.release()), (Some(frame(1)), None));
    }

    #[test]
    fn an_open_gate_holds_nothing_back() {
        let mut gate = OutputGate::open();
        gate.hold(Seq(9), frame(1));
        assert_eq!(gate.release(), Some(frame(1)));
    }

    #[test]
    fn an_open_gate_that_is_guarded_waits_from_then_on() {
        let mut gate = OutputGate::open();
        gate.guard(Seq(3));
        gate.hold(Seq(3), frame(1));
        gate.hold(Seq(4), frame(2));
        assert_eq!((gate.release(), gate.release()), (Some(frame(1)), None));
        gate.acknowledge(Seq(4));
        assert_eq!(gate.release(), Some(frame(2)));
    }

    #[test]
    fn winning_the_claim_releases_what_was_held() {
        let mut gate = OutputGate::guarded(Seq(0));
        gate.hold(Seq(3), frame(1));
        gate.unguard();
        assert_eq!(gate.release(), Some(frame(1)));
    }
}

//! Outputs that a backup has regenerated and that its primary may not have got out.
//!
//! A backup cannot know which of the last outputs left before its primary died, nor which of those that left the
//! switch has accepted. It keeps the most recent ones, more than a gate and a port can ever hold, and sends them again at
//! go-live: the switch remembers the last
//! number it saw and drops those it has. Console bytes have no such consumer yet, so the primary reports how
//! far they are written, and only later ones are kept: after a kill those since the last heartbeat may come
//! twice, none is missing. In a planned switch-over the successor waits until all have left, and each comes
//! once.

use std::collections::VecDeque;

use super::settings::Settings;
use crate::base::bounds::{UNACCEPTED_BYTES_MAX, UNACCEPTED_FRAMES_MAX};
use crate::machine::Output;

/// One virtqueue of the longest frames.
const RING_BYTES: usize = 256 * 64 * 1024;

/// The last outputs, bounded by count and bytes; the oldest go first.
#[derive(Debug)]
pub struct KeptOutputs {
    outputs: VecDeque<Output>,
    bytes: usize,
    outputs_max: usize,
    bytes_max: usize,
    console_released: u64,
}

impl KeptOutputs {
    /// As many as may be in the gate of a primary with these settings, and behind it at its port.
    pub fn of_a_primary_with(settings: &Settings) -> Self {
        // One notify may overfill a gate by a whole ring of frames.
        let gate = (settings.gate_outputs_max * 2, settings.gate_bytes_max + RING_BYTES);
        Self::new(gate.0 + UNACCEPTED_FRAMES_MAX, gate.1 + UNACCEPTED_BYTES_MAX)
    }

    fn new(outputs_max: usize, bytes_max: usize) -> Self {
        Self { outputs: VecDeque::new(), bytes: 0, outputs_max, bytes_max, console_released: 0 }
    }

    pub fn keep(&mut self, output: Output) {
        self.bytes += output.payload().len();
        self.outputs.push_back(output);
        while self.outputs.len() > self.outputs_max || self.bytes > self.bytes_max {
            let Some(oldest) = self.outputs.pop_front() else { break };
            self.bytes -= oldest.payload().len();
        }
    }

    /// The first of its invariants that does not hold, in words.
    pub fn check(&self) -> Result<(), String> {
        match self.outputs.len() <= self.outputs_max && self.bytes <= self.bytes_max {
            true => Ok(()),
            false => Err(format!("kept outputs: {}, of {} bytes", self.outputs.len(), self.bytes)),
        }
    }

    /// The console has left the primary up to byte `released`.
    pub fn console_released(&mut self, released: u64) {
        self.console_released = released.max(self.console_released);
    }

    /// Everything that may still have to be sent, oldest first.
    pub fn drain(&mut self) -> Vec<Output> {
        self.bytes = 0;
        let released = self.console_released;
        self.outputs.drain(..).filter_map(|output| after(output, released)).collect()
    }
}

/// What is left of `output` once console bytes before `released` are cut off.
fn after(output: Output, released: u64) -> Option<Output> {
    match output {
        Output::Net { .. } => Some(output),
        Output::Console { offset, bytes } => {
            let gone = released.saturating_sub(offset).min(bytes.len() as u64);
            let rest = bytes[gone as usize..].to_vec();
            (!rest.is_empty()).then_some(Output::Console { offset: offset + gone, bytes: rest })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn console_bytes_that_left_are_not_said_again() {
        let mut kept = KeptOutputs::new(10, 1000);
        kept.keep(Output::Console { offset: 0, bytes: b"abc".to_vec() });
        kept.keep(Output::Net { seq: 1, frame: vec![1] });
        kept.keep(Output::Console { offset: 3, bytes: b"def".to_vec() });
        kept.console_released(4);
        kept.console_released(2);
        let again = kept.drain();
        assert_eq!(
            again,
            [Output::Net { seq: 1, frame: vec![1] }, Output::Console { offset: 4, bytes: b"ef".to_vec() }]
        );
        assert_eq!(kept.drain(), []);
    }

    #[test]
    fn the_newest_are_kept_within_both_bounds() {
        for (outputs_max, bytes_max, seqs) in
            [(3, 25, vec![4, 5]), (3, 20, vec![4, 5]), (3, 100, vec![3, 4, 5])]
        {
            let mut kept = KeptOutputs::new(outputs_max, bytes_max);
            for seq in 1..=5 {
                kept.keep(Output::Net { seq, frame: vec![0; 10] });
            }
            assert_eq!(kept.drain().iter().map(Output::seq).collect::<Vec<_>>(), seqs);
            assert_eq!(kept.drain(), []);
        }
    }

    #[test]
    fn what_a_port_may_keep_and_a_gate_may_hold_is_kept() {
        let settings = Settings::default();
        let most = UNACCEPTED_FRAMES_MAX + settings.gate_outputs_max;
        let mut kept = KeptOutputs::of_a_primary_with(&settings);
        for seq in 1..=most as u64 {
            kept.keep(Output::Net { seq, frame: vec![0; 60] });
        }
        assert_eq!(kept.drain().len(), most);
        let frame = vec![0; 1514];
        let most = (UNACCEPTED_BYTES_MAX + settings.gate_bytes_max) / frame.len();
        for seq in 1..=most as u64 {
            kept.keep(Output::Net { seq, frame: frame.clone() });
        }
        assert_eq!(kept.drain().len(), most);
    }

    #[test]
    fn what_was_drained_takes_no_room() {
        let mut kept = KeptOutputs::new(3, 25);
        kept.keep(Output::Net { seq: 5, frame: vec![0; 20] });
        assert_eq!(kept.drain().len(), 1);
        kept.keep(Output::Net { seq: 6, frame: vec![0; 20] });
        assert_eq!(kept.drain().iter().map(Output::seq).collect::<Vec<_>>(), [6]);
    }
}

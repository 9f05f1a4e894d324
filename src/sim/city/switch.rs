//! The switch and the processes that are attached to it.

use super::*;

impl City<'_> {
    pub(super) fn say_to_switch(&mut self, slot: usize, epoch: u64, what: ToSwitch) {
        let delay_ns = self.prng.between(20, 150) * US;
        let at_ns = self.slots[slot].to_switch_at.max(self.now_ns + delay_ns);
        self.slots[slot].to_switch_at = at_ns;
        self.at(at_ns, Happening::ToSwitch { from: (slot, epoch), what });
    }

    pub(super) fn switch_takes(&mut self, from: (usize, u64), what: ToSwitch) {
        match what {
            ToSwitch::Activate { generation, rx_seq, plug } => {
                if self.switch.fence.activate(generation).is_ok() {
                    self.switch.active = Some(from);
                    self.switch.plug = plug;
                    self.note(|| format!("switch: g{generation} of slot {} begins", from.0));
                    self.switch.inbound.resume_after(rx_seq);
                    self.switch_sends();
                }
            }
            ToSwitch::Frame { generation, seq, frame } => {
                let verdict = self.switch.fence.accept(generation, seq);
                match verdict {
                    Verdict::Accept | Verdict::Gap { .. } => {}
                    Verdict::Duplicate
                    | Verdict::Leap { .. }
                    | Verdict::Stale { .. }
                    | Verdict::Unannounced { .. } => {
                        self.switch.fenced += 1;
                        if let Verdict::Stale { current } = verdict {
                            let (slot, epoch) = from;
                            let after = self.prng.between(20, 150) * US;
                            self.later(
                                after,
                                Happening::Arrive { slot, epoch, event: Event::Fenced { current } },
                            );
                        }
                        return;
                    }
                }
                self.chronicle.accepted(generation, seq, &frame);
                if let Some((port, payload)) = wire::from_guest(&frame) {
                    self.datagram(port, payload, false);
                }
            }
            ToSwitch::Safe { rx_seq } => {
                if self.switch.active == Some(from) {
                    self.switch.inbound.confirm(rx_seq);
                }
            }
        }
    }

    /// The switch passes what waits to the primary, in order.
    pub(super) fn switch_sends(&mut self) {
        let Some(to) = self.switch.active else { return };
        let plug = self.switch.plug;
        while let Some((rx_seq, frame)) = self.switch.inbound.next_to_send() {
            let frame = frame.to_vec();
            let delay_ns = self.prng.between(20, 150) * US;
            let at_ns = self.switch.arrives_at.max(self.now_ns + delay_ns);
            self.switch.arrives_at = at_ns;
            if self.prng.chance(self.plan.repeated_permille, 1000) {
                let frame = frame.clone();
                self.at(at_ns, Happening::Deliver { to, plug, rx_seq, frame });
            }
            self.at(at_ns, Happening::Deliver { to, plug, rx_seq, frame });
        }
    }
}

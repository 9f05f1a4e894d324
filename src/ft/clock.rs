//! Guest time: the host's monotonic clock, shifted so that the guest's never jumps.

/// Nanoseconds in a tick of the guest's 10 MHz time base.
pub const TICK_NS: u64 = 100;

/// Maps host nanoseconds to guest ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestClock {
    base_ns: u64,
    base_ticks: u64,
}

impl GuestClock {
    /// A clock that shows `ticks` at host time `now_ns` and goes on from there.
    pub const fn starting(now_ns: u64, ticks: u64) -> Self {
        Self { base_ns: now_ns, base_ticks: ticks }
    }

    /// Guest ticks at host time `now_ns`.
    pub const fn ticks(&self, now_ns: u64) -> u64 {
        self.base_ticks.saturating_add(now_ns.saturating_sub(self.base_ns) / TICK_NS)
    }

    /// The host time at which the guest's clock shows `ticks`.
    pub const fn when(&self, ticks: u64) -> u64 {
        self.base_ns.saturating_add(ticks.saturating_sub(self.base_ticks).saturating_mul(TICK_NS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_due_at_the_time_that_when_names() {
        let clock = GuestClock::starting(1_000_050, 500);
        for ticks in [500, 501, 12_345] {
            let at = clock.when(ticks);
            assert_eq!(clock.ticks(at), ticks);
            assert!(ticks == 500 || clock.ticks(at - 1) < ticks);
        }
        assert_eq!(clock.ticks(0), 500);
        assert_eq!(clock.when(u64::MAX), u64::MAX);
    }
}

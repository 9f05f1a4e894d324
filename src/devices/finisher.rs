//! The test finisher (SiFive's, as on QEMU's `virt`): one register that ends the machine.
//!
//! | value written to offset 0 | end |
//! |---|---|
//! | `0x5555` | pass |
//! | `code << 16 \| 0x3333` | fail with that code |
//! | `0x7777` | reset asked for |
//!
//! Anything else, and any other offset, does nothing. Reads give 0.

/// What the guest asked the finisher for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    Pass,
    Fail(u32),
    Reset,
}

/// The value that the device tree's `poweroff` node writes.
pub const POWEROFF: u32 = 0x5555;
/// The value that the device tree's `reboot` node writes.
pub const REBOOT: u32 = 0x7777;
const FAIL: u32 = 0x3333;

/// The meaning of `value` written at `offset`.
pub fn finish(offset: u64, value: u32) -> Option<Finish> {
    match (offset, value & 0xffff) {
        (0, POWEROFF) => Some(Finish::Pass),
        (0, FAIL) => Some(Finish::Fail(value >> 16)),
        (0, REBOOT) => Some(Finish::Reset),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_ends_and_nothing_else() {
        assert_eq!(finish(0, 0x5555), Some(Finish::Pass));
        assert_eq!(finish(0, 0x0007_3333), Some(Finish::Fail(7)));
        assert_eq!(finish(0, 0x7777), Some(Finish::Reset));
        assert_eq!(finish(0, 0), None);
        assert_eq!(finish(4, 0x5555), None);
    }
}

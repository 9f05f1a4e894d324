//! The registers that engines compute with.

/// Where results for x0 go: a register number that no source names.
pub const SINK: u8 = 32;

/// x0..x31 with the sink, and f0..f31.
///
/// There is one integer place for each value of a byte, so that an index needs no check; places past
/// [`SINK`] are never named. x0 is never written, so it stays 0.
#[derive(Clone)]
#[repr(C)]
pub struct Regs {
    x: [u64; 256],
    /// Single precision is NaN-boxed.
    pub f: [u64; 32],
}

impl Regs {
    pub const fn new() -> Self {
        Self { x: [0; 256], f: [0; 32] }
    }

    #[inline(always)]
    pub fn get(&self, n: u8) -> u64 {
        self.x[n as usize]
    }

    /// Writes register `n`, which is not 0 (use [`sink`] on a destination).
    #[inline(always)]
    pub fn set(&mut self, n: u8, value: u64) {
        self.x[n as usize] = value;
    }

    /// x0..x31.
    pub fn all(&self) -> [u64; 32] {
        std::array::from_fn(|n| self.x[n])
    }

    /// Takes x1..x31; x0 stays 0.
    pub fn load(&mut self, x: &[u64; 32]) {
        self.x[1..32].copy_from_slice(&x[1..]);
    }
}

/// The number under which an instruction's integer destination is written.
pub const fn sink(rd: u8) -> u8 {
    if rd == 0 { SINK } else { rd }
}

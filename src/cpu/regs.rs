//! The integer registers.

/// Where results for x0 go: a register number that no source names.
pub const SINK: u8 = 32;

/// x0..x31 and the sink. There is one place for each value of a byte, so that an index needs no
/// check; places past [`SINK`] are never named. x0 is never written, so it stays 0.
#[derive(Clone)]
pub struct Regs([u64; 256]);

impl Regs {
    pub const fn new() -> Self {
        Self([0; 256])
    }

    #[inline(always)]
    pub fn get(&self, n: u8) -> u64 {
        self.0[n as usize]
    }

    /// Writes register `n`, which is not 0 (use [`sink`] on a destination).
    #[inline(always)]
    pub fn set(&mut self, n: u8, value: u64) {
        self.0[n as usize] = value;
    }

    /// x0..x31.
    pub fn all(&self) -> [u64; 32] {
        std::array::from_fn(|n| self.0[n])
    }

    /// Takes x1..x31; x0 stays 0.
    pub fn load(&mut self, x: &[u64; 32]) {
        self.0[1..32].copy_from_slice(&x[1..]);
    }
}

/// The number under which an instruction's integer destination is written.
pub const fn sink(rd: u8) -> u8 {
    if rd == 0 { SINK } else { rd }
}

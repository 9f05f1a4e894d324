//! The smallest kernels: a flat image in Linux's format, of instructions that call the firmware.

/// How far from the start of RAM the image wants to be.
const OFFSET: u64 = 2 << 20;
/// SBI extensions.
pub const LEGACY_PUTCHAR: u32 = 1;
pub const DBCN: u32 = 0x4442_434e;
pub const SRST: u32 = 0x5352_5354;

/// A flat image of these instructions behind a jump over its header.
pub fn image(code: &[u32]) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..4].copy_from_slice(&0x0400_006fu32.to_le_bytes());
    bytes[0x08..0x10].copy_from_slice(&OFFSET.to_le_bytes());
    bytes[0x10..0x18].copy_from_slice(&(1u64 << 20).to_le_bytes());
    bytes[0x30..0x38].copy_from_slice(b"RISCV\0\0\0");
    bytes[0x38..0x3c].copy_from_slice(b"RSC\x05");
    bytes.extend(code.iter().flat_map(|word| word.to_le_bytes()));
    bytes
}

/// `value` below 2^31 into register `rd`.
fn li(rd: u32, value: u32) -> [u32; 2] {
    let low = (value << 20) as i32 >> 20;
    let high = value.wrapping_sub(low as u32) >> 12;
    [high << 12 | rd << 7 | 0x37, (low as u32) << 20 | rd << 15 | rd << 7 | 0x13]
}

/// A call of the SBI.
pub fn call(extension: u32, function: u32, a0: u32, a1: u32) -> Vec<u32> {
    let set = [(10, a0), (11, a1), (12, 0), (16, function), (17, extension)];
    set.iter().flat_map(|&(rd, value)| li(rd, value)).chain([0x73]).collect()
}

//! Recognises, by its first bytes, a file that is given as a kernel or a firmware and is neither, so that the
//! message can name what to do instead.
//!
//! Promise: a guess for the operator, a function of the bytes alone. Absent on purpose: unpacking.

/// What the file is, in words that go after "it is".
pub(super) fn name(bytes: &[u8]) -> Option<&'static str> {
    let at = |offset: usize, magic: &[u8]| bytes.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    let kinds: [(usize, &[u8], &str); 14] = [
        (0, b"\x1f\x8b", "gzip-compressed"),
        (0, b"\xfd7zXZ\0", "xz-compressed"),
        (0, b"\x28\xb5\x2f\xfd", "zstd-compressed"),
        (0, b"\x04\x22\x4d\x18", "lz4-compressed"),
        (0, b"\x02\x21\x4c\x18", "lz4-compressed"),
        (0, b"BZh", "bzip2-compressed"),
        (4, b"zimg", "a self-extracting EFI image (vmlinuz.efi)"),
        (0x38, b"ARM\x64", "a kernel for arm64"),
        (0x202, b"HdrS", "a kernel for x86 (bzImage)"),
        (0, b"\x27\x05\x19\x56", "a U-Boot image (uImage)"),
        (0, b"\xd0\x0d\xfe\xed", "a device tree or a FIT image"),
        (0, b"070701", "a cpio archive: an initial RAM disk"),
        (0, b"!<arch>", "an archive: a Debian package or a library"),
        (0, b"#!", "a script"),
    ];
    kinds.iter().find(|(offset, magic, _)| at(*offset, magic)).map(|(_, _, name)| *name)
}

/// How many bytes an EFI kernel's own table of sections says that its file has; `None` without one. The
/// `Image` header tells only its size in memory, so this is how a cut-off file is found out.
///
/// | offset | field (PE format, "COFF file header", "Section table") |
/// |---|---|
/// | `0x3c` | where the PE header is |
/// | +0 | `PE\0\0` |
/// | +6 | number of sections |
/// | +20 | bytes of the optional header, which begins at +24; the sections follow it |
/// | section +16, +20 | its bytes in the file, and where they are |
pub(super) fn efi_file_bytes(bytes: &[u8]) -> Option<u64> {
    const SECTION_BYTES: usize = 40;
    let word = |at: usize| bytes.get(at..at + 4)?.first_chunk().map(|b| u32::from_le_bytes(*b));
    let half = |at: usize| bytes.get(at..at + 2)?.first_chunk().map(|b| usize::from(u16::from_le_bytes(*b)));
    let pe = usize::try_from(word(0x3c)?).ok()?;
    if !bytes.starts_with(b"MZ") || !bytes.get(pe..)?.starts_with(b"PE\0\0") {
        return None;
    }
    let sections = pe + 24 + half(pe + 20)?;
    let ends = (0..half(pe + 6)?).map(|n| {
        let at = sections + n * SECTION_BYTES;
        Some(u64::from(word(at + 16)?) + u64::from(word(at + 20)?))
    });
    // A table that is cut off itself is no less evidence.
    ends.map(|end| end.unwrap_or(u64::MAX)).max()
}

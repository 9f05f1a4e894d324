//! Sv39 address translation as a pure walk of the tables in RAM (Priv. spec 12.3.2, 12.4).
//!
//! A leaf without A, or without D on a store, is a page fault (Svade), or the walk says which bits are
//! to be set (Svadu, [`Rights::updates`]). It sets none itself: a walk changes nothing.
//! Svnapot and Svpbmt are absent: their bits are reserved and fault. Tables outside RAM are an
//! access fault.

use super::{Access, PAGE_BYTES, Pmp, Ram};
use crate::base::GuestPhys;

const V: u64 = 1 << 0;
const R: u64 = 1 << 1;
const W: u64 = 1 << 2;
const X: u64 = 1 << 3;
const U: u64 = 1 << 4;
const A: u64 = 1 << 6;
const D: u64 = 1 << 7;
/// N, PBMT and the reserved bits 60..54.
const RESERVED: u64 = !0 << 54;

/// A valid entry, or a pointer to a table: something that a cache may hold.
pub const PTE_VALID: u64 = V;

const LEVELS: usize = 3;

/// Under what rights a walk is made.
#[derive(Clone, Copy, Debug)]
pub struct Rights {
    /// From U-mode (else S-mode).
    pub user: bool,
    /// `mstatus.SUM`: S-mode may load from and store to user pages.
    pub sum: bool,
    /// `mstatus.MXR`: loads may read executable pages.
    pub mxr: bool,
    /// `menvcfg.ADUE`: A and D are set, not asked for.
    pub updates: bool,
}

/// Bits that an access has to set in the entry that it went through (Priv. spec 12.3.2, step 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update {
    /// The entry, in RAM; PMP lets S-mode write it.
    pub at: u64,
    /// A, D or both.
    pub bits: u64,
}

/// What a walk found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The physical address that the virtual one maps to.
    pub at: u64,
    /// The RAM pages whose entries were read, root first.
    pub tables: [u32; LEVELS],
    /// How many of `tables` count.
    pub levels: usize,
    /// What is to be set before the access is made.
    pub update: Option<Update>,
}

/// Why a walk ended without a mapping; which exception it is follows from the access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkFault {
    /// A page fault: the address is not canonical, or an entry is not valid, not permitting or malformed, or lacks
    /// A or D which the walk may not set (Priv. spec 12.3.2).
    Page,
    /// An access fault: an entry lies outside of RAM, or PMP denies S-mode its read or its update.
    Access,
}

/// Translates `va` with the root table at physical page number `root`.
pub fn walk(
    ram: &Ram,
    pmp: &Pmp,
    root: u64,
    va: u64,
    access: Access,
    rights: Rights,
) -> Result<Mapping, WalkFault> {
    // Bits 63..39 must all equal bit 38.
    if (va << 25) as i64 >> 25 != va as i64 {
        return Err(WalkFault::Page);
    }
    let mut tables = [0; LEVELS];
    let mut table = root << 12;
    for level in (0..LEVELS).rev() {
        let shift = 12 + 9 * level;
        let at = table + (va >> shift & 0x1ff) * 8;
        if !pmp.allows(at, 8, Access::Load, false) {
            return Err(WalkFault::Access);
        }
        let pte = ram.read_u64(GuestPhys(at)).map_err(|_| WalkFault::Access)?;
        let page = ram.page_of(GuestPhys(at)).ok_or(WalkFault::Access)?;
        tables[LEVELS - 1 - level] = page;
        if pte & V == 0 || pte & (R | W) == W || pte & RESERVED != 0 {
            return Err(WalkFault::Page);
        }
        let ppn = pte << 10 >> 20;
        if pte & (R | W | X) == 0 {
            if pte & (A | D | U) != 0 {
                return Err(WalkFault::Page);
            }
            table = ppn << 12;
            continue;
        }
        let span = (1u64 << shift) - 1;
        let base = ppn << 12;
        if !permits(pte, access, rights) || base & span != 0 {
            return Err(WalkFault::Page);
        }
        let bits = match access {
            Access::Store => A | D,
            Access::Load | Access::Fetch => A,
        } & !pte;
        if bits != 0 && !rights.updates {
            return Err(WalkFault::Page);
        }
        if bits != 0 && !pmp.allows(at, 8, Access::Store, false) {
            return Err(WalkFault::Access);
        }
        let update = (bits != 0).then_some(Update { at, bits });
        return Ok(Mapping { at: base | va & span, tables, levels: LEVELS - level, update });
    }
    // A pointer in the last level.
    Err(WalkFault::Page)
}

/// Whether the entry lets the access through; A and D are looked at by themselves.
fn permits(pte: u64, access: Access, rights: Rights) -> bool {
    let page_is_user = pte & U != 0;
    let mode_fits =
        if rights.user { page_is_user } else { !page_is_user || (rights.sum && access != Access::Fetch) };
    let needed = match access {
        Access::Fetch => pte & X != 0,
        Access::Load => pte & R != 0 || (rights.mxr && pte & X != 0),
        Access::Store => pte & W != 0,
    };
    mode_fits && needed
}

const _: () = assert!(PAGE_BYTES == 1 << 12);

//! Bugs of the translator that a test can plant, to prove that the comparisons of the engines find each kind.
//!
//! Each place asks `Planted::Name.is_on()` in one condition, a constant `false` outside of this library's own
//! tests. `cpu::tests::straight` walks through the list. Nothing here leads translated code out of its memory: a
//! planted bug computes something wrong, and does it within bounds.

macro_rules! planted {
    ($($(#[$doc:meta])* $variant:ident,)*) => {
        /// A bug to plant.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Planted {
            $($(#[$doc])* $variant,)*
        }

        #[cfg(test)]
        impl Planted {
            /// The whole list.
            pub const ALL: &[Self] = &[$(Self::$variant),*];
        }
    };
}

planted! {
    /// A block takes one instruction too many from the budget.
    ChargeOffByOne,
    /// An exit before the end of a block gives nothing back.
    RefundForgotten,
    /// An exit before the end of a block gives back one instruction too few.
    RefundOffByOne,
    /// An exit before the end of a block does not give back what was taken for the blocks behind.
    RestKept,
    /// A block that does not begin, as too little is left, does not give back what was taken before for it.
    BeforeKept,
    /// A way on to where less has been taken from the budget for gives nothing back.
    SurplusKept,
    /// Such a way gives back one instruction too few.
    SurplusOffByOne,
    /// One of the written registers is not stored where a region leaves.
    RegisterNotStored,
    /// One of the floating-point registers is not stored where a region leaves.
    FloatNotStored,
    /// What has been written before an exit is not known there.
    WrittenForgotten,
    /// One of the registers is not loaded where a region is entered.
    RegisterNotLoaded,
    /// `addw` and `subw` extend by zeros.
    WordNotExtended,
    /// `sraw` shifts all 64 bits.
    ShiftTooWide,
    /// `blt` and `bge` compare unsigned.
    BranchUnsigned,
    /// A branch out of the region goes on as if it were not taken.
    FarBranchIgnored,
    /// `jalr` clears two bits of its target.
    JumpOverAligned,
    /// `jalr` writes its link register before it computes the target.
    LinkFirst,
    /// `auipc` is relative to the page.
    AuipcOfPage,
    /// `mulhsu` takes both operands for unsigned.
    MulhsuUnsigned,
    /// A division by zero gives 0.
    QuotientByZero,
    /// The least number by -1 keeps a remainder.
    RemainderByMinusOne,
    /// Loads and stores do not look at the alignment bits of their address.
    AlignmentUnchecked,
    /// Stores go by the read entries, so that stores to code are not noticed.
    StoreByReadEntry,
    /// Of a window, only the page of its first byte is looked up.
    WindowCut,
    /// A window's accesses are taken for aligned.
    WindowMisaligned,
    /// A window with stores goes by the read entries.
    WindowByReadEntry,
    /// A window stays when the register that it goes by is written.
    WindowStale,
    /// An exit in the plain copy of a block gives back what was executed before the copy, too.
    PlainRefundsAll,
    /// Code that is written over stays.
    CodeStale,
    /// The granules noted for a page's code are one too far.
    GranuleOffByOne,
    /// The bytes of the instruction that ended a region are not noted.
    EndUncovered,
    /// A NaN result keeps the host's bits.
    NanKept,
    /// A NaN of a fused multiply-add does not leave.
    FusedNanKept,
    /// The host's flags do not reach `fflags`.
    FlagsLost,
    /// The host rounds to nearest whatever `frm` says.
    RoundingIgnored,
    /// Floating point runs whether or not it may.
    FloatUnchecked,
    /// `flt.d` and `fle.d` are quiet about quiet NaNs.
    ComparisonQuiet,
    /// A conversion keeps the host's indefinite integer.
    IndefiniteKept,
    /// `flw` does not box.
    NotBoxed,
    /// A conversion to single precision does not box.
    ConversionNotBoxed,
    /// What is not boxed is taken for a single.
    UnboxedTaken,
    /// A region is left with NaNs as the host computed them.
    NanLeft,
    /// A block may begin with NaNs as the host computed them that it takes for canonical.
    NanCarried,
    /// Where a region is entered, what is known at that place within the region is taken for true.
    EntryUnchecked,
    /// Of two NaNs of the host's only the first becomes canonical.
    SecondNanKept,
    /// A fused multiply-add leaves with its destination written, which is a source.
    FusedNotRestored,
    /// `fmin` and `fmax` do not look at equal and unordered operands.
    ZerosAlike,
    /// A conversion to an unsigned integer does not look at its operand.
    RangeUnchecked,
    /// A conversion from an unsigned integer takes it for signed.
    UnsignedTakenForSigned,
    /// A conversion from an integer that says how to round does not look whether there is anything to round.
    ExactUnchecked,
    /// A conversion to an integer that says how to round is never inexact.
    InexactLost,
    /// An instruction that names rounding to nearest rounds as `frm` says.
    NearestUnchecked,
}

impl Planted {
    /// Whether the bug is planted: never, but in this library's own tests.
    #[cfg(not(test))]
    #[inline(always)]
    pub const fn is_on(self) -> bool {
        false
    }

    /// Whether the bug is planted, for this thread.
    #[cfg(test)]
    pub fn is_on(self) -> bool {
        choice::chosen() == Some(self)
    }
}

#[cfg(test)]
pub use choice::during;

#[cfg(test)]
mod choice {
    use std::cell::Cell;

    use super::Planted;

    thread_local! {
        static CHOSEN: Cell<Option<Planted>> = const { Cell::new(None) };
    }

    pub fn chosen() -> Option<Planted> {
        CHOSEN.get()
    }

    /// Calls `work` on this thread with that bug planted.
    pub fn during<T>(bug: Planted, work: impl FnOnce() -> T) -> T {
        crate::base::choice::during(&CHOSEN, Some(bug), work)
    }
}

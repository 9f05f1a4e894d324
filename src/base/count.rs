//! Counts and addresses as types. A bare `u64` asks a question; these answer it.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! count {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $fmt:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// 0: the position at reset; for what is numbered from 1 (entries, generations), none yet.
            pub const ZERO: Self = Self(0);
            /// The largest value, at which [`Self::plus`] stops.
            pub const MAX: Self = Self(u64::MAX);

            /// The bare number.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// `self + n`, saturating: no count here is allowed to wrap.
            pub const fn plus(self, n: u64) -> Self {
                Self(self.0.saturating_add(n))
            }

            /// How far `self` is past `earlier`; 0 when it is not past it.
            pub const fn since(self, earlier: Self) -> u64 {
                self.0.saturating_sub(earlier.0)
            }

            /// One more, saturating like [`Self::plus`].
            pub const fn next(self) -> Self {
                self.plus(1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, $fmt, self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, $fmt), self.0)
            }
        }
    };
}

count!(
    /// A position in a guest's life: instructions retired plus exceptions taken since reset.
    ///
    /// An instruction that raises an exception (`ecall` too) does not retire, yet it counts here
    /// once, so that a guest which only ever traps still moves forward and `run_until` always ends.
    /// Taking an interrupt counts nothing. The architectural `instret` is this less the exceptions.
    Icount, "@", "{}"
);
count!(
    /// The number of a log entry. The first entry of a guest's life is 1; 0 means "none yet".
    Seq, "#", "{}"
);
count!(
    /// Whose turn with the guest this is, counted from 1. Each time a node starts or goes on alone it claims the
    /// next one at the arbiter; a claimed generation is never claimed again. 0 means "none yet".
    Generation, "g", "{}"
);
count!(
    /// A guest physical address.
    GuestPhys, "p", "{:#x}"
);
count!(
    /// A guest virtual address.
    GuestVirt, "v", "{:#x}"
);
count!(
    /// Names one running process of ours, drawn at random at its start: an arbiter records with it which node
    /// won a claim.
    NodeId, "n", "{:016x}"
);

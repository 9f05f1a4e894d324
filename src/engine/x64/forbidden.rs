//! A host that forbids memory for code, for tests.

use std::cell::Cell;

thread_local! {
    static FORBIDDEN: Cell<bool> = const { Cell::new(false) };
}

pub fn now() -> bool {
    FORBIDDEN.get()
}

/// On this thread from now on, or no longer.
pub fn set(forbidden: bool) {
    FORBIDDEN.set(forbidden);
}

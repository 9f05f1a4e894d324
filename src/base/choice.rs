//! What a test chooses for its own thread: the one way in which sabotages and planted bugs are switched on.

use std::cell::Cell;
use std::thread::LocalKey;

/// Calls `work` with `choice` in `key`, and puts back what was there, also when `work` panics.
pub fn during<C: Copy + 'static, T>(
    key: &'static LocalKey<Cell<C>>,
    choice: C,
    work: impl FnOnce() -> T,
) -> T {
    struct Restore<C: Copy + 'static>(&'static LocalKey<Cell<C>>, C);
    impl<C: Copy + 'static> Drop for Restore<C> {
        fn drop(&mut self) {
            self.0.set(self.1);
        }
    }
    let _restore = Restore(key, key.replace(choice));
    work()
}

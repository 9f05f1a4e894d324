//! The terminal that we were started from: raw while a guest has it, and as it was in every other case.
//!
//! Raw means that keys come one by one, unseen and unexplained: Ctrl-C is the guest's. What we print
//! still ends its lines properly (`OPOST` stays), as the guest's own line ends may be bare.
//!
//! Whichever way the process ends, it restores the terminal: [`RawTerminal`] when dropped, a hook at a panic,
//! [`restore`] before an `exit`, and around a stop by SIGTSTP. After a SIGKILL it cannot; `stty sane` helps.
//!
//! One process has one terminal, so its settings are the process's: a static.

use std::io;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use rustix::process::getpgrp;
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, isatty, tcgetattr, tcgetpgrp,
    tcgetwinsize, tcsetattr,
};

/// What the terminal was like before it was made raw, while it is.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

fn before() -> MutexGuard<'static, Option<Termios>> {
    // A `Termios` is whole or not there.
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// True when standard input and output are a terminal, and keys typed now are for us rather than for a job in the
/// foreground.
pub fn is_interactive() -> bool {
    isatty(io::stdout()) && is_keyboard()
}

/// True when standard input is a terminal.
pub fn is_terminal() -> bool {
    isatty(io::stdin())
}

/// True when standard input is a terminal, and ours.
pub fn is_keyboard() -> bool {
    isatty(io::stdin()) && tcgetpgrp(io::stdin()).is_ok_and(|group| group == getpgrp())
}

/// Columns and rows of the window behind standard output, if it is one.
pub fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    Some((size.ws_col, size.ws_row))
}

/// Standard input as a raw terminal, until dropped.
#[derive(Debug)]
pub struct RawTerminal(());

impl RawTerminal {
    pub fn enter() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let tell = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                restore();
                tell(info);
            }));
        });
        let now = tcgetattr(io::stdin())?;
        before().get_or_insert(now);
        reenter()?;
        Ok(Self(()))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        restore();
        *before() = None;
    }
}

/// Makes the terminal raw again after [`restore`], if it was at all.
pub fn reenter() -> io::Result<()> {
    let Some(mut raw) = before().clone() else { return Ok(()) };
    raw.input_modes -= InputModes::IGNBRK
        | InputModes::BRKINT
        | InputModes::PARMRK
        | InputModes::ISTRIP
        | InputModes::INLCR
        | InputModes::IGNCR
        | InputModes::ICRNL
        | InputModes::IXON;
    raw.local_modes -=
        LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::IEXTEN | LocalModes::ISIG;
    raw.special_codes[SpecialCodeIndex::VMIN] = 1;
    raw.special_codes[SpecialCodeIndex::VTIME] = 0;
    Ok(tcsetattr(io::stdin(), OptionalActions::Now, &raw)?)
}

/// Makes the terminal what it was, if it is raw.
pub fn restore() {
    if let Some(before) = &*before() {
        match tcsetattr(io::stdin(), OptionalActions::Now, before) {
            // One that is gone needs nothing.
            Ok(()) | Err(_) => {}
        }
    }
}

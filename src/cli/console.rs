//! `--console` and `--scrollback`: where a guest's console input comes from, and how much is kept.

use super::Failure;
use crate::ft::Settings;
use crate::ft::settings::SCROLLBACK_BYTES_MAX;
use crate::host::console::ConsoleIn;
use crate::host::terminal::{self, RawTerminal};

/// The same for `run`, `primary` and `backup`.
#[derive(clap::Args)]
pub struct ConsoleArgs {
    /// `-` makes standard input the guest's console: a terminal becomes the guest's own, key by key
    /// (Ctrl-A x ends, Ctrl-A h helps); `none` leaves it alone. `run` at a terminal takes it unless this is
    /// `none`. The guest's output goes to standard output in any case.
    #[arg(long, value_name = "-|none", value_parser = ["-", "none"])]
    console: Option<String>,
    /// Console bytes kept for terminals that attach or come back.
    #[arg(long, default_value = "64K", value_parser = scrollback, value_name = "BYTES")]
    scrollback: usize,
}

impl ConsoleArgs {
    /// Opens the console as asked; `taken` when a terminal is taken without being asked for.
    pub fn open(&self, taken: bool) -> Result<ConsoleIn, Failure> {
        let raw = match self.console.as_deref() {
            Some("-") if !terminal::is_keyboard() => return Ok(ConsoleIn::Stream),
            Some("-") => RawTerminal::enter(),
            None if taken && terminal::is_interactive() => RawTerminal::enter(),
            Some(_) | None => return Ok(ConsoleIn::Off),
        };
        raw.map(ConsoleIn::Terminal).map_err(|error| {
            Failure::new(format!("this terminal cannot be made the guest's: {error}"))
                .fix("leave it alone with `--console none`, or pipe the input in")
        })
    }

    pub fn settings(&self, settings: Settings) -> Settings {
        Settings { scrollback_bytes: self.scrollback, ..settings }
    }
}

/// `64K`, `1M` or bytes.
fn scrollback(text: &str) -> Result<usize, String> {
    let (digits, shift) = match text.to_ascii_uppercase() {
        text if text.ends_with('K') => (text[..text.len() - 1].to_owned(), 10),
        text if text.ends_with('M') => (text[..text.len() - 1].to_owned(), 20),
        text => (text, 0),
    };
    let count: usize = digits.parse().map_err(|_| format!("{text:?} is no size; write for example 64K"))?;
    match count.checked_mul(1 << shift) {
        Some(bytes) if (1024..=SCROLLBACK_BYTES_MAX).contains(&bytes) => Ok(bytes),
        _ => Err(format!("a scroll-back is 1K to {}K long", SCROLLBACK_BYTES_MAX >> 10)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrollbacks_are_neither_empty_nor_endless() {
        assert_eq!(scrollback("64k"), Ok(65_536));
        assert_eq!(scrollback("1M"), Ok(1 << 20));
        assert_eq!(scrollback("5000"), Ok(5000));
        for bad in ["", "K", "2M", "0", "12Q", "99999999999999999999", "18446744073709551615K"] {
            assert!(scrollback(bad).is_err(), "{bad}");
        }
    }
}

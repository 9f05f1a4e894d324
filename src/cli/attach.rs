//! `lockstep attach`: a guest's console, wherever the guest runs now.

use std::time::Duration;

use super::{Failure, node};
use crate::host::attach::{Attachment, Outcome, Wanted};
use crate::host::console;
use crate::host::keys::{HELP, Key};
use crate::host::say::say;
use crate::host::terminal::{self, RawTerminal};

#[derive(clap::Args)]
pub struct Args {
    /// --listen addresses of the guest's nodes. One that answers is enough: it names the other.
    #[arg(value_name = "ADDR", required = true)]
    nodes: Vec<String>,
    /// Type this first, then standard input. \n, \r, \t, \\ and \xHH are understood.
    #[arg(long, value_name = "TEXT", value_parser = unescape)]
    send: Option<Typed>,
    /// Leave with status 0 once the guest has printed this (with --send: after the text was typed).
    #[arg(long, value_name = "TEXT", value_parser = unescape)]
    until: Option<Typed>,
    /// Leave after this many seconds: with status 1 where --until is still waited for.
    #[arg(long, value_name = "S", value_parser = seconds)]
    timeout: Option<Duration>,
    /// Skip the scroll-back: show only what the guest prints from now on.
    #[arg(long)]
    live: bool,
    /// Only look: standard input is left alone.
    #[arg(long)]
    watch: bool,
    /// Give up when no node has answered for this many seconds.
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    wait: Duration,
}

/// Bytes from the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Typed(Vec<u8>);

pub fn run(args: &Args) -> Result<u8, Failure> {
    let keyboard = !args.watch && terminal::is_interactive();
    let attachment = Attachment::new(Wanted {
        addresses: args.nodes.clone(),
        live_only: args.live,
        send: args.send.clone().map_or_else(Vec::new, |Typed(bytes)| bytes),
        until: args.until.clone().map(|Typed(bytes)| bytes),
        timeout: args.timeout,
        patience: args.wait,
        sized: keyboard,
    });
    let (quitter, resizer, inlet) = (attachment.inlet(), attachment.inlet(), attachment.inlet());
    let terminal = if keyboard {
        let raw = RawTerminal::enter()
            .map_err(|error| Failure::new(format!("this terminal cannot be used key by key: {error}")))?;
        say!("lockstep attach: {HELP}");
        let gone = attachment.inlet();
        console::read_keys(move |key| inlet.key(key), move || gone.quit())?;
        Some(raw)
    } else {
        // A terminal whose foreground is another job would stop us for reading.
        if !args.watch && (!terminal::is_terminal() || terminal::is_keyboard()) {
            console::read_stdin(move |bytes| inlet.key(Key::Typed(bytes)), || ())?;
        }
        None
    };
    let resize = terminal.is_some().then_some(move || resizer.resized());
    node::obey_signals(move || quitter.quit(), resize, node::Hangup::Ends)?;
    let outcome = attachment.run();
    drop(terminal);
    match outcome {
        Outcome::GuestEnded { status, how } => {
            say!("lockstep attach: {how}");
            Ok(if args.until.is_some() { 1 } else { status })
        }
        Outcome::Found | Outcome::Left => Ok(0),
        Outcome::TimedOut => {
            let seconds = args.timeout.map_or(0.0, |timeout| timeout.as_secs_f64());
            if args.until.is_some() {
                say!("lockstep attach: the text of --until did not come within {seconds} s");
            }
            Ok(u8::from(args.until.is_some()))
        }
        Outcome::Lost { why } => Err(Failure::new(format!("no node answers: {why}"))
            .fix("name the --listen addresses of the guest's nodes; `lockstep status` asks one of them")),
    }
}

/// Text with escapes, as bytes.
fn unescape(text: &str) -> Result<Typed, String> {
    let mut bytes = Vec::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            bytes.extend(c.to_string().bytes());
            continue;
        }
        match rest.next() {
            Some('n') => bytes.push(b'\n'),
            Some('r') => bytes.push(b'\r'),
            Some('t') => bytes.push(b'\t'),
            Some('\\') => bytes.push(b'\\'),
            Some('x') => {
                let digits: String = rest.by_ref().take(2).collect();
                let hex = digits.len() == 2 && digits.chars().all(|c| c.is_ascii_hexdigit());
                let byte = hex.then(|| u8::from_str_radix(&digits, 16).ok()).flatten();
                bytes.push(byte.ok_or_else(|| format!("\\x{digits} is no byte; write for example \\x03"))?);
            }
            other => return Err(format!("\\{} means nothing here", other.unwrap_or(' '))),
        }
    }
    if bytes.is_empty() { Err("an empty text".into()) } else { Ok(Typed(bytes)) }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is no number of seconds"))?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if duration <= Duration::from_secs(86_400 * 365) => Ok(duration),
        _ => Err("a time of 0 s to a year".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_can_hold_any_byte() {
        let bytes = |text| unescape(text).map(|Typed(bytes)| bytes);
        assert_eq!(bytes(r"ps\n\x03\\é"), Ok([b"ps\n\x03\\", "é".as_bytes()].concat()));
        for bad in ["", r"\", r"\q", r"\x1", r"\x+1", r"\xzz"] {
            assert!(unescape(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_numbers_that_a_clock_can_hold() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["", "x", "-1", "nan", "inf", "1e300"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}

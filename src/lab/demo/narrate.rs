//! The narration on stderr: a line each, with the time since the beginning.

use crate::host::say::say;
use std::sync::OnceLock;
use std::time::Instant;

static BEGUN: OnceLock<Instant> = OnceLock::new();

/// Time counts from the first call.
pub fn begin() {
    BEGUN.get_or_init(Instant::now);
}

/// Says a line of the story.
pub fn say(line: &str) {
    let elapsed = BEGUN.get_or_init(Instant::now).elapsed();
    say!("{:7.3} s  {line}", elapsed.as_secs_f64());
}

/// Repeats a line that the process `name` has printed, indented. Of a state transfer the receiver's
/// lines are enough.
pub fn child_says(name: &str, line: &str) {
    let words = words(line);
    if !words.ends_with("chunks sent") {
        say!("              {name:<9} | {words}");
    }
}

/// A node begins its lines with its own clock and its name; the story has both already.
fn words(line: &str) -> &str {
    let after_clock = line.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    match after_clock.and_then(|(_, rest)| rest.split_once(": ")) {
        Some((_, words)) => words,
        None => line.strip_prefix("switch: ").unwrap_or(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_childs_clock_and_name_are_left_out() {
        assert_eq!(words("[2026-11-29T16:08:00.123Z] backup kv: going live: now"), "going live: now");
        assert_eq!(words("switch: VMs attach at 127.0.0.1:7000"), "VMs attach at 127.0.0.1:7000");
        assert_eq!(words("lockstep: no"), "lockstep: no");
    }
}

//! What a Linux guest's console must and must not show while its machines die: an analysis of everything that
//! a terminal has shown.
//!
//! There are three sources. The *pulse* is a program in the guest that prints numbered lines and looks at
//! both clocks: a number that is missing, doubled or torn is a console that lost or repeated something, a
//! longer silence between two of them is what a user would have noticed. The *load* writes keys into Redis,
//! reads them back and prints how many it found right. Everything else is the shell's or the kernel's, and
//! the kernel should print nothing.

use crate::host::failure::Failure;

/// Starts the pulse: a line each so many milliseconds.
pub fn pulse_command(every_ms: u32) -> String {
    let pause = f64::from(every_ms) / 1e3;
    // Typed at a prompt, as one line.
    format!(
        "python3 -c 'import time; n=m=w=0\nwhile 1:\n a=time.monotonic_ns(); b=time.time_ns(); n+=1\n \
         print(\"pulse\", n, \"up\", a//1000000, \"BACKWARDS\" if a<m or b<w else \"ok\", flush=True)\n m=a; w=b; \
         time.sleep({pause})' &\n"
    )
}

/// Asks the guest's shell for the output of `command`, under the name `tag`: typed at a prompt.
pub fn question(tag: &str, command: &str) -> String {
    format!("echo {tag} [$({command})]\n")
}

/// The answer to the question `tag`, once it is there. The shell echoes the question, too, with a `$`, and
/// other output may come in the middle of that: only what is in brackets is an answer.
pub fn answer(shown: &str, tag: &str) -> Option<String> {
    let whole = &shown[..shown.rfind('\n')?];
    let opening = format!("{tag} [");
    let said = |line: &str| {
        let line = plain(line);
        let (_, rest) = line.split_once(&opening)?;
        let (words, _) = rest.split_once(']')?;
        (!words.contains('$')).then(|| words.trim().to_owned())
    };
    whole.lines().find_map(said)
}

/// Words that only a kernel in trouble prints.
const KERNEL_WORDS: [&str; 12] = [
    "BUG:",
    "Oops",
    "WARNING:",
    "Call Trace",
    "Kernel panic",
    "soft lockup",
    "rcu:",
    "self-detected stall",
    "blocked for more than",
    "I/O error",
    "EXT4-fs error",
    "clocksource:",
];

/// One line of the load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Keys that it has written.
    pub written: u64,
    /// Keys that it has read back and found right.
    pub verified: u64,
    /// Keys that it could not write, or has found wrong.
    pub errors: u64,
}

/// What a console has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Testimony {
    /// Numbers of the pulse, each once and in order.
    pub pulses: u64,
    /// The longest time between two pulses, by the guest's own monotonic clock, in milliseconds.
    pub gap_ms: u64,
    /// The load's last report.
    pub load: Load,
    /// Lines in which it has reported so.
    pub load_lines: u64,
    /// Each sentence names a violation, with the line that shows it.
    pub complaints: Vec<String>,
}

/// Complaints that are kept.
const COMPLAINTS_MAX: usize = 20;

/// Reads what was shown; a last line without an end is left for later.
pub fn read(shown: &str) -> Testimony {
    let mut seen = Testimony::default();
    let mut up_before: Option<u64> = None;
    let mut last = String::new();
    let whole = &shown[..shown.rfind('\n').map_or(0, |end| end + 1)];
    for line in whole.lines() {
        let line = plain(line);
        // The shell echoes the command that is typed, which has quotes.
        let typed = line.contains(['\'', '"', '$']);
        if let Some(word) = KERNEL_WORDS.iter().find(|word| line.contains(**word) && !typed) {
            seen.complain(format!("the kernel says {word:?}: {line}"));
        }
        if let Some(at) = line.find("pulse ") {
            match pulse(&line[at..]) {
                None if typed => {}
                None => seen.complain(format!("a torn line: {line}")),
                Some((number, up, steady)) => {
                    if number != seen.pulses + 1 {
                        let missed = format!("pulse {number} came after {}: {last:?}, {line:?}", seen.pulses);
                        seen.complain(missed);
                    }
                    if !steady || up_before.is_some_and(|before| up < before) {
                        seen.complain(format!("a clock went back: {line}"));
                    }
                    seen.pulses = number;
                    seen.gap_ms = seen.gap_ms.max(up_before.map_or(0, |before| up.saturating_sub(before)));
                    up_before = Some(up);
                }
            }
        } else if line.contains("BACKWARDS") && !typed {
            seen.complain(format!("a clock went back: {line}"));
        }
        if let Some(at) = line.find("load: ").filter(|_| !typed) {
            seen.hear_load(&line[at..]);
        }
        last = line;
    }
    seen
}

impl Testimony {
    fn complain(&mut self, words: String) {
        if self.complaints.len() < COMPLAINTS_MAX {
            self.complaints.push(words);
        }
    }

    fn hear_load(&mut self, line: &str) {
        let Some(load) = load(line) else {
            self.complain(format!("the load says: {line}"));
            return;
        };
        if load.errors > 0 {
            self.complain(format!("the load found errors: {line}"));
        }
        if load.verified < self.load.verified || load.written < self.load.written {
            self.complain(format!("fewer than before ({}): {line}", self.load.verified));
        }
        self.load = load;
        self.load_lines += 1;
    }

    /// An error with all complaints, if there are any.
    pub fn judge(&self) -> Result<(), Failure> {
        match self.complaints.is_empty() {
            true => Ok(()),
            false => Err(Failure::new(format!(
                "the guest noticed something:{}",
                self.complaints.iter().map(|words| format!("\n    {words}")).collect::<String>()
            ))),
        }
    }
}

/// Number, monotonic milliseconds, and whether both clocks went forward. What is typed while no shell
/// listens is repeated by the kernel itself, and may stand between a line and its end.
fn pulse(line: &str) -> Option<(u64, u64, bool)> {
    let words: Vec<&str> = line.splitn(5, ' ').collect();
    let ["pulse", number, "up", up, note] = words[..] else { return None };
    let steady = note.starts_with("ok");
    (steady || note.starts_with("BACKWARDS")).then_some(())?;
    Some((number.parse().ok()?, up.parse().ok()?, steady))
}

fn load(line: &str) -> Option<Load> {
    let words: Vec<&str> = line.splitn(7, ' ').collect();
    let ["load:", "written", written, "verified", verified, "errors", errors] = words[..] else {
        return None;
    };
    let digits = errors.find(|c: char| !c.is_ascii_digit()).unwrap_or(errors.len());
    Some(Load {
        written: written.parse().ok()?,
        verified: verified.parse().ok()?,
        errors: errors[..digits].parse().ok()?,
    })
}

/// A line without what a terminal obeys: escape sequences and control characters.
pub fn plain(line: &str) -> String {
    let mut out = String::new();
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            if chars.next_if_eq(&'[').is_some() {
                while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
            }
        } else if !c.is_control() {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_that_noticed_nothing_has_no_complaints() {
        let shown = "lockstep: ready\r\npulse 1 up 100 ok\r\nload: written 500 verified 500 errors 0\r\n\
                     lockstep:~# \u{1b}[6npulse 2 up 190 ok\r\nwatch: 1 up 9 wall 8 GAP of 1600 ms\r\n\
                     pulse 3 up 210 ok\r\nload: written 1000 verified 1000 errors 0\r\npulse 4 up 2";
        let seen = read(shown);
        assert_eq!((seen.pulses, seen.gap_ms, seen.load_lines), (3, 90, 2));
        assert_eq!(seen.load, Load { written: 1000, verified: 1000, errors: 0 });
        assert!(seen.judge().is_ok(), "{:?}", seen.complaints);
    }

    #[test]
    fn each_thing_that_must_not_be_is_told() {
        for (shown, word) in [
            ("pulse 1 up 1 ok\npulse 3 up 2 ok\n", "came after 1"),
            ("pulse 1 up 1 ok\npulse 1 up 2 ok\n", "came after 1"),
            ("pulse 1 up 1 ok\npulse 2 up 0 ok\n", "went back"),
            ("pulse 1 up 1 BACKWARDS\n", "went back"),
            ("pulse 1 uppulse 2 up 9 ok\n", "torn"),
            ("watch: 3 up 1 wall 2 BACKWARDS wall by 3 ms\n", "went back"),
            ("load: written 5 verified 4 errors 1\n", "errors"),
            ("load: written 5 verified 5 errors 0\nload: written 5 verified 4 errors 0\n", "fewer"),
            ("load: keys 0 to 500 not written: no\n", "the load says"),
            ("[    9.1] rcu: INFO: rcu_sched self-detected stall on CPU\n", "rcu"),
            ("[    9.1] BUG: unable to handle page fault\n", "BUG"),
        ] {
            let complaints = read(shown).complaints;
            assert!(complaints.iter().any(|words| words.contains(word)), "{shown:?}: {complaints:?}");
        }
    }

    #[test]
    fn an_answer_is_not_its_question() {
        let reply = "reply-1 [green]\r\n";
        let shown =
            format!("lockstep:~# echo reply-1 [$(redis-cli get colour)]\r\npulse 3 up 9 ok\r\n{reply}");
        assert_eq!(answer(&shown, "reply-1").as_deref(), Some("green"));
        assert_eq!(answer(&shown[..shown.len() - 3], "reply-1"), None, "not whole yet");
        let torn =
            format!("lockstep:~# echo reply-1 [pulse 3 up 9 ok\r\n$(redis-cli get colour)]\r\n{reply}");
        assert_eq!(answer(&torn, "reply-1").as_deref(), Some("green"));
        assert_eq!(answer(&shown, "reply-2"), None);
    }

    #[test]
    fn what_the_kernel_repeats_before_a_lines_end_is_no_part_of_it() {
        let seen =
            read("pulse 1 up 1 okecho a $(b)\nload: written 5 verified 5 errors 0echo\npulse 2 up 2 ok\n");
        assert_eq!((seen.pulses, seen.load.verified, seen.complaints), (2, 5, vec![]));
    }

    #[test]
    fn a_pulse_amid_what_is_typed_counts() {
        let seen = read("pulse 1 up 1 ok\nlockstep:~# echo \"a $(pulse 2 up 2 ok\nb)\"\npulse 3 up 3 ok\n");
        assert_eq!((seen.pulses, seen.complaints), (3, vec![]));
    }

    #[test]
    fn what_a_terminal_obeys_is_left_out() {
        assert_eq!(plain("a\u{1b}[6nb\u{1b}[1;31mc\r\u{7}d\u{1b}"), "abcd");
    }
}

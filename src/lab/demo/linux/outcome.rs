//! What `demo --linux` has come to: a table for people, an object for scripts.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::tcp::Tcp;
use super::witness::Testimony;
use crate::ft::message::Audit;
use crate::inspect::picture::grouped;
use crate::lab::demo::table::short;
use crate::lab::stage::Tally;

/// One kill of a primary.
#[derive(Debug, Serialize)]
pub struct Kill {
    /// From the signal to the end of the console's silence.
    pub to_next_output_ms: f64,
    pub verified_before: u64,
    pub verified_after: u64,
    pub redis_pid: String,
    /// What was stored before the first kill.
    pub colour: String,
}

#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    /// The verdict: nothing below contradicts the promise.
    pub ok: bool,
    pub kernel: String,
    pub boot_seconds: f64,
    pub kills: Vec<Kill>,
    /// From each backup's start to the moment from which it counted, state transfer included.
    pub join_ms: Vec<f64>,
    /// How long the guest stood still for each.
    pub pause_ms: Vec<f64>,
    /// Clients on this host.
    pub tcp: Tcp,
    pub redis_pid: String,
    pub keys_verified: u64,
    pub errors: u64,
    /// Numbered lines of the console, each shown once.
    pub pulses: u64,
    /// The longest time between two of them, by the guest's clock.
    pub longest_gap_ms: u64,
    pub digests_compared: u64,
    pub last_digest: Option<Audit>,
    pub generation: u64,
    pub instructions: u64,
    pub log_bytes: u64,
    /// While Redis worked, before each kill.
    pub log_kb_per_s: Vec<f64>,
    pub seconds: f64,
    /// What contradicts the promise, in words.
    pub evidence: Vec<String>,
}

impl Outcome {
    /// Fills in the end. `ends` are the statuses of terminal, primary and backup.
    pub fn conclude(
        &mut self,
        seen: &Testimony,
        tally: &Tally,
        told: &str,
        ends: [Option<i32>; 3],
        took: Duration,
    ) {
        self.keys_verified = seen.load.verified;
        self.errors = seen.load.errors;
        self.pulses = seen.pulses;
        self.longest_gap_ms = seen.gap_ms;
        self.digests_compared = tally.audits;
        self.last_digest = tally.status.last_audit;
        self.generation = tally.status.generation.get();
        self.instructions = tally.status.icount.get();
        self.log_bytes = tally.log_bytes;
        self.seconds = (took.as_secs_f64() * 10.0).round() / 10.0;
        self.evidence.extend(seen.complaints.iter().cloned());
        self.evidence.extend(told.lines().filter(|line| line.contains("missing")).map(str::to_owned));
        for (who, end) in ["the terminal", "the primary", "the backup"].into_iter().zip(ends) {
            if end != Some(0) {
                let how = end.map_or("did not end".into(), |status| format!("ended with status {status}"));
                self.evidence.push(format!("after the guest powered off {who} {how}"));
            }
        }
        for kill in &self.kills {
            if kill.redis_pid != self.redis_pid {
                self.evidence
                    .push(format!("Redis was process {}, and is {}", self.redis_pid, kill.redis_pid));
            }
            if kill.colour != "green" {
                self.evidence.push(format!("Redis was told green, and says {:?}", kill.colour));
            }
            if kill.verified_after <= kill.verified_before {
                self.evidence.push(format!("nothing was verified after {}", kill.verified_before));
            }
        }
        if tally.audits == 0 || tally.status.last_audit.is_none() {
            self.evidence.push("the machines have compared no digests".into());
        }
        self.evidence.extend(self.tcp.judge(self.kills.len()));
        self.ok = self.evidence.is_empty() && !self.kills.is_empty();
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let each = |times: &[f64]| {
            let times: Vec<String> = times.iter().map(|time| format!("{time:.0}")).collect();
            format!("{} ms", times.join(", "))
        };
        let spoke: Vec<f64> = self.kills.iter().map(|kill| kill.to_next_output_ms).collect();
        let rates: Vec<String> = self.log_kb_per_s.iter().map(|rate| format!("{rate:.1}")).collect();
        let mut rows = vec![
            ("kernel", format!("{}, up after {:.1} s", self.kernel, self.boot_seconds)),
            ("kills of the primary", self.kills.len().to_string()),
            ("kill to next output", each(&spoke)),
            ("backup's start to protected", each(&self.join_ms)),
            ("  of that the guest stood still", each(&self.pause_ms)),
            ("keys written, verified", grouped(self.keys_verified)),
            ("errors", self.errors.to_string()),
            ("Redis", format!("process {} all the time", self.redis_pid)),
            ("numbered lines on the console", format!("{}, each once", grouped(self.pulses))),
            ("longest gap in the guest", format!("{} ms", self.longest_gap_ms)),
        ];
        rows.extend(self.tcp.rows());
        if let Some(audit) = &self.last_digest {
            let at = grouped(audit.icount.get());
            let words =
                format!("{}, all agreed; the last {} at {at}", self.digests_compared, short(audit.digest));
            rows.push(("digests compared", words));
        }
        rows.push(("instructions", grouped(self.instructions)));
        rows.push((
            "log",
            format!("{} bytes; under load {} kB/s", grouped(self.log_bytes), rates.join(", ")),
        ));
        rows
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.rows() {
            writeln!(f, "{name:32} {value}")?;
        }
        for words in &self.evidence {
            writeln!(f, "  {words}")?;
        }
        match self.ok {
            true => write!(
                f,
                "Debian and its clients noticed nothing but a wait: nothing was lost, and the machines agree."
            ),
            false => write!(f, "This is NOT what lockstep promises."),
        }
    }
}

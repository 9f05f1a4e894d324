//! What the demo has come to: a table for people, an object for scripts.

use std::fmt;

use serde::Serialize;

use crate::base::Digest;
use crate::ft::message::Audit;
use crate::inspect::picture::grouped;
use crate::lab::kvclient::Report;
use crate::lab::stage::{Takeover, Tally, ms};

/// As much of a digest as people compare.
pub fn short(digest: Digest) -> String {
    format!("{:.12}…", digest.to_string())
}

/// Times are in milliseconds unless their name says otherwise.
#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    /// The verdict: nothing below contradicts the promise.
    pub ok: bool,
    pub acknowledged_writes: u64,
    pub lost: u64,
    pub duplicated: u64,
    pub contradictions: u64,
    /// Requests that were never answered, or answered with an error.
    pub unanswered: u64,
    pub answers: u64,
    /// Keys read back at the end and found right.
    pub keys_read_back: u64,
    pub kills: usize,
    /// From each SIGKILL to the first answer to a request sent after it.
    pub takeover_ms: Vec<f64>,
    /// The longest time without any answer around each kill.
    pub takeover_gap_ms: Vec<f64>,
    /// The longest time without any answer in the whole run.
    pub longest_gap_ms: f64,
    pub switchover_ms: f64,
    pub switchover_gap_ms: f64,
    /// From each backup's start to the moment from which it counted, state transfer included.
    pub join_ms: Vec<f64>,
    pub digests_compared: u64,
    pub digests_agree: bool,
    pub last_digest: Option<Audit>,
    pub generation: u64,
    pub instructions: u64,
    pub log_bytes: u64,
    pub latency_p50_us: u64,
    pub latency_p99_us: u64,
    /// Answers on a TCP connection that lived through a kill.
    pub tcp_answers: u64,
    /// The longest time it waited for one.
    pub tcp_wait_ms: f64,
    pub seconds: f64,
    /// The first contradictions, in words.
    pub evidence: Vec<String>,
}

impl Outcome {
    pub fn add_takeover(&mut self, takeover: Takeover) {
        self.kills += 1;
        self.takeover_ms.push(ms(takeover.answered));
        self.takeover_gap_ms.push(ms(takeover.gap));
    }

    /// Fills in the end, but for the time it took. A difference of digests ends a backup, which fails the demo by itself: to
    /// have come this far with comparisons made is to have agreed.
    pub fn conclude(&mut self, report: &Report, tally: &Tally) {
        self.acknowledged_writes = report.acked_writes;
        self.lost = report.lost;
        self.duplicated = report.duplicated + report.answers_too_many;
        self.contradictions = report.contradictions;
        self.unanswered = report.given_up + report.errors;
        self.answers = report.answers;
        self.keys_read_back = report.verified_keys;
        self.longest_gap_ms = (report.longest_gap_ms * 100.0).round() / 100.0;
        self.digests_compared = tally.audits;
        self.last_digest = tally.status.last_audit;
        self.digests_agree = tally.audits > 0 && tally.status.last_audit.is_some();
        self.generation = tally.status.generation.get();
        self.instructions = tally.status.icount.get();
        self.log_bytes = tally.log_bytes;
        (self.latency_p50_us, self.latency_p99_us) = (report.p50_us, report.p99_us);
        self.evidence.clone_from(&report.evidence);
        self.ok = report.is_clean() && report.acked_writes > 0 && self.digests_agree;
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let each = |times: &[f64]| {
            let times: Vec<String> = times.iter().map(|time| format!("{time:.1}")).collect();
            format!("{} ms", times.join(", "))
        };
        let digests = match &self.last_digest {
            Some(audit) if self.digests_agree => {
                let at = grouped(audit.icount.get());
                format!("{}, all agreed; the last {} at {at}", self.digests_compared, short(audit.digest))
            }
            Some(_) | None => format!("{}, NOT agreed", self.digests_compared),
        };
        vec![
            ("acknowledged writes", grouped(self.acknowledged_writes)),
            ("lost", self.lost.to_string()),
            ("duplicated", self.duplicated.to_string()),
            ("contradicted", self.contradictions.to_string()),
            ("never answered", self.unanswered.to_string()),
            ("keys read back", format!("{}, all right", self.keys_read_back)),
            ("kills of the primary", self.kills.to_string()),
            ("kill to first answer", each(&self.takeover_ms)),
            ("client's gap at kills", each(&self.takeover_gap_ms)),
            (
                "switch-over",
                format!("{:.1} ms, client's gap {:.1} ms", self.switchover_ms, self.switchover_gap_ms),
            ),
            ("client's longest gap", format!("{:.1} ms", self.longest_gap_ms)),
            ("backup's start to protected", each(&self.join_ms)),
            ("digests compared", digests),
            ("instructions", grouped(self.instructions)),
            ("log", format!("{} bytes", grouped(self.log_bytes))),
            (
                "a TCP connection over a kill",
                format!("{} answers, waited {:.1} ms", grouped(self.tcp_answers), self.tcp_wait_ms),
            ),
            ("latency p50, p99", format!("{} us, {} us", self.latency_p50_us, self.latency_p99_us)),
        ]
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.rows() {
            writeln!(f, "{name:28} {value}")?;
        }
        for words in &self.evidence {
            writeln!(f, "  {words}")?;
        }
        match self.ok {
            true => write!(f, "Nothing was lost, nothing happened twice, and the machines agree."),
            false => write!(f, "This is NOT what lockstep promises."),
        }
    }
}

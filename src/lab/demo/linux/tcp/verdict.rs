//! What the TCP clients have come to: rows for people, an object for scripts, and what contradicts the promise.

use serde::Serialize;

use super::benchmark::Ended;
use super::counter::Count;
use crate::inspect::picture::grouped;

/// Times are in milliseconds.
#[derive(Debug, Default, Serialize)]
pub struct Tcp {
    /// Those that were to outlive a kill.
    pub connections: u64,
    /// Those that did not; of a benchmark's one, because it ends with the first.
    pub broken: u64,
    /// All answers that were checked.
    pub answers: u64,
    pub lost: u64,
    pub duplicated: u64,
    pub unanswered: u64,
    /// The longest that the client that counts has waited over each kill.
    pub longest_wait_ms: Vec<f64>,
    /// And at any other time, when a backup joined for example.
    pub longest_wait_else_ms: f64,
    pub local_port: u16,
    /// What Redis calls the connection from that port.
    pub client_id: i64,
    /// The client at the prompt.
    pub sitter: String,
    pub sitter_id: String,
    /// The result of EXEC after each kill to a MULTI from before it.
    pub transactions: Vec<String>,
    /// While nothing was killed, and through a kill.
    pub calm: Option<Ended>,
    pub benchmark: Option<Ended>,
    #[serde(skip)]
    pub early: Vec<Ended>,
    #[serde(skip)]
    pub answers_before: u64,
    /// Told with the rest of the demo's.
    #[serde(skip)]
    pub evidence: Vec<String>,
}

impl Tcp {
    pub fn end_transaction(&mut self, answer: String, id: &str) {
        self.transactions.push(answer);
        let (wanted, said) = (self.transactions.len().to_string(), self.transactions.last());
        if said != Some(&wanted) {
            self.evidence.push(format!("the transaction over kill {wanted} was answered with {said:?}"));
        }
        if id != self.sitter_id {
            self.broken += 1;
            self.evidence.push(format!("{} was client {}, and is client {id}", self.sitter, self.sitter_id));
        }
    }

    pub fn kill_was(&mut self, longest_ms: f64, answers: u64) {
        self.longest_wait_ms.push(longest_ms);
        if answers <= self.answers_before {
            let number = self.longest_wait_ms.len();
            self.evidence.push(format!("after kill {number} nothing was answered over TCP"));
        }
    }

    /// Fills in the end.
    pub fn conclude(&mut self, count: &Count) {
        self.answers = count.answered;
        (self.lost, self.duplicated) = (count.lost, count.duplicated);
        self.unanswered = count.unanswered();
        self.broken += u64::from(count.broken);
        self.evidence.extend(count.complaints.iter().cloned());
        if self.benchmark.is_none() {
            self.evidence.push("no benchmark has run through a kill".into());
        }
        self.connections += self.benchmark.as_ref().map_or(0, |ended| ended.connections);
        let ran: Vec<&Ended> = self.calm.iter().chain(&self.early).chain(&self.benchmark).collect();
        for ended in ran {
            let asked = i64::try_from(ended.requests).unwrap_or(i64::MAX);
            let amiss = asked.abs_diff(ended.counted);
            let side = if ended.counted > asked { &mut self.duplicated } else { &mut self.lost };
            *side = side.saturating_add(amiss);
            if amiss > 0 {
                let words =
                    format!("{} asked for {asked} increments, Redis counts {}", ended.program, ended.counted);
                self.evidence.push(words);
            }
            self.answers += ended.requests.min(ended.counted.unsigned_abs());
            self.broken += u64::from(ended.exit_status != Some(0));
            self.evidence.extend(ended.complaints.iter().cloned());
        }
        // The figures decide where no complaint was found.
        for (what, figure) in [
            ("broken connections", self.broken),
            ("lost", self.lost),
            ("duplicated", self.duplicated),
            ("never answered", self.unanswered),
        ] {
            if figure > 0 {
                self.evidence.push(format!("over TCP: {what}: {figure}"));
            }
        }
    }

    /// What contradicts the promise after so many kills.
    pub fn judge(&self, kills: usize) -> Vec<String> {
        let mut evidence = self.evidence.clone();
        if self.transactions.len() != kills || self.longest_wait_ms.len() != kills {
            evidence.push(format!("{} of {kills} kills had a TCP client", self.longest_wait_ms.len()));
        }
        evidence
    }

    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let waits: Vec<String> = self.longest_wait_ms.iter().map(|time| format!("{time:.0}")).collect();
        let mut rows = vec![
            ("TCP connections broken", format!("{} of {}", self.broken, self.connections)),
            ("TCP answers", grouped(self.answers)),
            (
                "  lost, duplicated, missing",
                format!("{}, {}, {}", self.lost, self.duplicated, self.unanswered),
            ),
            ("  longest wait over a kill", format!("{} ms", waits.join(", "))),
            ("  longest wait otherwise", format!("{:.0} ms", self.longest_wait_else_ms)),
            (
                "transactions over a kill",
                format!("{}: EXEC: {}; client {}", self.sitter, self.transactions.join(", "), self.sitter_id),
            ),
        ];
        if let Some(ended) = &self.benchmark {
            let status = ended.exit_status.map_or("a signal".into(), |status| format!("status {status}"));
            let rate = |ended: &Ended| grouped(ended.requests_per_s as u64);
            rows.push((
                "benchmark through a kill",
                format!(
                    "{}: {status}; {} of {} requests, {}/s ({}/s in calm), longest wait {}",
                    ended.program,
                    grouped(ended.counted.unsigned_abs()),
                    grouped(ended.requests),
                    rate(ended),
                    self.calm.as_ref().map_or("?".into(), rate),
                    wait(ended.longest_wait_ms)
                ),
            ));
        }
        rows
    }
}

/// A wait as people read it; not every version of the benchmark prints its longest.
pub fn wait(ms: Option<f64>) -> String {
    ms.map_or("not told".into(), |ms| format!("{ms:.0} ms"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended() -> Ended {
        Ended { connections: 50, requests: 400, counted: 400, exit_status: Some(0), ..Ended::default() }
    }

    /// What a run comes to in which nothing is amiss but what `amiss` does.
    fn judged(amiss: impl FnOnce(&mut Tcp, &mut Count)) -> Vec<String> {
        let mut tcp = Tcp {
            connections: 2,
            sitter: "redis-cli".into(),
            sitter_id: "7".into(),
            calm: Some(ended()),
            benchmark: Some(ended()),
            ..Tcp::default()
        };
        tcp.end_transaction("1".into(), "7");
        tcp.kill_was(12.0, 10);
        let mut count = Count { asked: 20, answered: 20, ..Count::default() };
        amiss(&mut tcp, &mut count);
        tcp.conclude(&count);
        tcp.judge(1)
    }

    #[test]
    fn clients_that_noticed_nothing_contradict_nothing() {
        assert_eq!(judged(|_, _| {}), Vec::<String>::new());
        let mut tcp = Tcp { benchmark: Some(ended()), ..Tcp::default() };
        tcp.conclude(&Count { asked: 20, answered: 20, ..Count::default() });
        assert_eq!((tcp.answers, tcp.lost, tcp.duplicated, tcp.broken, tcp.connections), (420, 0, 0, 0, 50));
    }

    #[test]
    fn each_thing_amiss_contradicts_the_promise() {
        type Amiss = fn(&mut Tcp, &mut Count);
        let cases: [(&str, Amiss); 12] = [
            ("broken", |_, count| count.broken = true),
            ("lost", |_, count| count.lost = 1),
            ("duplicated", |_, count| count.duplicated = 1),
            ("never answered", |_, count| count.asked += 1),
            ("was client 7", |tcp, _| tcp.end_transaction("2".into(), "8")),
            ("EXEC without", |tcp, _| tcp.end_transaction("ERR EXEC without MULTI".into(), "7")),
            ("had a TCP client", |tcp, _| tcp.longest_wait_ms.clear()),
            ("nothing was answered", |tcp, _| (tcp.answers_before = 10, tcp.kill_was(1.0, 10)).1),
            ("no benchmark", |tcp, _| tcp.benchmark = None),
            ("broken", |tcp, _| tcp.benchmark.as_mut().unwrap().exit_status = None),
            ("counts 399", |tcp, _| tcp.benchmark.as_mut().unwrap().counted = 399),
            ("duplicated", |tcp, _| tcp.calm.as_mut().unwrap().counted = 401),
        ];
        for (word, amiss) in cases {
            let evidence = judged(amiss);
            assert!(evidence.iter().any(|words| words.contains(word)), "{word}: {evidence:?}");
        }
    }
}

//! Suspicion by silence.
//!
//! A closed connection is reported by the connection itself; this notices the peer that is still
//! connected and says nothing. Suspicion alone decides nothing: it makes a node *claim*.

/// Watches one peer and our own silence toward it.
#[derive(Clone, Debug)]
pub struct Detector {
    heard_ns: u64,
    spoke_ns: u64,
    looked_ns: u64,
    silence_ns: u64,
    heartbeat_ns: u64,
}

impl Detector {
    pub fn new(now_ns: u64, silence_ns: u64, heartbeat_ns: u64) -> Self {
        Self { heard_ns: now_ns, spoke_ns: now_ns, looked_ns: now_ns, silence_ns, heartbeat_ns }
    }

    /// The peer said something.
    pub fn heard(&mut self, now_ns: u64) {
        self.heard_ns = now_ns;
    }

    /// We said something.
    pub fn spoke(&mut self, now_ns: u64) {
        self.spoke_ns = now_ns;
    }

    /// True when it is time to say that we are alive.
    pub fn heartbeat_due(&self, now_ns: u64) -> bool {
        now_ns.saturating_sub(self.spoke_ns) >= self.heartbeat_ns
    }

    /// True when the peer has been silent too long. A gap in our *own* looking (this host was
    /// paused) is not the peer's silence: after one, the peer gets a fresh chance to be heard.
    pub fn suspects(&mut self, now_ns: u64) -> bool {
        let away_ns = now_ns.saturating_sub(self.looked_ns);
        self.looked_ns = now_ns;
        if away_ns > self.silence_ns / 2 {
            self.heard_ns = now_ns;
        }
        now_ns.saturating_sub(self.heard_ns) > self.silence_ns
    }

    /// When to look again, at the latest.
    pub fn next_look_ns(&self) -> u64 {
        (self.spoke_ns + self.heartbeat_ns).min(self.heard_ns + self.silence_ns + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_suspected_only_after_the_whole_time() {
        let mut detector = Detector::new(0, 100, 20);
        for now in (0..=100).step_by(10) {
            assert!(!detector.suspects(now));
        }
        assert!(detector.suspects(101));
        detector.heard(105);
        assert!(!detector.suspects(110));
    }

    #[test]
    fn our_own_pause_is_not_the_peers_silence() {
        let mut detector = Detector::new(0, 100, 20);
        assert!(!detector.suspects(5000));
        assert!(!detector.suspects(5050));
        assert!(!detector.suspects(5100));
        assert!(detector.suspects(5101));
    }

    #[test]
    fn heartbeats_fill_our_own_silence() {
        let mut detector = Detector::new(0, 100, 20);
        assert!(!detector.heartbeat_due(19));
        assert!(detector.heartbeat_due(20));
        detector.spoke(20);
        assert!(!detector.heartbeat_due(39));
        assert_eq!(detector.next_look_ns(), 40);
    }
}

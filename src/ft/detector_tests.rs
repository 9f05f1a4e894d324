//! Silence, pauses and hangs, in milliseconds.

use super::*;

/// Silence 100 ms, hang 1000 ms, heartbeats 20 ms.
fn detector() -> Detector {
    Detector::new(0, 100 * MS, 1000 * MS, 20 * MS)
}

fn silent(for_ms: u64, allowed_ms: u64) -> Option<Suspicion> {
    Some(Suspicion::Silent { for_ns: for_ms * MS, allowed_ns: allowed_ms * MS })
}

/// Beats that the judge last looked for at `looked`, and had not heard for `silent` then.
fn beats(looked: u64, silent: u64) -> Beats {
    Beats { silent_ns: silent * MS, looked_ns: looked * MS, ..Beats::default() }
}

fn signs(link: u64, beats: Beats) -> Option<Signs> {
    Some(Signs { link_ns: link * MS, beats: Some(beats) })
}

#[test]
fn without_signs_silence_is_suspected_only_after_the_whole_time() {
    let mut detector = detector();
    for now in (0..=100).step_by(10) {
        assert_eq!(detector.suspects(now * MS, None), None);
    }
    assert_eq!(detector.suspects(101 * MS, None), silent(101, 100));
    detector.heard(105 * MS);
    assert_eq!(detector.suspects(110 * MS, None), None);
}

#[test]
fn without_signs_our_own_pause_is_not_the_peers_silence() {
    let mut detector = detector();
    assert_eq!(detector.suspects(5000 * MS, None), None);
    assert_eq!(detector.suspects(5050 * MS, None), None);
    assert_eq!(detector.suspects(5100 * MS, None), None);
    assert_eq!(detector.suspects(5101 * MS, None), silent(101, 100));
    // A gap of half the silence is none yet.
    let mut detector = self::detector();
    for now in [50, 100] {
        assert_eq!(detector.suspects(now * MS, None), None);
    }
    assert_eq!(detector.suspects(101 * MS, None), silent(101, 100));
}

#[test]
fn before_beats_bytes_on_the_link_are_heard_when_they_come() {
    let mut detector = detector();
    for now in (10..=150).step_by(10) {
        let link = Some(Signs { link_ns: 50 * MS, beats: None });
        assert_eq!(detector.suspects(now * MS, link), None, "{now}");
    }
    let link = Some(Signs { link_ns: 50 * MS, beats: None });
    assert_eq!(detector.suspects(151 * MS, link), silent(101, 100));
}

#[test]
fn beats_are_heard_however_late_the_node_looks() {
    let mut detector = detector();
    // The node was starved for 400 ms; the thread that listens was not.
    assert_eq!(detector.suspects(400 * MS, signs(10, beats(399, 9))), None);
    // The other way round: that thread was starved, and suspects no peer.
    assert_eq!(detector.suspects(700 * MS, signs(399, beats(400, 10))), None);
}

#[test]
fn silence_counts_up_to_the_last_look_for_beats_and_without_the_judges_absence() {
    let mut detector = detector();
    assert_eq!(detector.suspects(100 * MS, signs(0, beats(100, 100))), None);
    assert_eq!(detector.suspects(102 * MS, signs(0, beats(101, 101))), silent(101, 100));
    // 5 s have passed, and the judge saw but 20 ms of them.
    let mut detector = self::detector();
    assert_eq!(detector.suspects(5000 * MS, signs(0, beats(5000, 20))), None);
}

#[test]
fn anything_on_the_link_is_a_sign_of_life_too() {
    let mut detector = detector();
    for now in [100, 200, 300] {
        assert_eq!(detector.suspects(now * MS, signs(now - 5, beats(now, now))), None);
    }
    assert_eq!(detector.suspects(400 * MS, signs(295, beats(400, 400))), silent(105, 100));
}

#[test]
fn late_pauses_of_either_side_extend_the_silence_that_is_allowed_within_a_bound() {
    for (own, peer, allowed) in [(0, 0, 100), (30, 10, 160), (10, 70, 240), (0, 3_600_000, 800)] {
        let paused =
            |silent| Beats { pause_own_ns: own * MS, pause_peer_ns: peer * MS, ..beats(silent, silent) };
        let mut detector = detector();
        assert_eq!(detector.suspects(allowed * MS, signs(0, paused(allowed))), None);
        let late = allowed + 1;
        assert_eq!(detector.suspects(late * MS, signs(0, paused(late))), silent(late, allowed));
        assert_eq!(detector.watch().allowed_ms, allowed as f64);
    }
}

#[test]
fn a_peer_that_beats_beside_a_hung_node_is_found_out() {
    // By its own account, whatever the link brings.
    let stalled = |ms: u64| Beats { stalled_ns: ms * MS, ..beats(100, 0) };
    let mut detector = detector();
    assert_eq!(detector.suspects(100 * MS, signs(100, stalled(1000))), None);
    let hung = |ms: u64| Some(Suspicion::Hung { for_ns: ms * MS });
    assert_eq!(detector.suspects(100 * MS, signs(100, stalled(1001))), hung(1001));
    // By its silence on the link, whatever it says.
    let mut detector = self::detector();
    for now in (20..=1050).step_by(10) {
        assert_eq!(detector.suspects(now * MS, signs(50, beats(now, 0))), None, "{now}");
    }
    assert_eq!(detector.suspects(1051 * MS, signs(50, beats(1051, 0))), hung(1001));
}

#[test]
fn a_judge_that_was_away_itself_does_not_find_a_peer_hung() {
    let mut detector = detector();
    assert_eq!(detector.suspects(5000 * MS, signs(10, beats(5000, 0))), None);
    for now in (5020..=6000).step_by(20) {
        assert_eq!(detector.suspects(now * MS, signs(10, beats(now, 0))), None);
    }
    assert_eq!(
        detector.suspects(6001 * MS, signs(10, beats(6001, 0))),
        Some(Suspicion::Hung { for_ns: 1001 * MS })
    );
}

#[test]
fn a_hang_is_never_found_before_silence_would_be() {
    let mut joining = Detector::new(0, 10_000 * MS, 1000 * MS, 20 * MS);
    for now in (20..=10_000).step_by(20) {
        let stalled = Beats { stalled_ns: now * MS, ..beats(now, 0) };
        assert_eq!(joining.suspects(now * MS, signs(0, stalled)), None, "{now}");
    }
}

#[test]
fn heartbeats_fill_our_own_silence() {
    let mut detector = detector();
    assert!(!detector.heartbeat_due(19 * MS));
    assert!(detector.heartbeat_due(20 * MS));
    detector.spoke(20 * MS);
    assert!(!detector.heartbeat_due(39 * MS));
    assert_eq!(detector.next_look_ns(), 40 * MS);
}

#[test]
fn the_next_look_is_at_the_deadline_and_soon_again_when_beats_were_not_looked_for() {
    let mut detector = Detector::new(0, 100 * MS, 1000 * MS, 500 * MS);
    assert_eq!(detector.suspects(90 * MS, signs(0, beats(90, 90))), None);
    assert_eq!(detector.next_look_ns(), 100 * MS + 1);
    // The deadline has passed; the thread that listens has not looked since.
    assert_eq!(detector.suspects(120 * MS, signs(0, beats(100, 100))), None);
    assert_eq!(detector.next_look_ns(), 121 * MS + 1);
}

#[test]
fn a_pause_fades_and_jitter_is_none() {
    let mut pauses = Pauses::default();
    pauses.note(10 * MS - 1, 0);
    assert_eq!(pauses.longest_ns(0), 0);
    pauses.note(10 * MS, 0);
    assert_eq!(pauses.longest_ns(0), 10 * MS);
    pauses.note(80 * MS, 1000 * MS);
    pauses.note(30 * MS, 2000 * MS);
    assert_eq!(pauses.longest_ns(10_999 * MS), 80 * MS);
    assert_eq!(pauses.longest_ns(11_000 * MS), 40 * MS);
    pauses.note(50 * MS, 12_000 * MS);
    assert_eq!(pauses.longest_ns(12_000 * MS), 50 * MS);
    assert_eq!(pauses.longest_ns(42_000 * MS), 0);
    pauses.note(60_000 * MS, 50_000 * MS);
    assert_eq!(pauses.longest_ns(50_000 * MS), 1000 * MS);
    assert_eq!(pauses.longest_ns(u64::MAX), 0);
}

#[test]
fn an_own_gap_of_more_than_half_the_silence_gives_the_peer_a_fresh_chance() {
    let mut detector = Detector::new(0, 100, 100, 20);
    assert_eq!(detector.suspects(40, None), None);
    // 51 ns away: what the peer said meanwhile may still wait for us.
    assert_eq!(detector.suspects(91, None), None);
    assert_eq!(detector.suspects(141, None), None);
    assert_eq!(detector.suspects(191, None), None);
    assert_eq!(detector.suspects(192, None), Some(Suspicion::Silent { for_ns: 101, allowed_ns: 100 }));
    // A gap of half is none.
    let mut detector = Detector::new(0, 100, 100, 20);
    assert_eq!((detector.suspects(50, None), detector.suspects(100, None)), (None, None));
    assert_eq!(detector.suspects(101, None), Some(Suspicion::Silent { for_ns: 101, allowed_ns: 100 }));
}

#[test]
fn a_suspicion_says_what_was_seen_in_milliseconds() {
    let silent = Suspicion::Silent { for_ns: 2_345 * MS + 1, allowed_ns: 1_700 * MS };
    assert_eq!(silent.to_string(), "it has been silent for too long: 2345 ms, 1700 are allowed");
    let hung = Suspicion::Hung { for_ns: 3_001 * MS };
    assert_eq!(hung.to_string(), "its process is alive, but its node has not moved for 3001 ms");
}

#[test]
fn the_status_shows_the_settings_and_the_newest_beat() {
    let mut detector = Detector::new(0, 100 * MS, 1000 * MS, 20 * MS);
    let watch = Watch {
        silence_ms: 100.0,
        allowed_ms: 100.0,
        hang_ms: 1000.0,
        beats: false,
        pause_here_ms: 0.0,
        pause_there_ms: 0.0,
        stalled_ms: 0.0,
    };
    assert_eq!(detector.watch(), watch);
    let newest =
        Beats { pause_own_ns: 20 * MS, pause_peer_ns: 45 * MS / 2, stalled_ns: 7 * MS, ..beats(10, 5) };
    assert_eq!(detector.suspects(10 * MS, signs(0, newest)), None);
    let (pause_here_ms, pause_there_ms, stalled_ms) = (20.0, 22.5, 7.0);
    assert_eq!(
        detector.watch(),
        Watch { allowed_ms: 145.0, beats: true, pause_here_ms, pause_there_ms, stalled_ms, ..watch }
    );
}

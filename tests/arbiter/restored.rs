//! An etcd restored from an old backup has forgotten what it decided since: it decides nothing more.

use lockstep::base::{Generation, NodeId};
use lockstep::ft::{Arbiter, ArbiterError, Claim};

use super::etcd::Cluster;
use super::suite::{after, bid};

fn is_forgetful<T: std::fmt::Debug>(answer: &Result<T, ArbiterError>) -> bool {
    println!("{answer:?}");
    matches!(answer, Err(ArbiterError::Forgetful { .. }))
}

/// An etcd with three generations that was restored to when it had two; and the arbiters of two nodes
/// which have lived through that, the second of which has slept since the first generation.
fn restored(token: Option<&str>, memory: &std::path::Path) -> Option<(Cluster, [Box<dyn Arbiter>; 2])> {
    let mut cluster = Cluster::start(3)?;
    let mut awake = cluster.arbiter_that_notes(Some(memory));
    let mut slept = cluster.arbiter();
    assert_eq!(awake.claim("kv", &bid(1, 1)), Ok(Claim::Won));
    assert_eq!(slept.look("kv", Generation(1)), Ok(NodeId(1)));
    assert_eq!(awake.claim("kv", &after(bid(2, 2), 1)), Ok(Claim::Won));
    let snapshot = cluster.dir.path().join("snapshot.db");
    cluster.etcdctl(&["snapshot", "save", &snapshot.display().to_string()])?;
    assert_eq!(awake.claim("kv", &after(bid(3, 3), 2)), Ok(Claim::Won));
    assert_eq!(awake.look("kv", Generation(3)), Ok(NodeId(3)));
    if !cluster.restore(&snapshot, token) {
        return None;
    }
    Some((cluster, [Box::new(awake), Box::new(slept)]))
}

#[test]
fn a_generation_that_an_older_backup_has_forgotten_is_not_given_out_again() {
    let memory = tempfile::tempdir().unwrap();
    let Some((cluster, [mut awake, mut slept])) = restored(None, memory.path()) else { return };
    // A node that follows generation 3 is refused the fourth, and is refused the third again.
    assert!(is_forgetful(&awake.claim("kv", &after(bid(4, 4), 3))));
    assert!(is_forgetful(&awake.claim("kv", &after(bid(3, 4), 2))));
    assert!(is_forgetful(&awake.look("kv", Generation(3))));
    assert!(is_forgetful(&awake.holder("kv")));
    assert!(is_forgetful(&slept.claim("kv", &after(bid(4, 4), 3))), "also by who has not seen it happen");
    // A process that starts on this host now remembers what that one saw.
    let mut later = cluster.arbiter_that_notes(Some(memory.path()));
    let answer = later.holder("kv");
    assert!(is_forgetful(&answer));
    let text = answer.unwrap_err().to_string();
    assert!(text.contains("backup") && text.contains(&memory.path().display().to_string()), "{text}");
}

#[test]
fn an_etcd_that_climbs_back_past_what_was_known_is_not_trusted_again() {
    let memory = tempfile::tempdir().unwrap();
    let Some((cluster, [mut awake, _])) = restored(None, memory.path()) else { return };
    assert!(is_forgetful(&awake.look("kv", Generation(2))));
    let mut other = cluster.arbiter();
    for generation in 1..=9 {
        let known = if generation == 1 { bid(1, 1) } else { after(bid(generation, 1), 1) };
        assert_eq!(other.claim("other", &known), Ok(Claim::Won));
    }
    assert!(is_forgetful(&awake.claim("kv", &after(bid(3, 4), 2))));
}

/// Its identity is the old one, and it is not behind what a node that slept through everything has seen: but
/// its elections are counted anew.
#[test]
fn an_etcd_restored_as_the_same_is_refused_by_who_slept_since_before_the_backup() {
    let memory = tempfile::tempdir().unwrap();
    let Some(mut cluster) = Cluster::start(3) else { return };
    // An etcd that has lived: a leader was lost once.
    let leader = cluster.await_leader();
    cluster.members[leader].kill();
    cluster.await_leader();
    cluster.run(leader);
    let mut slept = cluster.arbiter_that_notes(Some(memory.path()));
    let mut awake = cluster.arbiter();
    assert_eq!(awake.claim("kv", &bid(1, 1)), Ok(Claim::Won));
    assert_eq!(awake.claim("kv", &after(bid(2, 2), 1)), Ok(Claim::Won));
    assert_eq!(slept.look("kv", Generation(2)), Ok(NodeId(2)));
    let snapshot = cluster.dir.path().join("snapshot.db");
    assert_eq!(awake.claim("other", &bid(1, 1)), Ok(Claim::Won));
    if cluster.etcdctl(&["snapshot", "save", &snapshot.display().to_string()]).is_none() {
        return;
    }
    assert_eq!(awake.claim("kv", &after(bid(3, 3), 2)), Ok(Claim::Won));
    assert!(cluster.restore(&snapshot, None));
    let answer = slept.claim("kv", &after(bid(3, 4), 2));
    assert!(is_forgetful(&answer), "the third generation is the third node's");
    assert!(answer.unwrap_err().to_string().contains("term"));
    let mut later = cluster.arbiter_that_notes(Some(memory.path()));
    assert!(is_forgetful(&later.claim("kv", &after(bid(3, 4), 2))), "also by a later process of its host");
}

#[test]
fn an_etcd_made_anew_from_a_backup_is_another_one() {
    let memory = tempfile::tempdir().unwrap();
    let Some((_cluster, [_, mut slept])) = restored(Some("another-token"), memory.path()) else { return };
    // It could not know of generation 3: without the cluster's identity it would win it once more.
    let answer = slept.claim("kv", &after(bid(3, 4), 2));
    assert!(is_forgetful(&answer));
    assert!(answer.unwrap_err().to_string().contains("another etcd cluster"));
}

#[test]
fn a_record_that_was_lost_can_be_put_back_by_hand() {
    let memory = tempfile::tempdir().unwrap();
    let Some((cluster, _)) = restored(Some("another-token"), memory.path()) else { return };
    let record = r#"{"generation":3,"node":3,"keeps":null,"wherefrom":"put back by hand"}"#;
    let put = cluster.etcdctl(&["put", "/lockstep/kv/g00000000000000000003", record]);
    assert_eq!(put.as_deref().map(str::trim), Some("OK"));
    let mut arbiter = cluster.arbiter();
    assert_eq!(
        arbiter.claim("kv", &after(bid(3, 4), 2)),
        Ok(Claim::Lost { to: NodeId(3), keeps: Vec::new() })
    );
    assert_eq!(arbiter.claim("kv", &after(bid(4, 4), 3)), Ok(Claim::Won));
}

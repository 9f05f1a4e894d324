//! etcd itself has its accidents: the arbiter goes on as long as a majority does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lockstep::base::NodeId;
use lockstep::ft::{Arbiter, ArbiterError, Bid, Claim};

use super::etcd::Cluster;
use super::suite::{after, bid};

/// An election takes a second or two; a busy machine takes its time.
const WITHIN: Duration = Duration::from_secs(60);

/// Claims until the arbiter decides, as a node does; and how long that took.
fn insist(arbiter: &mut dyn Arbiter, bid: &Bid) -> (Claim, Duration) {
    let asked = Instant::now();
    loop {
        match arbiter.claim("kv", bid) {
            Ok(claim) => return (claim, asked.elapsed()),
            Err(ArbiterError::Unreachable(why)) => {
                assert!(asked.elapsed() < WITHIN, "{why}");
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_killed_member_costs_nothing_and_a_lost_majority_costs_every_decision() {
    let Some(mut cluster) = Cluster::start(3) else { return };
    let mut arbiter = cluster.arbiter();
    assert_eq!(arbiter.claim("kv", &bid(1, 1)), Ok(Claim::Won));
    // The one that is asked first, whether it leads or not.
    cluster.members[0].kill();
    let (claim, took) = insist(&mut arbiter, &after(bid(2, 2), 1));
    println!("a member killed: claimed after {took:?}");
    assert_eq!(claim, Claim::Won);
    cluster.members[1].kill();
    let alone = arbiter.claim("kv", &after(bid(3, 3), 2));
    assert!(matches!(alone, Err(ArbiterError::Unreachable(_))), "{alone:?}");
    assert!(
        matches!(arbiter.holder("kv"), Err(ArbiterError::Unreachable(_))),
        "one member alone knows nothing"
    );
    cluster.run(1);
    let (claim, took) = insist(&mut arbiter, &after(bid(3, 3), 2));
    println!("a majority is back: claimed after {took:?}");
    assert_eq!(claim, Claim::Won);
    assert_eq!(arbiter.holder("kv").unwrap().unwrap().bid, after(bid(3, 3), 2));
}

#[test]
fn a_leader_paused_at_the_moment_of_the_claim_gives_one_winner() {
    let Some(cluster) = Cluster::start(3) else { return };
    let mut holder = 0;
    for round in 1..=3 {
        let leader = cluster.await_leader();
        let opened: Vec<_> = (1..=4).map(|node| (round * 10 + node, cluster.arbiter())).collect();
        let claims: Vec<(u64, Claim, Duration)> = std::thread::scope(|scope| {
            let claims: Vec<_> = opened
                .into_iter()
                .map(|(node, mut arbiter)| {
                    let bid = if round == 1 { bid(1, node) } else { after(bid(round, node), holder) };
                    scope.spawn(move || {
                        let (claim, took) = insist(&mut arbiter, &bid);
                        (node, claim, took)
                    })
                })
                .collect();
            cluster.members[leader].pause();
            claims.into_iter().map(|claim| claim.join().unwrap()).collect()
        });
        println!(
            "the leader paused: claims were decided after {:?}",
            claims.iter().map(|c| c.2).collect::<Vec<_>>()
        );
        let won: Vec<u64> = claims.iter().filter(|c| c.1 == Claim::Won).map(|c| c.0).collect();
        let [winner] = won[..] else { panic!("generation {round} was won by {won:?}") };
        for (node, claim, _) in &claims {
            let lost = Claim::Lost { to: NodeId(winner), keeps: Vec::new() };
            assert!(*node == winner || *claim == lost, "{node}: {claim:?}");
        }
        // The old leader wakes, and what it still had to do changes nothing.
        cluster.members[leader].resume();
        cluster.await_leader();
        let mut arbiter = cluster.arbiter();
        assert_eq!(arbiter.look("kv", lockstep::base::Generation(round)), Ok(NodeId(winner)));
        holder = winner;
    }
}

/// Claimants race for generation after generation while members are killed and come back.
#[test]
fn claimants_race_while_members_die_and_come_back() {
    const ROUNDS: u64 = 40;
    let Some(mut cluster) = Cluster::start(3) else { return };
    let claimants: Vec<_> = (1..=3).map(|node| (node, cluster.arbiter())).collect();
    let (reached, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let histories: Vec<BTreeMap<u64, u64>> = std::thread::scope(|scope| {
        let claims: Vec<_> = claimants
            .into_iter()
            .map(|(node, mut arbiter)| {
                let (reached, done) = (&reached, &done);
                scope.spawn(move || {
                    let mut history = BTreeMap::new();
                    let mut holder = None;
                    for generation in 1..=ROUNDS {
                        let bid = Bid { after: holder, ..bid(generation, node) };
                        let winner = match insist(&mut arbiter, &bid).0 {
                            Claim::Won => NodeId(node),
                            Claim::Lost { to, .. } => to,
                        };
                        history.insert(generation, winner.0);
                        holder = Some(winner);
                        reached.fetch_max(generation, Ordering::Relaxed);
                    }
                    done.store(true, Ordering::Relaxed);
                    history
                })
            })
            .collect();
        let mut victim = 0;
        let mut killed_at = 0;
        while !done.load(Ordering::Relaxed) {
            if reached.load(Ordering::Relaxed) >= killed_at + 8 {
                killed_at = reached.load(Ordering::Relaxed);
                cluster.members[victim].kill();
                std::thread::sleep(Duration::from_millis(300));
                cluster.run(victim);
                victim = (victim + 1) % 3;
                cluster.await_leader();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        claims.into_iter().map(|claim| claim.join().unwrap()).collect()
    });
    assert_eq!(histories[0].len() as u64, ROUNDS);
    assert!(histories.iter().all(|history| *history == histories[0]), "{histories:?}");
}

//! What must hold of any arbiter: one suite, run on each kind.

use std::sync::Barrier;

use lockstep::base::{Generation, NodeId};
use lockstep::ft::{Arbiter, ArbiterError, Bid, Claim};
use lockstep::host::arbiter::FileArbiter;

use super::etcd;

pub fn bid(generation: u64, node: u64) -> Bid {
    Bid {
        generation: Generation(generation),
        node: NodeId(node),
        keeps: Vec::new(),
        after: None,
        wherefrom: "here".into(),
    }
}

pub fn after(bid: Bid, node: u64) -> Bid {
    Bid { after: Some(NodeId(node)), ..bid }
}

fn lost(to: u64) -> Result<Claim, ArbiterError> {
    Ok(Claim::Lost { to: NodeId(to), keeps: Vec::new() })
}

/// Runs `question` on a directory and on an etcd of three nodes.
fn each_kind(question: impl Fn(&dyn Arbiter)) {
    let dir = tempfile::tempdir().unwrap();
    question(&FileArbiter::open(dir.path()).unwrap());
    if let Some(cluster) = etcd::Cluster::start(3) {
        question(&cluster.arbiter());
    }
}

#[test]
fn a_generation_is_claimed_once_and_remembered() {
    each_kind(|arbiter| {
        let (mut a, mut b) = (arbiter.another(), arbiter.another());
        assert_eq!(a.holder("kv"), Ok(None));
        assert_eq!(a.claim("kv", &bid(1, 1)), Ok(Claim::Won));
        assert_eq!(b.claim("kv", &bid(1, 2)), lost(1));
        assert_eq!(a.claim("kv", &bid(1, 1)), Ok(Claim::Won), "said again");
        let planned = Bid { keeps: vec![NodeId(1)], ..after(bid(2, 2), 1) };
        assert_eq!(b.claim("kv", &planned), Ok(Claim::Won));
        let late = a.claim("kv", &after(bid(2, 1), 1));
        assert_eq!(late, Ok(Claim::Lost { to: NodeId(2), keeps: vec![NodeId(1)] }));
        assert_eq!(a.claim("kv", &after(bid(3, 1), 2)), Ok(Claim::Won));
        let holder = b.holder("kv").unwrap().unwrap();
        assert_eq!((holder.bid, holder.ended), (after(bid(3, 1), 2), false));
        assert_eq!(
            (b.look("kv", Generation(2)), b.look("kv", Generation(3))),
            (Ok(NodeId(2)), Ok(NodeId(1)))
        );
    });
}

#[test]
fn vms_of_similar_names_know_nothing_of_each_other() {
    each_kind(|arbiter| {
        let mut arbiter = arbiter.another();
        for (n, vm) in ["kv", "k", "kv.ended", "kv-2", "g00000000000000000001"].into_iter().enumerate() {
            assert_eq!(arbiter.holder(vm), Ok(None), "{vm}");
            assert_eq!(arbiter.claim(vm, &bid(1, n as u64 + 1)), Ok(Claim::Won), "{vm}");
        }
        assert_eq!(arbiter.holder("kv").unwrap().unwrap().bid.node, NodeId(1));
    });
}

#[test]
fn an_end_is_noted_for_its_generation_only() {
    each_kind(|arbiter| {
        let mut arbiter = arbiter.another();
        assert_eq!(arbiter.claim("kv", &bid(1, 1)), Ok(Claim::Won));
        arbiter.end("kv", Generation(1), NodeId(1)).unwrap();
        arbiter.end("kv", Generation(1), NodeId(1)).unwrap();
        assert!(arbiter.holder("kv").unwrap().unwrap().ended);
        assert_eq!(arbiter.claim("kv", &after(bid(2, 2), 1)), Ok(Claim::Won));
        let holder = arbiter.holder("kv").unwrap().unwrap();
        assert_eq!((holder.bid.node, holder.ended), (NodeId(2), false));
    });
}

#[test]
fn a_generation_without_the_one_before_is_not_given_out() {
    each_kind(|arbiter| {
        let mut arbiter = arbiter.another();
        let forgetful =
            |claim: Result<Claim, ArbiterError>| matches!(claim, Err(ArbiterError::Forgetful { .. }));
        assert!(forgetful(arbiter.claim("kv", &after(bid(2, 1), 1))), "it has never heard of this vm");
        assert_eq!(arbiter.claim("kv", &bid(1, 1)), Ok(Claim::Won));
        assert!(forgetful(arbiter.claim("kv", &after(bid(3, 1), 1))), "it skips one");
        assert!(forgetful(arbiter.claim("kv", &after(bid(2, 2), 7))), "it comes after another's generation");
        assert!(matches!(arbiter.look("kv", Generation(2)), Err(ArbiterError::Forgetful { .. })));
        assert_eq!(arbiter.holder("kv").unwrap().unwrap().bid, bid(1, 1), "nothing of that has left a trace");
        assert_eq!(arbiter.claim("kv", &after(bid(2, 2), 1)), Ok(Claim::Won));
        // Nor does the arbiter name a holder to a node that knows another history.
        assert!(forgetful(arbiter.claim("kv", &after(bid(2, 2), 7))));
    });
}

#[test]
fn of_many_claimants_at_once_exactly_one_wins_each_generation() {
    const CLAIMANTS: u64 = 8;
    each_kind(|arbiter| {
        let mut holder = None;
        for generation in 1..=25 {
            let start = Barrier::new(CLAIMANTS as usize);
            let outcomes: Vec<(u64, Claim)> = std::thread::scope(|scope| {
                let claims: Vec<_> = (1..=CLAIMANTS)
                    .map(|node| {
                        let mut arbiter = arbiter.another();
                        let start = &start;
                        let bid = Bid { after: holder, ..bid(generation, node) };
                        scope.spawn(move || {
                            start.wait();
                            (node, arbiter.claim("kv", &bid).unwrap())
                        })
                    })
                    .collect();
                claims.into_iter().map(|claim| claim.join().unwrap()).collect()
            });
            let won: Vec<u64> =
                outcomes.iter().filter(|(_, claim)| *claim == Claim::Won).map(|(node, _)| *node).collect();
            let [winner] = won[..] else { panic!("generation {generation} was won by {won:?}") };
            for (node, claim) in outcomes {
                assert!(node == winner || Ok(claim.clone()) == lost(winner), "{node}: {claim:?}");
            }
            holder = Some(NodeId(winner));
        }
    });
}

#[test]
fn a_claim_is_as_large_as_its_claimant_is_talkative_and_no_larger() {
    each_kind(|arbiter| {
        let mut arbiter = arbiter.another();
        let talkative = Bid { wherefrom: "\"\\\u{7f}é\n".repeat(500), ..bid(1, 1) };
        assert_eq!(arbiter.claim("kv", &talkative), Ok(Claim::Won));
        assert_eq!(arbiter.holder("kv").unwrap().unwrap().bid, talkative);
    });
}

//! The arbiter: one claim of a generation succeeds.

use super::*;

const LOOK_EVERY_NS: u64 = 200 * MS;

impl Cluster<'_> {
    pub(super) fn claim(&mut self, slot: usize, generation: Generation, keeps: Vec<NodeId>, after: NodeId) {
        // A claimant knows the holder of the generation before.
        match self.claims.get(&Generation(generation.get() - 1)) {
            Some((before, _)) if *before != after && !Sabotage::ClaimShared.is_on() => {
                self.fail(format!(
                    "g{generation} is claimed after {after}'s generation, which was {before}'s"
                ));
            }
            Some(_) | None => {}
        }
        let node = self.slots[slot].node.as_ref().map_or(NodeId::ZERO, Node::id);
        let outcome = if self.arbiter_back_at > self.now_ns {
            Err(ArbiterError::Unreachable("the cluster's arbiter is away".into()))
        } else if Sabotage::ClaimShared.is_on() {
            self.claims.insert(generation, (node, keeps));
            Ok(Claim::Won)
        } else {
            match self.claims.entry(generation).or_insert((node, keeps)) {
                (to, _) if *to == node => Ok(Claim::Won),
                (to, keeps) => Ok(Claim::Lost { to: *to, keeps: keeps.clone() }),
            }
        };
        let is_lost = self.prng.chance(self.plan.claim_lost_permille, 1000);
        let outcome = match outcome {
            Ok(_) if is_lost => Err(ArbiterError::Unreachable("the answer was lost".into())),
            outcome => outcome,
        };
        self.note(|| format!("{slot}: claims g{generation}: {outcome:?}"));
        let after = if self.prng.chance(1, 4) { US } else { self.prng.between(100, 5000) * US };
        self.later(after, Happening::Decided { slot, node, generation, outcome });
    }

    /// Reports to a node which node holds the newest generation.
    pub(super) fn answer_holder(&mut self, slot: usize) {
        let seen = if self.arbiter_back_at > self.now_ns {
            Err(ArbiterError::Unreachable("the cluster's arbiter is away".into()))
        } else {
            Ok(self.claims.last_key_value().map(|(generation, (node, keeps))| {
                let after =
                    generation.get().checked_sub(1).and_then(|before| self.claims.get(&Generation(before)));
                let bid = Bid {
                    generation: *generation,
                    node: *node,
                    keeps: keeps.clone(),
                    after: after.map(|(holder, _)| *holder),
                    wherefrom: String::new(),
                };
                Holder { bid, ended: false }
            }))
        };
        let (epoch, after) = (self.slots[slot].epoch, self.prng.between(100, 5000) * US);
        self.later(after, Happening::Arrive { slot, epoch, event: Event::HolderSeen(seen) });
    }

    /// Reports to each node which node holds its generation.
    pub(super) fn look_at_arbiter(&mut self) {
        for slot in 0..self.slots.len() {
            self.tell_holder(slot);
        }
        self.switch_looks_at_arbiter();
        self.later(LOOK_EVERY_NS, Happening::LookAtArbiter);
    }

    pub(super) fn tell_holder(&mut self, slot: usize) {
        let generation = self.slots[slot].node.as_ref().and_then(Node::generation_and_holder);
        let Some((generation, _)) = generation else { return };
        let seen = match self.claims.get(&generation) {
            _ if self.arbiter_back_at > self.now_ns => {
                Err(ArbiterError::Unreachable("the cluster's arbiter is away".into()))
            }
            Some((holder, _)) => Ok(*holder),
            None => Err(ArbiterError::Unreachable("the generation is not known".into())),
        };
        let (epoch, after) = (self.slots[slot].epoch, self.prng.between(100, 5000) * US);
        self.later(after, Happening::Arrive { slot, epoch, event: Event::ArbiterSeen { generation, seen } });
    }
}

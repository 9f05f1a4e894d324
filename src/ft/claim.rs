//! A claim that a node has to win before it goes on: asked once, and again after a pause while the arbiter decides
//! nothing.
//!
//! A repeated claim is the same claim: an attempt whose answer was lost may have won.

use super::arbiter::{ArbiterError, Claim};
use super::command::Command;
use super::common::Common;
use crate::base::{Generation, NodeId};

/// A claim under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claiming {
    pub generation: Generation,
    /// As in [`Bid::keeps`](super::arbiter::Bid::keeps).
    pub keeps: Vec<NodeId>,
    /// As in [`Bid::after`](super::arbiter::Bid::after).
    pub after: NodeId,
    /// When to ask again, once an attempt has ended without a decision.
    pub retry_ns: Option<u64>,
}

impl Claiming {
    /// Asks for `generation`, which comes after one of node `after`'s.
    pub fn begin(common: &mut Common, generation: Generation, keeps: Vec<NodeId>, after: NodeId) -> Self {
        let claiming = Self { generation, keeps, after, retry_ns: None };
        claiming.ask(common);
        claiming
    }

    fn ask(&self, common: &mut Common) {
        let Self { generation, after, .. } = *self;
        common.commands.push(Command::Claim { generation, keeps: self.keeps.clone(), after });
    }

    /// Asks again if it is time.
    pub fn ask_again(&mut self, common: &mut Common, now_ns: u64) {
        if self.retry_ns.is_some_and(|at| now_ns >= at) {
            self.retry_ns = None;
            self.ask(common);
        }
    }

    /// What the arbiter has decided, by the outcome of an attempt at `generation`. None if that is of another claim, or
    /// no decision: that is reported, with what the node does meanwhile, and the claim is asked again.
    pub fn decided(
        &mut self,
        common: &mut Common,
        (generation, outcome): (Generation, Result<Claim, ArbiterError>),
        meanwhile: &str,
        now_ns: u64,
    ) -> Option<Claim> {
        if self.generation != generation {
            return None;
        }
        let trouble = outcome.as_ref().err().map(|error| format!("{meanwhile}: {error}"));
        if trouble.is_some() {
            self.retry_ns = Some(now_ns + common.settings.claim_retry_ns);
        }
        common.arbiter_is(trouble);
        outcome.ok()
    }

    /// When [`Claiming::ask_again`] has something to do.
    pub fn next_look_ns(&self) -> u64 {
        self.retry_ns.unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ft::Settings;
    use crate::ft::testing::shown;

    const ASKED: &str = "Claim { generation: g3, keeps: [n0000000000000004], after: n0000000000000002 }";

    #[test]
    fn a_claim_is_asked_once_and_again_only_after_no_decision_and_a_pause() {
        let mut common = Common::new(NodeId(1), "vm", Settings::default());
        let pause_ns = common.settings.claim_retry_ns;
        let mut claiming = Claiming::begin(&mut common, Generation(3), vec![NodeId(4)], NodeId(2));
        assert_eq!(shown(&mut common.commands), [ASKED]);
        claiming.ask_again(&mut common, u64::MAX);
        assert_eq!((common.commands.len(), claiming.next_look_ns()), (0, u64::MAX));
        let unreachable = || Err(ArbiterError::Unreachable("no route".into()));
        let decided = |common: &mut Common, claiming: &mut Claiming, generation, outcome| {
            claiming.decided(common, (Generation(generation), outcome), "waiting", 7)
        };
        assert_eq!(decided(&mut common, &mut claiming, 4, unreachable()), None);
        assert_eq!((common.commands.len(), claiming.next_look_ns()), (0, u64::MAX), "of another claim");
        assert_eq!(decided(&mut common, &mut claiming, 3, unreachable()), None);
        assert_eq!(shown(&mut common.commands), ["tell waiting: the arbiter cannot be reached: no route"]);
        assert_eq!(claiming.next_look_ns(), 7 + pause_ns);
        claiming.ask_again(&mut common, 6 + pause_ns);
        assert!(common.commands.is_empty());
        claiming.ask_again(&mut common, 7 + pause_ns);
        claiming.ask_again(&mut common, 8 + pause_ns);
        assert_eq!(shown(&mut common.commands), [ASKED]);
        assert_eq!(decided(&mut common, &mut claiming, 3, Ok(Claim::Won)), Some(Claim::Won));
        assert_eq!(shown(&mut common.commands), ["tell the arbiter answers again"]);
    }
}

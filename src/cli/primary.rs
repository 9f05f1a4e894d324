//! `lockstep primary`: a guest under fault tolerance.

use super::Failure;
use super::guest::GuestArgs;
use super::node::{self, Site};
use crate::base::{Generation, Icount, NodeId};
use crate::ft::{Arbiter, Bid, Boot, Claim, Holder, Node};
use crate::host::driver::{Driver, Wiring, draw_u64};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    guest: GuestArgs,
    #[command(flatten)]
    site: Site,
    /// `-` makes standard input the guest's console.
    #[arg(long, value_name = "-", value_parser = ["-"])]
    console: Option<String>,
    /// Begin a new life of the guest although an earlier one was never ended: its state is given up.
    #[arg(long)]
    fresh: bool,
}

pub fn run(args: &Args) -> Result<u8, Failure> {
    let machine = args.guest.boot()?;
    let site = &args.site;
    let (listener, mut arbiter) = site.open()?;
    let id = NodeId(draw_u64());
    let generation = claim_life(&mut arbiter, &site.vm, id, &site.wherefrom("primary"), args.fresh)?;
    let wiring = site.wiring("primary", listener, arbiter);
    let driver = Driver::new(Wiring { console_input: args.console.is_some(), ..wiring });
    let boot = Boot { machine, generation, life: draw_u64(), limit: Icount::MAX };
    let node = Node::primary(id, &site.vm, boot, site.settings(), driver.now_ns());
    node::live(driver, node, "primary", site.record.as_deref())
}

/// Claims the first generation of a new life. A life that was never ended may still be carried on
/// by somebody, or be all that is left of acknowledged writes: only `fresh` gives it up.
fn claim_life(
    arbiter: &mut dyn Arbiter,
    vm: &str,
    id: NodeId,
    wherefrom: &str,
    fresh: bool,
) -> Result<Generation, Failure> {
    let unreachable = |error| Failure::new(error).fix("check the --arbiter directory");
    let generation = match arbiter.holder(vm).map_err(unreachable)? {
        None => Generation(1),
        Some(holder) if holder.ended || fresh => holder.bid.generation.next(),
        Some(Holder { bid, .. }) => {
            return Err(Failure::new(format!(
                "the vm {vm:?} is alive as far as the arbiter knows: generation {} belongs to node {} ({})",
                bid.generation, bid.node, bid.wherefrom
            ))
            .fix(
                "to protect it, join it with `lockstep backup`; if no process of it is left, its state is lost: \
                 begin a new life with --fresh",
            ));
        }
    };
    let bid = Bid { generation, node: id, keeps: None, wherefrom: wherefrom.to_owned() };
    match arbiter.claim(vm, &bid).map_err(unreachable)? {
        Claim::Won => Ok(generation),
        Claim::Lost { to, .. } => {
            Err(Failure::new(format!("node {to} has just claimed generation {generation} of the vm {vm:?}"))
                .fix("another primary was started at the same time: join it with `lockstep backup`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::arbiter::FileArbiter;

    #[test]
    fn a_life_that_was_not_ended_is_not_overwritten_by_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut arbiter = FileArbiter::open(dir.path()).unwrap();
        let claim = |arbiter: &mut FileArbiter, id, fresh| claim_life(arbiter, "kv", NodeId(id), "", fresh);
        assert_eq!(claim(&mut arbiter, 1, false).unwrap(), Generation(1));
        let refused = claim(&mut arbiter, 2, false).unwrap_err();
        assert!(refused.fix.unwrap().contains("--fresh"));
        assert_eq!(claim(&mut arbiter, 2, true).unwrap(), Generation(2));
        arbiter.end("kv", Generation(2), NodeId(2)).unwrap();
        assert_eq!(claim(&mut arbiter, 3, false).unwrap(), Generation(3));
    }
}

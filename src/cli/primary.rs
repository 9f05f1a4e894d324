//! `lockstep primary`: a guest under fault tolerance.

use super::Failure;
use super::arg;
use super::disk::DiskArgs;
use super::guest::GuestArgs;
use super::node::{self, Site};
use crate::base::{Generation, Icount, NodeId};
use crate::ft::{Arbiter, Bid, Boot, Claim, Holder, Node};
use crate::host::arbiter::Place;
use crate::host::driver::Driver;
use crate::host::os::draw_u64;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    guest: GuestArgs,
    #[command(flatten)]
    site: Site,
    #[command(flatten)]
    disks: DiskArgs,
    /// Begin a new life of the guest although an earlier one was never ended: its state is given up.
    #[arg(long)]
    fresh: bool,
}

pub fn run(args: &Args) -> Result<u8, Failure> {
    let site = &args.site;
    let (listener, mut arbiter) = site.open()?;
    let id = NodeId(draw_u64());
    let (generation, last) = next_life(&mut *arbiter, &site.arbiter, &site.vm, args.fresh)?;
    let disks = args.disks.open(&site.vm, id, last.as_ref(), true)?;
    let machine = args.guest.boot(&site.vm, disks.specs.clone(), disks.board)?;
    // A node that crashes between the claim and its first request to the disks has written to none of them.
    let disks = disks.intend()?;
    let after = last.map(|last| last.bid.node);
    let bid = Bid { generation, node: id, keeps: Vec::new(), after, wherefrom: site.wherefrom("primary") };
    claim_life(&mut *arbiter, &site.arbiter, &site.vm, &bid)?;
    let driver = Driver::new(site.wiring("primary", listener, arbiter, disks)?)?;
    let boot = Boot { machine, generation, life: draw_u64(), limit: Icount::MAX };
    let mut node = Node::primary(id, &site.vm, boot, site.settings(), driver.now_ns());
    if !site.once {
        node.rejoins();
    }
    if site.record.is_none() {
        node.does_not_record();
    }
    node::live(driver, node, "primary", site.record.as_deref())
}

/// The first generation of a new life, and the one before it. A life that was never ended may still be
/// carried on by another node, or be all that is left of acknowledged writes: only `fresh` gives it up.
fn next_life(
    arbiter: &mut dyn Arbiter,
    place: &Place,
    vm: &str,
    fresh: bool,
) -> Result<(Generation, Option<Holder>), Failure> {
    match arbiter.holder(vm).map_err(|error| arg::arbiter_failed(place, error))? {
        None => Ok((Generation(1), None)),
        Some(last) if last.ended || fresh => Ok((last.bid.generation.next(), Some(last))),
        Some(Holder { bid, .. }) => Err(Failure::new(format!(
            "the vm {vm:?} is alive as far as the arbiter knows: generation {} belongs to node {} ({})",
            bid.generation, bid.node, bid.wherefrom
        ))
        .fix(
            "to protect it, join it with `lockstep backup`; if no process of it is left, its state is lost (its \
             disks are not): begin a new life with --fresh",
        )),
    }
}

/// Claims a new life's first generation.
fn claim_life(arbiter: &mut dyn Arbiter, place: &Place, vm: &str, bid: &Bid) -> Result<(), Failure> {
    match arbiter.claim(vm, bid).map_err(|error| arg::arbiter_failed(place, error))? {
        Claim::Won => Ok(()),
        Claim::Lost { to, .. } => Err(Failure::new(format!(
            "node {to} has just claimed generation {} of the vm {vm:?}",
            bid.generation
        ))
        .fix("another primary was started at the same time: join it with `lockstep backup`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::arbiter::FileArbiter;

    #[test]
    fn a_life_that_was_not_ended_is_not_overwritten_by_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::Dir(dir.path().to_owned());
        let mut arbiter = FileArbiter::open(dir.path()).unwrap();
        let claim = |arbiter: &mut FileArbiter, id, fresh| {
            let (generation, last) = next_life(arbiter, &place, "kv", fresh)?;
            assert_eq!(last.as_ref().map_or(Generation::ZERO, |last| last.bid.generation).next(), generation);
            let after = last.map(|last| last.bid.node);
            let bid =
                Bid { generation, node: NodeId(id), keeps: Vec::new(), after, wherefrom: String::new() };
            claim_life(arbiter, &place, "kv", &bid).map(|()| generation)
        };
        assert_eq!(claim(&mut arbiter, 1, false).unwrap(), Generation(1));
        let refused = claim(&mut arbiter, 2, false).unwrap_err();
        assert!(refused.fix.unwrap().contains("--fresh"));
        assert_eq!(claim(&mut arbiter, 2, true).unwrap(), Generation(2));
        arbiter.end("kv", Generation(2), NodeId(2)).unwrap();
        assert_eq!(claim(&mut arbiter, 3, false).unwrap(), Generation(3));
    }
}

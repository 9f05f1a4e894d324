//! `lockstep primary`: a guest under fault tolerance.

use std::path::Path;

use super::Failure;
use super::arg;
use super::disk::DiskArgs;
use super::guest::GuestArgs;
use super::node::{self, Site};
use super::reopen::Reopened;
use crate::base::{Generation, Icount, NodeId};
use crate::ft::{Ack, Arbiter, Bid, Boot, Claim, GIVEN_MAX, Holder, Node, Settings};
use crate::host::arbiter::Place;
use crate::host::driver::Driver;
use crate::host::os::draw_u64;

#[derive(clap::Args)]
#[command(
    after_help = "With --store and without a guest the node goes on from what the store holds: if another node \
                        carries the guest on, it joins that; if another must hold more, it waits and says for whom."
)]
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
    /// When an entry of the log counts, and the output behind it may leave: in the memory of all nodes that count
    /// (`memory`: a loss of all nodes at once loses what was acknowledged last), or synced in the stores of all of them
    /// (`disk`, which takes as long as a disk takes) [default: memory; going on from a store: as before].
    #[arg(long, value_name = "memory|disk")]
    ack: Option<Ack>,
}

pub fn run(args: &Args) -> Result<u8, Failure> {
    match (args.site.store.there(), args.guest.is_named()) {
        (Some(dir), false) => go_on(args, dir),
        (Some(dir), true) if !args.fresh => Err(Failure::new(format!(
            "the store {} holds a life of a guest already, and a guest is named",
            dir.display()
        ))
        .fix(
            "leave the guest out to go on from the store; give another --store for another guest; or --fresh to begin a \
             new life and give up what the store holds",
        )),
        (None, false) if args.site.store.store.is_some() => Err(Failure::new("no guest, and no store to go on from").fix(
            "name a guest to begin its life, or give the --store of a life that goes on",
        )),
        _ => begin(args),
    }
}

/// Begins a life of the guest.
fn begin(args: &Args) -> Result<u8, Failure> {
    let site = &args.site;
    site.store.prepare()?;
    let (listener, mut arbiter) = site.open()?;
    let id = NodeId(draw_u64());
    let ack = args.ack.unwrap_or_default();
    if ack == Ack::Disk && site.store.store.is_none() {
        return Err(Failure::new("--ack disk needs a store")
            .fix("give this node, and each of its backups, a --store"));
    }
    let (generation, last) = next_life(&mut *arbiter, &site.arbiter, &site.vm, args.fresh)?;
    let disks = args.disks.open(&site.vm, id, last.as_ref(), true)?;
    let machine = args.guest.boot(&site.vm, disks.specs.clone(), disks.board)?;
    // A node that crashes between the claim and its first request to the disks has written to none of them.
    let disks = disks.intend()?;
    let after = last.map(|last| last.bid.node);
    let bid = Bid { generation, node: id, keeps: Vec::new(), after, wherefrom: site.wherefrom("primary") };
    claim_life(&mut *arbiter, &site.arbiter, &site.vm, &bid)?;
    let driver = Driver::new(site.wiring("primary", listener, arbiter, disks, site.store.place())?)?;
    let boot = Boot { machine, generation, life: draw_u64(), limit: Icount::MAX };
    let settings = Settings { ack, ..site.settings() };
    let node = Node::primary(id, &site.vm, boot, settings, driver.now_ns());
    live(args, driver, node)
}

/// Goes on from the store in `dir`.
fn go_on(args: &Args, dir: &Path) -> Result<u8, Failure> {
    let site = &args.site;
    site.records_no_restart()?;
    let mut reopened = site.store.reopen(dir, &site.vm).map_err(|refusal| refusal.failure)?;
    let (listener, mut arbiter) = site.open()?;
    if let Some(ack) = args.ack {
        reopened.restart.ack = ack;
    }
    let last = arbiter.holder(&site.vm).map_err(|error| arg::arbiter_failed(&site.arbiter, error))?;
    if let Some(Holder { bid, ended: true }) = &last {
        return Err(Failure::new(format!(
            "the guest of the vm {:?} has ended, in generation {}",
            site.vm, bid.generation
        ))
        .fix("name a guest to begin another life, with another --store or with --fresh"));
    }
    let id = NodeId(draw_u64());
    reopened.is_known_as(id)?;
    let Reopened { place, restart } = reopened;
    let known = place.replica.known.iter().take(GIVEN_MAX).cloned().collect();
    let disks = args.disks.reopen(&site.vm, id, last.as_ref(), &restart)?;
    let driver = Driver::new(site.wiring("primary", listener, arbiter, disks, Some(place))?)?;
    let node = Node::restarting(id, &site.vm, restart, known, site.settings(), driver.now_ns());
    live(args, driver, node)
}

fn live(args: &Args, driver: Driver, mut node: Node) -> Result<u8, Failure> {
    let site = &args.site;
    site.instruct(&mut node);
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

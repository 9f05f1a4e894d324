//! `lockstep backup`: joins a primary, follows it, and takes over when it is gone.

use std::path::{Path, PathBuf};

use super::disk::DiskArgs;
use super::guest::GuestArgs;
use super::node::{self, Site};
use super::reopen::{Refusal, Reopened};
use super::{Failure, arg};
use crate::base::NodeId;
use crate::ft::{GIVEN_MAX, Node};
use crate::host::driver::Driver;
use crate::host::os::draw_u64;
use crate::host::say::say;
use crate::host::store;

#[derive(clap::Args)]
#[command(
    after_help = "A backup gets its machine from its primary. A guest that is named here, as to the primary, \
                        is what it insists on: it does not join another."
)]
pub struct Args {
    #[command(flatten)]
    site: Site,
    #[command(flatten)]
    guest: GuestArgs,
    #[command(flatten)]
    disks: DiskArgs,
    /// The --listen addresses of the nodes that may be the primary, separated by commas or repeated. They are
    /// tried in turn, and so are those that other nodes report.
    #[arg(long, value_name = "ADDR[,ADDR...]", value_delimiter = ',', required = true)]
    primary: Vec<String>,
    /// How long to look for a primary that does not answer yet, or has no place for a backup yet, in seconds. A node
    /// that has counted once, and lost its place, looks for as long as it takes.
    #[arg(long, default_value_t = 5, value_name = "S", value_parser = clap::value_parser!(u64).range(..=86_400))]
    wait: u64,
}

pub fn run(args: &Args) -> Result<u8, Failure> {
    let site = &args.site;
    check(&args.primary)?;
    let expects = args.guest.described()?;
    let (id, addresses, wait_ns) = (NodeId(draw_u64()), args.primary.clone(), args.wait * 1_000_000_000);
    let mut there = site.store.there();
    if let (Some(_), Some(disk)) = (there, args.disks.partial()) {
        say!(
            "lockstep: the disk {} holds only part of a copy: this node gets the state and the log anew",
            disk.display()
        );
        there = None;
    }
    if let Some(dir) = there.filter(|dir| store::is_distrusted(dir)) {
        say!(
            "lockstep: the node of the store {} has diverged: this node gets the state and the log anew",
            dir.display()
        );
        there = None;
    }
    let reopened = there.map(|dir| reopen(args, dir)).transpose()?.flatten();
    match reopened {
        Some(_) => site.records_no_restart()?,
        None => site.store.prepare()?,
    }
    let (listener, mut arbiter) = site.open()?;
    let (driver, mut node) = match reopened {
        Some(mut reopened) => {
            let last = arbiter.holder(&site.vm).map_err(|error| arg::arbiter_failed(&site.arbiter, error))?;
            reopened.is_known_as(id)?;
            let Reopened { place, mut restart } = reopened;
            let disks = args.disks.reopen(&site.vm, id, last.as_ref(), &restart)?;
            restart.wait_ns = wait_ns;
            let driver = Driver::new(site.wiring("backup", listener, arbiter, disks, Some(place))?)?;
            let node = Node::restarting(id, &site.vm, restart, addresses, site.settings(), driver.now_ns());
            (driver, node)
        }
        None => {
            let disks = args.disks.to_join()?;
            let place = site.store.place();
            let driver = Driver::new(site.wiring("backup", listener, arbiter, disks, place)?)?;
            let node = Node::seeking(id, &site.vm, addresses, wait_ns, site.settings(), driver.now_ns());
            (driver, node)
        }
    };
    site.instruct(&mut node);
    if let Some(config) = expects {
        node.expects(config);
    }
    node::live(driver, node, "backup", site.record.as_deref())
}

/// Opens the store that is there. One that cannot be used is put aside: what it held comes from another node.
fn reopen(args: &Args, dir: &Path) -> Result<Option<Reopened>, Failure> {
    let failure = match args.site.store.reopen(dir, &args.site.vm) {
        Ok(reopened) => return Ok(Some(reopened)),
        Err(Refusal { failure, is_damage: false }) => return Err(failure),
        Err(Refusal { failure, .. }) => failure,
    };
    let mut aside = dir.as_os_str().to_owned();
    aside.push(".damaged");
    let aside = PathBuf::from(aside);
    say!("lockstep: {}", failure.what);
    std::fs::rename(dir, &aside).map_err(|why| {
        Failure::new(format!("cannot put the store aside as {}: {why}", aside.display()))
            .fix("move it away by hand: this node gets the state anew from another one")
    })?;
    say!("lockstep: it is put aside as {}; this node gets the state and the log anew", aside.display());
    Ok(None)
}

/// The addresses as they can be tried.
fn check(addresses: &[String]) -> Result<(), Failure> {
    const FIX: &str = "give the --listen addresses of the primary and of the nodes that may become it";
    if addresses.len() > GIVEN_MAX {
        return Err(Failure::new(format!(
            "--primary names {} addresses; {GIVEN_MAX} are the most",
            addresses.len()
        ))
        .fix(FIX));
    }
    match addresses.iter().find(|address| !address.contains(':')) {
        Some(bad) => Err(Failure::new(format!("--primary {bad:?} is no address with a port")).fix(FIX)),
        None => Ok(()),
    }
}

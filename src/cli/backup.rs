//! `lockstep backup`: joins a primary, follows it, and takes over when it is gone.

use super::Failure;
use super::disk::DiskArgs;
use super::guest::GuestArgs;
use super::node::{self, Site};
use crate::base::NodeId;
use crate::ft::{GIVEN_MAX, Node};
use crate::host::driver::Driver;
use crate::host::os::draw_u64;

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
    let disks = args.disks.to_join()?;
    let (listener, arbiter) = site.open()?;
    let driver = Driver::new(site.wiring("backup", listener, arbiter, disks)?)?;
    let (id, addresses, wait_ns) = (NodeId(draw_u64()), args.primary.clone(), args.wait * 1_000_000_000);
    let mut node = Node::seeking(id, &site.vm, addresses, wait_ns, site.settings(), driver.now_ns());
    if !site.once {
        node.rejoins();
    }
    if let Some(config) = expects {
        node.expects(config);
    }
    if site.record.is_none() {
        node.does_not_record();
    }
    node::live(driver, node, "backup", site.record.as_deref())
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

//! `lockstep backup`: joins a primary, follows it, and takes over when it is gone.

use std::time::{Duration, Instant};

use super::Failure;
use super::disk::DiskArgs;
use super::guest::GuestArgs;
use super::node::{self, Site};
use crate::base::NodeId;
use crate::ft::{LinkId, Node};
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
    /// The primary's --listen address.
    #[arg(long, value_name = "ADDR")]
    primary: String,
    /// How long to wait for a primary that does not answer yet, in seconds.
    #[arg(long, default_value_t = 5, value_name = "S", value_parser = clap::value_parser!(u64).range(..=86_400))]
    wait: u64,
}

pub fn run(args: &Args) -> Result<u8, Failure> {
    let site = &args.site;
    let expects = args.guest.described()?;
    let disks = args.disks.to_join()?;
    let (listener, arbiter) = site.open()?;
    let mut driver = Driver::new(site.wiring("backup", listener, arbiter, disks)?);
    let link = connect(&mut driver, args)?;
    let mut node = Node::backup(NodeId(draw_u64()), &site.vm, link, site.settings(), driver.now_ns());
    if let Some(config) = expects {
        node.expects(config);
    }
    if site.record.is_none() {
        node.does_not_record();
    }
    node::live(driver, node, "backup", site.record.as_deref())
}

fn connect(driver: &mut Driver, args: &Args) -> Result<LinkId, Failure> {
    let until = Instant::now() + Duration::from_secs(args.wait);
    loop {
        match driver.connect(&args.primary) {
            Ok(link) => return Ok(link),
            Err(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(50)),
            Err(error) => {
                return Err(Failure::new(format!(
                    "the primary at {} does not answer: {error}",
                    args.primary
                ))
                .fix("start it with `lockstep primary`, and give its --listen address as --primary"));
            }
        }
    }
}

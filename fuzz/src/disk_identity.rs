//! The text beside a disk's file, and what is concluded from it.

use std::path::Path;

use lockstep::base::{Generation, NodeId};
use lockstep::ft::{Bid, Holder};
use lockstep::host::disk::Claimant;
use lockstep::host::disk::identity::{Identity, Role, Stamp};

pub fn run(data: &[u8]) {
    let Ok(identity) = Identity::parse(data) else { return };
    let text = identity.to_text();
    assert_eq!(Identity::parse(&text).as_ref(), Ok(&identity), "what is written is read back");
    let disk = Path::new("disk.img");
    let stamp = Stamp { bytes: 4096, inode: 5, modified_ns: 6 };
    let stamps = [identity.stamp, stamp];
    for vm in ["db", identity.vm.as_str()] {
        for generation in [Generation::ZERO, Generation(3), identity.generation] {
            for node in [NodeId(1), identity.node] {
                let bid = Bid { generation, node, keeps: Vec::new(), after: None, wherefrom: String::new() };
                let last = Holder { bid, ended: false };
                for (found, fault_tolerant) in stamps.into_iter().flat_map(|s| [(s, false), (s, true)]) {
                    let claimant =
                        Claimant { vm, node: NodeId(9), last: Some(&last), replica: None, fault_tolerant };
                    match identity.check_boot(disk, &claimant, found) {
                        Ok(told) => {
                            assert!(identity.role != Role::Behind, "half a copy is booted: {identity:?}");
                            assert!(told.is_none() || found != identity.stamp, "{told:?} of {identity:?}");
                        }
                        Err(error) => assert!(!error.line().is_empty()),
                    }
                }
            }
        }
        assert_eq!(identity.check_join(disk, vm).is_ok(), vm == identity.vm);
    }
}

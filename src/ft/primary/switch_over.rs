//! The planned change of places: the guest stands still at the entry `SwitchOver` until the backup that it names has
//! begun a generation of its own.

use super::Primary;
use crate::base::Seq;
use crate::ft::command::Halt;
use crate::ft::common::Common;
use crate::ft::handover::{Follows, Next, Yield};
use crate::ft::link::LinkId;
use crate::ft::message::Message;
use crate::log;

/// A planned switch-over under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Switching {
    /// The backup that is to be primary.
    pub to: LinkId,
    /// The tool that asked for it; none when this node gives up its place by itself.
    pub asked_by: Option<LinkId>,
    /// The entry `SwitchOver`, once it is written: the guest is stopped there.
    pub entry: Option<Seq>,
}

impl Primary {
    pub(super) fn ask_switch_over(&mut self, common: &mut Common, link: LinkId) {
        if !self.counting().any(|_| true) {
            common.refuse(link, "there is no backup that counts: start one with `lockstep backup`");
        } else if !self.begin_switch_over(Some(link)) {
            common.refuse(link, "a switch-over or the guest's end is under way");
        }
    }

    /// Whether a switch-over began: to the backup that holds most of the log, of several the first.
    fn begin_switch_over(&mut self, asked_by: Option<LinkId>) -> bool {
        if self.switching.is_some() || self.claiming.is_some() || self.ended.is_some() {
            return false;
        }
        let mut heir = None;
        for follower in self.counting() {
            if heir.is_none_or(|(acked, _)| follower.acked > acked) {
                heir = Some((follower.acked, follower.link));
            }
        }
        let Some((_, to)) = heir else { return false };
        self.switching = Some(Switching { to, asked_by, entry: None });
        true
    }

    /// Hands the guest to a backup when this node's disk has failed: the backup has a disk of its own, which
    /// does the request anew. A node that gives up its place so leaves ([`Primary::into_follower`]), and does not
    /// come back by itself: two failing disks do not hand the guest to and fro.
    pub(super) fn give_up_place_if_disk_failed(&mut self, common: &mut Common) {
        let Some((disk, tag)) = self.disks.failed() else { return };
        if self.begin_switch_over(None)
            && let Some(heir) = self.switching.and_then(|switching| self.followers.get(&switching.to))
        {
            common.tell(format!(
                "disk {disk} of this node failed request {tag}: the backup {} goes on with its own, and this node leaves",
                heir.node
            ));
        }
    }

    /// Writes the entry at which the guest stops, once a switch-over has begun.
    pub(super) fn write_switch_over(&mut self, common: &mut Common, now_ns: u64) {
        let Some(Switching { to, entry: None, .. }) = self.switching else { return };
        let to = self.followers.get(&to).map(|heir| heir.node);
        self.take_outputs(common);
        self.recorder.record_digest();
        let seq = self.recorder.record(log::Event::SwitchOver { to });
        self.flush(common, now_ns, false);
        if let Some(switching) = &mut self.switching {
            switching.entry = Some(seq);
        }
    }

    pub(super) fn standing_for_switch_over(&self) -> bool {
        self.switching.is_some_and(|switching| switching.entry.is_some())
    }

    /// A follower sends log: it has taken over as planned, and this node follows from where it stands.
    pub(super) fn generation_of_heir(
        &mut self,
        common: &mut Common,
        link: LinkId,
        bytes: Vec<u8>,
        now_ns: u64,
    ) -> Next {
        let Some(node) = self.followers.get(&link).map(|follower| follower.node) else { return Next::Stay };
        let Some(Switching { asked_by, entry: Some(_), .. }) = self.switching.filter(|s| s.to == link) else {
            self.lose(common, link, "it sent log out of turn");
            return Next::Stay;
        };
        if !self.gate.is_empty() {
            self.lose(common, link, "it took over before it had acknowledged everything");
            return Next::Stay;
        }
        Next::Yield(Yield { link, node, asked_by, log: bytes, now_ns })
    }

    /// Stops being the primary: the machine is stopped at `SwitchOver`, and follows from there.
    pub fn into_follower(mut self, common: &mut Common, to: &Yield) -> Result<Follows, Halt> {
        if let Some((disk, tag)) = self.disks.failed() {
            let why = format!("disk {disk} of the old primary failed request {tag}");
            common.send(to.link, Message::Bye { why });
            if let Some(link) = to.asked_by {
                common.refuse(link, "switched over, but the old primary left: its disk has failed");
            }
            return Err(Halt::DiskFailed { disk, tag });
        }
        // The others look for the new primary.
        self.followers.remove(&to.link);
        for link in self.followers.keys() {
            common.put_off(*link, format!("this node handed the guest to node {}", to.node));
        }
        let (mut machine, seq_next) = self.recorder.into_parts();
        let requests = machine.take_disk_requests();
        debug_assert!(requests.is_empty(), "a stopped guest issues no requests");
        let ticks = self.clock.ticks(to.now_ns).max(machine.time());
        Ok(Follows {
            machine,
            seq_next,
            generation: self.generation,
            life: self.life,
            ticks,
            console_released: self.console_released,
            disks: self.disks.into_left(),
        })
    }
}

//! `--disk FILE[,ro][,overlay[=FILE]][,serial=NAME][,slot=N]`, for commands that run a guest.

use std::path::{Path, PathBuf};

use super::Failure;
use crate::base::NodeId;
use crate::devices::disk::{DISKS_MAX, DiskSpec};
use crate::ft::{Holder, Restart};
use crate::host::disk::identity::{Identity, Role};
use crate::host::disk::open::open_boot;
use crate::host::disk::{Claimant, DiskError, DiskPlace, Disks, OverlayPlace};
use crate::host::say::say;
use crate::machine::BoardModel;
use crate::machine::config::DISK_SERIAL_BYTES_MAX;
use crate::machine::map::VIRTIO_SLOTS;

/// The same for `run`, `primary` and `backup`.
#[derive(clap::Args, Clone, Default)]
pub struct DiskArgs {
    /// A disk of the guest: a raw image; repeat it for more. `ro` forbids writes, `overlay` writes to a
    /// temporary file instead, `overlay=FILE` to that file. A backup's is made if it is missing. `slot=N` plugs
    /// it into virtio slot N, 0 to 7, at 0x10001000 + N * 0x1000 with interrupt N + 1 (a device that is there
    /// makes room); a backup's slots are its primary's.
    #[arg(long = "disk", value_name = "FILE[,ro][,overlay[=FILE]][,serial=NAME][,slot=N]", value_parser = place)]
    disks: Vec<DiskPlace>,
    /// Use the disks as they are, although they are another vm's, older than this vm's last generation, or
    /// replaced: what that guards is given up.
    #[arg(long)]
    disk_reset: bool,
}

impl DiskArgs {
    /// The disks that are named, if a machine can have them all.
    pub fn places(&self) -> Result<Vec<DiskPlace>, Failure> {
        if self.disks.len() > DISKS_MAX {
            return Err(Failure::new(format!(
                "{} disks are named; a machine has at most {DISKS_MAX}",
                self.disks.len()
            ))
            .fix("put what is on them on fewer disks"));
        }
        let reset = self.disk_reset;
        Ok(self.disks.iter().map(|place| DiskPlace { reset, ..place.clone() }).collect())
    }

    /// The board with the disks where they are wanted.
    fn board(&self) -> Result<BoardModel, Failure> {
        let slots: Vec<Option<u8>> = self.disks.iter().map(|place| place.slot).collect();
        BoardModel::with_disks(&slots)
            .map_err(|error| Failure::new(error).fix("choose another slot= for one of the disks"))
    }

    /// A joiner's: opened when the primary has described its disks.
    pub fn to_join(&self) -> Result<Disks, Failure> {
        Ok(Disks { open: Vec::new(), places: self.places()? })
    }

    /// Opens and locks the disks for a new life of `vm`, whose last generation was `last`'s.
    pub fn open(
        &self,
        vm: &str,
        node: NodeId,
        last: Option<&Holder>,
        fault_tolerant: bool,
    ) -> Result<Booted, Failure> {
        self.open_as(&Claimant { vm, node, last, fault_tolerant, replica: None })
    }

    fn open_as(&self, claimant: &Claimant) -> Result<Booted, Failure> {
        // The places are for a node that loses its role, and joins the next primary.
        let places = self.places()?.into_iter().map(|place| DiskPlace { reset: false, ..place }).collect();
        let disks = Disks { open: Vec::new(), places };
        let mut booted = Booted { disks, specs: Vec::new(), board: self.board()? };
        for (number, place) in self.places()?.into_iter().enumerate() {
            let disk = open_boot(&place, number as u8, claimant).map_err(failure)?;
            for note in &disk.notes {
                say!("lockstep: {note}");
            }
            booted.specs.push(disk.spec(place.serial(number)));
            booted.disks.open.push(disk);
        }
        Ok(booted)
    }
}

impl DiskArgs {
    /// A disk that holds only part of a copy: the state transfer to it was cut off.
    pub fn partial(&self) -> Option<&Path> {
        let file = |place: &'_ DiskPlace| match &place.overlay {
            OverlayPlace::File(file) => file.clone(),
            OverlayPlace::None | OverlayPlace::Temporary => place.file.clone(),
        };
        let is_partial = |place: &&DiskPlace| {
            Identity::read(&file(place))
                .is_ok_and(|known| known.is_some_and(|known| known.role == Role::Behind))
        };
        self.disks.iter().find(is_partial).map(|place| place.file.as_path())
    }

    /// Opens and locks the disks of a machine that goes on from this replica's store; `last` holds the vm's newest
    /// generation.
    pub fn reopen(
        &self,
        vm: &str,
        node: NodeId,
        last: Option<&Holder>,
        restart: &Restart,
    ) -> Result<Disks, Failure> {
        let replica = &restart.standing;
        // Whoever may not go on alone joins another node, and its disks are as new as its log.
        let last = last.filter(|last| replica.may_go_on_after(&last.bid));
        let booted =
            self.open_as(&Claimant { vm, node, last, fault_tolerant: true, replica: Some(&replica.nodes) })?;
        let wanted = &restart.machine.config().disks;
        if booted.specs != *wanted {
            return Err(Failure::new(format!(
                "the guest in the store has {} disks, of {:?} sectors; named here are {}, of {:?}",
                wanted.len(),
                wanted.iter().map(|spec| spec.sectors).collect::<Vec<_>>(),
                booted.specs.len(),
                booted.specs.iter().map(|spec| spec.sectors).collect::<Vec<_>>()
            ))
            .fix("name the disks as this node had them, in the same order, with the same options"));
        }
        booted.intend()
    }
}

/// Disks that are open and locked, and not used yet.
pub struct Booted {
    pub disks: Disks,
    /// What the machine learns of them.
    pub specs: Vec<DiskSpec>,
    /// Where they are plugged in.
    pub board: BoardModel,
}

impl Booted {
    /// Notes beside the disks which node is about to write to them; comes before the claim to a generation.
    pub fn intend(mut self) -> Result<Disks, Failure> {
        for disk in &mut self.disks.open {
            disk.intend().map_err(failure)?;
        }
        Ok(self.disks)
    }
}

fn failure(error: DiskError) -> Failure {
    let fix = error.fix();
    Failure::new(error).fix(fix)
}

/// `FILE[,ro][,overlay[=FILE]][,serial=NAME][,slot=N]`
fn place(text: &str) -> Result<DiskPlace, String> {
    let mut words = text.split(',');
    let file = words.next().unwrap_or_default();
    if file.is_empty() {
        return Err("a disk begins with the name of its file".into());
    }
    let mut place = DiskPlace {
        file: PathBuf::from(file),
        read_only: false,
        overlay: OverlayPlace::None,
        serial: None,
        slot: None,
        reset: false,
    };
    for word in words {
        let (key, value) = word.split_once('=').map_or((word, None), |(key, value)| (key, Some(value)));
        match (key, value) {
            ("ro", None) if !place.read_only => place.read_only = true,
            ("overlay", None) if place.overlay == OverlayPlace::None => {
                place.overlay = OverlayPlace::Temporary
            }
            ("overlay", Some(file)) if place.overlay == OverlayPlace::None && !file.is_empty() => {
                if Path::new(file) == place.file {
                    return Err("an overlay is another file than its base".into());
                }
                place.overlay = OverlayPlace::File(PathBuf::from(file));
            }
            ("serial", Some(name)) if place.serial.is_none() => place.serial = Some(serial(name)?),
            ("slot", Some(number)) if place.slot.is_none() => place.slot = Some(slot(number)?),
            ("ro", Some(_)) => return Err("ro goes with no other option".into()),
            ("serial" | "overlay" | "slot", _) | ("ro", None) => {
                return Err(format!("{word:?} is incomplete, or given twice"));
            }
            _ => {
                return Err(format!(
                    "{word:?} is none of ro, overlay, overlay=FILE, serial=NAME, slot=N (a file's name cannot hold a comma here)"
                ));
            }
        }
    }
    if place.read_only && place.overlay != OverlayPlace::None {
        return Err("ro forbids writes, overlay redirects them: choose one".into());
    }
    Ok(place)
}

fn slot(number: &str) -> Result<u8, String> {
    let slot = number.parse().ok().filter(|slot| u64::from(*slot) < VIRTIO_SLOTS);
    slot.ok_or_else(|| format!("{number:?} is no virtio slot: they are 0 to {}", VIRTIO_SLOTS - 1))
}

fn serial(name: &str) -> Result<String, String> {
    if name.is_empty()
        || name.len() > DISK_SERIAL_BYTES_MAX
        || !name.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err(format!("a serial is 1 to {DISK_SERIAL_BYTES_MAX} visible ASCII characters"));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_read_as_people_write_them() {
        let plain = place("root.img").unwrap();
        assert_eq!(
            (plain.file.to_str(), plain.read_only, &plain.overlay, plain.serial(2)),
            (Some("root.img"), false, &OverlayPlace::None, "disk2".into())
        );
        let all = place("a/b.img,overlay=c.over,serial=root").unwrap();
        assert_eq!(all.overlay, OverlayPlace::File("c.over".into()));
        assert_eq!((all.serial(0), all.read_only), ("root".into(), false));
        assert!(place("x,serial=y,ro").unwrap().read_only);
        assert_eq!(place("x,overlay").unwrap().overlay, OverlayPlace::Temporary);
        assert_eq!(place("x=y").unwrap().file, Path::new("x=y"));
        assert_eq!(
            (plain.slot, place("x,slot=0").unwrap().slot, place("x,slot=7").unwrap().slot),
            (None, Some(0), Some(7))
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in [
            "",
            ",ro",
            "x,",
            "x,rw",
            "x,ro,ro",
            "x,ro=1",
            "x,overlay=",
            "x,overlay,overlay=y",
            "x,overlay=x",
            "x,ro,overlay",
            "x,serial",
            "x,serial=",
            "x,serial=a b",
            "x,serial=abcdefghijklmnopqrstu",
            "x,serial=é",
            "x,serial=a,serial=b",
            "x,overlay=a,b",
            "x,slot",
            "x,slot=",
            "x,slot=8",
            "x,slot=-1",
            "x,slot=256",
            "x,slot=1,slot=2",
        ] {
            assert!(place(bad).is_err(), "{bad:?}");
        }
    }
}

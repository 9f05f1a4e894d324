//! `run --from STORE[@POINT]`: a new life of a guest, from a point in its past.
//!
//! The new life has the guest's state of then, and nothing else of the old one: entropy and time of day are this
//! host's, its network is off unless a switch is named, and its disks are copies that the user names.

use std::path::{Path, PathBuf};

use super::Failure;
use super::disk::{Booted, DiskArgs};
use super::past::{self, Past, When};
use super::store::s;
use crate::base::NodeId;
use crate::devices::disk::{DiskSpec, SECTOR_BYTES};
use crate::host::os::fill_entropy;
use crate::host::say::say;
use crate::machine::{Input, Machine, Request};

/// Where a new life begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    dir: PathBuf,
    when: Option<When>,
}

/// `STORE`, or `STORE@POINT`.
pub fn from(text: &str) -> Result<Origin, String> {
    let whole = || Origin { dir: PathBuf::from(text), when: None };
    let Some((dir, point)) = text.rsplit_once('@').filter(|(dir, _)| !dir.is_empty()) else {
        return Ok(whole());
    };
    match past::when(point) {
        Ok(when) => Ok(Origin { dir: PathBuf::from(dir), when: Some(when) }),
        // A directory may have such a name.
        Err(_) if Path::new(text).exists() => Ok(whole()),
        Err(why) => Err(why),
    }
}

/// The machine where the new life begins, and its disks, open and locked.
pub fn fork(from: &Origin, disks: &DiskArgs, vm: &str, id: NodeId) -> Result<(Machine, Booted), Failure> {
    let past = Past::open(&from.dir, "run")?;
    let point = past.locate(from.when.as_ref())?;
    let machine = past.restore(point.from)?;
    past.tell_start(&point);
    let had = machine.config().disks.clone();
    let given = disks.places()?.len();
    if given != had.len() {
        return Err(other_disks(&had, given));
    }
    let booted = disks.open(vm, id, None, false)?;
    for (number, (had, given)) in had.iter().zip(&booted.specs).enumerate() {
        check_disk(number, had, given, disks)?;
    }
    let mut machine = past.advance(machine, point)?;
    if let Some(exit) = machine.halted() {
        let what = format!("the guest has ended there, at {}, with {exit}", machine.icount());
        return Err(Failure::new(what).fix("name an earlier point: STORE@-10s, or a position"));
    }
    // What it said and was not taken is the old life's.
    machine.take_outputs();
    for Request::Entropy { len } in machine.requests() {
        let mut bytes = vec![0; len as usize];
        fill_entropy(&mut bytes);
        machine.deliver(Input::Entropy(bytes)).map_err(Failure::new)?;
    }
    say!("lockstep run: a new life of {:?} begins at {}", machine.config().guest, machine.icount());
    Ok((machine, booted))
}

/// The store has no disk's content.
fn other_disks(had: &[DiskSpec], given: usize) -> Failure {
    let sizes: Vec<String> =
        had.iter().map(|disk| format!("{} bytes", disk.sectors * SECTOR_BYTES)).collect();
    match had.len() {
        0 => Failure::new(format!("the guest has no disk, and {given} are given")).fix("leave --disk out"),
        count => Failure::new(format!(
            "the guest has {count} disk{} ({}), {given} are given, and a store has no disk's content",
            s(count),
            sizes.join(", ")
        ))
        .fix("name a copy of each, in their order, from that point of time: --disk COPY, or --disk IMAGE,overlay"),
    }
}

/// A guest goes on with a disk like the one that it had.
fn check_disk(number: usize, had: &DiskSpec, given: &DiskSpec, disks: &DiskArgs) -> Result<(), Failure> {
    let differs = |what: &str, had: &str, given: &str| {
        let what = format!("disk {number} of the guest {what} {had}, the one given {given}");
        Err(Failure::new(what).fix("name a copy of the disk that the guest had"))
    };
    if had.sectors != given.sectors {
        let bytes = |disk: &DiskSpec| (disk.sectors * SECTOR_BYTES).to_string();
        return differs("has bytes:", &bytes(had), &bytes(given));
    }
    if had.read_only != given.read_only {
        let mode = |disk: &DiskSpec| if disk.read_only { "read-only (ro)" } else { "writable" };
        return differs("is", mode(had), mode(given));
    }
    let serial = disks.places()?.get(number).and_then(|place| place.serial.clone());
    match serial.filter(|serial| *serial != had.serial) {
        Some(serial) => differs("has the serial", &had.serial, &serial),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_and_a_point_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let odd = dir.path().join("a@b");
        std::fs::create_dir(&odd).unwrap();
        let odd = odd.to_str().unwrap();
        assert_eq!(from(odd), Ok(Origin { dir: odd.into(), when: None }));
        assert_eq!(from(&format!("{odd}@5")).unwrap().when, Some(past::when("5").unwrap()));
        assert_eq!(
            from("x@-10m").unwrap(),
            Origin { dir: "x".into(), when: Some(past::when("-10m").unwrap()) }
        );
        assert_eq!(from("x").unwrap().when, None);
        assert!(from("x@").is_err() && from("x@y").is_err());
    }
}

//! What `--disk` names: where the bytes of one disk are to be found, and how it may be used.

use std::path::PathBuf;

/// Whether writes go to the file itself or beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OverlayPlace {
    /// Writes go to the file.
    None,
    /// Writes go to an unlinked file that is gone with this process.
    Temporary,
    /// Writes go to this file, which is made if it is missing.
    File(PathBuf),
}

/// One disk, as the operator names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskPlace {
    pub file: PathBuf,
    pub read_only: bool,
    pub overlay: OverlayPlace,
    /// What the guest reads as the disk's serial; none takes the disk's number.
    pub serial: Option<String>,
    /// The virtio slot that it is plugged into; none leaves the choice to the machine.
    pub slot: Option<u8>,
    /// The operator gives up what the file's identity guards.
    pub reset: bool,
}

impl DiskPlace {
    /// What the guest reads as the serial of disk `number`.
    pub fn serial(&self, number: usize) -> String {
        self.serial.clone().unwrap_or_else(|| format!("disk{number}"))
    }
}

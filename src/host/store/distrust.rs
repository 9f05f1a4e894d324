//! The store of a node that has diverged: the file `diverged`, which keeps processes from going on from it.
//!
//! Its log is what the primary sent; its checkpoints are what this node made of that, and one of them may have what went
//! wrong in it. So it is looked at, and replayed, as any other, and never gone on from. The file goes when the directory
//! gets another store ([`Store::replace`](super::Store::replace)).

use std::path::Path;

use super::error::StoreError;
use super::identity;
use crate::host::durable;
use crate::replay::Divergence;

/// The file's name. That it is there says it all; what it holds is for people: the divergence, JSON.
pub const NAME: &str = "diverged";

/// Has nobody go on from the store in `dir`. Durable when this comes back. It does nothing where there is no store.
///
/// # Errors
/// The store may still be gone on from.
pub fn distrust(dir: &Path, divergence: &Divergence) -> Result<(), StoreError> {
    let (path, identity) = (dir.join(NAME), dir.join(identity::NAME));
    if !identity.exists() {
        return Ok(());
    }
    let mut text = serde_json::to_vec_pretty(divergence).expect("a divergence serialises");
    text.push(b'\n');
    durable::replace(&path, ".new", &text).or_else(|_| {
        // That takes no space: what is left is a store that was never whole.
        std::fs::rename(&identity, dir.join(identity::NAME_NEW))
            .map_err(StoreError::io("rename", &identity))?;
        durable::sync_parent(&identity).map_err(StoreError::io("sync the directory of", &identity))
    })
}

/// Whether the node of the store in `dir` has diverged.
pub fn is_distrusted(dir: &Path) -> bool {
    dir.join(NAME).symlink_metadata().is_ok()
}

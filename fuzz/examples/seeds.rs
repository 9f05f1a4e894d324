//! Writes the seeds of all targets: `cargo run --example seeds [DIR]`, by default into `corpus/`.
//!
//! An example and no binary: `cargo fuzz` takes each binary for a target.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let corpus = std::env::args_os().nth(1).map_or(corpus, PathBuf::from);
    for (target, name, bytes) in lockstep_fuzz::seeds::all() {
        let dir = corpus.join(target);
        std::fs::create_dir_all(&dir)?;
        std::fs::write(dir.join(format!("seed-{name}")), bytes)?;
    }
    Ok(())
}

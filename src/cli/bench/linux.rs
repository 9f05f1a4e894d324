//! `lockstep bench --linux`: Debian's kernel booted, recorded, replayed, and kept under fault tolerance.
//!
//! Absent: making the images (`guest-programs/linux/build` does), and any judgement of a figure beyond
//! its target. What is compared is measured turn by turn in one run; the processor time beside each
//! duration leaves out what others on this host took.

mod boots;
mod guest;
mod pair;

use std::path::{Path, PathBuf};

use super::sheet::{Section, median};
use crate::cli::Failure;

/// The images that `guest-programs/linux/build` makes.
struct Images {
    kernel: PathBuf,
    tiny: PathBuf,
    all: PathBuf,
    cmdline: String,
}

impl Images {
    /// Where the script puts them unless told otherwise.
    fn dir() -> Result<PathBuf, Failure> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        set("LOCKSTEP_GUESTS")
            .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("lockstep/linux")))
            .or_else(|| set("HOME").map(|home| home.join(".cache/lockstep/linux")))
            .ok_or_else(|| {
                Failure::new("neither LOCKSTEP_GUESTS nor HOME says where the Linux guest's images are")
                    .fix("set LOCKSTEP_GUESTS to the directory that guest-programs/linux/build wrote")
            })
    }

    fn find() -> Result<Self, Failure> {
        let dir = Self::dir()?;
        let here = |name: &str| {
            let path = dir.join(name);
            match path.is_file() {
                true => Ok(path),
                false => Err(Failure::new(format!("there is no {}", path.display()))
                    .fix("guest-programs/linux/build makes it, from Debian's packages")),
            }
        };
        let cmdline = std::fs::read_to_string(here("cmdline")?)?.trim().to_owned();
        Ok(Self { kernel: here("kernel")?, tiny: here("tiny.cpio.gz")?, all: here("all.cpio.gz")?, cmdline })
    }
}

/// All that is measured of a Linux guest; each section is handed out as soon as it is there.
pub fn measure(dir: &Path, quick: bool, mut add: impl FnMut(Section)) -> Result<(), Failure> {
    let images = Images::find()?;
    std::fs::create_dir_all(dir)?;
    add(boots::measure(&images, dir, quick)?);
    for section in pair::measure(&images, dir, quick)? {
        add(section);
    }
    Ok(())
}

/// What something took.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Took {
    seconds: f64,
    cpu_seconds: f64,
}

/// The median of `a` in percent of `b`, pair by pair.
fn percent(a: &[f64], b: &[f64]) -> f64 {
    let ratios: Vec<f64> = a.iter().zip(b).map(|(a, b)| 100.0 * a / b).collect();
    median(&ratios)
}

//! `lockstep bench --linux`: Debian's kernel booted, recorded, replayed, and kept under fault tolerance.
//!
//! The images are made first where they are missing. What is compared is measured turn by turn in one run;
//! the processor time beside each duration leaves out what others on this host took. Absent: any judgement
//! of a figure beyond its target.

mod boots;
mod guest;
mod pair;

pub(super) use guest::children_cpu_seconds;

use std::path::Path;

use super::progress;
use super::sheet::{Section, median};
use crate::host::failure::Failure;
use crate::lab::linux::{self, Images};

/// All that is measured of a Linux guest; each section is handed out as soon as it is there.
pub fn measure(dir: &Path, quick: bool, mut add: impl FnMut(Section)) -> Result<(), Failure> {
    let images = linux::images(|line| progress(&format!("guest images: {line}"))).map_err(|error| {
        let fix = error.fix();
        Failure::new(error).fix(fix)
    })?;
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

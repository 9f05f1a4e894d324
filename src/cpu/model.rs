//! Which hart a machine has: what `--cpu` chooses, and what a recording keeps.
//!
//! A guest finds out what its hart can do, so two replicas must have the same one, and a recording
//! must be replayed on the one that it was made on. Therefore the [`Cpu`] is part of the machine's
//! configuration. The *revision* stands for what cannot be chosen.
//!
//! | revision | PMP granularity | `tselect`, `tdata1..3`, `tinfo` | `svade` in the device tree | [`Extensions`] |
//! |---|---|---|---|---|
//! | 1 | 4 KiB, so no NA4 | absent | no | none |
//! | 2 | 4 bytes | there, without a trigger | unless Svadu is there | none |
//! | 3 | the same | the same | the same | all |
//!
//! Revision 2 can still be chosen, as `rv64gc`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::isa::Extensions;

/// The hart that a machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    /// 1 to 3.
    pub revision: u8,
    /// The hart sets A and D in page-table entries while `menvcfg.ADUE` is set, which it is at reset.
    pub svadu: bool,
    /// `cbo.inval`, `cbo.clean` and `cbo.flush`.
    pub zicbom: bool,
    /// `cbo.zero`.
    pub zicboz: bool,
}

/// The newest revision.
pub const REVISION: u8 = 3;
/// The newest revision without extensions of the instruction set.
const PLAIN: u8 = 2;

/// The models that `--cpu` knows, and the revision that each has. The first is the default.
const MODELS: [(&str, u8); 2] = [("rv64", REVISION), ("rv64gc", PLAIN)];

impl Default for Cpu {
    fn default() -> Self {
        Self { revision: REVISION, svadu: false, zicbom: true, zicboz: true }
    }
}

impl Cpu {
    /// The hart of recordings and snapshots from before there was a choice.
    pub const FIRST: Self = Self { revision: 1, svadu: false, zicbom: false, zicboz: false };

    /// Does PMP distinguish ranges smaller than a page?
    pub const fn has_fine_pmp(self) -> bool {
        self.revision >= 2
    }

    /// Are there trigger registers (which select no trigger)?
    pub const fn has_trigger_registers(self) -> bool {
        self.revision >= 2
    }

    /// What it executes beyond RV64GC.
    pub const fn extensions(self) -> Extensions {
        if self.revision >= 3 { Extensions::ALL } else { Extensions::NONE }
    }

    /// False when no machine has such a hart.
    pub const fn is_known(self) -> bool {
        1 <= self.revision && self.revision <= REVISION
    }

    fn property(&mut self, name: &str) -> Option<&mut bool> {
        match name {
            "svadu" => Some(&mut self.svadu),
            "zicbom" => Some(&mut self.zicbom),
            "zicboz" => Some(&mut self.zicboz),
            _ => None,
        }
    }
}

/// What `--cpu` cannot mean.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadCpu {
    /// The word before the first comma is no model.
    #[error(
        "there is no hart {name:?}: there are `rv64` and `rv64gc`, and properties follow, as in `rv64,svadu=on`"
    )]
    Model {
        /// That word.
        name: String,
    },
    /// A word after it is no property.
    #[error("a hart has no property {name:?}: there are svadu, zicbom and zicboz")]
    Property {
        /// That word, up to its `=`.
        name: String,
    },
    /// A property has a value that is neither yes nor no.
    #[error("{name} is on or off, not {value:?}")]
    Value {
        /// The property.
        name: String,
        /// What follows its `=`.
        value: String,
    },
}

impl FromStr for Cpu {
    type Err = BadCpu;

    /// QEMU's syntax: the model, then `,property=on` or `,property=off` as often as wanted. A property
    /// alone is on.
    fn from_str(text: &str) -> Result<Self, BadCpu> {
        let mut words = text.split(',');
        let name = words.next().unwrap_or_default();
        let Some((_, revision)) = MODELS.into_iter().find(|(model, _)| *model == name) else {
            return Err(BadCpu::Model { name: name.into() });
        };
        let mut cpu = Self { revision, ..Self::default() };
        for word in words {
            let (name, value) = word.split_once('=').unwrap_or((word, "on"));
            let property = cpu.property(name).ok_or_else(|| BadCpu::Property { name: name.into() })?;
            *property = match value {
                "on" | "true" | "yes" => true,
                "off" | "false" | "no" => false,
                _ => return Err(BadCpu::Value { name: name.into(), value: value.into() }),
            };
        }
        Ok(cpu)
    }
}

impl fmt::Display for Cpu {
    /// As `--cpu` takes it, with the revision of an older hart behind.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { revision, svadu, zicbom, zicboz } = *self;
        let chosen = MODELS.into_iter().find(|(_, its)| *its == revision);
        f.write_str(chosen.map_or("rv64", |(model, _)| model))?;
        for (name, on) in [("svadu", svadu), ("zicbom", zicbom), ("zicboz", zicboz)] {
            write!(f, ",{name}={}", if on { "on" } else { "off" })?;
        }
        if chosen.is_some() { Ok(()) } else { write!(f, " (revision {revision})") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hart_is_chosen_as_for_qemu() {
        let cpu = |text: &str| text.parse::<Cpu>();
        assert_eq!(cpu("rv64"), Ok(Cpu::default()));
        assert_eq!(cpu("rv64,svadu=on"), Ok(Cpu { svadu: true, ..Cpu::default() }));
        assert_eq!(cpu("rv64,svadu"), cpu("rv64,svadu=true"));
        let none = Cpu { zicbom: false, zicboz: false, ..Cpu::default() };
        assert_eq!(cpu("rv64,zicboz=off,zicbom=off,svadu=on,svadu=off"), Ok(none));
        let plain = Cpu { revision: 2, ..Cpu::default() };
        assert_eq!(
            (cpu("rv64gc"), cpu("rv64gc,zicbom=off")),
            (Ok(plain), Ok(Cpu { zicbom: false, ..plain }))
        );
        for cpu in [none, plain, Cpu::default(), Cpu { svadu: true, ..none }] {
            assert_eq!(cpu.to_string().parse(), Ok(cpu));
        }
        assert_eq!(Cpu::FIRST.to_string(), "rv64,svadu=off,zicbom=off,zicboz=off (revision 1)");
    }

    #[test]
    fn what_is_no_hart_is_refused_by_name() {
        let refused = |text: &str| text.parse::<Cpu>().unwrap_err().to_string();
        assert!(refused("").contains("`rv64`"));
        assert!(refused("max,svadu=on").contains("no hart \"max\""));
        assert!(refused("rv64,h=off").contains("no property \"h\""));
        assert!(refused("rv64,").contains("no property \"\""));
        assert!(refused("rv64,svadu=maybe").contains("svadu is on or off, not \"maybe\""));
    }

    #[test]
    fn revisions_are_bounded() {
        let revision = |revision| Cpu { revision, ..Cpu::default() };
        assert!(Cpu::FIRST.is_known() && Cpu::default().is_known());
        assert_eq!(revision(2).extensions(), Extensions::NONE);
        assert_eq!(revision(3).extensions(), Extensions::ALL);
        assert!(!revision(0).is_known() && !revision(REVISION + 1).is_known());
    }
}

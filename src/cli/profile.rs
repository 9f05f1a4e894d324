//! `--profile`: where a guest's time goes, as a file of folded stacks, and how the engine fared, in words.
//!
//! Promises: a file that cannot be written is refused before the guest runs; a file that is there is replaced as a
//! whole, at the end of whatever kind; that there is a profile shows in nothing that the guest does, or that is
//! recorded or replayed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::symbols::read_table;
use super::{Failure, arg};
use crate::host::durable;
use crate::host::say::say;
use crate::inspect::picture::grouped;
use crate::inspect::{Profile, SymbolTable};
use crate::machine::{Executed, Machine};

/// Instructions from one look to the next. A prime: a loop of the guest's is not met at the same place each time.
const EVERY_DEFAULT: &str = "10007";

#[derive(clap::Args)]
pub struct ProfileArgs {
    /// Write where the guest's time goes, by function, to this file: folded stacks, as flamegraph tools and speedscope
    /// open them. How the engine fared is told on standard error at the end.
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// Look at the guest once in so many instructions.
    #[arg(long, value_name = "N", requires = "profile", default_value = EVERY_DEFAULT, value_parser = every)]
    profile_every: NonZeroU64,
    /// Names for the profile: an ELF file with symbols, a kernel's System.map, or a copy of the guest's
    /// /proc/kallsyms. Otherwise the guest's own ELF file names its functions.
    #[arg(long, value_name = "FILE", requires = "profile")]
    symbols: Option<PathBuf>,
}

fn every(text: &str) -> Result<NonZeroU64, String> {
    NonZeroU64::new(arg::instructions(text)?)
        .ok_or_else(|| "at least one instruction is between two looks".into())
}

impl ProfileArgs {
    /// Begins the profile of `machine`, if one is wanted.
    pub fn begin(&self, machine: &mut Machine) -> Result<Option<Profiling>, Failure> {
        let Some(path) = &self.profile else { return Ok(None) };
        let table = match &self.symbols {
            Some(symbols) => read_table(symbols)?,
            None => SymbolTable::of_guest(machine.config()),
        };
        let target = Target::open(path).map_err(|error| {
            Failure::new(format!("--profile {}: {error}", path.display()))
                .fix("name a file that can be written")
        })?;
        let profile = Arc::new(Mutex::new(Profile::new(table)));
        let seen = profile.clone();
        let look = move |hart: &_, ram: &_| {
            seen.lock().unwrap_or_else(PoisonError::into_inner).sample(hart, ram);
        };
        machine.observe(self.profile_every, Box::new(look));
        Ok(Some(Profiling { path: path.clone(), target, every: self.profile_every, profile }))
    }
}

/// Where a profile goes.
enum Target {
    /// A file, new or to be replaced.
    File,
    /// A pipe or a device.
    Stream(File),
}

impl Target {
    fn open(path: &Path) -> io::Result<Self> {
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            Ok(meta) if !meta.is_file() => Ok(Self::Stream(OpenOptions::new().write(true).open(path)?)),
            Ok(_) | Err(_) => {
                // What is written at the end is written aside; so that will do, too.
                let aside = durable::aside(path, &suffix());
                File::create(&aside)?;
                fs::remove_file(&aside)?;
                Ok(Self::File)
            }
        }
    }
}

fn suffix() -> String {
    format!(".{}.new", std::process::id())
}

/// A profile that is being made.
pub struct Profiling {
    path: PathBuf,
    target: Target,
    every: NonZeroU64,
    profile: Arc<Mutex<Profile>>,
}

impl Profiling {
    /// Writes the profile, and tells on behalf of `command` how the guest was executed.
    pub fn end(self, command: &str, executed: Option<Executed>) -> Result<(), Failure> {
        let profile = self.profile.lock().unwrap_or_else(PoisonError::into_inner);
        let folded = profile.folded();
        let path = self.path.display();
        let written = match self.target {
            Target::File => durable::replace(&self.path, &suffix(), folded.as_bytes()),
            Target::Stream(mut file) => file.write_all(folded.as_bytes()),
        };
        written.map_err(|error| Failure::new(format!("--profile {path}: {error}")))?;
        let (samples, every) = (profile.samples(), self.every);
        say!(
            "lockstep {command}: profile {path}: {} samples, one in {every} instructions, in {} lines",
            grouped(samples),
            folded.lines().count()
        );
        if samples == 0 {
            say!("  the guest executed too few instructions: --profile-every 100 looks more often");
        }
        if profile.others() > 0 {
            say!("  {} samples are without their stacks, which were too many", grouped(profile.others()));
        }
        if let Some(executed) = executed {
            for line in told(&executed) {
                say!("lockstep {command}: {line}");
            }
        }
        Ok(())
    }
}

/// How a guest was executed, in lines.
fn told(executed: &Executed) -> Vec<String> {
    let part = |count: u64, how: &str| {
        format!(
            "{} {how} ({:.2} %)",
            grouped(count),
            100.0 * count as f64 / executed.instructions.max(1) as f64
        )
    };
    let long_way = part(executed.long_way.instructions, "the long way");
    let interpreted = |how: &str| part(executed.interpreted(), how);
    let mut lines =
        vec![format!("engine {}: {} instructions", executed.engine, grouped(executed.instructions))];
    match executed.translator {
        Some(fared) => {
            let translated = part(fared.translated, "translated");
            lines.push(format!(
                "  {translated}, {}, {long_way}",
                interpreted("interpreted for the translator")
            ));
            lines.push(format!(
                "  {} regions translated, {} pages rewritten, cache full {} times",
                grouped(fared.regions),
                grouped(fared.rewritten),
                grouped(fared.full)
            ));
        }
        None => lines.push(format!("  {}, {long_way}", interpreted("interpreted"))),
    }
    lines.push(format!("  {} walks of page tables", grouped(executed.long_way.walks)));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::LongWay;
    use crate::engine::{Engine, Fared};

    #[test]
    fn each_way_of_execution_is_told_with_its_share() {
        let translator = Fared { regions: 12, translated: 9_000, interpreted: 900, rewritten: 3, full: 1 };
        let long_way = LongWay { instructions: 100, walks: 45 };
        let executed = Executed {
            engine: Engine::Translator,
            instructions: 10_000,
            translator: Some(translator),
            long_way,
        };
        let words = told(&executed).join("\n");
        let grouped = grouped(9_000);
        for part in [
            "engine translator".to_owned(),
            format!("{grouped} translated (90.00 %), 900 interpreted for the translator (9.00 %)"),
            "100 the long way (1.00 %)".into(),
            "12 regions translated, 3 pages rewritten, cache full 1 times".into(),
            "45 walks".into(),
        ] {
            assert!(words.contains(&part), "{part:?} in {words}");
        }
        let alone = Executed { engine: Engine::Interpreter, translator: None, ..executed };
        let words = told(&alone).join("\n");
        assert!(words.contains(" interpreted (99.00 %), 100 the long way"), "{words}");
        assert!(!words.contains("translat"), "{words}");
    }

    #[test]
    fn a_file_that_cannot_be_written_is_refused_and_one_that_can_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Target::open(dir.path()).is_err());
        assert!(Target::open(&dir.path().join("not/there")).is_err());
        let path = dir.path().join("profile");
        assert!(matches!(Target::open(&path), Ok(Target::File)));
        assert!(!path.exists());
        fs::write(&path, "old").unwrap();
        assert!(matches!(Target::open(&path), Ok(Target::File)));
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(matches!(Target::open(Path::new("/dev/null")), Ok(Target::Stream(_))));
    }

    #[test]
    fn there_is_something_between_two_looks() {
        assert_eq!(every("10K").map(NonZeroU64::get), Ok(10_000));
        assert!(every("0").is_err() && every("x").is_err());
    }
}

//! `lockstep bench --engines`: the translator and the interpreter beside QEMU's, kernel by kernel.
//!
//! Each kernel of `guest-programs/bench` runs as a process of its own, the same ELF file for all, in turn, and
//! what counts is the processor time of the process, its start taken off: what the same with an empty kernel
//! takes. All print a checksum, and one that differs from the others' is a failure.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::linux::children_cpu_seconds;
use super::progress;
use super::sheet::{Figure, Section, Target, median};
use crate::engine::Engine;
use crate::host::failure::Failure;
use crate::lab::guests::{self, BenchMode};

/// What a kernel mostly computes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Start,
    Integer,
    Float,
}

/// The kernels in the order of `guest-programs/bench/table.h`.
const KERNELS: [(&str, Sort); 13] = [
    ("empty", Sort::Start),
    ("integers", Sort::Integer),
    ("sieve", Sort::Integer),
    ("sha256", Sort::Integer),
    ("quicksort", Sort::Integer),
    ("strings", Sort::Integer),
    ("table-1m", Sort::Integer),
    ("table-28m", Sort::Integer),
    ("switch", Sort::Integer),
    ("recursion", Sort::Integer),
    ("matrix", Sort::Float),
    ("matrix-fma", Sort::Float),
    ("nbody", Sort::Float),
];
const MODES: [BenchMode; 2] = [BenchMode::Bare, BenchMode::Sv39];

/// What runs a kernel; the order is that of the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runner {
    Translator,
    Interpreter,
    QemuExact,
    Qemu,
}

const RUNNERS: [Runner; 4] = [Runner::Translator, Runner::Interpreter, Runner::QemuExact, Runner::Qemu];
const QEMU: &str = "qemu-system-riscv64";
/// Start-up is known to some hundredths of a second; what is left of a run is at least this.
const SECONDS_MIN: f64 = 0.005;

impl Runner {
    fn name(self) -> &'static str {
        match self {
            Runner::Translator => "translator",
            Runner::Interpreter => "interpreter",
            Runner::QemuExact => "qemu_icount",
            Runner::Qemu => "qemu",
        }
    }

    fn is_here(self) -> Result<(), String> {
        match self {
            Runner::Translator => Engine::Translator.is_here().map_err(|why| why.to_string()),
            Runner::Interpreter => Ok(()),
            Runner::QemuExact | Runner::Qemu => runs(QEMU),
        }
    }

    fn command(self, elf: &Path) -> Result<Command, Failure> {
        let mut command = match self {
            Runner::Translator | Runner::Interpreter => Command::new(std::env::current_exe()?),
            Runner::QemuExact | Runner::Qemu => Command::new(QEMU),
        };
        match self {
            Runner::Translator | Runner::Interpreter => {
                command.args(["--engine", self.name(), "run"]).arg(elf);
            }
            Runner::QemuExact | Runner::Qemu => {
                command.args(["-M", "virt", "-bios", "none", "-display", "none", "-monitor", "none"]);
                command.args(["-serial", "stdio", "-kernel"]).arg(elf);
            }
        }
        if self == Runner::QemuExact {
            command.args(["-icount", "shift=0,sleep=off"]);
        }
        Ok(command)
    }

    /// Runs a kernel to its end: what it printed, and the processor time of the process in seconds.
    fn run(self, elf: &Path) -> Result<(String, f64), Failure> {
        let before = children_cpu_seconds()?;
        let run = self.command(elf)?.stdin(Stdio::null()).stderr(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&run.stdout).trim().replace('\r', "");
        if !run.status.success() {
            return Err(Failure::new(format!("{}: a kernel ended with {}: {said}", self.name(), run.status)));
        }
        Ok((said, children_cpu_seconds()? - before))
    }
}

/// Whether QEMU can be run as `program`.
fn runs(program: &str) -> Result<(), String> {
    match Command::new(program).arg("--version").stdin(Stdio::null()).output() {
        Ok(run) if run.status.success() => Ok(()),
        _ => Err(format!(
            "{program} is missing, so nothing stands beside the engines (on Debian: apt-get install qemu-system-misc)"
        )),
    }
}

/// One kernel in one mode.
struct Row {
    name: &'static str,
    sort: Sort,
    mode: BenchMode,
    elf: PathBuf,
    /// What each runner's process took, run by run.
    took: [Vec<f64>; RUNNERS.len()],
}

/// The times of a kernel with the start taken off, in [`RUNNERS`]' order.
struct Times {
    name: &'static str,
    sort: Sort,
    mode: BenchMode,
    seconds: [Option<f64>; RUNNERS.len()],
}

/// How often as fast the runner in column `ours` is as that in column `theirs`.
fn ratio(times: &Times, ours: Runner, theirs: Runner) -> Option<f64> {
    Some(times.seconds[theirs as usize]? / times.seconds[ours as usize]?)
}

/// What was measured: a table as text and as JSON, and its geometric means.
pub struct Measured {
    pub text: String,
    pub json: Value,
    pub means: Section,
}

/// Measures with files in `dir`, which is made.
pub fn measure(dir: &Path, quick: bool) -> Result<Measured, Failure> {
    std::fs::create_dir_all(dir)?;
    let mut here = Vec::new();
    let mut missing = Vec::new();
    for runner in RUNNERS {
        match runner.is_here() {
            Ok(()) => here.push(runner),
            Err(why) if missing.contains(&why) => {}
            Err(why) => {
                progress(&why);
                missing.push(why);
            }
        }
    }
    // An odd number: the median is a run.
    let (rounds, shorten) = if quick { (1, 2) } else { (3, 1) };
    let mut rows = rows(dir, shorten)?;
    for round in 1..=rounds {
        for row in &mut rows {
            run_row(row, &here)?;
        }
        progress(&format!("engines: round {round} of {rounds} done"));
    }
    Ok(measured(&rows, &missing))
}

fn measured(rows: &[Row], missing: &[String]) -> Measured {
    let times = times(rows);
    let json = json!({
        "kernels": times.iter().map(row_json).collect::<Vec<_>>(),
        "missing": missing,
    });
    let mut text = table(&times);
    for why in missing {
        text += &format!("  {why}\n");
    }
    Measured { text, json, means: means(&times) }
}

fn rows(dir: &Path, shorten: u32) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for mode in MODES {
        for (index, (name, sort)) in KERNELS.into_iter().enumerate() {
            let elf = dir.join(format!("{name}-{}.elf", mode.name()));
            std::fs::write(&elf, guests::bench(index as u32, mode, shorten))?;
            rows.push(Row { name, sort, mode, elf, took: Default::default() });
        }
    }
    Ok(rows)
}

fn run_row(row: &mut Row, here: &[Runner]) -> Result<(), Failure> {
    let mut expected: Option<String> = None;
    for &runner in here {
        let (said, seconds) = runner.run(&row.elf)?;
        let named = format!("bench: {} {} ", row.name, row.mode.name());
        if !said.starts_with(&named) || expected.as_ref().is_some_and(|expected| *expected != said) {
            let others = expected.unwrap_or(named);
            return Err(Failure::new(format!("{}: {said:?}, not {others:?}", runner.name())));
        }
        expected = Some(said);
        row.took[runner as usize].push(seconds);
    }
    Ok(())
}

/// The medians, each without the start of its mode.
fn times(rows: &[Row]) -> Vec<Times> {
    let middle = |row: &Row, runner: usize| match row.took[runner].as_slice() {
        [] => None,
        runs => Some(median(runs)),
    };
    let start = |mode: BenchMode, runner: usize| {
        let row = rows.iter().find(|row| row.sort == Sort::Start && row.mode == mode);
        row.and_then(|row| middle(row, runner)).unwrap_or(0.0)
    };
    let kernels = rows.iter().filter(|row| row.sort != Sort::Start);
    kernels
        .map(|row| Times {
            name: row.name,
            sort: row.sort,
            mode: row.mode,
            seconds: std::array::from_fn(|runner| {
                Some((middle(row, runner)? - start(row.mode, runner)).max(SECONDS_MIN))
            }),
        })
        .collect()
}

fn table(times: &[Times]) -> String {
    let cell = |value: Option<f64>, digits: usize| value.map_or("-".into(), |v| format!("{v:.digits$}"));
    let mut text =
        String::from("Engines beside QEMU: seconds of processor time (medians, start-up taken off)\n");
    text += "  kernel      mode  translator interpreter  qemu icount    qemu   translator x icount  x qemu   interpreter x icount\n";
    for row in times {
        let [translator, interpreter, exact, qemu] = row.seconds.map(|seconds| cell(seconds, 3));
        text += &format!(
            "  {:<11} {:<5} {translator:>10} {interpreter:>11} {exact:>12} {qemu:>7} {:>21} {:>7} {:>22}\n",
            row.name,
            row.mode.name(),
            cell(ratio(row, Runner::Translator, Runner::QemuExact), 2),
            cell(ratio(row, Runner::Translator, Runner::Qemu), 2),
            cell(ratio(row, Runner::Interpreter, Runner::QemuExact), 2),
        );
    }
    text
}

fn row_json(row: &Times) -> Value {
    let mut seconds = serde_json::Map::new();
    for runner in RUNNERS {
        seconds.insert(runner.name().to_owned(), json!(row.seconds[runner as usize]));
    }
    json!({
        "kernel": row.name,
        "mode": row.mode.name(),
        "sort": if row.sort == Sort::Float { "float" } else { "integer" },
        "seconds": seconds,
        "translator_times_qemu_icount": ratio(row, Runner::Translator, Runner::QemuExact),
        "translator_times_qemu": ratio(row, Runner::Translator, Runner::Qemu),
        "interpreter_times_qemu_icount": ratio(row, Runner::Interpreter, Runner::QemuExact),
    })
}

/// The geometric mean; none of nothing.
fn geometric_mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut count, mut sum) = (0, 0.0);
    for value in values {
        count += 1;
        sum += value.ln();
    }
    (count > 0).then(|| (sum / f64::from(count)).exp())
}

/// Over all kernels of a kind in both modes.
fn means(times: &[Times]) -> Section {
    let mut figures = Vec::new();
    let mut add = |key, label, sort: Sort, ours: Runner, theirs: Runner, target: Option<Target>| {
        let of_sort = times.iter().filter(|row| row.sort == sort);
        if let Some(mean) = geometric_mean(of_sort.filter_map(|row| ratio(row, ours, theirs))) {
            let figure = Figure::new(key, label, mean, "times as fast");
            figures.push(Figure { target, ..figure });
        }
    };
    use Runner::{Interpreter, Qemu, QemuExact, Translator};
    use Sort::{Float, Integer};
    for (key, label, sort, ours, theirs, wanted) in [
        (
            "engines_integer_icount",
            "translator, integer: to QEMU with -icount",
            Integer,
            Translator,
            QemuExact,
            Some(Target::AtLeast(3.0)),
        ),
        (
            "engines_float_icount",
            "translator, float: to QEMU with -icount",
            Float,
            Translator,
            QemuExact,
            Some(Target::AtLeast(6.0)),
        ),
        (
            "engines_integer_qemu",
            "translator, integer: to QEMU without",
            Integer,
            Translator,
            Qemu,
            Some(Target::Over(1.0)),
        ),
        ("engines_float_qemu", "translator, float: to QEMU without", Float, Translator, Qemu, None),
        (
            "interpreter_integer_icount",
            "interpreter, integer: to QEMU with -icount",
            Integer,
            Interpreter,
            QemuExact,
            Some(Target::AtLeast(0.7)),
        ),
        (
            "interpreter_float_icount",
            "interpreter, float: to QEMU with -icount",
            Float,
            Interpreter,
            QemuExact,
            Some(Target::AtLeast(0.5)),
        ),
        (
            "engines_integer_interpreter",
            "translator, integer: to the interpreter",
            Integer,
            Translator,
            Interpreter,
            None,
        ),
        (
            "engines_float_interpreter",
            "translator, float: to the interpreter",
            Float,
            Translator,
            Interpreter,
            None,
        ),
    ] {
        add(key, label, sort, ours, theirs, wanted);
    }
    let against = times.iter().filter_map(|row| ratio(row, Translator, Qemu));
    if let Some(slowest) = against.reduce(f64::min) {
        let figure = Figure::new(
            "engines_qemu_min",
            "  its slowest kernel: to QEMU without",
            slowest,
            "times as fast",
        );
        figures.push(figure.target(Target::Over(1.0)));
    }
    Section { title: "Geometric means over the kernels in both modes", figures }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of the empty kernel and of one of each kind, bare, without the last runner.
    fn some_rows() -> Vec<Row> {
        let row = |name, sort, took: [f64; 3]| Row {
            name,
            sort,
            mode: BenchMode::Bare,
            elf: PathBuf::new(),
            took: [vec![took[0]], vec![took[1]], vec![took[2]], Vec::new()],
        };
        vec![
            row("empty", Sort::Start, [0.1, 0.2, 0.0]),
            row("sieve", Sort::Integer, [0.6, 4.2, 2.0]),
            row("sha256", Sort::Integer, [1.1, 2.2, 1.0]),
            row("nbody", Sort::Float, [0.1, 8.2, 2.0]),
        ]
    }

    #[test]
    fn the_start_is_taken_off_and_what_was_not_measured_is_absent() {
        let times = times(&some_rows());
        assert_eq!(times.iter().map(|row| row.name).collect::<Vec<_>>(), ["sieve", "sha256", "nbody"]);
        assert_eq!(times[0].seconds, [Some(0.5), Some(4.0), Some(2.0), None]);
        assert_eq!(times[2].seconds[0], Some(SECONDS_MIN), "never 0: it divides");
        assert_eq!(ratio(&times[0], Runner::Translator, Runner::QemuExact), Some(4.0));
        assert_eq!(ratio(&times[0], Runner::Translator, Runner::Qemu), None);
        let text = table(&times);
        let line = text.lines().nth(2).map(str::split_whitespace).map(Iterator::collect::<Vec<_>>);
        let expected = ["sieve", "bare", "0.500", "4.000", "2.000", "-", "4.00", "-", "0.50"];
        assert_eq!(line.as_deref(), Some(expected.as_slice()));
    }

    #[test]
    fn means_are_geometric_and_by_kind() {
        let means = means(&times(&some_rows()));
        let value =
            |key: &str| means.figures.iter().find(|figure| figure.key == key).map(|figure| figure.value);
        // 4 and 1; 8 and 2, of the interpreter's times.
        assert!((value("engines_integer_icount").unwrap() - 2.0).abs() < 1e-9);
        assert!((value("engines_integer_interpreter").unwrap() - 4.0).abs() < 1e-9);
        assert!((value("interpreter_float_icount").unwrap() - 0.25).abs() < 1e-9);
        assert_eq!(value("engines_integer_qemu"), None, "without QEMU there is no figure");
        assert_eq!(value("engines_qemu_min"), None);
    }

    #[test]
    fn without_qemu_the_engines_are_beside_each_other() {
        let why = runs("qemu-system-of-nobody").unwrap_err();
        assert!(why.contains("qemu-system-of-nobody is missing"), "{why}");
        let mut rows = some_rows();
        rows.iter_mut().for_each(|row| row.took[Runner::QemuExact as usize].clear());
        let Measured { text, json, means } = measured(&rows, std::slice::from_ref(&why));
        assert!(text.ends_with(&format!("  {why}\n")), "{text}");
        let line = text.lines().nth(2).map(str::split_whitespace).map(Iterator::collect::<Vec<_>>);
        let expected = ["sieve", "bare", "0.500", "4.000", "-", "-", "-", "-", "-"];
        assert_eq!(line.as_deref(), Some(expected.as_slice()));
        assert_eq!(json["missing"], json!([why]));
        assert_eq!(json["kernels"][0]["seconds"]["qemu"], Value::Null);
        assert_eq!(json["kernels"][0]["translator_times_qemu"], Value::Null);
        let keys: Vec<_> = means.figures.iter().map(|figure| figure.key).collect();
        assert_eq!(keys, ["engines_integer_interpreter", "engines_float_interpreter"]);
    }

    #[test]
    fn the_names_are_those_of_the_guest() {
        let table = include_str!("../../../guest-programs/bench/table.h");
        let names: Vec<&str> = table.lines().filter_map(|line| line.split('"').nth(1)).collect();
        assert_eq!(names, KERNELS.map(|(name, _)| name));
    }
}

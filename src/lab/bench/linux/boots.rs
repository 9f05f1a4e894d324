//! The tiny initramfs: booted to its prompt unrecorded and recorded, turn by turn, and replayed.

use std::path::Path;
use std::time::{Duration, Instant};

use super::super::progress;
use super::super::sheet::{Figure, Section, Target, median};
use super::guest::{Console, PROMPT, log_bytes, run_to_end};
use super::{Images, Took, percent};
use crate::host::failure::Failure;

const RAM: &str = "256M";

pub fn measure(images: &Images, dir: &Path, quick: bool) -> Result<Section, Failure> {
    let (rounds, idle) = if quick { (2, Duration::from_secs(5)) } else { (5, Duration::from_secs(15)) };
    let (mut plain, mut recorded, mut replayed) = (Vec::new(), Vec::new(), Vec::new());
    let (mut boot_bytes, mut idle_rate) = (0, 0.0);
    for round in 0..rounds {
        let record = dir.join(format!("boot-{round}"));
        let mut console = boot(images, None)?;
        plain.push(console.await_text(PROMPT)?.1);
        console.end()?;
        let mut console = boot(images, Some(&record))?;
        recorded.push(console.await_text(PROMPT)?.1);
        boot_bytes = log_bytes(&record)?;
        console.end()?;
        replayed.push(run_to_end(["replay", &record.display().to_string()])?);
        let [a, b, c] = [&plain, &recorded, &replayed].map(|took| took[round].seconds);
        progress(&format!("boot {} of {rounds}: {a:.2} s, recorded {b:.2} s, replayed {c:.2} s", round + 1));
        if round + 1 == rounds {
            let mut console = boot(images, Some(&dir.join("idle")))?;
            console.await_text(PROMPT)?;
            std::thread::sleep(Duration::from_secs(1));
            let (before, begun) = (log_bytes(&dir.join("idle"))?, Instant::now());
            std::thread::sleep(idle);
            idle_rate = (log_bytes(&dir.join("idle"))? - before) as f64 / begun.elapsed().as_secs_f64();
            progress(&format!("idle shell: {idle_rate:.0} bytes of log a second"));
            console.end()?;
        }
        std::fs::remove_dir_all(&record)?;
    }
    let wall = |all: &[Took]| all.iter().map(|took| took.seconds).collect::<Vec<_>>();
    let cpu = |all: &[Took]| all.iter().map(|took| took.cpu_seconds).collect::<Vec<_>>();
    let figures = vec![
        Figure::new("linux_boot_s", "to the prompt, unrecorded", median(&wall(&plain)), "s")
            .target(Target::Under(12.0)),
        Figure::new("linux_boot_cpu_s", "  processor time", median(&cpu(&plain)), "s"),
        Figure::new("linux_boot_recorded_s", "to the prompt, recorded", median(&wall(&recorded)), "s"),
        Figure::new("linux_boot_recorded_cpu_s", "  processor time", median(&cpu(&recorded)), "s"),
        Figure::new("linux_boot_replayed_s", "replay of that", median(&wall(&replayed)), "s"),
        Figure::new("linux_boot_replayed_cpu_s", "  processor time", median(&cpu(&replayed)), "s"),
        Figure::new(
            "linux_recorded_percent",
            "recorded, of unrecorded",
            percent(&wall(&recorded), &wall(&plain)),
            "%",
        )
        .target(Target::Under(105.0)),
        Figure::new(
            "linux_recorded_cpu_percent",
            "  by processor time",
            percent(&cpu(&recorded), &cpu(&plain)),
            "%",
        ),
        Figure::new(
            "linux_replayed_percent",
            "replay, of the recording",
            percent(&wall(&replayed), &wall(&recorded)),
            "%",
        )
        .target(Target::Under(100.0)),
        Figure::new(
            "linux_replayed_cpu_percent",
            "  by processor time",
            percent(&cpu(&replayed), &cpu(&recorded)),
            "%",
        ),
        Figure::new("linux_boot_log_bytes", "log of a boot", boot_bytes as f64, "bytes")
            .target(Target::Under(1e6)),
        Figure::new("linux_idle_bytes_per_s", "log of an idle shell", idle_rate, "bytes/s")
            .target(Target::Under(2000.0)),
    ];
    Ok(Section { title: "Debian, tiny initramfs (medians)", figures })
}

fn boot(images: &Images, record: Option<&Path>) -> Result<Console, Failure> {
    let [kernel, initrd] = [&images.kernel, &images.initrd].map(|path| path.display().to_string());
    let record = record.map(|dir| dir.display().to_string());
    let mut words = vec!["run", "--kernel", &kernel, "--initrd", &initrd, "--append", &images.cmdline];
    words.extend(["--memory", RAM, "--console", "none"]);
    if let Some(record) = &record {
        words.extend(["--record", record]);
    }
    Console::start(words)
}

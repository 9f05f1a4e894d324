//! What it costs to keep the log on disk, and how soon a guest is back after all its nodes were killed.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use super::progress;
use super::sheet::{Figure, Section, Target, max, median};
use crate::base::Prng;
use crate::ft::Message;
use crate::host::failure::Failure;
use crate::host::link;
use crate::host::os::draw_u64;
use crate::lab::cluster::{Cluster, Process};
use crate::lab::guests;
use crate::lab::kvclient::{KvConfig, KvLoad, Report};

const CLIENTS: usize = 16;
/// No single thing takes longer than this on a host that is fit for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// The figures, and whether the verifying client is content.
pub fn measure(dir: &Path, quick: bool) -> Result<(Section, bool), Failure> {
    let (rounds, long) = if quick { (5, Duration::from_secs(1)) } else { (20, Duration::from_secs(3)) };
    std::fs::create_dir_all(dir)?;
    let floor_us = sync_us(dir, if quick { 100 } else { 400 })?;
    let memory = Pair::start(&dir.join("memory"), "memory")?;
    let mut disk = Pair::start(&dir.join("disk"), "disk")?;
    // In turn: what else the host does falls on both.
    let (mut in_memory, mut on_disk) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        in_memory.push(memory.drive(long)?.answers_per_second);
        on_disk.push(disk.drive(long)?.answers_per_second);
    }
    let (in_memory, on_disk) = (median(&in_memory), median(&on_disk));
    progress(&format!("16 clients: {in_memory:.0} requests/s in memory mode, {on_disk:.0} in disk mode"));
    drop(memory);
    let saved = disk.checkpoints(long / 2, if quick { 2 } else { 4 })?;
    let back = disk.kill_all(rounds)?;
    let (ms, per_s) = ("ms", "requests/s");
    let figures = vec![
        Figure::new("fdatasync_median_us", "4 KiB written and synced on this disk: median", floor_us, "us"),
        Figure::new("memory_mode_per_s", "16 clients, --ack memory", in_memory, per_s),
        Figure::new("disk_mode_per_s", "16 clients, --ack disk", on_disk, per_s),
        Figure::new("disk_mode_percent", "disk mode, of memory mode", 100.0 * on_disk / in_memory, "%")
            .target(Target::AtLeast(60.0)),
        Figure::new("checkpoint_ms", "a checkpoint, from the request to its sync: median", saved.ms, ms),
        Figure::new("checkpoint_pause_us", "the guest stands still for it: longest", saved.pause_us, "us")
            .target(Target::Under(1000.0)),
        Figure::new("checkpoint_loss_percent", "requests lost while they are saved", saved.loss_percent, "%")
            .target(Target::Under(5.0)),
        Figure::new(
            "restart_median_ms",
            "all nodes killed, to the first answer: median",
            median(&back.ms),
            ms,
        ),
        Figure::new("restart_max_ms", "the same: longest", max(&back.ms), ms).target(Target::Under(3000.0)),
        Figure::new("restarts", "times that all nodes were killed under load", back.ms.len() as f64, ""),
        Figure::new("restart_writes", "writes acknowledged meanwhile", back.report.acked_writes as f64, ""),
        Figure::new("restart_lost", "lost, done twice or contradicted", back.wrong as f64, "")
            .target(Target::Zero),
    ];
    let clean = back.report.is_clean();
    Ok((Section { title: "The log on disk", figures }, clean))
}

/// How long this disk takes to make 4 KiB durable, in us: the median of so many.
fn sync_us(dir: &Path, count: usize) -> Result<f64, Failure> {
    let path = dir.join("floor");
    let mut file = File::create(&path)?;
    file.set_len(4096 * count as u64)?;
    file.sync_all()?;
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let begun = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    std::fs::remove_file(&path)?;
    Ok(median(&times))
}

struct Pair {
    cluster: Cluster,
    nodes: [Process; 2],
}

/// What checkpoints took.
struct Saved {
    ms: f64,
    pause_us: f64,
    loss_percent: f64,
}

/// What a loss of all nodes took.
struct Back {
    ms: Vec<f64>,
    report: Report,
    wrong: u64,
}

impl Pair {
    fn start(dir: &Path, ack: &'static str) -> Result<Self, Failure> {
        std::fs::create_dir_all(dir)?;
        let elf = dir.join("guest.elf");
        std::fs::write(&elf, guests::KV)?;
        let mut cluster = Cluster::start(&std::env::current_exe()?, dir, &elf, "512M", None)?;
        (cluster.stores, cluster.ack, cluster.rejoins) = (true, Some(ack), true);
        let (primary, backup) = cluster.pair()?;
        let mut pair = Self { cluster, nodes: [primary, backup] };
        pair.await_stores()?;
        Ok(pair)
    }

    fn await_stores(&mut self) -> Result<(), Failure> {
        for node in &mut self.nodes {
            self.cluster.await_status(node, "with a store that is whole", |status| {
                status.store.is_some_and(|store| store.durable.get() > 0)
            })?;
        }
        Ok(())
    }

    fn load(&self) -> Result<KvLoad, Failure> {
        let mut config = KvConfig::new(self.cluster.service);
        (config.clients, config.read_back) = (CLIENTS, false);
        Ok(KvLoad::start(config)?)
    }

    fn drive(&self, time: Duration) -> Result<Report, Failure> {
        let load = self.load()?;
        std::thread::sleep(time);
        Ok(load.stop())
    }

    /// Has checkpoints saved under load, one after another, in turn with as much time without: `turns` of each.
    fn checkpoints(&mut self, turn: Duration, turns: usize) -> Result<Saved, Failure> {
        let load = self.load()?;
        std::thread::sleep(turn / 2);
        let (mut times, mut pause_us) = (Vec::new(), 0f64);
        let (mut calm, mut busy) = (Vec::new(), Vec::new());
        let rate = |before: u64, begun: Instant| {
            (load.snapshot().answers - before) as f64 / begun.elapsed().as_secs_f64()
        };
        for _ in 0..turns {
            let (before, begun) = (load.snapshot().answers, Instant::now());
            std::thread::sleep(turn);
            calm.push(rate(before, begun));
            let (before, begun) = (load.snapshot().answers, Instant::now());
            while begun.elapsed() < turn {
                let asked = Instant::now();
                match link::ask(self.nodes[0].address, &Message::Checkpoint, PATIENCE)
                    .map_err(|error| Failure::new(format!("no checkpoint: {error}")))?
                {
                    Message::Answer { .. } => times.push(asked.elapsed().as_secs_f64() * 1e3),
                    Message::Refuse { why } => return Err(Failure::new(why)),
                    _ => return Err(Failure::new("a checkpoint was answered with something else")),
                }
            }
            busy.push(rate(before, begun));
            let status = self.nodes[0].status().map_err(|error| Failure::new(error.to_string()))?;
            pause_us = pause_us.max(status.checkpoint.map_or(0.0, |checkpoint| checkpoint.pause_us));
        }
        load.stop();
        let loss_percent = 100.0 * (1.0 - median(&busy) / median(&calm));
        progress(&format!(
            "{} checkpoints, one after another: {loss_percent:.1} % of requests lost",
            times.len()
        ));
        Ok(Saved { ms: median(&times), pause_us, loss_percent })
    }

    /// Kills all nodes at random moments under load, and starts them again from their stores.
    fn kill_all(&mut self, rounds: usize) -> Result<Back, Failure> {
        let mut prng = Prng::new(draw_u64());
        let load = {
            let mut config = KvConfig::new(self.cluster.service);
            config.clients = 6;
            KvLoad::start(config)?
        };
        let mut times = Vec::new();
        for round in 1..=rounds {
            std::thread::sleep(Duration::from_millis(prng.between(100, 500)));
            for node in &self.nodes {
                node.kill_now()?;
            }
            for node in &mut self.nodes {
                node.kill()?;
            }
            let gone = Instant::now();
            let first = prng.below(2) as usize;
            let address: SocketAddr = self.nodes[first].address;
            self.nodes[first] = self.cluster.resumed(&self.nodes[first])?;
            self.nodes[1 - first] = self.cluster.restarted(&self.nodes[1 - first], &[address])?;
            let answered = loop {
                if let Some(at) = load.first_answer_to_request_after(gone) {
                    break at;
                }
                if gone.elapsed() > PATIENCE {
                    let tail = self.nodes[first].tail();
                    return Err(Failure::new(format!(
                        "no answer after a restart; the node's last lines:{tail}"
                    )));
                }
                std::thread::sleep(Duration::from_millis(1));
            };
            times.push(answered.saturating_duration_since(gone).as_secs_f64() * 1e3);
            progress(&format!(
                "all killed, {round} of {rounds}: first answer after {:.0} ms",
                times[round - 1]
            ));
            // Either may be primary by now.
            let until = Instant::now() + PATIENCE;
            while !self
                .nodes
                .iter()
                .any(|node| node.status().is_ok_and(|s| s.role == "primary" && s.protected))
            {
                if Instant::now() > until {
                    return Err(Failure::new(format!("no pair again:{}", self.nodes[first].tail())));
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let report = load.stop();
        for words in &report.evidence {
            progress(words);
        }
        let wrong = report.lost + report.duplicated + report.contradictions + report.answers_too_many;
        Ok(Back { ms: times, report, wrong })
    }
}

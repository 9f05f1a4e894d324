//! What a request costs: in time, alone and under fault tolerance, and in log.

use std::path::Path;
use std::time::{Duration, Instant};

use super::progress;
use super::sheet::{Figure, Section, Target};
use crate::base::Seq;
use crate::host::failure::Failure;
use crate::host::logdir::LogDir;
use crate::lab::guests;
use crate::lab::kvclient::Report;
use crate::lab::stage::Stage;
use crate::log::Event;
use crate::machine::Input;

const MANY: usize = 16;

pub fn measure(dir: &Path, quick: bool) -> Result<Section, Failure> {
    let long = Duration::from_millis(if quick { 1000 } else { 3000 });
    let mut stage = Stage::start(dir, guests::KV, false, None)?;
    let one_alone = drive(&mut stage, 1, long, "alone")?;
    let many_alone = drive(&mut stage, MANY, long, "alone")?;
    stage.protect()?;
    let one_guarded = drive(&mut stage, 1, long, "with a backup")?;
    let many_guarded = drive(&mut stage, MANY, long, "with a backup")?;
    let idle = idle(&mut stage, Duration::from_secs(if quick { 2 } else { 3 }))?;
    let request = logged(&mut stage, long)?;
    let us = "us";
    let figures = vec![
        Figure::new("latency_alone_p50_us", "one client, alone: p50", one_alone.p50_us as f64, us),
        Figure::new("latency_alone_p99_us", "one client, alone: p99", one_alone.p99_us as f64, us),
        Figure::new("latency_ft_p50_us", "one client, with backup: p50", one_guarded.p50_us as f64, us),
        Figure::new("latency_ft_p99_us", "one client, with backup: p99", one_guarded.p99_us as f64, us),
        Figure::new(
            "throughput_alone_per_s",
            "16 clients, alone",
            many_alone.answers_per_second,
            "requests/s",
        ),
        Figure::new(
            "throughput_ft_per_s",
            "16 clients, with backup",
            many_guarded.answers_per_second,
            "requests/s",
        ),
        Figure::new("log_idle_bytes_per_s", "log of an idle guest", idle, "bytes/s")
            .target(Target::Under(1000.0)),
        Figure::new("log_bytes_per_request", "log of a request, beyond its packet", request, "bytes")
            .target(Target::Under(150.0)),
    ];
    Ok(Section { title: "Requests to kv, and their log", figures })
}

fn drive(stage: &mut Stage, clients: usize, time: Duration, how: &str) -> Result<Report, Failure> {
    let load = stage.load(|kv| (kv.clients, kv.read_back) = (clients, false))?;
    stage.dwell(time)?;
    let report = load.stop();
    progress(&format!(
        "kv {how}, {clients} clients: {:.0} requests/s, p50 {} us, p99 {} us",
        report.answers_per_second, report.p50_us, report.p99_us
    ));
    Ok(report)
}

/// Bytes of log a second while no client sends anything.
fn idle(stage: &mut Stage, time: Duration) -> Result<f64, Failure> {
    stage.dwell(Duration::from_millis(200))?;
    let (before, begun) = (stage.tally()?.log_bytes, Instant::now());
    stage.dwell(time)?;
    let bytes = stage.tally()?.log_bytes - before;
    let rate = bytes as f64 / begun.elapsed().as_secs_f64();
    progress(&format!("kv idle: {rate:.0} bytes of log a second"));
    Ok(rate)
}

/// Bytes of log for each request frame beyond the frame itself, with one client: nothing is shared
/// with another request. The frames' sizes come from a backup that records.
fn logged(stage: &mut Stage, time: Duration) -> Result<f64, Failure> {
    stage.lose_backup()?;
    stage.cluster.record = true;
    stage.protect()?;
    stage.dwell(Duration::from_millis(100))?;
    let before = stage.tally()?.status;
    let load = stage.load(|kv| (kv.clients, kv.read_back) = (1, false))?;
    stage.dwell(time)?;
    load.stop();
    let after = stage.tally()?.status;
    let record = stage.record_of_backup()?;
    // What is acknowledged is on its way to the recording.
    stage.dwell(Duration::from_millis(100))?;
    let (frames, frame_bytes) = frames(&record, before.log_seq, after.log_seq)?;
    if frames == 0 {
        return Err(Failure::new("no request is in the backup's log"));
    }
    let each = (after.log_bytes - before.log_bytes - frame_bytes) as f64 / frames as f64;
    progress(&format!("kv: {each:.0} bytes of log for each of {frames} requests, beyond its packet"));
    Ok(each)
}

/// How many inbound frames there are after entry `after` and up to `to`, and their bytes.
fn frames(record: &Path, after: Seq, to: Seq) -> Result<(u64, u64), Failure> {
    let (mut count, mut bytes) = (0, 0);
    for place in LogDir::open(record)?.read() {
        let entry = place?.entry;
        if entry.seq > to {
            break;
        }
        if let Event::Input(Input::NetFrame { frame, .. }) = &entry.event
            && entry.seq > after
        {
            count += 1;
            bytes += frame.len() as u64;
        }
    }
    Ok((count, bytes))
}

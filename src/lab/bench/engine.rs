//! How fast the machine runs each guest: in this process, recorded as by `lockstep run`, unobserved.

use std::time::{Duration, Instant};

use super::progress;
use super::sheet::{Figure, Section, Target, median};
use crate::base::{Icount, Seq};
use crate::ft::Settings;
use crate::host::failure::Failure;
use crate::host::os::{fill_entropy, wall_clock_ns};
use crate::lab::guests;
use crate::machine::{Input, Output};
use crate::net::Mac;
use crate::net::ether::{self, Station};
use crate::net::gateway::{GATEWAY_IP, GATEWAY_MAC, GUEST_IP};
use crate::replay::recorder::{DIGEST_EVERY_DEFAULT, FRAME_BYTES_SOFT};
use crate::replay::{Answers, RecordStop, Recorder};

const RAM_BYTES: u64 = 4 << 20;
const CHURN_RAM_BYTES: u64 = 64 << 20;
/// Shorter than it takes to end.
const CHURN_INSTRUCTIONS: u64 = 500_000_000;
/// Enough of `crunch` to have seen its first kernels, where there is little time.
const QUICK_INSTRUCTIONS: u64 = 300_000_000;

/// The host's clock and entropy.
struct Here(Instant);

impl Answers for Here {
    fn ticks(&mut self) -> u64 {
        (self.0.elapsed().as_nanos() / 100) as u64
    }

    fn entropy(&mut self, bytes: &mut [u8]) {
        fill_entropy(bytes);
    }

    fn host_id(&mut self) -> u64 {
        rustix::thread::sched_getcpu() as u64
    }

    fn wall_clock_ns(&mut self) -> u64 {
        wall_clock_ns()
    }
}

pub fn measure(quick: bool) -> Result<Section, Failure> {
    let time = Duration::from_millis(if quick { 400 } else { 1500 });
    let limit = if quick { QUICK_INSTRUCTIONS } else { u64::MAX };
    let crunch = rates("crunch", guests::CRUNCH, 3, if quick { Duration::ZERO } else { 4 * time }, limit)?;
    let mut figures = vec![
        Figure::new("crunch_minstr_per_s", "crunch: pure compute", crunch, "M instructions/s")
            .target(Target::AtLeast(200.0)),
    ];
    for (key, label, name, guest) in [
        ("clock_minstr_per_s", "clock: asks for the time, always", "clock", guests::CLOCK),
        ("ticker_minstr_per_s", "ticker: timer interrupts", "ticker", guests::TICKER),
        ("smc_minstr_per_s", "smc: self-modifying code", "smc", guests::SMC),
    ] {
        figures.push(Figure::new(key, label, rates(name, guest, 3, time, u64::MAX)?, "M instructions/s"));
    }
    let (share, longest) = digests()?;
    figures.push(
        Figure::new("digest_share_percent", "churn: time in digests of its state", share, "%")
            .target(Target::Under(5.0)),
    );
    figures.push(Figure::new("digest_max_ms", "churn: the longest digest", longest, "ms"));
    let (instructions, requests) = kv(time)?;
    figures.push(Figure::new(
        "kv_minstr_per_s",
        "kv: requests without end",
        instructions,
        "M instructions/s",
    ));
    figures.push(Figure::new("kv_requests_per_s", "kv: the same, by requests", requests, "requests/s"));
    Ok(Section { title: "The engine alone, in one thread (medians)", figures })
}

/// The median rate of passes through `guest`, in millions of instructions a second: at least
/// `passes`, and for at least `time`; each up to `limit` instructions.
fn rates(name: &str, guest: &[u8], passes: usize, time: Duration, limit: u64) -> Result<f64, Failure> {
    let begun = Instant::now();
    let mut rates = Vec::new();
    while rates.len() < passes || begun.elapsed() < time {
        rates.push(pass(name, guest, limit)?);
    }
    progress(&format!("{name}: {:.0} M instructions/s, median of {}", median(&rates), rates.len()));
    Ok(median(&rates))
}

/// As a node has it.
fn slice(recorder: &Recorder) -> u64 {
    Settings::default().slice(recorder.pace(), recorder.machine().clock_rate(), false)
}

fn pass(name: &str, guest: &[u8], limit: u64) -> Result<f64, Failure> {
    let mut recorder = Recorder::new(guests::boot(guest, name, RAM_BYTES)?, Seq(1));
    let mut world = Here(Instant::now());
    let mut outputs = Vec::new();
    while recorder.icount().get() < limit {
        let stop = recorder.run(recorder.icount().plus(slice(&recorder)), &mut world, &mut outputs);
        outputs.clear();
        if recorder.log_bytes_waiting() >= FRAME_BYTES_SOFT {
            recorder.flush(false);
        }
        match stop {
            RecordStop::Slice => {}
            // Asks again until the timer is due: nothing else can come.
            RecordStop::Idle => std::hint::spin_loop(),
            RecordStop::Halted(exit) if exit.status() == 0 => break,
            RecordStop::Halted(exit) => {
                return Err(Failure::new(format!("the guest {name} ended with {exit}")));
            }
        }
    }
    Ok(recorder.icount().get() as f64 / world.0.elapsed().as_secs_f64() / 1e6)
}

/// What the digests of a recording cost a guest that hardly leaves a page of its memory as it was
/// between two of them: percent of its time, and milliseconds of the longest.
fn digests() -> Result<(f64, f64), Failure> {
    let mut recorder = Recorder::new(guests::boot(guests::CHURN, "churn", CHURN_RAM_BYTES)?, Seq(1));
    let mut world = Here(Instant::now());
    let (mut outputs, mut spent, mut longest) = (Vec::new(), Duration::ZERO, Duration::ZERO);
    let mut due = DIGEST_EVERY_DEFAULT;
    while recorder.icount().get() < CHURN_INSTRUCTIONS {
        let until = recorder.icount().plus(slice(&recorder)).min(Icount(due));
        recorder.run(until, &mut world, &mut outputs);
        recorder.flush(false);
        if recorder.icount().get() == due {
            let begun = Instant::now();
            recorder.record_digest();
            let took = begun.elapsed();
            (spent, longest, due) = (spent + took, longest.max(took), due + DIGEST_EVERY_DEFAULT);
        }
    }
    let share = 100.0 * spent.as_secs_f64() / world.0.elapsed().as_secs_f64();
    progress(&format!("churn: {share:.2} % of its time in digests"));
    Ok((share, longest.as_secs_f64() * 1e3))
}

/// `kv` with a request always waiting: millions of instructions, and requests, a second.
fn kv(time: Duration) -> Result<(f64, f64), Failure> {
    let machine = guests::boot(guests::KV, "kv", RAM_BYTES)?;
    let gateway = Station { mac: GATEWAY_MAC, ip: GATEWAY_IP };
    let guest = Station { mac: Mac(machine.config().mac), ip: GUEST_IP };
    let mut recorder = Recorder::new(machine, Seq(1));
    let mut world = Here(Instant::now());
    let (mut outputs, mut rx_seq, mut answers) = (Vec::new(), 0, 0u64);
    while world.0.elapsed() < time {
        while recorder.machine().net_ready() {
            rx_seq += 1;
            let text = match rx_seq % 2 {
                0 => format!("{rx_seq} GET key{}", rx_seq % 64),
                _ => format!("{rx_seq} SET key{} value{rx_seq}", rx_seq % 64),
            };
            let frame = ether::udp(gateway, 40_000, guest, 9000, text.as_bytes());
            recorder.deliver(Input::NetFrame { rx_seq, frame })?;
        }
        recorder.run(recorder.icount().plus(slice(&recorder)), &mut world, &mut outputs);
        answers +=
            outputs.drain(..).filter(|(_, output)| matches!(output, Output::Net { .. })).count() as u64;
        recorder.flush(false);
    }
    if answers == 0 {
        return Err(Failure::new("the guest kv answered nothing"));
    }
    let seconds = world.0.elapsed().as_secs_f64();
    let (rate, requests) = (recorder.icount().get() as f64 / seconds / 1e6, answers as f64 / seconds);
    progress(&format!("kv: {rate:.0} M instructions/s, {requests:.0} requests/s"));
    Ok((rate, requests))
}

//! `lockstep client`: drives the `kv` guest and checks every answer, or asks it one thing.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::cli::Failure;
use crate::host::say::say;
use crate::host::stop::Stop;
use crate::lab::kvclient::{KvConfig, KvLoad, Report, RequestError, request};

/// Put a verifying load on the kv guest, or send it one request.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The forwarded port of the kv guest, like 127.0.0.1:9000.
    #[arg(value_name = "ADDR", value_parser = super::arg::address)]
    server: SocketAddr,
    /// One request, like `PING` or `SET key value`; without it, a load.
    #[arg(value_name = "REQUEST", trailing_var_arg = true, conflicts_with_all = ["clients", "seconds", "json", "seed", "pause_us"])]
    request: Vec<String>,
    /// How many clients, each with one request under way. The guest remembers the last answers of
    /// 128.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    clients: u32,
    /// For how long.
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    seconds: f64,
    /// Each client waits this long, in microseconds, before its next request.
    #[arg(long, value_name = "US", default_value_t = 0)]
    pause_us: u64,
    /// Decides the mix of requests.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// Print the report as one JSON object.
    #[arg(long)]
    json: bool,
}

/// How long one request may take.
const REQUEST_PATIENCE: Duration = Duration::from_secs(5);

/// Exit code 0 when every answer was right, 1 when one was not.
pub fn run(args: &Args) -> Result<u8, Failure> {
    if args.request.is_empty() {
        return load(args);
    }
    let answer = ask(args.server, &args.request.join(" "))?;
    writeln!(io::stdout(), "{answer}")?;
    Ok(u8::from(answer.starts_with("ERR")))
}

fn ask(server: SocketAddr, text: &str) -> Result<String, Failure> {
    request(server, text, REQUEST_PATIENCE).map_err(|error| match error {
        RequestError::Unanswered { .. } => Failure::new(error).fix(
            "is a switch forwarding this port (`--forward udp:HOST:PORT=9000`), and the kv guest running?",
        ),
        RequestError::Socket { .. } => Failure::new(error),
    })
}

fn load(args: &Args) -> Result<u8, Failure> {
    let time = Duration::try_from_secs_f64(args.seconds).map_err(|_| {
        Failure::new(format!("{} is not a number of seconds", args.seconds)).fix("give --seconds 10")
    })?;
    let stop = Stop::on_signals()?;
    // A missing server is better reported at once than by a load that waits for it.
    ask(args.server, "PING")?;
    let load = KvLoad::start(KvConfig {
        clients: args.clients as usize,
        pause: Duration::from_micros(args.pause_us),
        seed: args.seed,
        ..KvConfig::new(args.server)
    })
    .map_err(|error| {
        Failure::new(format!("cannot open {} sockets: {error}", args.clients)).fix("use fewer --clients")
    })?;
    let begun = Instant::now();
    while begun.elapsed() < time && !stop.is_asked_within(time.saturating_sub(begun.elapsed()).min(TICK)) {
        if !args.json {
            let report = load.snapshot();
            say!(
                "client: {:5.1} s, {} answers, {} acknowledged writes, p50 {} us, longest gap {:.1} ms",
                report.seconds,
                report.answers,
                report.acked_writes,
                report.p50_us,
                report.longest_gap_ms
            );
        }
    }
    let report = load.stop();
    if args.json {
        serde_json::to_writer(io::stdout(), &report)?;
        writeln!(io::stdout())?;
    } else {
        print(&report)?;
    }
    Ok(u8::from(!report.is_clean()))
}

/// Between two lines of progress.
const TICK: Duration = Duration::from_secs(1);

fn print(report: &Report) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let rows: [(&str, String); 14] = [
        ("clients", report.clients.to_string()),
        ("seconds", format!("{:.1}", report.seconds)),
        ("answers", format!("{} ({:.0} per second)", report.answers, report.answers_per_second)),
        ("acknowledged writes", report.acked_writes.to_string()),
        ("lost", report.lost.to_string()),
        ("duplicated", report.duplicated.to_string()),
        ("contradictions", report.contradictions.to_string()),
        ("answers too many", report.answers_too_many.to_string()),
        ("errors", report.errors.to_string()),
        ("requests repeated", report.repeats.to_string()),
        ("requests given up", report.given_up.to_string()),
        ("keys read back", report.verified_keys.to_string()),
        ("latency p50 / p99 / max", format!("{} / {} / {} us", report.p50_us, report.p99_us, report.max_us)),
        ("longest gap", format!("{:.1} ms", report.longest_gap_ms)),
    ];
    for (name, value) in rows {
        writeln!(out, "{name:24} {value}")?;
    }
    for words in &report.evidence {
        writeln!(out, "  {words}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser, Debug)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Result<Args, String> {
        let words = std::iter::once("client").chain(line.split_whitespace());
        Command::try_parse_from(words).map(|command| command.args).map_err(|error| error.to_string())
    }

    #[test]
    fn a_load_and_a_request_are_told_apart() {
        let args = parse("127.0.0.1:9000 --clients 4 --seconds 2.5 --json").unwrap();
        assert!(args.request.is_empty() && args.clients == 4 && args.json);
        assert_eq!(parse("127.0.0.1:9000 SET key -5").unwrap().request, ["SET", "key", "-5"]);
        assert!(parse("127.0.0.1:9000 --clients 0").is_err());
        assert!(parse("localhost").is_err());
    }
}

//! `lockstep rehearse`: would the takeover by this backup work?

use std::time::Duration;

use serde_json::Value;

use super::Failure;
use super::tool::Asking;
use crate::ft::{Message, REHEARSAL_SECONDS_MAX};
use crate::host::driver::plain;
use crate::host::say::put;

/// Forks the state of the backup at ADDR while it follows on, and takes the fork live in a sandbox: with the host's time
/// and entropy, with the backup's disks as they were, and without any output.
#[derive(clap::Args)]
#[command(after_help = "Exit status: 0 the guest goes on, 1 it does not, or nothing was tried, 2 no answer.")]
pub struct Args {
    #[command(flatten)]
    asking: Asking,
    /// How long the guest is tried, in seconds.
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=i64::from(REHEARSAL_SECONDS_MAX)))]
    seconds: u32,
}

pub fn run(args: &Args) -> Result<u8, Failure> {
    let fix = "name the --listen address of a backup; `lockstep status` shows whether it is one";
    let (takes, message) =
        (Duration::from_secs(args.seconds.into()), Message::Rehearse { seconds: args.seconds });
    let json = match args.asking.ask_for(takes, &message, "answer", fix)? {
        Ok(json) => json,
        Err(why) => {
            put!("{why}")?;
            return Ok(1);
        }
    };
    let answer: Value = serde_json::from_str(&json).map_err(Failure::new)?;
    if args.asking.json {
        put!("{json}")?;
    } else {
        put!("{}", told(&answer))?;
    }
    Ok(u8::from(answer["goes_on"] != true))
}

/// The answer, for people.
fn told(answer: &Value) -> String {
    let mut told = format!(
        "forked at {} (the backup stood still for {:.2} ms), live after {} ms, for {} ms\n",
        answer["forked_at"],
        answer["pause_ms"].as_f64().unwrap_or_default(),
        answer["live_after_ms"],
        answer["ran_ms"]
    );
    told.push_str(&format!(
        "{} instructions, {} timer interrupts; not sent: {} frames, {} console bytes; on disks in memory: {} reads, {} \
         writes\n",
        answer["instructions"],
        answer["timers"],
        answer["frames"],
        answer["console_bytes"],
        answer["disk_reads"],
        answer["disk_writes"]
    ));
    match answer["answered"].as_bool() {
        Some(true) => told.push_str("it answered an ARP request\n"),
        Some(false) => {
            told.push_str("it answered no ARP request for the address that the gateway gives it\n")
        }
        None => {}
    }
    match answer["why"].as_str() {
        None => told.push_str("the guest goes on: a takeover by this backup would work"),
        Some(why) => told.push_str(&format!("a takeover would fail: {}", plain(why))),
    }
    told
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use serde_json::json;

    use super::*;

    /// The exit status when a node answers with `message`.
    fn status_of(message: Message) -> u8 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let node = listener.local_addr().unwrap();
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; 10]).unwrap();
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            stream.write_all(&bytes).unwrap();
            // Until it has gone.
            stream.read_to_end(&mut Vec::new()).ok();
        });
        let status = run(&Args { asking: Asking { node, json: true }, seconds: 1 });
        answering.join().unwrap();
        status.unwrap_or_else(|failure| panic!("{failure}"))
    }

    #[test]
    fn the_exit_status_is_the_verdict() {
        let answer = |goes_on: bool| Message::Answer { json: json!({ "goes_on": goes_on }).to_string() };
        assert_eq!([status_of(answer(true)), status_of(answer(false))], [0, 1]);
        assert_eq!(status_of(Message::Refuse { why: "no".into() }), 1);
    }

    #[test]
    fn an_answer_is_told_and_its_end_is_the_verdict() {
        let answer = json!({
            "forked_at": 900, "pause_ms": 0.456, "live_after_ms": 80, "ran_ms": 2000, "instructions": 5, "timers": 3,
            "frames": 1, "console_bytes": 7, "disk_reads": 2, "disk_writes": 4, "answered": true, "goes_on": true,
            "why": null,
        });
        let lines = told(&answer);
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(
            lines,
            [
                "forked at 900 (the backup stood still for 0.46 ms), live after 80 ms, for 2000 ms",
                "5 instructions, 3 timer interrupts; not sent: 1 frames, 7 console bytes; on disks in memory: 2 reads, 4 writes",
                "it answered an ARP request",
                "the guest goes on: a takeover by this backup would work",
            ]
        );
        let told = told(&json!({ "answered": null, "why": "the guest\nonly traps" }));
        assert!(told.ends_with("\na takeover would fail: the guest\u{fffd}only traps"), "{told}");
    }
}

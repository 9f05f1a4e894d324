//! `lockstep status`: how a node is. Its exit status is for scripts: 0 all is well, 1 something is not (the guest
//! is unprotected, the switch down, refusing or fencing, the arbiter in trouble), 2 no answer.

use std::io::ErrorKind;
use std::time::Duration;

use super::Failure;
use super::tool::Asking;
use crate::ft::detector::Watch;
use crate::ft::{Ack, FollowerStatus, Message, NodeStatus};
use crate::host::driver::plain;
use crate::host::link::{self, LinkError};
use crate::host::say::put;

/// A node that has not answered by then does not.
const WITHIN: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
#[command(
    after_help = "Exit status: 0 all is well, 1 something is not (the line `well` says what), 2 no answer."
)]
pub struct Args {
    #[command(flatten)]
    asking: Asking,
}

pub fn run(args: &Args) -> Result<u8, Failure> {
    let status = fetch(args.asking.node)?;
    let troubles = status.troubles();
    let code = u8::from(!troubles.is_empty());
    if args.asking.json {
        put!("{}", serde_json::to_string(&status)?)?;
        return Ok(code);
    }
    let audit = status.last_audit.as_ref().map_or("none yet".to_owned(), |audit| {
        format!("digests agreed {} times, last at {}: {}", status.audits_agreed, audit.icount, audit.digest)
    });
    let transfer = status.transfer.map_or(String::new(), |(done, of)| format!(", {done} of {of} chunks"));
    let disks = status.disk_transfer.map_or(String::new(), |(compared, copied, of)| {
        format!(", disks: {compared} of {of} chunks compared, {copied} copied")
    });
    put!("vm          {} (node {})", status.vm, status.node)?;
    put!(
        "role        {} ({}{transfer}{disks}), generation {}",
        status.role,
        status.phase,
        status.generation
    )?;
    if let Some(seeking) = &status.seeking {
        put!("seeking     {}", plain(seeking))?;
    }
    put!("protected   {}", unprotected_because(&status).unwrap_or("yes"))?;
    put!("peer        {}", plain(status.peer.as_deref().unwrap_or("none")))?;
    for follower in &status.followers {
        put!("follower    {}", described(follower))?;
    }
    put!(
        "node        lockstep {}, up {:.0} s, {} takeovers, {} suspicions",
        plain(&status.version),
        status.uptime_s,
        status.takeovers,
        status.suspicions
    )?;
    if let Some(engine) = &status.engine {
        let share = status.translated.map_or(String::new(), |share| {
            format!(", {:.1} % of its instructions translated", 100.0 * share)
        });
        put!("engine      {}{share}", plain(engine))?;
    }
    let ended = status.recording_trouble.as_ref().map_or(String::new(), |why| format!(": {}", plain(why)));
    put!("recording   {}{ended}", plain(&status.recording))?;
    put!("log counts  {}", counts(&status))?;
    if let Some(store) = stored(&status) {
        put!("store       {store}")?;
    }
    let why = status.switch_trouble.as_ref().map_or(String::new(), |why| format!(": {}", plain(why)));
    put!("switch      {}{why}", plain(&status.switch))?;
    put!("position    {} (log entry {})", status.icount, status.log_seq)?;
    put!("lag         {:.1} ms, {} instructions", status.lag_ms, status.lag_instructions)?;
    put!("log         {} bytes", status.log_bytes)?;
    put!("gate        {} outputs, {} bytes waiting", status.gated_outputs, status.gated_bytes)?;
    put!("audit       {audit}")?;
    if let Some(last) = &status.last_divergence {
        put!("divergences {}, the last of {}", status.divergences, plain(last))?;
    }
    put!("arbiter     {}", plain(status.arbiter_trouble.as_deref().unwrap_or("answers")))?;
    if let Some(watch) = &status.watch {
        put!("watch       {}", watched(watch))?;
    }
    if let Some(how) = &status.beats_run {
        put!("beats       sent and received {}", plain(how))?;
    }
    if let Some(ms) = status.transfer_pause_ms {
        put!("pause       {ms:.0} ms while the last backup's copy of the state was made")?;
    }
    let well =
        if troubles.is_empty() { "yes".to_owned() } else { format!("no: {}", plain(&troubles.join("; "))) };
    put!("well        {well}")?;
    Ok(code)
}

/// When an entry counts.
fn counts(status: &NodeStatus) -> &'static str {
    match status.ack {
        Ack::Memory => "in the memory of those who count",
        Ack::Disk => "on the disks of those who count",
    }
}

/// What the node's store holds; none without one.
fn stored(status: &NodeStatus) -> Option<String> {
    if let Some(why) = &status.store_trouble {
        return Some(format!("ended: {}", plain(why)));
    }
    let holds = status.store?;
    let checkpoint = status.checkpoint.map_or_else(
        || "no checkpoint since this process began".to_owned(),
        |kept| format!("last checkpoint at {}, {:.0} s ago", kept.icount, kept.age_s),
    );
    Some(format!(
        "{} bytes, durable up to entry {}, goes back to entry {}; {checkpoint}",
        holds.bytes, holds.durable, holds.oldest
    ))
}

/// One of the nodes that follow a primary.
fn described(follower: &FollowerStatus) -> String {
    let FollowerStatus { node, addr, phase, acked, lag_ms, .. } = follower;
    let at = addr.as_deref().unwrap_or("an address that it has not reported");
    format!("{} at {} ({}), holds entry {acked}, {lag_ms:.1} ms behind", plain(node), plain(at), plain(phase))
}

/// How the peer is watched: what was set, and what was made of it.
fn watched(watch: &Watch) -> String {
    let Watch { silence_ms, allowed_ms, hang_ms, pause_here_ms, pause_there_ms, stalled_ms, beats } = watch;
    let heard = if *beats { "its beats arrive" } else { "no beats arrive" };
    let adapted = match allowed_ms > silence_ms {
        true => format!(
            " ({silence_ms:.0} set; beats were late by up to {pause_here_ms:.0} ms here, {pause_there_ms:.0} there)"
        ),
        false => String::new(),
    };
    let stalled = match *stalled_ms >= 100.0 {
        true => format!("; its node has not moved for {stalled_ms:.0} ms"),
        false => String::new(),
    };
    format!(
        "{heard}; suspected after {allowed_ms:.0} ms of silence{adapted}, or {hang_ms:.0} ms without progress{stalled}"
    )
}

fn unprotected_because(status: &NodeStatus) -> Option<&'static str> {
    match status.switch.as_str() {
        _ if status.protected => None,
        "refused" => Some("no: the switch refuses this node, and the guest is cut off"),
        fenced if fenced.starts_with("fenced") => {
            Some("no: the switch serves another generation, and the guest is cut off")
        }
        _ => Some("no: a fault now ends the guest's life"),
    }
}

/// Asks up to three times: a node with a crowd at its port may have made room of us before it read our question.
fn ask_again(address: std::net::SocketAddr) -> Result<Message, LinkError> {
    let pushed_out = |error: &LinkError| match error {
        LinkError::Closed => true,
        LinkError::Io(error) => matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
        _ => false,
    };
    let mut answer = link::ask(address, &Message::Status, WITHIN);
    for _ in 0..2 {
        if !answer.as_ref().is_err_and(pushed_out) {
            break;
        }
        answer = link::ask(address, &Message::Status, WITHIN);
    }
    answer
}

/// Asks the node at `address`.
pub fn fetch(address: std::net::SocketAddr) -> Result<NodeStatus, Failure> {
    let failed = |what: String| {
        Failure::new(format!("{address} gives no status: {what}"))
            .fix("name the --listen address of a `lockstep primary` or `lockstep backup` that runs")
    };
    match ask_again(address) {
        Ok(Message::Answer { json }) => {
            serde_json::from_str(&json).map_err(|error| failed(error.to_string()))
        }
        Ok(_) => Err(failed("it answered something else".into())),
        Err(error) => Err(failed(error.to_string())),
    }
}

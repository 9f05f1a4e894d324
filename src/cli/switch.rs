//! `lockstep switch`: the network piece that outlives the VM.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;

use crate::cli::{Failure, arg};
use crate::host::arbiter::Place;
use crate::host::say::say;
use crate::host::stop::Stop;
use crate::host::switch::{
    BindError, QueryError, SwitchOptions, SwitchReport, SwitchServer, TapName, UplinkSpec, query,
};
use crate::net::{Forward, Outbound, resolvers};

/// Connect VMs to each other and to host ports; keep the network while VMs die and are replaced.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Where VMs attach, like 127.0.0.1:7000.
    #[arg(long, value_name = "ADDR", required_unless_present = "status", value_parser = arg::address)]
    listen: Option<SocketAddr>,
    // Not a doc comment: the text in brackets would be a link.
    #[arg(
        long,
        value_name = "PROTO:HOST:PORT=GUESTPORT",
        value_parser = arg::forward,
        help = "Forward a host port to the guest, like tcp:127.0.0.1:8080=80 or udp:[::1]:9000=9000. May be repeated"
    )]
    forward: Vec<Forward>,
    /// Connect the VMs to this TAP device instead of the built-in gateway, so that they can be in one
    /// bridge with the host's network. It is made if it does not exist and this process may.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["forward", "outbound", "dns", "uplink"])]
    tap: Option<TapName>,
    /// Connect the VMs to this instead of the built-in gateway: passt:SOCKET.
    #[arg(long, value_name = "passt:SOCKET", conflicts_with_all = ["forward", "outbound", "dns"])]
    uplink: Option<UplinkSpec>,
    /// The arbiter of the VMs' nodes. Needed where primary and backup have a switch each: this one then
    /// learns of takeovers at the other, and drops an old primary's frames.
    #[arg(long, value_name = "DIR|etcd:URLS/PREFIX", value_parser = Place::parse)]
    arbiter: Option<Place>,
    /// Let the guest connect to these addresses beyond its network, like 192.0.2.0/24:443 or 0.0.0.0/0. May
    /// be repeated; without it the guest reaches nothing there.
    #[arg(long, value_name = "CIDR[:PORT]")]
    outbound: Vec<Outbound>,
    /// The resolver that answers the guest's DNS queries, at 10.0.2.3: an address, or `off`. The default is
    /// the host's own (/etc/resolv.conf).
    #[arg(long, value_name = "ADDR|off", value_parser = Dns::parse)]
    dns: Option<Dns>,
    /// Ask the switch at this address how it is, instead of running one.
    #[arg(long, value_name = "ADDR", value_parser = arg::address, conflicts_with_all = ["listen", "forward", "outbound", "dns", "tap", "uplink", "arbiter"])]
    status: Option<SocketAddr>,
    /// Print the counters at the end as one JSON object.
    #[arg(long)]
    json: bool,
}

/// The value of `--dns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dns {
    Off,
    At(SocketAddr),
}

impl Dns {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Dns::Off);
        }
        arg::address_or(text, 53).map(Dns::At).map_err(|error| {
            format!("neither `off` nor a resolver's address like 192.0.2.53 or 127.0.0.1:5353: {error}")
        })
    }
}

/// Runs a switch until SIGTERM or SIGINT, or asks one.
pub fn run(args: &Args) -> Result<u8, Failure> {
    match (args.status, args.listen) {
        (Some(at), _) => ask(at),
        (None, Some(listen)) => serve(listen, args),
        (None, None) => Err(Failure::new("a switch needs an address to listen at").fix("add --listen ADDR")),
    }
}

fn ask(at: SocketAddr) -> Result<u8, Failure> {
    let json = query(at).map_err(|error| {
        let fix = match &error {
            QueryError::Unreachable { .. } => "is `lockstep switch --listen` running there?",
            QueryError::NotASwitch { .. } | QueryError::Refused { .. } | QueryError::Unexpected { .. } => {
                "give the address of a switch of this version (its --listen)"
            }
        };
        Failure::new(error).fix(fix)
    })?;
    writeln!(io::stdout(), "{json}")?;
    Ok(0)
}

fn serve(listen: SocketAddr, args: &Args) -> Result<u8, Failure> {
    let uplink = args.tap.clone().map(UplinkSpec::Tap).or(args.uplink.clone());
    let arbiter = args.arbiter.as_ref().map(arg::arbiter).transpose()?;
    // Before anything is announced: a signal right after it gets a clean end.
    let stop = Stop::on_signals()?;
    let resolvers = match args.dns {
        Some(Dns::Off) => Vec::new(),
        Some(Dns::At(address)) => vec![address],
        // A host without the file has no resolver.
        None => resolvers(&fs::read_to_string("/etc/resolv.conf").unwrap_or_default()),
    };
    let (forwards, outbound) = (args.forward.clone(), args.outbound.clone());
    let options = SwitchOptions { forwards, outbound, resolvers, uplink: uplink.clone() };
    let mut server = SwitchServer::open(listen, options).map_err(explain)?;
    if let Some(arbiter) = arbiter {
        server.watch_claims(arbiter)?;
    }
    say!("switch: VMs attach at {}", server.local_addr()?);
    for (index, forward) in args.forward.iter().enumerate() {
        let (at, proto) = (server.forward_addr(index)?, forward.proto);
        say!("switch: {proto}:{at} leads to guest port {}", forward.guest_port);
    }
    if let Some(uplink) = uplink {
        say!("switch: the VMs' network is the {uplink}");
    }
    let report = server.run(&stop)?;
    if args.json {
        serde_json::to_writer(io::stdout(), &report)?;
        writeln!(io::stdout())?;
    } else {
        print(&report)?;
    }
    Ok(0)
}

fn explain(error: BindError) -> Failure {
    let kind = match &error {
        BindError::Listen { error, .. } | BindError::Forward { error, .. } | BindError::Kernel { error } => {
            error.kind()
        }
        BindError::Uplink(uplink) => {
            let fix = uplink.fix();
            return Failure::new(error).fix(fix);
        }
    };
    let failure = Failure::new(error);
    match kind {
        ErrorKind::AddrInUse => failure
            .fix("another process has this port: stop it (`ss -lnptu` shows it) or choose another port"),
        ErrorKind::PermissionDenied => failure.fix("ports below 1024 are privileged: choose a higher one"),
        ErrorKind::AddrNotAvailable => {
            failure.fix("this host does not have that address: use one it has, such as 127.0.0.1")
        }
        _ => failure,
    }
}

fn print(report: &SwitchReport) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for (name, vm) in &report.switch.vms {
        writeln!(
            out,
            "{name}: generation {}, {} frames out ({} duplicates dropped, {} stale, {} gaps), {} frames in ({} sent again, {} dropped)",
            vm.generation,
            vm.fence.accepted,
            vm.fence.duplicates,
            vm.fence.stale,
            vm.fence.gaps,
            vm.inbound.queued,
            vm.inbound.resent,
            vm.inbound.dropped_full,
        )?;
    }
    for (name, vm) in &report.switch.vms {
        if let Some(elsewhere) = &vm.address_elsewhere {
            let (address, at, seen) = (&elsewhere.address, &elsewhere.at, elsewhere.seen);
            writeln!(out, "{name}: its {address} is also used by {at}, {seen} times")?;
        }
    }
    if let (Some(frames), Some(wire)) = (&report.switch.uplink, &report.uplink_wire) {
        writeln!(
            out,
            "uplink: {} frames out ({} announcements, {} unsent), {} in; lost {} times",
            frames.frames_out, frames.announcements, wire.unsent, frames.frames_in, wire.lost
        )?;
    } else {
        let gateway = &report.switch.gateway;
        writeln!(
            out,
            "gateway: {} datagrams to guests, {} to clients, {} unsent",
            gateway.datagrams_to_guest, gateway.datagrams_to_host, report.datagrams_unsent
        )?;
        let tcp = &gateway.tcp;
        writeln!(
            out,
            "tcp: {} connections opened ({} refused for their number, {} by the guest), {} finished, {} reset by the guest, {} by clients, {} unanswered, {} open; {} bytes in, {} bytes out",
            tcp.opened,
            tcp.refused_full,
            tcp.refused_by_guest,
            tcp.finished,
            tcp.reset_by_guest,
            tcp.reset_by_client,
            tcp.unanswered,
            tcp.open,
            tcp.bytes_to_guest,
            tcp.bytes_to_clients
        )?;
    }
    for (why, count) in &report.switch.dropped {
        writeln!(out, "dropped {why:?}: {count}")?;
    }
    for (why, count) in &report.switch.closed {
        writeln!(out, "closed {why:?}: {count}")?;
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
        let words = std::iter::once("switch").chain(line.split_whitespace());
        Command::try_parse_from(words).map(|command| command.args).map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_of_the_user_guide_parses() {
        let args =
            parse("--listen 127.0.0.1:7000 --forward udp:127.0.0.1:9000=9000 --forward udp:[::1]:9000=9000");
        assert_eq!(args.unwrap().forward.len(), 2);
        assert!(parse("--status 127.0.0.1:7000").is_ok());
    }

    #[test]
    fn bad_arguments_are_told_in_words() {
        assert!(parse("").unwrap_err().contains("--listen"));
        let error = parse("--listen 127.0.0.1:7000 --forward sctp:127.0.0.1:80=80").unwrap_err();
        assert!(error.contains("tcp: or udp:"), "{error}");
        let error = parse("--listen 127.0.0.1:7000 --outbound example.com").unwrap_err();
        assert!(error.contains("address range"), "{error}");
        let error = parse("--listen 127.0.0.1:7000 --dns no").unwrap_err();
        assert!(error.contains("resolver's address"), "{error}");
        assert_eq!(
            parse("--listen 127.0.0.1:7000 --dns ::1").unwrap().dns,
            Some(Dns::At("[::1]:53".parse().unwrap()))
        );
        assert!(parse("--status 127.0.0.1:7000 --listen 127.0.0.1:7000").is_err());
    }

    #[test]
    fn an_occupied_port_comes_with_a_fix() {
        let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let args = parse(&format!("--listen {}", holder.local_addr().unwrap())).unwrap();
        let failure = SwitchServer::bind(args.listen.unwrap(), vec![]).map_err(explain).err().unwrap();
        assert!(failure.fix.unwrap().contains("another port"), "{}", failure.what);
    }

    #[test]
    fn a_privileged_port_and_an_address_of_another_host_come_with_a_fix() {
        let at: SocketAddr = "127.0.0.1:80".parse().unwrap();
        // Tests that run as root may have that port.
        let listen = explain(BindError::Listen { at, error: ErrorKind::PermissionDenied.into() });
        let forward = "tcp:127.0.0.1:80=80".parse().unwrap();
        let forward = explain(BindError::Forward { forward, error: ErrorKind::PermissionDenied.into() });
        for failure in [listen, forward] {
            assert!(failure.what.contains("127.0.0.1:80"), "{}", failure.what);
            assert!(failure.fix.unwrap().contains("higher one"), "{}", failure.what);
        }
        let elsewhere = "192.0.2.1:7000".parse().unwrap();
        let failure = SwitchServer::bind(elsewhere, vec![]).map_err(explain).err().unwrap();
        assert!(failure.fix.unwrap().contains("does not have that address"), "{}", failure.what);
    }
}

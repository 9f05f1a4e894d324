//! A backup whose replay differs from the log: what it says, in order, what it keeps, and what it becomes.

use super::arbiter::Claim;
use super::command::{Command, Halt};
use super::event::Event;
use super::link::LinkId;
use super::pair_tests::{AT_BACKUP, Pair};
use super::testing::shown;
use super::{Message, Settings};
use crate::base::{Digest, Generation, NodeId};
use crate::log;
use crate::log::frame::FrameBuilder;

const MS: u64 = 1_000_000;
const PRIMARY_AT: &str = "10.0.0.1:7";

/// A pair whose backup counts, and knows where its primary listens.
fn guarded(rejoins: bool) -> Pair {
    let mut pair = Pair::with(Settings { stores: true, ..Settings::default() });
    pair.primary.listens_at(PRIMARY_AT.into());
    if rejoins {
        pair.backup.rejoins();
    }
    let mut pair = pair.until_guarded();
    pair.others = Default::default();
    pair
}

/// The backup is given a digest that is not its machine's, as if a bit of that had flipped; it has not looked yet.
fn differ(pair: &mut Pair) {
    let status = pair.backup.status(pair.host.now_ns);
    assert_eq!((status.lag_instructions, status.phase.as_str()), (0, "following"));
    let mut frame = FrameBuilder::new();
    let digest = log::Event::Digest(Digest(1));
    frame.push(&log::Entry { seq: status.log_seq.next(), at: status.icount, event: digest });
    pair.backup.step(
        Event::Message { link: pair.links[1], message: Message::Log(frame.finish()) },
        pair.host.now_ns,
    );
    pair.backup.take_commands();
}

/// What the backup wants done once it has looked, and has nothing more to do at this time.
fn look(pair: &mut Pair) -> Vec<Command> {
    let mut commands = Vec::new();
    for _ in 0..4 {
        pair.backup.run(&mut pair.host);
        commands.extend(pair.backup.take_commands());
    }
    commands.retain(|command| !matches!(command, Command::Send { message: Message::Ack { .. }, .. }));
    commands
}

/// The beginning of each command.
fn heads(commands: Vec<Command>) -> Vec<String> {
    let mut commands = commands;
    let head = |text: &String| text.split(['(', '{', ':']).next().unwrap_or_default().trim().to_owned();
    shown(&mut commands).iter().map(head).collect()
}

fn holds(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

/// Its store is distrusted before anybody hears of it.
pub fn nothing_goes_on_from_what_a_diverged_node_holds() -> Result<(), String> {
    let mut pair = guarded(true);
    differ(&mut pair);
    let commands = look(&mut pair);
    holds(
        matches!(
            &commands[..2],
            [Command::Distrust(_), Command::Send { link: AT_BACKUP, message: Message::Diverged(_) }]
        ),
        || format!("{commands:?}"),
    )?;
    let standing = pair.backup.standing();
    holds(standing.nodes.is_empty() && standing.counts.is_none(), || format!("{standing:?}"))
}

/// Whenever the primary dies behind the divergence, this node does not claim its place.
pub fn a_diverged_node_does_not_bid() -> Result<(), String> {
    for dies_at in 0..3 {
        let mut pair = guarded(true);
        differ(&mut pair);
        let gone = Event::LinkClosed { link: AT_BACKUP, why: "it died".into() };
        let mut said = look(&mut pair);
        for at in 0..3 {
            if at == dies_at {
                pair.backup.step(gone.clone(), pair.host.now_ns);
            }
            if at == 1 {
                pair.backup.step(Event::RoleLeft, pair.host.now_ns);
            }
            // A claim that it had under way does not bring it back either.
            let outcome = Ok(Claim::Won);
            pair.backup.step(Event::Claimed { generation: Generation(2), outcome }, pair.host.now_ns);
            pair.host.now_ns += 1000 * MS;
            said.extend(look(&mut pair));
        }
        let bids = said.iter().any(|command| matches!(command, Command::Claim { .. }));
        holds(!bids && !pair.backup.is_primary(), || format!("dies at {dies_at}: {said:?}"))?;
        holds(pair.backup.generation_and_holder().is_none(), || "it follows somebody".into())?;
        holds(pair.backup.disk_standing().is_none(), || "its disks are good for something".into())?;
    }
    Ok(())
}

/// It asks to join under a new identity, and keeps nothing of its machine.
pub fn a_diverged_node_keeps_nothing() -> Result<(), String> {
    let mut pair = guarded(true);
    let id = pair.backup.id();
    differ(&mut pair);
    look(&mut pair);
    holds(pair.backup.icount().get() == 0 && pair.backup.executed().is_none(), || "it has a machine".into())?;
    pair.backup.step(Event::RoleLeft, pair.host.now_ns);
    let commands = look(&mut pair);
    holds(matches!(&commands[..], [Command::Dial { address }] if address == PRIMARY_AT), || {
        format!("{commands:?}")
    })?;
    let outcome = Ok(LinkId(21));
    pair.backup.step(Event::Dialed { address: PRIMARY_AT.into(), outcome }, pair.host.now_ns);
    let commands = pair.backup.take_commands();
    let joins = |command: &Command| match command {
        Command::Send { link: LinkId(21), message: Message::Join { node, .. } } => *node != id,
        _ => false,
    };
    holds(commands.iter().any(joins), || format!("{commands:?}"))
}

#[test]
fn who_diverges_says_so_and_leaves_its_role_in_this_order() {
    let mut pair = guarded(true);
    differ(&mut pair);
    let at = pair.backup.icount();
    let mut commands = look(&mut pair);
    assert!(
        matches!(&commands.last(), Some(Command::LeaveRole { halt: Halt::Diverged(divergence) }) if divergence.machine_at == at),
        "{commands:?}"
    );
    commands.retain(|command| !matches!(command, Command::Tell(text) if text.starts_with("  ")));
    assert_eq!(
        heads(commands),
        [
            "Distrust",
            "20 Diverged",
            "20 closed",
            "Warn",
            "tell this node leaves the log, and gets the state anew from the primary",
            "LeaveRole"
        ]
    );
    let status = pair.backup.status(pair.host.now_ns);
    assert_eq!((status.role.as_str(), status.phase.as_str(), status.divergences), ("backup", "seeking", 1));
    assert!(status.last_divergence.unwrap().starts_with(&format!("this node, at {at} (entry ")));
}

#[test]
fn the_machine_and_the_log_are_evidence_where_they_are_wanted() {
    for rejoins in [true, false] {
        let mut pair = guarded(rejoins);
        pair.backup.keeps_evidence();
        differ(&mut pair);
        let (at, seq) = (pair.backup.icount(), pair.backup.status(0).log_seq);
        let commands = look(&mut pair);
        let evidence: Vec<_> = commands
            .iter()
            .filter_map(|command| match command {
                Command::KeepEvidence(evidence) => Some(evidence),
                _ => None,
            })
            .collect();
        let [evidence] = &evidence[..] else { panic!("{commands:?}") };
        assert_eq!((evidence.machine.icount(), evidence.divergence.seq), (at, seq));
        let scanned: Vec<_> = {
            let mut rest = &evidence.log[..];
            let mut entries = Vec::new();
            while !rest.is_empty() {
                let (more, used) = log::frame::decode_frame(rest).unwrap();
                entries.extend(more);
                rest = &rest[used..];
            }
            entries
        };
        assert_eq!(scanned.last().map(|entry| entry.seq), Some(seq));
        assert!(scanned.len() > 1);
    }
}

#[test]
fn nothing_is_gone_on_from() {
    assert_eq!(nothing_goes_on_from_what_a_diverged_node_holds(), Ok(()));
}

#[test]
fn whenever_the_primary_dies_it_does_not_bid() {
    assert_eq!(a_diverged_node_does_not_bid(), Ok(()));
}

#[test]
fn it_joins_as_another_node_and_keeps_nothing() {
    assert_eq!(a_diverged_node_keeps_nothing(), Ok(()));
}

#[test]
fn the_pair_is_whole_again_without_a_person() {
    let mut pair = guarded(true);
    differ(&mut pair);
    for command in look(&mut pair) {
        match command {
            Command::Send { message, .. } => {
                pair.primary.step(Event::Message { link: pair.links[0], message }, pair.host.now_ns);
            }
            other => pair.others[1].push(other),
        }
    }
    let status = pair.primary.status(pair.host.now_ns);
    assert_eq!((status.degraded, status.protected, status.divergences), (true, false, 1));
    let reported = status.last_divergence.unwrap();
    assert!(reported.starts_with(&format!("node {}, at ", NodeId(2))), "{reported}");
    let won = Event::Claimed { generation: Generation(2), outcome: Ok(Claim::Won) };
    pair.primary.step(won, pair.host.now_ns);
    let alert = format!("the backup {} reports a divergence", NodeId(2));
    let warns = |command: &Command| matches!(command, Command::Warn(text) if text.starts_with(&alert));
    let commands = pair.primary.take_commands();
    assert!(commands.iter().any(warns), "{commands:?}");
    assert_eq!(pair.primary.status(pair.host.now_ns).generation, Generation(2));
    pair.backup.step(Event::RoleLeft, pair.host.now_ns);
    look(&mut pair);
    pair.links = [LinkId(10), LinkId(21)];
    pair.backup.step(Event::Dialed { address: PRIMARY_AT.into(), outcome: Ok(LinkId(21)) }, pair.host.now_ns);
    let pair = pair.until_guarded();
    let status = pair.primary.status(pair.host.now_ns);
    assert_eq!((status.degraded, status.counting(), status.divergences), (false, 1, 1));
    let backup = pair.backup.status(pair.host.now_ns);
    assert_eq!((backup.generation, backup.protected), (Generation(2), true));
    assert_eq!(pair.backup.icount(), pair.primary.icount());
}

/// Three divergences within an hour: what the node does after each: the last command of each.
#[test]
fn who_diverges_again_waits_and_the_third_time_within_an_hour_ends() {
    let mut pair = guarded(true);
    for (round, wait_ns) in [(0, 0), (1, 5000 * MS)] {
        differ(&mut pair);
        let commands = look(&mut pair);
        assert!(matches!(commands.last(), Some(Command::LeaveRole { .. })), "{round}: {commands:?}");
        let since = pair.host.now_ns;
        pair.backup.step(Event::RoleLeft, since);
        if wait_ns > 0 {
            pair.host.now_ns = since + wait_ns - 1;
            assert!(look(&mut pair).is_empty());
        }
        pair.host.now_ns = since + wait_ns;
        assert!(matches!(&look(&mut pair)[..], [Command::Dial { .. }]));
        // A new connection, at a primary that has noticed the end of the last one.
        let gone = Event::LinkClosed { link: pair.links[0], why: "it left".into() };
        pair.primary.step(gone, pair.host.now_ns);
        let generation = Generation(round + 2);
        pair.primary.step(Event::Claimed { generation, outcome: Ok(Claim::Won) }, pair.host.now_ns);
        pair.primary.take_commands();
        pair.links = [LinkId(30 + round), LinkId(40 + round)];
        let outcome = Ok(pair.links[1]);
        pair.backup.step(Event::Dialed { address: PRIMARY_AT.into(), outcome }, pair.host.now_ns);
        pair = pair.until_guarded();
    }
    differ(&mut pair);
    let commands = look(&mut pair);
    assert!(matches!(commands.last(), Some(Command::Halt(Halt::Diverged(_)))), "{commands:?}");
    let says =
        |command: &Command| matches!(command, Command::Warn(text) if text.contains("3 times within an hour"));
    assert!(commands.iter().any(says), "{commands:?}");
    assert!(pair.backup.is_halted());
}

#[test]
fn who_takes_part_once_and_who_may_be_the_last_end_with_the_divergence() {
    for linked in [true, false] {
        let mut pair = guarded(!linked);
        differ(&mut pair);
        if !linked {
            let gone = Event::LinkClosed { link: AT_BACKUP, why: "it died".into() };
            pair.backup.step(gone, pair.host.now_ns);
            let commands = pair.backup.take_commands();
            assert!(commands.iter().any(|command| matches!(command, Command::Claim { .. })), "{commands:?}");
        }
        let commands = look(&mut pair);
        assert!(matches!(&commands[0], Command::Distrust(_)), "{commands:?}");
        assert!(matches!(commands.last(), Some(Command::Halt(Halt::Diverged(_)))), "{commands:?}");
        let outcome = Ok(Claim::Won);
        pair.backup.step(Event::Claimed { generation: Generation(2), outcome }, pair.host.now_ns);
        pair.host.now_ns += 1000 * MS;
        assert!(look(&mut pair).is_empty() && pair.backup.is_halted());
    }
}

#[test]
fn a_wrong_report_costs_the_primary_nothing_but_the_reporter() {
    let mut pair = guarded(true);
    differ(&mut pair);
    let commands = look(&mut pair);
    let Some(Command::Send { message, .. }) = commands.into_iter().nth(1) else { panic!("no report") };
    // From a stranger.
    pair.primary.step(Event::Message { link: LinkId(99), message }, pair.host.now_ns);
    let status = pair.primary.status(pair.host.now_ns);
    assert_eq!((status.divergences, status.counting()), (0, 1));
    let commands = pair.primary.take_commands();
    assert!(matches!(&commands[..], [Command::Close { link: LinkId(99) }]), "{commands:?}");
    assert_eq!(pair.primary.id(), NodeId(1));
}

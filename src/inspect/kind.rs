//! The kinds of entries, as filters, tables and lanes name them.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use thiserror::Error;

use crate::cpu::Answer;
use crate::log::Event;
use crate::machine::{Channel, Input};

/// What kind of entry it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Time,
    Seed,
    HostId,
    WallClock,
    NetIn,
    ConsoleIn,
    Timer,
    Entropy,
    DiskDone,
    NetOut,
    ConsoleOut,
    Horizon,
    Digest,
    Generation,
    Joined,
    SwitchOver,
    End,
}

/// Which way an entry points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// An instruction asked.
    Answers,
    /// The world acted.
    Inputs,
    /// The guest spoke.
    Outputs,
    /// The replicas' own.
    Control,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("no entry is of kind {name:?}; there are {}", Kind::ALL.map(Kind::name).join(", "))]
pub struct UnknownKind {
    pub name: String,
}

impl Kind {
    pub const ALL: [Kind; 17] = [
        Kind::Time,
        Kind::Seed,
        Kind::HostId,
        Kind::WallClock,
        Kind::NetIn,
        Kind::ConsoleIn,
        Kind::Timer,
        Kind::Entropy,
        Kind::DiskDone,
        Kind::NetOut,
        Kind::ConsoleOut,
        Kind::Horizon,
        Kind::Digest,
        Kind::Generation,
        Kind::Joined,
        Kind::SwitchOver,
        Kind::End,
    ];

    pub const fn of(event: &Event) -> Kind {
        match event {
            Event::Input(Input::Answer(Answer::Time(_))) => Kind::Time,
            Event::Input(Input::Answer(Answer::Entropy(_))) => Kind::Seed,
            Event::Input(Input::Answer(Answer::HostId(_))) => Kind::HostId,
            Event::Input(Input::Answer(Answer::WallClock(_))) => Kind::WallClock,
            Event::Input(Input::NetFrame { .. }) => Kind::NetIn,
            Event::Input(Input::Console(_)) => Kind::ConsoleIn,
            Event::Input(Input::TimerDue { .. }) => Kind::Timer,
            Event::Input(Input::Entropy(_)) => Kind::Entropy,
            Event::Input(Input::DiskDone(_)) => Kind::DiskDone,
            Event::Output(mark) => match mark.channel {
                Channel::Net => Kind::NetOut,
                Channel::Console => Kind::ConsoleOut,
            },
            Event::Horizon => Kind::Horizon,
            Event::Digest(_) => Kind::Digest,
            Event::Generation { .. } => Kind::Generation,
            Event::Joined { .. } => Kind::Joined,
            Event::SwitchOver => Kind::SwitchOver,
            Event::End(_) => Kind::End,
        }
    }

    /// The name on the command line and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Time => "time",
            Kind::Seed => "seed",
            Kind::HostId => "host-id",
            Kind::WallClock => "wall-clock",
            Kind::NetIn => "net-in",
            Kind::ConsoleIn => "console-in",
            Kind::Timer => "timer",
            Kind::Entropy => "entropy",
            Kind::DiskDone => "disk-done",
            Kind::NetOut => "net-out",
            Kind::ConsoleOut => "console-out",
            Kind::Horizon => "horizon",
            Kind::Digest => "digest",
            Kind::Generation => "generation",
            Kind::Joined => "joined",
            Kind::SwitchOver => "switch-over",
            Kind::End => "end",
        }
    }

    pub const fn group(self) -> Group {
        match self {
            Kind::Time | Kind::Seed | Kind::HostId | Kind::WallClock => Group::Answers,
            Kind::NetIn | Kind::ConsoleIn | Kind::Timer | Kind::Entropy | Kind::DiskDone => Group::Inputs,
            Kind::NetOut | Kind::ConsoleOut => Group::Outputs,
            Kind::Horizon | Kind::Digest | Kind::Generation | Kind::Joined | Kind::SwitchOver | Kind::End => {
                Group::Control
            }
        }
    }
}

impl Group {
    pub const ALL: [Group; 4] = [Group::Answers, Group::Inputs, Group::Outputs, Group::Control];

    pub const fn name(self) -> &'static str {
        match self {
            Group::Answers => "answers",
            Group::Inputs => "inputs",
            Group::Outputs => "outputs",
            Group::Control => "control",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        Kind::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| UnknownKind { name: name.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_listed_in_order_and_go_by_their_names() {
        for (i, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, i);
            assert_eq!(kind.name().parse(), Ok(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
        let error = "net".parse::<Kind>().unwrap_err().to_string();
        assert!(error.contains("\"net\"") && error.contains("net-in"), "{error}");
    }
}

//! The kinds of entries, as filters, tables and lanes name them.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

use crate::cpu::Answer;
use crate::log::Event;
use crate::machine::{Channel, Input};

/// Makes [`Kind`] of its table: a new kind of entry is a row there, an arm in [`Kind::of`], and its
/// description in [`super::view`] (the compiler asks for both).
macro_rules! kinds {
    ($($kind:ident $name:literal $group:ident $begins:expr;)*) => {
        /// What kind of entry it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind {
            $($kind,)*
        }

        impl Kind {
            pub const ALL: [Kind; [$(Kind::$kind),*].len()] = [$(Kind::$kind),*];

            /// The name on the command line and in JSON.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Kind::$kind => $name,)*
                }
            }

            pub const fn group(self) -> Group {
                match self {
                    $(Kind::$kind => Group::$group,)*
                }
            }

            /// What the guest is about from such an entry on, until another one begins something else:
            /// inputs from outside only, what follows from one belongs to it.
            pub const fn begins(self) -> Option<&'static str> {
                match self {
                    $(Kind::$kind => $begins,)*
                }
            }
        }
    };
}

kinds! {
    Time       "time"        Answers None;
    Seed       "seed"        Answers None;
    HostId     "host-id"     Answers None;
    WallClock  "wall-clock"  Answers None;
    NetIn      "net-in"      Inputs  Some("network");
    ConsoleIn  "console-in"  Inputs  Some("console");
    ConsoleSize "console-size" Inputs Some("console");
    Timer      "timer"       Inputs  Some("timer");
    Clock      "clock"       Inputs  None;
    Entropy    "entropy"     Inputs  Some("entropy");
    DiskDone   "disk-done"   Inputs  Some("disk");
    NetOut     "net-out"     Outputs None;
    ConsoleOut "console-out" Outputs None;
    Horizon    "horizon"     Control None;
    Digest     "digest"      Control None;
    Generation "generation"  Control None;
    Joined     "joined"      Control None;
    SwitchOver "switch-over" Control None;
    Typed      "typed"       Control None;
    End        "end"         Control None;
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
    pub const fn of(event: &Event) -> Kind {
        match event {
            Event::Input(Input::Answer(Answer::Time(_))) => Kind::Time,
            Event::Input(Input::Answer(Answer::Entropy(_))) => Kind::Seed,
            Event::Input(Input::Answer(Answer::HostId(_))) => Kind::HostId,
            Event::Input(Input::Answer(Answer::WallClock(_))) => Kind::WallClock,
            Event::Input(Input::NetFrame { .. }) => Kind::NetIn,
            Event::Input(Input::Console(_)) => Kind::ConsoleIn,
            Event::Input(Input::ConsoleSize { .. }) => Kind::ConsoleSize,
            Event::Input(Input::TimerDue { .. }) => Kind::Timer,
            Event::Input(Input::Clock { .. }) => Kind::Clock,
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
            Event::Typed { .. } => Kind::Typed,
            Event::End(_) => Kind::End,
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

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
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

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
    ($($(#[$doc:meta])* $kind:ident $name:literal $group:ident $begins:expr;)*) => {
        /// What kind of entry it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            /// Every kind, in the order of the table: `kind as usize` is its place here.
            pub const ALL: [Kind; [$(Kind::$kind),*].len()] = [$(Kind::$kind),*];

            /// The name on the command line and in JSON.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Kind::$kind => $name,)*
                }
            }

            /// Which way entries of this kind point.
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
    /// A read of the time, answered; in ticks of 100 ns.
    Time       "time"        Answers None;
    /// A read of the `seed` CSR, answered with 16 bits of entropy.
    Seed       "seed"        Answers None;
    /// The id of the host CPU, asked for by the guest.
    HostId     "host-id"     Answers None;
    /// The host's time of day, asked for by the guest; nanoseconds since 1970 (UTC).
    WallClock  "wall-clock"  Answers None;
    /// A network frame for the guest.
    NetIn      "net-in"      Inputs  Some("network");
    /// Bytes typed on the console.
    ConsoleIn  "console-in"  Inputs  Some("console");
    /// The console's size in columns and rows.
    ConsoleSize "console-size" Inputs Some("console");
    /// A timer of the guest's is due.
    Timer      "timer"       Inputs  Some("timer");
    /// The guest's clock goes on from another time or at another rate.
    Clock      "clock"       Inputs  None;
    /// Bytes for the guest's entropy device.
    Entropy    "entropy"     Inputs  Some("entropy");
    /// The end of a disk request, with what a read has read.
    DiskDone   "disk-done"   Inputs  Some("disk");
    /// The mark of a network frame that the guest sent.
    NetOut     "net-out"     Outputs None;
    /// The mark of console bytes that the guest wrote.
    ConsoleOut "console-out" Outputs None;
    /// Nothing else happened up to here.
    Horizon    "horizon"     Control None;
    /// The recorder's digest of the state.
    Digest     "digest"      Control None;
    /// A node became primary.
    Generation "generation"  Control None;
    /// From here on a backup counts for the output rule.
    Joined     "joined"      Control None;
    /// From here on a backup does not count any more.
    Left       "left"        Control None;
    /// The primary stopped here on purpose, for its backup to go on.
    SwitchOver "switch-over" Control None;
    /// Every replica with a store saves its state here.
    Checkpoint "checkpoint"  Control None;
    /// How much of an attach session's input is delivered.
    Typed      "typed"       Control None;
    /// The guest ended.
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

/// A name that is none of [`Kind::ALL`]'s; the message lists them.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("no entry is of kind {name:?}; there are {}", Kind::ALL.map(Kind::name).join(", "))]
pub struct UnknownKind {
    /// The name as it was given.
    pub name: String,
}

impl Kind {
    /// The kind of an entry with this event. Payloads play no part, so it is right for entries read without them.
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
            Event::Left { .. } => Kind::Left,
            Event::SwitchOver { .. } => Kind::SwitchOver,
            Event::Checkpoint => Kind::Checkpoint,
            Event::Typed { .. } => Kind::Typed,
            Event::End(_) => Kind::End,
        }
    }
}

impl Group {
    /// Every group, in the order of the picture's legend.
    pub const ALL: [Group; 4] = [Group::Answers, Group::Inputs, Group::Outputs, Group::Control];
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

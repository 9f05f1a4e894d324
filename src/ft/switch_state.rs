//! The guest's connection to the switch, as the node reports it.

use std::fmt::{self, Display, Formatter};

use crate::base::Generation;

/// ```text
/// None               no switch was named
/// Down --attached--> Up --connection lost--> Down
///   |                 |
///   +--> Refused <----+--> Fenced --that generation, or a newer one, activates--> Up
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SwitchState {
    /// This node has no switch: its guest has no network.
    #[default]
    None,
    /// There is no connection; it is tried again and again.
    Down {
        /// The reason, for the operator.
        why: String,
    },
    /// The switch knows this node.
    Up,
    /// The switch does not want this node. It is asked again, slowly.
    Refused {
        /// The switch's reason.
        why: String,
    },
    /// The switch serves a newer generation of this vm, and drops what this node sends.
    Fenced {
        /// That generation.
        by: Generation,
    },
}

impl SwitchState {
    /// False when the guest's frames are dropped for a reason that time alone does not heal.
    pub fn serves(&self) -> bool {
        !matches!(self, Self::Refused { .. } | Self::Fenced { .. })
    }

    /// True when the switch serves a generation after `generation`.
    pub fn fenced_past(&self, generation: Generation) -> bool {
        matches!(self, Self::Fenced { by } if *by > generation)
    }

    /// Why the connection is down or refused.
    pub fn trouble(&self) -> Option<&str> {
        match self {
            Self::Down { why } | Self::Refused { why } => Some(why),
            Self::None | Self::Up | Self::Fenced { .. } => None,
        }
    }
}

impl Display for SwitchState {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Down { .. } => f.write_str("down"),
            Self::Up => f.write_str("up"),
            Self::Refused { .. } => f.write_str("refused"),
            Self::Fenced { by } => write!(f, "fenced by {by}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_shows_whether_the_guest_is_served_and_why_not() {
        let why = || "of a reason".to_owned();
        let fenced = SwitchState::Fenced { by: Generation(3) };
        for (state, text, serves, trouble) in [
            (SwitchState::None, "none", true, None),
            (SwitchState::Down { why: why() }, "down", true, Some("of a reason")),
            (SwitchState::Up, "up", true, None),
            (SwitchState::Refused { why: why() }, "refused", false, Some("of a reason")),
            (fenced.clone(), "fenced by 3", false, None),
        ] {
            assert_eq!(
                (state.to_string().as_str(), state.serves(), state.trouble()),
                (text, serves, trouble)
            );
            assert!(state == fenced || !state.fenced_past(Generation::ZERO));
        }
        assert!(fenced.fenced_past(Generation(2)));
        assert!(!fenced.fenced_past(Generation(3)), "its own generation is served");
    }
}

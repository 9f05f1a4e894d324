//! A failed command: what went wrong, and what to do next.

use std::fmt;

use super::logdir::LogError;

/// Printed to stderr as `lockstep: what` and `  fix: what to do`, with exit status 2.
#[derive(Debug)]
pub struct Failure {
    /// What went wrong, without a full stop.
    pub what: String,
    /// What to do next, as an order: "start it with ...".
    pub fix: Option<String>,
}

impl Failure {
    /// A failure for which no remedy is known.
    pub fn new(what: impl fmt::Display) -> Self {
        Self { what: what.to_string(), fix: None }
    }

    /// A recording that cannot be begun or gone on with.
    pub fn of_recording(error: LogError) -> Self {
        let fix =
            error.fix().unwrap_or_else(|| "free some space, or choose another --record directory".into());
        Self::new(error).fix(fix)
    }

    /// Adds what the user can do about it.
    pub fn fix(mut self, fix: impl fmt::Display) -> Self {
        self.fix = Some(fix.to_string());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        match &self.fix {
            Some(fix) => write!(f, "\n  fix: {fix}"),
            None => Ok(()),
        }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

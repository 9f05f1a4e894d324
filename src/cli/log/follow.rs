//! Going on with a log that is being written, as `tail -f` does, across its segments.

use std::path::Path;
use std::time::Duration;

use super::{Failure, Halt};
use crate::host::logdir::Follower;
use crate::host::stop::Stop;
use crate::log::Event;
use crate::log::scan::{Place, ScanTotals};

/// How often a followed log is looked at again.
const PERIOD: Duration = Duration::from_millis(50);

/// A log that is followed until the guest's end, or SIGINT or SIGTERM, which then end us in good order.
pub(super) struct Following {
    follower: Follower,
    stop: Stop,
    ended: bool,
    /// Entries until the next look at whether we shall end: looking costs more than reading.
    unlooked: u32,
}

const LOOK_EVERY: u32 = 1024;

impl Following {
    pub fn open(dir: &Path) -> Result<Self, Halt> {
        let follower = Follower::open(dir)?;
        let stop = Stop::on_signals().map_err(Failure::from)?;
        Ok(Self { follower, stop, ended: false, unlooked: 0 })
    }

    /// The next entry; none when there is none yet, or the log is over.
    pub fn next(&mut self) -> Result<Option<Place>, Halt> {
        self.unlooked = self.unlooked.checked_sub(1).unwrap_or(LOOK_EVERY);
        self.ended |= self.unlooked == 0 && self.stop.is_asked_within(Duration::ZERO);
        if self.ended {
            return Ok(None);
        }
        let place = self.follower.poll()?;
        self.ended = place.as_ref().is_some_and(|place| matches!(place.entry.event, Event::End(_)));
        Ok(place)
    }

    /// How much has been read.
    pub fn totals(&self) -> ScanTotals {
        self.follower.totals()
    }

    /// After there was no entry: waits a little; whether there will be none.
    pub fn is_over(&self) -> bool {
        self.ended || self.stop.is_asked_within(PERIOD)
    }
}

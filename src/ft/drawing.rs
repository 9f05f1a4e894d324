//! A state that is drawn while its machine runs on: piece by piece, between two slices, at a pace that the guest does not
//! notice.
//!
//! Absent on purpose: who wants the state, and what becomes of the pieces.

use super::world::World;
use crate::machine::{Machine, Piece, SaveStep, SaveUnderWay, SavedHead};
use crate::mem::Extent;

/// Pages that are drawn at a time.
const PAGES_A_PIECE: usize = 8;
/// Of the time, drawing takes one part in so many while the guest runs.
const REST_PARTS: u64 = 24;
/// Pages that were written before they were drawn may take so much memory.
const ASIDE_BYTES_MAX: u64 = 64 << 20;
/// Pieces that are drawn before the guest runs on, when more than [`ASIDE_BYTES_MAX`] waits.
const PIECES_IN_A_ROW: usize = 64;
/// How soon to try again when no more pieces are taken.
const FULL_NS: u64 = 250_000;

/// A part of a state.
pub(super) enum Drawn {
    /// Once, before the first piece.
    Head(Box<SavedHead>),
    Piece(Piece),
}

/// The pace at which a state is drawn.
#[derive(Debug, Default)]
pub(super) struct Drawing {
    /// When the next piece may be drawn.
    next_ns: u64,
}

impl Drawing {
    /// Begins to save `extent` of `machine` as it is here; its outputs have been taken. For how long it stood still, in nanoseconds.
    ///
    /// # Errors
    /// Its state is being drawn already.
    pub fn begin<W: World>(
        &mut self,
        machine: &mut Machine,
        extent: Extent,
        world: &mut W,
    ) -> Result<u64, SaveUnderWay> {
        let begun_ns = world.now_ns();
        machine.begin_save(ASIDE_BYTES_MAX, extent)?;
        self.next_ns = 0;
        Ok(world.now_ns().saturating_sub(begun_ns))
    }

    /// Draws what is due, as long as `takes`, and gives it to `give`; true once there is nothing left.
    pub fn draw<W: World>(
        &mut self,
        machine: &mut Machine,
        world: &mut W,
        takes: impl Fn(&mut W) -> bool,
        mut give: impl FnMut(Drawn),
    ) -> bool {
        let is_short = machine.save_is_short();
        let started_ns = world.now_ns();
        if !is_short && started_ns < self.next_ns {
            return false;
        }
        let (mut is_over, mut has_drawn) = (false, false);
        for _ in 0..if is_short { PIECES_IN_A_ROW } else { 1 } {
            if is_over || !takes(world) {
                break;
            }
            has_drawn = true;
            match machine.save_next(PAGES_A_PIECE) {
                SaveStep::Working => {}
                SaveStep::Head(head) => give(Drawn::Head(head)),
                SaveStep::Piece(piece) => give(Drawn::Piece(piece)),
                SaveStep::End => is_over = true,
            }
        }
        let took_ns = world.now_ns().saturating_sub(started_ns);
        let rest_ns = if has_drawn { took_ns.saturating_mul(REST_PARTS) } else { FULL_NS };
        self.next_ns = started_ns.saturating_add(rest_ns);
        is_over
    }

    /// When the next piece is due.
    pub fn next_look_ns(&self, now_ns: u64) -> u64 {
        self.next_ns.max(now_ns + 1)
    }
}

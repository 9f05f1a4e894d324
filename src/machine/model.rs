//! Which board a machine has: what `--disk ...,slot=N` and `--no-net` choose, and what a recording keeps.
//!
//! A guest finds out what its devices are like, so two replicas must have the same ones, and a
//! recording must be replayed on those that it was made on. Therefore the [`BoardModel`] is part of
//! the machine's configuration. The *revision* covers what cannot be chosen.
//!
//! | revision | virtio vendor | a driver without VERSION_1 | a transmit interrupt that is claimed and not read | CLINT, RTC: offsets without a register |
//! |---|---|---|---|---|
//! | 1 | `lock` | gets no FEATURES_OK | is raised again at its completion | fault |
//! | 2 | `QEMU` | is served, with the legacy header of the network | is not | read 0, ignore writes |

use serde::{Deserialize, Serialize};

use super::config::BadConfig;
use super::map::{CONSOLE_SLOT, DISK_SLOT_FIRST, NET_SLOT, RNG_SLOT, VIRTIO_SLOTS};
use crate::devices::disk::DISKS_MAX;

/// The newest revision.
pub const REVISION: u8 = 2;

/// What a virtio slot is for. One for a disk that the machine does not have is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Occupant {
    /// The slot shows device ID 0 (Virtio 1.2, 4.2.3.1.1).
    Nothing,
    /// The network device.
    Net,
    /// The entropy source.
    Rng,
    /// The console device.
    Console,
    /// By its number, from 0.
    Disk(u8),
}

type Slots = [Occupant; VIRTIO_SLOTS as usize];

/// The board that a machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoardModel {
    /// 1 or 2.
    pub revision: u8,
    /// What each virtio slot holds, by the slot's number.
    pub slots: Slots,
}

impl Default for BoardModel {
    fn default() -> Self {
        Self { revision: REVISION, ..Self::FIRST }
    }
}

impl BoardModel {
    /// The board of recordings and snapshots from before there was a choice.
    pub const FIRST: Self = Self {
        revision: 1,
        slots: {
            let mut slots = [Occupant::Nothing; VIRTIO_SLOTS as usize];
            slots[NET_SLOT as usize] = Occupant::Net;
            slots[RNG_SLOT as usize] = Occupant::Rng;
            slots[CONSOLE_SLOT as usize] = Occupant::Console;
            let mut disk = 0;
            while disk < DISKS_MAX {
                slots[DISK_SLOT_FIRST as usize + disk] = Occupant::Disk(disk as u8);
                disk += 1;
            }
            slots
        },
    };

    /// The board whose `n`-th disk is in slot `chosen[n]`, if that chooses one. Disks without a choice keep
    /// their order from `DISK_SLOT_FIRST` on; a device whose slot is chosen moves to the highest free one.
    pub fn with_disks(chosen: &[Option<u8>]) -> Result<Self, BadConfig> {
        let mut slots = [Occupant::Nothing; VIRTIO_SLOTS as usize];
        for (disk, slot) in (0u8..).zip(chosen).filter_map(|(disk, slot)| Some((disk, (*slot)?))) {
            match slots.get_mut(usize::from(slot)) {
                Some(free @ Occupant::Nothing) => *free = Occupant::Disk(disk),
                Some(_) => return Err(BadConfig::SlotTwice { slot }),
                None => return Err(BadConfig::NoSuchSlot { slot }),
            }
        }
        let is_free = |slots: &Slots, slot: &usize| slots[*slot] == Occupant::Nothing;
        let mut moved = Vec::new();
        for (slot, device) in
            [(NET_SLOT, Occupant::Net), (RNG_SLOT, Occupant::Rng), (CONSOLE_SLOT, Occupant::Console)]
        {
            match slot as usize {
                slot if is_free(&slots, &slot) => slots[slot] = device,
                _ => moved.push(device),
            }
        }
        for device in moved {
            let free = (0..slots.len()).rev().find(|slot| is_free(&slots, slot));
            slots[free.ok_or(BadConfig::Disks { count: chosen.len() })?] = device;
        }
        let unplaced =
            (0..DISKS_MAX as u8).filter(|disk| !matches!(chosen.get(usize::from(*disk)), Some(Some(_))));
        for disk in unplaced {
            let behind = DISK_SLOT_FIRST as usize..slots.len();
            match behind.chain(0..slots.len()).find(|slot| is_free(&slots, slot)) {
                Some(free) => slots[free] = Occupant::Disk(disk),
                // Only for a disk that is not there: seven devices have eight slots.
                None => break,
            }
        }
        Ok(Self { revision: REVISION, slots })
    }

    /// The same board without its network device, whose slot is empty.
    pub fn without_net(mut self) -> Self {
        for slot in self.slots.iter_mut().filter(|slot| **slot == Occupant::Net) {
            *slot = Occupant::Nothing;
        }
        self
    }

    /// Has the machine a network device?
    pub fn has_net(&self) -> bool {
        self.slots.contains(&Occupant::Net)
    }

    /// Looks at a board that came from outside, of a machine with `disks` disks. It may be without network, not
    /// without anything else.
    pub fn check(&self, disks: usize) -> Result<(), BadConfig> {
        if !(1..=REVISION).contains(&self.revision) {
            return Err(BadConfig::Board { revision: self.revision });
        }
        let count = |device: Occupant| self.slots.iter().filter(|slot| **slot == device).count();
        let net = self.has_net().then_some(Occupant::Net);
        let plugged = net.into_iter().chain([Occupant::Rng, Occupant::Console]);
        let mut plugged = plugged.chain((0..disks.min(DISKS_MAX) as u8).map(Occupant::Disk));
        match plugged.find(|device| count(*device) != 1) {
            Some(device) => Err(BadConfig::Unplugged { device, times: count(device) }),
            None => Ok(()),
        }
    }

    /// Is this the board of the first recordings?
    pub fn is_first(&self) -> bool {
        self.revision < 2
    }
}

#[cfg(test)]
mod tests {
    use super::Occupant::{Console, Disk, Net, Nothing, Rng};
    use super::*;

    #[test]
    fn disks_go_where_they_are_put_and_the_others_make_room() {
        let slots = |chosen: &[Option<u8>]| BoardModel::with_disks(chosen).map(|board| board.slots);
        let standard = [Net, Rng, Console, Disk(0), Disk(1), Disk(2), Disk(3), Nothing];
        assert_eq!(slots(&[]), Ok(standard));
        assert_eq!(slots(&[None, None]), Ok(standard));
        assert_eq!(BoardModel::default().slots, standard);
        assert_eq!(slots(&[Some(0)]), Ok([Disk(0), Rng, Console, Disk(1), Disk(2), Disk(3), Nothing, Net]));
        assert_eq!(
            slots(&[None, Some(1), Some(7), None]),
            Ok([Net, Disk(1), Console, Disk(0), Disk(3), Nothing, Rng, Disk(2)])
        );
        assert_eq!(slots(&[Some(8)]), Err(BadConfig::NoSuchSlot { slot: 8 }));
        assert_eq!(slots(&[Some(3), Some(3)]), Err(BadConfig::SlotTwice { slot: 3 }));
    }

    #[test]
    fn every_choice_of_slots_is_a_board_with_everything_plugged_once() {
        let choices: Vec<Option<u8>> = (0..8).map(Some).chain([None]).collect();
        let mut boards = 0;
        for first in &choices {
            for second in &choices {
                for third in &choices {
                    let chosen = [*first, *second, *third, None];
                    let Ok(board) = BoardModel::with_disks(&chosen) else { continue };
                    assert_eq!(board.check(4), Ok(()), "{chosen:?}");
                    boards += 1;
                }
            }
        }
        assert_eq!(boards, 8 * 7 * 6 + 3 * 8 * 7 + 3 * 8 + 1);
    }

    #[test]
    fn a_board_may_be_without_network_and_its_slot_is_empty_then() {
        let standard = BoardModel::default();
        assert!(standard.has_net() && BoardModel::FIRST.has_net());
        let without = standard.without_net();
        assert_eq!(without.slots, [Nothing, Rng, Console, Disk(0), Disk(1), Disk(2), Disk(3), Nothing]);
        assert_eq!((without.has_net(), without.check(4)), (false, Ok(())));
        let moved = BoardModel::with_disks(&[Some(0)]).unwrap().without_net();
        assert_eq!(moved.slots, [Disk(0), Rng, Console, Disk(1), Disk(2), Disk(3), Nothing, Nothing]);
    }

    #[test]
    fn a_board_that_cannot_be_is_refused() {
        let standard = BoardModel::default();
        assert_eq!((standard.check(4), BoardModel::FIRST.check(0)), (Ok(()), Ok(())));
        for revision in [0, REVISION + 1] {
            let board = BoardModel { revision, ..standard };
            assert_eq!(board.check(0), Err(BadConfig::Board { revision }));
        }
        let mut twice = standard;
        twice.slots[7] = Net;
        assert_eq!(twice.check(0), Err(BadConfig::Unplugged { device: Net, times: 2 }));
        let mut without = standard.without_net();
        without.slots[1] = Nothing;
        assert_eq!(without.check(0), Err(BadConfig::Unplugged { device: Rng, times: 0 }));
        let mut without = standard;
        without.slots[4] = Nothing;
        assert_eq!(without.check(1), Ok(()));
        assert_eq!(without.check(2), Err(BadConfig::Unplugged { device: Disk(1), times: 0 }));
    }
}

//! What goes wrong in a seeded run, and how often.

use super::cluster::SLOTS;
use crate::base::Prng;
use crate::engine::Engine;
use crate::machine::Machine;

/// One seeded run's knobs; all drawn from the seed.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Clients, each with one request under way.
    pub clients: usize,
    /// Requests that each client makes.
    pub requests_each: u64,
    /// Faults, at virtual times in nanoseconds.
    pub faults: Vec<(u64, Fault)>,
    /// One way between nodes, in nanoseconds.
    pub delay_ns: (u64, u64),
    /// Of 1000 datagrams between clients and switch, this many are lost.
    pub loss_permille: u64,
    /// Of 1000 of them, this many come twice.
    pub double_permille: u64,
    /// Of 1000 claims, the outcome of this many is lost after the arbiter has recorded it.
    pub claim_lost_permille: u64,
    /// Instructions between two looks at the outside world.
    pub slice_instructions: u64,
    /// How many times slower than the others the host in this slot is.
    pub slow_host: Option<(usize, u64)>,
    /// Clients are behind the switch's gateway; otherwise on a segment behind its uplink. A gateway's clients would
    /// get other ports from a switch that starts again.
    pub gateway: bool,
    /// The switch asks the arbiter which generation is current.
    pub switch_asks_arbiter: bool,
    /// Processes exchange beats besides messages.
    pub beats: bool,
    /// A node that loses its place looks for another by itself; otherwise its process ends, and a new one starts.
    pub rejoins: bool,
    /// A third node looks for a place from the beginning.
    pub spare: bool,
    /// Backups that a primary takes: with one, the third node stays a spare until there is a place.
    pub backups: usize,
    /// Between two checkpoints, in nanoseconds.
    pub checkpoint_ns: u64,
    /// Nodes keep the log in stores, and an entry counts once it is synced there.
    pub stores: bool,
    /// By slot: its machines are interpreted, whatever the process has chosen. Lives are too short for translation to pay,
    /// so most are; what a log says must hold for either engine.
    pub interpreted: [bool; SLOTS],
    /// Of 1000 frames from the switch, this many come twice.
    pub repeated_permille: u64,
    /// Of 1000 requests of a disk that can be done without, this many fail.
    pub disk_fails_permille: u64,
}

/// A fault; which node it hits is decided when it comes, so that the guest can survive it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The primary is killed before its n-th command from now; `silent` when no peer gets an end of file.
    KillPrimary {
        after_commands: u64,
        silent: bool,
    },
    /// The primary's host crashes right after it has released its n-th frame from now: the frame reaches the
    /// switch, and of what was sent to the backup some is lost.
    KillAtRelease {
        after_frames: u64,
    },
    /// The backup is paused, too short to be given up, and the primary is killed: the successor has much to
    /// replay.
    KillBehindPause {
        for_ns: u64,
    },
    KillBackup {
        after_commands: u64,
        silent: bool,
    },
    PausePrimary {
        for_ns: u64,
    },
    PauseBackup {
        for_ns: u64,
    },
    /// Nodes cannot reach each other; messages wait.
    Partition {
        for_ns: u64,
    },
    /// What the primary (or the backup) sends to the other waits; the other direction works.
    MutePrimary {
        for_ns: u64,
    },
    MuteBackup {
        for_ns: u64,
    },
    /// The node hangs while the other threads of its process go on: with beats, only a long one is given up.
    HangPrimary {
        /// How long, in nanoseconds.
        for_ns: u64,
    },
    /// The same, of the backup.
    HangBackup {
        /// How long, in nanoseconds.
        for_ns: u64,
    },
    /// The connection of the primary (or the backup) to the switch breaks.
    CutPrimaryFromSwitch,
    CutBackupFromSwitch,
    /// The switch's process is killed, and starts again after so long.
    RestartSwitch {
        for_ns: u64,
    },
    /// The arbiter answers no node.
    ArbiterGone {
        for_ns: u64,
    },
    /// The primary changes places with its backup.
    SwitchOver,
    /// Nothing goes wrong: the backup is asked for a rehearsal.
    Rehearse,
    /// All processes are killed, `power` with their hosts, and each starts again later.
    LoseAll {
        power: bool,
    },
    /// A bit flips in the memory of a backup that counts, before the next comparison of digests: the audit must find it.
    FlipInBackup,
}

const MS: u64 = 1_000_000;

impl Plan {
    /// Whether a bit flips somewhere.
    pub fn flips(&self) -> bool {
        self.faults.iter().any(|(_, fault)| *fault == Fault::FlipInBackup)
    }

    /// What executes the guest on the host in `slot`; if none, as the process has chosen.
    pub fn engine(&self, slot: usize) -> Option<Engine> {
        self.interpreted[slot].then_some(Engine::Interpreter)
    }

    /// Has `machine` executed by that.
    pub(super) fn choose_engine(&self, slot: usize, machine: &mut Machine) {
        if let Some(engine) = self.engine(slot) {
            machine.choose_engine(engine);
        }
    }

    /// The plan that `seed` determines.
    pub fn from_seed(seed: u64) -> Self {
        let mut prng = Prng::new(seed ^ 0x6c6f_636b_7374_6570);
        let count = prng.between(1, 5);
        // Some lives go on for long after the clients have come to rest.
        let until_ms = if prng.chance(1, 6) { 2500 } else { 900 };
        let mut faults: Vec<(u64, Fault)> = (0..count)
            .map(|_| {
                let at_ns = prng.between(5, until_ms) * MS + prng.below(MS);
                (at_ns, draw(&mut prng))
            })
            .collect();
        faults.sort_by_key(|(at_ns, _)| *at_ns);
        // From a generator of its own: what is added here changes nothing of what a seed draws elsewhere.
        let mut apart = Prng::new(seed ^ 0x7377_6974_6368);
        for _ in 0..[0, 0, 1, 1, 2][apart.below(5) as usize] {
            let at_ns = apart.between(5, until_ms) * MS + apart.below(MS);
            faults.push((at_ns, draw_apart(&mut apart)));
        }
        let mut stores = Prng::new(seed ^ 0x0073_746f_7265);
        let has_stores = stores.chance(1, 3);
        for _ in 0..if has_stores { stores.below(3) } else { 0 } {
            let at_ns = stores.between(5, until_ms) * MS + stores.below(MS);
            faults.push((at_ns, Fault::LoseAll { power: stores.chance(1, 2) }));
        }
        let mut rehearsals = Prng::new(seed ^ 0x7265_6865_6172_7365);
        for _ in 0..if rehearsals.chance(1, 4) { rehearsals.between(1, 4) } else { 0 } {
            faults.push((rehearsals.between(5, until_ms) * MS + rehearsals.below(MS), Fault::Rehearse));
        }
        let restarts = faults.iter().any(|(_, fault)| matches!(fault, Fault::RestartSwitch { .. }));
        faults.sort_by_key(|(at_ns, _)| *at_ns);
        let mut flips = Prng::new(seed ^ 0x666c_6970);
        if flips.chance(1, 8) {
            faults.push((flips.between(20, until_ms) * MS + flips.below(MS), Fault::FlipInBackup));
            faults.sort_by_key(|(at_ns, _)| *at_ns);
        }
        let slow = prng.chance(1, 5);
        let mut engines = Prng::new(seed ^ 0x656e_6769_6e65);
        let mut group = Prng::new(seed ^ 0x0067_726f_7570);
        Self {
            seed,
            clients: prng.between(1, 3) as usize,
            requests_each: prng.between(15, 40),
            faults,
            delay_ns: if slow { (MS, 8 * MS) } else { (20_000, 300_000) },
            loss_permille: prng.below(60),
            double_permille: prng.below(40),
            claim_lost_permille: prng.below(150),
            slice_instructions: [256, 2048, 8192][prng.below(3) as usize],
            slow_host: prng.chance(1, 4).then(|| (prng.below(3) as usize, prng.between(2, 4))),
            gateway: !restarts && apart.chance(1, 2),
            switch_asks_arbiter: apart.chance(1, 2),
            beats: apart.chance(1, 2),
            rejoins: apart.chance(1, 2),
            spare: apart.chance(1, 3),
            backups: if group.chance(1, 3) { 1 } else { 2 },
            checkpoint_ns: stores.between(10, 400) * MS,
            stores: has_stores,
            interpreted: std::array::from_fn(|_| !engines.chance(1, 10)),
            repeated_permille: prng.below(40),
            disk_fails_permille: if seed.is_multiple_of(3) { 2 + seed % 7 } else { 0 },
        }
    }
}

fn draw_apart(prng: &mut Prng) -> Fault {
    let hang_ns = if prng.chance(1, 4) { 3500 * MS } else { prng.between(20, 900) * MS };
    match prng.below(6) {
        0 | 1 => Fault::CutPrimaryFromSwitch,
        2 => Fault::CutBackupFromSwitch,
        3 => Fault::HangPrimary { for_ns: hang_ns },
        4 => Fault::HangBackup { for_ns: hang_ns },
        _ => Fault::RestartSwitch { for_ns: prng.between(1, 400) * MS },
    }
}

fn draw(prng: &mut Prng) -> Fault {
    // Small numbers hit the middle of one request's commands, large ones go on for a while.
    let after_commands = if prng.chance(1, 2) { prng.below(12) } else { prng.below(200) };
    let silent = prng.chance(1, 3);
    match prng.below(19) {
        12..=14 => Fault::KillAtRelease { after_frames: prng.below(12) },
        18 => Fault::KillBehindPause { for_ns: prng.between(40, 110) * MS },
        15 => Fault::MutePrimary { for_ns: prng.between(20, 600) * MS },
        16 => Fault::MuteBackup { for_ns: prng.between(20, 600) * MS },
        0..=4 => Fault::KillPrimary { after_commands, silent },
        5 | 6 => Fault::KillBackup { after_commands, silent },
        7 => Fault::PausePrimary { for_ns: prng.between(20, 600) * MS },
        8 => Fault::PauseBackup { for_ns: prng.between(20, 600) * MS },
        9 => Fault::Partition { for_ns: prng.between(20, 600) * MS },
        10 => Fault::ArbiterGone { for_ns: prng.between(20, 400) * MS },
        _ => Fault::SwitchOver,
    }
}

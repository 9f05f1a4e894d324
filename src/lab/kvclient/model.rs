//! What the server must answer to one client that alone uses its keys.
//!
//! Each client has counters (only `INCR` and `GET`) and registers (only `SET` and `GET`), so every
//! answer is determined. A counter that is too low has lost effects, one that is too high has had
//! effects twice: the check reports which, and how many.

use crate::base::Prng;

/// What is asked. Keys are numbered within the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Begin a counter anew: whatever was under its name is not ours.
    Clear(usize),
    Incr(usize),
    /// Read a counter.
    Count(usize),
    /// Write `value` to a register.
    Set(usize, u64),
    /// Read a register.
    Get(usize),
}

/// An answer that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Effects of acknowledged writes that are missing.
    pub lost: u64,
    /// Effects that happened more than once.
    pub duplicated: u64,
    pub expected: String,
    pub found: String,
}

/// One client's keys.
#[derive(Clone, Debug)]
pub struct Model {
    prefix: String,
    /// How often all keys were given up.
    epoch: u32,
    counters: Vec<Option<u64>>,
    /// The values written to each register, the last one last; bounded.
    registers: Vec<Vec<u64>>,
    set_next: u64,
}

/// How many earlier values of a register are remembered, to distinguish an old one from a strange one.
const REMEMBERED_MAX: usize = 64;

impl Model {
    /// A model of `keys` counters and as many registers, whose names begin with `prefix`.
    pub fn new(prefix: String, keys: usize) -> Self {
        Self { prefix, epoch: 0, counters: vec![None; keys], registers: vec![Vec::new(); keys], set_next: 1 }
    }

    /// What comes next in a random mix: six of ten increment, two set, two read.
    pub fn choose(&mut self, prng: &mut Prng) -> Op {
        let key = prng.below(self.counters.len() as u64) as usize;
        match prng.below(10) {
            0 | 1 => {
                self.set_next += 1;
                Op::Set(key, self.set_next)
            }
            2 if !self.registers[key].is_empty() => Op::Get(key),
            3 if self.counters[key].is_some() => Op::Count(key),
            _ if self.counters[key].is_none() => Op::Clear(key),
            _ => Op::Incr(key),
        }
    }

    /// Reads of everything that is known.
    pub fn read_back(&self) -> Vec<Op> {
        let counters = (0..self.counters.len()).filter(|key| self.counters[*key].is_some()).map(Op::Count);
        let registers = (0..self.registers.len()).filter(|key| !self.registers[*key].is_empty()).map(Op::Get);
        counters.chain(registers).collect()
    }

    /// The names of all keys that were used.
    pub fn names(&self) -> Vec<String> {
        self.read_back().iter().map(|op| self.name(*op)).collect()
    }

    /// The request's text, behind the id.
    pub fn text(&self, op: Op) -> String {
        let name = self.name(op);
        match op {
            Op::Clear(_) => format!("DEL {name}"),
            Op::Incr(_) => format!("INCR {name}"),
            Op::Set(_, value) => format!("SET {name} v{value}"),
            Op::Count(_) | Op::Get(_) => format!("GET {name}"),
        }
    }

    fn name(&self, op: Op) -> String {
        let (kind, key) = match op {
            Op::Clear(key) | Op::Incr(key) | Op::Count(key) => ('n', key),
            Op::Set(key, _) | Op::Get(key) => ('s', key),
        };
        format!("{}{}{kind}{key}", self.prefix, self.epoch)
    }

    /// Whether an acknowledged `op` has changed something that must last.
    pub fn is_write(op: Op) -> bool {
        matches!(op, Op::Incr(_) | Op::Set(..))
    }

    /// It is not known whether `op` was done, or still will be. If it changes anything, all keys are
    /// given up and others used, under new names.
    pub fn give_up(&mut self, op: Op) {
        if Self::is_write(op) || matches!(op, Op::Clear(_)) {
            self.epoch += 1;
            self.counters.fill(None);
            self.registers.fill(Vec::new());
        }
    }

    /// Compares an answer with what it must be, and goes on from what it is.
    pub fn check(&mut self, op: Op, answer: &str) -> Result<(), Fault> {
        match op {
            Op::Clear(key) => {
                self.counters[key] = Some(0);
                exactly(answer, |answer| answer == "OK" || answer == "NONE", "OK or NONE")
            }
            Op::Incr(key) => self.check_count(key, self.counters[key].map_or(1, |count| count + 1), answer),
            Op::Count(key) => self.check_count(key, self.counters[key].unwrap_or(0), answer),
            Op::Set(key, value) => {
                let values = &mut self.registers[key];
                if values.len() >= REMEMBERED_MAX {
                    values.remove(0);
                }
                values.push(value);
                exactly(answer, |answer| answer == "OK", "OK")
            }
            Op::Get(key) => {
                let values = &mut self.registers[key];
                let newest = values.last().copied().unwrap_or(0);
                let expected = format!("VALUE v{newest}");
                if answer == expected {
                    return Ok(());
                }
                let found = answer.strip_prefix("VALUE v").and_then(|value| value.parse().ok());
                let lost = match values.iter().position(|value| Some(*value) == found) {
                    Some(at) => {
                        let lost = values.len() - 1 - at;
                        values.truncate(at + 1);
                        lost
                    }
                    None if answer == "NONE" => std::mem::take(values).len(),
                    None => 0,
                };
                Err(Fault { lost: lost as u64, duplicated: 0, expected, found: answer.into() })
            }
        }
    }

    fn check_count(&mut self, key: usize, expected: u64, answer: &str) -> Result<(), Fault> {
        let found = match answer {
            // A counter that is not there counts 0.
            "NONE" => Some(0),
            _ => answer.strip_prefix("VALUE ").and_then(|count| count.parse::<u64>().ok()),
        };
        self.counters[key] = Some(found.unwrap_or(expected));
        if found == Some(expected) {
            return Ok(());
        }
        Err(Fault {
            lost: found.map_or(0, |found| expected.saturating_sub(found)),
            duplicated: found.map_or(0, |found| found.saturating_sub(expected)),
            expected: format!("VALUE {expected}"),
            found: answer.into(),
        })
    }
}

fn exactly(answer: &str, is_right: impl FnOnce(&str) -> bool, expected: &str) -> Result<(), Fault> {
    if is_right(answer) {
        return Ok(());
    }
    Err(Fault { lost: 0, duplicated: 0, expected: expected.into(), found: answer.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(n: u64) -> Model {
        let mut model = Model::new("k".into(), 2);
        model.check(Op::Clear(0), "NONE").unwrap();
        for count in 1..=n {
            model.check(Op::Incr(0), &format!("VALUE {count}")).unwrap();
        }
        model
    }

    #[test]
    fn a_counter_that_fell_back_lost_and_one_that_jumped_had_it_twice() {
        let fault = counted(5).check(Op::Incr(0), "VALUE 4").unwrap_err();
        assert_eq!((fault.lost, fault.duplicated), (2, 0));
        let fault = counted(5).check(Op::Incr(0), "VALUE 7").unwrap_err();
        assert_eq!((fault.lost, fault.duplicated), (0, 1));
        let fault = counted(5).check(Op::Count(0), "NONE").unwrap_err();
        assert_eq!((fault.lost, fault.duplicated), (5, 0));
        let mut model = counted(5);
        model.check(Op::Incr(0), "VALUE 7").unwrap_err();
        model.check(Op::Incr(0), "VALUE 8").expect("it goes on from what was found");
    }

    #[test]
    fn a_register_must_hold_the_last_value() {
        let mut model = Model::new("k".into(), 1);
        for value in [10, 11, 12] {
            model.check(Op::Set(0, value), "OK").unwrap();
        }
        model.check(Op::Get(0), "VALUE v12").unwrap();
        let fault = model.clone().check(Op::Get(0), "VALUE v10").unwrap_err();
        assert_eq!(fault.lost, 2);
        let fault = model.clone().check(Op::Get(0), "NONE").unwrap_err();
        assert_eq!(fault.lost, 3);
        let fault = model.check(Op::Get(0), "VALUE v99").unwrap_err();
        assert_eq!((fault.lost, fault.duplicated), (0, 0));
    }

    #[test]
    fn nonsense_is_a_fault_of_its_own() {
        let fault = counted(5).check(Op::Incr(0), "ERR full").unwrap_err();
        assert_eq!((fault.lost, fault.duplicated, &fault.found[..]), (0, 0, "ERR full"));
        assert!(counted(0).check(Op::Set(0, 1), "VALUE 1").is_err());
    }

    #[test]
    fn the_mix_uses_counters_only_after_they_were_cleared() {
        let mut prng = Prng::new(1);
        let mut model = Model::new("k".into(), 3);
        let mut counts = [0u64; 3];
        let mut values = [0u64; 3];
        for _ in 0..2000 {
            let op = model.choose(&mut prng);
            let answer = match op {
                Op::Clear(key) => {
                    counts[key] = 0;
                    "NONE".to_string()
                }
                Op::Incr(key) => {
                    counts[key] += 1;
                    format!("VALUE {}", counts[key])
                }
                Op::Count(key) if counts[key] == 0 => "NONE".into(),
                Op::Count(key) => format!("VALUE {}", counts[key]),
                Op::Set(key, value) => {
                    values[key] = value;
                    "OK".into()
                }
                Op::Get(key) => format!("VALUE v{}", values[key]),
            };
            model.check(op, &answer).unwrap();
        }
        assert_eq!(model.read_back().len(), 6);
        assert_eq!(model.text(Op::Set(1, 7)), "SET k0s1 v7");
    }

    #[test]
    fn after_an_unanswered_write_other_names_are_used() {
        let mut model = counted(5);
        model.give_up(Op::Incr(0));
        assert_eq!(model.text(Op::Incr(0)), "INCR k1n0");
        assert!(model.read_back().is_empty());
    }
}

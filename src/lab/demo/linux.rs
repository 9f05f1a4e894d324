//! `lockstep demo --linux`: Debian, as it is shipped, outlives its machine while Redis works in it.
//!
//! A pair of real processes boots it; `lockstep attach` is attached to its console; the primary is killed,
//! twice, and a new backup joins each time. The guest's output is the evidence ([`witness`]):
//! the demo fails if a byte of the console is missing or doubled, a clock goes back, the kernel complains,
//! Redis is another process than before, a key that it acknowledged is not there, or the machines differ.
//!
//! Redis is asked and loaded in the guest, by its console ([`redis`]), and by clients on this host over TCP
//! (`tcp`), whose connections are to live through it all.

mod outcome;
pub mod redis;
mod tcp;
pub mod witness;

use std::time::{Duration, Instant};

use super::narrate::{self, child_says, say};
use super::table::short;
use crate::host::failure::Failure;
use crate::host::say::{put, say};
use crate::inspect::picture::grouped;
use crate::lab::linux::{self, Images};
use crate::lab::onlooker::{Onlooker, OnlookerError};
use crate::lab::scratch::Scratch;
use crate::lab::stage::{Blow, Stage, ms};
use outcome::{Kill, Outcome};
use tcp::Clients;

const MEMORY: &str = "256M";
/// Every wait for the guest's console ends. A boot on a host that is fit for it takes a tenth.
const PATIENCE: Duration = Duration::from_secs(180);
/// The guest counts aloud this often.
const PULSE_MS: u32 = 25;
/// How long Redis works before something happens to it, and after that alone.
const CALM: Duration = Duration::from_secs(4);
const ALONE: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(5);
/// A guest that needs longer for this is not worth showing.
const GAP_MS_MAX: u64 = 10_000;

pub(crate) fn run(json: bool) -> Result<u8, Failure> {
    narrate::begin();
    let images = linux::images(|line| say(&format!("guest images: {line}"))).map_err(|error| {
        let fix = error.fix();
        Failure::new(error).fix(fix)
    })?;
    let scratch = Scratch::new("lockstep-demo")?;
    scratch.remove_on_signals(130)?;
    let outcome = Play::story(&scratch, &images)?;
    if json {
        put!("{}", serde_json::to_string(&outcome)?)?;
    } else {
        put!("\n{outcome}")?;
    }
    Ok(u8::from(!outcome.ok))
}

/// The arguments with which a primary boots Debian with Redis, all of it in a RAM disk.
pub fn guest_words(images: &Images) -> Vec<String> {
    let append = format!("{} panic=-1 reboot=panic_warm lockstep.run=redis", images.cmdline);
    let [kernel, initrd] = [&images.kernel, &images.initrd_all].map(|path| path.display().to_string());
    ["--kernel", &kernel, "--initrd", &initrd, "--append", &append].map(str::to_owned).to_vec()
}

/// The pair, and the terminal at its console.
struct Play {
    console: Onlooker,
    stage: Stage,
    teller: Teller,
    questions: u32,
    /// Connected once Redis answers.
    clients: Option<Clients>,
    outcome: Outcome,
}

impl Play {
    fn story(scratch: &Scratch, images: &Images) -> Result<Outcome, Failure> {
        let begun = Instant::now();
        say(&format!(
            "starting a primary with Debian's kernel {} and {MEMORY} of memory",
            images.kernel_version
        ));
        let stage = Stage::start_with(scratch.path(), &guest_words(images), MEMORY, Some(child_says))?;
        let (binary, address) = (std::env::current_exe()?, stage.primary.address.to_string());
        let console = Onlooker::attach(&binary, scratch.path(), &address, PATIENCE)?;
        let outcome = Outcome { kernel: images.kernel_version.clone(), ..Outcome::default() };
        let mut play =
            Self { console, stage, teller: Teller::default(), questions: 0, clients: None, outcome };
        say("starting a backup while Debian boots: from here on all that it says waits for both");
        play.join()?;
        play.await_text("lockstep: ready", 0)?;
        play.await_text(redis::PROMPT, 0)?;
        play.outcome.boot_seconds = (begun.elapsed().as_secs_f64() * 10.0).round() / 10.0;
        say(&format!("Debian is up, {:.1} s after power-on", play.outcome.boot_seconds));
        play.begin_work()?;
        for again in [false, true] {
            play.kill(again)?;
        }
        play.conclude(begun)?;
        Ok(play.outcome)
    }

    /// Starts everything that runs in the guest until the end.
    fn begin_work(&mut self) -> Result<(), Failure> {
        self.outcome.redis_pid = self.ask(redis::PID)?;
        let version = self.ask(redis::VERSION)?;
        let stored = self.ask(redis::SET_COLOUR)?;
        say(&format!(
            "Redis {version}, process {}, answers: SET colour green: {stored}",
            self.outcome.redis_pid
        ));
        let redis = self.stage.cluster.redis;
        let clients = Clients::connect(redis, &mut alive(&mut self.stage, &mut self.teller, &self.console))?;
        self.clients = Some(clients);
        say(&format!("in the guest: a load that reads back what it wrote, and a pulse each {PULSE_MS} ms"));
        self.console.types(&witness::pulse_command(PULSE_MS))?;
        self.await_text("pulse 2 ", 0)?;
        self.console.types(redis::LOAD)?;
        self.await_load(2)?;
        Ok(())
    }

    fn kill(&mut self, again: bool) -> Result<(), Failure> {
        let log_before = (self.stage.tally()?.log_bytes, Instant::now());
        self.work(CALM)?;
        let audited = self.stage.await_primary("audited", |status| status.audits_agreed > 0)?;
        let log_bytes = self.stage.tally()?.log_bytes - log_before.0;
        self.outcome
            .log_kb_per_s
            .push((log_bytes as f64 / 100.0 / log_before.1.elapsed().as_secs_f64()).round() / 10.0);
        let before = self.testimony()?;
        if let Some(audit) = audited.last_audit {
            say(&format!(
                "Redis has verified {} keys, errors {}; both machines had digest {} at instruction {}",
                grouped(before.load.verified),
                before.load.errors,
                short(audit.digest),
                grouped(audit.icount.get())
            ));
        }
        self.with_clients(Clients::begin_transaction)?;
        if again {
            self.with_clients(Clients::begin_benchmark)?;
        }
        let name = self.stage.primary.name.clone();
        self.with_clients(|clients, _| {
            clients.kill_comes();
            Ok(())
        })?;
        say(&format!("SIGKILL to {name}, the primary{}", if again { ", once more" } else { "" }));
        let struck = self.stage.take_away(Blow::Kill)?;
        self.with_clients(|clients, _| clients.kill_came())?;
        self.stage.await_primary("live", |_| true)?;
        let live = Instant::now();
        let silence = self.look(|console| console.silence(struck.at, live), "speaking after the kill")?;
        let spoke = silence.1.saturating_duration_since(struck.at);
        let successor = self.stage.primary.name.clone();
        say(&format!("{successor} goes on: next output on the console {:.0} ms after the kill", ms(spoke)));
        self.with_clients(Clients::end_transaction)?;
        let colour = self.ask(redis::GET_COLOUR)?;
        let pid = self.ask(redis::PID)?;
        self.work(ALONE)?;
        let after = self.await_load(before.load_lines + 1)?;
        say(&format!(
            "Redis answers on, still process {pid}: GET colour: {colour}; {} keys verified, errors {}",
            grouped(after.load.verified),
            after.load.errors
        ));
        self.with_clients(Clients::kill_was)?;
        self.outcome.kills.push(Kill {
            to_next_output_ms: ms(spoke),
            verified_before: before.load.verified,
            verified_after: after.load.verified,
            redis_pid: pid,
            colour,
        });
        say("starting a new backup, while Redis works");
        self.join()
    }

    fn join(&mut self) -> Result<(), Failure> {
        let took = self.stage.protect()?;
        let status = self.stage.tally()?.status;
        self.outcome.join_ms.push(ms(took));
        let pause = status.transfer_pause_ms.map_or(0.0, |pause| (pause * 10.0).round() / 10.0);
        self.outcome.pause_ms.push(pause);
        say(&format!(
            "protected {:.2} s after the backup's start; the guest stood still for {pause:.0} ms of them",
            took.as_secs_f64()
        ));
        Ok(())
    }

    fn conclude(&mut self, begun: Instant) -> Result<(), Failure> {
        self.work(CALM)?;
        let tally = self.stage.tally()?;
        // From here on Redis ends, and its load has reason to complain.
        let seen = self.testimony()?;
        if let Some(clients) = self.clients.take() {
            self.outcome.tcp = clients.conclude()?;
        }
        say("powering off, as one does: `poweroff` at the prompt");
        self.console.types(redis::POWEROFF)?;
        let Some(status) = self.console.ends(PATIENCE) else {
            return Err(Failure::new(format!(
                "the guest did not power off; its last lines:{}",
                self.console.tail()
            )));
        };
        self.teller.hear(&self.console);
        let backup = self.stage.backup.as_mut().and_then(|backup| backup.wait(PATIENCE));
        let primary = self.stage.primary.wait(PATIENCE);
        let ends = [Some(status), primary, backup];
        self.outcome.conclude(&seen, &tally, &self.console.told(), ends, begun.elapsed());
        Ok(())
    }

    /// Has the clients do something that takes its time, and checks all processes meanwhile.
    fn with_clients(
        &mut self,
        act: impl FnOnce(&mut Clients, &mut dyn FnMut() -> Result<(), Failure>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Some(clients) = &mut self.clients else { return Ok(()) };
        act(clients, &mut alive(&mut self.stage, &mut self.teller, &self.console))
    }

    /// Lets the guest work for a while.
    fn work(&mut self, time: Duration) -> Result<(), Failure> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.stage.check_alive()?;
            self.teller.hear(&self.console);
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// What the console has shown so far; an error if any of it must not be.
    fn testimony(&self) -> Result<witness::Testimony, Failure> {
        let seen = witness::read(&self.console.text());
        seen.judge()?;
        if seen.gap_ms > GAP_MS_MAX {
            return Err(Failure::new(format!("the guest stood still for {} ms", seen.gap_ms))
                .fix("is this host very busy? try again when it is not"));
        }
        Ok(seen)
    }

    /// Waits until the load has printed its state so many times.
    fn await_load(&mut self, lines: u64) -> Result<witness::Testimony, Failure> {
        self.wait("anything new of the load", 0, |text| {
            let seen = witness::read(text);
            (seen.load_lines >= lines || !seen.complaints.is_empty()).then_some(())
        })?;
        self.testimony()
    }

    /// Asks the guest's shell, at its prompt.
    fn ask(&mut self, command: &str) -> Result<String, Failure> {
        self.questions += 1;
        let tag = format!("reply-{}", self.questions);
        let from = self.console.len();
        self.console.types(&witness::question(&tag, command))?;
        self.wait(&format!("an answer to `{command}`"), from, |text| witness::answer(text, &tag))
    }

    fn await_text(&mut self, wanted: &str, from: usize) -> Result<(), Failure> {
        self.wait(&format!("{wanted:?}"), from, |text| text.contains(wanted).then_some(()))
    }

    fn wait<T>(
        &mut self,
        what: &str,
        from: usize,
        found: impl FnMut(&str) -> Option<T>,
    ) -> Result<T, Failure> {
        let Self { console, stage, teller, .. } = self;
        let meanwhile = |console: &Onlooker| {
            teller.hear(console);
            stage.check_alive().map_err(Stopped::Node)
        };
        console.wait(what, from, PATIENCE, meanwhile, found).map_err(|stopped: Stopped| match stopped {
            Stopped::Node(failure) => failure,
            Stopped::Console(error) => {
                Failure::new(error).fix("is this host very busy? try again when it is not")
            }
        })
    }

    /// Waits for something of the console that is no text.
    fn look<T>(&mut self, of: impl Fn(&Onlooker) -> Option<T>, what: &str) -> Result<T, Failure> {
        let until = Instant::now() + PATIENCE;
        loop {
            self.stage.check_alive()?;
            if let Some(found) = of(&self.console) {
                return Ok(found);
            }
            if Instant::now() > until {
                return Err(Failure::new(format!(
                    "the guest was not {what}; its last lines:{}",
                    self.console.tail()
                )));
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// What is done while something is waited for.
fn alive(stage: &mut Stage, teller: &mut Teller, console: &Onlooker) -> impl FnMut() -> Result<(), Failure> {
    || {
        teller.hear(console);
        stage.check_alive()
    }
}

/// Why waiting for the console ended.
enum Stopped {
    Node(Failure),
    Console(OnlookerError),
}

impl From<OnlookerError> for Stopped {
    fn from(error: OnlookerError) -> Self {
        Self::Console(error)
    }
}

/// Retells the console, condensed: the pulse is left out, of the load a line now and then is enough.
#[derive(Default)]
struct Teller {
    told_to: usize,
    load_told: Option<Instant>,
}

const LOAD_TOLD_EVERY: Duration = Duration::from_secs(3);

impl Teller {
    fn hear(&mut self, console: &Onlooker) {
        let (lines, told_to) = console.lines_since(self.told_to);
        self.told_to = told_to;
        for line in lines.lines() {
            let line = witness::plain(line);
            let line = line.trim();
            if line.is_empty() || line.contains("pulse ") || line.starts_with(['>', '\'']) {
                continue;
            }
            if line.starts_with("load: ") {
                let now = Instant::now();
                if self.load_told.is_some_and(|told| now.duration_since(told) < LOAD_TOLD_EVERY) {
                    continue;
                }
                self.load_told = Some(now);
            }
            say!("              console   | {line}");
        }
    }
}

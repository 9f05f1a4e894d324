//! Debian Linux under fault tolerance: its primaries are killed one after the other while Redis works, and
//! the guest notices nothing.
//!
//! Where Debian's packages are neither cached nor within reach the tests say so loudly.

#[allow(dead_code, reason = "a tool box that several test programs share")]
mod common;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lockstep::lab::cluster::{Cluster, Process};
use lockstep::lab::demo::linux::{guest_words, redis, witness};
use lockstep::lab::linux::Images;
use lockstep::lab::onlooker::{Onlooker, OnlookerError};
use tempfile::TempDir;

use common::linux::{images, made};
use common::{BINARY, skipped};

/// Longer than anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
const KILLS: usize = 20;
/// The guest counts aloud this often.
const PULSE_MS: u32 = 25;
/// What no guest should wait for, however busy this host is.
const GAP_MS_MAX: u64 = 30_000;

/// A switch, an arbiter, nodes that run Linux, and a terminal at its console.
struct Scene {
    console: Option<Onlooker>,
    cluster: Cluster,
    dir: TempDir,
    questions: u32,
}

impl Scene {
    fn of(words: Vec<String>, memory: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut cluster = Cluster::start(Path::new(BINARY), dir.path(), Path::new(""), memory, None).unwrap();
        cluster.guest_words = words;
        cluster.vm = "linux".into();
        cluster.patience = PATIENCE;
        // A killed process is noticed at once; a host as busy as a test's must not look like a dead one.
        cluster.silence_ms = Some(10_000);
        Self { console: None, cluster, dir, questions: 0 }
    }

    fn start(&mut self) -> Process {
        let mut primary = self.cluster.primary().unwrap();
        self.cluster.await_status(&mut primary, "running", |status| status.role == "primary").unwrap();
        self.sit_down(&primary);
        primary
    }

    fn sit_down(&mut self, node: &Process) {
        let address = node.address.to_string();
        let console = Onlooker::attach(Path::new(BINARY), self.dir.path(), &address, PATIENCE);
        self.console = Some(console.unwrap());
    }

    /// A new backup that counts.
    fn protect(&mut self, primary: &mut Process) -> Process {
        let backup = self.cluster.backup(primary).unwrap();
        self.cluster.await_protected(primary).unwrap();
        backup
    }

    fn console(&mut self) -> &mut Onlooker {
        self.console.as_mut().expect("a terminal is attached")
    }

    #[track_caller]
    fn wait<T>(&mut self, what: &str, from: usize, found: impl FnMut(&str) -> Option<T>) -> T {
        let nothing = |_: &Onlooker| Ok::<(), OnlookerError>(());
        self.console().wait(what, from, PATIENCE, nothing, found).unwrap_or_else(|error| panic!("{error}"))
    }

    #[track_caller]
    fn await_text(&mut self, text: &str) {
        self.wait(text, 0, |shown| shown.contains(text).then_some(()));
    }

    #[track_caller]
    fn ask(&mut self, command: &str) -> String {
        self.questions += 1;
        let tag = format!("reply-{}", self.questions);
        let from = self.console().len();
        self.console().types(&witness::question(&tag, command)).unwrap();
        self.wait(command, from, |shown| witness::answer(shown, &tag))
    }

    #[track_caller]
    fn testimony(&mut self) -> witness::Testimony {
        let seen = witness::read(&self.console().text());
        assert_eq!(seen.complaints, Vec::<String>::new());
        assert!(seen.gap_ms < GAP_MS_MAX, "{seen:?}");
        seen
    }
}

fn middle(mut times: Vec<f64>) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[times.len() - 1])
}

#[test]
fn twenty_takeovers_of_a_working_debian_and_it_notices_nothing() {
    let Some(images) = images("no Linux under fault tolerance") else { return };
    let begun = Instant::now();
    let mut scene = Scene::of(guest_words(&images), "256M");
    let mut primary = scene.start();
    let mut backup = scene.protect(&mut primary);
    scene.await_text("lockstep: ready");
    scene.await_text(redis::PROMPT);
    println!("booted under fault tolerance after {:.1} s", begun.elapsed().as_secs_f64());
    let pid = scene.ask(redis::PID);
    assert!(pid.parse::<u32>().is_ok(), "{pid}");
    assert_eq!(scene.ask(redis::SET_COLOUR), "OK");
    scene.console().types(&witness::pulse_command(PULSE_MS)).unwrap();
    scene.await_text("pulse 2 ");
    scene.console().types("lockstep-watch >/dev/console &\n").unwrap();
    scene.console().types(redis::LOAD).unwrap();
    scene.wait("load", 0, |shown| (witness::read(shown).load_lines > 0).then_some(()));

    let (mut spoke_ms, mut join_ms, mut pause_ms, mut audits) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for kill in 1..=KILLS {
        // Each generation has compared digests before it ends, and its guest has said something.
        let status = scene
            .cluster
            .await_status(&mut primary, "audited", |status| status.protected && status.audits_agreed > 0)
            .unwrap();
        audits += status.audits_agreed;
        let before = scene.testimony();
        let struck = Instant::now();
        primary.kill().unwrap();
        scene
            .cluster
            .await_status(&mut backup, "the primary", |now| {
                now.role == "primary" && now.generation > status.generation
            })
            .unwrap();
        let live = Instant::now();
        let (_, end) = scene.wait_for_silence(struck, live);
        spoke_ms.push(end.saturating_duration_since(struck).as_secs_f64() * 1e3);
        primary = backup;
        let asked = Instant::now();
        backup = scene.protect(&mut primary);
        join_ms.push(asked.elapsed().as_secs_f64() * 1e3);
        pause_ms.extend(primary.status().unwrap().transfer_pause_ms);
        scene.wait("more pulses", 0, |shown| (witness::read(shown).pulses > before.pulses).then_some(()));
        println!(
            "kill {kill}: {:.0} ms to the next output, joined in {:.0} ms, {} keys verified",
            spoke_ms[kill - 1],
            join_ms[kill - 1],
            before.load.verified
        );
    }
    let last = scene.testimony();
    scene.wait("the load after all", 0, |shown| {
        (witness::read(shown).load_lines > last.load_lines).then_some(())
    });
    assert_eq!(scene.ask(redis::PID), pid, "Redis is the process that it was");
    assert_eq!(scene.ask(redis::GET_COLOUR), "green");
    let seen = scene.testimony();
    assert!(seen.load.verified > 0 && seen.load.errors == 0, "{seen:?}");
    assert!(audits >= KILLS as u64, "{audits} digests agreed");
    assert!(!scene.console().told().contains("missing"), "{}", scene.console().told());

    scene.console().types(redis::POWEROFF).unwrap();
    let [a, b] = [primary.wait(PATIENCE), backup.wait(PATIENCE)];
    let tails = format!("{}{}{}", primary.tail(), backup.tail(), scene.console().tail());
    assert_eq!((a, b, scene.console().ends(PATIENCE)), (Some(0), Some(0), Some(0)), "{tails}");
    println!(
        "{KILLS} takeovers in {:.0} s: to the next output median {:.0}, longest {:.0} ms; join {:.0}, {:.0} ms; \
         pause {:.0}, {:.0} ms; {} numbered lines, longest gap {} ms, {} keys verified, {audits} digests agreed",
        begun.elapsed().as_secs_f64(),
        middle(spoke_ms.clone()).0,
        middle(spoke_ms).1,
        middle(join_ms.clone()).0,
        middle(join_ms).1,
        middle(pause_ms.clone()).0,
        middle(pause_ms).1,
        seen.pulses,
        seen.gap_ms,
        seen.load.verified
    );
}

impl Scene {
    #[track_caller]
    fn wait_for_silence(&mut self, at: Instant, until: Instant) -> (Instant, Instant) {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(silence) = self.console().silence(at, until) {
                return silence;
            }
            assert!(Instant::now() < end, "nothing more on the console:{}", self.console().tail());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// The words of a primary that boots the small RAM disk, with these words on the kernel's command line.
fn tiny_words(images: &Images, words: &str) -> Vec<String> {
    let append = format!("{} panic=-1 reboot=panic_warm {words}", images.cmdline);
    let [kernel, initrd] = [&images.kernel, &images.initrd].map(|path| path.display().to_string());
    ["--kernel", &kernel, "--initrd", &initrd, "--append", &append].map(str::to_owned).to_vec()
}

#[test]
fn a_kernel_panic_ends_both_alike_with_its_last_words() {
    let Some(images) = images("no Linux under fault tolerance") else { return };
    let mut scene = Scene::of(tiny_words(&images, ""), "128M");
    let mut primary = scene.start();
    let mut backup = scene.protect(&mut primary);
    scene.await_text(redis::PROMPT);
    scene.console().types("echo c >/proc/sysrq-trigger\n").unwrap();
    for node in [&mut primary, &mut backup] {
        assert_eq!(node.wait(PATIENCE), Some(70), "{}", node.told());
        let told = node.told();
        assert!(told.contains("Kernel panic - not syncing: sysrq triggered crash"), "{told}");
    }
    assert_eq!(scene.console().ends(PATIENCE), Some(70), "{}", scene.console().told());
}

/// `--disk`: the root image under a file of this node's own.
fn disk_words(images: &Images, overlay: &Path) -> Vec<String> {
    vec!["--disk".into(), format!("{},overlay={}", images.root.display(), overlay.display())]
}

#[test]
fn what_redis_called_durable_is_there_after_both_nodes_died() {
    let Some(images) = images("no Linux under fault tolerance") else { return };
    let durable = "lockstep.root=/dev/vda lockstep.run=redis lockstep.appendonly=always";
    let mut scene = Scene::of(tiny_words(&images, durable), "160M");
    let overlays: Vec<PathBuf> = ["a", "b"].iter().map(|name| scene.dir.path().join(name)).collect();
    scene.cluster.arguments = disk_words(&images, &overlays[0]);
    let mut primary = scene.start();
    scene.await_text("lockstep: ready");
    scene.await_text(redis::PROMPT);
    assert_eq!(scene.ask(redis::SET_COLOUR), "OK");
    scene.cluster.arguments = disk_words(&images, &overlays[1]);
    let mut backup = scene.protect(&mut primary);

    // Each number is said only after Redis has called it durable; the last that was seen must be there.
    let count =
        "i=0; while i=$((i+1)); do [ \"$(redis-cli set n $i)\" = OK ] && echo \"kept $i ok\"; done &\n";
    scene.console().types(count).unwrap();
    let kept = |shown: &str| {
        let numbers = shown.lines().filter_map(|line| {
            let line = witness::plain(line);
            line[line.find("kept ")? + 5..].strip_suffix(" ok")?.parse::<u64>().ok()
        });
        numbers.max()
    };
    scene.wait("ten numbers", 0, |shown| kept(shown).filter(|n| *n >= 10));
    // First the primary: the backup has a disk of its own, and goes on.
    primary.kill().unwrap();
    scene.cluster.await_status(&mut backup, "the primary", |status| status.role == "primary").unwrap();
    let before = kept(&scene.console().text()).unwrap();
    scene.wait("ten more", 0, |shown| kept(shown).filter(|n| *n >= before + 10));
    backup.kill().unwrap();
    // What had left the machine before it died may still be on its way to us.
    std::thread::sleep(Duration::from_millis(300));
    let last = kept(&scene.console().text()).unwrap();
    println!("the last number that Redis called durable is {last}");
    scene.console = None;

    // The one that was primary last has the newest disk; the other's is refused.
    scene.cluster.arguments = disk_words(&images, &overlays[0]);
    scene.cluster.arguments.push("--fresh".into());
    let mut stale = scene.cluster.primary().unwrap();
    assert_eq!(stale.wait(PATIENCE), Some(2), "{}", stale.told());
    assert!(stale.told().contains("older"), "{}", stale.told());
    scene.cluster.arguments = disk_words(&images, &overlays[1]);
    scene.cluster.arguments.push("--fresh".into());
    let again = scene.start();
    scene.await_text("lockstep: ready");
    scene.await_text(redis::PROMPT);
    let found: u64 = scene.ask("redis-cli get n").parse().unwrap();
    assert!(found >= last, "{found} is there, {last} was called durable");
    assert_eq!(scene.ask(redis::GET_COLOUR), "green");
    assert!(again.status().unwrap().role == "primary");
}

/// Transfers between the bank's accounts, each a transaction of its own.
const TRANSFERS: u64 = 1000;

#[test]
fn a_bank_in_sqlite_balances_after_its_primary_was_killed_in_mid_work() {
    let Some(images) = images("no SQLite under fault tolerance") else { return };
    let mut scene = Scene::of(tiny_words(&images, "lockstep.root=/dev/vda"), "160M");
    scene.cluster.arguments = disk_words(&images, &scene.dir.path().join("a"));
    let mut primary = scene.start();
    scene.await_text(redis::PROMPT);
    scene.cluster.arguments = disk_words(&images, &scene.dir.path().join("b"));
    let mut backup = scene.protect(&mut primary);

    let tables = "create table a(i integer primary key,n);create table d(k integer primary key);";
    assert_eq!(scene.ask(&format!("sqlite3 bank.db \"{tables}\"")), "");
    let accounts = "BEGIN{print\"begin;\";for(i=0;i<100;i++)print\"insert into a values(\"i\",1000);\";print\"commit;\"}";
    assert_eq!(scene.ask(&format!("awk '{accounts}' | sqlite3 bank.db")), "");
    // After each hundredth, how many are kept: char() spells " kept".
    let transfers = format!(
        "BEGIN{{for(k=1;k<={TRANSFERS};k++){{print\"begin;update a set n=n-7 where i=\"k*37%100\";\";\
         print\"update a set n=n+7 where i=\"k*53%100\";insert into d values(\"k\");commit;\";\
         if(k%100==0)print\"select count(*)||char(32,107,101,112,116) from d;\"}}}}"
    );
    scene.console().types(&format!("awk '{transfers}' | sqlite3 bank.db &\n")).unwrap();
    let kept = |shown: &str| {
        let numbers = shown.lines().filter_map(|line| {
            let line = witness::plain(line);
            line.trim().strip_suffix(" kept")?.rsplit(' ').next()?.parse::<u64>().ok()
        });
        numbers.max()
    };
    let before = scene.wait("some transfers", 0, |shown| kept(shown).filter(|n| *n >= 200));
    assert!(before < TRANSFERS, "it is in mid-work");
    primary.kill().unwrap();
    scene.cluster.await_status(&mut backup, "the primary", |status| status.role == "primary").unwrap();
    scene.wait("all transfers", 0, |shown| kept(shown).filter(|n| *n == TRANSFERS));
    let audit = "select sum(n),count(*) from a;select count(*) from d;pragma integrity_check";
    let found = scene.ask(&format!("sqlite3 bank.db '{audit}'"));
    assert_eq!(found, format!("100000|100 {TRANSFERS} ok"));
}

/// Transactions of each of pgbench's four clients.
const BENCH_TRANSACTIONS: u64 = 400;

#[test]
fn postgresql_under_pgbench_balances_after_its_primary_was_killed_in_mid_work() {
    if std::env::var_os("LOCKSTEP_LONG").is_none() {
        return skipped("PostgreSQL under fault tolerance: it takes minutes; LOCKSTEP_LONG=1 asks for it");
    }
    let built = made("no PostgreSQL under fault tolerance", &["--tiny-only", "--software", "postgresql"]);
    let Some(images) = built else { return };
    let [kernel, initrd, cmdline, root] =
        ["kernel", "initrd", "cmdline", "software"].map(|key| images[key].as_str().unwrap().to_owned());
    let append = format!("{cmdline} panic=-1 reboot=panic_warm lockstep.root=/dev/vda");
    let words = ["--kernel", &kernel, "--initrd", &initrd, "--append", &append].map(str::to_owned);
    let mut scene = Scene::of(words.to_vec(), "256M");
    let overlay = |scene: &Scene, name: &str| {
        vec!["--disk".into(), format!("{root},overlay={}", scene.dir.path().join(name).display())]
    };
    scene.cluster.arguments = overlay(&scene, "a");
    let mut primary = scene.start();
    scene.await_text(redis::PROMPT);
    scene.cluster.arguments = overlay(&scene, "b");
    let mut backup = scene.protect(&mut primary);

    let begun = Instant::now();
    // The shell's own: what is asked runs in shells of its own.
    for line in [
        "cd /; echo postgres:x:999:999::/var/lib/postgresql:/bin/sh >>/etc/passwd",
        "echo postgres:x:999: >>/etc/group",
        "mkdir -p /run/postgresql /var/lib/postgresql; chown postgres /run/postgresql /var/lib/postgresql",
    ] {
        scene.console().types(&format!("{line}\n")).unwrap();
    }
    let switch_user =
        "as() { su postgres -s /bin/sh -c \"PATH=$(echo /usr/lib/postgresql/*/bin):$PATH; $*\"; }\n";
    scene.console().types(switch_user).unwrap();
    scene.ask("as initdb -D /var/lib/postgresql/d -A trust >/tmp/initdb 2>&1");
    let started = scene
        .ask("as pg_ctl -D /var/lib/postgresql/d -l /tmp/pg.log -w -t 300 start >/tmp/start 2>&1; echo $?");
    assert_eq!(started, "0", "{}", scene.ask("cat /tmp/initdb /tmp/start /tmp/pg.log"));
    assert_eq!(
        scene.ask("as pgbench -q -i -s 1 >/tmp/fill 2>&1; echo $?"),
        "0",
        "{}",
        scene.ask("cat /tmp/fill")
    );
    let bench = format!(
        "as pgbench -n -c 4 -t {BENCH_TRANSACTIONS} -P 1 >/tmp/bench 2>&1; echo bench ended $? >>/tmp/bench"
    );
    scene.console().types(&format!("({bench}) &\n")).unwrap();
    let count = "as psql -At -c \"'select count(*) from pgbench_history'\"";
    let until = Instant::now() + PATIENCE;
    let before = loop {
        let done: u64 = scene.ask(count).parse().expect("a number of transactions");
        if done >= 50 {
            break done;
        }
        assert!(Instant::now() < until, "pgbench makes no progress: {done}");
    };
    assert!(before < 4 * BENCH_TRANSACTIONS, "it is in mid-work");
    primary.kill().unwrap();
    scene.cluster.await_status(&mut backup, "the primary", |status| status.role == "primary").unwrap();
    let until = Instant::now() + PATIENCE;
    while scene.ask("grep -c 'bench ended' /tmp/bench") != "1" {
        assert!(Instant::now() < until, "pgbench does not end: {}", scene.ask("tail -5 /tmp/bench"));
    }
    let report = scene.ask("cat /tmp/bench");
    let all = format!("{0}/{0}", 4 * BENCH_TRANSACTIONS);
    assert!(report.contains(&all) && report.contains("bench ended 0"), "{report}");
    let sums = "select (select sum(abalance) from pgbench_accounts)=sum(delta),\
                (select sum(tbalance) from pgbench_tellers)=sum(delta),\
                (select sum(bbalance) from pgbench_branches)=sum(delta),count(*) from pgbench_history";
    let sums = sums.split_whitespace().collect::<Vec<_>>().join(" ");
    let found = scene.ask(&format!("as psql -At -c \"'{sums}'\""));
    assert_eq!(found, format!("t|t|t|{}", 4 * BENCH_TRANSACTIONS));
    assert_eq!(scene.ask("as pg_ctl -D /var/lib/postgresql/d -w stop >/dev/null 2>&1; echo $?"), "0");
    println!(
        "PostgreSQL through a kill after {before} transactions: all {} done, sums agree, {:.0} s",
        4 * BENCH_TRANSACTIONS,
        begun.elapsed().as_secs_f64()
    );
}

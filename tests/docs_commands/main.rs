//! Every command block of README and docs, run as it stands. A block is marked `sh`, and belongs to a scene below or to
//! [`ELSEWHERE`]; or it is marked `text`, and is no command.

#[allow(dead_code, reason = "a tool box that several test programs share")]
#[path = "../common/mod.rs"]
mod common;
mod page;
mod scene;

use page::{block, blocks, pages};
use scene::{Step, run};

const README: &str = "README.md";
const GUIDE: &str = "docs/guide.md";
const ARBITER: &str = "docs/arbiter.md";
const HOSTS: &str = "docs/hosts.md";

/// Blocks that no scene runs: page, beginning, and which test does it, or why none can.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    (README, "cargo run --release -- demo", "tests/demo.rs runs the demo"),
    (README, "sudo apt-get install", "installs packages; tests/demo.rs runs the demo with Linux"),
    (GUIDE, "lockstep demo", "tests/demo.rs runs the demo"),
    (
        GUIDE,
        "lockstep attach 127.0.0.1:7100 --until",
        "tests/console/scripts.rs attaches like this to a Linux guest",
    ),
    (GUIDE, "lockstep store ls", "tests/store.rs makes a store, and does all of this with it"),
    (GUIDE, "apt-get install opensbi", "installs a package; tests/opensbi.rs boots with it"),
    (GUIDE, "apt-get install u-boot-qemu", "installs a package, and needs a distribution's disk"),
    (ARBITER, "etcdctl get", "the scene with three etcds asks one that is not at 127.0.0.1"),
    (HOSTS, "ip link add br0", "the host's own network; tests/hosts makes the same in namespaces"),
    (HOSTS, "A=etcd:http://192.168.1.21:2379", "two hosts; tests/hosts has them"),
    (HOSTS, "redis-cli -h", "two hosts; tests/hosts has them"),
    (HOSTS, "passt --foreground", "tests/hosts/passt.rs starts it as an ordinary user"),
];

/// Blocks that scenes run: page and beginning. Scenes take them from here, so that a new one cannot be forgotten.
const IN_SCENES: &[(&str, &str)] = &[
    (README, "lockstep switch  --listen"),
    (README, "lockstep client 127.0.0.1:9000 SET"),
    (README, "guest-programs/linux/build --tiny-only"),
    (GUIDE, "lockstep run guest-programs/hello"),
    (GUIDE, "mkdir -p /tmp/arbiter"),
    (GUIDE, "lockstep primary guest-programs/kv/kv.elf"),
    (GUIDE, "lockstep primary --vm kv"),
    (GUIDE, "lockstep attach 127.0.0.1:7100\n"),
    (GUIDE, "guest-programs/linux/build                                   # once: Debian's"),
    (GUIDE, "lockstep status 127.0.0.1:7100"),
    (GUIDE, "lockstep switch --listen 127.0.0.1:7000 --forward tcp:127.0.0.1:9000"),
    (GUIDE, "lockstep client 127.0.0.1:9000 --clients"),
    (GUIDE, "lockstep backup --vm kv --primary 127.0.0.1:7100,127.0.0.1:7101"),
    (GUIDE, "truncate -s 1G root.img"),
    (GUIDE, "GUEST=guest-programs/diskkv"),
    (GUIDE, "guest-programs/linux/build                                   # once: kernel"),
    (GUIDE, "lockstep rehearse"),
    (GUIDE, "lockstep switchover"),
    (GUIDE, "lockstep run guest-programs/clock"),
    (GUIDE, "lockstep replay /tmp/clock --chunks"),
    (GUIDE, "lockstep log stats /tmp/clock --by"),
    (GUIDE, "lockstep run guest-programs/crunch/crunch.elf --profile"),
    (ARBITER, "etcd --name a"),
    (ARBITER, "lockstep primary guest-programs/kv"),
];

/// A block that [`IN_SCENES`] has.
fn typed(page: &str, beginning: &str) -> Step {
    assert!(IN_SCENES.contains(&(page, beginning)), "{page}, {beginning:?}: add it to IN_SCENES");
    Step::Block(block(page, beginning))
}

#[test]
fn every_command_block_is_run_here_or_elsewhere() {
    let known = |page: &str, text: &str| {
        ELSEWHERE.iter().any(|(at, begins, _)| *at == page && text.starts_with(begins))
            || IN_SCENES.iter().any(|(at, begins)| *at == page && text.starts_with(begins))
    };
    let (mut commands, mut wrong) = (0, Vec::new());
    for page in pages() {
        for block in blocks(&page) {
            let place = format!("{page}:{}", block.line);
            match block.language.as_str() {
                "text" | "toml" | "json" => {}
                "sh" if known(&page, &block.text) => commands += 1,
                "sh" => wrong.push(format!("{place}: no scene runs this block")),
                other => wrong.push(format!("{place}: a block is marked `sh` or `text`, this one {other:?}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(commands >= 25, "only {commands} command blocks were found");
    for (page, beginning, _) in ELSEWHERE {
        assert!(
            blocks(page).iter().any(|b| b.text.starts_with(beginning)),
            "{page} has no block {beginning:?} any more"
        );
    }
}

#[test]
fn the_readmes_pair_by_hand() {
    run(
        "by-hand",
        &[
            typed(README, "lockstep switch  --listen"),
            Step::Check("eventually command lockstep status 127.0.0.1:7100"),
            typed(README, "lockstep client 127.0.0.1:9000 SET"),
            Step::Check("[ \"$(command lockstep client 127.0.0.1:9000 GET colour)\" = 'VALUE green' ]"),
            Step::Check("status=0; command lockstep status 127.0.0.1:7101 || status=$?; [ $status = 1 ]"),
        ],
    );
}

#[test]
fn a_guest_program() {
    run("guest", &[typed(GUIDE, "lockstep run guest-programs/hello")]);
}

#[test]
fn a_pair_killed_and_switched_over() {
    run(
        "pair",
        &[
            typed(GUIDE, "mkdir -p /tmp/arbiter"),
            Step::Check("eventually command lockstep status 127.0.0.1:7100"),
            typed(GUIDE, "lockstep attach 127.0.0.1:7100\n"),
            Step::Check("eventually command lockstep rehearse 127.0.0.1:7101 --for 1"),
            typed(GUIDE, "lockstep rehearse"),
            typed(GUIDE, "lockstep switchover"),
            Step::Check("eventually sh -c 'lockstep status --json 127.0.0.1:7101 | grep -q \\\"primary\\\"'"),
            Step::Check(
                "command lockstep switchover 127.0.0.1:7101; eventually command lockstep status 127.0.0.1:7100",
            ),
            Step::Check("eventually sh -c 'lockstep status --json 127.0.0.1:7100 | grep -q \\\"primary\\\"'"),
            typed(GUIDE, "lockstep client 127.0.0.1:9000 --clients"),
            Step::Check("eventually command lockstep status 127.0.0.1:7101"),
            Step::Check("command lockstep kill 127.0.0.1:7102"),
            typed(GUIDE, "lockstep backup --vm kv --primary 127.0.0.1:7100,127.0.0.1:7101"),
            Step::Check("eventually command lockstep status 127.0.0.1:7101"),
        ],
    );
}

#[test]
fn a_pair_whose_nodes_are_all_killed() {
    run(
        "stores",
        &[
            Step::Check(
                "mkdir -p /tmp/arbiter; lockstep switch --listen 127.0.0.1:7000 --forward udp:127.0.0.1:9000=9000",
            ),
            typed(GUIDE, "lockstep primary guest-programs/kv/kv.elf"),
            Step::Check("eventually command lockstep status 127.0.0.1:7100"),
            Step::Check("command lockstep client 127.0.0.1:9000 SET colour green"),
            Step::Check("command lockstep kill 127.0.0.1:7101; command lockstep kill 127.0.0.1:7100"),
            typed(GUIDE, "lockstep primary --vm kv"),
            Step::Check("eventually command lockstep status 127.0.0.1:7100"),
            Step::Check("[ \"$(command lockstep client 127.0.0.1:9000 GET colour)\" = 'VALUE green' ]"),
            Step::Check("command lockstep checkpoint 127.0.0.1:7100"),
        ],
    );
}

#[test]
fn a_guest_that_speaks_tcp() {
    if !common::has("nc") {
        return common::skipped("no nc here: the guide's commands for TCP are not run");
    }
    run("counter", &[typed(GUIDE, "lockstep switch --listen 127.0.0.1:7000 --forward tcp:127.0.0.1:9000")]);
}

#[test]
fn disks_alone_and_under_fault_tolerance() {
    run(
        "disks",
        &[
            typed(GUIDE, "truncate -s 1G root.img"),
            Step::Check(
                "mkdir -p /srv/a /srv/b 2>/dev/null; mount -t tmpfs tmpfs /srv; mkdir /srv/a /srv/b; \
                         truncate -s 16M /srv/a/root.img; lockstep switch --listen 127.0.0.1:7000",
            ),
            typed(GUIDE, "GUEST=guest-programs/diskkv"),
            Step::Check("eventually command lockstep status 127.0.0.1:7100; test -s /srv/b/root.img"),
        ],
    );
}

#[test]
fn a_recording() {
    run(
        "recording",
        &[
            typed(GUIDE, "lockstep run guest-programs/clock"),
            Step::Check("test -s clock.svg"),
            typed(GUIDE, "lockstep replay /tmp/clock --chunks"),
            typed(GUIDE, "lockstep log stats /tmp/clock --by"),
            typed(GUIDE, "lockstep run guest-programs/crunch/crunch.elf --profile"),
            Step::Check("test -s crunch.folded; test -s clock.folded; test -s often.folded"),
        ],
    );
}

#[test]
fn linux_at_the_terminal_and_under_fault_tolerance() {
    if !common::has("redis-cli") {
        return common::skipped("no redis-cli here: the docs' Linux guests are not run");
    }
    if common::linux::images("the docs' Linux guests are not run").is_none() {
        return;
    }
    run("linux-shell", &[typed(README, "guest-programs/linux/build --tiny-only")]);
    run(
        "linux-tcp",
        &[
            typed(GUIDE, "guest-programs/linux/build                                   # once: Debian's"),
            Step::Check("eventually command lockstep status 127.0.0.1:7100; redis-cli set colour green"),
            typed(GUIDE, "lockstep status 127.0.0.1:7100"),
            Step::Check(
                "eventually command lockstep status 127.0.0.1:7101; [ \"$(redis-cli get colour)\" = green ]",
            ),
        ],
    );
    run(
        "linux-disks",
        &[
            typed(GUIDE, "guest-programs/linux/build                                   # once: kernel"),
            Step::Check("eventually command lockstep status 127.0.0.1:7100"),
        ],
    );
}

#[test]
fn an_etcd_of_three() {
    if !["etcd", "etcdctl"].iter().all(|program| common::has(program)) {
        common::skipped("no etcd here: the commands of docs/arbiter.md are not run");
        return;
    }
    let etcd = |name: &str, n: u8| {
        let Step::Block(mut block) = typed(ARBITER, "etcd --name a") else {
            unreachable!("typed answers with blocks")
        };
        block.text = block.text.replace("--name a", &format!("--name {name}"));
        // "With its own name and address": the cluster's list of all three stays.
        let (own, cluster) = block.text.split_once("--initial-cluster").expect("the list");
        let dir = format!("/tmp/etcd-{name}");
        let own = own.replace("10.0.0.1", &format!("10.0.0.{n}")).replace("/var/lib/etcd/lockstep", &dir);
        block.text = format!("{own}--initial-cluster{cluster}");
        Step::Block(block)
    };
    run(
        "etcd",
        &[
            Step::Check(
                "for a in 10.0.0.1 10.0.0.2 10.0.0.3 10.0.1.1 10.0.1.2 10.0.1.9; do ip addr add $a/32 dev lo; done",
            ),
            etcd("a", 1),
            etcd("b", 2),
            etcd("c", 3),
            Step::Check("eventually etcdctl --endpoints http://10.0.0.1:2379 get --prefix /lockstep"),
            Step::Check("lockstep switch --listen 10.0.1.9:7000"),
            typed(ARBITER, "lockstep primary guest-programs/kv"),
            Step::Check("eventually command lockstep status 10.0.1.1:7100"),
            Step::Check(
                "export ETCDCTL_ENDPOINTS=http://10.0.0.2:2379; etcdctl get --prefix /lockstep/kv/ | grep -q g0000",
            ),
        ],
    );
}

//! Command lines.

use crate::support::{guest, run};

#[test]
fn command_lines_that_make_no_sense_are_explained() {
    let kv = guest("kv");
    let kv = kv.as_str();
    run(&[]).refuses(&["Usage"]);
    run(&["fly"]).refuses(&["fly", "Usage"]);
    for memory in ["", "M", "12Q", "-1M", "1", "100", "3M", "8G", "99999999999999999999", "0x1000"] {
        run(&["run", kv, &format!("--memory={memory}")]).refuses(&["--memory"]);
    }
    for name in ["../x", "", ".", "a/b", "x y", "/etc", "\u{e9}"] {
        let arguments = ["primary", kv, "--vm", name, "--listen", "127.0.0.1:0", "--arbiter", "."];
        run(&arguments).refuses(&["--vm"]);
        let arguments =
            ["backup", "--vm", name, "--primary", "127.0.0.1:1", "--listen", "127.0.0.1:0", "--arbiter", "."];
        run(&arguments).refuses(&["--vm"]);
        run(&["run", kv, "--vm", name]).refuses(&["--vm"]);
    }
    for address in ["", "127.0.0.1", "127.0.0.1:99999", ":::", "localhost", "1.2.3.4.5:6"] {
        run(&["primary", kv, "--vm", "kv", "--listen", address, "--arbiter", "."]).refuses(&["--listen"]);
        run(&["run", kv, "--switch", address]).refuses(&["--switch"]);
        run(&["switch", "--listen", address]).refuses(&["--listen"]);
        run(&["status", address]).refuses(&["ADDR"]);
        run(&["switchover", address]).refuses(&["ADDR"]);
    }
    for forward in ["", "9000", "tcp", "udp:127.0.0.1=9000", "udp:127.0.0.1:9000", "udp:127.0.0.1:9000=99999"]
    {
        run(&["switch", "--listen", "127.0.0.1:0", "--forward", forward]).refuses(&["--forward"]);
    }
    for silence in ["0", "19", "60001", "x", "-5"] {
        let silence = format!("--silence-ms={silence}");
        let arguments = ["primary", kv, "--vm", "kv", "--listen", "127.0.0.1:0", "--arbiter", ".", &silence];
        run(&arguments).refuses(&["--silence-ms"]);
    }
    run(&["run", kv, "--max-instructions", "many"]).refuses(&["--max-instructions"]);
    run(&["run", kv, "--console", "tty"]).refuses(&["--console"]);
    run(&["replay", ".", "--until", "later"]).refuses(&["--until"]);
    run(&["log"]).refuses(&["Usage"]);
    run(&["log", "eat", "."]).refuses(&["eat"]);
    run(&["disasm", "/nowhere/x.elf"]).refuses(&["/nowhere/x.elf", "fix:"]);
}

#[test]
fn numbers_at_their_ends_are_taken_or_refused() {
    let max = u64::MAX.to_string();
    let port = crate::support::free_port();
    let backup = |wait: &str| {
        run(&[
            "backup",
            "--vm",
            "kv",
            "--primary",
            &port,
            "--listen",
            "127.0.0.1:0",
            "--arbiter",
            ".",
            "--wait",
            wait,
        ])
    };
    backup(&max).refuses(&["--wait"]);
    backup("0").refuses(&["does not answer", "fix:"]);
    run(&["run", &guest("hello"), "--max-instructions", &max]).ends(0, &[]);
    run(&["run", &guest("hello"), "--max-instructions", "0"]).ends(124, &["--max-instructions"]);
}

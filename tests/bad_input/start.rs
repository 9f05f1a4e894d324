//! Ports, directories and arbiters that are not as they should be.

use std::fs;
use std::net::{TcpListener, UdpSocket};

use tempfile::TempDir;

use crate::support::{free_port, guest, path, run};

fn primary(listen: &str, arbiter: &str, more: &[&str]) -> crate::support::Ran {
    let guest = guest("exit_code");
    let mut all =
        vec!["primary", &guest, "--vm", "kv", "--memory", "4M", "--listen", listen, "--arbiter", arbiter];
    all.extend(more);
    run(&all)
}

fn backup(listen: &str, arbiter: &str, more: &[&str]) -> crate::support::Ran {
    let closed = free_port();
    let mut all =
        vec!["backup", "--vm", "kv", "--primary", &closed, "--listen", listen, "--arbiter", arbiter];
    all.extend(more);
    run(&all)
}

#[test]
fn an_occupied_port_is_named() {
    let dir = TempDir::new().unwrap();
    let arbiter = dir.path().display().to_string();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    primary(&at, &arbiter, &[]).refuses(&[&at, "fix:", "port"]);
    backup(&at, &arbiter, &[]).refuses(&[&at, "fix:", "port"]);
    run(&["switch", "--listen", &at]).refuses(&[&at, "fix:", "port"]);
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = udp.local_addr().unwrap().to_string();
    let forward = format!("udp:{at}=9000");
    run(&["switch", "--listen", "127.0.0.1:0", "--forward", &forward]).refuses(&[&at, "fix:"]);
    primary("203.0.113.7:1", &arbiter, &[]).refuses(&["203.0.113.7:1", "fix:"]);
    // A refused start has claimed nothing.
    primary("127.0.0.1:0", &arbiter, &[]).ends(42, &[]);
}

#[test]
fn an_arbiter_that_cannot_decide_stops_the_start() {
    let dir = TempDir::new().unwrap();
    let missing = path(&dir, "missing");
    let file = path(&dir, "file");
    fs::write(&file, b"").unwrap();
    // The kernel's own file system takes no files of ours, not even from root.
    for arbiter in [&missing, &file, "/proc"] {
        primary("127.0.0.1:0", arbiter, &[]).refuses(&["arbiter", arbiter, "fix:", "--arbiter"]);
        backup("127.0.0.1:0", arbiter, &[]).refuses(&["arbiter", arbiter, "fix:", "--arbiter"]);
    }
}

#[test]
fn an_etcd_that_does_not_answer_or_cannot_be_meant_stops_the_start() {
    let away = "etcd:http://127.0.0.1:1,http://127.0.0.1:2/lockstep";
    for more in [&[][..], &["--fresh"]] {
        primary("127.0.0.1:0", away, more).refuses(&[
            "arbiter",
            "127.0.0.1:1",
            "127.0.0.1:2",
            "fix:",
            "majority",
        ]);
    }
    backup("127.0.0.1:0", away, &[]).refuses(&["arbiter", "127.0.0.1:1", "fix:"]);
    let dir = TempDir::new().unwrap();
    for (meant, says) in [
        ("etcd:10.0.0.1:2379/p".to_owned(), "http://"),
        ("etcd:http://10.0.0.1:2379".to_owned(), "prefix"),
        ("etcd:https://10.0.0.1:2379/p".to_owned(), "tunnel"),
        (format!("etcd:{}", path(&dir, "")), "http://"),
    ] {
        primary("127.0.0.1:0", &meant, &[]).refuses(&["--arbiter", says]);
        backup("127.0.0.1:0", &meant, &[]).refuses(&["--arbiter", says]);
    }
}

#[test]
fn a_damaged_arbiter_record_is_not_an_absent_one() {
    for record in ["", "{", "{\"generation\":\"x\"}", "\0\0\0\0"] {
        let dir = TempDir::new().unwrap();
        let arbiter = dir.path().display().to_string();
        fs::create_dir(dir.path().join("kv")).unwrap();
        fs::write(dir.path().join("kv/g00000000000000000003"), record).unwrap();
        for more in [&[][..], &["--fresh"]] {
            primary("127.0.0.1:0", &arbiter, more).refuses(&["damaged", "g00000000000000000003", "fix:"]);
        }
    }
    // A vm's directory that is a file, and names that are no records.
    let dir = TempDir::new().unwrap();
    let arbiter = dir.path().display().to_string();
    fs::write(dir.path().join("kv"), b"").unwrap();
    primary("127.0.0.1:0", &arbiter, &[]).refuses(&["arbiter", "kv", "fix:"]);
    fs::remove_file(dir.path().join("kv")).unwrap();
    fs::create_dir(dir.path().join("kv")).unwrap();
    for name in ["notes", "g1", "g99999999999999999999", "gxxxxxxxxxxxxxxxxxxxx", ".abc.new"] {
        fs::write(dir.path().join("kv").join(name), b"mine").unwrap();
    }
    primary("127.0.0.1:0", &arbiter, &[]).ends(42, &[]);
}

#[test]
fn a_record_directory_that_cannot_be_used_is_told_and_costs_no_life() {
    let dir = TempDir::new().unwrap();
    let arbiter = path(&dir, "arbiter");
    fs::create_dir(&arbiter).unwrap();
    let occupied = path(&dir, "occupied");
    run(&["run", &guest("hello"), "--record", &occupied]).ends(0, &[]);
    let before = fs::read(crate::support::segments(occupied.as_ref()).remove(0)).unwrap();
    let no_parent = path(&dir, "a/b/c");
    let file = path(&dir, "file");
    fs::write(&file, b"mine").unwrap();
    for (record, why) in [(&occupied, "already holds a log"), (&no_parent, "No such file"), (&file, "file")] {
        let ran = run(&["run", &guest("hello"), "--record", record]);
        ran.refuses(&[why, record, "fix:"]);
        assert!(ran.out.is_empty(), "the guest had not begun: {}", ran.said());
        primary("127.0.0.1:0", &arbiter, &["--record", record]).refuses(&[why, record, "fix:"]);
        backup("127.0.0.1:0", &arbiter, &["--wait", "0", "--record", record]).refuses(&[why, record, "fix:"]);
    }
    assert_eq!(before, fs::read(crate::support::segments(occupied.as_ref()).remove(0)).unwrap());
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    // What could not start did not use up the vm's life either.
    primary("127.0.0.1:0", &arbiter, &[]).ends(42, &[]);
}

#[test]
fn tools_that_ask_the_wrong_address_say_so() {
    let closed = free_port();
    run(&["status", &closed]).refuses(&[&closed, "fix:"]);
    run(&["switchover", &closed]).refuses(&[&closed, "fix:"]);
    run(&["leave", &closed]).refuses(&[&closed, "fix:"]);
    run(&["switch", "--status", &closed]).refuses(&[&closed, "fix:"]);
    // A server that takes the question and answers something else.
    let http = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = http.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        for _ in 0..3 {
            let (mut stream, _) = http.accept().unwrap();
            std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        }
    });
    run(&["status", &at]).refuses(&[&at, "fix:"]).within_mib(40);
    run(&["switchover", &at]).refuses(&[&at, "fix:"]).within_mib(40);
    run(&["leave", &at]).refuses(&[&at, "fix:"]).within_mib(40);
    run(&["switch", "--status", &at]).refuses(&[&at, "fix:"]).within_mib(40);
    server.join().unwrap();
    // A server that never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = silent.local_addr().unwrap().to_string();
    run(&["status", &at]).refuses(&[&at, "within 5 s", "fix:"]);
}

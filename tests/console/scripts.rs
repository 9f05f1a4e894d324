//! `lockstep attach` in scripts: what it waits for, and the statuses it ends with.

use super::scene::*;

#[test]
fn statuses_tell_scripts_what_happened() {
    let mut run = Run::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    let address = run.address.to_string();
    let attach = |name: &str, arguments: &[&str]| {
        let mut attached = Attached::start(&dir, name, &[&[address.as_str()], arguments].concat());
        (attached.ends(), attached.shown(), attached.told())
    };
    // Also what was said before counts, unless something is to be typed first.
    let (status, shown, told) = attach("seen", &["--until", "chatter: here", "--timeout", "20"]);
    assert_eq!(status, Some(0), "{shown} {told}");
    let (status, shown, told) =
        attach("answered", &["--send", r"ping\n", "--until", "ping", "--timeout", "20"]);
    assert_eq!((status, shown.matches("ping").count()), (Some(0), 1), "{shown} {told}");
    let (status, shown, _) = attach("live", &["--live", "--until", "chatter: here", "--timeout", "0.5"]);
    assert_eq!((status, shown.contains("here")), (Some(1), false), "{shown}");
    let (status, ..) = attach("patient", &["--timeout", "0.2"]);
    assert_eq!(status, Some(0));
    let (status, ..) = attach("too late", &["--send", r"quit\n", "--until", "never said"]);
    assert_eq!(status, Some(1));
    assert_eq!(wait(&mut run.child).code(), Some(0));
    let (status, _, told) = attach("no-port", &["--wait", "0.3"]);
    assert_eq!(status, Some(2));
    assert!(told.contains("no node answers") && told.contains("fix:"), "{told}");
}

#[test]
fn standard_input_is_typed_to_its_end() {
    let run = Run::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    let mut attached = Attached::start(&dir, "typist", &[&run.address.to_string()]);
    attached.types("quiet\n");
    let lines: Vec<String> = (0..2000).map(|n| format!("a line with the number {n}")).collect();
    attached.types(&format!("{}\nquit\n", lines.join("\n")));
    assert_eq!(attached.ends(), Some(0), "{}", attached.told());
    let heard = take_apart(&attached.shown());
    assert_eq!(heard[1..heard.len() - 1], lines, "{}", attached.told());
}

#[test]
fn a_guests_own_status_is_passed_on() {
    let run = Run::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    let mut attached = Attached::start(&dir, "status", &[&run.address.to_string(), "--send", r"panic\n"]);
    assert_eq!(attached.ends(), Some(3));
    assert!(attached.told().contains("the guest ended with failure 3"), "{}", attached.told());
}

#[test]
fn an_operators_end_of_a_lone_guest_ends_its_terminals() {
    let run = Run::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    let mut attached = Attached::start(&dir, "ended", &[&run.address.to_string()]);
    attached.await_shown("line 00000000");
    signal(&run.child, rustix::process::Signal::TERM);
    assert_eq!(attached.ends(), Some(0));
    assert!(attached.told().contains("the operator ended the guest"), "{}", attached.told());
}

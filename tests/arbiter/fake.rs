//! What is at etcd's address may be anything: slow, cut off, endless, another service's.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lockstep::ft::{Arbiter, ArbiterError, Claim};
use lockstep::host::arbiter::{Etcd, EtcdArbiter};
use lockstep::lab::cluster::free_tcp;

use super::suite::{after, bid};

/// Longer than any question takes, on a busy machine.
const BOUND: Duration = Duration::from_secs(30);

/// Answers each connection with what `answer` writes to it, given the request's number.
struct Server {
    address: String,
    asked: Arc<AtomicUsize>,
}

impl Server {
    fn start(answer: impl Fn(usize, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (asked, answer) = (Arc::new(AtomicUsize::new(0)), Arc::new(answer));
        let count = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let (count, answer) = (count.clone(), answer.clone());
                std::thread::spawn(move || {
                    let mut request = [0; 4096];
                    let read = stream.read(&mut request);
                    let n = count.fetch_add(1, Ordering::Relaxed);
                    // The client may have gone: then the answer has no reader.
                    if matches!(read, Ok(1..)) && answer(n, &mut stream).is_err() {
                        println!("request {n} was given up by who asked");
                    }
                });
            }
        });
        Self { address, asked }
    }

    fn saying(text: String) -> Self {
        Self::start(move |_, stream| stream.write_all(text.as_bytes()))
    }

    fn open(&self) -> Result<EtcdArbiter, ArbiterError> {
        EtcdArbiter::open(&Etcd::parse(&format!("http://{}/lockstep", self.address)).unwrap(), None)
    }
}

fn http(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// It decides nothing, in a bounded time, and says so in one line that names where it looked.
fn refused(server: &Server) -> ArbiterError {
    let asked_at = Instant::now();
    let error = server.open().unwrap_err();
    assert!(asked_at.elapsed() < BOUND, "it took {:?}", asked_at.elapsed());
    let text = error.to_string();
    println!("{text}");
    assert!(text.contains(&server.address), "{text}");
    assert!(text.len() < 400 && !text.contains(char::is_control), "{text}");
    error
}

fn unusable(text: String, says: &str) {
    let error = refused(&Server::saying(text.clone()));
    assert!(matches!(&error, ArbiterError::Unusable(why) if why.contains(says)), "{text:.60}: {error}");
}

#[test]
fn what_is_no_etcd_is_told_from_one_that_is_away() {
    unusable(http("200 OK", "<html><body>It works!</body></html>"), "not as etcd does");
    unusable(http("200 OK", "{}"), "not as etcd does");
    unusable(http("200 OK", ""), "not as etcd does");
    unusable(http("200 OK", r#"{"header":{"cluster_id":"-1","revision":"1"}}"#), "not as etcd does");
    unusable(http("200 OK", r#"{"header":{"cluster_id":"1"}}"#), "not as etcd does");
    unusable(http("404 Not Found", "404 page not found"), "404");
    unusable("SSH-2.0-OpenSSH_9.2\r\n\r\n".into(), "does not answer");
    unusable("\x15\x03\x01\0\x02\x02\x50".into(), "does not answer");
    let gone = free_tcp().unwrap();
    let away = EtcdArbiter::open(&Etcd::parse(&format!("http://{gone}/p")).unwrap(), None).unwrap_err();
    assert!(matches!(&away, ArbiterError::Unreachable(why) if why.contains("refused")), "{away}");
    let nowhere = EtcdArbiter::open(&Etcd::parse("http://nowhere.invalid/p").unwrap(), None).unwrap_err();
    assert!(matches!(nowhere, ArbiterError::Unreachable(_)), "{nowhere}");
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = Server::saying(http("200 OK", r#"{"header":{"cluster_id":"1","revision":"1"}}"#));
    let to = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{}/\r\nContent-Length: 0\r\n\r\n",
        elsewhere.address
    );
    unusable(to, "307");
    assert_eq!(elsewhere.asked.load(Ordering::Relaxed), 0);
}

#[test]
fn an_etcd_with_users_is_named_as_such() {
    let body =
        r#"{"error":"etcdserver: user name is empty","message":"etcdserver: user name is empty","code":3}"#;
    unusable(http("400 Bad Request", body), "wants a user");
    unusable(
        http("403 Forbidden", r#"{"message":"etcdserver: permission denied","code":7}"#),
        "wants a user",
    );
    unusable(http("401 Unauthorized", r#"{"message":"etcdserver: invalid auth token"}"#), "wants a user");
}

#[test]
fn an_etcd_that_cannot_now_may_later() {
    let body = r#"{"error":"etcdserver: no leader","message":"etcdserver: no leader","code":14}"#;
    for status in ["503 Service Unavailable", "500 Internal Server Error", "429 Too Many Requests"] {
        let error = refused(&Server::saying(http(status, body)));
        assert!(matches!(&error, ArbiterError::Unreachable(why) if why.contains("no leader")), "{error}");
    }
}

/// As two members do while they elect another leader than the third, which hangs.
#[test]
fn a_member_that_could_not_answer_is_asked_again_while_another_is_silent() {
    let silent = Server::start(|_, _| {
        std::thread::sleep(BOUND);
        Ok(())
    });
    let body = r#"{"error":"etcdserver: leader changed","message":"etcdserver: leader changed","code":14}"#;
    let electing = Server::start(|n, stream| {
        let answer = if n == 0 { http("503 Service Unavailable", body) } else { http("200 OK", OPENED) };
        stream.write_all(answer.as_bytes())
    });
    for members in [[&silent, &electing], [&electing, &silent]] {
        electing.asked.store(0, Ordering::Relaxed);
        let urls = members.map(|member| format!("http://{}", member.address)).join(",");
        let opened = EtcdArbiter::open(&Etcd::parse(&format!("{urls}/lockstep")).unwrap(), None);
        assert!(opened.is_ok(), "{:?}", opened.err());
        assert!(electing.asked.load(Ordering::Relaxed) >= 2);
    }
}

#[test]
fn endless_answers_are_not_taken_in() {
    let endless = |head: &'static str| {
        Server::start(move |_, stream| {
            stream.write_all(head.as_bytes())?;
            // More than any client should have taken.
            for _ in 0..4096 {
                stream.write_all(&[b'a'; 65536])?;
            }
            Ok(())
        })
    };
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-Long: ",
        "",
    ] {
        let error = refused(&endless(head));
        assert!(matches!(error, ArbiterError::Unusable(_)), "{head:?}: {error}");
    }
}

#[test]
fn a_slow_or_cut_answer_ends_in_time() {
    let silent = Server::start(|_, _| {
        std::thread::sleep(BOUND);
        Ok(())
    });
    assert!(matches!(refused(&silent), ArbiterError::Unreachable(why) if why.contains("does not answer")));
    let drop_by_drop = Server::start(|_, stream| {
        for byte in http("200 OK", r#"{"header":{"cluster_id":"1","revision":"1"}}"#).bytes() {
            stream.write_all(&[byte])?;
            std::thread::sleep(Duration::from_millis(300));
        }
        Ok(())
    });
    assert!(
        matches!(refused(&drop_by_drop), ArbiterError::Unreachable(why) if why.contains("does not answer"))
    );
    for cut in ["HTTP/1.1 200 OK\r\nContent-Length: 44\r\n\r\n{\"header\"", "HTTP/1.1 200", ""] {
        let error = refused(&Server::saying(cut.into()));
        assert!(matches!(error, ArbiterError::Unreachable(_)), "{cut:?}: {error}");
    }
}

const OPENED: &str = r#"{"header":{"cluster_id":"1","revision":"5"}}"#;

/// A transaction's answer; it has found these records, as `before` and `now`.
fn txn(succeeded: bool, revision: u64, found: [Option<&str>; 2]) -> String {
    use base64::Engine;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let responses: Vec<String> = found
        .iter()
        .map(|record| match record {
            None => r#"{"response_range":{}}"#.to_owned(),
            Some(record) => format!(
                r#"{{"response_range":{{"kvs":[{{"key":"aw==","mod_revision":"2","value":"{}"}}],"count":"1"}}}}"#,
                encode(record)
            ),
        })
        .collect();
    let body = format!(
        r#"{{"header":{{"cluster_id":"1","revision":"{revision}"}},"succeeded":{succeeded},"responses":[{}]}}"#,
        responses.join(",")
    );
    http("200 OK", &body)
}

/// The same answer in a term.
fn in_term(answer: &str, term: u64) -> String {
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    http("200 OK", &body.replacen("{\"header\":{", &format!("{{\"header\":{{\"raft_term\":\"{term}\","), 1))
}

fn record(generation: u64, node: u64) -> String {
    format!(r#"{{"generation":{generation},"node":{node},"keeps":null,"after":null,"wherefrom":""}}"#)
}

#[test]
fn a_claim_whose_answer_is_lost_is_read_back_and_never_assumed() {
    let lost = Ok(Claim::Lost { to: lockstep::base::NodeId(9), keeps: Vec::new() });
    for (cut, ours) in [(true, true), (true, false), (false, true), (false, false)] {
        // 0: opened. 1: read: free. 2: the transaction is carried out, its answer is cut off, or comes
        // too late. 3: asked again: there is a record, ours or another's.
        let server = Server::start(move |n, stream| match n {
            0 => stream.write_all(http("200 OK", OPENED).as_bytes()),
            1 => stream.write_all(txn(true, 5, [Some(&record(1, 7)), None]).as_bytes()),
            2 if cut => Ok(()),
            2 => {
                std::thread::sleep(BOUND);
                Ok(())
            }
            _ => {
                let now = record(2, if ours { 2 } else { 9 });
                stream.write_all(txn(false, 6, [Some(&record(1, 7)), Some(&now)]).as_bytes())
            }
        });
        let mut arbiter = server.open().unwrap();
        if cut {
            let undecided = arbiter.claim("kv", &after(bid(2, 2), 7));
            assert!(matches!(undecided, Err(ArbiterError::Unreachable(_))), "{undecided:?}");
        }
        let outcome = if ours { Ok(Claim::Won) } else { lost.clone() };
        assert_eq!(arbiter.claim("kv", &after(bid(2, 2), 7)), outcome);
        assert!(server.asked.load(Ordering::Relaxed) >= 4);
    }
}

#[test]
fn a_claim_without_an_answer_is_not_won() {
    let server = Server::start(|n, stream| match n {
        0 => stream.write_all(http("200 OK", OPENED).as_bytes()),
        1 => stream.write_all(txn(true, 5, [Some(&record(1, 7)), None]).as_bytes()),
        _ => Ok(()),
    });
    let mut arbiter = server.open().unwrap();
    let claim = arbiter.claim("kv", &after(bid(2, 2), 7));
    assert!(matches!(claim, Err(ArbiterError::Unreachable(_))), "{claim:?}");
}

#[test]
fn answers_that_contradict_themselves_decide_nothing() {
    let after_reading = |first: String, second: String| {
        let server = Server::start(move |n, stream| {
            stream.write_all(
                match n {
                    0 => http("200 OK", OPENED),
                    1 => first.clone(),
                    _ => second.clone(),
                }
                .as_bytes(),
            )
        });
        let mut arbiter = server.open().unwrap();
        arbiter.claim("kv", &after(bid(2, 2), 7))
    };
    let before = record(1, 7);
    let free = txn(true, 5, [Some(&before), None]);
    let forgetful = |claim| matches!(claim, Err(ArbiterError::Forgetful { .. }));
    let damaged = |claim| matches!(claim, Err(ArbiterError::Damaged { .. }));
    // Its revision, or its identity, is not what it was.
    assert!(forgetful(after_reading(free.clone(), txn(true, 3, [None, None]))));
    assert!(forgetful(after_reading(
        free.replace("\"cluster_id\":\"1\"", "\"cluster_id\":\"2\""),
        free.clone()
    )));
    // Its elections are fewer than they were; a member that does not know how many decides nothing by that.
    let won = txn(true, 6, [None, None]);
    assert!(forgetful(after_reading(in_term(&free, 7), in_term(&won, 6))));
    assert_eq!(after_reading(in_term(&free, 7), in_term(&won, 7)), Ok(Claim::Won));
    assert_eq!(after_reading(in_term(&free, 7), won), Ok(Claim::Won));
    // Not done, though nothing was in the way.
    assert!(after_reading(free.clone(), txn(false, 6, [Some(&before), None])).is_err());
    // Records that are none.
    assert!(damaged(after_reading(txn(true, 5, [Some("{"), None]), free.clone())));
    assert!(damaged(after_reading(txn(true, 5, [Some(&record(5, 7)), None]), free.clone())));
    assert!(damaged(after_reading(txn(true, 5, [Some(&before), Some("")]), free)));
}

//! A Redis for the tests of its clients: it counts, knows its connections' names, and errs on request.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

/// What an increment does and answers; without an answer the connection ends.
type Increment = Box<dyn FnMut(&mut i64) -> Option<String> + Send>;

pub struct Fake {
    pub address: SocketAddr,
}

struct Server {
    /// One number for all keys.
    number: i64,
    increment: Increment,
}

impl Fake {
    /// `increment` gets each new number before it is kept.
    pub fn start(increment: impl FnMut(&mut i64) -> Option<String> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = Arc::new(Mutex::new(Server { number: 0, increment: Box::new(increment) }));
        let ids = AtomicI64::new(0);
        // Both end with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, server, id) =
                    (stream.unwrap(), Arc::clone(&server), 1 + ids.fetch_add(1, Ordering::Relaxed));
                std::thread::spawn(move || serve(&stream, &server, id));
            }
        });
        Self { address }
    }
}

/// Until the client leaves, or is left.
fn serve(mut stream: &TcpStream, server: &Mutex<Server>, id: i64) -> Option<()> {
    let (mut name, mut queue) = (String::new(), None);
    for line in BufReader::new(stream).lines() {
        let line = line.ok()?;
        let words: Vec<&str> = line.split(' ').collect();
        let bulk = |text: &str| format!("${}\r\n{text}\r\n", text.len());
        let answer = match words[..] {
            ["CLIENT", "SETNAME", is] => {
                name = is.to_owned();
                "+OK\r\n".into()
            }
            ["CLIENT", "GETNAME"] => bulk(&name),
            ["CLIENT", "ID"] => format!(":{id}\r\n"),
            ["MULTI"] => {
                queue = Some(0);
                "+OK\r\n".into()
            }
            ["INCR", _] if queue.is_some() => {
                queue = queue.map(|count| count + 1);
                "+QUEUED\r\n".into()
            }
            ["EXEC"] => match queue.take() {
                Some(count) => {
                    let all: Option<String> = (0..count).map(|_| incremented(server)).collect();
                    format!("*{count}\r\n{}", all?)
                }
                None => "-ERR EXEC without MULTI\r\n".into(),
            },
            ["INCR", _] => incremented(server)?,
            ["GET", _] => bulk(&server.lock().unwrap().number.to_string()),
            _ => "-ERR unknown command\r\n".into(),
        };
        stream.write_all(answer.as_bytes()).ok()?;
    }
    None
}

fn incremented(server: &Mutex<Server>) -> Option<String> {
    let Server { number, increment } = &mut *server.lock().unwrap();
    *number += 1;
    increment(number)
}

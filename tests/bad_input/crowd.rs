//! Crowds at a node's port: a peer that sends a message is served.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use lockstep::ft::message;
use tempfile::TempDir;

use crate::support::{clean, cluster, load, run, until};

const PATIENCE: Duration = Duration::from_secs(20);

/// Connections that say the beginning of a greeting and no more, each opened anew when it is closed.
struct Crowd {
    stop: Arc<AtomicBool>,
    opened: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Crowd {
    fn of(count: usize, at: SocketAddr) -> Self {
        let (stop, opened) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counter) = (stop.clone(), opened.clone());
        let thread = std::thread::spawn(move || {
            let mut crowd: Vec<TcpStream> = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                crowd.retain(|stream| {
                    stream.set_nonblocking(true).unwrap();
                    matches!(stream.peek(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
                });
                while crowd.len() < count && !stopped.load(Ordering::Relaxed) {
                    let Ok(mut stream) = TcpStream::connect(at) else { break };
                    if stream.write_all(&message::preamble()[..5]).is_ok() {
                        crowd.push(stream);
                    }
                    counter.fetch_add(1, Ordering::Relaxed);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Self { stop, opened, thread: Some(thread) }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

#[test]
fn a_hundred_and_twenty_slow_connections_keep_neither_tools_nor_a_backup_out() {
    let dir = TempDir::new().unwrap();
    let mut cluster = cluster(&dir);
    let mut primary = cluster.primary().unwrap();
    cluster.await_status(&mut primary, "running", |_| true).unwrap();
    let load = load(&cluster, 1);
    let crowd = Crowd::of(120, primary.address);
    until("crowded", PATIENCE, || crowd.opened.load(Ordering::Relaxed) >= 120);
    let address = primary.address.to_string();
    for _ in 0..5 {
        // It is alone, which is not well; but it answers.
        run(&["status", &address]).ends(1, &[]);
    }
    let backup = cluster.backup(&primary).unwrap();
    let status = cluster.await_protected(&mut primary).unwrap();
    assert!(status.protected && backup.status().is_ok(), "{status:?}");
    assert!(crowd.opened.load(Ordering::Relaxed) > 120, "those that make way come back");
    run(&["status", &address]).ends(0, &[]);
    drop(crowd);
    clean(load);
}

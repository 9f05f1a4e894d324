//! How the node's thread waits: for the sockets that it reads itself, and for what other threads bring, at once.
//!
//! Events of other threads go through one bounded queue. Their senders write to an eventfd only when the node
//! sleeps, so a busy node costs them no system call; the node polls that eventfd together with its sockets.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
// Not crossbeam's: its receivers give up the processor several times before they sleep, and on a busy host
// each time gives every other process a turn, before the next frame is looked at.
use std::sync::mpsc::{Receiver, SendError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd};

use super::os::look;

struct Bell {
    fd: OwnedFd,
    /// The receiver is about to sleep, or sleeps.
    asleep: AtomicBool,
}

impl Bell {
    fn ring(&self) {
        // Either the receiver sees what was sent before it sleeps, or the sender sees that it sleeps: each side
        // writes its own, then reads the other's.
        fence(Ordering::SeqCst);
        if self.asleep.swap(false, Ordering::Relaxed) {
            // It can only fail when the counter is at its maximum, and then the receiver wakes anyway.
            rustix::io::write(&self.fd, &1u64.to_ne_bytes()).ok();
        }
    }
}

/// Where other threads put events for the node.
pub struct Mailbox<T> {
    queue: SyncSender<T>,
    bell: Arc<Bell>,
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), bell: self.bell.clone() }
    }
}

impl<T> Mailbox<T> {
    /// Waits while the queue is full. Err when the node has ended.
    pub fn send(&self, event: T) -> Result<(), SendError<T>> {
        self.queue.send(event)?;
        self.bell.ring();
        Ok(())
    }

    /// Err when the queue is full, or the node has ended.
    pub fn try_send(&self, event: T) -> Result<(), TrySendError<T>> {
        self.queue.try_send(event)?;
        self.bell.ring();
        Ok(())
    }
}

/// The node's end.
pub struct Inbox<T> {
    queue: Receiver<T>,
    bell: Arc<Bell>,
}

/// A queue for `capacity` events.
pub fn mailbox<T>(capacity: usize) -> io::Result<(Mailbox<T>, Inbox<T>)> {
    let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let bell = Arc::new(Bell { fd, asleep: AtomicBool::new(false) });
    let (sender, queue) = sync_channel(capacity);
    Ok((Mailbox { queue: sender, bell: bell.clone() }, Inbox { queue, bell }))
}

impl<T> Inbox<T> {
    /// The next event, if one is there. Without a sender there is never one.
    pub fn try_recv(&self) -> Option<T> {
        self.queue.try_recv().ok()
    }

    /// Sleeps until an event is there, one of `sockets` is ready, or `patience` is over. The event, if it was that
    /// and one was there at once; what the sockets are ready for is in them.
    pub fn wait<'a>(&'a self, sockets: &mut Vec<PollFd<'a>>, patience: Duration) -> Option<T> {
        self.bell.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if let Some(event) = self.try_recv() {
            self.bell.asleep.store(false, Ordering::Relaxed);
            return Some(event);
        }
        sockets.push(PollFd::new(&self.bell.fd, PollFlags::IN));
        look(sockets, patience);
        self.bell.asleep.store(false, Ordering::Relaxed);
        if sockets.pop().is_some_and(|bell| bell.revents().contains(PollFlags::IN)) {
            let mut rung = [0; 8];
            rustix::io::read(&self.bell.fd, &mut rung).ok();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn events_from_other_threads_wake_the_node_and_none_is_lost() {
        let (sender, inbox) = mailbox(4).unwrap();
        let senders: Vec<_> = (0..4u64)
            .map(|thread| {
                let sender = sender.clone();
                std::thread::spawn(move || {
                    for n in 0..2_000 {
                        sender.send(thread << 32 | n).unwrap();
                    }
                })
            })
            .collect();
        let (mut next, until) = ([0u64; 4], Instant::now() + PATIENCE);
        while next.iter().sum::<u64>() < 8_000 {
            // A wake-up that is lost shows as a wait that lasts.
            assert!(Instant::now() < until, "asleep although events wait: {next:?}");
            let Some(event) = inbox.try_recv().or_else(|| inbox.wait(&mut Vec::new(), PATIENCE)) else {
                continue;
            };
            let from = &mut next[(event >> 32) as usize];
            assert_eq!(event & 0xffff_ffff, *from, "in the order of each sender");
            *from += 1;
        }
        senders.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(inbox.try_recv(), None);
    }

    #[test]
    fn a_socket_that_is_ready_ends_the_wait_and_nothing_ends_it_before_its_time() {
        let (_sender, inbox) = mailbox::<u8>(1).unwrap();
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut sockets = vec![PollFd::new(&near, PollFlags::IN)];
        let begun = Instant::now();
        assert_eq!(inbox.wait(&mut sockets, Duration::from_micros(2_500)), None);
        assert!(begun.elapsed() >= Duration::from_micros(2_500), "{:?}", begun.elapsed());
        assert!(sockets[0].revents().is_empty());
        far.write_all(b"x").unwrap();
        assert_eq!(inbox.wait(&mut sockets, PATIENCE), None);
        assert!(sockets[0].revents().contains(PollFlags::IN));
        assert!(begun.elapsed() < PATIENCE);
    }

    #[test]
    fn a_full_queue_is_said_to_be_full_and_an_ended_node_to_have_ended() {
        let (sender, inbox) = mailbox(1).unwrap();
        sender.try_send(1).unwrap();
        assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
        assert_eq!(inbox.wait(&mut Vec::new(), PATIENCE), Some(1));
        drop(inbox);
        assert_eq!(sender.send(3), Err(SendError(3)));
    }
}

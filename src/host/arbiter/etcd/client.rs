//! Asks one of etcd's nodes, and soon the next one too if that does not answer.
//!
//! Promises: a question ends within a bounded time and a bounded number of bytes, whatever is at
//! the other end; an answer is one of etcd's, in full. Asking twice must be harmless: several nodes
//! may be asked at once, and a question may be carried out though its answer never comes, or later.
//! *Absent:* what a question means; redirects, proxies, connections that are kept (one that a
//! partition has cut would cost the next question time).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, unbounded};
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::Agent;

use super::wire::Complaint;
use crate::ft::ArbiterError;

/// A node is given this long by itself: one that is paused or gone is not to delay a takeover when its
/// neighbours are well.
const ALONE: Duration = Duration::from_millis(100);
/// A member that has not answered, or could not then, is asked once more this often: while etcd elects a leader, it
/// may lose a request, or refuse it.
const AGAIN: Duration = Duration::from_millis(400);
/// How long an answer is waited for: an etcd may be just slow.
const WITHIN: Duration = Duration::from_secs(3);
/// A node that is there takes a connection in less.
const CONNECT_WITHIN: Duration = Duration::from_millis(500);
/// Our questions are answered with a few hundred bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 10;
const HEADER_BYTES_MAX: usize = 16 << 10;

/// Why a node gave no answer.
enum Trouble {
    /// It is late, or cannot now.
    Down(String),
    /// What is there is no etcd that will serve us.
    Wrong(String),
}

/// All the nodes of one etcd.
#[derive(Clone, Debug)]
pub(super) struct Client {
    agent: Agent,
    endpoints: Arc<[String]>,
    /// The member that answered last: asked first. Shared, so that a thread need not wait for a dead member
    /// that another thread has found.
    preferred: Arc<AtomicUsize>,
}

impl Client {
    /// `endpoints` is not empty.
    pub fn new(endpoints: Vec<String>) -> Self {
        assert!(!endpoints.is_empty(), "an etcd has a node");
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("lockstep/", env!("CARGO_PKG_VERSION")))
            .max_response_header_size(HEADER_BYTES_MAX)
            .max_idle_connections(0)
            .max_idle_connections_per_host(0)
            .timeout_connect(Some(CONNECT_WITHIN))
            .timeout_global(Some(WITHIN))
            .build()
            .new_agent();
        Self { agent, endpoints: endpoints.into(), preferred: Arc::default() }
    }

    /// Asks until a node answers, or none has.
    pub fn post<A>(&self, path: &'static str, question: &Value) -> Result<A, ArbiterError>
    where
        A: DeserializeOwned + Send + 'static,
    {
        let body: Arc<str> = question.to_string().into();
        let count = self.endpoints.len();
        let first = self.preferred.load(Ordering::Relaxed);
        let mut troubles: Vec<Option<Trouble>> = (0..count).map(|_| None).collect();
        let (answers, answered) = unbounded();
        let until = Instant::now() + WITHIN;
        let (mut turn, mut next_at) = (0, Instant::now());
        while turn < count || troubles.iter().any(Option::is_none) {
            let now = Instant::now();
            if now >= until {
                break;
            }
            if now >= next_at {
                let n = (first + turn) % count;
                turn += 1;
                next_at = now + if turn < count { ALONE } else { AGAIN };
                // Each member once, and again those that may answer yet: while one is silent, another that could
                // not answer a moment ago may have found a leader.
                if !matches!(troubles[n], Some(Trouble::Wrong(_))) {
                    self.ask_aside(n, path, body.clone(), answers.clone())?;
                }
            }
            match answered.recv_timeout(until.min(next_at).saturating_duration_since(now)) {
                Ok((n, Ok(answer))) => {
                    self.preferred.store(n, Ordering::Relaxed);
                    return Ok(answer);
                }
                Ok((n, Err(trouble))) => {
                    troubles[n] = Some(trouble);
                    if turn < count {
                        next_at = now;
                    }
                }
                Err(_) => {}
            }
        }
        let wrong = troubles.iter().any(|trouble| matches!(trouble, Some(Trouble::Wrong(_))));
        let what = |trouble| match trouble {
            Some(Trouble::Down(what) | Trouble::Wrong(what)) => what,
            None => format!("does not answer within {} s", WITHIN.as_secs()),
        };
        let told = self.endpoints.iter().zip(troubles).map(|(at, trouble)| format!("{at} {}", what(trouble)));
        let told: Vec<_> = told.collect();
        let told = told.join("; ");
        Err(if wrong { ArbiterError::Unusable(told) } else { ArbiterError::Unreachable(told) })
    }

    /// Asks the `n`-th node, on a thread of its own; the answer goes to `answers`.
    fn ask_aside<A: DeserializeOwned + Send + 'static>(
        &self,
        n: usize,
        path: &'static str,
        body: Arc<str>,
        answers: Sender<(usize, Result<A, Trouble>)>,
    ) -> Result<(), ArbiterError> {
        let client = self.clone();
        let asking = std::thread::Builder::new().name("etcd".into()).spawn(move || {
            let answer = client.ask::<A>(&client.endpoints[n], path, &body);
            // The caller may have an answer already.
            match answers.send((n, answer)) {
                Ok(()) | Err(_) => {}
            }
        });
        asking
            .map(|_| ())
            .map_err(|error| ArbiterError::Unreachable(format!("no thread to ask with: {error}")))
    }

    fn ask<A: DeserializeOwned>(&self, endpoint: &str, path: &str, body: &str) -> Result<A, Trouble> {
        let request = self.agent.post(format!("{endpoint}{path}")).content_type("application/json");
        let mut response = request.send(body).map_err(trouble)?;
        let status = response.status().as_u16();
        let body =
            response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec().map_err(trouble)?;
        if status == 200 {
            return serde_json::from_slice(&body).map_err(|error| {
                Trouble::Wrong(format!("answers, but not as etcd does ({})", short(&error.to_string())))
            });
        }
        Err(match serde_json::from_slice::<Complaint>(&body) {
            Ok(complaint) => complained(status, &short(&complaint.message)),
            Err(_) => Trouble::Wrong(format!("answers with status {status}, not as etcd does")),
        })
    }
}

/// An error response of etcd itself.
fn complained(status: u16, message: &str) -> Trouble {
    const DENIED: [&str; 4] = ["user name is empty", "permission denied", "auth token", "authentication"];
    if DENIED.iter().any(|denied| message.contains(denied)) {
        return Trouble::Wrong(format!("wants a user, whom lockstep does not have ({message})"));
    }
    match status {
        // Timed out, no leader, too many requests, no space: what passes.
        429 | 500..=599 => Trouble::Down(format!("says: {message}")),
        _ => Trouble::Wrong(format!("answers with status {status}: {message}")),
    }
}

fn trouble(error: ureq::Error) -> Trouble {
    match error {
        ureq::Error::Timeout(ureq::Timeout::Connect) => Trouble::Down("takes no connection in time".into()),
        ureq::Error::Timeout(_) => Trouble::Down(format!("does not answer within {} s", WITHIN.as_secs())),
        ureq::Error::Io(error) => Trouble::Down(format!("fails: {}", short(&error.to_string()))),
        ureq::Error::HostNotFound => Trouble::Down("is not known by this name".into()),
        ureq::Error::ConnectionFailed => Trouble::Down("takes no connection".into()),
        ureq::Error::BodyExceedsLimit(_) | ureq::Error::LargeResponseHeader(..) => {
            Trouble::Wrong("answers more than etcd does".into())
        }
        error => Trouble::Wrong(format!("does not answer as etcd does ({})", short(&error.to_string()))),
    }
}

/// Untrusted text, made fit for one line.
fn short(text: &str) -> String {
    const CHARS_MAX: usize = 160;
    text.chars().take(CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

//! Asks one of etcd's nodes, and the next one if that does not answer.
//!
//! Promises: a question ends within a bounded time and a bounded number of bytes, whatever is at
//! the other end; an answer is one of etcd's, in full. Asking twice must be harmless: a question may
//! have been carried out though its answer never came. *Absent:* what a question means; redirects,
//! proxies, connections that are kept (one that a partition has cut would cost the next question time).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::Agent;

use super::wire::Complaint;
use crate::ft::ArbiterError;

/// How long a node is waited for, in turn. The first is short: a node that is paused or gone is not
/// to delay a takeover when its neighbours are well. The last is for an etcd that is just slow.
const PATIENCE: [Duration; 3] =
    [Duration::from_millis(250), Duration::from_millis(1000), Duration::from_millis(2500)];
/// A node that is there takes a connection in less.
const CONNECT_WITHIN: Duration = Duration::from_millis(500);
/// Our questions are answered with a few hundred bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 10;
const HEADER_BYTES_MAX: usize = 16 << 10;

/// Why a node gave no answer.
enum Trouble {
    /// Perhaps it does, given more time.
    Late,
    /// It cannot now.
    Down(String),
    /// What is there is no etcd that will serve us.
    Wrong(String),
}

/// All the nodes of one etcd.
#[derive(Clone, Debug)]
pub(super) struct Client {
    agent: Agent,
    endpoints: Arc<[String]>,
    /// Who answered last: asked first. Shared, so that one thread's patience spares another's.
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
            .build()
            .new_agent();
        Self { agent, endpoints: endpoints.into(), preferred: Arc::default() }
    }

    /// Asks until a node answers.
    pub fn post<A: DeserializeOwned>(&self, path: &str, question: &Value) -> Result<A, ArbiterError> {
        let body = question.to_string();
        let count = self.endpoints.len();
        let mut wrong = false;
        let mut troubles = vec![String::new(); count];
        for within in PATIENCE {
            let mut late = false;
            let first = self.preferred.load(Ordering::Relaxed);
            for n in (first..first + count).map(|n| n % count) {
                let trouble = match self.ask(&self.endpoints[n], path, &body, within) {
                    Ok(answer) => {
                        self.preferred.store(n, Ordering::Relaxed);
                        return Ok(answer);
                    }
                    Err(trouble) => trouble,
                };
                late |= matches!(trouble, Trouble::Late);
                wrong |= matches!(trouble, Trouble::Wrong(_));
                let what = match trouble {
                    Trouble::Late => "does not answer in time".into(),
                    Trouble::Down(what) | Trouble::Wrong(what) => what,
                };
                troubles[n] = format!("{} {what}", self.endpoints[n]);
            }
            // More patience helps only with those who are slow.
            if !late {
                break;
            }
        }
        let troubles = troubles.join("; ");
        Err(if wrong { ArbiterError::Unusable(troubles) } else { ArbiterError::Unreachable(troubles) })
    }

    fn ask<A: DeserializeOwned>(
        &self,
        endpoint: &str,
        path: &str,
        body: &str,
        within: Duration,
    ) -> Result<A, Trouble> {
        let request = self
            .agent
            .post(format!("{endpoint}{path}"))
            .config()
            .timeout_global(Some(within))
            .build()
            .content_type("application/json");
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

/// What etcd itself has said no with.
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
        ureq::Error::Timeout(_) => Trouble::Late,
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => Trouble::Late,
        ureq::Error::Io(error) => Trouble::Down(format!("fails: {}", short(&error.to_string()))),
        ureq::Error::HostNotFound => Trouble::Down("is not known by this name".into()),
        ureq::Error::ConnectionFailed => Trouble::Down("takes no connection".into()),
        ureq::Error::BodyExceedsLimit(_) | ureq::Error::LargeResponseHeader(..) => {
            Trouble::Wrong("answers more than etcd does".into())
        }
        error => Trouble::Wrong(format!("does not speak as etcd does ({})", short(&error.to_string()))),
    }
}

/// What a stranger says, fit for one line.
fn short(text: &str) -> String {
    const CHARS_MAX: usize = 160;
    text.chars().take(CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

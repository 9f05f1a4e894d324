//! A verifying client: it rejects each answer that contradicts an earlier one.

use crate::base::Prng;

const MS: u64 = 1_000_000;
/// How long a client waits for the answer to a first transmission.
pub const TIMEOUT_NS: u64 = 5 * MS;
/// The longest that it waits. A client that repeated more often would fill the journal of a guest that answers slowly
/// after a long hang, as no TCP client would.
const TIMEOUT_NS_MAX: u64 = 2_560 * MS;

/// What a client has just asked.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Incr,
    Set(String),
    Get,
    Echo,
}

/// One client with a key of its own for counting and one for setting.
#[derive(Debug)]
pub struct Client {
    pub port: u16,
    prng: Prng,
    count: u64,
    set: Option<String>,
    id: u64,
    asked: Asked,
    payload: Vec<u8>,
    waiting: bool,
    timeout_ns: u64,
    pub done: u64,
    pub retransmissions: u64,
    requests: u64,
    /// After the last request: one read of the counter, whose answer must be all of it.
    read_back: bool,
}

impl Client {
    pub fn new(port: u16, requests: u64, prng: Prng) -> Self {
        Self {
            port,
            prng,
            count: 0,
            set: None,
            id: 0,
            asked: Asked::Echo,
            payload: Vec::new(),
            waiting: false,
            timeout_ns: TIMEOUT_NS,
            done: 0,
            retransmissions: 0,
            requests,
            read_back: false,
        }
    }

    pub fn is_finished(&self) -> bool {
        self.read_back && !self.waiting
    }

    /// What it has just asked, if the answer means that something was changed.
    pub fn change(&self) -> Option<&[u8]> {
        matches!(self.asked, Asked::Incr | Asked::Set(_)).then_some(&self.payload)
    }

    /// The id that a retransmission timer belongs to.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Makes the next request; None once everything is asked and answered.
    pub fn ask(&mut self) -> Option<Vec<u8>> {
        if self.waiting || self.read_back {
            return None;
        }
        self.asked = if self.done == self.requests {
            self.read_back = true;
            Asked::Get
        } else {
            match self.prng.below(10) {
                0..=5 => Asked::Incr,
                6 | 7 => Asked::Set(format!("v{:x}", self.prng.next_u64())),
                8 => Asked::Get,
                _ => Asked::Echo,
            }
        };
        self.id += 1;
        self.waiting = true;
        self.timeout_ns = TIMEOUT_NS;
        let (id, port) = (self.id, self.port);
        self.payload = match &self.asked {
            Asked::Incr => format!("{id} INCR n{port}"),
            Asked::Set(value) => format!("{id} SET s{port} {value}"),
            Asked::Get if self.read_back => format!("{id} GET n{port}"),
            Asked::Get => format!("{id} GET s{port}"),
            Asked::Echo => format!("{id} PING"),
        }
        .into_bytes();
        Some(self.payload.clone())
    }

    /// The timer of request `id` has run out: the same datagram again, and the next timeout, which doubles each time
    /// (RFC 6298, 5.5).
    pub fn again(&mut self, id: u64) -> Option<(Vec<u8>, u64)> {
        if !self.waiting || id != self.id {
            return None;
        }
        self.retransmissions += 1;
        self.timeout_ns = (self.timeout_ns * 2).min(TIMEOUT_NS_MAX);
        Some((self.payload.clone(), self.timeout_ns))
    }

    pub fn think_ns(&mut self) -> u64 {
        self.prng.below(60 * MS)
    }

    /// Takes an answer. Ok(true) when it settles the request; Err when it contradicts an earlier one.
    pub fn answer(&mut self, payload: &[u8]) -> Result<bool, String> {
        let text = String::from_utf8_lossy(payload).into_owned();
        let (id, result) = text.split_once(' ').unwrap_or((&text, ""));
        if !self.waiting || id != self.id.to_string() {
            // A late copy of an answer that is settled.
            return Ok(false);
        }
        let count = self.count.to_string();
        let expected = match &self.asked {
            Asked::Incr => format!("VALUE {}", self.count + 1),
            Asked::Set(_) => "OK".into(),
            Asked::Get if self.read_back && self.count == 0 => "NONE".into(),
            Asked::Get if self.read_back => format!("VALUE {count}"),
            Asked::Get => self.set.as_ref().map_or("NONE".into(), |value| format!("VALUE {value}")),
            Asked::Echo => "PONG".into(),
        };
        if result != expected {
            let asked = String::from_utf8_lossy(&self.payload).into_owned();
            return Err(format!("client {}: {asked:?} was answered {result:?}, not {expected:?}", self.port));
        }
        match &self.asked {
            Asked::Incr => self.count += 1,
            Asked::Set(value) => self.set = Some(value.clone()),
            Asked::Get | Asked::Echo => {}
        }
        self.waiting = false;
        if !self.read_back {
            self.done += 1;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_repeated_ever_less_often_until_it_is_answered() {
        let mut client = Client::new(5000, 100, Prng::new(1));
        for _ in 0..2 {
            let request = client.ask().unwrap();
            let id = client.id();
            for timeout_ms in [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 2560] {
                assert_eq!(client.again(id), Some((request.clone(), timeout_ms * MS)));
            }
            client.waiting = false;
            assert_eq!(client.again(id), None);
        }
        assert_eq!(client.retransmissions, 20);
    }

    #[test]
    fn a_lost_increment_is_a_contradiction() {
        let mut client = Client::new(5000, 100, Prng::new(1));
        let mut count = 0;
        let mut seen = 0;
        while seen < 3 {
            let request = String::from_utf8(client.ask().unwrap()).unwrap();
            let id = request.split(' ').next().unwrap().to_owned();
            let verb = request.split(' ').nth(1).unwrap();
            if verb == "INCR" {
                seen += 1;
                if seen == 3 {
                    // The machine forgot the second one.
                    assert!(client.answer(format!("{id} VALUE {count}").as_bytes()).is_err());
                    return;
                }
                count += 1;
                assert_eq!(client.answer(format!("{id} VALUE {count}").as_bytes()), Ok(true));
                assert_eq!(client.answer(format!("{id} VALUE {count}").as_bytes()), Ok(false));
            } else {
                client.waiting = false;
            }
        }
    }
}

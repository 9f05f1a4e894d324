//! Datagrams between clients and switch.

use super::*;

/// The client that sends each datagram once, and does not wait for answers.
const ONCE_PORT: u16 = 6000;

impl Cluster<'_> {
    pub(super) fn ask_once(&mut self, number: u64) {
        self.datagram(ONCE_PORT, format!("{number} PING").into_bytes(), true);
        if !self.clients.iter().all(Client::is_finished) {
            let after = self.prng.between(1, 25) * MS;
            self.later(after, Happening::AskOnce { number: number + 1 });
        }
    }

    pub(super) fn datagram(&mut self, port: u16, payload: Vec<u8>, to_guest: bool) {
        let mut copies = 1;
        if self.prng.chance(self.plan.loss_permille, 1000) {
            copies = 0;
        } else if self.prng.chance(self.plan.double_permille, 1000) {
            copies = 2;
        }
        for _ in 0..copies {
            let after = self.prng.between(20, 400) * US;
            let payload = payload.clone();
            let happening = match to_guest {
                true => Happening::ToGuest { port, payload },
                false => Happening::ToClient { port, payload },
            };
            self.later(after, happening);
        }
    }

    pub(super) fn answer(&mut self, port: u16, payload: &[u8]) {
        let Some(client) = self.clients.iter().position(|client| client.port == port) else { return };
        let change = self.clients[client].change().map(<[u8]>::to_vec);
        match self.clients[client].answer(payload) {
            Ok(true) => {
                if let Some(text) = change.filter(|_| !self.image.is_empty()) {
                    let asked_at = self.asked_at.get(&port).copied().unwrap_or(self.now_ns);
                    self.kept.push((asked_at, port, text));
                    self.check_disks();
                }
                let after = self.clients[client].think_ns();
                self.later(after, Happening::Ask { client });
            }
            Ok(false) => {}
            Err(why) => self.fail(why),
        }
    }
}

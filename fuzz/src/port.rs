//! What nodes and a switch say to each other, and a switch among hostile nodes.
//!
//! ```text
//! offset  size  field
//! 0       1     bit 0: an uplink in the gateway's place, 1: a switch with an arbiter
//! 1       ...   steps: a byte that names one (bits 0..3) and a connection (bits 3..6), and what the step takes
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;

use lockstep::base::Generation;
use lockstep::net::ether::FRAME_BYTES_MAX;
use lockstep::net::fabric::{LEARNED_OUTSIDE_MAX, LEARNED_PER_PORT_MAX};
use lockstep::net::gateway::WAITING_MAX;
use lockstep::net::port::MESSAGE_BYTES_MAX;
use lockstep::net::switch::{PEERS_MAX, STANDBYS_MAX, VMS_MAX};
use lockstep::net::{
    Command, FromSwitch, GatewayConfig, MILLISECOND_NS, PeerId, Switch, SwitchConfig, ToSwitch, Unframer,
    inbound,
};

use crate::input::{Input, put_part};

/// Steps: a stream's next bytes; a whole message; a connection opens; it ends; time passes; frames are fetched; the
/// arbiter's word; something comes from clients or from the uplink.
pub const BYTES: u8 = 0;
pub const MESSAGE: u8 = 1;
pub const OPEN: u8 = 2;
pub const CLOSE: u8 = 3;
pub const TIME: u8 = 4;
pub const FETCH: u8 = 5;
pub const CLAIM: u8 = 6;
pub const OUTSIDE: u8 = 7;

/// More than one step can lead to: each answers a bounded number of peers.
const COMMANDS_MAX: usize = 4 * (PEERS_MAX + WAITING_MAX);

/// A message from `peer` in words, for a seed.
pub fn put_message(out: &mut Vec<u8>, peer: u8, message: &ToSwitch) {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    out.push(MESSAGE | peer << 3);
    put_part(out, &bytes[4..]);
}

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let flags = input.u8();
    let mut gateway = GatewayConfig::with_forwards(
        vec!["udp:127.0.0.1:1=7".parse(), "tcp:127.0.0.1:1=7".parse()].into_iter().flatten().collect(),
    );
    gateway.connections_max = 4;
    let mut world = World {
        switch: Switch::new(SwitchConfig { gateway, uplink: flags & 1 != 0 }),
        streams: BTreeMap::new(),
        opened: 0,
        now: 0,
    };
    if flags & 2 != 0 {
        world.switch.expect_arbiter();
    }
    (0..4).for_each(|slot| world.open(slot));
    while !input.is_empty() {
        world.step(&mut input);
    }
    world.check();
}

struct World {
    switch: Switch,
    /// The present connection of each of eight peers, and what of its stream is no whole message yet.
    streams: BTreeMap<u8, (PeerId, Unframer)>,
    opened: u64,
    now: u64,
}

impl World {
    fn step(&mut self, input: &mut Input<'_>) {
        let op = input.u8();
        let slot = op >> 3 & 7;
        let mut out = Vec::new();
        match op & 7 {
            BYTES => self.bytes(slot, input.part(), &mut out),
            MESSAGE => self.body(slot, input.part(), &mut out),
            OPEN => self.open(slot),
            CLOSE => {
                if let Some((peer, _)) = self.streams.remove(&slot) {
                    self.switch.closed(peer);
                }
            }
            TIME => {
                self.now += u64::from(input.u16()) * MILLISECOND_NS;
                self.switch.tick(self.now, &mut out);
                self.switch.next_deadline();
            }
            FETCH => {
                let peers: Vec<PeerId> = self.switch.peers_with_frames().collect();
                for peer in peers {
                    for _ in 0..=slot {
                        let Some((_, frame)) = self.switch.next_frame(peer) else { break };
                        assert!(frame.len() <= FRAME_BYTES_MAX);
                    }
                }
            }
            CLAIM => {
                let name = self.switch.vm_names().nth(slot.into()).map(str::to_owned);
                let generation = Generation(input.u64());
                self.switch.claimed(self.now, name.as_deref().unwrap_or("other"), generation);
            }
            _ => self.outside(slot, input.part(), &mut out),
        }
        assert!(out.len() <= COMMANDS_MAX, "{} commands come of one step", out.len());
        for command in out {
            match command {
                Command::Close(peer, _) => self.streams.retain(|_, (open, _)| *open != peer),
                Command::Send(_, message) => told(&message),
                Command::ToUplink(frame) => assert!(frame.len() <= FRAME_BYTES_MAX),
                _ => {}
            }
        }
    }

    fn open(&mut self, slot: u8) {
        if let Some((peer, _)) = self.streams.remove(&slot) {
            self.switch.closed(peer);
        }
        self.opened += 1;
        let peer = PeerId(self.opened);
        let mut out = Vec::new();
        self.switch.opened(peer, &mut out);
        assert_eq!(out, [], "eight connections are not too many");
        self.streams.insert(slot, (peer, Unframer::default()));
    }

    fn bytes(&mut self, slot: u8, bytes: &[u8], out: &mut Vec<Command>) {
        let Some((peer, unframer)) = self.streams.get_mut(&slot) else { return };
        let peer = *peer;
        unframer.push(bytes);
        let mut bodies = Vec::new();
        let error = loop {
            match unframer.next_body() {
                Ok(Some(body)) => bodies.push(body.to_vec()),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        for body in bodies {
            self.body(slot, &body, out);
        }
        if let Some(error) = error {
            self.streams.remove(&slot);
            self.switch.garbage(peer, &error, out);
        }
    }

    fn body(&mut self, slot: u8, body: &[u8], out: &mut Vec<Command>) {
        if let Ok(message) = FromSwitch::decode(body) {
            told(&message);
        }
        let Some((peer, _)) = self.streams.get(&slot) else { return };
        match ToSwitch::decode(body) {
            Ok(message) => {
                let mut bytes = Vec::new();
                message.encode(&mut bytes);
                assert_eq!(&bytes[4..], body, "{message:?} has one encoding");
                self.switch.message(self.now, *peer, message, out);
            }
            Err(error) => self.switch.garbage(*peer, &error, out),
        }
    }

    fn outside(&mut self, slot: u8, bytes: &[u8], out: &mut Vec<Command>) {
        match slot {
            0 | 1 => self.switch.uplink_frame(self.now, bytes),
            2 => self.switch.uplink_opened(self.now, out),
            3 => drop(self.switch.connect(self.now, 1)),
            _ => {
                let client = SocketAddr::from(([127, 0, 0, 1], 1000 + u16::from(slot)));
                self.switch.datagram(self.now, 0, client, bytes, out);
            }
        }
    }

    /// Everything that the switch holds is within its bound, whatever the nodes said.
    fn check(&self) {
        let status = self.switch.status();
        assert!(status.vms.len() <= VMS_MAX && status.peers <= PEERS_MAX);
        assert!(status.addresses <= LEARNED_OUTSIDE_MAX + (1 + status.vms.len()) * LEARNED_PER_PORT_MAX);
        for (name, vm) in &status.vms {
            assert!(vm.waiting <= inbound::FRAMES_MAX, "{} frames wait for {name}", vm.waiting);
            assert!(vm.standbys <= STANDBYS_MAX, "{} nodes stand by for {name}", vm.standbys);
            assert!(vm.mac.is_station(), "{name} has the address {}", vm.mac);
        }
        serde_json::to_string(&status).expect("a status is JSON");
    }
}

/// A message to a node comes back from its bytes.
fn told(message: &FromSwitch) {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    assert!(bytes.len() <= 4 + MESSAGE_BYTES_MAX);
    let mut unframer = Unframer::default();
    unframer.push(&bytes);
    let body = unframer.next_body().expect("our own lengths are right").expect("it is whole");
    assert_eq!(FromSwitch::decode(body).as_ref(), Ok(message));
}

//! The switch's gateway by itself: TCP against a guest that is a second stack in this process, and
//! clients that are memory. Only the time within the gateway counts; sockets and guest are not in it.

use std::time::{Duration, Instant};

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer};
use smoltcp::time::Instant as Clock;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr};

use super::progress;
use super::sheet::{Figure, Section, Target, median};
use crate::host::failure::Failure;
use crate::net::gateway::GUEST_IP;
use crate::net::tcp::Phase;
use crate::net::wire::Wire;
use crate::net::{ConnId, FromGateway, Gateway, GatewayConfig};

const PORT: u16 = 80;
const RING: usize = 1 << 20;
/// Frames that pass between two flushes, as in a busy switch.
const BATCH: usize = 64;
/// Between two steps of the clock.
const STEP_NS: u64 = 50_000;

pub fn measure(quick: bool) -> Result<Section, Failure> {
    let time = Duration::from_millis(if quick { 300 } else { 1500 });
    let (mut out, mut inward, mut request) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..3 {
        out.push(bulk(time, true)?);
        inward.push(bulk(time, false)?);
        request.push(requests(time)?);
    }
    progress(&format!("gateway: {:.2} Gbit/s out of the guest", median(&out)));
    Ok(Section {
        title: "The gateway alone (medians of 3, time within it)",
        figures: vec![
            Figure::new("gateway_out_gbit_per_s", "TCP out of a guest", median(&out), "Gbit/s")
                .target(Target::AtLeast(1.0)),
            Figure::new("gateway_in_gbit_per_s", "TCP into a guest", median(&inward), "Gbit/s"),
            Figure::new(
                "gateway_request_us",
                "a request and its answer: time in the gateway",
                median(&request),
                "us",
            ),
        ],
    })
}

/// Gateway and guest, and what the gateway's part has cost.
struct Stage {
    now: u64,
    gateway: Gateway,
    said: Vec<FromGateway>,
    conn: ConnId,
    iface: Interface,
    wire: Wire,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    spent: Duration,
}

impl Stage {
    fn new() -> Result<Self, Failure> {
        let forward = format!("tcp:127.0.0.1:0={PORT}").parse().map_err(Failure::new)?;
        let mut gateway = Gateway::new(GatewayConfig::with_forwards(vec![forward]));
        let mut wire = Wire::new(BATCH);
        let config = Config::new(HardwareAddress::Ethernet(EthernetAddress([2, 0, 0, 0, 0, 15])));
        let mut iface = Interface::new(config, &mut wire, Clock::ZERO);
        iface.update_ip_addrs(|ips| {
            let pushed = ips.push(IpCidr::new(GUEST_IP.into(), 24));
            assert!(pushed.is_ok(), "there is room for one address");
        });
        let mut sockets = SocketSet::new(Vec::new());
        let ring = || SocketBuffer::new(vec![0; RING]);
        let mut socket = Socket::new(ring(), ring());
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        let listening = socket.listen(PORT);
        assert!(listening.is_ok(), "a port that is not 0 can be listened at");
        let handle = sockets.add(socket);
        let conn = gateway.connect(0, 0).map_err(Failure::new)?;
        let spent = Duration::ZERO;
        let mut stage = Self { now: 0, gateway, said: Vec::new(), conn, iface, wire, sockets, handle, spent };
        for _ in 0..1000 {
            stage.turn(|_, _| {});
            if stage.gateway.tcp().view(conn).is_some_and(|view| view.phase == Phase::Open) {
                return Ok(stage);
            }
        }
        Err(Failure::new("the guest does not answer"))
    }

    /// The guest moves, then the gateway, in whose time `client` plays the client.
    fn turn(&mut self, client: impl FnOnce(&mut Gateway, ConnId)) {
        self.now += STEP_NS;
        let clock = Clock::from_micros((self.now / 1000) as i64);
        self.iface.poll(clock, &mut self.wire, &mut self.sockets);
        let begun = Instant::now();
        for frame in self.wire.outward.drain(..) {
            self.gateway.frame(self.now, &frame, &mut self.said);
        }
        client(&mut self.gateway, self.conn);
        self.gateway.tick(self.now, &mut self.said);
        self.gateway.flush_tcp(self.now, true, BATCH, &mut self.said);
        self.spent += begun.elapsed();
        for said in self.said.drain(..) {
            if let FromGateway::Frame(frame) = said {
                self.wire.inward.push_back(frame);
            }
        }
    }

    fn guest(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }
}

/// Gbit/s of the time in the gateway; `outward` is out of the guest.
fn bulk(time: Duration, outward: bool) -> Result<f64, Failure> {
    let mut stage = Stage::new()?;
    let mut scratch = vec![0; RING];
    let (begun, mut bytes) = (Instant::now(), 0usize);
    stage.spent = Duration::ZERO;
    while begun.elapsed() < time {
        if outward {
            // An error would be a guest that has ended, and the figure 0.
            stage.guest().send(|room| (room.len(), ())).ok();
            stage.turn(|gateway, conn| {
                bytes += gateway.tcp().drain(conn, |from| {
                    scratch[..from.len()].copy_from_slice(from);
                    from.len()
                });
            });
        } else {
            bytes += stage.guest().recv(|from| (from.len(), from.len())).unwrap_or(0);
            stage.turn(|gateway, conn| {
                gateway.tcp().fill(conn, |room| {
                    room.copy_from_slice(&scratch[..room.len()]);
                    room.len()
                });
            });
        }
    }
    Ok(bytes as f64 * 8.0 / stage.spent.as_secs_f64() / 1e9)
}

/// Microseconds in the gateway for a small request and its answer.
fn requests(time: Duration) -> Result<f64, Failure> {
    let mut stage = Stage::new()?;
    let (begun, mut answers) = (Instant::now(), 0u32);
    stage.spent = Duration::ZERO;
    let mut asked = false;
    while begun.elapsed() < time {
        let guest = stage.guest();
        if guest.recv(|bytes| (bytes.len(), bytes.len())).unwrap_or(0) > 0 {
            guest.send_slice(b":1\r\n").ok();
        }
        stage.turn(|gateway, conn| {
            if gateway.tcp().drain(conn, <[u8]>::len) > 0 {
                (asked, answers) = (false, answers + 1);
            }
            if !asked {
                asked = true;
                let request = b"*2\r\n$4\r\nINCR\r\n$1\r\nx\r\n";
                gateway.tcp().fill(conn, |room| {
                    let n = room.len().min(request.len());
                    room[..n].copy_from_slice(&request[..n]);
                    n
                });
            }
        });
    }
    Ok(stage.spent.as_secs_f64() * 1e6 / f64::from(answers.max(1)))
}

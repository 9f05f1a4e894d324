//! virtio-blk (virtio 1.2, 5.2): a disk whose sectors are the host's.
//!
//! ```text
//! request    0  4  type: 0 read, 1 write, 4 flush, 8 identify
//!            4  4  reserved
//!            8  8  sector
//!           16  n  data to write; or n writable bytes to read into
//!            .  1  writable, the last byte of the chain: status (0 done, 1 failed, 2 unsupported)
//!
//!          notify, within the store                   delivered, in order
//! ring --------------------------------> flights ---------------------------> used ring
//!    \   (a write's bytes are copied)       |  reset, fault: no driver waits for
//!     \-- answered at once: bad, empty,     |  it any more, but it stays: the
//!         identify, unsupported             v  disk is still at work on it
//! ```
//!
//! Promises: guest memory changes only within the notify and when a completion is delivered. What is
//! under way is state, a write's bytes included, so that a successor can ask for all of it again;
//! it is bounded by [`FLIGHTS_MAX`] and [`FLIGHT_BYTES_MAX`], and a ring with more is left unread until
//! there is room. A driver that has not accepted FLUSH gets what it then may expect (5.2.6.2): each
//! of its writes is followed by a flush, and ends with it.
//!
//! | the driver | the device |
//! |---|---|
//! | sends no whole header, or leaves no room for the status | breaks: [`QueueFault::BadRequest`] |
//! | splits the header or the data over descriptors as it likes | takes them as one |
//! | names sectors past the end, or no whole sectors, or more than [`REQUEST_BYTES_MAX`] | failed |
//! | writes to a read-only disk | failed |
//! | reads or writes nothing | done |
//!
//! Absent on purpose: discard, write zeroes, several queues, write-cache control, geometry.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::queue::{CHAIN_DESCRIPTORS_MAX, Chain, QueueFault, Span, is_ram};
use super::transport::{Device, Slot, Transport};
use crate::base::GuestPhys;
use crate::devices::disk::{DiskDone, DiskOp, DiskRequest, DiskSpec, DiskStatus, SECTOR_BYTES};
use crate::devices::{BadDevice, outbox::Outbox};
use crate::mem::Ram;

/// The most bytes that one request moves.
pub const REQUEST_BYTES_MAX: u32 = 128 << 10;
/// The most requests under way.
pub const FLIGHTS_MAX: usize = 64;
/// The most bytes that the writes under way carry.
pub const FLIGHT_BYTES_MAX: usize = 4 << 20;

/// What a driver is asked to keep to: a page a segment, and room for header and status in 32.
const SEGMENT_BYTES: u32 = 4096;
const SEGMENTS: u32 = 30;

const FEATURE_SIZE_MAX: u64 = 1 << 1;
const FEATURE_SEG_MAX: u64 = 1 << 2;
const FEATURE_RO: u64 = 1 << 5;
const FEATURE_BLK_SIZE: u64 = 1 << 6;
const FEATURE_FLUSH: u64 = 1 << 9;

const REQUESTS: usize = 0;
const HEADER_BYTES: usize = 16;
const ID_BYTES: usize = 20;

const TYPE_IN: u32 = 0;
const TYPE_OUT: u32 = 1;
const TYPE_FLUSH: u32 = 4;
const TYPE_GET_ID: u32 = 8;

const STATUS_OK: u8 = 0;
const STATUS_IOERR: u8 = 1;
const STATUS_UNSUPP: u8 = 2;

/// Where a request's completion is reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Reply {
    head: u16,
    /// The buffers that a read fills.
    data: Vec<Span>,
    status: GuestPhys,
}

/// The receiver of a request's completion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Waiter {
    Driver(Reply),
    /// The flush that follows, which ends for both.
    Flush,
    /// The driver has reset the device since.
    Gone,
}

/// A request that the host has been asked for and has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Flight {
    tag: u64,
    op: DiskOp,
    waiter: Waiter,
}

impl Flight {
    fn bytes(&self) -> usize {
        match &self.op {
            DiskOp::Write { data, .. } => data.len(),
            DiskOp::Read { .. } | DiskOp::Flush => 0,
        }
    }

    /// What a good end brings.
    fn bytes_read(&self) -> usize {
        match &self.op {
            DiskOp::Read { bytes, .. } => *bytes as usize,
            DiskOp::Write { .. } | DiskOp::Flush => 0,
        }
    }
}

/// The disk's own state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blk {
    disk: u8,
    spec: DiskSpec,
    /// The number of the last request; 0 before the first. Never starts again.
    tag_last: u64,
    /// Ended by the host in this order.
    flights: VecDeque<Flight>,
    /// The write before the front failed, and the front ends for it.
    front_fails: bool,
}

/// What a chain asks for, once it has been looked at.
enum Ask {
    Host(DiskOp),
    /// Done here: a status, and bytes for the driver.
    Here(u8, Vec<u8>),
}

impl Blk {
    /// The machine's `disk`-th disk.
    pub fn new(disk: u8, spec: DiskSpec) -> Self {
        Self { disk, spec, tag_last: 0, flights: VecDeque::new(), front_fails: false }
    }

    pub fn disk(&self) -> u8 {
        self.disk
    }

    pub fn spec(&self) -> &DiskSpec {
        &self.spec
    }

    /// What is under way, oldest first.
    pub fn in_flight(&self) -> impl Iterator<Item = DiskRequest> + '_ {
        self.flights.iter().map(|flight| DiskRequest {
            disk: self.disk,
            tag: flight.tag,
            op: flight.op.clone(),
        })
    }

    /// The request that must end next.
    pub fn tag_awaited(&self) -> Option<u64> {
        self.flights.front().map(|flight| flight.tag)
    }

    /// The number of the last request; 0 before the first.
    pub fn tag_last(&self) -> u64 {
        self.tag_last
    }

    fn has_room(&self) -> bool {
        let bytes: usize = self.flights.iter().map(Flight::bytes).sum();
        // A write may take two flights.
        self.flights.len() + 2 <= FLIGHTS_MAX && bytes + REQUEST_BYTES_MAX as usize <= FLIGHT_BYTES_MAX
    }

    /// Takes requests off the ring as far as there is room.
    fn submit(
        &mut self,
        transport: &mut Transport,
        ram: &mut Ram,
        out: &mut Outbox,
    ) -> Result<(), QueueFault> {
        for _ in 0..transport.queue(REQUESTS).size() {
            if !self.has_room() {
                break;
            }
            let Some(chain) = transport.queue(REQUESTS).peek(ram)? else { break };
            transport.queue(REQUESTS).take();
            let reply = reply_of(&chain)?;
            match self.read_request(&chain, &reply, ram)? {
                Ask::Here(status, bytes) => finish(transport, ram, &reply, status, &bytes)?,
                Ask::Host(op) => self.launch(transport, reply, op, out),
            }
        }
        Ok(())
    }

    fn read_request(&self, chain: &Chain, reply: &Reply, ram: &Ram) -> Result<Ask, QueueFault> {
        let header = chain.read(ram, 0, HEADER_BYTES)?;
        let Some((&kind, rest)) = header.split_first_chunk::<4>() else {
            return Err(QueueFault::BadRequest { head: chain.head });
        };
        let Some(&sector) = rest.get(4..).and_then(|sector| sector.first_chunk::<8>()) else {
            return Err(QueueFault::BadRequest { head: chain.head });
        };
        let sector = u64::from_le_bytes(sector);
        let ask = match u32::from_le_bytes(kind) {
            TYPE_IN => match self.extent(sector, bytes_of(&reply.data)) {
                Some(0) => Ask::Here(STATUS_OK, Vec::new()),
                Some(bytes) => Ask::Host(DiskOp::Read { sector, bytes }),
                None => Ask::Here(STATUS_IOERR, Vec::new()),
            },
            TYPE_OUT => match self.extent(sector, chain.readable_bytes() - HEADER_BYTES as u64) {
                _ if self.spec.read_only => Ask::Here(STATUS_IOERR, Vec::new()),
                Some(0) => Ask::Here(STATUS_OK, Vec::new()),
                Some(bytes) => {
                    let data = chain.read(ram, HEADER_BYTES as u64, bytes as usize)?;
                    Ask::Host(DiskOp::Write { sector, data })
                }
                None => Ask::Here(STATUS_IOERR, Vec::new()),
            },
            TYPE_FLUSH => Ask::Host(DiskOp::Flush),
            TYPE_GET_ID => {
                let mut id = self.spec.serial.clone().into_bytes();
                id.resize(ID_BYTES, 0);
                Ask::Here(STATUS_OK, id)
            }
            _ => Ask::Here(STATUS_UNSUPP, Vec::new()),
        };
        Ok(ask)
    }

    /// How many bytes a request moves, if they are whole sectors of this disk and not too many.
    fn extent(&self, sector: u64, bytes: u64) -> Option<u32> {
        let end = sector.checked_add(bytes / SECTOR_BYTES)?;
        let good = bytes.is_multiple_of(SECTOR_BYTES) && end <= self.spec.sectors;
        u32::try_from(bytes).ok().filter(|&bytes| good && bytes <= REQUEST_BYTES_MAX)
    }

    fn launch(&mut self, transport: &Transport, reply: Reply, op: DiskOp, out: &mut Outbox) {
        let volatile = matches!(op, DiskOp::Write { .. }) && !transport.has_accepted(FEATURE_FLUSH);
        if volatile {
            self.fly(op, Waiter::Flush, out);
            self.fly(DiskOp::Flush, Waiter::Driver(reply), out);
        } else {
            self.fly(op, Waiter::Driver(reply), out);
        }
    }

    fn fly(&mut self, op: DiskOp, waiter: Waiter, out: &mut Outbox) {
        self.tag_last += 1;
        let tag = self.tag_last;
        out.disk.push(DiskRequest { disk: self.disk, tag, op: op.clone() });
        self.flights.push_back(Flight { tag, op, waiter });
    }

    /// The front has ended, well or not; `data` is what it has read.
    fn land(
        &mut self,
        transport: &mut Transport,
        ram: &mut Ram,
        flight: Flight,
        status: DiskStatus,
        data: &[u8],
    ) -> Result<(), QueueFault> {
        let failed = std::mem::take(&mut self.front_fails) || status == DiskStatus::IoError;
        match flight.waiter {
            // A driver may also take the ring away without a word.
            Waiter::Driver(_) if !transport.is_live() || !transport.queue(REQUESTS).ready => Ok(()),
            Waiter::Driver(reply) => {
                finish(transport, ram, &reply, if failed { STATUS_IOERR } else { STATUS_OK }, data)
            }
            Waiter::Flush => {
                self.front_fails = failed;
                Ok(())
            }
            Waiter::Gone => Ok(()),
        }
    }

    fn check_flight(&self, flight: &Flight, ram_bytes: u64) -> Result<(), BadDevice> {
        let bad = |field, found| Err(BadDevice { device: Self::NAME, field, found });
        let (sector, bytes) = match &flight.op {
            DiskOp::Read { sector, bytes } => (*sector, u64::from(*bytes)),
            DiskOp::Write { data, .. } if self.spec.read_only => return bad("write", data.len() as u64),
            DiskOp::Write { sector, data } => (*sector, data.len() as u64),
            DiskOp::Flush => (0, SECTOR_BYTES),
        };
        if bytes == 0 || self.extent(sector, bytes).is_none() {
            return bad("request", sector);
        }
        if let Waiter::Driver(reply) = &flight.waiter {
            if !is_ram(ram_bytes, reply.status, 1) {
                return bad("status address", reply.status.get());
            }
            if reply.data.len() > CHAIN_DESCRIPTORS_MAX as usize {
                return bad("buffer count", reply.data.len() as u64);
            }
            let outside = |span: &&Span| !is_ram(ram_bytes, span.at, u64::from(span.len));
            if let Some(span) = reply.data.iter().find(outside) {
                return bad("buffer", span.at.get());
            }
            if matches!(flight.op, DiskOp::Read { .. }) && bytes_of(&reply.data) != bytes {
                return bad("buffer length", bytes_of(&reply.data));
            }
        }
        Ok(())
    }

    /// Looks at what is under way, in a state that came from outside.
    fn check_flights(&self, ram_bytes: u64) -> Result<(), BadDevice> {
        let bad = |field, found| Err(BadDevice { device: Self::NAME, field, found });
        let (count, bytes) = (self.flights.len(), self.flights.iter().map(Flight::bytes).sum::<usize>());
        if count > FLIGHTS_MAX || bytes > FLIGHT_BYTES_MAX {
            return bad("requests under way", count.max(bytes) as u64);
        }
        if self.tag_last > u64::MAX / 2 || self.tag_last < count as u64 {
            return bad("tag", self.tag_last);
        }
        let first = self.tag_last - count as u64 + 1;
        for (flight, tag) in self.flights.iter().zip(first..) {
            if flight.tag != tag {
                return bad("tag", flight.tag);
            }
            self.check_flight(flight, ram_bytes)?;
        }
        for (index, flight) in self.flights.iter().enumerate() {
            let next = self.flights.get(index + 1).map(|next| &next.op);
            if flight.waiter == Waiter::Flush && next != Some(&DiskOp::Flush) {
                return bad("waiter", flight.tag);
            }
        }
        if self.front_fails && self.flights.front().map(|front| &front.op) != Some(&DiskOp::Flush) {
            return bad("failure", 1);
        }
        Ok(())
    }
}

fn bytes_of(spans: &[Span]) -> u64 {
    spans.iter().map(|span| u64::from(span.len)).sum()
}

/// The writable buffers of a chain: its last byte is the status, the rest is data.
fn reply_of(chain: &Chain) -> Result<Reply, QueueFault> {
    let mut data = chain.writable.clone();
    let Some(last) = data.last_mut() else { return Err(QueueFault::BadRequest { head: chain.head }) };
    last.len -= 1;
    let status = last.at.plus(u64::from(last.len));
    data.retain(|span| span.len > 0);
    Ok(Reply { head: chain.head, data, status })
}

/// Tells the driver how a request ended.
fn finish(
    transport: &mut Transport,
    ram: &mut Ram,
    reply: &Reply,
    status: u8,
    bytes: &[u8],
) -> Result<(), QueueFault> {
    let mut rest = bytes;
    for span in &reply.data {
        let (here, later) = rest.split_at(rest.len().min(span.len as usize));
        if here.is_empty() {
            break;
        }
        ram.write(span.at, here)?;
        rest = later;
    }
    ram.write(reply.status, &[status])?;
    // The used length counts from the chain's first writable byte: the status only if all before
    // it was written, too (2.7.8).
    let written = (bytes.len() - rest.len()) as u64;
    let used = if written == bytes_of(&reply.data) { written + 1 } else { written };
    transport.give_back(REQUESTS, ram, reply.head, used as u32)
}

impl Device for Blk {
    const NAME: &'static str = "virtio-blk";
    const ID: u32 = 2;
    const QUEUES: usize = 1;

    fn features(&self) -> u64 {
        let always = FEATURE_SIZE_MAX | FEATURE_SEG_MAX | FEATURE_BLK_SIZE | FEATURE_FLUSH;
        if self.spec.read_only { always | FEATURE_RO } else { always }
    }

    fn config(&self) -> Vec<u8> {
        let mut config = Vec::with_capacity(24);
        config.extend(self.spec.sectors.to_le_bytes());
        config.extend(SEGMENT_BYTES.to_le_bytes());
        config.extend(SEGMENTS.to_le_bytes());
        // Geometry is not offered.
        config.extend([0; 4]);
        config.extend((SECTOR_BYTES as u32).to_le_bytes());
        config
    }

    fn notify(
        &mut self,
        transport: &mut Transport,
        _queue: usize,
        ram: &mut Ram,
        out: &mut Outbox,
    ) -> Result<(), QueueFault> {
        self.submit(transport, ram, out)
    }

    fn reset(&mut self) {
        self.front_fails = false;
        for flight in &mut self.flights {
            flight.waiter = Waiter::Gone;
        }
    }

    fn check(&self) -> Result<(), BadDevice> {
        // The requests under way name guest memory: see `Slot::<Blk>::check_requests`.
        Ok(())
    }
}

impl Slot<Blk> {
    /// A request has ended. False, and nothing changes, unless it is the one that must end next and
    /// brings what it must.
    pub fn complete(&mut self, ram: &mut Ram, out: &mut Outbox, done: &DiskDone) -> bool {
        let device = &mut self.device;
        let fits = device.flights.front().is_some_and(|front| {
            let bytes = if done.status == DiskStatus::Ok { front.bytes_read() } else { 0 };
            done.disk == device.disk && done.tag == front.tag && done.data.len() == bytes
        });
        if !fits {
            return false;
        }
        let Some(flight) = device.flights.pop_front() else { return false };
        let landed = device.land(&mut self.transport, ram, flight, done.status, &done.data);
        self.settle(landed);
        if self.transport.is_live() {
            let submitted = self.device.submit(&mut self.transport, ram, out);
            self.settle(submitted);
        }
        true
    }

    /// Looks at the requests under way, in a state that came from outside.
    pub fn check_requests(&self, ram_bytes: u64) -> Result<(), BadDevice> {
        self.device.check_flights(ram_bytes)
    }
}

#[cfg(test)]
#[path = "blk_tests.rs"]
mod tests;

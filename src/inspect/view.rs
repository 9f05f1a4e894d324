//! An entry in words, and as JSON.

use std::fmt::Write;

use serde::Serialize;
use serde_json::{Value, json};

use super::kind::Kind;
use super::packet;
use crate::base::{Icount, Seq, digest_bytes};
use crate::cpu::Answer;
use crate::devices::disk::{DiskDone, DiskStatus};
use crate::log::{Entry, Event, Start};
use crate::machine::{Exit, Input};

/// How much of what was read from a disk is shown as JSON: a boot reads hundreds of megabytes.
const DISK_BYTES_SHOWN: usize = 64;

/// An entry as it is shown. Serialized, it is one JSON object.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EntryView {
    /// The entry's number.
    pub seq: Seq,
    /// The entry's position.
    pub icount: Icount,
    /// The entry's kind; JSON has its name.
    pub kind: Kind,
    /// What happened, in words.
    pub text: String,
    /// Where the guest was, if that is known: a log alone does not contain it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symbol: Option<String>,
    /// The same as `text` for programs.
    pub data: Value,
}

impl EntryView {
    /// The view of an entry, without a symbol: a caller that knows where the guest was puts it in.
    pub fn of(entry: &Entry) -> Self {
        Self {
            seq: entry.seq,
            icount: entry.at,
            kind: Kind::of(&entry.event),
            text: text(&entry.event),
            symbol: None,
            data: data(&entry.event),
        }
    }

    /// One line: number, position, kind, symbol, words.
    pub fn line(&self) -> String {
        let symbol = self.symbol.as_ref().map(|symbol| format!("<{symbol}>  ")).unwrap_or_default();
        let (seq, at, kind) = (self.seq.get(), self.icount.get(), self.kind);
        format!("{seq:>9} {at:>15}  {kind:<11}  {symbol}{}", self.text)
    }

    /// The heading of [`EntryView::line`]'s columns.
    pub fn heading() -> String {
        format!("{:>9} {:>15}  {:<11}  what", "entry", "position", "kind")
    }
}

/// Guest time in words: seconds of the 10 MHz time base.
pub fn time_text(ticks: u64) -> String {
    format!("{}.{:07} s", ticks / 10_000_000, ticks % 10_000_000)
}

/// What happened, in words; one line without control characters.
pub fn text(event: &Event) -> String {
    match event {
        Event::Input(Input::Answer(Answer::Time(ticks))) => {
            format!("time is {ticks} ({})", time_text(*ticks))
        }
        Event::Input(Input::Answer(Answer::Entropy(bits))) => format!("seed is {bits:04x}"),
        Event::Input(Input::Answer(Answer::HostId(id))) => format!("host CPU id is {id:#x}"),
        Event::Input(Input::Answer(Answer::WallClock(ns))) => {
            format!("wall-clock time is {}.{:09} s since 1970", ns / 1_000_000_000, ns % 1_000_000_000)
        }
        Event::Input(Input::NetFrame { rx_seq, frame }) => {
            format!("frame {rx_seq} in, {} bytes: {}", frame.len(), packet::summary(frame))
        }
        Event::Input(Input::Console(bytes)) => format!("typed {}", packet::excerpt(bytes)),
        Event::Input(Input::ConsoleSize { cols, rows }) => format!("the console is {cols} by {rows}"),
        Event::Input(Input::TimerDue { time }) => format!("timer due at {time} ({})", time_text(*time)),
        Event::Input(Input::Clock { time, rate }) => {
            format!(
                "the clock goes on from {time} ({}), {rate} ticks in 65536 instructions",
                time_text(*time)
            )
        }
        Event::Input(Input::Entropy(bytes)) => {
            format!("entropy for the guest, {} bytes: {}", bytes.len(), hex(&bytes[..bytes.len().min(16)]))
        }
        Event::Input(Input::DiskDone(done)) => disk_text(done),
        Event::Output(mark) => match Kind::of(event) {
            Kind::NetOut => format!("frame {} out, {} bytes, digest {:08x}", mark.seq, mark.len, mark.digest),
            _ => {
                format!("console from byte {}, {} bytes, digest {:08x}", mark.seq, mark.len, mark.digest)
            }
        },
        Event::Horizon => "nothing more up to here".into(),
        Event::Digest(digest) => format!("state digest {digest}"),
        Event::Generation { generation, node, why } => {
            format!("generation {generation} of node {node} begins: {}", start_text(*why))
        }
        Event::Joined { node } => format!("backup {node} counts from here on"),
        Event::Typed { session, upto } => format!("typed up to byte {upto} of session {session:016x}"),
        Event::Left { node } => format!("backup {node} does not count any more"),
        Event::Checkpoint => "every replica with a store saves its state here".into(),
        Event::SwitchOver { to: None } => "the primary hands over".into(),
        Event::SwitchOver { to: Some(node) } => format!("the primary hands over to {node}"),
        Event::End(exit) => match exit {
            Exit::Pass => "the guest ended: pass".into(),
            Exit::Fail(number) => format!("the guest ended: fail {number}"),
            Exit::Reset => "the guest asked for a reset".into(),
            Exit::Panic => "the guest's kernel panicked".into(),
        },
    }
}

fn disk_text(done: &DiskDone) -> String {
    let (disk, tag) = (done.disk, done.tag);
    match (done.status, done.data.len()) {
        (DiskStatus::IoError, _) => format!("disk {disk} request {tag} failed"),
        (DiskStatus::Ok, 0) => format!("disk {disk} request {tag} done"),
        (DiskStatus::Ok, len) => {
            let begin = hex(&done.data[..len.min(16)]);
            format!("disk {disk} request {tag} done, {len} bytes read: {begin}")
        }
    }
}

/// Why a generation began, in a word or two.
pub const fn start_text(why: Start) -> &'static str {
    match why {
        Start::Boot => "boot",
        Start::Takeover => "takeover",
        Start::Alone => "alone",
        Start::SwitchOver => "switch-over",
    }
}

fn data(event: &Event) -> Value {
    match event {
        Event::Input(Input::Answer(Answer::Time(ticks))) => json!({ "ticks": ticks }),
        Event::Input(Input::Answer(Answer::Entropy(bits))) => json!({ "bits": bits }),
        Event::Input(Input::Answer(Answer::HostId(id))) => json!({ "id": id }),
        Event::Input(Input::Answer(Answer::WallClock(ns))) => json!({ "ns": ns }),
        Event::Input(Input::NetFrame { rx_seq, frame }) => {
            json!({ "rx_seq": rx_seq, "len": frame.len(), "packet": packet::summary(frame), "hex": hex(frame) })
        }
        Event::Input(Input::Console(bytes) | Input::Entropy(bytes)) => {
            json!({ "len": bytes.len(), "hex": hex(bytes) })
        }
        Event::Input(Input::ConsoleSize { cols, rows }) => json!({ "cols": cols, "rows": rows }),
        Event::Input(Input::TimerDue { time }) => json!({ "ticks": time }),
        Event::Input(Input::Clock { time, rate }) => json!({ "ticks": time, "rate": rate }),
        Event::Input(Input::DiskDone(done)) => json!({
            "disk": done.disk,
            "number": done.tag,
            "ok": done.status == DiskStatus::Ok,
            "len": done.data.len(),
            "digest": digest_bytes(&done.data, 0),
            "hex_begin": hex(&done.data[..done.data.len().min(DISK_BYTES_SHOWN)]),
        }),
        Event::Output(mark) => {
            json!({ "number": mark.seq, "len": mark.len, "digest": format!("{:08x}", mark.digest) })
        }
        Event::Horizon | Event::Checkpoint | Event::SwitchOver { to: None } => json!({}),
        Event::SwitchOver { to: Some(node) } => json!({ "to": node.to_string() }),
        Event::Digest(digest) => json!({ "digest": digest }),
        Event::Generation { generation, node, why } => {
            json!({ "generation": generation, "node": node.to_string(), "why": start_text(*why) })
        }
        Event::Typed { session, upto } => json!({ "session": format!("{session:016x}"), "upto": upto }),
        Event::Joined { node } | Event::Left { node } => json!({ "node": node.to_string() }),
        Event::End(exit) => match exit {
            Exit::Pass => json!({ "exit": "pass", "status": exit.status() }),
            Exit::Fail(number) => json!({ "exit": "fail", "number": number, "status": exit.status() }),
            Exit::Reset => json!({ "exit": "reset", "status": exit.status() }),
            Exit::Panic => json!({ "exit": "panic", "status": exit.status() }),
        },
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes anything");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::OutputMark;
    use crate::machine::Channel;

    fn view(event: Event) -> EntryView {
        EntryView::of(&Entry { seq: Seq(12), at: Icount(3_000), event })
    }

    #[test]
    fn a_line_has_number_position_kind_and_words() {
        let mark = OutputMark { channel: Channel::Console, seq: 5, len: 14, digest: 0xabc };
        let mut view = view(Event::Output(mark));
        let words = "console from byte 5, 14 bytes, digest 00000abc";
        assert_eq!(view.line(), format!("       12            3000  console-out  {words}"));
        view.symbol = Some("main+0x4".into());
        assert!(view.line().ends_with(&format!("<main+0x4>  {words}")));
    }

    #[test]
    fn json_has_the_kind_and_the_data() {
        let value = serde_json::to_value(view(Event::Input(Input::Console(b"\x1b!".to_vec())))).unwrap();
        assert_eq!(
            value,
            json!({
                "seq": 12, "icount": 3000, "kind": "console-in",
                "text": "typed 2 bytes: \"\\x1b!\"", "data": { "len": 2, "hex": "1b21" },
            })
        );
    }

    #[test]
    fn a_disk_entry_shows_how_it_ended_and_how_its_data_begins() {
        let done = DiskDone { disk: 1, tag: 7, status: DiskStatus::Ok, data: vec![0xab; 1024] };
        let shown = view(Event::Input(Input::DiskDone(done.clone())));
        assert_eq!(shown.text, format!("disk 1 request 7 done, 1024 bytes read: {}", "ab".repeat(16)));
        assert_eq!((&shown.data["len"], &shown.data["ok"]), (&json!(1024), &json!(true)));
        assert_eq!(shown.data["hex_begin"], "ab".repeat(64));
        let failed = DiskDone { status: DiskStatus::IoError, data: Vec::new(), ..done };
        assert_eq!(view(Event::Input(Input::DiskDone(failed))).text, "disk 1 request 7 failed");
    }

    #[test]
    fn times_are_shown_in_ticks_and_seconds() {
        let text = view(Event::Input(Input::Answer(Answer::Time(12_345_678)))).text;
        assert_eq!(text, "time is 12345678 (1.2345678 s)");
    }
}

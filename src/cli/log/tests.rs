use std::fs;

use clap::Parser;
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::base::{Digest, Generation, Icount, NodeId, Seq};
use crate::cpu::Answer;
use crate::host::logdir::{LogWriter, segment_name};
use crate::log::{Entry, Event, FrameBuilder, Lineage, OutputMark, Start};
use crate::machine::{Channel, Exit, Input, MachineConfig, Saved};
use crate::snapshot::Encoder;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

/// Runs `lockstep log` with `words`: exit code and output, or what failed.
fn log(words: &[&str]) -> Result<(u8, String), String> {
    let cli = Cli::try_parse_from(["log"].iter().chain(words)).map_err(|error| error.to_string())?;
    let symbols = |_: &Path| -> SymbolSource {
        Box::new(|at: Icount| (at.get() > 200).then(|| format!("main+{:#x}", at.get())))
    };
    let mut out = Vec::new();
    match run_into(&cli.args, &symbols, &mut out) {
        Ok(code) => Ok((code, String::from_utf8(out).unwrap())),
        Err(Halt::ReaderGone) => Err("reader gone".into()),
        Err(Halt::Failed(failure)) => Err(failure.to_string()),
    }
}

fn events() -> Vec<(u64, Event)> {
    let generation = Event::Generation { generation: Generation(1), node: NodeId(7), why: Start::Boot };
    let mark = OutputMark { channel: Channel::Console, seq: 0, len: 6, digest: 0xabcd };
    vec![
        (0, generation),
        (100, Event::Input(Input::Answer(Answer::Time(10_000_000)))),
        (200, Event::Input(Input::Console(b"GET key\n".to_vec()))),
        (250, Event::Horizon),
        (300, Event::Output(mark)),
        (400, Event::Input(Input::Answer(Answer::Time(20_000_000)))),
        (500, Event::End(Exit::Fail(3))),
    ]
}

const RAM: u64 = 4 << 20;

fn base() -> Saved {
    let config = MachineConfig {
        guest: "kv.elf".into(),
        guest_digest: Digest(1),
        ram_bytes: RAM,
        mac: [2; 6],
        ..MachineConfig::default()
    };
    Saved {
        config,
        icount: Icount(0),
        digest: Digest(2),
        state: vec![3; 1000],
        boot: vec![4; 100],
        pages: (0..20).map(|n| (n, vec![n as u8; 4096].into_boxed_slice())).collect(),
    }
}

/// A log of these events, one frame each, under `dir`.
fn record(dir: &TempDir, name: &str, events: &[(u64, Event)]) -> String {
    let path = dir.path().join(name);
    let lineage = Lineage::of("kv", &base(), Seq(0));
    let mut writer = LogWriter::create(&path, lineage, Generation(1), Encoder::new(base())).unwrap();
    let mut builder = FrameBuilder::new();
    for (i, (at, event)) in events.iter().enumerate() {
        builder.push(&Entry { seq: Seq(i as u64 + 1), at: Icount(*at), event: event.clone() });
        writer.append(&builder.finish()).unwrap();
    }
    writer.close().unwrap();
    path.to_str().unwrap().into()
}

fn segment(dir: &str) -> PathBuf {
    Path::new(dir).join(segment_name(Seq(1)))
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn info_tells_what_the_log_is_of_and_how_it_ends() {
    let tmp = TempDir::new().unwrap();
    let dir = record(&tmp, "a", &events());
    let (code, text) = log(&["info", &dir]).unwrap();
    assert_eq!(code, 0);
    for words in ["kv.elf", "entries       7", "position 500", "the guest ended: fail 3", "boot"] {
        assert!(text.contains(words), "{words}:\n{text}");
    }
    let json = &json_lines(&log(&["info", &dir, "--json"]).unwrap().1)[0];
    assert_eq!((&json["entries"], &json["icount_last"]), (&7.into(), &500.into()));
    assert_eq!((&json["header"]["lineage"]["vm"], &json["damages"]), (&"kv".into(), &0.into()));
}

#[test]
fn dump_shows_the_entries_that_are_asked_for() {
    let tmp = TempDir::new().unwrap();
    let dir = record(&tmp, "a", &events());
    let lines = |more: &[&str]| log(&[&["dump", &dir], more].concat()).unwrap().1.lines().count();
    assert_eq!(lines(&[]), 8, "with a heading");
    assert_eq!(lines(&["--kind", "time"]), 3);
    assert_eq!(lines(&["--kind", "time,end", "--kind", "horizon"]), 5);
    assert_eq!(lines(&["--from", "200", "--to", "300"]), 4);
    assert_eq!(lines(&["--text", "GET key"]), 2);
    assert_eq!(lines(&["--limit", "3"]), 4);
    assert_eq!(lines(&["--follow"]), 8, "up to the guest's end");
    let (_, text) = log(&["dump", &dir, "--kind", "console-out"]).unwrap();
    assert!(text.contains("<main+0x12c>  console from byte 0"), "{text}");
    let values = json_lines(&log(&["dump", &dir, "--json"]).unwrap().1);
    assert_eq!(values.len(), 7);
    assert_eq!((&values[4]["icount"], &values[4]["symbol"]), (&300.into(), &"main+0x12c".into()));
    assert!(!log(&["dump", &dir, "--no-symbols"]).unwrap().1.contains("main+"));
    assert!(log(&["dump", &dir, "--kind", "nonsense"]).unwrap_err().contains("console-out"));
}

#[test]
fn stats_count_and_draw() {
    let tmp = TempDir::new().unwrap();
    let dir = record(&tmp, "a", &events());
    let picture = tmp.path().join("log.svg");
    let (code, text) = log(&["stats", &dir, "--svg", picture.to_str().unwrap()]).unwrap();
    assert!(code == 0 && text.contains("1.000 s of guest time"), "{text}");
    assert!(fs::read_to_string(picture).unwrap().contains("kv: kv.elf"));
    let json = &json_lines(&log(&["stats", &dir, "--json"]).unwrap().1)[0];
    assert_eq!((&json["kinds"]["time"]["count"], &json["frames"]), (&2.into(), &7.into()));
    assert!(log(&["stats", &dir, "--svg", "/nowhere/log.svg"]).unwrap_err().contains("/nowhere/log.svg"));
}

#[test]
fn verify_tells_whole_torn_and_rotten() {
    let tmp = TempDir::new().unwrap();
    let dir = record(&tmp, "a", &events());
    let (code, text) = log(&["verify", &dir]).unwrap();
    assert!(code == 0 && text.contains("whole, 7 entries"), "{text}");

    let whole = fs::read(segment(&dir)).unwrap();
    fs::write(segment(&dir), &whole[..whole.len() - 2]).unwrap();
    let (code, text) = log(&["verify", &dir]).unwrap();
    assert!(code == 1 && text.contains("torn tail:") && text.contains("bytes can be cut"), "{text}");
    assert_eq!(json_lines(&log(&["verify", &dir, "--json"]).unwrap().1)[0]["verdict"], "torn-tail");

    let mut rotten = whole.clone();
    let middle = whole.len() - 60;
    rotten[middle] ^= 4;
    fs::write(segment(&dir), &rotten).unwrap();
    let (code, text) = log(&["verify", &dir]).unwrap();
    assert!(code == 1 && text.contains("rot: ") && text.contains("missing"), "{text}");
    let (code, dump) = log(&["dump", &dir]).unwrap();
    assert_eq!((code, dump.lines().count()), (0, 7), "the other six are still shown");

    fs::write(segment(&dir), &whole).unwrap();
    fs::write(Path::new(&dir).join("base.snap"), b"garbage").unwrap();
    let (code, text) = log(&["verify", &dir]).unwrap();
    assert!(code == 1 && text.contains("base.snap"), "{text}");

    assert!(log(&["verify", tmp.path().to_str().unwrap()]).unwrap_err().contains("holds no log"));
}

#[test]
fn grep_finds_text_and_bytes_and_says_when_there_are_none() {
    let tmp = TempDir::new().unwrap();
    let dir = record(&tmp, "a", &events());
    let (code, text) = log(&["grep", "GET", &dir]).unwrap();
    assert!(code == 0 && text.lines().count() == 1, "{text}");
    assert_eq!(log(&["grep", &dir, "GET"]).unwrap().1, text, "the other way round");
    assert_eq!(log(&["grep", "0x474554", &dir]).unwrap().1, text);
    assert_eq!(log(&["grep", "DELETE", &dir]), Ok((1, String::new())));
    assert_eq!(log(&["grep", "-c", "time is", &dir, &dir]), Ok((0, "4\n".into())));
}

#[test]
fn diff_names_the_first_entry_that_differs() {
    let tmp = TempDir::new().unwrap();
    let (mut other, mut shorter) = (events(), events());
    other.retain(|(_, event)| *event != Event::Horizon);
    let same = record(&tmp, "same", &other);
    other[3].0 += 1;
    shorter.pop();
    let a = record(&tmp, "a", &events());
    let (b, c) = (record(&tmp, "b", &other), record(&tmp, "c", &shorter));

    let (code, text) = log(&["diff", &a, &same]).unwrap();
    assert!(code == 0 && text.contains("the same: 6 entries"), "{text}");
    assert_eq!(log(&["diff", &a, &same, "--horizons"]).unwrap().0, 1);
    let (code, text) = log(&["diff", &a, &b]).unwrap();
    assert!(code == 1 && text.contains("they part after 3 common entries"), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("  ")).count(), 4, "heading and context");
    let (code, text) = log(&["diff", &a, &c]).unwrap();
    assert!(code == 1 && text.contains("B ends after 5 common entries"), "{text}");
    let json = &json_lines(&log(&["diff", &a, &b, "--json"]).unwrap().1)[0];
    assert_eq!(
        (&json["same"], &json["common"], &json["b"]["icount"]),
        (&false.into(), &3.into(), &301.into())
    );

    let whole = fs::read(segment(&c)).unwrap();
    let mut rotten = whole.clone();
    rotten[130] ^= 1;
    fs::write(segment(&c), rotten).unwrap();
    assert!(log(&["diff", &a, &c]).unwrap_err().contains("rot"));
}

#[test]
fn a_reader_that_goes_away_is_told_from_a_failure() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let tmp = TempDir::new().unwrap();
    let dir = record(&tmp, "a", &events());
    let no_symbols = |_: &Path| -> SymbolSource { Box::new(|_| None) };
    for words in
        [&["dump", &dir][..], &["dump", &dir, "--json"], &["info", &dir], &["verify", &dir, "--json"]]
    {
        let cli = Cli::try_parse_from(["log"].iter().chain(words)).unwrap();
        assert!(matches!(run_into(&cli.args, &no_symbols, &mut Gone), Err(Halt::ReaderGone)), "{words:?}");
    }
}

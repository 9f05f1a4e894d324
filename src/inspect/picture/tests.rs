use super::*;
use crate::base::{Generation, Icount, NodeId, Prng, Seq};
use crate::cpu::Answer;
use crate::log::scan::Place;
use crate::log::{Entry, Event, OutputMark, Start};
use crate::machine::{Channel, Exit, Input};

fn add(stats: &mut Stats, at: u64, event: Event) {
    stats.add(&Place { entry: Entry { seq: Seq(1), at: Icount(at), event }, offset: 0, len: 9 });
}

/// A log as a server under load writes one, with two takeovers.
fn busy() -> Stats {
    let mut prng = Prng::new(3);
    let mut stats = Stats::default();
    let generation =
        |generation, why| Event::Generation { generation: Generation(generation), node: NodeId(1), why };
    add(&mut stats, 0, generation(1, Start::Boot));
    let mut at = 0;
    for i in 0..20_000 {
        at += prng.below(if (i / 3_000) % 2 == 0 { 30_000 } else { 300_000 });
        let bytes = vec![0; 60];
        add(&mut stats, at, Event::Input(Input::Answer(Answer::Time(at / 20))));
        match i % 4 {
            0 => add(&mut stats, at, Event::Input(Input::NetFrame { rx_seq: i, frame: bytes })),
            1 => {
                let mark = OutputMark { channel: Channel::Net, seq: i, len: 60, digest: 0 };
                add(&mut stats, at, Event::Output(mark));
            }
            2 if prng.chance(1, 50) => {
                let mark = OutputMark { channel: Channel::Console, seq: i, len: 60, digest: 0 };
                add(&mut stats, at, Event::Output(mark));
            }
            _ => add(&mut stats, at, Event::Horizon),
        }
        match i {
            7_000 => add(&mut stats, at, generation(2, Start::Takeover)),
            9_000 => add(&mut stats, at, Event::Joined { node: NodeId(2) }),
            15_000 => add(&mut stats, at, generation(3, Start::Takeover)),
            15_001 => add(&mut stats, at, generation(4, Start::Alone)),
            _ => {}
        }
    }
    add(&mut stats, at, Event::End(Exit::Pass));
    stats
}

#[test]
fn a_picture_has_a_lane_for_each_kind_and_a_line_for_each_generation() {
    let picture = svg(&busy(), "kv <1> & more");
    if let Some(path) = std::env::var_os("LOCKSTEP_PICTURE") {
        std::fs::write(path, &picture).unwrap();
    }
    assert!(picture.contains("kv &lt;1&gt; &amp; more") && picture.ends_with("</svg>\n"));
    for kind in [Kind::Time, Kind::NetIn, Kind::NetOut, Kind::ConsoleOut, Kind::Horizon, Kind::End] {
        assert!(picture.contains(&format!(">{kind}<")), "{kind}");
    }
    assert!(!picture.contains(">timer<"), "a lane of nothing is not drawn");
    assert_eq!(picture.matches("stroke-dasharray").count(), 4);
    assert!(picture.contains("generation 2: takeover"));
    assert!(picture.len() < 200_000, "{} bytes", picture.len());
}

#[test]
fn an_empty_log_and_one_entry_have_a_picture() {
    assert!(svg(&Stats::default(), "none").contains("no entries"));
    for at in [0, 1, u64::MAX] {
        let mut stats = Stats::default();
        add(&mut stats, at, Event::Horizon);
        assert!(svg(&stats, "one").contains(">horizon<"), "{at}");
        add(&mut stats, u64::MAX, Event::Horizon);
        assert!(!svg(&stats, "two").contains("NaN"));
    }
}

#[test]
fn numbers_are_short() {
    assert_eq!(grouped(1_234_567), "1,234,567");
    assert_eq!(grouped(999), "999");
    assert_eq!((count_text(9_999), count_text(2_500_000)), ("9999".into(), "2.5 M".into()));
    assert_eq!(count_text(u64::MAX), "18446744.074 T");
    assert_eq!((bytes_text(9_999), bytes_text(12_345)), ("9999 B".into(), "12.3 KB".into()));
    for (instructions, step) in
        [(0, 1), (10, 1), (99, 10), (150, 20), (1_000_000, 100_000), (60_000_000, 10_000_000)]
    {
        assert_eq!(tick_step(instructions), step, "{instructions}");
    }
    assert!(u64::MAX / tick_step(u64::MAX) <= 10);
}

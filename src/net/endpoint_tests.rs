//! An end whose connection is played by hand: what the switch says, and exactly what it is sent.

use super::*;
use crate::net::Mac;

fn attach(generation: u64, standby: bool) -> Attach {
    Attach {
        vm: "kv".into(),
        life: 1,
        mac: Mac([2; 6]),
        generation: Generation(generation),
        standby,
        rx_seq_last: 4,
        tx_seq_last: 7,
    }
}

/// Everything that is to leave.
fn sent(end: &mut Endpoint) -> Vec<ToSwitch> {
    let mut unframer = Unframer::default();
    unframer.push(end.output());
    end.sent(end.output().len());
    let mut messages = Vec::new();
    while let Some(body) = unframer.next_body().expect("whole messages") {
        messages.push(ToSwitch::decode(body).expect("a message"));
    }
    messages
}

/// What the end says of a message of the switch's, and how that ends the connection if it does.
fn hears(end: &mut Endpoint, message: &FromSwitch) -> (Vec<Heard>, Option<Ended>) {
    let (mut bytes, mut heard) = (Vec::new(), Vec::new());
    message.encode(&mut bytes);
    let ended = end.receive(&bytes, |said| heard.push(said)).err();
    if ended.is_some() {
        end.disconnected();
    }
    (heard, ended)
}

fn fenced_by(current: u64) -> FromSwitch {
    FromSwitch::Fenced { current: Generation(current) }
}

fn attached(generation: u64) -> FromSwitch {
    FromSwitch::Attached { generation: Generation(generation), tx_seq_last: 7 }
}

/// One of generation 3 that is connected.
fn of_generation_3() -> Endpoint {
    let mut end = Endpoint::new(attach(3, false));
    end.connected();
    assert_eq!(sent(&mut end), [ToSwitch::Attach(attach(3, false))]);
    end
}

/// What the first words on a connection are where generation 4 is asked for.
fn asking(rx_seq_last: u64) -> [ToSwitch; 2] {
    [
        ToSwitch::Attach(Attach { rx_seq_last, ..attach(4, true) }),
        ToSwitch::Activate { generation: Generation(4), rx_seq_last },
    ]
}

/// The arbiter granted generation 4 to this node, and the switch heard of it first.
#[test]
fn one_that_is_fenced_by_the_generation_which_it_activates_asks_for_it() {
    let mut end = of_generation_3();
    let fenced = (vec![Heard::Fenced { current: Generation(4) }], Some(Ended::Fenced));
    assert_eq!(hears(&mut end, &fenced_by(4)), fenced);
    assert!(end.is_fenced());
    end.activate(Generation(4), 5);
    assert!(!end.is_fenced());
    end.send(8, b"frame").expect("there is room");
    end.connected();
    let rest = [
        ToSwitch::Received { rx_seq: 5 },
        ToSwitch::Frame { generation: Generation(4), seq: 8, bytes: b"frame".to_vec() },
        ToSwitch::Ping,
    ];
    assert_eq!(sent(&mut end), [&asking(5)[..], &rest].concat());
    // Until both are answered, each connection asks.
    hears(&mut end, &attached(3));
    end.disconnected();
    end.connected();
    assert_eq!(
        sent(&mut end)[..2],
        asking(5).map(|message| match message {
            ToSwitch::Attach(attach) => ToSwitch::Attach(Attach { tx_seq_last: 8, ..attach }),
            other => other,
        })
    );
    hears(&mut end, &attached(3));
    hears(&mut end, &attached(4));
    end.disconnected();
    end.connected();
    let again = Attach { rx_seq_last: 5, tx_seq_last: 8, ..attach(4, false) };
    assert_eq!(sent(&mut end)[0], ToSwitch::Attach(again));
}

#[test]
fn one_that_is_fenced_while_it_activates_asks_once() {
    let mut end = of_generation_3();
    end.activate(Generation(4), 5);
    sent(&mut end);
    assert!(matches!(hears(&mut end, &fenced_by(4)).1, Some(Ended::Lost(_))));
    end.connected();
    assert_eq!(sent(&mut end)[..2], asking(4));
    // Another node is active in this generation: two arbiters have granted it.
    assert_eq!(hears(&mut end, &attached(4)).1, None);
    assert_eq!(hears(&mut end, &fenced_by(4)).1, Some(Ended::Fenced));
    assert!(end.is_fenced());
    end.activate(Generation(5), 6);
    end.connected();
    assert_eq!(sent(&mut end)[0], ToSwitch::Attach(Attach { rx_seq_last: 6, ..attach(5, false) }));
}

#[test]
fn a_fence_of_an_older_generation_is_a_lost_connection_and_one_of_a_newer_lasts() {
    let mut end = of_generation_3();
    assert!(matches!(hears(&mut end, &fenced_by(2)).1, Some(Ended::Lost(_))));
    end.connected();
    assert_eq!(sent(&mut end), [ToSwitch::Attach(attach(3, false))]);
    assert_eq!(hears(&mut end, &fenced_by(9)).1, Some(Ended::Fenced));
    end.activate(Generation(8), 5);
    assert!(end.is_fenced());
    // What a standby follows is not its own.
    let mut standby = Endpoint::new(attach(3, true));
    standby.connected();
    assert_eq!(hears(&mut standby, &fenced_by(3)).1, Some(Ended::Fenced));
}

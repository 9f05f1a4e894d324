//! Requests to etcd and its responses: the JSON of its gRPC gateway (etcd 3.4 and newer).
//!
//! Keys and values are base64, 64-bit numbers are strings of digits, what is false, zero or empty is
//! left out. *Absent:* whatever an arbiter does not need.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

pub(super) fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// Asks for one key, linearizably, as a part of a transaction.
pub(super) fn range(key: &str) -> Value {
    json!({ "request_range": { "key": base64(key) } })
}

/// Which etcd answers, and how far it is.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Header {
    #[serde(deserialize_with = "number")]
    pub cluster_id: u64,
    #[serde(deserialize_with = "number")]
    pub revision: u64,
    /// How many elections it has seen; 0 where a member has not yet learned of the first.
    #[serde(default, deserialize_with = "number")]
    pub raft_term: u64,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct KeyValue {
    #[serde(deserialize_with = "bytes")]
    pub key: Vec<u8>,
    #[serde(default, deserialize_with = "bytes")]
    pub value: Vec<u8>,
    #[serde(deserialize_with = "number")]
    pub mod_revision: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct RangeAnswer {
    pub header: Header,
    #[serde(default)]
    pub kvs: Vec<KeyValue>,
}

#[derive(Debug, Deserialize)]
pub(super) struct TxnAnswer {
    pub header: Header,
    #[serde(default)]
    pub succeeded: bool,
    #[serde(default)]
    pub responses: Vec<Response>,
}

/// The answer to one part of a transaction.
#[derive(Debug, Deserialize)]
pub(super) struct Response {
    pub response_range: Option<Found>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Found {
    #[serde(default)]
    pub kvs: Vec<KeyValue>,
}

/// An error response of etcd.
#[derive(Debug, Deserialize)]
pub(super) struct Complaint {
    pub message: String,
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(digits) => digits.parse().map_err(D::Error::custom),
        Value::Number(number) => number.as_u64().ok_or_else(|| D::Error::custom("not a count")),
        _ => Err(D::Error::custom("not a number")),
    }
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As etcd 3.4.23 has answered.
    #[test]
    fn answers_of_a_real_etcd_are_understood() {
        let lost: TxnAnswer = serde_json::from_str(
            r#"{"header":{"cluster_id":"324952591200643719","member_id":"3319814642761637952","revision":"2",
                "raft_term":"2"},"responses":[{"response_range":{"header":{"revision":"2"},"kvs":[{"key":
                "L2wva3YvZzE=","create_revision":"2","mod_revision":"2","version":"1","value":"aGk="}],"count":"1"}}]}"#,
        )
        .unwrap();
        assert!(!lost.succeeded);
        assert_eq!(lost.header, Header { cluster_id: 324952591200643719, revision: 2, raft_term: 2 });
        let kv = &lost.responses[0].response_range.as_ref().unwrap().kvs[0];
        assert_eq!(
            (kv.key.as_slice(), kv.value.as_slice(), kv.mod_revision),
            (&b"/l/kv/g1"[..], &b"hi"[..], 2)
        );
        let won: TxnAnswer = serde_json::from_str(
            r#"{"header":{"cluster_id":"1","revision":"2"},"succeeded":true,
                "responses":[{"response_put":{"header":{"revision":"2"}}}]}"#,
        )
        .unwrap();
        assert!(won.succeeded && won.responses[0].response_range.is_none());
        let empty: RangeAnswer =
            serde_json::from_str(r#"{"header":{"cluster_id":"3","revision":"1"}}"#).unwrap();
        assert_eq!((empty.header, empty.kvs), (Header { cluster_id: 3, revision: 1, raft_term: 0 }, vec![]));
    }

    #[test]
    fn what_is_not_an_answer_is_not_taken_for_an_empty_one() {
        for bad in
            ["{}", "[]", "null", "", r#"{"header":{}}"#, r#"{"header":{"cluster_id":"x","revision":"1"}}"#]
        {
            assert!(serde_json::from_str::<RangeAnswer>(bad).is_err(), "{bad}");
            assert!(serde_json::from_str::<TxnAnswer>(bad).is_err(), "{bad}");
        }
        let unsound =
            r#"{"header":{"cluster_id":"3","revision":"1"},"kvs":[{"key":"%","mod_revision":"1"}]}"#;
        assert!(serde_json::from_str::<RangeAnswer>(unsound).is_err());
    }
}

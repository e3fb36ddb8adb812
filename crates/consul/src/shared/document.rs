//! The document by which one program tells others what Consul answered, in Consul's key-value store.
//!
//! A pointer (JSON, under the key that the leader holds) names the content; the content is JSON, compressed by gzip, cut
//! into parts under keys that carry its SHA-256. The parts are written before the pointer, so nobody reads half of it.

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    sync::Arc,
};

/// What Consul answered, by the names of the questions.
pub type Answers = BTreeMap<String, Answered>;

/// One answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// Its index.
    pub index: u64,
    /// Its value, shaped by [`crate::wire::read`].
    pub value: Arc<Value>,
}

/// What stands under the key that the leader holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pointer {
    /// The content; none before the leader has any.
    pub content: Option<Content>,
    /// Counts up as long as the leader is well.
    pub beat: u64,
}

/// Where the content is, and how to know that it is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// SHA-256 of the compressed bytes, in hexadecimal: the folder of the parts.
    pub sha256: String,
    /// How many parts there are.
    pub parts: usize,
}

/// Why a document is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Somebody else wrote it.
    #[error("it is not a document of rolecall: {0}")]
    Foreign(String),
    /// Another rolecall wrote it.
    #[error(
        "it has version {0}, and this rolecall reads version {VERSION}: run the same rolecall on all hosts"
    )]
    Version(String),
    /// It is not what was written.
    #[error("it is damaged: {0}")]
    Damaged(String),
}

const FORMAT: &str = "rolecall answers";
/// Of the pointer, of the content, and of the shapes of values in it.
const VERSION: u64 = 1;
/// Consul takes values of up to 512 KiB.
pub const PART: usize = 500_000;
/// No more is taken into memory: Consul's own answers are far smaller.
const LARGEST: u64 = 256 << 20;

impl Pointer {
    /// Reads a value of the key-value store.
    pub fn read(text: &str) -> Result<Pointer, Refused> {
        let foreign = |why: &str| Refused::Foreign(why.into());
        let value: Value = serde_json::from_str(text).map_err(|_| foreign("its pointer is no JSON"))?;
        if value["format"] != FORMAT {
            return Err(foreign("its pointer names another format"));
        }
        if value["version"] != VERSION {
            return Err(Refused::Version(value["version"].to_string()));
        }
        let damaged = || Refused::Damaged("its pointer is not whole".into());
        let content = match &value["content"] {
            Value::Null => None,
            content => Some(Content::read(content).ok_or_else(damaged)?),
        };
        Ok(Pointer { content, beat: value["beat"].as_u64().ok_or_else(damaged)? })
    }

    /// As a value of the key-value store.
    #[must_use]
    pub fn show(&self) -> String {
        let content = self.content.as_ref().map(|at| json!({"sha256": at.sha256, "parts": at.parts}));
        json!({"format": FORMAT, "version": VERSION, "beat": self.beat, "content": content}).to_string()
    }
}

impl Content {
    /// The digest becomes part of a path, so it is nothing else.
    fn read(value: &Value) -> Option<Content> {
        let sha256 = value["sha256"].as_str().filter(|sum| sum.len() == 64 && sum.bytes().all(is_hex))?;
        Some(Content { sha256: sha256.into(), parts: usize::try_from(value["parts"].as_u64()?).ok()? })
    }
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

/// The parts of these answers, and what names them. Equal answers have equal parts.
pub fn pack(answers: &Answers) -> std::io::Result<(Content, Vec<Vec<u8>>)> {
    let all: Map<String, Value> = answers
        .iter()
        .map(|(query, answered)| (query.clone(), json!({"index": answered.index, "value": *answered.value})))
        .collect();
    let mut packer = GzEncoder::new(vec![], Compression::default());
    packer.write_all(json!({"answers": all}).to_string().as_bytes())?;
    let bytes = packer.finish()?;
    let parts: Vec<Vec<u8>> = bytes.chunks(PART).map(<[u8]>::to_vec).collect();
    Ok((Content { sha256: digest(&bytes), parts: parts.len() }, parts))
}

/// The answers in these parts.
pub fn unpack(content: &Content, parts: &[Vec<u8>]) -> Result<Answers, Refused> {
    let damaged = |why: String| Refused::Damaged(why);
    if parts.len() != content.parts {
        return Err(damaged(format!("{} of its {} parts are there", parts.len(), content.parts)));
    }
    let bytes = parts.concat();
    if digest(&bytes) != content.sha256 {
        return Err(damaged("its parts are not those that its pointer names".into()));
    }
    let mut text = vec![];
    let read = GzDecoder::new(bytes.as_slice()).take(LARGEST + 1).read_to_end(&mut text);
    read.map_err(|e| damaged(format!("it cannot be unpacked: {e}")))?;
    if text.len() as u64 > LARGEST {
        return Err(damaged(format!("it is larger than {LARGEST} bytes")));
    }
    let mut value: Value = serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
    let Some(Value::Object(all)) = value.get_mut("answers").map(Value::take) else {
        return Err(damaged("it holds no answers".into()));
    };
    let answered = |(query, mut row): (String, Value)| {
        let index = row["index"].as_u64().ok_or_else(|| damaged(format!("{query} has no index")))?;
        let value = row.get_mut("value").ok_or_else(|| damaged(format!("{query} has no value")))?.take();
        Ok((query, Answered { index, value: Arc::new(value) }))
    };
    all.into_iter().map(answered).collect()
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(values: &[(&str, Value)]) -> Answers {
        let answered = |value: &Value| Answered { index: 7, value: Arc::new(value.clone()) };
        values.iter().map(|(query, value)| ((*query).to_owned(), answered(value))).collect()
    }

    /// Text that no compression makes small.
    fn noise(length: usize) -> String {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'!' + (state >> 58) as u8)
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        for (all, parts) in [
            (answers(&[]), 1),
            (answers(&[("kv/a", json!(null)), ("health/service/web", json!([{"ID": "ü"}]))]), 1),
            (answers(&[("kv/a", json!(noise(2_000_000)))]), 4),
        ] {
            let (content, packed) = pack(&all).unwrap();
            assert_eq!((packed.len(), content.parts), (parts, parts));
            assert!(packed.iter().all(|part| part.len() <= PART));
            let pointer = Pointer { content: Some(content.clone()), beat: 3 };
            assert_eq!(Pointer::read(&pointer.show()).as_ref(), Ok(&pointer));
            assert_eq!(unpack(&content, &packed).as_ref(), Ok(&all));
            assert_eq!(pack(&all).unwrap().0, content, "equal answers, equal content");
        }
        assert_eq!(Pointer::read(&Pointer::default().show()), Ok(Pointer::default()));
    }

    #[test]
    fn the_format_is_as_written_down() {
        let pointer = Pointer { content: Some(Content { sha256: "a".repeat(64), parts: 2 }), beat: 9 };
        let expected = json!({"format": "rolecall answers", "version": 1, "beat": 9,
            "content": {"sha256": "a".repeat(64), "parts": 2}});
        assert_eq!(serde_json::from_str::<Value>(&pointer.show()).unwrap(), expected);
        let (_, parts) = pack(&answers(&[("kv/a", json!("x"))])).unwrap();
        let mut text = String::new();
        GzDecoder::new(parts.concat().as_slice()).read_to_string(&mut text).unwrap();
        assert_eq!(text, r#"{"answers":{"kv/a":{"index":7,"value":"x"}}}"#);
    }

    #[test]
    fn what_is_not_ours_or_not_whole_is_refused() {
        let sum = "0".repeat(64);
        for (text, why) in [
            (String::new(), "no JSON"),
            ("__NO_DATA__".into(), "no JSON"),
            ("{}".into(), "another format"),
            (json!({"format": FORMAT, "version": 2, "beat": 1}).to_string(), "version 2"),
            (json!({"format": FORMAT, "version": 1}).to_string(), "not whole"),
            (json!({"format": FORMAT, "version": 1, "beat": 1, "content": {}}).to_string(), "not whole"),
            (
                json!({"format": FORMAT, "version": 1, "beat": 1, "content": {"sha256": "../../x", "parts": 1}})
                    .to_string(),
                "not whole",
            ),
        ] {
            let error = Pointer::read(&text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        let (content, parts) = pack(&answers(&[("kv/a", json!("x"))])).unwrap();
        let flipped = vec![parts[0].iter().map(|byte| byte ^ 1).collect::<Vec<_>>()];
        for (content, parts, why) in [
            (content.clone(), vec![], "0 of its 1 parts"),
            (content.clone(), flipped, "not those that its pointer names"),
            (Content { sha256: sum, ..content.clone() }, parts.clone(), "not those that its pointer names"),
            (Content { sha256: digest(b"x"), parts: 1 }, vec![b"x".to_vec()], "cannot be unpacked"),
        ] {
            let error = unpack(&content, &parts).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        let packed = |text: &str| {
            let mut packer = GzEncoder::new(vec![], Compression::default());
            packer.write_all(text.as_bytes()).unwrap();
            packer.finish().unwrap()
        };
        for text in [
            "",
            "[]",
            r#"{"answers":[]}"#,
            r#"{"answers":{"a":{"value":1}}}"#,
            r#"{"answers":{"a":{"index":1}}}"#,
        ] {
            let bytes = packed(text);
            let content = Content { sha256: digest(&bytes), parts: 1 };
            assert!(unpack(&content, &[bytes]).is_err(), "{text}");
        }
    }
}

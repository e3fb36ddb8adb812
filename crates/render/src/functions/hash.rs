//! Hashes, and texts in other alphabets.

use super::{Function, row, text_at};
use base64::{
    Engine,
    engine::GeneralPurpose,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE},
};
use gotemplate::{Type, Value};
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha2::{Digest, Sha256};
use std::fmt::Write;

const TEXT: Type = Type::Str;

pub(super) const TABLE: &[Function] = &[
    row(
        "sha256Hex",
        &[TEXT],
        TEXT,
        "SHA-256, in hexadecimal",
        (r#"{{ sha256Hex "a" | sprig_trunc 8 }}"#, "ca978112"),
        |_, a| Ok(hex(&Sha256::digest(octets::bytes(text_at(a, 0)))).into()),
    ),
    row(
        "md5sum",
        &[TEXT],
        TEXT,
        "MD5, in hexadecimal",
        (r#"{{ md5sum "a" | sprig_trunc 8 }}"#, "0cc175b9"),
        |_, a| Ok(hex(&Md5::digest(octets::bytes(text_at(a, 0)))).into()),
    ),
    row(
        "hmacSHA256Hex",
        &[TEXT, TEXT],
        TEXT,
        "HMAC-SHA-256 of a message with a key, in hexadecimal",
        (r#"{{ hmacSHA256Hex "message" "key" | sprig_trunc 8 }}"#, "6e9ef29b"),
        |_, a| {
            let mut mac =
                Hmac::<Sha256>::new_from_slice(&octets::bytes(text_at(a, 1))).map_err(|e| e.to_string())?;
            mac.update(&octets::bytes(text_at(a, 0)));
            Ok(hex(&mac.finalize().into_bytes()).into())
        },
    ),
    row("base64Encode", &[TEXT], TEXT, "in base64", (r#"{{ base64Encode "hello" }}"#, "aGVsbG8="), |_, a| {
        Ok(BASE64_STANDARD.encode(octets::bytes(text_at(a, 0))).into())
    }),
    row(
        "base64Decode",
        &[TEXT],
        TEXT,
        "out of base64",
        (r#"{{ base64Decode "aGVsbG8=" }}"#, "hello"),
        |_, a| decode("base64Decode", &BASE64_STANDARD, text_at(a, 0)),
    ),
    row(
        "base64URLEncode",
        &[TEXT],
        TEXT,
        "in base64 for URLs",
        (r#"{{ base64URLEncode "a?>" }}"#, "YT8-"),
        |_, a| Ok(BASE64_URL_SAFE.encode(octets::bytes(text_at(a, 0))).into()),
    ),
    row(
        "base64URLDecode",
        &[TEXT],
        TEXT,
        "out of base64 for URLs",
        (r#"{{ base64URLDecode "YT8-" }}"#, "a?>"),
        |_, a| decode("base64URLDecode", &BASE64_URL_SAFE, text_at(a, 0)),
    ),
];

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn decode(name: &str, engine: &GeneralPurpose, text: &str) -> Result<Value, String> {
    let plain: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    match engine.decode(&plain) {
        Ok(bytes) => Ok(octets::text(&bytes).into()),
        Err(error) => Err(format!("{name}: illegal base64 data at input byte {}", wrong_at(&plain, error))),
    }
}

/// Go names the first byte of the group that it could not read, or the byte that is no letter of the alphabet.
fn wrong_at(text: &str, error: base64::DecodeError) -> usize {
    match error {
        base64::DecodeError::InvalidByte(at, _) => at,
        base64::DecodeError::InvalidLastSymbol { .. } => text.len().saturating_sub(1),
        base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => text.len() / 4 * 4,
    }
}

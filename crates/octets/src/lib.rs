//! Texts that keep bytes which are no UTF-8: a key of Consul, or what `base64Decode` gives, may be a key store or an
//! image, and must reach its file as it is.
//!
//! In such a text, each byte that is no UTF-8 is one character of a range that Unicode leaves to private use. Whoever
//! needs the bytes (a file, a hash, a length) asks for them; all others see a text.

use std::borrow::Cow;

/// What stands for the byte 0x80 is U+10FF80, and so on to U+10FFFF.
const FIRST: u32 = 0x10_ff00;

/// The bytes as a text; [`bytes`] of it are these again.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match byte(c) {
                // A text that has such a character itself: its own bytes, one by one.
                Some(_) => c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| out.push(stand_in(byte))),
                None => out.push(c),
            }
        }
        out.extend(chunk.invalid().iter().map(|byte| stand_in(*byte)));
    }
    out
}

/// The bytes that a text stands for: its UTF-8, but for bytes that are none.
#[must_use]
pub fn bytes(text: &str) -> Cow<'_, [u8]> {
    if !text.chars().any(|c| byte(c).is_some()) {
        return text.as_bytes().into();
    }
    let mut out = Vec::with_capacity(text.len());
    for c in text.chars() {
        match byte(c) {
            Some(byte) => out.push(byte),
            None => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.into()
}

/// The byte that a character stands for, if it stands for one.
#[must_use]
pub fn byte(c: char) -> Option<u8> {
    u8::try_from((c as u32).checked_sub(FIRST)?).ok().filter(|byte| *byte >= 0x80)
}

/// The text as others see it: U+FFFD for each byte that is no UTF-8.
#[must_use]
pub fn shown(text: &str) -> Cow<'_, str> {
    match text.chars().any(|c| byte(c).is_some()) {
        true => text.chars().map(|c| byte(c).map_or(c, |_| char::REPLACEMENT_CHARACTER)).collect(),
        false => text.into(),
    }
}

fn stand_in(byte: u8) -> char {
    char::from_u32(FIRST + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_kept() {
        for (given, letters) in [
            (&b"plain \xc3\xa9"[..], 7),
            (b"\x00\xff\xfe\x01abc", 7),
            (b"\xc3", 1),
            (b"a\xe2\x82b", 4),
            (b"\xf4\x8f\xbf\xbf", 4),
            (b"", 0),
        ] {
            let text = text(given);
            assert_eq!((&*bytes(&text), text.chars().count()), (given, letters), "{given:?}");
        }
        assert_eq!(shown(&text(b"a\xff")), "a\u{fffd}");
        let all: Vec<u8> = (0..=255).flat_map(|high| [high, 0xbf, high]).collect();
        assert_eq!(&*bytes(&text(&all)), all);
    }
}

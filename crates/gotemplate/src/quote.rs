//! Go's string literals: how a text is quoted, and what a literal means.

use std::fmt::Write;

/// The text in double quotes with Go's escapes; `ascii` escapes all that is not ASCII.
#[must_use]
pub fn quote(text: &str, ascii: bool) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    text.chars().for_each(|c| escape(&mut out, c, '"', ascii));
    out.push('"');
    out
}

/// A character in single quotes.
#[must_use]
pub fn quote_rune(c: char, ascii: bool) -> String {
    let mut out = String::from("'");
    escape(&mut out, c, '\'', ascii);
    out.push('\'');
    out
}

fn escape(out: &mut String, c: char, mark: char, ascii: bool) {
    match c {
        _ if octets::byte(c).is_some() => {
            _ = write!(out, "\\x{:02x}", octets::byte(c).unwrap_or_default());
        }
        '\\' => out.push_str("\\\\"),
        _ if c == mark => {
            out.push('\\');
            out.push(c);
        }
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x0b' => out.push_str("\\v"),
        _ if printable(c) && (c.is_ascii() || !ascii) => out.push(c),
        _ if (c as u32) < 0x80 => _ = write!(out, "\\x{:02x}", c as u32),
        _ if (c as u32) < 0x1_0000 => _ = write!(out, "\\u{:04x}", c as u32),
        _ => _ = write!(out, "\\U{:08x}", c as u32),
    }
}

/// Whether Go shows a character as it is.
pub(crate) fn printable(c: char) -> bool {
    c == ' '
        || !(c.is_control()
            || c.is_whitespace()
            || matches!(c as u32, 0xad | 0xe000..=0xf8ff | 0x200b..=0x200f | 0x2028..=0x202e | 0xfeff))
}

/// What a string literal in double quotes or backquotes, or a character in single quotes, means.
#[must_use]
pub fn unquote(literal: &str) -> Option<String> {
    let mut chars = literal.chars();
    let mark = chars.next()?;
    let inner = chars.as_str().strip_suffix(mark)?;
    if mark == '`' {
        return Some(inner.replace('\r', ""));
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        if c == mark || c == '\n' {
            return None;
        }
        if c != '\\' {
            bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
            continue;
        }
        let escaped = rest.next()?;
        let plain = match escaped {
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 11,
            '\\' => b'\\',
            '\'' | '"' if escaped == mark => mark as u8,
            'x' => hex(&mut rest, 2)? as u8,
            'u' | 'U' => {
                let c = char::from_u32(hex(&mut rest, if escaped == 'u' { 4 } else { 8 })?)?;
                bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
                continue;
            }
            '0'..='7' => {
                let digits: String = std::iter::once(escaped).chain(rest.by_ref().take(2)).collect();
                u8::from_str_radix(&digits, 8).ok().filter(|_| digits.len() == 3)?
            }
            _ => return None,
        };
        bytes.push(plain);
    }
    Some(octets::text(&bytes))
}

fn hex(rest: &mut std::str::Chars, digits: usize) -> Option<u32> {
    let text: String = rest.by_ref().take(digits).collect();
    u32::from_str_radix(&text, 16).ok().filter(|_| text.len() == digits)
}

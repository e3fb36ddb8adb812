//! Bytes as a configuration can write them, and where they have to be found.

/// Bytes that an answer must have: anywhere, or at its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    bytes: Vec<u8>,
    first: bool,
}

impl Pattern {
    /// Reads text with escapes as [`bytes`] does; `^` before it means the beginning.
    pub fn read(text: &str) -> Result<Pattern, String> {
        let (text, first) = text.strip_prefix('^').map_or((text, false), |rest| (rest, true));
        let bytes = bytes(text)?;
        if bytes.is_empty() {
            return Err("is empty, which every answer has".into());
        }
        Ok(Pattern { bytes, first })
    }

    /// Whether an answer has it.
    #[must_use]
    pub fn is_in(&self, answer: &[u8]) -> bool {
        if self.first {
            answer.starts_with(&self.bytes)
        } else {
            answer.windows(self.bytes.len()).any(|window| window == self.bytes)
        }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let first = match (self.first, self.bytes.first()) {
            (true, _) => "^",
            (false, Some(b'^')) => "\\",
            _ => "",
        };
        write!(f, "{first}{}", show(&self.bytes))
    }
}

/// Text with `\r`, `\n`, `\t`, `\0`, `\\`, `\^` and `\xNN`, beside those that HCL and JSON know themselves.
pub fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = vec![];
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        if next != '\\' {
            bytes.extend(next.to_string().bytes());
            continue;
        }
        bytes.push(match rest.next() {
            Some('r') => b'\r',
            Some('n') => b'\n',
            Some('t') => b'\t',
            Some('0') => 0,
            Some('\\') => b'\\',
            Some('^') => b'^',
            Some('"') => b'"',
            Some('\'') => b'\'',
            Some('x') => {
                let digits: String = rest.by_ref().take(2).collect();
                let plain = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                let byte = u8::from_str_radix(&digits, 16).ok().filter(|_| plain);
                byte.ok_or_else(|| format!("\\x{digits} is no byte: two hexadecimal digits are expected"))?
            }
            other => {
                let other = other.map(String::from).unwrap_or_default();
                return Err(format!("\\{other} means nothing: \\r \\n \\t \\0 \\\\ \\^ and \\xNN do"));
            }
        });
    }
    Ok(bytes)
}

/// Bytes as text, as [`bytes`] reads it.
#[must_use]
pub fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_as_text() {
        for (text, read) in [
            ("PING\\r\\n", Ok(b"PING\r\n".to_vec())),
            ("\\x00\\xff\\0\\t\\\\\\^", Ok(vec![0, 255, 0, 9, b'\\', b'^'])),
            ("grün", Ok("grün".as_bytes().to_vec())),
            ("", Ok(vec![])),
            ("\\q", Err("\\q means nothing")),
            ("end\\", Err("\\ means nothing")),
            ("\\x1", Err("\\x1 is no byte")),
            ("\\x+1", Err("\\x+1 is no byte")),
        ] {
            match (bytes(text), read) {
                (Err(why), Err(part)) => assert!(why.contains(part), "{why}"),
                (found, wanted) => assert_eq!(found.ok(), wanted.ok(), "{text}"),
            }
        }
    }

    #[test]
    fn a_pattern_is_anywhere_or_at_the_beginning() {
        for (pattern, answer, found) in [
            ("leader", &b"Mode: leader\n"[..], true),
            ("^leader", b"Mode: leader\n", false),
            ("^Mode: ", b"Mode: leader\n", true),
            ("\\^leader", b"a ^leader", true),
            ("\\x00\\x01", &[7, 0, 1], true),
            ("leader", b"lead", false),
            ("leader", b"", false),
        ] {
            assert_eq!(Pattern::read(pattern).unwrap().is_in(answer), found, "{pattern}");
        }
        assert!(Pattern::read("^").is_err());
        for text in ["^a\\r\\x80", "\\^a", "a\\\"\\'\\\\"] {
            assert_eq!(Pattern::read(text).unwrap().to_string(), text);
        }
    }
}

//! HCL 1 text into words, strings and signs, as HashiCorp's scanner reads it: neither strings nor heredocs have
//! variables, `${…}` stands for itself.

/// What a piece of text is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A key, or `true`, `false`, `null`; may hold dots and dashes.
    Word(String),
    /// As written.
    Number(String),
    /// A quoted string or a heredoc.
    Text(String),
    /// `{`, `}`, `[`, `]`, `=`, `:` or `,`.
    Sign(char),
    /// Something that HCL does not have.
    Strange(char),
    /// The text is over.
    End,
}

/// A token that cannot be read: where, and why.
#[derive(Debug, PartialEq)]
pub(super) struct Unread {
    pub(super) at: usize,
    pub(super) why: String,
}

/// Reads one token after the other.
pub(super) struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn of(text: &'a str) -> Tokens<'a> {
        Tokens { text, at: text.len() - text.trim_start_matches('\u{feff}').len() }
    }

    /// The next token and where it begins.
    pub(super) fn next(&mut self) -> Result<(usize, Token), Unread> {
        self.blanks()?;
        let (start, rest) = (self.at, self.rest());
        let token = match rest.chars().next() {
            None => Token::End,
            Some('"') => Token::Text(self.string()?),
            Some('<') if rest.starts_with("<<") => Token::Text(self.heredoc()?),
            Some(sign @ ('{' | '}' | '[' | ']' | '=' | ':' | ',')) => {
                self.at += 1;
                Token::Sign(sign)
            }
            Some(first) if first.is_ascii_digit() || "-.".contains(first) => Token::Number(self.number()),
            Some(first) if first == '_' || first.is_alphabetic() => {
                let ends = |c: char| !(c.is_alphanumeric() || "_-.".contains(c));
                Token::Word(self.take(rest.find(ends).unwrap_or(rest.len())).to_owned())
            }
            Some(other) => {
                self.at += other.len_utf8();
                Token::Strange(other)
            }
        };
        Ok((start, token))
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn take(&mut self, length: usize) -> &'a str {
        let taken = &self.rest()[..length];
        self.at += length;
        taken
    }

    /// Passes over blanks and comments.
    fn blanks(&mut self) -> Result<(), Unread> {
        loop {
            let rest = self.rest().trim_start();
            self.at = self.text.len() - rest.len();
            if rest.starts_with('#') || rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if let Some(comment) = rest.strip_prefix("/*") {
                let length = comment.find("*/").ok_or_else(|| self.unread("the comment has no end: */"))?;
                self.at += length + 4;
            } else {
                return Ok(());
            }
        }
    }

    fn number(&mut self) -> String {
        let rest = self.rest();
        let mut before = '-';
        let inside = |c: char| {
            let signed = "+-".contains(c) && matches!(before, '-' | 'e' | 'E');
            before = if before == '-' { '0' } else { c };
            c.is_ascii_alphanumeric() || c == '.' || signed
        };
        let length = rest.len() - rest.trim_start_matches(inside).len();
        self.take(length).to_owned()
    }

    /// A string in quotes. Within `${…}` neither quotes nor backslashes mean anything.
    fn string(&mut self) -> Result<String, Unread> {
        let start = self.at;
        let mut out = String::new();
        self.at += 1;
        let mut depth = 0usize;
        loop {
            let rest = self.rest();
            let Some(c) = rest.chars().next().filter(|c| depth > 0 || *c != '\n') else {
                let why =
                    if depth > 0 { "the string has a `${` without `}`" } else { "the string has no end" };
                return Err(Unread { at: start, why: why.into() });
            };
            self.at += c.len_utf8();
            match c {
                '"' if depth == 0 => return Ok(out),
                '\\' if depth == 0 => out.push(self.escaped()?),
                '$' if depth == 0 && rest.starts_with("${") => {
                    self.at += 1;
                    depth = 1;
                    out.push_str("${");
                }
                _ => {
                    match c {
                        '{' if depth > 0 => depth += 1,
                        '}' => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    out.push(c);
                }
            }
        }
    }

    /// What follows a backslash, as Go's strings have it.
    fn escaped(&mut self) -> Result<char, Unread> {
        let rest = self.rest();
        let Some(c) = rest.chars().next() else { return Ok('\\') };
        let simple = match c {
            'a' => Some('\u{7}'),
            'b' => Some('\u{8}'),
            'f' => Some('\u{c}'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\u{b}'),
            '\\' | '"' => Some(c),
            _ => None,
        };
        if let Some(simple) = simple {
            self.at += 1;
            return Ok(simple);
        }
        let (skip, length, radix) = match c {
            'x' => (1, 2, 16),
            'u' => (1, 4, 16),
            'U' => (1, 8, 16),
            '0'..='7' => (0, 3, 8),
            _ => (0, 0, 10),
        };
        let digits = rest.get(skip..skip + length).filter(|digits| digits.chars().all(|c| c.is_digit(radix)));
        let found =
            digits.and_then(|digits| u32::from_str_radix(digits, radix).ok()).and_then(char::from_u32);
        let found = found
            .ok_or_else(|| self.unread(&format!("a string has no `\\{c}`; write `\\\\` for a backslash")))?;
        self.at += skip + length;
        Ok(found)
    }

    /// `<<NAME` to a line that holds only NAME; after `<<-` the indentation of that line is taken from each line, if
    /// each has it.
    fn heredoc(&mut self) -> Result<String, Unread> {
        let start = self.at;
        let no_end =
            |name: &str| Unread { at: start, why: format!("the heredoc has no end: a line `{name}`") };
        let mut lines = self.rest().split_inclusive('\n');
        let first = lines.next().unwrap_or_default();
        let name = first[2..].trim_start_matches('-').trim();
        if name.is_empty() {
            return Err(Unread { at: start, why: "the heredoc has no name: write <<NAME".into() });
        }
        let (dedents, begin) = (first.starts_with("<<-"), start + first.len());
        self.at = begin;
        for line in lines {
            let bare = line.trim_end_matches(['\n', '\r']);
            if bare.trim_start_matches([' ', '\t']) == name {
                let body = &self.text[begin..self.at];
                self.at += bare.len();
                let indent = &bare[..bare.len() - name.len()];
                // HCL keeps the blanks before NAME in the text, unless it takes them away from all lines.
                return Ok(if dedents { without_indent(body, indent) } else { format!("{body}{indent}") });
            }
            self.at += line.len();
        }
        Err(no_end(name))
    }

    fn unread(&self, why: &str) -> Unread {
        Unread { at: self.at, why: why.to_owned() }
    }
}

fn without_indent(body: &str, indent: &str) -> String {
    let lines = body.split_inclusive('\n');
    let shorter: Option<String> = lines.map(|line| line.strip_prefix(indent)).collect();
    shorter.unwrap_or_else(|| body.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Result<Token, String> {
        Tokens::of(text)
            .next()
            .map(|(_, token)| token)
            .map_err(|unread| format!("{}: {}", unread.at, unread.why))
    }

    #[test]
    fn words_numbers_and_comments() {
        for (text, wanted) in [
            ("# why\n // and\n/* how = 1 */ key", Token::Word("key".into())),
            ("a.b-c_d=1", Token::Word("a.b-c_d".into())),
            ("0600 ", Token::Number("0600".into())),
            ("-5}", Token::Number("-5".into())),
            ("1.5e-3]", Token::Number("1.5e-3".into())),
            ("0x1F,", Token::Number("0x1F".into())),
            ("1+2", Token::Number("1".into())),
            ("{", Token::Sign('{')),
            ("(", Token::Strange('(')),
            ("\u{feff}a", Token::Word("a".into())),
            (" ", Token::End),
        ] {
            assert_eq!(one(text), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn strings_as_go_reads_them() {
        for (text, wanted) in [
            (r#""a\n\t\"\\\x41\u00e9\101" x"#, Ok("a\n\t\"\\AéA")),
            (r#""\101""#, Ok("A")),
            (r#""echo ${HOME} $${x} %{y} $(z)""#, Ok("echo ${HOME} $${x} %{y} $(z)")),
            (r#""${join(",", "a\b")}""#, Ok(r#"${join(",", "a\b")}"#)),
            ("\"${\n}\"", Ok("${\n}")),
            ("\"a\nb\"", Err("0: the string has no end")),
            ("\"${a\"", Err("0: the string has a `${` without `}`")),
            (r#""\.""#, Err("2: a string has no `\\.`; write `\\\\` for a backslash")),
            (r#""\ud800""#, Err("2: a string has no `\\u`; write `\\\\` for a backslash")),
            ("/* a", Err("0: the comment has no end: */")),
        ] {
            let wanted = wanted.map(|text: &str| Token::Text(text.into())).map_err(str::to_owned);
            assert_eq!(one(text), wanted, "{text}");
        }
    }

    #[test]
    fn heredocs_are_taken_as_they_stand() {
        for (text, wanted) in [
            (
                "<<EOF\n{{ range }} %{+Q}r ${x} \\n \"\n  EOF2\nEOF\n",
                Ok("{{ range }} %{+Q}r ${x} \\n \"\n  EOF2\n"),
            ),
            ("<<EOF\r\na\r\nEOF\r\n", Ok("a\r\n")),
            ("<<EOF\na\n  EOF\n", Ok("a\n  ")),
            ("<<-EOF\n    a\n      b\n    EOF\n", Ok("a\n  b\n")),
            ("<<-EOF\n  a\n b\n  EOF\n", Ok("  a\n b\n")),
            ("<<EOF\nEOF", Ok("")),
            ("<<EOF\na\n", Err("0: the heredoc has no end: a line `EOF`")),
            ("<<\na\n", Err("0: the heredoc has no name: write <<NAME")),
        ] {
            let wanted = wanted.map(|text: &str| Token::Text(text.into())).map_err(str::to_owned);
            assert_eq!(one(text), wanted, "{text}");
        }
    }
}

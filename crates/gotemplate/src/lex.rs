//! Cuts a template's text into tokens, with the whitespace trimmed where `{{-` and `-}}` say so.

/// A piece of the template.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token<'t> {
    pub(crate) kind: Kind,
    pub(crate) at: usize,
    pub(crate) text: &'t str,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Open,
    Close,
    Space,
    Name,
    Keyword,
    Bool,
    Nil,
    Number,
    Char,
    Quoted,
    Dot,
    Field,
    Variable,
    Assign,
    Declare,
    Pipe,
    LeftParen,
    RightParen,
    Other,
    End,
}

/// What is wrong, and where.
#[derive(Debug)]
pub(crate) struct LexError {
    pub(crate) at: usize,
    pub(crate) why: String,
}

const KEYWORDS: [&str; 10] =
    ["block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"];

/// The tokens of a template, ended by [`Kind::End`]; an error is found only when the parser gets there.
pub(crate) fn lex<'t>(text: &'t str, open: &'t str, close: &'t str) -> (Vec<Token<'t>>, Option<LexError>) {
    let mut lexer = Lexer { text, open, close, at: 0, tokens: vec![], parens: 0 };
    let error = lexer.run().err();
    (lexer.tokens, error)
}

struct Lexer<'t> {
    text: &'t str,
    open: &'t str,
    close: &'t str,
    at: usize,
    tokens: Vec<Token<'t>>,
    parens: usize,
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn fail<T>(&self, why: impl Into<String>) -> Result<T, LexError> {
        Err(LexError { at: self.at, why: why.into() })
    }

    /// A token from `start` to here.
    fn emit(&mut self, kind: Kind, start: usize) {
        self.tokens.push(Token { kind, at: start, text: &self.text[start..self.at] });
    }

    fn run(&mut self) -> Result<(), LexError> {
        loop {
            let start = self.at;
            let Some(found) = self.rest().find(self.open) else {
                self.at = self.text.len();
                if start < self.at {
                    self.emit(Kind::Text, start);
                }
                self.emit(Kind::End, self.at);
                return Ok(());
            };
            let open = start + found;
            let inside = &self.text[open + self.open.len()..];
            let trims = inside.starts_with('-') && inside[1..].starts_with(is_blank);
            let mut text = &self.text[start..open];
            if trims {
                text = text.trim_end_matches(is_blank);
            }
            if !text.is_empty() {
                self.tokens.push(Token { kind: Kind::Text, at: start, text });
            }
            self.at = open + self.open.len();
            let marker = if trims { 2 } else { 0 };
            if self.rest()[marker..].starts_with("/*") {
                self.at += marker;
                self.comment()?;
                continue;
            }
            self.emit(Kind::Open, open);
            // Only the dash: the blank behind it is a token, as any.
            self.at += marker;
            self.parens = 0;
            while !self.action()? {}
        }
    }

    fn comment(&mut self) -> Result<(), LexError> {
        let Some(end) = self.rest().find("*/") else { return self.fail("unclosed comment") };
        self.at += end + 2;
        match self.closing() {
            Some(trims) => {
                self.close(trims, false);
                Ok(())
            }
            None => self.fail("comment ends before closing delimiter"),
        }
    }

    /// Whether an action ends here, and if so, whether what follows is trimmed.
    fn closing(&self) -> Option<bool> {
        let rest = self.rest();
        let mut chars = rest.chars();
        if chars.next().is_some_and(is_blank)
            && chars.next() == Some('-')
            && chars.as_str().starts_with(self.close)
        {
            return Some(true);
        }
        rest.starts_with(self.close).then_some(false)
    }

    fn close(&mut self, trims: bool, emit: bool) {
        if trims {
            self.at += 2;
        }
        let start = self.at;
        self.at += self.close.len();
        if emit {
            self.emit(Kind::Close, start);
        }
        if trims {
            self.at += self.rest().len() - self.rest().trim_start_matches(is_blank).len();
        }
    }

    /// One token inside an action; true when it was the action's end.
    fn action(&mut self) -> Result<bool, LexError> {
        if let Some(trims) = self.closing() {
            if self.parens > 0 {
                return self.fail("unclosed left paren");
            }
            self.close(trims, true);
            return Ok(true);
        }
        let start = self.at;
        let Some(c) = self.peek() else { return self.fail("unclosed action") };
        self.at += c.len_utf8();
        let kind = match c {
            _ if is_blank(c) => {
                while self.closing().is_none() && self.peek().is_some_and(is_blank) {
                    self.at += 1;
                }
                Kind::Space
            }
            '=' => Kind::Assign,
            ':' if self.peek() == Some('=') => {
                self.at += 1;
                Kind::Declare
            }
            ':' => return self.fail("expected :="),
            '|' => Kind::Pipe,
            '"' => self.until('"', "unterminated quoted string", Kind::Quoted)?,
            '\'' => self.until('\'', "unterminated character constant", Kind::Char)?,
            '`' => match self.rest().find('`') {
                Some(end) => {
                    self.at += end + 1;
                    Kind::Quoted
                }
                None => return self.fail("unterminated raw quoted string"),
            },
            '$' => self.word(Kind::Variable)?,
            '.' if !self.peek().is_some_and(|c| c.is_ascii_digit()) => self.word(Kind::Field)?,
            '(' => {
                self.parens += 1;
                Kind::LeftParen
            }
            ')' if self.parens > 0 => {
                self.parens -= 1;
                Kind::RightParen
            }
            ')' => return self.fail("unexpected right paren"),
            '+' | '-' | '.' | '0'..='9' => {
                self.at = start;
                self.number()?
            }
            _ if is_word(c) => self.word(Kind::Name)?,
            '!'..='~' => Kind::Other,
            _ => return self.fail(format!("unrecognized character in action: {}", code(c))),
        };
        self.emit(kind, start);
        if kind == Kind::Name {
            self.known();
        } else if kind == Kind::Field && self.at == start + 1 {
            self.retype(Kind::Dot);
        }
        Ok(false)
    }

    fn retype(&mut self, kind: Kind) {
        if let Some(last) = self.tokens.last_mut() {
            last.kind = kind;
        }
    }

    /// Names that mean something of their own.
    fn known(&mut self) {
        let word = self.tokens.last().map_or("", |token| token.text);
        match word {
            "true" | "false" => self.retype(Kind::Bool),
            "nil" => self.retype(Kind::Nil),
            _ if KEYWORDS.contains(&word) => self.retype(Kind::Keyword),
            _ => {}
        }
    }

    fn until(&mut self, mark: char, why: &str, kind: Kind) -> Result<Kind, LexError> {
        loop {
            let Some(c) = self.peek() else { return self.fail(why) };
            self.at += c.len_utf8();
            match c {
                '\\' => match self.peek() {
                    Some(next) if next != '\n' => self.at += next.len_utf8(),
                    _ => return self.fail(why),
                },
                '\n' => return self.fail(why),
                _ if c == mark => return Ok(kind),
                _ => {}
            }
        }
    }

    fn word(&mut self, kind: Kind) -> Result<Kind, LexError> {
        while let Some(c) = self.peek().filter(|c| is_word(*c)) {
            self.at += c.len_utf8();
        }
        match self.peek() {
            None => Ok(kind),
            Some(c) if is_blank(c) || ".,|:)(".contains(c) || self.rest().starts_with(self.close) => Ok(kind),
            Some(c) => {
                let why = format!("bad character {}", code(c));
                self.at += c.len_utf8();
                self.fail(why)
            }
        }
    }

    fn number(&mut self) -> Result<Kind, LexError> {
        let start = self.at;
        self.take_one("+-");
        let mut digits = "0123456789_";
        if self.take_one("0") {
            if self.take_one("xX") {
                digits = "0123456789abcdefABCDEF_";
            } else if self.take_one("oO") {
                digits = "01234567_";
            } else if self.take_one("bB") {
                digits = "01_";
            }
        }
        self.take_all(digits);
        if self.take_one(".") {
            self.take_all(digits);
        }
        let exponent = if digits.len() == 11 {
            "eE"
        } else if digits.len() == 23 {
            "pP"
        } else {
            ""
        };
        if self.take_one(exponent) {
            self.take_one("+-");
            self.take_all("0123456789_");
        }
        let text = &self.text[start..self.at];
        if self.peek().is_some_and(is_word) || !text.contains(|c: char| c.is_ascii_hexdigit()) {
            self.at += self.peek().map_or(0, char::len_utf8);
            return self.fail(format!(
                "bad number syntax: {}",
                crate::quote::quote(&self.text[start..self.at], false)
            ));
        }
        Ok(Kind::Number)
    }

    fn take_one(&mut self, of: &str) -> bool {
        let found = self.peek().is_some_and(|c| of.contains(c));
        self.at += usize::from(found);
        found
    }

    fn take_all(&mut self, of: &str) {
        while self.take_one(of) {}
    }
}

/// `U+0040 '@'`
fn code(c: char) -> String {
    format!("U+{:04X} '{c}'", c as u32)
}

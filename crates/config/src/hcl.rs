//! HCL 1, which consul-template's users write, into the located tree: `key = value`, `key { … }`, lists and objects.
//! Commas and line ends between keys are at the writer's choice.

mod tokens;

use crate::{
    Mistakes, Place,
    source::Source,
    tree::{Node, Table, Value},
};
use tokens::{Token, Tokens, Unread};

/// Deeper than any configuration, and no danger to the stack.
const DEEPEST: usize = 100;

/// Reads HCL; what cannot be read is told to `mistakes`.
pub(crate) fn parse(source: &Source<'_>, mistakes: &mut Mistakes) -> Table {
    let mut reader =
        Reader { source, tokens: Tokens::of(source.text), ahead: (0, Token::End), behind: 0, mistakes };
    match reader.advance().and_then(|_| reader.body("", 0)) {
        Ok(table) => table,
        Err(Unread { at, why }) => {
            mistakes.note(source.exact_place(at), "", format!("syntax error: {why}"));
            Table::new()
        }
    }
}

struct Reader<'a> {
    source: &'a Source<'a>,
    tokens: Tokens<'a>,
    /// The next token and where it is.
    ahead: (usize, Token),
    /// Where the last one was.
    behind: usize,
    mistakes: &'a mut Mistakes,
}

impl Reader<'_> {
    fn advance(&mut self) -> Result<Token, Unread> {
        let next = self.tokens.next()?;
        self.behind = self.ahead.0;
        Ok(std::mem::replace(&mut self.ahead, next).1)
    }

    fn passes(&mut self, signs: &[char]) -> Result<bool, Unread> {
        let passes = matches!(self.ahead.1, Token::Sign(sign) if signs.contains(&sign));
        if passes {
            self.advance()?;
        }
        Ok(passes)
    }

    /// Keys up to a closing brace, or to the end of the text where there is none to close.
    fn body(&mut self, path: &str, depth: usize) -> Result<Table, Unread> {
        let mut table = Table::new();
        loop {
            while self.passes(&[','])? {}
            match &self.ahead.1 {
                Token::Sign('}') if depth > 0 => {
                    self.advance()?;
                    return Ok(table);
                }
                Token::End if depth == 0 => return Ok(table),
                Token::Word(_) | Token::Text(_) => {
                    let (key, node) = self.item(path, depth)?;
                    table.entry(key).or_default().push(node);
                }
                Token::End => return Err(self.expected("`}`")),
                _ => return Err(self.expected("a key")),
            }
        }
    }

    /// `key = value`, `key { … }` or `key "label" { … }`.
    fn item(&mut self, path: &str, depth: usize) -> Result<(String, Node), Unread> {
        let place = self.source.place(self.ahead.0);
        let mut names = vec![];
        while let Token::Word(name) | Token::Text(name) = &self.ahead.1 {
            names.push(name.clone());
            self.advance()?;
        }
        let path = names.iter().fold(path.to_owned(), |path, name| join(&path, name));
        let labels = names.split_off(1);
        let value = if self.passes(&['=', ':'])? {
            match labels[..] {
                [] => self.value(&path, depth)?,
                _ => return Err(self.expected("`{` after a label")),
            }
        } else if self.passes(&['{'])? {
            self.block(labels, &path, place.clone(), depth)?
        } else {
            return Err(self.expected("`=` or `{`"));
        };
        Ok((names.remove(0), Node { place, value }))
    }

    fn block(
        &mut self,
        labels: Vec<String>,
        path: &str,
        place: Place,
        depth: usize,
    ) -> Result<Value, Unread> {
        let body = self.deeper(path, depth)?;
        Ok(match <[String; 1]>::try_from(labels) {
            Ok([label]) => Value::Block(Some(label), body),
            Err(none) if none.is_empty() => Value::Block(None, body),
            Err(_) => {
                self.mistakes.note(place, path, "a block has at most one label");
                Value::Wrong
            }
        })
    }

    fn deeper(&mut self, path: &str, depth: usize) -> Result<Table, Unread> {
        if depth >= DEEPEST {
            return Err(Unread {
                at: self.ahead.0,
                why: format!("more than {DEEPEST} braces within each other"),
            });
        }
        self.body(path, depth + 1)
    }

    fn value(&mut self, path: &str, depth: usize) -> Result<Value, Unread> {
        let value = match &self.ahead.1 {
            Token::Text(text) => Value::Text(text.clone()),
            Token::Number(digits) => Value::Number(digits.clone()),
            Token::Word(word) if word == "true" => Value::Bool(true),
            Token::Word(word) if word == "false" => Value::Bool(false),
            Token::Word(word) if word == "null" => Value::Null,
            Token::Sign('{') => {
                self.advance()?;
                return Ok(Value::Object(self.deeper(path, depth)?));
            }
            Token::Sign('[') => {
                self.advance()?;
                return self.list(path, depth);
            }
            _ => return Err(self.expected("a value")),
        };
        self.advance()?;
        Ok(value)
    }

    fn list(&mut self, path: &str, depth: usize) -> Result<Value, Unread> {
        if depth >= DEEPEST {
            return Err(Unread {
                at: self.ahead.0,
                why: format!("more than {DEEPEST} brackets within each other"),
            });
        }
        let mut nodes = vec![];
        loop {
            if self.passes(&[']'])? {
                return Ok(Value::List(nodes));
            }
            let place = self.source.place(self.ahead.0);
            nodes.push(Node { place, value: self.value(&format!("{path}[{}]", nodes.len()), depth + 1)? });
            if !self.passes(&[','])? && self.ahead.1 != Token::Sign(']') {
                return Err(self.expected("`,` or `]`"));
            }
        }
    }

    fn expected(&self, what: &str) -> Unread {
        let why = match &self.ahead.1 {
            Token::End => format!("expected {what}, found the end of the file"),
            Token::Word(word) => format!(
                "expected {what}, found {word}; there are no variables or functions: write the value itself, a string in quotes"
            ),
            Token::Number(digits) => format!("expected {what}, found {digits}"),
            Token::Text(_) => format!("expected {what}, found a string"),
            Token::Sign(sign) => format!("expected {what}, found `{sign}`"),
            Token::Strange(sign) => {
                format!("expected {what}, found `{sign}`; there are no variables or functions")
            }
        };
        // Where a line ends too early, it is that line which is wrong.
        let between = self.source.text.get(self.behind..self.ahead.0).unwrap_or_default();
        let early = what == "a value" && between.contains('\n');
        Unread { at: if early { self.behind } else { self.ahead.0 }, why }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

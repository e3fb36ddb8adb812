//! From tokens to trees. What Go refuses when it parses is refused here, in its words.

mod expression;
mod number;

use crate::{
    host::Signature,
    lex::{Kind, LexError, Token, lex},
    quote::{quote, unquote},
    tree::{Branch, Call, Node, Trees},
};
use std::sync::Arc;

/// Deeper nesting than this could not be evaluated in bounded stack.
const DEEPEST: usize = 100;

/// Why a text is no template: the line, and what is wrong.
#[derive(Debug)]
pub(crate) struct ParseError {
    pub(crate) line: usize,
    pub(crate) why: String,
}

/// Parses the template `name`.
pub(crate) fn parse(
    name: &str,
    text: &str,
    (open, close): (&str, &str),
    functions: &dyn Fn(&str) -> Option<&'static Signature>,
) -> Result<Trees, ParseError> {
    let open = if open.is_empty() { "{{" } else { open };
    let close = if close.is_empty() { "}}" } else { close };
    let (tokens, error) = lex(text, open, close);
    let mut parser = Parser {
        text,
        tokens: &tokens,
        at: 0,
        error: error.as_ref(),
        functions,
        variables: vec!["$".into()],
        ranges: 0,
        depth: 0,
        trees: Trees { text: text.into(), ..Trees::default() },
        action: None,
    };
    parser.file(name)?;
    Ok(parser.trees)
}

struct Parser<'p> {
    text: &'p str,
    tokens: &'p [Token<'p>],
    at: usize,
    error: Option<&'p LexError>,
    functions: &'p dyn Fn(&str) -> Option<&'static Signature>,
    variables: Vec<String>,
    ranges: usize,
    depth: usize,
    trees: Trees,
    /// Where the action at hand began.
    action: Option<usize>,
}

/// How a list of nodes ended.
enum Ending {
    End,
    Else,
}

type Parsed<T> = Result<T, ParseError>;

impl<'p> Parser<'p> {
    fn line(&self, at: usize) -> usize {
        1 + self.text[..at.min(self.text.len())].matches('\n').count()
    }

    /// An error at the last token taken.
    fn fail<T>(&self, why: impl Into<String>) -> Parsed<T> {
        let at = self.tokens.get(self.at.saturating_sub(1)).map_or(self.text.len(), |token| token.at);
        Err(ParseError { line: self.line(at), why: why.into() })
    }

    fn peek(&mut self) -> Parsed<&'p Token<'p>> {
        match (self.tokens.get(self.at), self.error) {
            (Some(token), _) => Ok(token),
            (None, Some(error)) => {
                let line = self.line(error.at);
                let began = self.action.map(|at| self.line(at)).filter(|began| *began != line);
                let since = began.map(|began| match error.why.ends_with(" action") {
                    true => format!(" started at :{began}"),
                    false => format!(" in action started at :{began}"),
                });
                Err(ParseError { line, why: format!("{}{}", error.why, since.unwrap_or_default()) })
            }
            (None, None) => self.fail("unexpected EOF"),
        }
    }

    fn next(&mut self) -> Parsed<&'p Token<'p>> {
        let token = self.peek()?;
        self.at += 1;
        Ok(token)
    }

    fn peek_solid(&mut self) -> Parsed<&'p Token<'p>> {
        while self.peek()?.kind == Kind::Space {
            self.at += 1;
        }
        self.peek()
    }

    fn next_solid(&mut self) -> Parsed<&'p Token<'p>> {
        self.peek_solid()?;
        self.next()
    }

    fn unexpected<T>(&self, token: &Token, context: &str) -> Parsed<T> {
        let shown = match token.kind {
            Kind::End => "EOF".to_owned(),
            Kind::Keyword => format!("<{}>", token.text),
            _ if token.text.chars().count() > 10 => {
                format!("{}...", quote(&token.text.chars().take(10).collect::<String>(), false))
            }
            _ => quote(token.text, false),
        };
        self.fail(format!("unexpected {shown} in {context}"))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Parsed<&'p Token<'p>> {
        let token = self.next_solid()?;
        if token.kind == kind { Ok(token) } else { self.unexpected(token, context) }
    }

    fn keyword(&mut self) -> Parsed<Option<&'p str>> {
        let token = self.peek_solid()?;
        Ok((token.kind == Kind::Keyword).then_some(token.text))
    }

    fn file(&mut self, name: &str) -> Parsed<()> {
        let mut nodes = vec![];
        loop {
            let token = self.peek()?;
            if token.kind == Kind::End {
                break;
            }
            if token.kind == Kind::Open {
                let before = self.at;
                self.action = Some(token.at);
                self.at += 1;
                if self.keyword()? == Some("define") {
                    self.at += 1;
                    self.define()?;
                    continue;
                }
                self.at = before;
            }
            match self.node()? {
                Ok(node) => nodes.push(node),
                Err(Ending::End) => return self.fail("unexpected {{end}}"),
                Err(Ending::Else) => return self.fail("unexpected {{else}}"),
            }
        }
        self.add(name, nodes)
    }

    fn add(&mut self, name: &str, nodes: Vec<Node>) -> Parsed<()> {
        let empty = |nodes: &[Node]| {
            nodes.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
        };
        match self.trees.named.get(name) {
            Some(known) if !empty(known) => {
                if !empty(&nodes) {
                    return self
                        .fail(format!("template: multiple definition of template {}", quote(name, false)));
                }
            }
            _ => _ = self.trees.named.insert(name.to_owned(), Arc::from(nodes)),
        }
        Ok(())
    }

    fn define(&mut self) -> Parsed<()> {
        let context = "define clause";
        let name = self.template_name(context)?;
        self.expect(Kind::Close, context)?;
        self.definition(&name, context)
    }

    /// The body of a `define` or `block`: it knows no variable of what is around it.
    fn definition(&mut self, name: &str, context: &str) -> Parsed<()> {
        let variables = std::mem::replace(&mut self.variables, vec!["$".into()]);
        let ranges = std::mem::take(&mut self.ranges);
        let (nodes, ending) = self.nodes()?;
        if let Ending::Else = ending {
            return self.fail(format!("unexpected {{{{else}}}} in {context}"));
        }
        (self.variables, self.ranges) = (variables, ranges);
        self.add(name, nodes)
    }

    fn nodes(&mut self) -> Parsed<(Vec<Node>, Ending)> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return self.fail("max expression depth exceeded");
        }
        let mut nodes = vec![];
        loop {
            if self.peek_solid()?.kind == Kind::End {
                self.at += 1;
                return self.fail("unexpected EOF");
            }
            match self.node()? {
                Ok(node) => nodes.push(node),
                Err(ending) => {
                    self.depth -= 1;
                    return Ok((nodes, ending));
                }
            }
        }
    }

    fn node(&mut self) -> Parsed<Result<Node, Ending>> {
        let token = self.next_solid()?;
        match token.kind {
            Kind::Text => Ok(Ok(Node::Text(token.text.into()))),
            Kind::Open => {
                self.action = Some(token.at);
                let node = self.action();
                if node.is_ok() {
                    self.action = None;
                }
                node
            }
            _ => self.unexpected(token, "input"),
        }
    }

    fn action(&mut self) -> Parsed<Result<Node, Ending>> {
        let Some(word) = self.keyword()? else {
            return Ok(Ok(Node::Action(self.pipeline("command", Kind::Close)?)));
        };
        self.at += 1;
        let node = match word {
            "if" => Node::If(self.branch("if")?),
            "with" => Node::With(self.branch("with")?),
            "range" => Node::Range(self.branch("range")?),
            "template" => Node::Template(self.template()?),
            "block" => Node::Template(self.block()?),
            "break" | "continue" => {
                let token = self.next_solid()?;
                if token.kind != Kind::Close {
                    return self.unexpected(token, &format!("{{{{{word}}}}}"));
                }
                if self.ranges == 0 {
                    return self.fail(format!("{{{{{word}}}}} outside {{{{range}}}}"));
                }
                if word == "break" { Node::Break } else { Node::Continue }
            }
            "end" => {
                self.expect(Kind::Close, "end")?;
                return Ok(Err(Ending::End));
            }
            "else" => {
                if !matches!(self.keyword()?, Some("if" | "with")) {
                    self.expect(Kind::Close, "else")?;
                }
                return Ok(Err(Ending::Else));
            }
            _ => {
                self.at -= 1;
                let token = self.next_solid()?;
                return self.unexpected(token, "command");
            }
        };
        Ok(Ok(node))
    }

    fn branch(&mut self, word: &'static str) -> Parsed<Branch> {
        let scope = self.variables.len();
        let pipe = self.pipeline(word, Kind::Close)?;
        self.ranges += usize::from(word == "range");
        let (then, ending) = self.nodes()?;
        self.ranges -= usize::from(word == "range");
        let mut otherwise = vec![];
        if let Ending::Else = ending {
            let chained = self.keyword()?;
            match (word, chained) {
                ("if", Some("if")) => {
                    self.at += 1;
                    otherwise.push(Node::If(self.deeper(|parser| parser.branch("if"))?));
                }
                ("with", Some("with")) => {
                    self.at += 1;
                    otherwise.push(Node::With(self.deeper(|parser| parser.branch("with"))?));
                }
                _ => {
                    let (nodes, ending) = self.nodes()?;
                    if let Ending::Else = ending {
                        return self.fail("expected end; found {{else}}");
                    }
                    otherwise = nodes;
                }
            }
        }
        self.variables.truncate(scope);
        Ok(Branch { pipe, then, otherwise })
    }

    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return self.fail("max expression depth exceeded");
        }
        let parsed = parse(self)?;
        self.depth -= 1;
        Ok(parsed)
    }

    fn template_name(&mut self, context: &str) -> Parsed<String> {
        let token = self.next_solid()?;
        match unquote(token.text) {
            Some(name) if token.kind == Kind::Quoted => Ok(name),
            _ if token.kind == Kind::Quoted => self.fail("invalid syntax"),
            _ => self.unexpected(token, context),
        }
    }

    fn template(&mut self) -> Parsed<Call> {
        let context = "template clause";
        let at = self.peek_solid()?.at;
        let name = self.template_name(context)?;
        let pipe = match self.peek_solid()?.kind {
            Kind::Close => {
                self.at += 1;
                None
            }
            _ => Some(self.pipeline(context, Kind::Close)?),
        };
        Ok(Call { at, name, pipe })
    }

    fn block(&mut self) -> Parsed<Call> {
        let context = "block clause";
        let at = self.peek_solid()?.at;
        let name = self.template_name(context)?;
        let pipe = self.pipeline(context, Kind::Close)?;
        self.definition(&name, context)?;
        Ok(Call { at, name, pipe: Some(pipe) })
    }
}

//! What stands within an action: pipelines, their commands, and what these are made of.

use super::{Parsed, Parser, number::number};
use crate::{
    builtins,
    lex::Kind,
    quote::{quote, unquote},
    tree::{Command, Operand, Pipe, Word},
    value::Value,
};

impl<'p> Parser<'p> {
    pub(super) fn pipeline(&mut self, context: &str, end: Kind) -> Parsed<Pipe> {
        let at = self.peek_solid()?.at;
        let mut pipe = Pipe { at, declared: vec![], assigns: false, commands: vec![] };
        self.declarations(&mut pipe, context)?;
        loop {
            let token = self.next_solid()?;
            match token.kind {
                kind if kind == end => break,
                Kind::Bool
                | Kind::Char
                | Kind::Dot
                | Kind::Field
                | Kind::Name
                | Kind::Number
                | Kind::Nil
                | Kind::Quoted
                | Kind::Variable
                | Kind::LeftParen => {
                    self.at -= 1;
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return self.unexpected(token, context),
            }
        }
        if pipe.commands.is_empty() {
            return self.fail(format!("missing value for {context}"));
        }
        for (n, command) in pipe.commands.iter().enumerate().skip(1) {
            if let Some(Operand::Dot | Operand::Nil | Operand::Literal(..)) =
                command.words.first().map(|word| &word.kind)
            {
                return self.fail(format!("non executable command in pipeline stage {}", n + 1));
            }
        }
        Ok(pipe)
    }

    /// `$x :=`, `$x =`, `$i, $x :=`
    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Parsed<()> {
        loop {
            let token = self.peek_solid()?;
            if token.kind != Kind::Variable {
                return Ok(());
            }
            let before = self.at;
            self.at += 1;
            let next = self.peek_solid()?;
            match next.kind {
                Kind::Assign | Kind::Declare => {
                    pipe.assigns = next.kind == Kind::Assign;
                    self.at += 1;
                    pipe.declared.push(token.text.into());
                    self.variables.push(token.text.into());
                    return Ok(());
                }
                Kind::Other if next.text == "," => {
                    self.at += 1;
                    pipe.declared.push(token.text.into());
                    self.variables.push(token.text.into());
                    if context == "range" && pipe.declared.len() < 2 {
                        match self.peek_solid()?.kind {
                            Kind::Variable | Kind::Close | Kind::RightParen => continue,
                            _ => return self.fail("range can only initialize variables"),
                        }
                    }
                    return self.fail(format!("too many declarations in {context}"));
                }
                _ => {
                    self.at = before;
                    return Ok(());
                }
            }
        }
    }

    fn command(&mut self) -> Parsed<Command> {
        let mut command = Command { at: self.peek_solid()?.at, words: vec![] };
        loop {
            self.peek_solid()?;
            if let Some(word) = self.operand()? {
                command.words.push(word);
            }
            let token = self.next()?;
            match token.kind {
                Kind::Space => continue,
                Kind::Close | Kind::RightParen => self.at -= 1,
                Kind::Pipe => {}
                _ => return self.unexpected(token, "operand"),
            }
            break;
        }
        if command.words.is_empty() {
            return self.fail("empty command");
        }
        Ok(command)
    }

    fn operand(&mut self) -> Parsed<Option<Word>> {
        let Some(first) = self.term()? else { return Ok(None) };
        let chain_at = self.peek()?.at;
        let mut names = vec![];
        while self.peek()?.kind == Kind::Field {
            names.push(self.next()?.text[1..].to_owned());
        }
        if names.is_empty() {
            return Ok(Some(first));
        }
        let kind = match first.kind {
            Operand::Field(mut all) => {
                all.extend(names);
                Operand::Field(all)
            }
            Operand::Variable(mut all) => {
                all.extend(names);
                Operand::Variable(all)
            }
            Operand::Dot | Operand::Nil | Operand::Literal(..) => {
                return self.fail(format!("unexpected . after term {}", quote(&first.to_string(), false)));
            }
            _ => Operand::Chain(Box::new(first), names),
        };
        Ok(Some(Word { at: chain_at, kind }))
    }

    fn term(&mut self) -> Parsed<Option<Word>> {
        let token = self.next_solid()?;
        let literal = |value| Operand::Literal(token.text.into(), value);
        let kind = match token.kind {
            Kind::Name => match (self.functions)(token.text).or_else(|| builtins::signature(token.text)) {
                Some(function) => Operand::Function(function),
                None => return self.fail(format!("function {} not defined", quote(token.text, false))),
            },
            Kind::Dot => Operand::Dot,
            Kind::Nil => Operand::Nil,
            Kind::Variable => {
                if !self.variables.iter().any(|known| known == token.text) {
                    return self.fail(format!("undefined variable {}", quote(token.text, false)));
                }
                Operand::Variable(vec![token.text.to_owned()])
            }
            Kind::Field => Operand::Field(vec![token.text[1..].to_owned()]),
            Kind::Bool => literal(Value::Bool(token.text == "true")),
            Kind::Number => match number(token.text) {
                Ok(value) => literal(value),
                Err(why) => return self.fail(format!("{why}: {}", quote(token.text, false))),
            },
            Kind::Char => match unquote(token.text).and_then(|text| {
                let mut chars = text.chars();
                chars.next().filter(|_| chars.next().is_none())
            }) {
                Some(c) => literal(Value::int(i64::from(c as u32))),
                None => return self.fail(format!("malformed character constant: {}", token.text)),
            },
            Kind::Quoted => match unquote(token.text) {
                Some(text) => literal(Value::text(text)),
                None => return self.fail("invalid syntax"),
            },
            Kind::LeftParen => {
                let pipe =
                    self.deeper(|parser| parser.pipeline("parenthesized pipeline", Kind::RightParen))?;
                return Ok(Some(Word { at: pipe.at, kind: Operand::Pipe(pipe) }));
            }
            _ => {
                self.at -= 1;
                return Ok(None);
            }
        };
        Ok(Some(Word { at: token.at, kind }))
    }
}

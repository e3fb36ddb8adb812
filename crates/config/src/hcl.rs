//! HCL into the located tree.

use crate::{
    Mistakes, Place,
    loose::{Loosened, loosened},
    source::Source,
    tree::{Node, Table, Value},
};
use hcl_edit::{
    Span,
    expr::{Array, Expression, Object, ObjectKey, UnaryOperator},
    structure::{Block, BlockLabel, Body, Structure},
    template::{Element, Template},
};
use std::ops::Range;

const NO_VARIABLES: &str = "rolecall's configuration has no variables; write `$${` for a literal `${`";
const NO_EXPRESSIONS: &str =
    "rolecall's configuration has no variables or functions; write the value itself, a string in quotes";

/// Reads HCL; what cannot be read is told to `mistakes`.
pub(crate) fn parse(source: &Source<'_>, mistakes: &mut Mistakes) -> Table {
    let loose = loosened(source.text);
    match hcl_edit::parser::parse_body(&loose.text) {
        Ok(body) => Reader { source, loose: &loose, mistakes }.body(&body, ""),
        Err(error) => {
            let place = source.exact_place(loose.original(error.location().offset()));
            mistakes.note(place, "", format!("syntax error: {}", error.message()));
            Table::new()
        }
    }
}

struct Reader<'a> {
    source: &'a Source<'a>,
    loose: &'a Loosened,
    mistakes: &'a mut Mistakes,
}

impl Reader<'_> {
    fn body(&mut self, body: &Body, path: &str) -> Table {
        let mut table = Table::new();
        for structure in body {
            let key = match structure {
                Structure::Attribute(attribute) => &attribute.key,
                Structure::Block(block) => &block.ident,
            };
            let (place, path) = (self.place(key.span()), join(path, key));
            let value = match structure {
                Structure::Attribute(attribute) => self.value(&attribute.value, &path, place.clone()),
                Structure::Block(block) => self.block(block, &path, place.clone()),
            };
            table.entry(key.to_string()).or_default().push(Node { place, value });
        }
        table
    }

    fn block(&mut self, block: &Block, path: &str, place: Place) -> Value {
        let labels: Vec<&str> = block.labels.iter().map(BlockLabel::as_str).collect();
        match labels[..] {
            [] => Value::Block(None, self.body(&block.body, path)),
            [label] => Value::Block(Some(label.to_owned()), self.body(&block.body, &join(path, label))),
            _ => self.wrong(place, path, "a block has at most one label"),
        }
    }

    fn value(&mut self, expression: &Expression, path: &str, place: Place) -> Value {
        match expression {
            Expression::Null(_) => Value::Null,
            Expression::Bool(value) => Value::Bool(**value),
            Expression::Number(number) => Value::Number(number.value().to_string()),
            Expression::String(text) => Value::Text(text.value().clone()),
            Expression::HeredocTemplate(heredoc) => self.template(&heredoc.template, path, place),
            Expression::StringTemplate(template) => self.template(template, path, place),
            Expression::Array(array) => self.list(array, path),
            Expression::Object(object) => self.object(object, path),
            Expression::UnaryOp(negated) => match (negated.operator.value(), &negated.expr) {
                (UnaryOperator::Neg, Expression::Number(number)) => {
                    Value::Number(format!("-{}", number.value()))
                }
                _ => self.wrong(place, path, NO_EXPRESSIONS),
            },
            _ => self.wrong(place, path, NO_EXPRESSIONS),
        }
    }

    fn template(&mut self, template: &Template, path: &str, place: Place) -> Value {
        let literals = template.iter().map(|element| match element {
            Element::Literal(text) => Some(text.as_str()),
            _ => None,
        });
        match literals.collect::<Option<String>>() {
            Some(text) => Value::Text(text),
            None => self.wrong(place, path, NO_VARIABLES),
        }
    }

    fn list(&mut self, array: &Array, path: &str) -> Value {
        let nodes = array.iter().enumerate().map(|(i, expression)| {
            let place = self.place(expression.span());
            Node { place: place.clone(), value: self.value(expression, &format!("{path}[{i}]"), place) }
        });
        Value::List(nodes.collect())
    }

    fn object(&mut self, object: &Object, path: &str) -> Value {
        let mut table = Table::new();
        for (key, value) in object {
            let (name, place) = match key {
                ObjectKey::Ident(ident) => (ident.as_str(), self.place(ident.span())),
                ObjectKey::Expression(Expression::String(name)) => (name.as_str(), self.place(name.span())),
                ObjectKey::Expression(other) => {
                    let place = self.place(other.span());
                    return self.wrong(place, path, "the keys of an object are names or strings");
                }
            };
            let value = self.value(value.expr(), &join(path, name), place.clone());
            table.entry(name.to_owned()).or_default().push(Node { place, value });
        }
        Value::Object(table)
    }

    fn wrong(&mut self, place: Place, path: &str, why: &str) -> Value {
        self.mistakes.note(place, path, why);
        Value::Wrong
    }

    fn place(&self, span: Option<Range<usize>>) -> Place {
        self.source.place(self.loose.original(span.map_or(0, |span| span.start)))
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

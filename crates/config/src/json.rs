//! JSON into the located tree. The grammar is that of RFC 8259: no comments, no trailing commas.

use crate::{
    Mistakes,
    source::Source,
    tree::{Node, Table, Value},
};
use jsonc_parser::{ParseOptions, ParseResult, ast, common::Ranged, parse_to_ast};

const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// Reads JSON; what cannot be read is told to `mistakes`.
pub(crate) fn parse(source: &Source<'_>, mistakes: &mut Mistakes) -> Table {
    let (offset, why) = match parse_to_ast(source.text, &Default::default(), &STRICT) {
        Ok(ParseResult { value: Some(ast::Value::Object(object)), .. }) => return table(source, object),
        Ok(parsed) => {
            (parsed.value.map_or(0, |value| value.start()), "expected an object: { \"key\": value }".into())
        }
        Err(error) => (error.range().start, error.kind().to_string().to_lowercase()),
    };
    mistakes.note(source.exact_place(offset), "", format!("syntax error: {why}"));
    Table::new()
}

fn table(source: &Source<'_>, object: ast::Object<'_>) -> Table {
    let mut table = Table::new();
    for property in object.properties {
        let place = source.place(property.range.start);
        let node = Node { place, value: value(source, property.value) };
        table.entry(property.name.into_string()).or_default().push(node);
    }
    table
}

fn value(source: &Source<'_>, json: ast::Value<'_>) -> Value {
    match json {
        ast::Value::NullKeyword(_) => Value::Null,
        ast::Value::BooleanLit(literal) => Value::Bool(literal.value),
        ast::Value::NumberLit(literal) => Value::Number(literal.value.to_owned()),
        ast::Value::StringLit(literal) => Value::Text(literal.value.into_owned()),
        ast::Value::Object(object) => Value::Object(table(source, object)),
        ast::Value::Array(array) => {
            let node = |element: ast::Value<'_>| {
                let place = source.place(element.start());
                Node { place, value: value(source, element) }
            };
            Value::List(array.elements.into_iter().map(node).collect())
        }
    }
}

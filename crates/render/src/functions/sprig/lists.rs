//! Sprig's functions of lists.

use super::{same, strval};
use crate::functions::{Function, Pass, at, int_at, open_row, row};
use gotemplate::{
    Type, Value,
    types::{INT, LIST},
};

const ANY: Type = Type::Any;
const LISTS: Type = Type::Slice(&LIST);

pub(super) const TABLE: &[Function] = &[
    open_row("sprig_list", (&[], ANY), LIST, "a list of these", ("{{ sprig_list 1 2 }}", "[1 2]"), |_, a| {
        Ok(Value::list(a.to_vec()))
    }),
    open_row("sprig_tuple", (&[], ANY), LIST, "the same", ("{{ sprig_tuple 1 2 }}", "[1 2]"), |_, a| {
        Ok(Value::list(a.to_vec()))
    }),
    row("sprig_first", &[ANY], ANY, "the first item", ("{{ sprig_first (sprig_list 1 2) }}", "1"), first),
    row("sprig_mustFirst", &[ANY], ANY, "the same", ("{{ sprig_mustFirst (sprig_list 1 2) }}", "1"), first),
    row("sprig_last", &[ANY], ANY, "the last item", ("{{ sprig_last (sprig_list 1 2) }}", "2"), last),
    row("sprig_mustLast", &[ANY], ANY, "the same", ("{{ sprig_mustLast (sprig_list 1 2) }}", "2"), last),
    row(
        "sprig_rest",
        &[ANY],
        LIST,
        "all but the first",
        ("{{ sprig_rest (sprig_list 1 2 3) }}", "[2 3]"),
        rest,
    ),
    row(
        "sprig_mustRest",
        &[ANY],
        LIST,
        "the same",
        ("{{ sprig_mustRest (sprig_list 1 2 3) }}", "[2 3]"),
        rest,
    ),
    row(
        "sprig_initial",
        &[ANY],
        LIST,
        "all but the last",
        ("{{ sprig_initial (sprig_list 1 2 3) }}", "[1 2]"),
        initial,
    ),
    row(
        "sprig_mustInitial",
        &[ANY],
        LIST,
        "the same",
        ("{{ sprig_mustInitial (sprig_list 1 2 3) }}", "[1 2]"),
        initial,
    ),
    row(
        "sprig_append",
        &[ANY, ANY],
        LIST,
        "with one more at the end",
        ("{{ sprig_append (sprig_list 1) 2 }}", "[1 2]"),
        append,
    ),
    row("sprig_push", &[ANY, ANY], LIST, "the same", ("{{ sprig_push (sprig_list 1) 2 }}", "[1 2]"), append),
    row(
        "sprig_mustAppend",
        &[ANY, ANY],
        LIST,
        "the same",
        ("{{ sprig_mustAppend (sprig_list 1) 2 }}", "[1 2]"),
        append,
    ),
    row(
        "sprig_mustPush",
        &[ANY, ANY],
        LIST,
        "the same",
        ("{{ sprig_mustPush (sprig_list 1) 2 }}", "[1 2]"),
        append,
    ),
    row(
        "sprig_prepend",
        &[ANY, ANY],
        LIST,
        "with one more at the beginning",
        ("{{ sprig_prepend (sprig_list 1) 0 }}", "[0 1]"),
        prepend,
    ),
    row(
        "sprig_mustPrepend",
        &[ANY, ANY],
        LIST,
        "the same",
        ("{{ sprig_mustPrepend (sprig_list 1) 0 }}", "[0 1]"),
        prepend,
    ),
    row(
        "sprig_reverse",
        &[ANY],
        LIST,
        "from the last to the first",
        ("{{ sprig_reverse (sprig_list 1 2) }}", "[2 1]"),
        reverse,
    ),
    row(
        "sprig_mustReverse",
        &[ANY],
        LIST,
        "the same",
        ("{{ sprig_mustReverse (sprig_list 1 2) }}", "[2 1]"),
        reverse,
    ),
    row("sprig_uniq", &[ANY], LIST, "each item once", ("{{ sprig_uniq (sprig_list 1 1 2) }}", "[1 2]"), uniq),
    row(
        "sprig_mustUniq",
        &[ANY],
        LIST,
        "the same",
        ("{{ sprig_mustUniq (sprig_list 1 1 2) }}", "[1 2]"),
        uniq,
    ),
    open_row(
        "sprig_without",
        (&[ANY], ANY),
        LIST,
        "without these",
        ("{{ sprig_without (sprig_list 1 2) 2 }}", "[1]"),
        without,
    ),
    open_row(
        "sprig_mustWithout",
        (&[ANY], ANY),
        LIST,
        "the same",
        ("{{ sprig_mustWithout (sprig_list 1 2) 2 }}", "[1]"),
        without,
    ),
    row(
        "sprig_has",
        &[ANY, ANY],
        Type::Bool,
        "whether a list has an item",
        (r#"{{ sprig_has "a" (sprig_list "a") }}"#, "true"),
        has,
    ),
    row(
        "sprig_mustHas",
        &[ANY, ANY],
        Type::Bool,
        "the same",
        (r#"{{ sprig_mustHas "a" (sprig_list "a") }}"#, "true"),
        has,
    ),
    row(
        "sprig_compact",
        &[ANY],
        LIST,
        "without what is empty",
        (r#"{{ sprig_compact (sprig_list 1 0 "") }}"#, "[1]"),
        compact,
    ),
    row(
        "sprig_mustCompact",
        &[ANY],
        LIST,
        "the same",
        (r#"{{ sprig_mustCompact (sprig_list 1 0 "") }}"#, "[1]"),
        compact,
    ),
    open_row(
        "sprig_slice",
        (&[ANY], ANY),
        ANY,
        "from a position to before another",
        ("{{ sprig_slice (sprig_list 1 2 3) 1 2 }}", "[2]"),
        slice,
    ),
    open_row(
        "sprig_mustSlice",
        (&[ANY], ANY),
        ANY,
        "the same",
        ("{{ sprig_mustSlice (sprig_list 1 2 3) 1 }}", "[2 3]"),
        slice,
    ),
    open_row(
        "sprig_concat",
        (&[], ANY),
        LIST,
        "lists one after the other",
        ("{{ sprig_concat (sprig_list 1) (sprig_list 2) }}", "[1 2]"),
        concat,
    ),
    row(
        "sprig_chunk",
        &[INT, ANY],
        LISTS,
        "in lists of so many",
        ("{{ sprig_chunk 2 (sprig_list 1 2 3) }}", "[[1 2] [3]]"),
        chunk,
    ),
    row(
        "sprig_mustChunk",
        &[INT, ANY],
        LISTS,
        "the same",
        ("{{ sprig_mustChunk 2 (sprig_list 1 2 3) }}", "[[1 2] [3]]"),
        chunk,
    ),
];

/// The items of any list, in the words of the function where it is none.
fn items<'v>(value: &'v Value, what: &str) -> Result<&'v [Value], String> {
    match value.items() {
        Some(items) => Ok(items),
        None => Err(format!("Cannot {what} on type {}", super::other::kind(value))),
    }
}

fn first(_: &mut Pass, a: &[Value]) -> Result<Value, String> {
    Ok(items(at(a, 0), "find first")?.first().cloned().unwrap_or(Value::Nil))
}

fn last(_: &mut Pass, a: &[Value]) -> Result<Value, String> {
    Ok(items(at(a, 0), "find last")?.last().cloned().unwrap_or(Value::Nil))
}

fn rest(_: &mut Pass, a: &[Value]) -> Result<Value, String> {
    Ok(match items(at(a, 0), "find rest")? {
        [] => Value::nil_slice(LIST),
        [_, rest @ ..] => Value::list(rest.to_vec()),
    })
}

fn initial(_: &mut Pass, a: &[Value]) -> Result<Value, String> {
    Ok(match items(at(a, 0), "find initial")? {
        [] => Value::nil_slice(LIST),
        [initial @ .., _] => Value::list(initial.to_vec()),
    })
}

fn append(_: &mut Pass, a: &[Value]) -> Result<Value, String> {
    Ok(Value::list([items(at(a, 0), "push")?, &a[1..2]].concat()))
}

fn prepend(_: &mut Pass, a: &[Value]) -> Result<Value, String> {
    Ok(Value::list([&a[1..2], items(at(a, 0), "prepend")?].concat()))
}

fn reverse(_: &mut Pass, a: &[Value]) -> Result<Value, String> {
    Ok(Value::list(items(at(a, 0), "find reverse")?.iter().rev().cloned().collect()))
}

/// A quick way to tell equal values.
fn print_of(value: &Value) -> (String, String) {
    (value.kind_name(), gotemplate::print::printf("%#v", std::slice::from_ref(value)))
}

fn uniq(_: &mut Pass, a: &[Value]) -> Result<Value, String> {
    let mut seen = std::collections::BTreeSet::new();
    let fresh = items(at(a, 0), "find uniq")?.iter().filter(|item| seen.insert(print_of(item)));
    Ok(Value::list(fresh.cloned().collect()))
}

fn without(_: &mut Pass, a: &[Value]) -> Result<Value, String> {
    let kept =
        items(at(a, 0), "find without")?.iter().filter(|item| !a[1..].iter().any(|other| same(item, other)));
    Ok(Value::list(kept.cloned().collect()))
}

fn has(_: &mut Pass, a: &[Value]) -> Result<Value, String> {
    if let Value::Nil = at(a, 1) {
        return Ok(false.into());
    }
    Ok(items(at(a, 1), "find has")?.iter().any(|item| same(item, at(a, 0))).into())
}

fn compact(_: &mut Pass, a: &[Value]) -> Result<Value, String> {
    Ok(Value::list(items(at(a, 0), "compact")?.iter().filter(|item| item.truth()).cloned().collect()))
}

fn slice(_: &mut Pass, a: &[Value]) -> Result<Value, String> {
    let all = items(at(a, 0), "slice")?;
    if all.is_empty() {
        return Ok(Value::Nil);
    }
    let bound = |n: usize| usize::try_from(super::int(at(a, n))).unwrap_or(usize::MAX);
    let to = if a.len() > 2 { bound(2) } else { all.len() };
    let kind = at(a, 0).kind().unwrap_or(LIST);
    match all.get(bound(1)..to) {
        Some(part) => Ok(Value::slice(kind, part.to_vec())),
        None => Err("reflect.Value.Slice: slice index out of bounds".into()),
    }
}

fn concat(_: &mut Pass, a: &[Value]) -> Result<Value, String> {
    let mut all = vec![];
    for list in a {
        all.extend_from_slice(items(list, "concat")?);
        if all.len() > 1_000_000 {
            return Err("the list grew beyond a million items and was stopped".into());
        }
    }
    Ok(Value::list(all))
}

fn chunk(_: &mut Pass, a: &[Value]) -> Result<Value, String> {
    let size = usize::try_from(int_at(a, 0)).ok().filter(|n| *n > 0);
    let size = size.ok_or_else(|| format!("a chunk of {} is none", strval(at(a, 0))))?;
    let chunks = items(at(a, 1), "chunk")?.chunks(size).map(|chunk| Value::list(chunk.to_vec()));
    Ok(Value::slice(LISTS, chunks.collect()))
}

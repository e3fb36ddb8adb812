//! Sprig's functions of regular expressions.

use crate::functions::{Function, int_at, pattern::regex, row, text::replace, text_at};
use gotemplate::{
    Type, Value,
    types::{INT, STRINGS},
};

const T: Type = Type::Str;
const B: Type = Type::Bool;

pub(super) const TABLE: &[Function] = &[
    row(
        "sprig_regexMatch",
        &[T, T],
        B,
        "whether a text fits a regular expression",
        (r#"{{ sprig_regexMatch "^a" "abc" }}"#, "true"),
        |_, a| Ok(regex(text_at(a, 0)).is_ok_and(|r| r.is_match(text_at(a, 1))).into()),
    ),
    row(
        "sprig_mustRegexMatch",
        &[T, T],
        B,
        "the same",
        (r#"{{ sprig_mustRegexMatch "^a" "abc" }}"#, "true"),
        |_, a| Ok(regex(text_at(a, 0))?.is_match(text_at(a, 1)).into()),
    ),
    row(
        "sprig_regexFind",
        &[T, T],
        T,
        "the first match",
        (r#"{{ sprig_regexFind "[0-9]+" "a12b" }}"#, "12"),
        |_, a| find(a),
    ),
    row(
        "sprig_mustRegexFind",
        &[T, T],
        T,
        "the same",
        (r#"{{ sprig_mustRegexFind "[0-9]+" "a12b" }}"#, "12"),
        |_, a| find(a),
    ),
    row(
        "sprig_regexFindAll",
        &[T, T, INT],
        STRINGS,
        "at most so many matches; all for -1",
        (r#"{{ sprig_regexFindAll "[0-9]" "a1b2" -1 }}"#, "[1 2]"),
        |_, a| find_all(a),
    ),
    row(
        "sprig_mustRegexFindAll",
        &[T, T, INT],
        STRINGS,
        "the same",
        (r#"{{ sprig_mustRegexFindAll "[0-9]" "a1b2" -1 }}"#, "[1 2]"),
        |_, a| find_all(a),
    ),
    row(
        "sprig_regexReplaceAll",
        &[T, T, T],
        T,
        "with each match replaced; `${1}` is a group",
        (r#"{{ sprig_regexReplaceAll "a(x*)b" "-ab-axxb-" "${1}W" }}"#, "-W-xxW-"),
        |_, a| replace(&regex(text_at(a, 0))?, text_at(a, 1), text_at(a, 2)),
    ),
    row(
        "sprig_mustRegexReplaceAll",
        &[T, T, T],
        T,
        "the same",
        (r#"{{ sprig_mustRegexReplaceAll "a" "aa" "b" }}"#, "bb"),
        |_, a| replace(&regex(text_at(a, 0))?, text_at(a, 1), text_at(a, 2)),
    ),
    row(
        "sprig_regexReplaceAllLiteral",
        &[T, T, T],
        T,
        "with each match replaced by just that",
        (r#"{{ sprig_regexReplaceAllLiteral "a" "ab" "$1" }}"#, "$1b"),
        |_, a| literal(a),
    ),
    row(
        "sprig_mustRegexReplaceAllLiteral",
        &[T, T, T],
        T,
        "the same",
        (r#"{{ sprig_mustRegexReplaceAllLiteral "a" "ab" "$1" }}"#, "$1b"),
        |_, a| literal(a),
    ),
    row(
        "sprig_regexSplit",
        &[T, T, INT],
        STRINGS,
        "the parts between matches",
        (r#"{{ sprig_regexSplit "[,;]" "a,b;c" -1 }}"#, "[a b c]"),
        |_, a| split(a),
    ),
    row(
        "sprig_mustRegexSplit",
        &[T, T, INT],
        STRINGS,
        "the same",
        (r#"{{ sprig_mustRegexSplit "[,;]" "a,b;c" -1 }}"#, "[a b c]"),
        |_, a| split(a),
    ),
    row(
        "sprig_regexQuoteMeta",
        &[T],
        T,
        "as a regular expression that fits just that",
        (r#"{{ sprig_regexQuoteMeta "a.b" }}"#, r"a\.b"),
        |_, a| Ok(regex_quoted(text_at(a, 0)).into()),
    ),
];

fn find(a: &[Value]) -> Result<Value, String> {
    Ok(regex(text_at(a, 0))?.find(text_at(a, 1)).map_or("", |found| found.as_str()).into())
}

fn find_all(a: &[Value]) -> Result<Value, String> {
    let most = usize::try_from(int_at(a, 2)).unwrap_or(usize::MAX);
    Ok(Value::strings(regex(text_at(a, 0))?.find_iter(text_at(a, 1)).take(most).map(|found| found.as_str())))
}

fn literal(a: &[Value]) -> Result<Value, String> {
    replace(&regex(text_at(a, 0))?, text_at(a, 1), &text_at(a, 2).replace('$', "$$"))
}

fn split(a: &[Value]) -> Result<Value, String> {
    let regex = regex(text_at(a, 0))?;
    Ok(match usize::try_from(int_at(a, 2)) {
        Ok(0) => Value::nil_slice(STRINGS),
        Ok(n) => Value::strings(regex.splitn(text_at(a, 1), n)),
        Err(_) => Value::strings(regex.split(text_at(a, 1))),
    })
}

fn regex_quoted(text: &str) -> String {
    text.chars().flat_map(|c| if r"\.+*?()|[]{}^$".contains(c) { vec!['\\', c] } else { vec![c] }).collect()
}

//! Sprig's functions of text.

use super::{
    letters::{abbreviated, shuffled, swapped, words, wrapped},
    names, strval,
};
use crate::functions::{
    Function, at, int_at, open_row, row,
    text::{bounded_replace, cut, indent, join},
    text_at,
};
use gotemplate::{
    Key, Type, Value,
    print::LONGEST,
    types::{INT, STRING_MAP, STRINGS},
};
use std::collections::BTreeMap;

const T: Type = Type::Str;
const B: Type = Type::Bool;
const ANY: Type = Type::Any;

pub(super) const TABLE: &[Function] = &[
    row("sprig_upper", &[T], T, "in capital letters", (r#"{{ sprig_upper "a" }}"#, "A"), |_, a| {
        Ok(crate::functions::text::upper(text_at(a, 0)).into())
    }),
    row("sprig_lower", &[T], T, "in small letters", (r#"{{ sprig_lower "A" }}"#, "a"), |_, a| {
        Ok(text_at(a, 0).to_lowercase().into())
    }),
    row(
        "sprig_title",
        &[T],
        T,
        "each word with a capital",
        (r#"{{ sprig_title "foo bar" }}"#, "Foo Bar"),
        |_, a| Ok(words(text_at(a, 0), true, |c| c.to_uppercase().next()).into()),
    ),
    row(
        "sprig_untitle",
        &[T],
        T,
        "each word with a small letter",
        (r#"{{ sprig_untitle "Foo Bar" }}"#, "foo bar"),
        |_, a| Ok(words(text_at(a, 0), false, |c| c.to_lowercase().next()).into()),
    ),
    row(
        "sprig_swapcase",
        &[T],
        T,
        "capitals small, small letters large",
        (r#"{{ sprig_swapcase "aB cD" }}"#, "Ab Cd"),
        |_, a| Ok(swapped(text_at(a, 0)).into()),
    ),
    row("sprig_repeat", &[INT, T], T, "so many times", (r#"{{ sprig_repeat 3 "ab" }}"#, "ababab"), |_, a| {
        let (n, text) =
            (usize::try_from(int_at(a, 0)).map_err(|_| "strings: negative Repeat count")?, text_at(a, 1));
        if n.saturating_mul(text.len()) > LONGEST {
            return Err("the text grew beyond 16 MiB and was stopped".into());
        }
        Ok(text.repeat(n).into())
    }),
    row(
        "sprig_substr",
        &[INT, INT, T],
        T,
        "from a byte to before another; to the end when that is negative",
        (r#"{{ sprig_substr 1 3 "hello" }}"#, "el"),
        |_, a| {
            let text = octets::bytes(text_at(a, 2));
            let (from, to) = (int_at(a, 0), int_at(a, 1));
            let to = if to < 0 || to > text.len() as i64 { text.len() } else { to as usize };
            let from = if from < 0 { 0 } else { from as usize };
            match text.get(from..to) {
                Some(part) => Ok(octets::text(part).into()),
                None => Err(format!("runtime error: slice bounds out of range [{from}:{to}]")),
            }
        },
    ),
    row(
        "sprig_trunc",
        &[INT, T],
        T,
        "at most so many bytes; the last ones when negative",
        (r#"{{ sprig_trunc -3 "abcdef" }}"#, "def"),
        |_, a| {
            let (n, bytes) = (int_at(a, 0), octets::bytes(text_at(a, 1)));
            let size = bytes.len() as i64;
            let part = if n < 0 && size + n > 0 {
                &bytes[(size + n) as usize..]
            } else if n >= 0 && size > n {
                &bytes[..n as usize]
            } else {
                &bytes[..]
            };
            Ok(octets::text(part).into())
        },
    ),
    row(
        "sprig_abbrev",
        &[INT, T],
        T,
        "at most so many letters, three dots for the rest",
        (r#"{{ sprig_abbrev 5 "hello world" }}"#, "he..."),
        |_, a| Ok(abbreviated(text_at(a, 1), 0, int_at(a, 0)).into()),
    ),
    row(
        "sprig_abbrevboth",
        &[INT, INT, T],
        T,
        "the same from a letter on",
        (r#"{{ sprig_abbrevboth 5 10 "1234 5678 9123" }}"#, "...5678..."),
        |_, a| Ok(abbreviated(text_at(a, 2), int_at(a, 0), int_at(a, 1)).into()),
    ),
    row("sprig_trim", &[T], T, "without blanks at both ends", (r#"{{ sprig_trim " a " }}"#, "a"), |_, a| {
        Ok(text_at(a, 0).trim().into())
    }),
    row(
        "sprig_trimAll",
        &[T, T],
        T,
        "without these letters at both ends",
        (r#"{{ sprig_trimAll "$" "$5$" }}"#, "5"),
        |_, a| Ok(text_at(a, 1).trim_matches(|c| text_at(a, 0).contains(c)).into()),
    ),
    row("sprig_trimall", &[T, T], T, "the same", (r#"{{ sprig_trimall "$" "$5$" }}"#, "5"), |_, a| {
        Ok(text_at(a, 1).trim_matches(|c| text_at(a, 0).contains(c)).into())
    }),
    row(
        "sprig_trimPrefix",
        &[T, T],
        T,
        "without this beginning",
        (r#"{{ sprig_trimPrefix "v" "v1" }}"#, "1"),
        |_, a| Ok(text_at(a, 1).strip_prefix(text_at(a, 0)).unwrap_or(text_at(a, 1)).into()),
    ),
    row(
        "sprig_trimSuffix",
        &[T, T],
        T,
        "without this end",
        (r#"{{ sprig_trimSuffix "-" "a-" }}"#, "a"),
        |_, a| Ok(text_at(a, 1).strip_suffix(text_at(a, 0)).unwrap_or(text_at(a, 1)).into()),
    ),
    row("sprig_nospace", &[T], T, "without any blanks", (r#"{{ sprig_nospace "a b" }}"#, "ab"), |_, a| {
        Ok(text_at(a, 0).split_whitespace().collect::<String>().into())
    }),
    row(
        "sprig_initials",
        &[T],
        T,
        "the first letters of its words",
        (r#"{{ sprig_initials "Foo Bar" }}"#, "FB"),
        |_, a| {
            Ok(text_at(a, 0).split_whitespace().filter_map(|w| w.chars().next()).collect::<String>().into())
        },
    ),
    row(
        "sprig_snakecase",
        &[T],
        T,
        "words joined with `_`",
        (r#"{{ sprig_snakecase "FooBar" }}"#, "foo_bar"),
        |_, a| Ok(names::joined(text_at(a, 0), '_').into()),
    ),
    row(
        "sprig_kebabcase",
        &[T],
        T,
        "words joined with `-`",
        (r#"{{ sprig_kebabcase "FooBar" }}"#, "foo-bar"),
        |_, a| Ok(names::joined(text_at(a, 0), '-').into()),
    ),
    row(
        "sprig_camelcase",
        &[T],
        T,
        "words with capitals, joined",
        (r#"{{ sprig_camelcase "foo_bar" }}"#, "FooBar"),
        |_, a| Ok(names::pascal(text_at(a, 0)).into()),
    ),
    row(
        "sprig_shuffle",
        &[T],
        T,
        "its letters in another order, the same each time",
        (r#"{{ len (sprig_shuffle "abc") }}"#, "3"),
        |_, a| Ok(shuffled(text_at(a, 0)).into()),
    ),
    row(
        "sprig_wrap",
        &[INT, T],
        T,
        "broken into lines of at most so many letters",
        ("{{ sprig_wrap 3 \"ab cd\" }}", "ab\ncd"),
        |_, a| wrapped(text_at(a, 1), int_at(a, 0), "\n", false),
    ),
    row(
        "sprig_wrapWith",
        &[INT, T, T],
        T,
        "the same with another separator; words that are too long are broken",
        (r#"{{ sprig_wrapWith 2 "|" "abc" }}"#, "ab|c"),
        |_, a| wrapped(text_at(a, 2), int_at(a, 0), text_at(a, 1), true),
    ),
    row(
        "sprig_contains",
        &[T, T],
        B,
        "whether the first is part of the second",
        (r#"{{ sprig_contains "b" "abc" }}"#, "true"),
        |_, a| Ok(text_at(a, 1).contains(text_at(a, 0)).into()),
    ),
    row(
        "sprig_hasPrefix",
        &[T, T],
        B,
        "whether the second begins with the first",
        (r#"{{ sprig_hasPrefix "a" "abc" }}"#, "true"),
        |_, a| Ok(text_at(a, 1).starts_with(text_at(a, 0)).into()),
    ),
    row(
        "sprig_hasSuffix",
        &[T, T],
        B,
        "whether the second ends with the first",
        (r#"{{ sprig_hasSuffix "c" "abc" }}"#, "true"),
        |_, a| Ok(text_at(a, 1).ends_with(text_at(a, 0)).into()),
    ),
    open_row(
        "sprig_quote",
        (&[], ANY),
        T,
        "each in double quotes",
        (r#"{{ sprig_quote "a" 1 }}"#, r#""a" "1""#),
        |_, a| Ok(each(a, |t| gotemplate::quote(t, false)).into()),
    ),
    open_row(
        "sprig_squote",
        (&[], ANY),
        T,
        "each in single quotes",
        (r#"{{ sprig_squote "a" 1 }}"#, "'a' '1'"),
        |_, a| Ok(each(a, |t| format!("'{t}'")).into()),
    ),
    open_row(
        "sprig_cat",
        (&[], ANY),
        T,
        "all with blanks between",
        (r#"{{ sprig_cat "a" 1 }}"#, "a 1"),
        |_, a| Ok(each(a, str::to_owned).into()),
    ),
    row(
        "sprig_indent",
        &[INT, T],
        T,
        "with so many blanks before each line",
        (r#"{{ sprig_indent 2 "a" }}"#, "  a"),
        |_, a| padded(int_at(a, 0), text_at(a, 1)).map(Value::from),
    ),
    row(
        "sprig_nindent",
        &[INT, T],
        T,
        "the same, on a new line",
        ("{{ sprig_nindent 2 \"a\" }}", "\n  a"),
        |_, a| Ok(format!("\n{}", padded(int_at(a, 0), text_at(a, 1))?).into()),
    ),
    row(
        "sprig_replace",
        &[T, T, T],
        T,
        "with each of the first replaced by the second",
        (r#"{{ "a b" | sprig_replace " " "-" }}"#, "a-b"),
        |_, a| bounded_replace(text_at(a, 2), text_at(a, 0), text_at(a, 1)),
    ),
    row(
        "sprig_plural",
        &[T, T, INT],
        T,
        "the first for one, else the second",
        (r#"{{ sprig_plural "one" "many" 2 }}"#, "many"),
        |_, a| Ok(text_at(a, usize::from(int_at(a, 2) != 1)).into()),
    ),
    row("sprig_toString", &[ANY], T, "as text", (r#"{{ sprig_toString 1 }}"#, "1"), |_, a| {
        Ok(strval(at(a, 0)).into())
    }),
    row(
        "sprig_toStrings",
        &[ANY],
        STRINGS,
        "each item as text",
        (r#"{{ sprig_toStrings (sprig_list 1 2) }}"#, "[1 2]"),
        |_, a| Ok(texts(at(a, 0))),
    ),
    row(
        "sprig_join",
        &[T, ANY],
        T,
        "the items of a list with a separator between",
        (r#"{{ sprig_join "-" (sprig_list 1 2) }}"#, "1-2"),
        |_, a| join(texts(at(a, 1)).items().unwrap_or_default(), text_at(a, 0)),
    ),
    row(
        "sprig_sortAlpha",
        &[ANY],
        STRINGS,
        "as texts, sorted",
        (r#"{{ sprig_sortAlpha (sprig_list "b" "a") }}"#, "[a b]"),
        |_, a| {
            let mut all: Vec<String> =
                texts(at(a, 0)).items().unwrap_or_default().iter().map(strval).collect();
            all.sort();
            Ok(Value::strings(all))
        },
    ),
    row(
        "sprig_splitList",
        &[T, T],
        STRINGS,
        "the parts between separators",
        (r#"{{ sprig_splitList "," "a,b" }}"#, "[a b]"),
        |_, a| Ok(Value::strings(cut(text_at(a, 1), text_at(a, 0)))),
    ),
    row(
        "sprig_split",
        &[T, T],
        STRING_MAP,
        "the parts between separators as `_0`, `_1`, …",
        (r#"{{ (sprig_split "," "a,b")._1 }}"#, "b"),
        |_, a| Ok(numbered(cut(text_at(a, 1), text_at(a, 0)))),
    ),
    row(
        "sprig_splitn",
        &[T, INT, T],
        STRING_MAP,
        "the same with at most so many parts",
        (r#"{{ (sprig_splitn "," 2 "a,b,c")._1 }}"#, "b,c"),
        |_, a| {
            let (separator, text) = (text_at(a, 0), text_at(a, 2));
            Ok(match usize::try_from(int_at(a, 1)) {
                Ok(0) => numbered(vec![]),
                Ok(n) if !separator.is_empty() => numbered(text.splitn(n, separator).collect()),
                _ => numbered(cut(text, separator)),
            })
        },
    ),
];

fn each(arguments: &[Value], change: impl Fn(&str) -> String) -> String {
    let given = arguments.iter().filter(|value| !matches!(value, Value::Nil));
    given.map(|value| change(&strval(value))).collect::<Vec<_>>().join(" ")
}

fn padded(blanks: i64, text: &str) -> Result<String, String> {
    let blanks = usize::try_from(blanks).map_err(|_| "strings: negative Repeat count")?;
    let marked = indent(blanks, "x")?.replace('x', "");
    bounded_replace(text, "\n", &format!("\n{marked}")).map(|text| format!("{marked}{}", strval(&text)))
}

fn texts(list: &Value) -> Value {
    match list {
        Value::Nil => Value::strings::<&str>([]),
        Value::Slice(slice) => {
            Value::strings(slice.items.iter().filter(|item| !matches!(item, Value::Nil)).map(strval))
        }
        other => Value::strings([strval(other)]),
    }
}

fn numbered(parts: Vec<&str>) -> Value {
    let entries =
        parts.into_iter().enumerate().map(|(n, part)| (Key::Str(format!("_{n}").into()), part.into()));
    Value::map(STRING_MAP, entries.collect::<BTreeMap<_, _>>())
}

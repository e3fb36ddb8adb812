//! Sprig's functions of text.

use super::{names, strval};
use crate::functions::{
    Function, at, int_at, open_row,
    pattern::regex,
    row,
    text::{bounded_replace, cut, indent, join, replace},
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

/// Changes the first letter of each word; a word begins after what is no letter, or only after blanks.
fn words(text: &str, after_any: bool, change: fn(char) -> Option<char>) -> String {
    let mut begins = true;
    let one = |c: char| {
        let changed = if begins { change(c).unwrap_or(c) } else { c };
        begins = if after_any { !(c.is_alphanumeric() || c == '_') } else { c.is_whitespace() };
        changed
    };
    text.chars().map(one).collect()
}

fn swapped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_uppercase() {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
    }
    out
}

fn abbreviated(text: &str, offset: i64, width: i64) -> String {
    let letters: Vec<char> = text.chars().collect();
    let size = letters.len() as i64;
    if width < 4 || (offset > 0 && width < 7) || size <= width {
        return text.to_owned();
    }
    let mut offset = offset.min(size);
    if size - offset < width - 3 {
        offset = size - (width - 3);
    }
    let part = |from: i64, to: i64| letters[from as usize..to as usize].iter().collect::<String>();
    if offset <= 4 {
        return format!("{}...", part(0, width - 3));
    }
    if offset + width - 3 < size {
        let rest: String = letters[offset as usize..].iter().collect();
        return format!("...{}", abbreviated(&rest, 0, width - 3));
    }
    format!("...{}", part(size - (width - 3), size))
}

/// Another order, which depends on nothing but the text.
fn shuffled(text: &str) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    let mut state = letters
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |n, c| (n ^ u64::from(*c as u32)).wrapping_mul(0x100_0000_01b3));
    for n in (1..letters.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        letters.swap(n, (state >> 33) as usize % (n + 1));
    }
    letters.into_iter().collect()
}

fn wrapped(text: &str, width: i64, separator: &str, breaks: bool) -> Result<Value, String> {
    let width = usize::try_from(width).unwrap_or(0).max(1);
    if text.len() + (text.len() / width).saturating_mul(separator.len()) > LONGEST {
        return Err("the text grew beyond 16 MiB and was stopped".into());
    }
    let letters: Vec<char> = text.chars().collect();
    let (mut out, mut at) = (String::new(), 0);
    while letters.len() - at > width {
        if letters[at] == ' ' {
            at += 1;
            continue;
        }
        let end = at + width;
        let blank = (at..=end).rev().find(|&n| letters[n] == ' ');
        let stop = match blank {
            Some(blank) if blank >= at => blank,
            _ if breaks => {
                out.extend(&letters[at..end]);
                out.push_str(separator);
                at = end;
                continue;
            }
            _ => match (end..letters.len()).find(|&n| letters[n] == ' ') {
                Some(blank) => blank,
                None => break,
            },
        };
        out.extend(&letters[at..stop]);
        out.push_str(separator);
        at = stop + 1;
    }
    out.extend(&letters[at..]);
    Ok(out.into())
}

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

//! Functions that make a text of texts.

use super::pattern::regex;
use super::{Function, at, int_at, row, text_at};
use gotemplate::{
    Type, Value,
    print::LONGEST,
    types::{INT, STRING_MAP, STRINGS},
};
use regex::Regex;
use std::collections::BTreeMap;

const TEXT: Type = Type::Str;

pub(super) const TABLE: &[Function] = &[
    row("toLower", &[TEXT], TEXT, "in small letters", (r#"{{ toLower "AbC" }}"#, "abc"), |_, a| {
        Ok(text_at(a, 0).to_lowercase().into())
    }),
    row("toUpper", &[TEXT], TEXT, "in capital letters", (r#"{{ toUpper "AbC" }}"#, "ABC"), |_, a| {
        Ok(upper(text_at(a, 0)).into())
    }),
    row(
        "toTitle",
        &[TEXT],
        TEXT,
        "with a capital letter at the beginning of each word",
        (r#"{{ toTitle "two words" }}"#, "Two Words"),
        |_, a| Ok(title(text_at(a, 0)).into()),
    ),
    row(
        "trim",
        &[TEXT, TEXT],
        TEXT,
        "without these letters at both ends",
        (r#"{{ trim "-" "--a-b-" }}"#, "a-b"),
        |_, a| Ok(text_at(a, 1).trim_matches(|c| text_at(a, 0).contains(c)).into()),
    ),
    row(
        "trimPrefix",
        &[TEXT, TEXT],
        TEXT,
        "without this beginning",
        (r#"{{ trimPrefix "v" "v1.2" }}"#, "1.2"),
        |_, a| Ok(text_at(a, 1).strip_prefix(text_at(a, 0)).unwrap_or(text_at(a, 1)).into()),
    ),
    row(
        "trimSuffix",
        &[TEXT, TEXT],
        TEXT,
        "without this end",
        (r#"{{ trimSuffix ".local" "a.local" }}"#, "a"),
        |_, a| Ok(text_at(a, 1).strip_suffix(text_at(a, 0)).unwrap_or(text_at(a, 1)).into()),
    ),
    row(
        "trimSpace",
        &[TEXT],
        TEXT,
        "without blanks at both ends",
        (r#"{{ trimSpace " a " }}"#, "a"),
        |_, a| Ok(text_at(a, 0).trim().into()),
    ),
    row(
        "replaceAll",
        &[TEXT, TEXT, TEXT],
        TEXT,
        "with each of the first replaced by the second",
        (r#"{{ "a.b.c" | replaceAll "." "_" }}"#, "a_b_c"),
        |_, a| bounded_replace(text_at(a, 2), text_at(a, 0), text_at(a, 1)),
    ),
    row(
        "indent",
        &[INT, TEXT],
        TEXT,
        "with so many blanks before each line that is not empty",
        ("{{ indent 2 \"a\\nb\" }}", "  a\n  b"),
        |_, a| match int_at(a, 0) {
            n if n < 0 => Err("indent value must be a positive integer".into()),
            n => indent(n as usize, text_at(a, 1)).map(Value::from),
        },
    ),
    row(
        "split",
        &[TEXT, TEXT],
        STRINGS,
        "the parts between separators; blanks at both ends of the whole are cut off",
        (r#"{{ split "," "a,b" }}"#, "[a b]"),
        |_, a| {
            let text = text_at(a, 1).trim();
            Ok(if text.is_empty() {
                Value::strings::<&str>([])
            } else {
                Value::strings(cut(text, text_at(a, 0)))
            })
        },
    ),
    row(
        "splitToMap",
        &[TEXT, TEXT, TEXT],
        STRING_MAP,
        "parts between the first separator, each cut into key and value at the second",
        (r#"{{ splitToMap "," ":" "a:1,b:2" }}"#, "map[a:1 b:2]"),
        |_, a| {
            let text = text_at(a, 2).trim();
            let mut entries = BTreeMap::new();
            for part in cut(text, text_at(a, 0)) {
                if let Some((key, value)) = part.split_once(text_at(a, 1)) {
                    entries.insert(gotemplate::Key::Str(key.into()), value.into());
                }
            }
            Ok(Value::map(STRING_MAP, entries))
        },
    ),
    row(
        "join",
        &[TEXT, STRINGS],
        TEXT,
        "the texts of a list with a separator between them",
        (r#"{{ split "," "a,b" | join "+" }}"#, "a+b"),
        |_, a| join(at(a, 1).items().unwrap_or_default(), text_at(a, 0)),
    ),
    row(
        "regexMatch",
        &[TEXT, TEXT],
        Type::Bool,
        "whether a text fits a regular expression",
        (r#"{{ regexMatch "^v[0-9]+$" "v12" }}"#, "true"),
        |_, a| Ok(regex(text_at(a, 0))?.is_match(text_at(a, 1)).into()),
    ),
    row(
        "regexReplaceAll",
        &[TEXT, TEXT, TEXT],
        TEXT,
        "with each match of a regular expression replaced; `$1` and `${name}` are its groups",
        (r#"{{ regexReplaceAll "(a+)" "<$1>" "baac" }}"#, "b<aa>c"),
        |_, a| replace(&regex(text_at(a, 0))?, text_at(a, 2), text_at(a, 1)),
    ),
];

/// Go's upper case, letter by letter: ß stays ß.
pub(super) fn upper(text: &str) -> String {
    let one = |c: char| {
        let mut all = c.to_uppercase();
        let first = all.next().unwrap_or(c);
        if all.next().is_some() { c } else { first }
    };
    text.chars().map(one).collect()
}

/// A capital at the beginning of each word; an apostrophe inside a word begins none.
pub(super) fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let joins =
            inside && matches!(c, '\'' | '’' | '.' | ':') && chars.peek().is_some_and(|c| c.is_alphabetic());
        let word = c.is_alphanumeric() || c == '_' || joins;
        if c.is_alphabetic() && !inside {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
        // Digits before the first letter do not take its place.
        inside = word && (inside || c.is_alphabetic() || c == '_');
    }
    out
}

/// Parts between separators; without a separator, the letters.
pub(super) fn cut<'t>(text: &'t str, separator: &str) -> Vec<&'t str> {
    match separator {
        "" => text.char_indices().map(|(n, c)| &text[n..n + c.len_utf8()]).collect(),
        _ => text.split(separator).collect(),
    }
}

pub(super) fn indent(blanks: usize, text: &str) -> Result<String, String> {
    if blanks.saturating_mul(text.len() + 1) > LONGEST {
        return Err("that many blanks are too many".into());
    }
    let blanks = " ".repeat(blanks);
    let line =
        |line: &str| if matches!(line, "" | "\n") { line.to_owned() } else { format!("{blanks}{line}") };
    Ok(text.split_inclusive('\n').map(line).collect())
}

pub(super) fn join(items: &[Value], separator: &str) -> Result<Value, String> {
    let size: usize = items.iter().filter_map(Value::as_str).map(|text| text.len() + separator.len()).sum();
    if size > LONGEST {
        return Err("the text grew beyond 16 MiB and was stopped".into());
    }
    let texts: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
    Ok(texts.join(separator).into())
}

/// `replace`, unless the result were too long.
pub(super) fn bounded_replace(text: &str, from: &str, to: &str) -> Result<Value, String> {
    let count = if from.is_empty() { text.len() + 1 } else { text.matches(from).count() };
    if text.len() + count.saturating_mul(to.len()) > LONGEST {
        return Err("the text grew beyond 16 MiB and was stopped".into());
    }
    Ok(text.replace(from, to).into())
}

/// Go's replacement: `$1`, `${1}`, `$name`; the longest name of letters, digits and `_` counts.
pub(super) fn replace(regex: &Regex, text: &str, with: &str) -> Result<Value, String> {
    let mut out = String::new();
    let mut end = 0;
    for found in regex.captures_iter(text) {
        let Some(whole) = found.get(0) else { continue };
        out.push_str(&text[end..whole.start()]);
        found.expand(with, &mut out);
        end = whole.end();
        if out.len() > LONGEST {
            return Err("the text grew beyond 16 MiB and was stopped".into());
        }
    }
    out.push_str(&text[end..]);
    Ok(out.into())
}

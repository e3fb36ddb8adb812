//! Regular expressions as Go reads them, said in the words of the engine that runs them here.
//!
//! Both know RE2's syntax. They differ in what `\d`, `\w` and `\s` hold (ASCII alone in Go), in a `{` that counts nothing
//! (itself in Go), in what stands for itself in `[…]`, and in a few escapes.

use regex::{Regex, RegexBuilder};
use std::{iter::Peekable, str::CharIndices};

/// A regular expression, in the words of Go where it is none.
pub(super) fn regex(pattern: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(&said(pattern)).size_limit(1 << 20).build();
    built.map_err(|error| format!("error parsing regexp: {}: `{pattern}`", complaint(&error)))
}

fn complaint(error: &regex::Error) -> String {
    if let regex::Error::CompiledTooBig(_) = error {
        return "expression too large".into();
    }
    let text = error.to_string();
    match text.lines().last().unwrap_or_default().trim_start_matches("error: ") {
        "unclosed group" => "missing closing )",
        "unopened group" => "unexpected )",
        "unclosed character class" => "missing closing ]",
        "repetition operator missing expression" => "missing argument to repetition operator",
        other => other,
    }
    .into()
}

/// The same expression for this engine.
fn said(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => escape(&mut out, pattern, &mut chars, false),
            '[' => class(&mut out, pattern, &mut chars),
            '{' if !counts(&pattern[at..]) => out.push_str(r"\{"),
            c => out.push(c),
        }
    }
    out
}

/// Whether `{n}`, `{n,}` or `{n,m}` stands here.
fn counts(rest: &str) -> bool {
    let inner = rest[1..].split_once('}').map(|(inner, _)| inner);
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    inner.is_some_and(|inner| match inner.split_once(',') {
        Some((least, most)) => number(least) && (most.is_empty() || number(most)),
        None => number(inner),
    })
}

/// What follows a backslash.
fn escape(out: &mut String, pattern: &str, chars: &mut Peekable<CharIndices>, in_class: bool) {
    let Some((at, c)) = chars.next() else { return out.push('\\') };
    let (open, close) = if in_class { ("", "") } else { ("[", "]") };
    match c {
        'd' => out.push_str(&format!("{open}0-9{close}")),
        'w' => out.push_str(&format!("{open}0-9A-Za-z_{close}")),
        's' => out.push_str(&format!(r"{open}\t\n\f\r {close}")),
        'D' => out.push_str("[^0-9]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        'S' => out.push_str(r"[^\t\n\f\r ]"),
        'b' => out.push_str(r"(?-u:\b)"),
        'C' => out.push_str("(?s:.)"),
        // These mean a word's bounds here, and themselves in Go.
        '<' | '>' => out.push(c),
        'Q' => {
            let literal = &pattern[at + 1..];
            let end = literal.find(r"\E").map_or(pattern.len(), |end| at + 1 + end);
            out.push_str(&regex::escape(&pattern[at + 1..end]));
            while chars.next_if(|(at, _)| *at < end + 2).is_some() {}
        }
        c => {
            out.push('\\');
            out.push(c);
        }
    }
}

/// What stands in `[…]`, which began before.
fn class(out: &mut String, pattern: &str, chars: &mut Peekable<CharIndices>) {
    out.push('[');
    if chars.next_if(|(_, c)| *c == '^').is_some() {
        out.push('^');
    }
    if chars.next_if(|(_, c)| *c == ']').is_some() {
        out.push_str(r"\]");
    }
    while let Some((at, c)) = chars.next() {
        match c {
            ']' => return out.push(']'),
            '\\' => escape(out, pattern, chars, true),
            '[' => match named(&pattern[at..]) {
                Some(name) => {
                    out.push_str(name);
                    while chars.next_if(|(next, _)| *next < at + name.len()).is_some() {}
                }
                None => out.push_str(r"\["),
            },
            // Doubled, these combine classes here.
            '&' | '~' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
}

/// `[:alpha:]`
fn named(rest: &str) -> Option<&str> {
    let inner = rest.strip_prefix("[:")?;
    let end = inner.find(":]")?;
    let name = inner[..end].strip_prefix('^').unwrap_or(&inner[..end]);
    name.bytes().all(|b| b.is_ascii_lowercase()).then(|| &rest[..end + 4])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each as Go 1.26 finds it.
    #[test]
    fn an_expression_finds_what_go_finds() {
        for (pattern, text, found) in [
            (r#"{"a":.*}"#, r#"x {"a":1} y"#, r#"{"a":1}"#),
            ("a{2}", "aaa", "aa"),
            ("a{,2}", "a{,2}", "a{,2}"),
            ("a{1,}", "aaa", "aaa"),
            ("{{ *x *}}", "{{ x }}", "{{ x }}"),
            (r"\d+", "\u{661}1", "1"),
            (r"\w+", "éa_1", "a_1"),
            (r"[\w.]+", "é.a", ".a"),
            (r"\S+", " \u{a0}a", "\u{a0}a"),
            (r"\ba", "éa", "a"),
            (r"[[]", "a[", "["),
            (r"[]a]+", "]a", "]a"),
            (r"[[:alpha:]_]+", "1ab_", "ab_"),
            (r"[a&&b]+", "x&b", "&b"),
            (r"\Qa.b\E+", "a.bb", "a.bb"),
            (r"\Q[", "a[", "["),
            (r"\<a\>", "x<a>", "<a>"),
            (r"[^\d]+", "12ab", "ab"),
            (r"[\D]+", "12ab", "ab"),
        ] {
            let regex = regex(pattern).unwrap();
            assert_eq!(regex.find(text).map(|found| found.as_str()), Some(found), "{pattern}");
        }
        for pattern in ["(", ")", "[a", "*a", r"\", "(?P<a"] {
            assert!(regex(pattern).is_err(), "{pattern}");
        }
    }
}

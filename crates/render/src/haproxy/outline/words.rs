//! HAProxy's words: blanks part them, quotes and backslashes keep blanks, `#` begins a comment (HAProxy's manual,
//! "Quoting and escaping").

/// The words of a line, without its comment; `None` when only HAProxy itself can tell them: an environment variable,
/// a quote that is never closed, a bad escape.
pub(super) fn words(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote, mut begun) = (vec![], String::new(), None, false);
    let mut chars = line.trim_end_matches(['\n', '\r']).chars().peekable();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => {
                match chars.peek() {
                    Some(&next) if " \\'\"#".contains(next) || (next == '$' && quote.is_some()) => {
                        word.push(next);
                        chars.next();
                    }
                    Some('t' | 'n' | 'r') => word.push(control(chars.next()?)),
                    Some('x') => {
                        chars.next();
                        word.push(hex(chars.next()?, chars.next()?)?);
                    }
                    _ => word.push('\\'),
                }
                begun = true;
            }
            ('$', Some('"')) => return None,
            ('\r' | '\n', _) => return None,
            ('\'' | '"', None) => {
                quote = Some(c);
                begun = true;
            }
            (_, Some(q)) if q == c => quote = None,
            ('#', None) => break,
            (c, None) if blank(c) => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            (c, _) => {
                word.push(c);
                begun = true;
            }
        }
    }
    if quote.is_some() {
        return None;
    }
    if begun {
        words.push(word);
    }
    Some(words)
}

/// What C's `isspace` takes for a blank.
fn blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{b}' | '\u{c}' | '\r' | '\n')
}

fn control(c: char) -> char {
    match c {
        't' => '\t',
        'n' => '\n',
        _ => '\r',
    }
}

fn hex(high: char, low: char) -> Option<char> {
    let code = u8::try_from(high.to_digit(16)? * 16 + low.to_digit(16)?).ok()?;
    // What is no ASCII is a byte, not a character: only HAProxy can tell.
    code.is_ascii().then_some(code.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_parted_as_haproxy_does() {
        for (line, expected) in [
            ("", Some(vec![])),
            ("  # nothing", Some(vec![])),
            (" server a 10.0.0.1:80 check # a # b", Some(vec!["server", "a", "10.0.0.1:80", "check"])),
            (r#"x "a b" 'c d' e\ f "" ''"#, Some(vec!["x", "a b", "c d", "e f", "", ""])),
            (
                r#"a\#b "c#d" 'e\n' f\tg h\x41 i\1 "\$j" \"#,
                Some(vec!["a#b", "c#d", "e\\n", "f\tg", "hA", "i\\1", "$j", "\\"]),
            ),
            (r"$5\r\nslave", Some(vec!["$5\r\nslave"])),
            (r#"server a "${HOST}:80""#, None),
            (r#"x "never closed"#, None),
            (r"x \xZZ", None),
            (r"x \xff", None),
            ("a\rb", None),
        ] {
            let found = words(line);
            let found = found.as_ref().map(|words| words.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(found, expected, "{line}");
        }
    }
}

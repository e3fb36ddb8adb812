//! Names in other spellings: `snake_case`, `kebab-case`, `PascalCase`, as Sprig's library cuts them into words.

/// A run of letters of one sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `_`, `-` and blanks.
    Between,
    /// `.`, `/`, `:` and the like, which stay.
    Punctuation,
    /// `Word` or `HTTP`.
    Capital,
    /// `word`
    Small,
    /// `12`
    Number,
    /// `=`, `+`, letters without a case of Chinese and the like.
    Other,
}

fn is_between(c: char) -> bool {
    matches!(c, '_' | '-') || c.is_whitespace()
}

fn is_punctuation(c: char) -> bool {
    match c {
        '$' | '+' | '<' | '=' | '>' | '^' | '`' | '|' | '~' => false,
        '¡' | '§' | '«' | '¶' | '·' | '»' | '¿' | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}' => {
            true
        }
        c => c.is_ascii_punctuation(),
    }
}

fn is_letter(c: char) -> bool {
    c.is_alphabetic() && !matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fcc}')
}

fn kind(c: char) -> Kind {
    match c {
        c if is_between(c) => Kind::Between,
        c if is_punctuation(c) => Kind::Punctuation,
        c if c.is_uppercase() => Kind::Capital,
        c if is_letter(c) => Kind::Small,
        c if c.is_numeric() => Kind::Number,
        _ => Kind::Other,
    }
}

/// The words of a name. A capital begins one; of `HTTPServer`, the last begins the second.
fn words(name: &str) -> Vec<(Kind, String)> {
    let letters: Vec<char> = name.chars().collect();
    let mut words = vec![];
    let mut at = 0;
    while at < letters.len() {
        let sort = kind(letters[at]);
        let run = |from: usize, sort: Kind| {
            letters[from..].iter().position(|&c| kind(c) != sort).map_or(letters.len(), |n| from + n)
        };
        let mut end = run(at, sort);
        if sort == Kind::Capital && letters.get(end).is_some_and(|&c| kind(c) == Kind::Small) {
            end = if end - at > 1 { end - 1 } else { run(end, Kind::Small) };
        }
        words.push((sort, letters[at..end].iter().collect()));
        at = end;
    }
    words
}

/// The words in small letters, with `between` between them. Numbers go with the word before them, unless small letters
/// follow; what stands beside punctuation is left as it is.
pub(super) fn joined(name: &str, between: char) -> String {
    let words = words(name);
    let sort = |n: usize| words.get(n).map(|(sort, _)| *sort);
    let stuck = |n: usize| matches!(sort(n), None | Some(Kind::Between | Kind::Punctuation));
    let mut out = String::new();
    let put = |out: &mut String, n: usize| match &words[n] {
        (Kind::Between, word) => out.extend(word.chars().map(|_| between)),
        (Kind::Capital, word) => out.push_str(&word.to_lowercase()),
        (_, word) => out.push_str(word),
    };
    let mut n = 0;
    while n < words.len() {
        put(&mut out, n);
        n += 1;
        let mut tail = matches!(sort(n - 1), Some(Kind::Number));
        match (sort(n - 1), sort(n)) {
            (Some(Kind::Between | Kind::Punctuation), _) | (_, None) => continue,
            (Some(Kind::Capital | Kind::Small | Kind::Other), Some(Kind::Number)) if n + 1 < words.len() => {
                tail = sort(n + 1) == Some(Kind::Small);
                if tail {
                    out.push(between);
                }
                put(&mut out, n);
                n += 1;
            }
            (Some(Kind::Capital | Kind::Small | Kind::Other), Some(Kind::Number)) => continue,
            _ => {}
        }
        while tail && matches!(sort(n), Some(Kind::Small | Kind::Number)) {
            put(&mut out, n);
            n += 1;
        }
        if !stuck(n) {
            out.push(between);
        }
    }
    out
}

/// The words with capitals, joined. What stands between them at the beginning, or more than once, stays.
pub(super) fn pascal(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let Some(first) = letters.iter().position(|&c| !is_between(c)) else { return name.to_owned() };
    let mut out: String = letters[..first].iter().collect();
    // Of a word in capitals, all but the first become small.
    let mut shouts = letters[first].is_uppercase();
    out.extend(capital(letters[first]));
    for pair in letters[first..].windows(2) {
        let (before, c) = (pair[0], pair[1]);
        match (is_between(before), is_between(c)) {
            (true, true) => out.push(before),
            (_, true) => {}
            (true, false) => {
                shouts = c.is_uppercase();
                out.extend(capital(c));
            }
            (false, false) => {
                shouts &= c.is_uppercase();
                if shouts { out.extend(c.to_lowercase()) } else { out.push(c) }
            }
        }
    }
    out.extend(letters.last().filter(|c| is_between(**c)));
    out
}

/// Go's capital of a letter is one letter, or the letter itself.
fn capital(c: char) -> Option<char> {
    let mut upper = c.to_uppercase();
    if upper.len() == 1 { upper.next() } else { Some(c) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each as Sprig 3.3 gives it.
    #[test]
    fn names_are_spelt_as_sprig_spells_them() {
        for (name, snake, camel) in [
            ("FirstName", "first_name", "FirstName"),
            ("HTTPServer", "http_server", "Httpserver"),
            ("NoHTTPS", "no_https", "NoHTTPS"),
            ("GO_PATH", "go_path", "GoPath"),
            ("my-service.name", "my_service.name", "MyService.name"),
            ("a.b.c", "a.b.c", "A.b.c"),
            ("http2xx", "http_2xx", "Http2xx"),
            ("HTTP20xOK", "http_20x_ok", "Http20xOK"),
            ("Duration2m3s", "duration_2m3s", "Duration2m3s"),
            ("Bld4Floor3rd", "bld4_floor_3rd", "Bld4Floor3rd"),
            (" a b ", "_a_b_", " AB "),
            ("x=1;y=2", "x_=1;y_=2", "X=1;y=2"),
            ("_complex__case_", "_complex__case_", "_Complex_Case_"),
            ("-7", "_7", "-7"),
            ("a1", "a1", "A1"),
            ("v1.2-rc3", "v1.2_rc3", "V1.2Rc3"),
            ("web2 api", "web2_api", "Web2Api"),
            ("ABC", "abc", "Abc"),
            ("aBC", "a_bc", "ABC"),
            ("A1B2", "a1_b2", "A1B2"),
            ("redis-6379:master", "redis_6379:master", "Redis6379:master"),
            ("éÀß", "é_àß", "ÉÀß"),
            ("日本Foo", "日本_foo", "日本Foo"),
            ("x2", "x2", "X2"),
            ("2x", "2x", "2x"),
            ("A", "a", "A"),
            ("a", "a", "A"),
            ("Ab", "ab", "Ab"),
            ("AB-CD9", "ab_cd9", "AbCd9"),
            ("foo9Bar", "foo9_bar", "Foo9Bar"),
            ("9", "9", "9"),
            ("", "", ""),
        ] {
            assert_eq!(joined(name, '_'), snake, "{name:?}");
            assert_eq!(joined(name, '-'), snake.replace('_', "-"), "{name:?}");
            assert_eq!(pascal(name), camel, "{name:?}");
        }
    }
}

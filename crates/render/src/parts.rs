//! One text that is several files: the marks by which `toFile` cuts it, and the names that it may give.

use std::path::{Component, Path};

/// Begins and ends a mark; no configuration file has this character.
const EDGE: char = '\0';

/// What stands in the text where a file begins.
#[must_use]
pub fn mark(name: &str) -> String {
    format!("{EDGE}{name}{EDGE}")
}

/// Whether a file may be called so: a path below the folder, without hidden parts.
pub fn allow(name: &str) -> Result<(), String> {
    let plain = |part: Component| match part {
        Component::Normal(part) => !part.as_encoded_bytes().starts_with(b"."),
        _ => false,
    };
    let path = Path::new(name);
    let is_written_plainly = path.components().count() == name.split('/').count();
    if name.is_empty()
        || !is_written_plainly
        || !path.components().all(plain)
        || name.contains(char::is_control)
    {
        return Err(format!(
            "{name:?} is no name for a file: it must be a path below the folder, such as web.conf or sites/web.conf"
        ));
    }
    Ok(())
}

/// The text, if its marks are those that were made, in their order: no value of Consul begins a file.
pub fn check(text: String, names: &[String]) -> Result<String, String> {
    if names.is_empty() {
        return Ok(text);
    }
    for (n, name) in names.iter().enumerate() {
        if names[..n].contains(name) {
            return Err(format!("toFile begins {name} twice"));
        }
    }
    let found = text.split(EDGE).skip(1).step_by(2);
    if !found.eq(names.iter().map(String::as_str)) || text.matches(EDGE).count() != 2 * names.len() {
        return Err("a file begins where toFile is printed, and nowhere else: print what it returns, in the order of \
                    the calls; values must not hold zero bytes"
            .into());
    }
    let before = text.split(EDGE).next().unwrap_or_default();
    match before.trim().is_empty() {
        true => Ok(text),
        false => Err(format!("{:?} stands before the first toFile, and belongs to no file", before.trim())),
    }
}

/// The files with their texts, in the order of the text. A line that holds only the mark is none of the file's.
#[must_use]
pub fn split(text: &str) -> Vec<(&str, &str)> {
    let mut pieces = text.split(EDGE).skip(1);
    let mut files = vec![];
    while let (Some(name), Some(text)) = (pieces.next(), pieces.next()) {
        files.push((name, text.strip_prefix('\n').unwrap_or(text)));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_where_files_begin() {
        let text = format!("\n{}\na\n{}b", mark("x"), mark("d/y"));
        let text = check(text, &["x".into(), "d/y".into()]).unwrap();
        assert_eq!(split(&text), [("x", "a\n"), ("d/y", "b")]);
        assert_eq!(split("no file"), []);
    }

    #[test]
    fn only_the_function_begins_a_file() {
        for (text, names, why) in [
            (format!("a{}", mark("x")), vec!["x"], "before the first toFile"),
            (format!("{}a{}b", mark("x"), mark("y")), vec!["x"], "nowhere else"),
            (format!("{}a", mark("x")), vec!["x", "y"], "nowhere else"),
            (format!("{}a\0", mark("x")), vec!["x"], "zero bytes"),
            (format!("{0}a{0}b", mark("x")), vec!["x", "x"], "begins x twice"),
        ] {
            let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
            let error = check(text.clone(), &names).unwrap_err();
            assert!(error.contains(why), "{text:?}: {error}");
        }
    }

    #[test]
    fn names_stay_below_the_folder() {
        for name in ["web.conf", "sites/web.conf", "a b"] {
            assert_eq!(allow(name), Ok(()), "{name}");
        }
        for name in
            ["", "/etc/passwd", "../x", "a/../../x", "./a", "a//b", "a/", ".hidden", "a/.b", "a\0b", "a\nb"]
        {
            assert!(allow(name).is_err(), "{name:?}");
        }
    }
}
